"""Uvicorn's HTTP/1.1 on httptools, with the limits that it lacks: size of the head, time for the head, connections.

httptools itself takes a head of any size, and uvicorn waits for one for ever.
"""

import asyncio

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from door.stalled import Stalled
from engine.house import Limits


class TooLarge(Exception):
    """The head of a request is over its limit."""


def protocol(limits: Limits) -> type[HttpToolsProtocol]:
    """The protocol class that a server with these limits makes its connections of."""
    large = f"the head is over the limit `head_bytes` of {limits.head_bytes}, send less of it"

    class Protocol(HttpToolsProtocol):
        head: asyncio.TimerHandle | None = None
        size = 0
        """Of the parts of the head that are whole."""
        unread = 0
        """Bytes that came since the head began."""
        in_head = True
        stalled: Stalled | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.stalled = Stalled(transport, limits.stalled_seconds)
            if self._neighbours() > limits.connections_an_address:
                limit = f"the limit `connections_an_address` of {limits.connections_an_address}"
                self._refuse(429, f"there are more connections than {limit}, use one for many requests")
                return
            self._await_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._head_came()
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
                raise TooLarge

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
