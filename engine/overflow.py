"""Rows of one read in as they come: held while they are few, poured into a scratch table once they are many."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from engine.source import Scratch
from engine.words import Kind, Row

Opened = Callable[[Mapping[str, Kind]], Scratch]
"""Opens a scratch table with these columns."""
Weigh = Callable[[Sequence[Row]], int]
POURED = 10_000
"""Rows that are worth a trip to the scratch database; sources may give them one by one."""


class Overflow:
    """What all calls of one read share; `async with` it, and its table is closed whatever happens.

    Past `most` rows that they hold together, all go into the table, and all that come later, some at a time.
    """

    __slots__ = ("_opened", "_pouring", "bytes", "held", "kinds", "most", "poured", "table", "weigh")

    def __init__(self, opened: Opened, kinds: Mapping[str, Kind], most: int, weigh: Weigh | None = None) -> None:
        self._opened = opened
        self._pouring = asyncio.Lock()
        self.kinds = kinds
        self.most = most
        self.held = 0
        self.table: Scratch | None = None
        self.poured = 0
        self.weigh = weigh
        self.bytes = 0
        """What was poured, as `weigh` has it: for who wants to know."""

    async def __aenter__(self) -> "Overflow":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.table is not None:
            await self.table.close()

    @property
    def full(self) -> bool:
        """Whether the rows held have to go."""
        return self.held > (self.most if self.table is None else min(self.most, POURED))

    async def end(self, rows: list[Row]) -> None:
        """Those that calls still hold, once none is under way: into the table, too, where there is one."""
        if self.table is not None:
            await self.pour(rows)
            self.held = 0

    async def pour(self, rows: list[Row]) -> None:
        """All of them, which are then no longer held; raises SourceFailed."""
        if not rows:
            return
        async with self._pouring:
            if self.table is None:
                self.table = self._opened(self.kinds)
            await self.table.pour(rows)
        self.poured += len(rows)
        if self.weigh is not None:
            self.bytes += self.weigh(rows)
        rows.clear()


class Inflow:
    """One call's part of it."""

    __slots__ = ("_held", "_into", "poured")

    def __init__(self, into: Overflow) -> None:
        self._into = into
        self._held = 0
        self.poured = 0
        """Once it is not 0 the call cannot be made again: the same rows would be there twice."""

    async def take(self, rows: list[Row]) -> None:
        """All rows that the call gave and that are still held; none are once they are poured. Raises SourceFailed."""
        into = self._into
        into.held += len(rows) - self._held
        self._held = len(rows)
        if into.full:
            self.poured += len(rows)
            await into.pour(rows)
            into.held -= self._held
            self._held = 0


@asynccontextmanager
async def closing(batches: AsyncIterator[Sequence[Row]]) -> AsyncIterator[AsyncIterator[Sequence[Row]]]:
    """Whoever gives the batches is told at once where what takes them stops halfway."""
    try:
        yield batches
    finally:
        if isinstance(batches, AsyncGenerator):
            await batches.aclose()
