"""Hold the rows of a read in memory, and spill them into a temporary table where there are too many."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from json import dumps

import orjson

from onedoor.spi.capabilities import ValueType
from onedoor.spi.connector import SpillTable
from onedoor.spi.predicates import Row

OpenSpillTable = Callable[[Mapping[str, ValueType]], SpillTable]
"""Opens a temporary table with these columns."""

MeasureRows = Callable[[Sequence[Row]], int]

SPILL_BATCH_ROWS = 10_000
"""Rows that are worth a trip to the spill database; sources may give them one by one."""


class SpillBuffer:
    """Share the rows of one read among its calls; `async with` closes its table whatever happens.

    Once the calls hold more than `max_rows` together, those and all later ones go into the table, in batches.
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
        column_types: Mapping[str, ValueType],
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
        """The size of what was spilled, by `measure_rows`."""

    async def __aenter__(self) -> "SpillBuffer":
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.table is not None:
            await self.table.close()

    @property
    def is_full(self) -> bool:
        """Whether the rows in memory are to be spilled."""
        return self.held > (self.max_rows if self.table is None else min(self.max_rows, SPILL_BATCH_ROWS))

    async def flush(self, rows: list[Row]) -> None:
        """Spill what calls still hold, where a table has been opened; call it when no call is under way."""
        if self.table is not None:
            await self.spill(rows)
            self.held = 0

    async def spill(self, rows: list[Row]) -> None:
        """Move all of the rows into the table. Raises ConnectorError."""
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
    """Take the rows of one call."""

    __slots__ = ("_buffer", "_held", "spilled")

    def __init__(self, buffer: SpillBuffer) -> None:
        self._buffer = buffer
        self._held = 0
        self.spilled = 0
        """Once it is not 0, the call cannot be repeated: the same rows would be there twice."""

    async def offer(self, rows: list[Row]) -> None:
        """Spill the rows that the call has given so far, and empty the list, if it is time. Raises ConnectorError."""
        buffer = self._buffer
        buffer.held += len(rows) - self._held
        self._held = len(rows)
        if buffer.is_full:
            self.spilled += len(rows)
            await buffer.spill(rows)
            buffer.held -= self._held
            self._held = 0


@asynccontextmanager
async def closing_batches(batches: AsyncIterator[Sequence[Row]]) -> AsyncIterator[AsyncIterator[Sequence[Row]]]:
    """Close the generator of batches as soon as its consumer stops, also halfway."""
    try:
        yield batches
    finally:
        if isinstance(batches, AsyncGenerator):
            await batches.aclose()


def measure_json_bytes(rows: Sequence[Row]) -> int:
    """Return the size of rows as JSON."""
    try:
        return len(orjson.dumps(rows, default=str))
    except orjson.JSONEncodeError:  # integers past 64 bits, text that is not Unicode
        return len(dumps(rows, default=str, separators=(",", ":")))
