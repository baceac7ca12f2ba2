"""Read requests from a connection, within limits on their heads and on the time that a client may keep silent."""

import asyncio
from collections.abc import Iterable, Sequence
from enum import Enum, auto

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from onedoor.errors import ErrorCode, HTTPError
from onedoor.http import handshake
from onedoor.http.connection import OrderlyTransport, StallGuard, StallTimer
from onedoor.http.cors import Header
from onedoor.http.requests import begin_request, parse_head
from onedoor.http.responses import build_headers, encode_refusal
from onedoor.http.state import LIFESPAN_KEY, LifespanState
from onedoor.model.catalog import Limits

NO_HTTP = "this is no HTTP request"

EXCESS_HEAD_SECONDS = 1.0
"""How long the head of a connection that is one too many may take to arrive, so that it can be answered."""


class Phase(Enum):
    """How much of a request has come."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()


def build_http_protocol(limits: Limits, closing_seconds: float) -> type[HttpToolsProtocol]:
    """Build the protocol class of a server with these limits."""

    class LimitedProtocol(StallGuard, HttpToolsProtocol):
        transport: OrderlyTransport  # type: ignore[assignment]
        phase = Phase.HEAD
        head_size = 0
        """Bytes of the parsed parts of the head."""
        received_size = 0
        """Bytes received since the head began."""
        timer: asyncio.TimerHandle | None = None
        """Runs while the client is waited for, in the middle of a request."""
        is_excess = False
        refusal: HTTPError | None = None
        """Why nothing more is read; sent once the requests before are answered."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            orderly = OrderlyTransport(transport, closing_seconds)
            super().connection_made(orderly)  # type: ignore[arg-type]
            self.stall_timer = StallTimer(transport, limits.stalled_seconds)
            connections = self._count_connections()
            self.is_excess = connections > limits.connections_an_address
            if connections > 2 * limits.connections_an_address:
                self._refuse(build_too_many_connections(limits))
            elif self.is_excess:
                self.timer = self.loop.call_later(EXCESS_HEAD_SECONDS, self._refuse, build_too_many_connections(limits))
            else:
                self._start_head_timer()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self.refusal is not None:
                return
            self._unset_keepalive_if_required()
            if self.phase is Phase.IDLE:
                self._begin_head()
            if self.phase is Phase.HEAD:
                self.received_size += len(data)
            self._feed(data)
            if self.refusal is None and self.phase is Phase.HEAD and self.received_size > limits.head_bytes:
                self._refuse(build_head_too_large(limits))

        def _feed(self, data: bytes) -> None:
            """Parse the data, and again what comes behind a head that asked for another protocol."""
            try:
                while data:
                    try:
                        self.parser.feed_data(data)
                        return
                    except httptools.HttpParserUpgrade as pause:
                        data = self._handle_upgrade(data[pause.args[0] :])
            except HTTPError as refusal:
                self._refuse(refusal)
            except httptools.HttpParserError as error:
                refusal_of_head = error.__context__
                if isinstance(refusal_of_head, HTTPError):
                    self._refuse(refusal_of_head)
                elif self.received_size > limits.head_bytes:
                    self._refuse(build_head_too_large(limits))
                else:
                    self._refuse(HTTPError(400, NO_HTTP))

        def _handle_upgrade(self, rest: bytes) -> bytes:
            """Open a WebSocket, or return what to parse in place of a head that asked for anything else.

            Raises HTTPError.
            """
            method, version = self.parser.get_method(), self.parser.get_http_version()
            if method == b"CONNECT":
                raise HTTPError(400, NO_HTTP)
            if handshake.asks_for_websocket(version, self.headers):
                self._open_websocket(method, rest)
                return b""
            head = handshake.build_head_without_upgrade(method, self.url, version, self.headers)
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            return head + rest

        def _open_websocket(self, method: bytes, rest: bytes) -> None:
            """Hand the connection to the WebSocket protocol. Raises HTTPError."""
            handshake.check_handshake(method, self.headers)
            if not self._is_answered():
                raise HTTPError(400, "a WebSocket is opened once the requests before it are answered")
            self.scope["headers"] = handshake.build_handshake_headers(self.headers)
            self._stop_timer()
            self.stall_timer.cancel()
            self.handle_websocket_upgrade()
            websocket = self.transport.get_protocol()
            if not websocket.handshake_initiated:
                raise build_head_too_large(limits)
            if self.transport.get_write_buffer_size():
                websocket.pause_writing()
            if rest:
                websocket.data_received(rest)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            if self.phase is not Phase.HEAD:
                self._begin_head()
            self.head_size, self.transport.is_receiving = 0, True

        def on_url(self, url: bytes) -> None:
            super().on_url(url)
            self._add_to_head(len(url))

        def on_header(self, name: bytes, value: bytes) -> None:
            super().on_header(name, value)
            self._add_to_head(len(name) + len(value))

        def on_headers_complete(self) -> None:
            """Begin to answer the request, unless it asks for another protocol. Raises HTTPError."""
            if self.is_excess:
                raise build_too_many_connections(limits)
            header_names = [name for name, _ in self.headers]
            handshake.check_host(self.parser.get_http_version(), header_names)
            if self.parser.should_upgrade():
                self.scope["method"] = self.parser.get_method().decode("ascii")
                return
            handshake.check_upgrade_kept(header_names)
            self._stop_timer()
            self.head_size, self.received_size, self.phase = 0, 0, Phase.BODY
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            if self.parser.should_upgrade():
                return
            self._stop_timer()
            self.phase, self.transport.is_receiving = Phase.IDLE, False
            super().on_message_complete()
            if self.cycle.response_complete:
                self._start_idle_timer()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if not self._is_answered():
                return
            if self.refusal is not None:
                self._send_refusal()
            elif self.phase is Phase.BODY:
                self._unset_keepalive_if_required()
                self.timer = self.loop.call_later(limits.body_seconds, self.transport.close)
            elif self.phase is Phase.HEAD:
                self._unset_keepalive_if_required()

        def _begin_head(self) -> None:
            self.phase, self.received_size = Phase.HEAD, 0
            if self.timer is None:
                self._start_head_timer()

        def _add_to_head(self, size: int) -> None:
            self.head_size += size
            if self.head_size > limits.head_bytes:
                raise build_head_too_large(limits)

        def _count_connections(self) -> int:
            """Count the connections from the same address, this one included."""
            clients = (getattr(connection, "client", None) for connection in self.connections)
            return sum(1 for client in clients if client and self.client and client[0] == self.client[0])

        def _start_head_timer(self) -> None:
            self.timer = self.loop.call_later(limits.head_seconds, self._refuse_late_head)

        def _refuse_late_head(self) -> None:
            """Refuse a head that did not come, unless the client may be waiting for the answers before it."""
            if self._is_answered():
                limit = f"the limit `head_seconds` of {limits.head_seconds:g}"
                self._refuse(HTTPError(408, f"the head did not come within {limit}, send it faster"))
            else:
                self._start_head_timer()

        def _stop_timer(self) -> None:
            if self.timer is not None:
                self.timer.cancel()
                self.timer = None

        def _start_idle_timer(self) -> None:
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

        def _is_answered(self) -> bool:
            return self.cycle is None or (self.cycle.response_complete and not self.pipeline)

        def _refuse(self, refusal: HTTPError) -> None:
            """Read nothing more, and close the connection once this is sent."""
            self._stop_timer()
            self.refusal = refusal
            if self._is_answered():
                self._send_refusal()

        def _send_refusal(self) -> None:
            assert self.refusal is not None
            if self.transport.is_closing():
                return
            self._unset_keepalive_if_required()
            lifespan_state: LifespanState | None = self.app_state.get(LIFESPAN_KEY)
            allowed_origins = lifespan_state.allowed_origins if lifespan_state else frozenset[str]()
            headers = [*self.server_state.default_headers, (b"connection", b"close")]
            self.transport.write(serialize_refusal(self.refusal, self.headers or (), headers, allowed_origins))
            self.transport.close()

    return LimitedProtocol


def serialize_refusal(
    refusal: HTTPError, request_headers: Sequence[Header], headers: Iterable[Header], allowed_origins: frozenset[str]
) -> bytes:
    """Serialize a response as the app would send it, from what came of the request's head."""
    context = begin_request(parse_head({"method": "GET", "query_string": b"", "headers": request_headers}))
    response = encode_refusal(refusal, context)
    lines = [b"%s: %s\r\n" % header for header in (*headers, *build_headers(response, context, allowed_origins))]
    return b"".join([STATUS_LINE[response.status], *lines, b"\r\n", response.body])


def build_head_too_large(limits: Limits) -> HTTPError:
    return HTTPError(431, f"the head is over the limit `head_bytes` of {limits.head_bytes}, send less of it")


def build_too_many_connections(limits: Limits) -> HTTPError:
    limit = f"the limit `connections_an_address` of {limits.connections_an_address}"
    message = f"there are more connections than {limit}, use one for many requests"
    return HTTPError(429, message, {"retry-after": "1"}, code=ErrorCode.LIMIT_EXCEEDED)
