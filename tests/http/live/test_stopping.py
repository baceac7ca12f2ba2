"""A door that is told to stop says so to those who listen, and does not wait for them."""

import asyncio
import time

from tests.http.live.conftest import CHANGED, Door, until

WITHIN = 3.0
"""Not the 30 s that answers under way are waited for."""


async def test_sockets_are_closed_with_1001_and_streams_completed(door: Door) -> None:
    key = door.key("sales").text
    talk, stream = await door.socket(key), await door.stream(key, CHANGED)
    await talk.subscribe("1", CHANGED)
    await until(lambda: len(door.records()) == 2)
    began = time.monotonic()
    stopping = asyncio.create_task(door.server.shutdown())
    assert await talk.closed() == (1001, "the server is stopping, connect again")
    assert [await stream.heard() for _ in range(2)] == [("complete", None), ("end", None)]
    await stopping
    assert time.monotonic() - began < WITHIN
    assert sorted(door.outcomes()) == ["answered", "answered", "cancelled", "cancelled"]
