"""Carry WebSocket messages over a connection, within limits on frames and on the time that a client may keep silent."""

import asyncio
from typing import Any

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from onedoor.http.connection import OrderlyTransport, StallGuard, StallTimer
from onedoor.model.catalog import Limits

FRAMES_MAX = 1000
"""The most frames of one message; its bytes are bounded already, but a frame may have none."""

CLOSE_GOING_AWAY, CLOSE_INVALID_PAYLOAD, CLOSE_MESSAGE_TOO_BIG, CLOSE_TRY_AGAIN_LATER = 1001, 1007, 1009, 1013


def build_websocket_protocol(limits: Limits, closing_seconds: float) -> type[WebSocketsSansIOProtocol]:
    """Build the WebSocket protocol class of a server with these limits."""

    class LimitedWebSocketProtocol(StallGuard, WebSocketsSansIOProtocol):
        transport: OrderlyTransport  # type: ignore[assignment]
        early_data = b""
        """What came before the handshake was answered; read once it is."""

        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.close_timeout = closing_seconds

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.stall_timer = StallTimer(self.transport, limits.stalled_seconds)

        def data_received(self, data: bytes) -> None:
            if self.handshake_initiated and not self.handshake_complete:
                self.early_data += data
                self.transport.pause_reading()
                return
            super().data_received(data)

        def send_receive_event_to_app(self) -> None:
            if self.curr_msg_data_type == "text" and not _is_utf8(self.frames):
                self._fail(CLOSE_INVALID_PAYLOAD)
                return
            super().send_receive_event_to_app()

        def handle_events(self) -> None:
            super().handle_events()
            if len(self.frames) > FRAMES_MAX and not self.close_sent:
                self._fail(CLOSE_MESSAGE_TOO_BIG)

        def keepalive_timeout(self) -> None:
            """Close a connection whose client returned no ping, with a code that it comes back from."""
            if not self.close_sent:
                limit = f"the limit `heartbeat_seconds` of {limits.heartbeat_seconds:g}"
                self._close(CLOSE_TRY_AGAIN_LATER, f"no pong came within {limit}, connect again")

        async def send(self, message: ASGISendEvent) -> None:
            """Raise ClientDisconnected after uvicorn has closed the connection, where it would blame the app."""
            if self.close_sent:
                raise ClientDisconnected
            await super().send(message)
            if self.early_data and self.handshake_complete:
                data, self.early_data = self.early_data, b""
                self.transport.resume_reading()
                self.data_received(data)
            if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
                self.handshake_complete = True  # it is: without this, uvicorn logs that the app did not complete it

        def shutdown(self) -> None:
            """Close the connection as the server stops."""
            if self.close_sent or self.transport.is_closing():
                return
            if not self.handshake_complete:
                super().shutdown()
                return
            self._close(CLOSE_GOING_AWAY, "the server is stopping, connect again")

        def handle_close(self, event: Frame) -> None:
            """Close the connection for good: after its close frame a client sends nothing."""
            self.transport.is_receiving = False
            super().handle_close(event)

        def _close(self, code: int, reason: str) -> None:
            """Send a close frame, and give the client time to answer it: a proxy passes on no more after an end."""
            self.stop_keepalive()
            self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
            self.conn.send_close(code, reason)
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
            self.transport.resume_reading()
            self.close_timer = self.loop.call_later(self.close_timeout, self.transport.close)

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
