"""A connection of the source's sessions in, one transaction over it out; it is undone unless it was committed."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from snowflake.connector import Error, ProgrammingError, SnowflakeConnection

from engine.change.words import Unmade
from engine.errors import Code, SourceFailed
from engine.words import Row
from sources.snowflake.adapter import Unwell
from sources.snowflake.failures import failed
from sources.snowflake.sessions import GONE, Running, Sessions
from sources.snowflake.sql import Sql
from sources.threads import in_thread

WAITED = frozenset({604, 625})
"""Errors of a statement that waited too long for what another transaction holds, or among too many."""
CONFLICT = 500
"""The status by which a warehouse that never waits says that another transaction was first."""
UNFIT = frozenset({100035, 100038, 100039, 100040, 100046, 100067, 100078, 100132})
"""Errors of values that a column cannot hold."""
EMPTY = 100072
DENIED = 3001


class Busy(Exception):
    """Others hold what the transaction needs."""


class Lost(Exception):
    """The statement failed as `failure` says; what was not committed is undone."""

    def __init__(self, failure: SourceFailed) -> None:
        self.failure = failure


class Transaction:
    """One connection and what is under way on it. Its methods raise Busy, Lost and Unmade."""

    def __init__(self, sessions: Sessions, connection: SnowflakeConnection) -> None:
        self.sessions = sessions
        self.connection = connection
        self.open = False
        self.whole = True

    async def begin(self) -> None:
        await self.run(Sql("BEGIN"))
        self.open = True

    async def commit(self) -> None:
        try:
            await self.run(Sql("COMMIT"))
        except (Busy, Unmade) as reason:
            raise Lost(SourceFailed("snowflake could not say whether it was made")) from reason
        self.open = False

    async def undo(self) -> None:
        if self.open and self.whole:
            await self.run(Sql("ROLLBACK"))
        self.open = False

    async def run(self, sql: Sql) -> list[Row]:
        running = Running(sql)
        timeout = self.sessions.options.timeout
        try:
            async with asyncio.timeout(timeout):
                return await in_thread(self.sessions.calls, partial(running.rows, self.connection))
        except Exception as error:
            self.whole = self.whole and isinstance(error, (ProgrammingError, Unwell))
            if not self.whole:
                self.sessions.abandon(running)
            raise told(error, timeout) from None
        except BaseException:
            self.whole = False
            self.sessions.abandon(running)
            raise


def told(error: Exception, timeout: float) -> Exception:
    match error:
        case Unwell(errno=number) if number == CONFLICT:
            return Busy()
        case Error(errno=number) if number in WAITED:
            return Busy()
        case Error(errno=number) if number in UNFIT:
            return Unmade("a column cannot hold the value given")
        case Error(errno=number) if number == EMPTY:
            return Unmade("a column must have a value")
        case Error(errno=number) if number == DENIED:
            said = "snowflake does not let its user change the table: grant it, or take it out of `writable`"
            return Unmade(said, Code.CANNOT_ANSWER)
    return Lost(failed(error, timeout))


@asynccontextmanager
async def begun(sessions: Sessions, begin: Callable[[Transaction], Awaitable[None]]) -> AsyncIterator[Transaction]:
    """`begin` begins it; over a new connection where the server forgot the one that was kept."""
    transaction = await _begun(sessions, begin)
    try:
        yield transaction
    finally:
        await _ended(transaction)


async def _begun(sessions: Sessions, begin: Callable[[Transaction], Awaitable[None]]) -> Transaction:
    while (kept := sessions.taken()) is not None:
        if await _answers(sessions, kept):
            return await _tried(Transaction(sessions, kept), begin)
        sessions.aside.submit(kept.close, False)
    try:
        async with asyncio.timeout(sessions.options.timeout):
            opened = await in_thread(sessions.calls, sessions.opened)
    except Exception as error:
        raise Lost(failed(error, sessions.options.timeout)) from None
    return await _tried(Transaction(sessions, opened), begin)


async def _answers(sessions: Sessions, kept: SnowflakeConnection) -> bool:
    try:
        await in_thread(sessions.calls, partial(Running(Sql("SELECT 1")).rows, kept))
    except Error as error:
        return isinstance(error, ProgrammingError) and error.errno not in GONE
    return True


async def _tried(transaction: Transaction, begin: Callable[[Transaction], Awaitable[Any]]) -> Transaction:
    try:
        await begin(transaction)
    except BaseException:
        await _ended(transaction)
        raise
    return transaction


async def _ended(transaction: Transaction) -> None:
    try:
        await transaction.undo()
    except (Busy, Lost, Unmade):
        transaction.whole = False
    sessions, connection = transaction.sessions, transaction.connection
    if transaction.whole:
        sessions.idle.append(connection)
    else:
        sessions.aside.submit(connection.close, False)
