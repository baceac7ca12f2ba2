"""SQLite: reads, transactions."""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam
from sqlalchemy.dialects.sqlite import insert

from onedoor.connectors.sql.compiler import StatementCache
from onedoor.connectors.sql.dialects.sqlite import SQLITE_COMPILER, SQLITE_DIALECT, map_sqlite_column
from onedoor.connectors.sql.introspection import SqlColumn, SqlTable, TableStatistics, build_sql_table
from onedoor.connectors.sql.write_model import (
    MARKER_TABLE_NAME,
    ForeignKey,
    SchemaConstraints,
    SqlTransaction,
    StatementResult,
    WriteDialect,
    WriteFailed,
    WriteFailure,
    WriteFailureKind,
    build_schema_constraints,
    build_sql_targets,
)
from onedoor.connectors.sql.writes import LOCK_SECONDS, MARKER_TABLE, SqlWriter, encode_sql_value
from onedoor.connectors.value_checks import DisabledWriter
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.concurrency import build_thread_pool, run_in_thread, shut_down_pool
from onedoor.spi.capabilities import Capabilities
from onedoor.spi.connector import ChangeResult, ConnectorKind, RowChange, RowValues, WriteCapabilities
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest


class ForeignKeyChecks:
    """Foreign keys, which SQLite sees to at the end of a transaction, and of which it then names none."""

    def __init__(self, constraints: SchemaConstraints, tables: Mapping[str, SqlTable]) -> None:
        self.constraints = constraints
        self.tables = tables

    async def check_references(
        self, session: SqlTransaction, changes: Sequence[RowChange], results: Sequence[ChangeResult]
    ) -> None:
        for change, each in zip(changes, results, strict=True):
            for reference in self.constraints.references:
                if reference.table == change.collection and each.after is not None:
                    await self._check_none_dangling(
                        session, reference, self.constraints.primary_keys[reference.table], each.after
                    )
                if (
                    reference.referenced_table == change.collection
                    and each.before is not None
                    and reference.table in self.tables
                ):
                    await self._check_none_dangling(
                        session, reference, reference.columns, _map_referencing_values(reference, each.before)
                    )

    async def _check_none_dangling(
        self, session: SqlTransaction, reference: ForeignKey, by: Sequence[str], row: RowValues
    ) -> None:
        """Raises Objected where one of these rows leads nowhere."""
        stored = self.tables[reference.table].columns
        if not set(by) <= set(stored) or any(row.get(each) is None for each in by):
            return
        told = await session.run(
            compile_dangling_query(reference, by), [encode_sql_value(row[each], stored[each]) for each in by]
        )
        if told.rows:
            raise WriteFailed(WriteFailure(kind=WriteFailureKind.REFERENCE, reference=reference))


def _map_referencing_values(reference: ForeignKey, row: RowValues) -> RowValues:
    """What those that refer to a row hold."""
    return {
        column: row.get(there) for column, there in zip(reference.columns, reference.referenced_columns, strict=True)
    }


def compile_dangling_query(reference: ForeignKey, columns: Sequence[str]) -> str:
    table, to = quote_sqlite_identifier(reference.table), quote_sqlite_identifier(reference.referenced_table)
    filled = " AND ".join(f"{table}.{quote_sqlite_identifier(each)} IS NOT NULL" for each in reference.columns)
    pairs = zip(reference.columns, reference.referenced_columns, strict=True)
    equal = " AND ".join(
        f"there.{quote_sqlite_identifier(there)} = {table}.{quote_sqlite_identifier(here)}" for here, there in pairs
    )
    met = " AND ".join(f"{table}.{quote_sqlite_identifier(each)} = ?" for each in columns)
    led = f"EXISTS (SELECT 1 FROM {to} AS there WHERE {equal})"
    return f"SELECT 1 FROM {table} WHERE {met} AND {filled} AND NOT {led} LIMIT 1"


def quote_sqlite_identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


WRITE_COLUMNS_SQL = (
    "SELECT m.name, c.name, '', c.hidden IN (2, 3), c.pk FROM sqlite_schema m JOIN pragma_table_xinfo(m.name) c "
    "WHERE m.type = 'table'"
)

REFERENCES_SQL = (
    'SELECT CAST(f.id AS TEXT), m.name, f."from", f."table", f."to" '
    "FROM sqlite_schema m JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table' ORDER BY m.name, f.id, f.seq"
)

CREATE_MARKER_TABLE_SQL = (
    f"CREATE TABLE IF NOT EXISTS {MARKER_TABLE_NAME} "
    "(id TEXT NOT NULL PRIMARY KEY, outcome TEXT, made_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)"
)

WRITE_SESSION_PRAGMAS = ("PRAGMA journal_mode = WAL", "PRAGMA foreign_keys = ON", "PRAGMA synchronous = FULL")
"""Readers go on while a change is made, and who was told that it was made finds it after the power failed."""

FAILURES_BY_EXTENDED_CODE: Mapping[int, WriteFailureKind] = {
    **dict.fromkeys(
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_ROWID),
        WriteFailureKind.UNIQUE,
    ),
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: WriteFailureKind.REFERENCE,
    sqlite3.SQLITE_CONSTRAINT_NOTNULL: WriteFailureKind.NOT_NULL,
    sqlite3.SQLITE_CONSTRAINT_CHECK: WriteFailureKind.CHECK,
    3091: WriteFailureKind.INVALID_VALUE,  # SQLITE_CONSTRAINT_DATATYPE, of strict tables
}

FAILURES_BY_PRIMARY_CODE: Mapping[int, WriteFailureKind] = {
    **dict.fromkeys((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED), WriteFailureKind.LOCK_CONFLICT),
    **dict.fromkeys(
        (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_PERM), WriteFailureKind.PERMISSION_DENIED
    ),
    **dict.fromkeys((sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH), WriteFailureKind.INVALID_VALUE),
    **dict.fromkeys(
        (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN), WriteFailureKind.CONNECTION_LOST
    ),
}
"""By the code without what it is extended by."""

FAILED_COLUMNS_PATTERN = re.compile(r"(?:UNIQUE|NOT NULL) constraint failed: (.+)")


def create_sqlite_writer(
    path: Path, writable: Sequence[str], versions: Mapping[str, Any], statements: StatementCache
) -> SqlWriter:
    """Makes the marker table if it is missing. Raises SourceFailed and Mistake; runs in a thread."""
    try:
        connection = open_write_connection(path)
        connection.execute(CREATE_MARKER_TABLE_SQL)
        said = build_schema_constraints(
            connection.execute(WRITE_COLUMNS_SQL).fetchall(), connection.execute(REFERENCES_SQL).fetchall()
        )
    except sqlite3.Error:
        raise ConnectorError(f"`{path.name}` cannot be written to, as `writable` wants") from None
    chosen = build_sql_targets(writable, versions, statements.tables, said)
    sessions = SqliteWriteSessions(path, connection)
    ways = WriteDialect(
        begin_transaction=sessions.begin_transaction,
        lock_clause="",
        claim_marker=insert(MARKER_TABLE)
        .values(id=bindparam("v0"))
        .on_conflict_do_nothing()
        .returning(MARKER_TABLE.c.id),
        supports_returning=True,
        bind_stored_value=lambda slot, stored, _: SQLITE_DIALECT.bind_parameter(slot, stored),
        check_constraints=ForeignKeyChecks(said, statements.tables).check_references,
        close=sessions.close,
    )
    return SqlWriter(chosen, ways, statements, SQLITE_COMPILER)


def open_write_connection(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw", uri=True, check_same_thread=False, isolation_level=None,
        timeout=LOCK_SECONDS,
    )  # fmt: skip
    for each in WRITE_SESSION_PRAGMAS:
        connection.execute(each).fetchall()
    return connection


class SqliteWriteSessions:
    """One connection, and the one thread that it is used by."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.connection: sqlite3.Connection | None = connection
        self.pool = build_thread_pool(1, "sqlite-writer")
        self.lock = asyncio.Lock()

    @asynccontextmanager
    async def begin_transaction(self) -> AsyncIterator[SqlTransaction]:
        async with self.lock:
            try:
                await self.run_in_writer_thread(self._begin)
                yield SqliteTransaction(self)
            finally:
                await run_in_thread(self.pool, self._end)

    async def run_in_writer_thread(self, call: Callable[[], Any]) -> Any:
        try:
            return await run_in_thread(self.pool, call)
        except sqlite3.Error as error:
            raise WriteFailed(map_sqlite_failure(error)) from None

    def _begin(self) -> None:
        if self.connection is None:
            self.connection = open_write_connection(self.path)
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.execute("PRAGMA defer_foreign_keys = ON")

    def _end(self) -> None:
        """Undoes what was not committed; a connection that cannot do even that is not used again."""
        if self.connection is None or not self.connection.in_transaction:
            return
        try:
            self.connection.execute("ROLLBACK")
        except sqlite3.Error:
            with suppress(sqlite3.Error):
                self.connection.close()
            self.connection = None

    async def close(self) -> None:
        shut_down_pool(self.pool)
        if self.connection is not None:
            self.connection.close()


class SqliteTransaction:
    """The one that is under way."""

    def __init__(self, sessions: SqliteWriteSessions) -> None:
        self.sessions = sessions

    async def run(self, sql: str, values: Sequence[Any]) -> StatementResult:
        told: StatementResult = await self.sessions.run_in_writer_thread(partial(self._execute, sql, values))
        return told

    def _execute(self, sql: str, values: Sequence[Any]) -> StatementResult:
        assert self.sessions.connection is not None
        rows = self.sessions.connection.execute(sql, values).fetchall()
        return StatementResult(rows=rows, row_count=len(rows))

    async def commit(self) -> None:
        await self.run("COMMIT", ())


def map_sqlite_failure(error: sqlite3.Error) -> WriteFailure:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    sort = FAILURES_BY_EXTENDED_CODE.get(code) or FAILURES_BY_PRIMARY_CODE.get(code & 0xFF, WriteFailureKind.OTHER)
    found = FAILED_COLUMNS_PATTERN.fullmatch(str(error))
    names = found[1].split(", ") if found and not found[1].startswith("index ") else ()
    return WriteFailure(kind=sort, columns=tuple(each.partition(".")[2] for each in names))


PROGRESS_STEPS = 1_000_000
"""Of SQLite's machine, between two looks at whether anybody still waits; some 20 ms."""

MAX_KEYS = 10_000

MAX_PREPARED_STATEMENTS = 500
"""Statements that a connection keeps prepared."""

COLUMNS_SQL = (
    'SELECT m.name, c.name, c.type, c."notnull" OR c.pk > 0 FROM sqlite_schema m JOIN pragma_table_info(m.name) c '
    "WHERE m.type IN ('table', 'view') AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
    f"AND m.name <> '{MARKER_TABLE_NAME}'"
)

TABLES_SQL = "SELECT name FROM sqlite_schema WHERE type = 'table'"

ANALYZED_ROWS_SQL = "SELECT stat FROM sqlite_stat1 WHERE tbl = ?"

ROWID_RANGE_SQL = "SELECT max(rowid) - min(rowid) + 1 FROM {}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteOptions:
    """`path` of the file, and how many statements may run at once.

    `writable`: the tables that may be changed. `versions`: by table, the column that counts its changes.
    """

    path: str
    connections: int = 4
    writable: tuple[str, ...] = ()
    versions: Mapping[str, Any] = field(default_factory=dict)


class SqliteConnector:
    """The tables and views of one file."""

    def __init__(self, path: Path, tables: Mapping[str, SqlTable], connections: int) -> None:
        self.path = path
        self.tables = tables
        self.statements = StatementCache(tables, SQLITE_DIALECT, SQLITE_COMPILER)
        self.pool = build_thread_pool(connections, "sqlite")
        self.idle: list[sqlite3.Connection] = []
        self.writer: SqlWriter | DisabledWriter = DisabledWriter()

    def capabilities(self, collection: str) -> Capabilities:
        return self.tables[collection].capabilities

    def statement_text(self, request: ScanRequest) -> str:
        return self.statements.prepare(request)[0].text

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        made, values = self.statements.prepare(request)
        yield made.decode_rows(await self.run(made.text, values))

    def write_capabilities(self, collection: str) -> WriteCapabilities | None:
        return self.writer.write_capabilities(collection)

    async def apply(self, changes: Sequence[RowChange], *, dry_run: bool = False) -> Sequence[ChangeResult]:
        return await self.writer.apply(changes, dry_run=dry_run)

    async def find_change(self, change: RowChange) -> ChangeResult | None:
        return await self.writer.find_change(change)

    async def run(self, sql: str, values: Sequence[Any]) -> list[Sequence[Any]]:
        """The rows of one statement; a cancelled caller stops it, wherever it then is."""
        given_up: list[bool] = []
        try:
            connection = self.idle.pop() if self.idle else open_read_connection(self.path)
        except sqlite3.Error:
            raise ConnectorError("the database cannot be opened") from None
        try:
            rows = await run_in_thread(self.pool, partial(fetch_interruptible, connection, given_up, sql, values))
        except asyncio.CancelledError:
            given_up.append(True)
            connection.interrupt()
            raise
        except sqlite3.Error as error:
            raise map_sqlite_error(error) from None
        self.idle.append(connection)
        return rows

    async def ping(self) -> None:
        await self.run("SELECT 1", ())

    async def close(self) -> None:
        await self.writer.close()
        shut_down_pool(self.pool)
        while self.idle:
            self.idle.pop().close()


async def connect(options: SqliteOptions) -> SqliteConnector:
    """Raises SourceFailed when there is no such file, or it is no database."""
    path = Path(options.path)
    with ThreadPoolExecutor(1) as pool:
        try:
            tables = await run_in_thread(pool, partial(reflect_sqlite_tables, path))
        except sqlite3.Error:
            raise ConnectorError(f"there is no SQLite database at `{path.name}`") from None
        source = SqliteConnector(path, tables, options.connections)
        if options.writable:
            make = partial(create_sqlite_writer, path, options.writable, options.versions, source.statements)
            source.writer = await run_in_thread(pool, make)
    return source


def map_sqlite_error(error: sqlite3.Error) -> ConnectorError:
    """Of the database where it is locked or broken; of the question where it is more than SQLite can take."""
    if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG):
        return ConnectorError("the database cannot answer so large a question", ErrorCode.CANNOT_ANSWER)
    return ConnectorError("the database could not answer")


def open_read_connection(path: Path) -> sqlite3.Connection:
    """Read only, whatever a statement says; case is folded as Python folds it."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        check_same_thread=False,
        cached_statements=MAX_PREPARED_STATEMENTS,
    )
    connection.create_function("lowered", 1, lower_text, deterministic=True)
    connection.execute("PRAGMA query_only = 1")
    return connection


def lower_text(text: Any) -> Any:
    return text.lower() if isinstance(text, str) else None


def fetch_interruptible(
    connection: sqlite3.Connection, cancelled: Sequence[bool], sql: str, values: Sequence[Any]
) -> list[Sequence[Any]]:
    """An interrupt is lost on a statement that has not begun, so it looks for itself, too."""
    connection.set_progress_handler(cancelled.__len__, PROGRESS_STEPS)
    return connection.execute(sql, values).fetchall()


def reflect_sqlite_tables(path: Path) -> dict[str, SqlTable]:
    with closing(open_read_connection(path)) as connection:
        found: dict[str, dict[str, SqlColumn]] = {}
        for table, name, declared, filled in connection.execute(COLUMNS_SQL):
            column = map_sqlite_column(name, declared.upper(), nullable=not filled)
            if column is not None:
                found.setdefault(table, {})[name] = column
        rows = {name: estimate_row_count(connection, name) for (name,) in connection.execute(TABLES_SQL).fetchall()}
        return {
            name: build_sql_table(
                None,
                name,
                columns,
                max_keys=MAX_KEYS,
                folds_case=True,
                statistics=TableStatistics(row_count=rows.get(name)),
            )
            for name, columns in found.items()
        }


def estimate_row_count(connection: sqlite3.Connection, table: str) -> int | None:
    """About how many rows a table has: as ANALYZE left it, or by how far row numbers reach."""
    with suppress(sqlite3.Error):
        for (told,) in connection.execute(ANALYZED_ROWS_SQL, (table,)):
            return int(told.split()[0])
    with suppress(sqlite3.Error):
        quoted = '"' + table.replace('"', '""') + '"'
        [(reach,)] = connection.execute(ROWID_RANGE_SQL.format(quoted))
        return 0 if reach is None else int(reach)
    return None


KIND = ConnectorKind(options=SqliteOptions, connect=connect)
