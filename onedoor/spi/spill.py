"""Rows as they arrive: memory or spill table."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from json import dumps

import orjson

from onedoor.spi.capabilities import ColumnType
from onedoor.spi.connector import SpillTable
from onedoor.spi.predicates import Row

OpenSpillTable = Callable[[Mapping[str, ColumnType]], SpillTable]
"""Opens a scratch table with these columns."""

MeasureRows = Callable[[Sequence[Row]], int]

SPILL_BATCH_ROWS = 10_000
"""Rows that are worth a trip to the scratch database; sources may give them one by one."""


class SpillBuffer:
    """What all calls of one read share; `async with` it, and its table is closed whatever happens.

    Past `most` rows that they hold together, all go into the table, and all that come later, some at a time.
    """

    __slots__ = (
        "_open_table",
        "_spill_lock",
        "bytes",
        "column_types",
        "held",
        "max_rows",
        "measure_rows",
        "spilled",
        "table",
    )

    def __init__(
        self,
        open_table: OpenSpillTable,
        column_types: Mapping[str, ColumnType],
        max_rows: int,
        measure_rows: MeasureRows | None = None,
    ) -> None:
        self._open_table = open_table
        self._spill_lock = asyncio.Lock()
        self.column_types = column_types
        self.max_rows = max_rows
        self.held = 0
        self.table: SpillTable | None = None
        self.spilled = 0
        self.measure_rows = measure_rows
        self.bytes = 0
        """What was poured, as `weigh` has it: for who wants to know."""

    async def __aenter__(self) -> "SpillBuffer":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.table is not None:
            await self.table.close()

    @property
    def is_full(self) -> bool:
        """Whether the rows held have to go."""
        return self.held > (self.max_rows if self.table is None else min(self.max_rows, SPILL_BATCH_ROWS))

    async def flush(self, rows: list[Row]) -> None:
        """Those that calls still hold, once none is under way: into the table, too, where there is one."""
        if self.table is not None:
            await self.spill(rows)
            self.held = 0

    async def spill(self, rows: list[Row]) -> None:
        """All of them, which are then no longer held; raises SourceFailed."""
        if not rows:
            return
        async with self._spill_lock:
            if self.table is None:
                self.table = self._open_table(self.column_types)
            await self.table.append_rows(rows)
        self.spilled += len(rows)
        if self.measure_rows is not None:
            self.bytes += self.measure_rows(rows)
        rows.clear()


class SpillInput:
    """One call's part of it."""

    __slots__ = ("_buffer", "_held", "spilled")

    def __init__(self, buffer: SpillBuffer) -> None:
        self._buffer = buffer
        self._held = 0
        self.spilled = 0
        """Once it is not 0 the call cannot be made again: the same rows would be there twice."""

    async def offer(self, rows: list[Row]) -> None:
        """All rows that the call gave and that are still held; none are once they are poured. Raises SourceFailed."""
        into = self._buffer
        into.held += len(rows) - self._held
        self._held = len(rows)
        if into.is_full:
            self.spilled += len(rows)
            await into.spill(rows)
            into.held -= self._held
            self._held = 0


@asynccontextmanager
async def closing_batches(batches: AsyncIterator[Sequence[Row]]) -> AsyncIterator[AsyncIterator[Sequence[Row]]]:
    """Whoever gives the batches is told at once where what takes them stops halfway."""
    try:
        yield batches
    finally:
        if isinstance(batches, AsyncGenerator):
            await batches.aclose()


def measure_json_bytes(rows: Sequence[Row]) -> int:
    """The bytes of rows as JSON."""
    try:
        return len(orjson.dumps(rows, default=str))
    except orjson.JSONEncodeError:  # whole numbers past 64 bits, text that is no Unicode
        return len(dumps(rows, default=str, separators=(",", ":")))
