"""One counted source, read through a cache on a clock that only the tests move."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from engine import guard
from engine.cache.key import scope
from engine.cache.memory import Memory
from engine.cache.through import Cache, Reader
from engine.cache.words import Store
from engine.errors import SourceFailed
from engine.house import Limits
from engine.words import Ask, Can, Row

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
ASK = Ask(collection="orders", columns=("id", "total"))
SECRET = b"a secret of the tests"
FINANCE = scope({frozenset({"finance"}), frozenset({"everyone"})}, "v1")
SALES = scope({frozenset({"sales"}), frozenset({"everyone"})}, "v1")


class Clock:
    """Both clocks, of the wall and of the process."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)


class Counted:
    """Rows that tell the number of the call; `act` runs before they are given."""

    def __init__(self, act: Callable[[int], Awaitable[None]] | None = None) -> None:
        self.act = act
        self.calls = 0
        self.cancelled = 0

    def can(self, collection: str) -> Can:
        raise KeyError(collection)

    async def read(self, ask: Ask) -> AsyncIterator[Sequence[Row]]:
        self.calls += 1
        number = self.calls
        try:
            if self.act is not None:
                await self.act(number)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        yield [(number, None)]

    async def ping(self) -> None: ...

    async def close(self) -> None: ...


def reader(source: Counted, clock: Clock, store: Store | None = None, **more: Any) -> Reader:
    """Of a caller in finance; orders may be 30 seconds old."""
    kept = store or Memory(entries=100, size=1_000_000, clock=clock)
    cache = Cache(store=kept, fresh={"internal": {"orders": 30.0}}, secret=SECRET, now=clock.now)
    guarded = guard.guard("internal", source, Limits(**more), clock)
    return Reader(guard=guarded, scope=FINANCE, cache=cache)


async def failed(number: int) -> None:
    raise SourceFailed(f"down {number}")
