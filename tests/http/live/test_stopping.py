"""A server that stops tells its subscribers, and does not wait for them."""

import asyncio
import time

from tests.http.live.conftest import CHANGED, RunningServer, wait_until

WITHIN = 15.0
"""Not the 30 s that answers under way are waited for."""


async def test_sockets_are_closed_with_1001_and_streams_end_without_being_complete(server: RunningServer) -> None:
    key = server.key("sales").text
    websocket, stream = await server.socket(key), await server.stream(key, CHANGED)
    await websocket.subscribe("1", CHANGED)
    await wait_until(lambda: len(server.records()) == 2)
    began = time.monotonic()
    stopping = asyncio.create_task(server.uvicorn_server.shutdown())
    assert await websocket.wait_closed() == (1001, "the server is stopping, connect again")
    assert await stream.receive() == ("end", None)
    await stopping
    assert time.monotonic() - began < WITHIN
    assert sorted(server.outcomes()) == ["answered", "answered", "cancelled", "cancelled"]
