"""A MySQL or MariaDB database over asyncmy: statements prepared, text compared by code point whatever the collation."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncmy
from asyncmy import errors

from engine.change.words import Change, Made, Writes
from engine.errors import SourceFailed
from engine.words import Ask, Can, Row
from sources.sql.columns import Facts, Stock, Stored, stock
from sources.sql.compiled import Statements, unreadable
from sources.sql.dialects.mysql import COMPILER, DIALECT, EXACT, exactly, stored
from sources.sql.mysql_failures import DENIALS, failure, gone
from sources.sql.writing import mysql as written
from sources.sql.writing.words import MARKER
from sources.sql.writing.writer import Writer
from sources.unchanging import Unchanging

PORT = 3306
PREPARED = 256
"""Statements a connection keeps prepared."""
KEYS = 10_000
VERSION_SQL = "SELECT VERSION()"
COLUMNS_SQL = f"""
    SELECT table_name, column_name, data_type, column_type, is_nullable = 'YES', character_set_name, collation_name
    FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name <> '{MARKER}'
    ORDER BY table_name, ordinal_position
"""
ROWS_SQL = """
    SELECT table_name, table_rows FROM information_schema.tables
    WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' AND table_rows IS NOT NULL
"""
INDEXED_SQL = """
    SELECT table_name, column_name FROM information_schema.statistics
    WHERE table_schema = DATABASE() AND seq_in_index = 1 AND column_name IS NOT NULL
"""
AT_FIRST = (
    "SET SESSION time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES' /*M!, optimizer_switch = 'subquery_cache=off' */",
    "SET SESSION TRANSACTION READ ONLY",
)
"""MariaDB's cache of subqueries takes for one what their own column's collation does, whatever they compare by."""
LEAVE_SECONDS = 2.0
"""How long it may take to have the server stop a statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`url` as `mysql://user:password@host:port/database`, and how many statements may run at once.

    `writable`: the tables that may be changed. `versions`: by table, the column that counts its changes.
    """

    url: str
    tls: bool = False
    connections: int = 8
    connect_seconds: float = 2.0
    writable: tuple[str, ...] = ()
    versions: Mapping[str, Any] = field(default_factory=dict)


class Mysql:
    """The tables and views of one database."""

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
            except (errors.MySQLError, OSError, TimeoutError) as error:
                raise failure(error) from None
            except (ValueError, ArithmeticError):
                raise unreadable() from None

    async def _answered(self, sql: str, values: Sequence[Any]) -> Sequence[Any]:
        """Over a kept connection, if one lives, or else over a new one."""
        while self.idle:
            try:
                return await self._over(self.idle.pop(), sql, values)
            except (errors.MySQLError, OSError) as error:
                if not gone(error):
                    raise
        return await self._over(await opened(self.options), sql, values)

    async def _over(self, connection: Any, sql: str, values: Sequence[Any]) -> Sequence[Any]:
        """A connection goes back only when its statement has ended."""
        try:
            cursor = connection.cursor()
            await cursor.execute(sql, tuple(values))
            rows: Sequence[Any] = await cursor.fetchall()
        except (errors.MySQLError, OSError) as error:
            if gone(error):
                connection.close()
            else:
                self.idle.append(connection)
            raise
        except BaseException:
            self._leave(connection)
            raise
        self.idle.append(connection)
        return rows

    def _leave(self, connection: Any) -> None:
        """Has the server stop what runs there, and closes it; nobody waits for that."""
        number = connection.thread_id()
        connection.close()
        task = asyncio.ensure_future(stopped(self.options, number))
        self.leaving.add(task)
        task.add_done_callback(self.leaving.discard)

    async def ping(self) -> None:
        await self.run("SELECT 1", ())

    async def close(self) -> None:
        await self.writer.close()
        while self.idle:
            self.idle.pop().close()
        await asyncio.gather(*self.leaving)


async def stopped(options: Options, number: int) -> None:
    """MySQL goes on with a statement whose client has left, so it is told to stop, over another connection.

    The whole connection is ended: a statement that was sent but not begun would outlive a KILL QUERY.
    """
    with suppress(errors.MySQLError, OSError, TimeoutError):
        async with asyncio.timeout(LEAVE_SECONDS):
            connection = await opened(options)
            try:
                await connection.cursor().execute(f"KILL {number:d}")
            finally:
                connection.close()


async def connect(options: Options) -> Mysql:
    """Raises SourceFailed when the database does not answer, or lets nobody in."""
    try:
        connection = await opened(options)
    except (errors.MySQLError, OSError, TimeoutError) as error:
        told = DENIALS.get(next(iter(error.args), None), "the database does not answer")
        raise SourceFailed(told) from None
    try:
        [(version,)] = await fetched(connection, VERSION_SQL)
        found = [await fetched(connection, each) for each in (COLUMNS_SQL, ROWS_SQL, INDEXED_SQL)]
    finally:
        connection.close()
    source = Mysql(options, reflected(*found, exact=EXACT["maria" in version.lower()]))
    if options.writable:
        links = written.Links(opened=partial(opened, options), gone=gone, leave=source._leave)
        source.writer = await written.writer(links, options.writable, options.versions, source.statements)
    return source


def reflected(
    columns: Sequence[Sequence[Any]], rows: Sequence[Sequence[Any]], indexed: Sequence[Sequence[Any]], *, exact: str
) -> dict[str, Stock]:
    """The tables by name; `exact` is the collation that compares by code point."""
    found: dict[str, dict[str, Stored]] = {}
    for table, name, declared, whole, nullable, letters, collation in columns:
        column = stored(name, declared, whole, nullable=bool(nullable))
        if column is not None:
            read = column.read or exactly(column, letters, collation, exact)
            found.setdefault(table, {})[name] = replace(column, read=read)
    counts = {table: int(count) for table, count in rows}
    first = {(table, name) for table, name in indexed}
    return {
        table: stock(
            None, table, kept, keys=KEYS, folds=False,
            facts=Facts(rows=counts.get(table), indexed=frozenset(name for name in kept if (table, name) in first)),
        )
        for table, kept in found.items()
    }  # fmt: skip


async def fetched(connection: Any, sql: str) -> Sequence[Any]:
    cursor = connection.cursor()
    await cursor.execute(sql)
    rows: Sequence[Any] = await cursor.fetchall()
    return rows


async def opened(options: Options, at_first: Sequence[str] = AT_FIRST) -> Any:
    """Read only, in UTC, unless `at_first` sets it otherwise. Raises ValueError where the URL names no database."""
    parts = urlsplit(options.url)
    if not parts.hostname or not parts.path.strip("/"):
        raise ValueError("its URL is `mysql://user:password@host:port/database`")
    async with asyncio.timeout(options.connect_seconds):
        connection = await asyncmy.connect(
            host=parts.hostname,
            port=parts.port or PORT,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            database=unquote(parts.path.strip("/")),
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=options.connect_seconds,
            program_name="onedoor",
            ssl=ssl.create_default_context() if options.tls else None,
            stmt_cache_size=PREPARED,
        )
        for each in at_first:
            await connection.cursor().execute(each)
    return connection
