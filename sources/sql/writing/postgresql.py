"""A PostgreSQL database's transactions: over connections that may write, each kept when its transaction has ended."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
from sqlalchemy import String, bindparam, cast
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.types import UserDefinedType

from engine.change.words import Change, Made
from engine.errors import SourceFailed
from sources.sql.columns import Stored
from sources.sql.compiled import Statements
from sources.sql.dialects.postgresql import COMPILER, DIALECT
from sources.sql.shape import Slot
from sources.sql.statement import Expression
from sources.sql.writing.statements import MARKERS
from sources.sql.writing.targets import facts, targets
from sources.sql.writing.words import MARKER, Facts, Objected, Objection, Session, Sort, Told, Ways
from sources.sql.writing.writer import LOCK_SECONDS, SECONDS, Writer

CONNECTIONS = 4
"""Transactions at once."""
SETTINGS = {
    "lock_timeout": f"{LOCK_SECONDS:g}s",
    "statement_timeout": f"{SECONDS:g}s",
    "idle_in_transaction_session_timeout": f"{SECONDS:g}s",
}
"""So that no transaction holds what others wait for, whatever became of the door."""
NAME = "CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || c.relname"
COLUMNS_SQL = f"""
    SELECT {NAME}, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attidentity = 'a' OR a.attgenerated <> '',
        coalesce(array_position(k.conkey, a.attnum), 0)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p'
    WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND n.nspname <> 'information_schema'
        AND n.nspname NOT LIKE 'pg\\_%'
"""
REFERENCES_SQL = f"""
    SELECT k.conname::text, {NAME}, a.attname::text, {NAME.replace("n.", "tn.").replace("c.relname", "tc.relname")},
        ta.attname::text
    FROM pg_constraint k CROSS JOIN LATERAL unnest(k.conkey, k.confkey) WITH ORDINALITY AS u(here, there, place)
    JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_class tc ON tc.oid = k.confrelid JOIN pg_namespace tn ON tn.oid = tc.relnamespace
    JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.here
    JOIN pg_attribute ta ON ta.attrelid = k.confrelid AND ta.attnum = u.there
    WHERE k.contype = 'f' ORDER BY k.oid, u.place
"""
UNIQUE_SQL = f"""
    SELECT {NAME}, i.relname::text, a.attname::text
    FROM pg_index x CROSS JOIN LATERAL unnest(x.indkey::smallint[]) WITH ORDINALITY AS u(number, place)
    JOIN pg_class i ON i.oid = x.indexrelid
    JOIN pg_class c ON c.oid = x.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = u.number
    WHERE x.indisunique AND n.nspname NOT LIKE 'pg\\_%' ORDER BY x.indexrelid, u.place
"""
CHECKS_SQL = f"""
    SELECT {NAME}, k.conname::text, a.attname::text
    FROM pg_constraint k CROSS JOIN LATERAL unnest(k.conkey) AS u(number)
    JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number
    WHERE k.contype = 'c' ORDER BY k.oid, u.number
"""
THERE_SQL = f"SELECT to_regclass('{MARKER}') IS NOT NULL"
MARKER_SQL = (
    f"CREATE TABLE IF NOT EXISTS {MARKER} "
    "(id text PRIMARY KEY, outcome text, made_at timestamptz NOT NULL DEFAULT now())"
)
STATES: Mapping[str, Sort] = {
    "23505": Sort.UNIQUE,
    "23P01": Sort.UNIQUE,
    "23503": Sort.REFERENCE,
    "23001": Sort.REFERENCE,
    "23502": Sort.EMPTY,
    "23514": Sort.CHECK,
    "42501": Sort.DENIED,
    "25006": Sort.DENIED,
    **dict.fromkeys(("40001", "40P01", "55P03", "57014"), Sort.BUSY),
}
CLASSES: Mapping[str, Sort] = {"22": Sort.UNFIT, "08": Sort.LOST, "25": Sort.LOST, "57": Sort.LOST, "28": Sort.LOST}
NOT_CAST = frozenset({"character", "name", "bpchar"})
"""Text types that cut what is too long when they are cast to."""
FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
Opened = Callable[[Mapping[str, str]], Awaitable[Any]]


async def writer(
    opened: Opened, writable: Sequence[str], versions: Mapping[str, Any], statements: Statements
) -> Writer:
    """Makes the marker table if it is missing. Raises SourceFailed and Mistake."""
    sessions = Sessions(opened)
    try:
        connection = await sessions.taken()
        try:
            await _marked(connection)
            asked = (COLUMNS_SQL, REFERENCES_SQL, UNIQUE_SQL, CHECKS_SQL)
            columns, references, unique, checks = [await connection.fetch(each) for each in asked]
        finally:
            await connection.close(timeout=LOCK_SECONDS)
    except FAILURES as error:
        raise _unwritable(error) from None
    sessions.facts = facts(columns, references, (*unique, *checks))
    chosen = targets(writable, versions, statements.tables, sessions.facts)
    ways = Ways(
        session=sessions.session,
        locked=" FOR UPDATE",
        claim=insert(MARKERS).values(id=bindparam("v0")).on_conflict_do_nothing().returning(MARKERS.c.id),
        returning=True,
        given=given,
        checked=checked,
        close=sessions.close,
    )
    return Writer(chosen, ways, statements, COMPILER)


async def _marked(connection: Any) -> None:
    """Several doors may begin at once."""
    if not await connection.fetchval(THERE_SQL):
        try:
            await connection.execute(MARKER_SQL)
        except (asyncpg.UniqueViolationError, asyncpg.DuplicateTableError):
            return


def _unwritable(error: Exception) -> SourceFailed:
    if objection(error, None).sort is Sort.DENIED:
        return SourceFailed(f"the database does not let its user make the table `{MARKER}`, which `writable` needs")
    return SourceFailed("the database does not answer", again=True)


class Declared(UserDefinedType[Any]):
    """A type by the name that the database itself gives it."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        return self.name


def given(slot: Slot, stored: Stored, declared: str) -> Expression:
    """What is read as text is written as text."""
    if not stored.as_text or declared.partition("(")[0] in NOT_CAST:
        return DIALECT.bound(slot, stored)
    return cast(cast(bindparam(slot.name, type_=String()), String()), Declared(declared))


async def checked(session: Session, *_: Sequence[Change] | Sequence[Made]) -> None:
    await session.run("SET CONSTRAINTS ALL IMMEDIATE", ())


class Sessions:
    """Connections that may write."""

    def __init__(self, opened: Opened) -> None:
        self.opened = opened
        self.facts: Facts | None = None
        self.slots = asyncio.Semaphore(CONNECTIONS)
        self.idle: list[Any] = []

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        async with self.slots:
            connection = await self._begun()
            try:
                yield Transaction(connection, self.facts)
            finally:
                await self._end(connection)

    async def taken(self) -> Any:
        return await self.opened(SETTINGS)

    async def _begun(self) -> Any:
        while self.idle:
            with suppress(*FAILURES):
                return await _begin(self.idle.pop())
        try:
            return await _begin(await self.taken())
        except FAILURES as error:
            raise Objected(objection(error, None)) from None

    async def _end(self, connection: Any) -> None:
        """Undoes what was not committed; where that fails, the server does it for a connection that is gone."""
        try:
            if connection.is_in_transaction():
                await connection.execute("ROLLBACK", timeout=LOCK_SECONDS)
            if connection.is_closed():
                return
        except FAILURES:
            connection.terminate()
        except BaseException:
            connection.terminate()
            raise
        else:
            self.idle.append(connection)

    async def close(self) -> None:
        while self.idle:
            self.idle.pop().terminate()


async def _begin(connection: Any) -> Any:
    try:
        await connection.execute("BEGIN")
    except BaseException:
        connection.terminate()
        raise
    return connection


class Transaction:
    """One that is under way."""

    def __init__(self, connection: Any, facts: Facts | None) -> None:
        self.connection = connection
        self.facts = facts

    async def run(self, sql: str, values: Sequence[Any]) -> Told:
        try:
            rows = await self.connection.fetch(sql, *values)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
            raise Objected(objection(error, self.facts)) from None
        return Told(rows=rows, changed=len(rows))

    async def commit(self) -> None:
        await self.run("COMMIT", ())


def objection(error: Exception, facts: Facts | None) -> Objection:
    if isinstance(error, ValueError):
        return Objection(sort=Sort.UNFIT)
    if not isinstance(error, asyncpg.PostgresError):
        return Objection(sort=Sort.LOST)
    state = error.sqlstate or ""
    sort = STATES.get(state) or CLASSES.get(state[:2], Sort.OTHER)
    if sort is Sort.EMPTY:
        return Objection(sort=sort, columns=(error.column_name,) if error.column_name else ())
    schema, table, name = error.schema_name, error.table_name, error.constraint_name
    if facts is None or name is None:
        return Objection(sort=sort)
    place = table if schema in (None, "public") else f"{schema}.{table}"
    reference = next((each for each in facts.references if (each.table, each.name) == (place, name)), None)
    return Objection(sort=sort, columns=facts.unique.get((str(place), name), ()), reference=reference)
