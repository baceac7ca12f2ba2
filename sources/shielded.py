"""Work that is not left half done: who waits for it may be cancelled, and is let go when it has ended."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class Shielded:
    """What is under way of one source."""

    def __init__(self) -> None:
        self.under_way: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """`work` ends of its own, soon."""
        task = asyncio.ensure_future(work)
        self.under_way.add(task)
        task.add_done_callback(self._done)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            raise

    def _done(self, task: asyncio.Task[Any]) -> None:
        self.under_way.discard(task)
        if not task.cancelled():
            task.exception()  # somebody who left does not look at it

    async def close(self) -> None:
        await asyncio.gather(*self.under_way, return_exceptions=True)
