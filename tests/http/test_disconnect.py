"""Handle a client that disconnects as its work ends."""

import asyncio
from typing import Any

from onedoor.http.requests import until_interrupted


async def test_a_client_that_leaves_as_the_work_ends_stops_nothing_after_it() -> None:
    looked, left = asyncio.Event(), asyncio.Event()

    async def receive() -> dict[str, Any]:
        looked.set()
        await left.wait()
        return {"type": "http.disconnect"}

    async def work() -> int:
        await looked.wait()
        left.set()
        await asyncio.sleep(0)
        return 7

    assert await until_interrupted(work(), receive) == 7
    for _ in range(3):
        await asyncio.sleep(0)
