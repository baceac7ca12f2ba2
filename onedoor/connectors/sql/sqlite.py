"""Open SQLite: connections in threads, reflection of its tables, transactions that change rows."""

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam
from sqlalchemy.dialects.sqlite import insert

from onedoor.connectors.sql.compiler import StatementCache
from onedoor.connectors.sql.connector import SqlConnector
from onedoor.connectors.sql.dialects.sqlite import (
    COLLATED_TEXTS,
    SQLITE_DIALECT,
    compare_in_binary,
    doubt_sqlite_column,
    is_day,
    is_unicode,
    map_sqlite_column,
    shown_text,
    utc_time,
)
from onedoor.connectors.sql.tables import SqlColumn, SqlTable, TableStatistics, build_sql_table
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
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.concurrency import PROBE_THREADS, build_thread_pool, run_in_thread, shut_down_pool
from onedoor.runtime.fair_slots import FairSlots
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.connector import ChangeResult, ConnectorKind, RowChange, RowValues

MAX_KEYS = 10_000

MAX_PREPARED_STATEMENTS = 500
"""Statements that a connection keeps prepared."""

PROGRESS_STEPS = 1_000_000
"""Instructions of SQLite's virtual machine, some 20 ms, between two checks whether a statement was cancelled."""

READ_TABLES_SQL = (
    "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
    f"AND name <> '{MARKER_TABLE_NAME}'"
)

COLUMNS_SQL = 'SELECT name, type, "notnull" OR pk > 0 FROM pragma_table_xinfo(?) WHERE hidden <> 1'
"""The columns of a table, generated ones too; what a virtual table hides are arguments of its own."""

ENFORCED_COLUMNS_SQL = """
    SELECT c.name FROM pragma_table_list(?1) l JOIN pragma_table_info(?1) c
    WHERE l.schema = 'main' AND (l.strict AND upper(c.type) IN ('INT', 'INTEGER', 'TEXT')
        OR l.type = 'table' AND NOT l.wr AND c.pk = 1 AND upper(c.type) = 'INTEGER'
            AND 1 = (SELECT count(*) FROM pragma_table_info(?1) WHERE pk > 0))
"""
"""The columns that hold no value of another type than the declared: those of strict tables, and aliases of rowid."""

TABLES_SQL = "SELECT name FROM sqlite_schema WHERE type = 'table'"

INDEXED_COLUMNS_SQL = (
    "SELECT name FROM pragma_table_info(:table) WHERE pk = 1 UNION SELECT c.name "
    "FROM pragma_index_list(:table) i JOIN pragma_index_info(i.name) c WHERE NOT i.partial AND c.seqno = 0"
)
"""The first column of each index; one that is computed has no name."""

ANALYZED_ROWS_SQL = "SELECT stat FROM sqlite_stat1 WHERE tbl = ?"

COLLATION_SQL = "SELECT count(*) FROM (SELECT {} FROM {} WHERE 0 UNION SELECT ? UNION SELECT ? UNION SELECT ?)"

ROWID_RANGE_SQL = "SELECT max(rowid) - min(rowid) + 1 FROM {}"

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
"""Readers do not wait for a change, and a change that was reported outlives a power failure."""

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
"""By the code without its extension, which is the lowest byte."""

NOT_UTF_8_ERROR = "Could not decode to UTF-8"

FAILED_COLUMNS_PATTERN = re.compile(r"(?:UNIQUE|NOT NULL) constraint failed: (.+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class SqliteOptions:
    """The settings of a SQLite database: the `path` of its file.

    `connections`: how many statements may run at once. `writable`: the tables that may be changed. `versions`: by
    table, the column that counts its changes.
    """

    path: str
    connections: int = 4
    writable: tuple[str, ...] = ()
    versions: Mapping[str, Any] = field(default_factory=dict)


async def connect(options: SqliteOptions) -> SqlConnector:
    """Reflect the tables and views of one file. Raises ConnectorError where there is none, or it is no database."""
    path = Path(options.path)
    with ThreadPoolExecutor(1) as pool:
        try:
            tables = await run_in_thread(pool, partial(reflect_sqlite_tables, path))
        except sqlite3.Error:
            raise ConnectorError(f"there is no SQLite database at `{path.name}`") from None
        statements = StatementCache(tables, SQLITE_DIALECT)
        connector = SqlConnector(statements, SqliteReaders(path, options.connections))
        if options.writable:
            create = partial(create_sqlite_writer, path, options.writable, options.versions, statements)
            connector.writer = await run_in_thread(pool, create)
    return connector


KIND = ConnectorKind(options=SqliteOptions, connect=connect)


def reflect_sqlite_tables(path: Path) -> dict[str, SqlTable]:
    """Build the tables by collection. Raises sqlite3.Error."""
    with closing(open_read_connection(path)) as connection:
        declarations = {
            table: _read_declarations(connection, table) for (table,) in connection.execute(READ_TABLES_SQL).fetchall()
        }
        columns_by_table = {
            table: _map_columns(connection, table, declared) for table, declared in declarations.items()
        }
        row_counts = {
            name: _estimate_row_count(connection, name) for (name,) in connection.execute(TABLES_SQL).fetchall()
        }
        return {
            table: build_sql_table(
                None,
                table,
                columns_by_table[table],
                max_keys=MAX_KEYS,
                folds_case=True,
                code_point_collation="BINARY",
                statistics=TableStatistics(
                    row_count=row_counts.get(table),
                    indexed_columns=_find_indexed_columns(connection, table),
                ),
                declared_types={name: declared_type or "no type" for name, declared_type, _ in declared},
            )
            for table, declared in declarations.items()
        }


def _read_declarations(connection: sqlite3.Connection, table: str) -> Sequence[tuple[str, str, bool]]:
    """Return name, type and whether it is required of each column; none of a view whose tables are gone."""
    try:
        return connection.execute(COLUMNS_SQL, (table,)).fetchall()
    except sqlite3.Error:
        return ()


def _find_indexed_columns(connection: sqlite3.Connection, table: str) -> frozenset[str]:
    with suppress(sqlite3.Error):
        return frozenset(name for (name,) in connection.execute(INDEXED_COLUMNS_SQL, {"table": table}) if name)
    return frozenset()


def _map_columns(
    connection: sqlite3.Connection, table: str, declared: Sequence[tuple[str, str, bool]]
) -> dict[str, SqlColumn]:
    """Map columns, and have texts compared by code point whatever their collation is, which SQLite does not tell.

    The members of a compound select are compared in the collation of its first select.
    """
    columns = {
        name: map_sqlite_column(name, declared_type.upper(), nullable=not required)
        for name, declared_type, required in declared
    }
    for name, column in columns.items():
        if column.type is ColumnType.TEXT and not column.incomparable and column.read_expression is None:
            columns[name] = compare_in_binary(column, _count_texts(connection, table, name))
    enforced = _list_enforced_columns(connection, table)
    return {name: column if name in enforced else doubt_sqlite_column(column) for name, column in columns.items()}


def _count_texts(connection: sqlite3.Connection, table: str, column: str) -> int | None:
    """Return how many of COLLATED_TEXTS a column tells apart; None where its collation is not one of SQLite's."""
    sql = COLLATION_SQL.format(quote_sqlite_identifier(column), quote_sqlite_identifier(table))
    try:
        [(count,)] = connection.execute(sql, COLLATED_TEXTS)
    except sqlite3.Error:
        return None
    return int(count)


def _list_enforced_columns(connection: sqlite3.Connection, table: str) -> Set[str]:
    try:
        return {name for (name,) in connection.execute(ENFORCED_COLUMNS_SQL, (table,))}
    except sqlite3.Error:
        return set()


def _estimate_row_count(connection: sqlite3.Connection, table: str) -> int | None:
    """Return the count that ANALYZE stored, or else the range of the row ids."""
    with suppress(sqlite3.Error):
        for (statistics,) in connection.execute(ANALYZED_ROWS_SQL, (table,)):
            return int(statistics.split()[0])
    with suppress(sqlite3.Error):
        [(row_id_range,)] = connection.execute(ROWID_RANGE_SQL.format(quote_sqlite_identifier(table)))
        return 0 if row_id_range is None else int(row_id_range)
    return None


def quote_sqlite_identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def open_read_connection(path: Path) -> sqlite3.Connection:
    """Open a connection that cannot write, with a function `casefolded` that folds case as Python does."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        check_same_thread=False,
        cached_statements=MAX_PREPARED_STATEMENTS,
    )
    connection.create_function("casefolded", 1, _casefold_text, deterministic=True)
    connection.create_function("is_day", 1, is_day, deterministic=True)
    connection.create_function("is_unicode", 1, is_unicode, deterministic=True)
    connection.create_function("shown_text", 1, shown_text, deterministic=True)
    connection.create_function("utc_time", 1, utc_time, deterministic=True)
    connection.execute("PRAGMA query_only = 1")
    return connection


def _decode_text(text: bytes) -> str | bytes:
    """Return bytes where a text is not UTF-8, which is then flawed alone; sqlite3 would refuse the whole result."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text


def _casefold_text(text: Any) -> str | None:
    if isinstance(text, bytes):
        text = _decode_text(text)
    return text.casefold() if isinstance(text, str) else None


class SqliteReaders:
    """Runs statements in threads, each on a connection of its own."""

    def __init__(self, path: Path, connections: int) -> None:
        self.path = path
        self.slots = FairSlots(connections)
        self.pool = build_thread_pool(connections + PROBE_THREADS, "sqlite")
        self.idle: list[sqlite3.Connection] = []

    async def run(self, sql: str, values: Sequence[Any]) -> list[Sequence[Any]]:
        """Return the rows of one statement. Raises ConnectorError; a cancelled statement is stopped where it is."""
        async with self.slots.hold():
            return await self._run(sql, values)

    async def _run(self, sql: str, values: Sequence[Any]) -> list[Sequence[Any]]:
        cancelled: list[bool] = []
        try:
            connection = self.idle.pop() if self.idle else open_read_connection(self.path)
        except sqlite3.Error:
            raise ConnectorError("the database cannot be opened") from None
        running = self.pool.submit(_fetch_unless_cancelled, connection, cancelled, sql, values)
        try:
            rows = await asyncio.wrap_future(running)
        except asyncio.CancelledError:
            cancelled.append(True)
            connection.interrupt()
            running.cancel()
            running.add_done_callback(lambda _: connection.close())
            raise
        except sqlite3.Error as error:
            connection.close()
            raise map_sqlite_error(error) from None
        except BaseException:
            connection.close()
            raise
        self.idle.append(connection)
        return rows

    async def close(self) -> None:
        shut_down_pool(self.pool)
        while self.idle:
            self.idle.pop().close()


def _fetch_unless_cancelled(
    connection: sqlite3.Connection, cancelled: Sequence[bool], sql: str, values: Sequence[Any]
) -> list[Sequence[Any]]:
    """Run a statement that ends once `cancelled` is not empty: an interrupt is lost before the statement begins."""
    connection.set_progress_handler(cancelled.__len__, PROGRESS_STEPS)
    try:
        return connection.execute(sql, values).fetchall()
    except sqlite3.OperationalError as error:
        if not str(error).startswith(NOT_UTF_8_ERROR):
            raise
    connection.text_factory = _decode_text  # it takes a third more time, so only where it is needed
    try:
        return connection.execute(sql, values).fetchall()
    finally:
        connection.text_factory = str


def map_sqlite_error(error: sqlite3.Error) -> ConnectorError:
    if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG):
        return ConnectorError("the database cannot answer so large a request", ErrorCode.CANNOT_ANSWER)
    return ConnectorError("the database could not answer")


def create_sqlite_writer(
    path: Path, writable: Sequence[str], versions: Mapping[str, Any], statements: StatementCache
) -> SqlWriter:
    """Create the marker table if it is missing. Runs in a thread. Raises ConnectorError and ConfigurationError."""
    try:
        connection = open_write_connection(path)
    except sqlite3.Error:
        raise _build_not_writable_error(path) from None
    try:
        connection.execute(CREATE_MARKER_TABLE_SQL)
        constraints = build_schema_constraints(
            connection.execute(WRITE_COLUMNS_SQL).fetchall(), connection.execute(REFERENCES_SQL).fetchall()
        )
        targets = build_sql_targets(writable, versions, statements.tables, constraints)
    except sqlite3.Error:
        connection.close()
        raise _build_not_writable_error(path) from None
    except BaseException:
        connection.close()
        raise
    transactions = SqliteTransactions(path, connection)
    dialect = WriteDialect(
        begin_transaction=transactions.begin_transaction,
        lock_clause="",
        claim_marker=insert(MARKER_TABLE)
        .values(id=bindparam("v0"))
        .on_conflict_do_nothing()
        .returning(MARKER_TABLE.c.id),
        supports_returning=True,
        bind_stored_value=lambda parameter, column, _: SQLITE_DIALECT.bind_parameter(parameter, column),
        check_constraints=ForeignKeyChecks(constraints, statements.tables).check_references,
        close=transactions.close,
    )
    return SqlWriter(targets, dialect, statements)


def _build_not_writable_error(path: Path) -> ConnectorError:
    return ConnectorError(f"`{path.name}` cannot be written to, which `writable` needs")


def open_write_connection(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        check_same_thread=False,
        isolation_level=None,
        timeout=LOCK_SECONDS,
    )
    try:
        for pragma in WRITE_SESSION_PRAGMAS:
            connection.execute(pragma).fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


class SqliteTransactions:
    """Runs one transaction at a time, on one connection in one thread."""

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

    async def close(self) -> None:
        shut_down_pool(self.pool)
        if self.connection is not None:
            self.connection.close()

    def _begin(self) -> None:
        if self.connection is None:
            self.connection = open_write_connection(self.path)
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.execute("PRAGMA defer_foreign_keys = ON")

    def _end(self) -> None:
        """Roll back what was not committed; a connection that cannot even do that is replaced."""
        if self.connection is None or not self.connection.in_transaction:
            return
        try:
            self.connection.execute("ROLLBACK")
        except sqlite3.Error:
            with suppress(sqlite3.Error):
                self.connection.close()
            self.connection = None


class SqliteTransaction:
    """The transaction that was begun."""

    def __init__(self, transactions: SqliteTransactions) -> None:
        self.transactions = transactions

    async def run(self, sql: str, values: Sequence[Any]) -> StatementResult:
        result: StatementResult = await self.transactions.run_in_writer_thread(partial(self._execute, sql, values))
        return result

    async def commit(self) -> None:
        await self.run("COMMIT", ())

    def _execute(self, sql: str, values: Sequence[Any]) -> StatementResult:
        assert self.transactions.connection is not None
        rows = self.transactions.connection.execute(sql, values).fetchall()
        return StatementResult(rows=rows, row_count=len(rows))


def map_sqlite_failure(error: sqlite3.Error) -> WriteFailure:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    kind = FAILURES_BY_EXTENDED_CODE.get(code) or FAILURES_BY_PRIMARY_CODE.get(code & 0xFF, WriteFailureKind.OTHER)
    match = FAILED_COLUMNS_PATTERN.fullmatch(str(error))
    names = match[1].split(", ") if match and not match[1].startswith("index ") else ()
    return WriteFailure(kind=kind, columns=tuple(name.partition(".")[2] for name in names))


class ForeignKeyChecks:
    """Checks references before the commit: SQLite checks them at the commit, and does not say which one failed."""

    def __init__(self, constraints: SchemaConstraints, tables: Mapping[str, SqlTable]) -> None:
        self.constraints = constraints
        self.tables = tables

    async def check_references(
        self, transaction: SqlTransaction, changes: Sequence[RowChange], results: Sequence[ChangeResult]
    ) -> None:
        """Raise WriteFailed where a changed row, or a row that refers to one, refers to no row."""
        for change, result in zip(changes, results, strict=True):
            for reference in self.constraints.references:
                if reference.table == change.collection and result.after is not None:
                    key = self.constraints.primary_keys[reference.table]
                    await self._check_none_dangling(transaction, reference, key, result.after)
                if (
                    reference.referenced_table == change.collection
                    and result.before is not None
                    and reference.table in self.tables
                ):
                    referencing = _map_referencing_values(reference, result.before)
                    await self._check_none_dangling(transaction, reference, reference.columns, referencing)

    async def _check_none_dangling(
        self, transaction: SqlTransaction, reference: ForeignKey, columns: Sequence[str], row: RowValues
    ) -> None:
        stored = self.tables[reference.table].columns
        if not set(columns) <= set(stored) or any(row.get(name) is None for name in columns):
            return
        values = [encode_sql_value(row[name], stored[name]) for name in columns]
        result = await transaction.run(compile_dangling_query(reference, columns), values)
        if result.rows:
            raise WriteFailed(WriteFailure(kind=WriteFailureKind.REFERENCE, reference=reference))


def _map_referencing_values(reference: ForeignKey, row: RowValues) -> RowValues:
    """Return, by column, what rows that refer to `row` hold."""
    pairs = zip(reference.columns, reference.referenced_columns, strict=True)
    return {column: row.get(referenced) for column, referenced in pairs}


def compile_dangling_query(reference: ForeignKey, columns: Sequence[str]) -> str:
    """Select rows with given values of `columns` whose reference is set and leads to no row."""
    table, referenced_table = map(quote_sqlite_identifier, (reference.table, reference.referenced_table))
    is_set = " AND ".join(f"{table}.{quote_sqlite_identifier(name)} IS NOT NULL" for name in reference.columns)
    pairs = zip(reference.columns, reference.referenced_columns, strict=True)
    equal = " AND ".join(
        f"there.{quote_sqlite_identifier(there)} = {table}.{quote_sqlite_identifier(here)}" for here, there in pairs
    )
    matches = " AND ".join(f"{table}.{quote_sqlite_identifier(name)} = ?" for name in columns)
    exists = f"EXISTS (SELECT 1 FROM {referenced_table} AS there WHERE {equal})"
    return f"SELECT 1 FROM {table} WHERE {matches} AND {is_set} AND NOT {exists} LIMIT 1"
