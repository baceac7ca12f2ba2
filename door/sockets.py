"""Uvicorn's WebSockets, with what they lack: an end to clients that stall, to parts without end, and to long logs."""

import asyncio

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from door.stalled import Stalled
from engine.house import Limits

PARTS_MOST = 1000
"""Frames of one message; its bytes alone are bounded already, but a frame may have none."""
LEAVING, NOT_TEXT, TOO_LARGE = 1001, 1007, 1009


def sockets(limits: Limits) -> type[WebSocketsSansIOProtocol]:
    """The protocol class that a server with these limits makes its WebSockets of."""

    class Sockets(WebSocketsSansIOProtocol):
        stalled: Stalled | None = None

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.stalled = Stalled(self.transport, limits.stalled_seconds)

        def connection_lost(self, exc: Exception | None) -> None:
            if self.stalled is not None:
                self.stalled.end()
            super().connection_lost(exc)

        def pause_writing(self) -> None:
            super().pause_writing()
            if self.stalled is not None:
                self.stalled.begin()

        def resume_writing(self) -> None:
            super().resume_writing()
            if self.stalled is not None:
                self.stalled.end()

        def send_receive_event_to_app(self) -> None:
            if self.curr_msg_data_type == "text" and not _text(self.frames):
                self._fail(NOT_TEXT)
                return
            super().send_receive_event_to_app()

        def handle_events(self) -> None:
            super().handle_events()
            if len(self.frames) > PARTS_MOST and not self.close_sent:
                self._fail(TOO_LARGE)

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
            self.queue.put_nowait({"type": "websocket.disconnect", "code": LEAVING})
            self.conn.send_close(LEAVING, "the door is closing, come again")
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

        def _fail(self, code: int) -> None:
            self.frames = []
            self.conn.fail(code)
            self.handle_parser_exception()

    return Sockets


def _text(parts: list[bytes]) -> bool:
    try:
        b"".join(parts).decode()
    except UnicodeDecodeError:
        return False
    return True
