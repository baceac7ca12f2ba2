"""Create spill tables in one database, so that its limits hold for the whole process.

The database is opened, and DuckDB imported, when rows are first appended; it is closed with the last table.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from importlib import import_module
from typing import Any

from onedoor.errors import ConnectorError
from onedoor.model.catalog import Limits
from onedoor.spi.capabilities import ValueType
from onedoor.spi.connector import JoinedColumns, SpillTable
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest


class SpillTableFactory:
    """Creates a SpillTable for the columns it is called with."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.open_tables = 0
        self.opening: asyncio.Future[Any] | None = None

    def __call__(self, column_types: Mapping[str, ValueType]) -> SpillTable:
        return LazySpillTable(self, column_types)

    async def acquire_database(self) -> Any:
        """Open the database, or share the open one; `release_database` must follow, even after a failure."""
        self.open_tables += 1
        if self.opening is None:
            self.opening = asyncio.ensure_future(asyncio.to_thread(_import_and_open, self.limits))
        return await asyncio.shield(self.opening)

    async def release_database(self) -> None:
        self.open_tables -= 1
        if self.open_tables or self.opening is None:
            return
        opening, self.opening = self.opening, None
        with suppress(ConnectorError):
            await asyncio.to_thread((await opening).close)


def _import_and_open(limits: Limits) -> Any:
    return import_module("onedoor.connectors.spill.duckdb").open_spill_database(limits)


class LazySpillTable:
    """A SpillTable that is created when it is first used."""

    def __init__(self, factory: SpillTableFactory, column_types: Mapping[str, ValueType]) -> None:
        self.factory = factory
        self.column_types = column_types
        self.creating: asyncio.Future[Any] | None = None

    async def append_rows(self, rows: Sequence[Row]) -> None:
        await (await self._get_or_create_table()).append_rows(rows)

    async def join(self, local_columns: Sequence[str], joined: JoinedColumns) -> None:
        await (await self._get_or_create_table()).join(local_columns, joined)

    async def scan(self, request: ScanRequest) -> AsyncGenerator[Sequence[Row], None]:
        table = await self._get_or_create_table()
        async with aclosing(table.scan(request)) as batches:
            async for batch in batches:
                yield batch

    async def close(self) -> None:
        """Close the table, even if the caller is cancelled meanwhile."""
        if self.creating is not None:
            creating, self.creating = self.creating, None
            await asyncio.shield(asyncio.ensure_future(self._close_table(creating)))

    async def _get_or_create_table(self) -> Any:
        if self.creating is None:
            self.creating = asyncio.ensure_future(self._create_table())
        return await asyncio.shield(self.creating)

    async def _create_table(self) -> Any:
        database = await self.factory.acquire_database()
        return await database.create_table(self.column_types)

    async def _close_table(self, creating: asyncio.Future[Any]) -> None:
        try:
            with suppress(ConnectorError):
                await (await creating).close()
        finally:
            await self.factory.release_database()
