"""A statement goes in, its rows come out: a connection for each that runs, opened anew when the server forgot it."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from snowflake.connector import Error, ProgrammingError, SnowflakeConnection
from snowflake.connector import connect as open_connection
from snowflake.connector.cursor import SnowflakeCursor

from engine.words import Row
from sources.snowflake import adapter
from sources.snowflake.failures import failed
from sources.snowflake.options import Options, settings
from sources.snowflake.sql import Sql
from sources.threads import in_thread, shut, threads

GONE = frozenset({290401, 390104, 390111, 390112, 390114})
"""Errors of a session that the server does not know, as after its restart."""


@dataclass(slots=True)
class Running:
    """A statement under way, so that whoever gives up on it can have the server stop it."""

    sql: Sql
    cursor: SnowflakeCursor | None = None
    abandoned: bool = False

    def rows(self, connection: SnowflakeConnection) -> list[Row]:
        self.cursor = connection.cursor()
        if self.abandoned:
            return []
        self.cursor.execute(self.sql.text, self.sql.binds)
        rows: list[Row] = self.cursor.fetchall()
        return rows

    def abort(self) -> None:
        """Names the statement by its request: a later one of the same connection is never hit."""
        cursor = self.cursor
        if cursor is not None and cursor._request_id is not None:
            cursor.connection._cancel_query(self.sql.text, cursor._request_id)


class Sessions:
    """The connections of one source. What need not be waited for, aborts and closings, is done by a thread aside."""

    def __init__(self, options: Options) -> None:
        adapter.installed()
        self.options = options
        self.idle: deque[SnowflakeConnection] = deque()
        self.calls = threads(options.connections, "snowflake")
        self.aside = threads(1, "snowflake-aside")

    async def run(self, sql: Sql) -> list[Row]:
        """All rows of the statement; raises SourceFailed. Given up on, by timeout or cancelling, it is aborted."""
        running = Running(sql)
        try:
            async with asyncio.timeout(self.options.timeout):
                return await in_thread(self.calls, partial(self.answer, running))
        except asyncio.CancelledError:
            self.abandon(running)
            raise
        except Exception as error:
            self.abandon(running)
            raise failed(error, self.options.timeout) from error

    def abandon(self, running: Running) -> None:
        running.abandoned = True
        self.aside.submit(running.abort)

    def answer(self, running: Running) -> list[Row]:
        """Runs in a thread of `calls`, as do the methods it calls."""
        kept = self.taken()
        try:
            return self.attempt(running, kept or self.opened())
        except Error as error:
            if kept is None or error.errno not in GONE:
                raise
        while (stale := self.taken()) is not None:
            self.aside.submit(stale.close, False)
        return self.attempt(running, self.opened())

    def attempt(self, running: Running, connection: SnowflakeConnection) -> list[Row]:
        """A connection is used again after rows or a refused statement, and closed after anything else."""
        keep = False
        try:
            rows = running.rows(connection)
            keep = not running.abandoned
            return rows
        except ProgrammingError as error:
            keep = error.errno not in GONE and not running.abandoned
            raise
        finally:
            if keep:
                self.idle.append(connection)
            else:
                self.aside.submit(connection.close, False)

    def taken(self) -> SnowflakeConnection | None:
        with suppress(IndexError):
            return self.idle.pop()
        return None

    def opened(self) -> SnowflakeConnection:
        connection = open_connection(**settings(self.options))
        # The connector's own timer sends aborts too; one that fails would end as a traceback of a thread.
        connection._cancel_query = partial(quietly, connection._cancel_query)
        return connection

    async def close(self) -> None:
        shut(self.calls)
        while (connection := self.taken()) is not None:
            await in_thread(self.aside, partial(connection.close, False))
        shut(self.aside)


def quietly(act: Callable[..., Any], *arguments: Any) -> None:
    with suppress(Exception):
        act(*arguments)
