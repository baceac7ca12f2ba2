"""Run the app under uvicorn, with limits on heads, connections, frames and clients that stall."""

import asyncio
import gc
import multiprocessing
import signal
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from onedoor.errors import ConfigurationError
from onedoor.model.catalog import Limits

DRAIN_SECONDS = 30

BACKLOG = 2048

GC_THRESHOLDS = (50_000, 20, 50)
"""The thresholds of the garbage collector's three generations."""

FRAMES_MAX = 1000
"""The most frames of one message; its bytes are bounded already, but a frame may have none."""

CLOSE_GOING_AWAY, CLOSE_INVALID_PAYLOAD, CLOSE_MESSAGE_TOO_BIG = 1001, 1007, 1009


def run_server(app: Callable[[], Any], host: str, port: int, limits: Limits, workers: int = 1) -> None:
    """Listen until stopped. Raises SystemExit with 3 where the app cannot open."""
    require_free_port(host, port)
    if workers == 1:
        run_worker_process(app, host, port, limits)
        return
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=run_worker_process, args=(app, host, port, limits)) for _ in range(workers)]
    for process in processes:
        process.start()

    def stop(*_: object) -> None:
        for process in processes:
            process.terminate()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise SystemExit(3)


def run_worker_process(app: Callable[[], Any], host: str, port: int, limits: Limits) -> None:
    """Serve in this process, with a socket, an app and an audit log of its own."""
    server = UvicornServer(build_uvicorn_config(app(), limits))
    server.run(sockets=[bind_socket(host, port)])
    if not server.started:
        raise SystemExit(3)


class UvicornServer(uvicorn.Server):
    """A uvicorn server that keeps what exists once it has started out of garbage collection.

    A large result is thousands of objects without a cycle: collecting at every 700 took a fifth of its time, and
    looking through the app itself added a tail of 50 ms.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the subscriptions first: they would hold the server up for as long as it waits for open requests."""
        leave = getattr(self.config.app, "leave", None)
        if leave is not None:
            leave()
        await super().shutdown(sockets)


def build_uvicorn_config(app: Any, limits: Limits) -> uvicorn.Config:
    """Build the configuration with which Onedoor runs under uvicorn, wherever it is started from."""
    return uvicorn.Config(
        app,
        http=build_http_protocol(limits),
        ws=build_websocket_protocol(limits),
        ws_max_size=limits.body_bytes,
        ws_ping_interval=limits.heartbeat_seconds,
        ws_ping_timeout=limits.heartbeat_seconds,
        ws_per_message_deflate=False,
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        backlog=BACKLOG,
    )


def bind_socket(host: str, port: int) -> socket.socket:
    """Bind a socket that processes share, the kernel spreading connections. Raises ConfigurationError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as reason:
        listener.close()
        raise ConfigurationError(
            f"port {port} of `{host}` is taken or may not be used: choose another `server.port`"
        ) from reason
    listener.set_inheritable(True)
    return listener


def require_free_port(host: str, port: int) -> None:
    """Raise ConfigurationError where another process listens: SO_REUSEPORT alone would share the port with it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as reason:
            raise ConfigurationError(f"port {port} of `{host}` is taken or may not be used: choose another") from reason


def build_http_protocol(limits: Limits) -> type[HttpToolsProtocol]:
    """Build the protocol class of a server with these limits."""
    too_large = f"the head is over the limit `head_bytes` of {limits.head_bytes}, send less of it"

    class LimitedProtocol(HttpToolsProtocol):
        head_timer: asyncio.TimerHandle | None = None
        head_size = 0
        """Bytes of the parsed parts of the head."""
        received_size = 0
        """Bytes received since the head began."""
        is_in_head = True
        stall_timer: StallTimer | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.stall_timer = StallTimer(transport, limits.stalled_seconds)
            if self._count_connections() > limits.connections_an_address:
                limit = f"the limit `connections_an_address` of {limits.connections_an_address}"
                self._refuse(429, f"there are more connections than {limit}, use one for many requests")
                return
            self._start_head_timer()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_head_timer()
            if self.stall_timer is not None:
                self.stall_timer.cancel()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            super().pause_writing()
            if self.stall_timer is not None:
                self.stall_timer.start()

        def resume_writing(self) -> None:
            super().resume_writing()
            if self.stall_timer is not None:
                self.stall_timer.cancel()

        def handle_websocket_upgrade(self) -> None:
            self._stop_head_timer()
            super().handle_websocket_upgrade()

        def data_received(self, data: bytes) -> None:
            if self.is_in_head:
                self.received_size += len(data)
            super().data_received(data)
            if self.is_in_head and self.received_size > limits.head_bytes:
                self._refuse(431, too_large)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self.head_size, self.is_in_head = 0, True
            if self.head_timer is None:
                self._start_head_timer()

        def on_url(self, url: bytes) -> None:
            super().on_url(url)
            self._add_to_head(len(url))

        def on_header(self, name: bytes, value: bytes) -> None:
            super().on_header(name, value)
            self._add_to_head(len(name) + len(value))

        def on_headers_complete(self) -> None:
            self._stop_head_timer()
            self.head_size, self.received_size, self.is_in_head = 0, 0, False
            super().on_headers_complete()

        def send_400_response(self, msg: str) -> None:
            if max(self.head_size, self.received_size) > limits.head_bytes:
                self._refuse(431, too_large)
            else:
                self._refuse(400, "this is no HTTP request")

        def _add_to_head(self, size: int) -> None:
            self.head_size += size
            if self.head_size > limits.head_bytes:
                raise HeadTooLarge

        def _count_connections(self) -> int:
            """Count the connections from the same address, this one included."""
            clients = (getattr(connection, "client", None) for connection in self.connections)
            return sum(1 for client in clients if client and self.client and client[0] == self.client[0])

        def _start_head_timer(self) -> None:
            self.head_timer = self.loop.call_later(limits.head_seconds, self._refuse_late_head)

        def _stop_head_timer(self) -> None:
            if self.head_timer is not None:
                self.head_timer.cancel()
                self.head_timer = None

        def _refuse_late_head(self) -> None:
            limit = f"the limit `head_seconds` of {limits.head_seconds:g}"
            self._refuse(408, f"the head did not come within {limit}, send it faster")

        def _refuse(self, status: int, message: str) -> None:
            if self.transport.is_closing():
                return
            body = f'{{"errors":[{{"message":"{message}","extensions":{{"code":"BAD_REQUEST"}}}}]}}'.encode()
            head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
            self.transport.write(STATUS_LINE[status] + head + body)
            self.transport.close()

    return LimitedProtocol


class HeadTooLarge(Exception):
    """The head of a request is over its limit; httptools turns it into a call of `send_400_response`."""


def build_websocket_protocol(limits: Limits) -> type[WebSocketsSansIOProtocol]:
    """Build the WebSocket protocol class of a server with these limits."""

    class LimitedWebSocketProtocol(WebSocketsSansIOProtocol):
        stall_timer: StallTimer | None = None

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.stall_timer = StallTimer(self.transport, limits.stalled_seconds)

        def connection_lost(self, exc: Exception | None) -> None:
            if self.stall_timer is not None:
                self.stall_timer.cancel()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            super().pause_writing()
            if self.stall_timer is not None:
                self.stall_timer.start()

        def resume_writing(self) -> None:
            super().resume_writing()
            if self.stall_timer is not None:
                self.stall_timer.cancel()

        def send_receive_event_to_app(self) -> None:
            if self.curr_msg_data_type == "text" and not _is_utf8(self.frames):
                self._fail(CLOSE_INVALID_PAYLOAD)
                return
            super().send_receive_event_to_app()

        def handle_events(self) -> None:
            super().handle_events()
            if len(self.frames) > FRAMES_MAX and not self.close_sent:
                self._fail(CLOSE_MESSAGE_TOO_BIG)

        async def send(self, message: ASGISendEvent) -> None:
            """Raise ClientDisconnected after uvicorn has closed the connection, where it would blame the app."""
            if self.close_sent:
                raise ClientDisconnected
            await super().send(message)

        def shutdown(self) -> None:
            """Close the connection as the server stops."""
            if self.close_sent or not self.handshake_complete:
                super().shutdown()
                return
            self.stop_keepalive()
            self.queue.put_nowait({"type": "websocket.disconnect", "code": CLOSE_GOING_AWAY})
            self.conn.send_close(CLOSE_GOING_AWAY, "the server is stopping, connect again")
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

        def _fail(self, code: int) -> None:
            self.frames = []
            self.conn.fail(code)
            self.handle_parser_exception()

    return LimitedWebSocketProtocol


def _is_utf8(frames: list[bytes]) -> bool:
    try:
        b"".join(frames).decode()
    except UnicodeDecodeError:
        return False
    return True


class StallTimer:
    """Aborts a connection whose client takes in nothing for a while, though more waits to be sent than should."""

    def __init__(self, transport: asyncio.WriteTransport, seconds: float) -> None:
        self.transport, self.seconds = transport, seconds
        self.pending_bytes = 0
        self.timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self.cancel()
        self.pending_bytes = self.transport.get_write_buffer_size()
        self.timer = asyncio.get_running_loop().call_later(self.seconds, self._check)

    def cancel(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _check(self) -> None:
        if self.transport.get_write_buffer_size() >= self.pending_bytes:
            self.transport.abort()
        else:
            self.start()
