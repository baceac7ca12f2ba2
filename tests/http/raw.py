"""Talk to the server in bytes: an app that answers what it was sent, and what comes back until the end."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Callable, Set
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from typing import Any

from onedoor.http.server import UvicornServer, build_uvicorn_config
from onedoor.http.state import LIFESPAN_KEY, LifespanState
from onedoor.model.catalog import Limits

SECONDS = 10.0
"""Nothing here takes longer, or it counts as stuck."""
PAGE = "https://dashboards.acme.example"
"""The origin of the web pages that may call."""
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


async def answer_with_body(scope: Any, receive: Any, send: Any) -> None:
    """Answer a POST with its method and body, any other request at once, and accept any WebSocket."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        return
    body, more = b"", scope["method"] == "POST" and scope["path"] != "/unread"
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    body = b"%s %s %s" % (scope["method"].encode(), scope["path"].encode(), body)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@dataclass(frozen=True, slots=True)
class RawServer:
    """A server's port, and the connections that it holds."""

    port: int
    connections: Set[Any]

    async def wait_until_served(self) -> None:
        """Return once a connection has been made."""
        await self._wait_until(lambda: bool(self.connections))

    async def wait_until_alone(self) -> None:
        """Return once no connection is left, whatever its client does."""
        await self._wait_until(lambda: not self.connections)

    async def _wait_until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS):
            while not true():  # noqa: ASYNC110 - uvicorn tells in no other way
                await asyncio.sleep(0.005)


@asynccontextmanager
async def serve_raw(limits: Limits, **intervals: float) -> AsyncIterator[int]:
    async with open_raw_server(limits, **intervals) as server:
        yield server.port


@asynccontextmanager
async def open_raw_server(limits: Limits, app: Any = answer_with_body, **intervals: float) -> AsyncIterator[RawServer]:
    """Run a server as the product does, over this app."""
    config = build_uvicorn_config(app, limits, **intervals)
    config.lifespan = "off"
    config.load()
    server = UvicornServer(config)
    server.lifespan = config.lifespan_class(config)
    server.lifespan.state[LIFESPAN_KEY] = LifespanState(leave=lambda: None, allowed_origins=frozenset({PAGE}))
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        await server.startup(sockets=[listener])
        try:
            yield RawServer(listener.getsockname()[1], server.server_state.connections)
        finally:
            server.force_exit = True
            for connection in list(server.server_state.connections):
                connection.transport.abort()
            await server.shutdown()


async def exchange_bytes(port: int, *parts: bytes) -> bytes:
    """What comes back for these bytes, each sent once the one before has arrived, until the server ends it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(SECONDS):
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)
            return await reader.read()
    finally:
        writer.close()


def list_statuses(reply: bytes) -> list[int]:
    """The statuses of the responses that these bytes hold."""
    return [int(status) for status in STATUS.findall(reply)]
