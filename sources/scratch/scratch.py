"""Limits in, as many scratch tables as are wanted out, all in one database: one limit holds for a whole process.

It is opened, and DuckDB imported, when rows are first poured; it is gone with the last table.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from importlib import import_module
from typing import Any

from engine.errors import SourceFailed
from engine.house import Limits
from engine.source import Beyond, Scratch
from engine.words import Ask, Kind, Row


class Scratches:
    """Called with columns and their kinds it gives a table; `House.scratch`."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.users = 0
        self.opening: asyncio.Future[Any] | None = None

    def __call__(self, kinds: Mapping[str, Kind]) -> Scratch:
        return Lazy(self, kinds)

    async def entered(self) -> Any:
        """The database; whoever enters leaves, even if this failed or was cancelled."""
        self.users += 1
        if self.opening is None:
            self.opening = asyncio.ensure_future(asyncio.to_thread(_opened, self.limits))
        return await asyncio.shield(self.opening)

    async def left(self) -> None:
        self.users -= 1
        if self.users or self.opening is None:
            return
        opening, self.opening = self.opening, None
        with suppress(SourceFailed):
            await asyncio.to_thread((await opening).close)


def _opened(limits: Limits) -> Any:
    return import_module("sources.scratch.table").opened(limits)


class Lazy:
    """A table that is made when it is first needed."""

    def __init__(self, scratches: Scratches, kinds: Mapping[str, Kind]) -> None:
        self.scratches = scratches
        self.kinds = kinds
        self.making: asyncio.Future[Any] | None = None

    async def pour(self, rows: Sequence[Row]) -> None:
        await (await self._table()).pour(rows)

    async def join(self, here: Sequence[str], beyond: Beyond) -> None:
        await (await self._table()).join(here, beyond)

    async def read(self, ask: Ask) -> AsyncGenerator[Sequence[Row], None]:
        table = await self._table()
        async with aclosing(table.read(ask)) as batches:
            async for batch in batches:
                yield batch

    async def close(self) -> None:
        """Goes on to its end, even where who waits for it is cancelled."""
        if self.making is not None:
            making, self.making = self.making, None
            await asyncio.shield(asyncio.ensure_future(self._closed(making)))

    async def _table(self) -> Any:
        if self.making is None:
            self.making = asyncio.ensure_future(self._made())
        return await asyncio.shield(self.making)

    async def _made(self) -> Any:
        home = await self.scratches.entered()
        return await home.table(self.kinds)

    async def _closed(self, making: asyncio.Future[Any]) -> None:
        try:
            with suppress(SourceFailed):
                await (await making).close()
        finally:
            await self.scratches.left()
