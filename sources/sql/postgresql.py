"""A PostgreSQL database over asyncpg: connections are kept, statements prepared; a cancelled request stops its own."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import asyncpg

from engine.change.words import Change, Made, Writes
from engine.errors import Code, SourceFailed
from engine.words import Ask, Can, Row
from sources.sql.columns import Facts, Stock, Stored, stock
from sources.sql.compiled import Statements, unreadable
from sources.sql.dialects.postgresql import COMPILER, DIALECT, stored
from sources.sql.writing import postgresql as written
from sources.sql.writing.words import MARKER
from sources.sql.writing.writer import Writer
from sources.unchanging import Unchanging

KEYS = 10_000
PREPARED = 1000
"""Statements that a connection keeps prepared."""
COLUMNS_SQL = f"""
    SELECT table_schema, table_name, column_name, data_type, is_nullable = 'YES'
    FROM information_schema.columns
    WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_schema NOT LIKE 'pg\\_%'
        AND table_name <> '{MARKER}'
    ORDER BY table_schema, table_name, ordinal_position
"""
FACTS_SQL = """
    SELECT n.nspname::text, c.relname::text, CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint END,
        ARRAY(SELECT a.attname::text FROM pg_index i
              JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
              WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm', 'p', 'f') AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
"""
HOME = "public"
TROUBLED = frozenset({"08", "25", "53", "57", "58", "XX"})
"""Classes of SQLSTATE that tell of the server's state, not of the statement."""
GONE = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
DENIALS: Mapping[type[Exception], str] = {
    asyncpg.InvalidAuthorizationSpecificationError: "the database refused the login",
    asyncpg.InvalidCatalogNameError: "there is no database of this name",
    ValueError: "`url` is none: `/` in a password is written `%2F`",
}
"""Errors of a login, which is tried first at the start."""
DENIED = tuple(DENIALS)
LEAVE_SECONDS = 2.0
"""How long a connection may take to stop its statement and say goodbye."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`url` as libpq reads it, and how many statements may run at once.

    `writable`: the tables that may be changed. `versions`: by table, the column that counts its changes.
    """

    url: str
    connections: int = 8
    connect_seconds: float = 2.0
    writable: tuple[str, ...] = ()
    versions: Mapping[str, Any] = field(default_factory=dict)


class Postgresql:
    """The tables and views of one database; those outside `public` are named with their schema."""

    def __init__(self, options: Options, tables: Mapping[str, Stock]) -> None:
        self.options = options
        self.tables = tables
        self.statements = Statements(tables, DIALECT, COMPILER)
        self.slots = asyncio.Semaphore(options.connections)
        self.idle: list[Any] = []
        self.leaving: set[asyncio.Task[None]] = set()
        self.writer: Writer | Unchanging = Unchanging()

    def can(self, collection: str) -> Can:
        return self.tables[collection].can

    def text(self, ask: Ask) -> str:
        return self.statements.of(ask)[0].text

    async def read(self, ask: Ask) -> AsyncIterator[Sequence[Row]]:
        made, values = self.statements.of(ask)
        yield made.rows(await self.run(made.text, values))

    def writes(self, collection: str) -> Writes | None:
        return self.writer.writes(collection)

    async def write(self, changes: Sequence[Change], *, dry: bool = False) -> Sequence[Made]:
        return await self.writer.write(changes, dry=dry)

    async def made(self, change: Change) -> Made | None:
        return await self.writer.made(change)

    async def run(self, sql: str, values: Sequence[Any]) -> Sequence[Any]:
        """The rows of one statement. Raises SourceFailed; a cancelled caller stops it on the server."""
        async with self.slots:
            try:
                return await self._answered(sql, values)
            except asyncpg.DataError:
                raise unreadable() from None
            except GONE:
                raise SourceFailed("the database does not answer", again=True) from None
            except asyncpg.PostgresError as error:
                raise failure(error) from None
            except (ValueError, ArithmeticError):
                raise unreadable() from None

    async def _answered(self, sql: str, values: Sequence[Any]) -> Sequence[Any]:
        """Over a kept connection, if one lives, or else over a new one."""
        while self.idle:
            with suppress(*GONE):
                return await self._over(self.idle.pop(), sql, values)
        return await self._over(await opened(self.options), sql, values)

    async def _over(self, connection: Any, sql: str, values: Sequence[Any]) -> Sequence[Any]:
        """A connection goes back only when its statement has ended."""
        try:
            rows: Sequence[Any] = await connection.fetch(sql, *values)
        except GONE:
            connection.terminate()
            raise
        except asyncpg.PostgresError:
            self.idle.append(connection)
            raise
        except BaseException:
            self._leave(connection)
            raise
        self.idle.append(connection)
        return rows

    def _leave(self, connection: Any) -> None:
        """Has the server stop what runs there, and closes it; nobody waits for that."""
        task = asyncio.ensure_future(left(connection))
        self.leaving.add(task)
        task.add_done_callback(self.leaving.discard)

    async def ping(self) -> None:
        await self.run("SELECT 1", ())

    async def close(self) -> None:
        await self.writer.close()
        while self.idle:
            self._leave(self.idle.pop())
        await asyncio.gather(*self.leaving)


async def left(connection: Any) -> None:
    with suppress(*GONE):
        await connection.close(timeout=LEAVE_SECONDS)


def failure(error: asyncpg.PostgresError) -> SourceFailed:
    """Of the database where it lacks means or is being stopped; of the question where it cannot be asked so."""
    if (error.sqlstate or "")[:2] in TROUBLED:
        return SourceFailed("the database could not answer")
    return SourceFailed("the database cannot answer this question", Code.CANNOT_ANSWER)


async def connect(options: Options) -> Postgresql:
    """Raises SourceFailed when the database does not answer, or lets nobody in."""
    try:
        connection = await opened(options)
    except DENIED as error:
        raise SourceFailed(next(told for kind, told in DENIALS.items() if isinstance(error, kind))) from None
    except (*GONE, asyncpg.PostgresError):
        raise SourceFailed("the database does not answer") from None
    try:
        columns, facts = await connection.fetch(COLUMNS_SQL), await connection.fetch(FACTS_SQL)
    finally:
        await connection.close()
    source = Postgresql(options, reflected(columns, facts))
    if options.writable:
        made = partial(opened, options)
        source.writer = await written.writer(made, options.writable, options.versions, source.statements)
    return source


READING = {"default_transaction_read_only": "on"}


async def opened(options: Options, settings: Mapping[str, str] = READING) -> Any:
    """In UTC; read only, unless `settings` say something else of the session."""
    return await asyncpg.connect(
        options.url,
        timeout=options.connect_seconds,
        statement_cache_size=PREPARED,
        max_cached_statement_lifetime=0,
        server_settings={**settings, "timezone": "UTC", "application_name": "onedoor"},
    )


def reflected(columns: Sequence[Sequence[Any]], facts: Sequence[Sequence[Any]]) -> dict[str, Stock]:
    found: dict[tuple[str, str], dict[str, Stored]] = {}
    for schema, table, name, declared, nullable in columns:
        column = stored(name, declared, nullable=nullable)
        if column is not None:
            found.setdefault((schema, table), {})[name] = column
    known = {(schema, table): Facts(rows=rows, indexed=frozenset(first)) for schema, table, rows, first in facts}
    return {
        table if schema == HOME else f"{schema}.{table}": stock(
            schema, table, columns, keys=KEYS, folds=False, facts=known.get((schema, table), Facts())
        )
        for (schema, table), columns in found.items()
    }
