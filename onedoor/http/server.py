"""Uvicorn with our head, connection and stall limits."""

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


class StallTimer:
    """Looks, while more waits to be sent than should, whether any of it was taken in since it looked before."""

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


class HeadTooLarge(Exception):
    """The head of a request is over its limit."""


def build_http_protocol(limits: Limits) -> type[HttpToolsProtocol]:
    """The protocol class that a server with these limits makes its connections of."""
    large = f"the head is over the limit `head_bytes` of {limits.head_bytes}, send less of it"

    class Protocol(HttpToolsProtocol):
        head: asyncio.TimerHandle | None = None
        size = 0
        """Of the parts of the head that are whole."""
        unread = 0
        """Bytes that came since the head began."""
        in_head = True
        stalled: StallTimer | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.stalled = StallTimer(transport, limits.stalled_seconds)
            if self._neighbours() > limits.connections_an_address:
                limit = f"the limit `connections_an_address` of {limits.connections_an_address}"
                self._refuse(429, f"there are more connections than {limit}, use one for many requests")
                return
            self._await_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._head_came()
            if self.stalled is not None:
                self.stalled.cancel()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            super().pause_writing()
            if self.stalled is not None:
                self.stalled.start()

        def resume_writing(self) -> None:
            super().resume_writing()
            if self.stalled is not None:
                self.stalled.cancel()

        def handle_websocket_upgrade(self) -> None:
            self._head_came()
            super().handle_websocket_upgrade()

        def data_received(self, data: bytes) -> None:
            if self.in_head:
                self.unread += len(data)
            super().data_received(data)
            if self.in_head and self.unread > limits.head_bytes:
                self._refuse(431, large)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self.size, self.in_head = 0, True
            if self.head is None:
                self._await_head()

        def on_url(self, url: bytes) -> None:
            super().on_url(url)
            self._grow(len(url))

        def on_header(self, name: bytes, value: bytes) -> None:
            super().on_header(name, value)
            self._grow(len(name) + len(value))

        def on_headers_complete(self) -> None:
            self._head_came()
            self.size, self.unread, self.in_head = 0, 0, False
            super().on_headers_complete()

        def send_400_response(self, msg: str) -> None:
            if max(self.size, self.unread) > limits.head_bytes:
                self._refuse(431, large)
            else:
                self._refuse(400, "this is no HTTP request")

        def _grow(self, by: int) -> None:
            self.size += by
            if self.size > limits.head_bytes:
                raise HeadTooLarge

        def _neighbours(self) -> int:
            """Connections from the same address, this one included."""
            clients = (getattr(each, "client", None) for each in self.connections)
            return sum(1 for each in clients if each and self.client and each[0] == self.client[0])

        def _await_head(self) -> None:
            self.head = self.loop.call_later(limits.head_seconds, self._late)

        def _head_came(self) -> None:
            if self.head is not None:
                self.head.cancel()
                self.head = None

        def _late(self) -> None:
            limit = f"the limit `head_seconds` of {limits.head_seconds:g}"
            self._refuse(408, f"the head did not come within {limit}, send it faster")

        def _refuse(self, status: int, why: str) -> None:
            if self.transport.is_closing():
                return
            body = f'{{"errors":[{{"message":"{why}","extensions":{{"code":"BAD_REQUEST"}}}}]}}'.encode()
            head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
            self.transport.write(STATUS_LINE[status] + head + body)
            self.transport.close()

    return Protocol


FRAMES_MAX = 1000
"""Frames of one message; its bytes alone are bounded already, but a frame may have none."""

CLOSE_GOING_AWAY, CLOSE_INVALID_PAYLOAD, CLOSE_MESSAGE_TOO_BIG = 1001, 1007, 1009


def build_websocket_protocol(limits: Limits) -> type[WebSocketsSansIOProtocol]:
    """The protocol class that a server with these limits makes its WebSockets of."""

    class Sockets(WebSocketsSansIOProtocol):
        stalled: StallTimer | None = None

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.stalled = StallTimer(self.transport, limits.stalled_seconds)

        def connection_lost(self, exc: Exception | None) -> None:
            if self.stalled is not None:
                self.stalled.cancel()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            super().pause_writing()
            if self.stalled is not None:
                self.stalled.start()

        def resume_writing(self) -> None:
            super().resume_writing()
            if self.stalled is not None:
                self.stalled.cancel()

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
            """Uvicorn takes what is sent after it has closed by itself for a mistake of the app's."""
            if self.close_sent:
                raise ClientDisconnected
            await super().send(message)

        def shutdown(self) -> None:
            """As the server stops."""
            if self.close_sent or not self.handshake_complete:
                super().shutdown()
                return
            self.stop_keepalive()
            self.queue.put_nowait({"type": "websocket.disconnect", "code": CLOSE_GOING_AWAY})
            self.conn.send_close(CLOSE_GOING_AWAY, "the door is closing, come again")
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

        def _fail(self, code: int) -> None:
            self.frames = []
            self.conn.fail(code)
            self.handle_parser_exception()

    return Sockets


def _is_utf8(frames: list[bytes]) -> bool:
    try:
        b"".join(frames).decode()
    except UnicodeDecodeError:
        return False
    return True


DRAIN_SECONDS = 30

BACKLOG = 2048

GC_THRESHOLDS = (50_000, 20, 50)
"""Of the garbage collector's three generations."""


def build_uvicorn_config(app: Any, limits: Limits) -> uvicorn.Config:
    """How Onedoor runs under uvicorn, wherever it is started from."""
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
    """A socket that others of the same user may share, the kernel spreading connections. Raises Mistake."""
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
    """Raises Mistake where someone already listens there; SO_REUSEPORT alone would share the port with them."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as reason:
            raise ConfigurationError(f"port {port} of `{host}` is taken or may not be used: choose another") from reason


def run_server(app: Callable[[], Any], host: str, port: int, limits: Limits, workers: int = 1) -> None:
    """Listens until stopped; ends with 3 when the app cannot open."""
    require_free_port(host, port)
    if workers == 1:
        run_worker_process(app, host, port, limits)
        return
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=run_worker_process, args=(app, host, port, limits)) for _ in range(workers)]
    for each in processes:
        each.start()

    def stop(*_: object) -> None:
        for each in processes:
            each.terminate()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    for each in processes:
        each.join()
    if any(each.exitcode for each in processes):
        raise SystemExit(3)


class UvicornServer(uvicorn.Server):
    """As uvicorn's; what stands once it has started is never looked through for garbage again.

    A large answer is thousands of objects, none of them in a circle: looked through at every 700, they took a fifth of
    its time, and what stands a tail of 50 ms.
    """

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLDS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Those who listen would keep the door open for as long as it waits for answers under way."""
        leave = getattr(self.config.app, "leave", None)
        if leave is not None:
            leave()
        await super().shutdown(sockets)


def run_worker_process(app: Callable[[], Any], host: str, port: int, limits: Limits) -> None:
    """One process's share: its own socket on the port, its own app, its own journal."""
    server = UvicornServer(build_uvicorn_config(app(), limits))
    server.run(sockets=[bind_socket(host, port)])
    if not server.started:
        raise SystemExit(3)
