"""A SQLite file: one connection a thread, read only, stopped in the middle of a statement when nobody waits for it."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from engine.change.words import Change, Made, Writes
from engine.errors import Code, SourceFailed
from engine.words import Ask, Can, Row
from sources.sql.columns import Facts, Stock, Stored, stock
from sources.sql.compiled import Statements
from sources.sql.dialects.sqlite import COMPILER, DIALECT, stored
from sources.sql.writing import sqlite as written
from sources.sql.writing.words import MARKER
from sources.sql.writing.writer import Writer
from sources.threads import in_thread, shut, threads
from sources.unchanging import Unchanging

STEPS = 1_000_000
"""Of SQLite's machine, between two looks at whether anybody still waits; some 20 ms."""
KEYS = 10_000
PREPARED = 500
"""Statements that a connection keeps prepared."""
COLUMNS_SQL = (
    'SELECT m.name, c.name, c.type, c."notnull" OR c.pk > 0 FROM sqlite_schema m JOIN pragma_table_info(m.name) c '
    "WHERE m.type IN ('table', 'view') AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
    f"AND m.name <> '{MARKER}'"
)
TABLES_SQL = "SELECT name FROM sqlite_schema WHERE type = 'table'"
COUNTED_SQL = "SELECT stat FROM sqlite_stat1 WHERE tbl = ?"
SPREAD_SQL = "SELECT max(rowid) - min(rowid) + 1 FROM {}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`path` of the file, and how many statements may run at once.

    `writable`: the tables that may be changed. `versions`: by table, the column that counts its changes.
    """

    path: str
    connections: int = 4
    writable: tuple[str, ...] = ()
    versions: Mapping[str, Any] = field(default_factory=dict)


class Sqlite:
    """The tables and views of one file."""

    def __init__(self, path: Path, tables: Mapping[str, Stock], connections: int) -> None:
        self.path = path
        self.tables = tables
        self.statements = Statements(tables, DIALECT, COMPILER)
        self.pool = threads(connections, "sqlite")
        self.idle: list[sqlite3.Connection] = []
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

    async def run(self, sql: str, values: Sequence[Any]) -> list[Sequence[Any]]:
        """The rows of one statement; a cancelled caller stops it, wherever it then is."""
        given_up: list[bool] = []
        try:
            connection = self.idle.pop() if self.idle else opened(self.path)
        except sqlite3.Error:
            raise SourceFailed("the database cannot be opened") from None
        try:
            rows = await in_thread(self.pool, partial(fetched, connection, given_up, sql, values))
        except asyncio.CancelledError:
            given_up.append(True)
            connection.interrupt()
            raise
        except sqlite3.Error as error:
            raise failure(error) from None
        self.idle.append(connection)
        return rows

    async def ping(self) -> None:
        await self.run("SELECT 1", ())

    async def close(self) -> None:
        await self.writer.close()
        shut(self.pool)
        while self.idle:
            self.idle.pop().close()


async def connect(options: Options) -> Sqlite:
    """Raises SourceFailed when there is no such file, or it is no database."""
    path = Path(options.path)
    with ThreadPoolExecutor(1) as pool:
        try:
            tables = await in_thread(pool, partial(reflected, path))
        except sqlite3.Error:
            raise SourceFailed(f"there is no SQLite database at `{path.name}`") from None
        source = Sqlite(path, tables, options.connections)
        if options.writable:
            make = partial(written.writer, path, options.writable, options.versions, source.statements)
            source.writer = await in_thread(pool, make)
    return source


def failure(error: sqlite3.Error) -> SourceFailed:
    """Of the database where it is locked or broken; of the question where it is more than SQLite can take."""
    if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG):
        return SourceFailed("the database cannot answer so large a question", Code.CANNOT_ANSWER)
    return SourceFailed("the database could not answer")


def opened(path: Path) -> sqlite3.Connection:
    """Read only, whatever a statement says; case is folded as Python folds it."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False, cached_statements=PREPARED
    )
    connection.create_function("lowered", 1, lowered, deterministic=True)
    connection.execute("PRAGMA query_only = 1")
    return connection


def lowered(text: Any) -> Any:
    return text.lower() if isinstance(text, str) else None


def fetched(
    connection: sqlite3.Connection, given_up: Sequence[bool], sql: str, values: Sequence[Any]
) -> list[Sequence[Any]]:
    """An interrupt is lost on a statement that has not begun, so it looks for itself, too."""
    connection.set_progress_handler(given_up.__len__, STEPS)
    return connection.execute(sql, values).fetchall()


def reflected(path: Path) -> dict[str, Stock]:
    with closing(opened(path)) as connection:
        found: dict[str, dict[str, Stored]] = {}
        for table, name, declared, filled in connection.execute(COLUMNS_SQL):
            column = stored(name, declared.upper(), nullable=not filled)
            if column is not None:
                found.setdefault(table, {})[name] = column
        rows = {name: counted(connection, name) for (name,) in connection.execute(TABLES_SQL).fetchall()}
        return {
            name: stock(None, name, columns, keys=KEYS, folds=True, facts=Facts(rows=rows.get(name)))
            for name, columns in found.items()
        }


def counted(connection: sqlite3.Connection, table: str) -> int | None:
    """About how many rows a table has: as ANALYZE left it, or by how far row numbers reach."""
    with suppress(sqlite3.Error):
        for (told,) in connection.execute(COUNTED_SQL, (table,)):
            return int(told.split()[0])
    with suppress(sqlite3.Error):
        quoted = '"' + table.replace('"', '""') + '"'
        [(reach,)] = connection.execute(SPREAD_SQL.format(quoted))
        return 0 if reach is None else int(reach)
    return None
