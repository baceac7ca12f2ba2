"""One connection to the scratch database: calls go into threads, and are interrupted when nobody waits for them."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from engine.house import Limits
from engine.words import Row
from sources.scratch import database
from sources.scratch.values import Field, declared, encoded

Result = TypeVar("Result")
CHUNK = 2000
"""Rows handed over at once: what else there is to do in this process waits a few milliseconds for them."""
APPENDED = 20_000
"""Rows to a call that appends: it cannot be interrupted, and begins and ends at a cost."""
AGAIN_SECONDS = 0.02


class Session:
    """Its temporary tables end with it."""

    def __init__(self, connection: database.Connection, pool: ThreadPoolExecutor, limits: Limits) -> None:
        self.connection = connection
        self.pool = pool
        self.limits = limits

    async def run(self, call: Callable[[], Result]) -> Result:
        """Raises SourceFailed. A cancelled call has ended, or never began, when this ends."""
        running = self.pool.submit(call)
        try:
            return await asyncio.shield(asyncio.wrap_future(running))
        except asyncio.CancelledError:
            if not running.cancel():
                await self._stopped(running)
            raise
        except (database.Error, ArithmeticError, ValueError) as error:
            raise database.failure(error, self.limits) from None

    async def _stopped(self, running: Future[Any]) -> None:
        """An interrupt is lost on a statement that has not begun, so there may be several."""
        while not running.done():
            self.connection.interrupt()
            await asyncio.sleep(AGAIN_SECONDS)

    async def execute(self, sql: str, binds: Sequence[Any] = ()) -> None:
        """What it gives is fetched later."""
        await self.run(partial(self.connection.execute, sql, list(binds)))

    async def fetched(self, count: int = CHUNK) -> list[Row]:
        """The next rows of what was executed; of no more, none."""
        return await self.run(partial(self.connection.fetchmany, count))

    async def fill(self, table: str, rows: Sequence[Row], fields: Sequence[Field]) -> None:
        for start in range(0, len(rows), APPENDED):
            await self.run(partial(self._append, table, rows[start : start + APPENDED], fields))

    def _append(self, table: str, rows: Sequence[Row], fields: Sequence[Field]) -> None:
        appender = self.connection.appender(table)
        try:
            for start in range(0, len(rows), CHUNK):
                appender.append_rows(encoded(rows[start : start + CHUNK], fields))
            appender.flush()
        finally:
            appender.clear()

    async def create(self, table: str, fields: Sequence[Field]) -> None:
        await self.execute(f"CREATE TEMP TABLE {table} ({declared(fields)})")

    def close(self) -> None:
        self.connection.close()
