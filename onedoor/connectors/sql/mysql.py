"""Open MySQL or MariaDB: connections through asyncmy, reflection of its tables, transactions that change rows."""

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncmy
from asyncmy import errors
from sqlalchemy import bindparam
from sqlalchemy.dialects.mysql import insert

from onedoor.connectors.sql.compiler import StatementCache, build_unreadable_error
from onedoor.connectors.sql.connector import SqlConnector
from onedoor.connectors.sql.dialects.mysql import (
    CODE_POINT_COLLATIONS,
    MYSQL_DIALECT,
    ZERO_DATE_PREFIX,
    compare_by_code_point,
    doubt_mysql_column,
    lets_zero_dates_in,
    map_mysql_column,
)
from onedoor.connectors.sql.pool import ConnectionPool, TransactionPool
from onedoor.connectors.sql.tables import SqlColumn, SqlTable, TableStatistics, build_sql_table
from onedoor.connectors.sql.write_model import (
    MARKER_TABLE_NAME,
    SchemaConstraints,
    SqlTransaction,
    StatementResult,
    WriteDialect,
    WriteFailed,
    WriteFailure,
    WriteFailureKind,
    build_schema_constraints,
    build_setup_error,
    build_sql_targets,
)
from onedoor.connectors.sql.writes import LOCK_SECONDS, MARKER_TABLE, SqlWriter
from onedoor.errors import ConfigurationError, ConnectorError, ErrorCode
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.connector import ChangeResult, ConnectorKind, RowChange

DEFAULT_PORT = 3306

MAX_KEYS = 10_000

DATE_TYPES = frozenset({ColumnType.DATE, ColumnType.TIME})

MAX_PREPARED_STATEMENTS = 256
"""Statements that a connection keeps prepared."""

KILL_SECONDS = 2.0
"""How long it may take to have the server stop a statement."""

READ_SESSION_SQL = (
    "SET SESSION time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES' /*M!, optimizer_switch = 'subquery_cache=off' */",
    "SET SESSION TRANSACTION READ ONLY",
)
"""MariaDB's subquery cache compares values in the collation of their column, whatever collation the query names."""

WRITE_SESSION_SQL = (
    f"SET SESSION time_zone = '+00:00', innodb_lock_wait_timeout = {LOCK_SECONDS:.0f}, "
    "sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION'",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
)
"""Strict, so that no value is cut or rounded; READ COMMITTED, so that what others committed is seen at once."""

SERVER_SQL = "SELECT VERSION(), @@GLOBAL.sql_mode"

COLUMNS_SQL = f"""
    SELECT table_name, column_name, data_type, column_type, is_nullable = 'YES', column_default, character_set_name,
        collation_name
    FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name <> '{MARKER_TABLE_NAME}'
    ORDER BY table_name, ordinal_position
"""

ROW_COUNTS_SQL = """
    SELECT table_name, table_rows FROM information_schema.tables
    WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' AND table_rows IS NOT NULL
"""

INDEXED_COLUMNS_SQL = """
    SELECT table_name, column_name FROM information_schema.statistics
    WHERE table_schema = DATABASE() AND seq_in_index = 1 AND column_name IS NOT NULL
"""

WRITE_COLUMNS_SQL = """
    SELECT c.table_name, c.column_name, c.column_type, c.extra REGEXP '(VIRTUAL|STORED|PERSISTENT) GENERATED',
        COALESCE(s.seq_in_index, 0)
    FROM information_schema.columns c LEFT JOIN information_schema.statistics s
        ON s.table_schema = c.table_schema AND s.table_name = c.table_name AND s.column_name = c.column_name
        AND s.index_name = 'PRIMARY'
    WHERE c.table_schema = DATABASE() ORDER BY c.table_name, c.ordinal_position
"""

REFERENCES_SQL = """
    SELECT constraint_name, table_name, column_name, referenced_table_name, referenced_column_name
    FROM information_schema.key_column_usage
    WHERE table_schema = DATABASE() AND referenced_table_schema = DATABASE() AND referenced_table_name IS NOT NULL
    ORDER BY table_name, constraint_name, ordinal_position
"""

UNIQUE_KEYS_SQL = """
    SELECT table_name, index_name, column_name FROM information_schema.statistics
    WHERE table_schema = DATABASE() AND non_unique = 0 AND column_name IS NOT NULL
    ORDER BY table_name, index_name, seq_in_index
"""

ENGINES_SQL = """
    SELECT table_name, engine FROM information_schema.tables
    WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'
"""

MARKER_TABLE_EXISTS_SQL = f"""
    SELECT COUNT(*) FROM information_schema.tables
    WHERE table_schema = DATABASE() AND table_name = '{MARKER_TABLE_NAME}'
"""

CREATE_MARKER_TABLE_SQL = (
    f"CREATE TABLE IF NOT EXISTS {MARKER_TABLE_NAME} "
    "(id varchar(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY, "
    "outcome longtext CHARACTER SET utf8mb4, made_at datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)) ENGINE=InnoDB"
)

SERVER_CONNECTION_ERRORS = frozenset(
    {1040, 1053, 1129, 1130, 1152, 1153, 1158, 1159, 1160, 1161, 1184, 1317, 1927, 4031}
)
"""The errors by which the server reports that it lost or refused a connection."""

CLIENT_ERRORS = range(2000, 3000)
"""The errors of the client library, all of them about the connection."""

LOGIN_ERRORS: Mapping[object, str] = {
    **dict.fromkeys((1044, 1045, 1698), "the database refused the login"),
    1049: "there is no database of this name",
}
"""Messages for the first login, which runs when the connector is opened."""

FAILURES_BY_ERROR: Mapping[int, WriteFailureKind] = {
    **dict.fromkeys((1062, 1586), WriteFailureKind.UNIQUE),
    **dict.fromkeys((1216, 1217, 1451, 1452), WriteFailureKind.REFERENCE),
    **dict.fromkeys((1048, 1364), WriteFailureKind.NOT_NULL),
    **dict.fromkeys((3819, 4025), WriteFailureKind.CHECK),
    **dict.fromkeys((1264, 1265, 1292, 1366, 1406, 1411, 3140), WriteFailureKind.INVALID_VALUE),
    **dict.fromkeys((1044, 1045, 1142, 1143, 1227, 1290, 1792), WriteFailureKind.PERMISSION_DENIED),
    **dict.fromkeys((1020, 1205, 1213), WriteFailureKind.LOCK_CONFLICT),
}

CONSTRAINT_PATTERN = re.compile(r"CONSTRAINT `((?:[^`]|``)+)` FOREIGN KEY")

COLUMN_PATTERN = re.compile(
    r"(?:Column|column|Field) '([^']+)'|for column [^ ]*?`?([^`' .]+)`? at row|for column '([^']+)'"
)

KEY_PATTERN = re.compile(r"for key '(?:[^']*\.)?([^'.]+)'$")

DRIVER_ERRORS = (errors.MySQLError, OSError, TimeoutError)

LOST_COLUMN_ERRORS = frozenset({1054, 1356})
"""A column is not there, or a view names one that is not; the driver counts both as errors of its operation."""

INVALID_STATEMENT_ERRORS = (errors.ProgrammingError, errors.DataError, errors.NotSupportedError)


@dataclass(frozen=True, slots=True, kw_only=True)
class MysqlOptions:
    """The settings of a MySQL or MariaDB database: `url` as `mysql://user:password@host:port/database`.

    `connections`: how many statements may run at once. `writable`: the tables that may be changed. `versions`: by
    table, the column that counts its changes.
    """

    url: str
    tls: bool = False
    connections: int = 8
    connect_seconds: float = 2.0
    writable: tuple[str, ...] = ()
    versions: Mapping[str, Any] = field(default_factory=dict)


async def connect(options: MysqlOptions) -> SqlConnector:
    """Reflect the tables and views of one database.

    Raises ConnectorError where the database does not answer or refuses the login.
    """
    driver = MysqlReadDriver(options)
    try:
        connection = await driver.open_connection()
    except DRIVER_ERRORS as error:
        number = next(iter(error.args), None)
        raise ConnectorError(LOGIN_ERRORS.get(number, "the database does not answer")) from None
    try:
        [(version, sql_mode)] = await driver.fetch(connection, SERVER_SQL, ())
        queries = (COLUMNS_SQL, ROW_COUNTS_SQL, INDEXED_COLUMNS_SQL)
        columns, row_counts, indexed_columns = [await driver.fetch(connection, query, ()) for query in queries]
    finally:
        connection.close()
    collation = CODE_POINT_COLLATIONS["maria" in version.lower()]
    tables = reflect_mysql_tables(
        columns, row_counts, indexed_columns, code_point_collation=collation, zero_dates=lets_zero_dates_in(sql_mode)
    )
    statements = StatementCache(tables, MYSQL_DIALECT)
    pool = ConnectionPool(driver, options.connections)
    connector = SqlConnector(statements, pool)
    if options.writable:
        connector.writer = await create_mysql_writer(options, statements, pool)
    return connector


KIND = ConnectorKind(options=MysqlOptions, connect=connect)


def reflect_mysql_tables(
    columns: Sequence[Sequence[Any]],
    row_counts: Sequence[Sequence[Any]],
    indexed_columns: Sequence[Sequence[Any]],
    *,
    code_point_collation: str,
    zero_dates: bool,
) -> dict[str, SqlTable]:
    """Build the tables by collection from the rows of COLUMNS_SQL, ROW_COUNTS_SQL and INDEXED_COLUMNS_SQL.

    `zero_dates`: the server lets in dates that read as null, also in columns that are declared NOT NULL.
    """
    columns_by_table: dict[str, dict[str, SqlColumn]] = {}
    types_by_table: dict[str, dict[str, str]] = {}
    for table, name, data_type, column_type, nullable, default, charset, collation in columns:
        types_by_table.setdefault(table, {})[name] = column_type
        mapped = columns_by_table.setdefault(table, {})
        column = map_mysql_column(name, data_type, column_type, nullable=bool(nullable))
        if column is not None:
            compared = compare_by_code_point(column, charset, collation, code_point_collation)
            may_be_zero = zero_dates or str(default).strip("'").startswith(ZERO_DATE_PREFIX)
            mapped[name] = replace(
                doubt_mysql_column(compared, is_strict=not zero_dates),
                nullable=column.nullable or (may_be_zero and column.type in DATE_TYPES),
            )
    row_count_by_table = {table: int(count) for table, count in row_counts}
    indexed = {(table, name) for table, name in indexed_columns}
    return {
        table: build_sql_table(
            None,
            table,
            table_columns,
            max_keys=MAX_KEYS,
            folds_case=False,
            code_point_collation=code_point_collation,
            statistics=TableStatistics(
                row_count=row_count_by_table.get(table),
                indexed_columns=frozenset(name for name in table_columns if (table, name) in indexed),
            ),
            declared_types=types_by_table[table],
        )
        for table, table_columns in columns_by_table.items()
    }


async def open_mysql_connection(options: MysqlOptions, session_sql: Sequence[str]) -> Any:
    """Open a connection and set its session up. Raises ValueError where the URL names no database."""
    parts = urlsplit(options.url)
    if not parts.hostname or not parts.path.strip("/"):
        raise ValueError("its URL is `mysql://user:password@host:port/database`")
    async with asyncio.timeout(options.connect_seconds):
        connection = await asyncmy.connect(
            host=parts.hostname,
            port=parts.port or DEFAULT_PORT,
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            database=unquote(parts.path.strip("/")),
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=options.connect_seconds,
            program_name="onedoor",
            ssl=ssl.create_default_context() if options.tls else None,
            stmt_cache_size=MAX_PREPARED_STATEMENTS,
        )
        try:
            for statement in session_sql:
                await connection.cursor().execute(statement)
        except BaseException:
            drop_mysql_connection(connection)
            raise
    return connection


def drop_mysql_connection(connection: Any) -> None:
    with suppress(*DRIVER_ERRORS):
        connection.close()


class MysqlReadDriver:
    """Opens read-only connections."""

    errors = DRIVER_ERRORS

    def __init__(self, options: MysqlOptions) -> None:
        self.options = options

    async def open_connection(self) -> Any:
        return await open_mysql_connection(self.options, READ_SESSION_SQL)

    async def fetch(self, connection: Any, sql: str, values: Sequence[Any]) -> Sequence[Any]:
        cursor = connection.cursor()
        await cursor.execute(sql, tuple(values))
        rows: Sequence[Any] = await cursor.fetchall()
        return rows

    def is_connection_lost(self, error: Exception) -> bool:
        return is_mysql_connection_lost(error)

    def map_error(self, error: Exception) -> ConnectorError:
        return map_mysql_error(error)

    def drop(self, connection: Any) -> None:
        drop_mysql_connection(connection)

    def stop(self, connection: Any) -> Coroutine[Any, Any, None]:
        """Close the connection, and kill it on the server: MySQL runs on for a client that has left.

        The whole connection is killed, because KILL QUERY does not stop a statement that was sent but has not begun.
        """
        thread_id = connection.thread_id()
        drop_mysql_connection(connection)
        return self._kill(thread_id)

    async def close_connection(self, connection: Any) -> None:
        drop_mysql_connection(connection)

    async def _kill(self, thread_id: int) -> None:
        with suppress(*DRIVER_ERRORS):
            async with asyncio.timeout(KILL_SECONDS):
                connection = await self.open_connection()
                try:
                    await connection.cursor().execute(f"KILL {thread_id:d}")
                finally:
                    connection.close()


def is_mysql_connection_lost(error: Exception) -> bool:
    """Return whether the error is about the connection, one that never came about included."""
    if not isinstance(error, errors.MySQLError):
        return True
    number = error.args[0] if error.args else 0
    return isinstance(error, errors.InterfaceError) or number in SERVER_CONNECTION_ERRORS or number in CLIENT_ERRORS


def map_mysql_error(error: Exception) -> ConnectorError:
    if not isinstance(error, DRIVER_ERRORS):
        return build_unreadable_error()
    if is_mysql_connection_lost(error):
        return ConnectorError("the database does not answer", retryable=True)
    if isinstance(error, INVALID_STATEMENT_ERRORS) or next(iter(error.args), None) in LOST_COLUMN_ERRORS:
        return ConnectorError("the database cannot answer this request", ErrorCode.CANNOT_ANSWER)
    return ConnectorError("the database could not answer")


async def create_mysql_writer(options: MysqlOptions, statements: StatementCache, readers: ConnectionPool) -> SqlWriter:
    """Create the marker table if it is missing. Raises ConnectorError and ConfigurationError."""
    driver = MysqlWriteDriver(options, readers)
    try:
        connection = await driver.open_connection()
        try:
            [(exists,)] = (await execute_mysql(connection, MARKER_TABLE_EXISTS_SQL, ())).rows
            if not exists:
                await execute_mysql(connection, CREATE_MARKER_TABLE_SQL, ())
            queries = (WRITE_COLUMNS_SQL, REFERENCES_SQL, UNIQUE_KEYS_SQL, ENGINES_SQL)
            results = [await execute_mysql(connection, query, ()) for query in queries]
        finally:
            connection.close()
    except DRIVER_ERRORS as error:
        raise build_setup_error(driver.map_failure(error)) from None
    columns, references, unique_keys, engines = [result.rows for result in results]
    constraints = driver.constraints = build_schema_constraints(columns, references, unique_keys)
    _check_transactional_engines(options.writable, {str(table): str(engine) for table, engine in engines})
    pool = TransactionPool(driver)
    dialect = WriteDialect(
        begin_transaction=pool.begin_transaction,
        lock_clause=" FOR UPDATE",
        claim_marker=insert(MARKER_TABLE).values(id=bindparam("v0")).on_duplicate_key_update(id=MARKER_TABLE.c.id),
        supports_returning=False,
        bind_stored_value=lambda parameter, column, _: MYSQL_DIALECT.bind_parameter(parameter, column),
        check_constraints=check_mysql_constraints,
        unique_keys=constraints.unique_keys,
        close=pool.close,
    )
    targets = build_sql_targets(options.writable, options.versions, statements.tables, constraints)
    return SqlWriter(targets, dialect, statements)


def _check_transactional_engines(writable: Sequence[str], engines: Mapping[str, str]) -> None:
    for table in writable:
        if table in engines and engines[table].upper() != "INNODB":
            raise ConfigurationError(f"`{table}` cannot be written to: its engine has no transactions, make it InnoDB")


async def check_mysql_constraints(_: SqlTransaction, *__: Sequence[RowChange] | Sequence[ChangeResult]) -> None:
    """Do nothing: InnoDB checks every constraint as each statement runs."""


class MysqlWriteDriver:
    """Opens connections that write. `constraints` tell which columns a violated constraint is about."""

    errors = DRIVER_ERRORS

    def __init__(self, options: MysqlOptions, readers: ConnectionPool) -> None:
        self.options = options
        self.readers = readers
        self.constraints: SchemaConstraints | None = None

    async def open_connection(self) -> Any:
        return await open_mysql_connection(self.options, WRITE_SESSION_SQL)

    async def begin(self, connection: Any) -> "MysqlTransaction":
        await connection.begin()
        return MysqlTransaction(connection, self)

    def map_failure(self, error: Exception) -> WriteFailure:
        return map_mysql_failure(error, self.constraints)

    def drop(self, connection: Any) -> None:
        drop_mysql_connection(connection)

    def stop(self, connection: Any) -> None:
        """Have the server stop a statement in the background; the reading pool waits for that when it closes."""
        self.readers.stop(connection)


class MysqlTransaction:
    """A transaction that was begun. `in_statement`: a statement has not ended, or the connection was lost in it."""

    def __init__(self, connection: Any, driver: MysqlWriteDriver) -> None:
        self.connection = connection
        self.driver = driver
        self.in_statement = False
        self.committed = False

    async def run(self, sql: str, values: Sequence[Any]) -> StatementResult:
        result: StatementResult = await self._call(lambda: execute_mysql(self.connection, sql, values))
        return result

    async def commit(self) -> None:
        await self._call(self.connection.commit)
        self.committed = True

    async def end(self) -> bool:
        if self.in_statement:
            self.driver.stop(self.connection)
            return False
        if not self.committed:
            async with asyncio.timeout(LOCK_SECONDS):
                await self.connection.rollback()
        return True

    async def _call(self, call: Callable[[], Awaitable[Any]]) -> Any:
        self.in_statement = True
        try:
            result = await call()
        except DRIVER_ERRORS as error:
            self.in_statement = is_mysql_connection_lost(error)
            raise WriteFailed(self.driver.map_failure(error)) from None
        except (ValueError, ArithmeticError, TypeError):
            raise WriteFailed(WriteFailure(kind=WriteFailureKind.INVALID_VALUE)) from None
        self.in_statement = False
        return result


async def execute_mysql(connection: Any, sql: str, values: Sequence[Any]) -> StatementResult:
    cursor = connection.cursor()
    await cursor.execute(sql, tuple(values))
    rows = await cursor.fetchall() if cursor.description else ()
    return StatementResult(rows=rows, row_count=cursor.rowcount, inserted_id=cursor.lastrowid or 0)


def map_mysql_failure(error: Exception, constraints: SchemaConstraints | None) -> WriteFailure:
    """Map an error by its number; the names of constraint, key and column stand in its text alone."""
    if is_mysql_connection_lost(error):
        return WriteFailure(kind=WriteFailureKind.CONNECTION_LOST)
    number, text = (*error.args, 0, "")[0], str(error.args[-1]) if error.args else ""
    kind = FAILURES_BY_ERROR.get(number, WriteFailureKind.OTHER)
    if kind is WriteFailureKind.REFERENCE:
        constraint = CONSTRAINT_PATTERN.search(text)
        if constraint is None or constraints is None:
            return WriteFailure(kind=kind)
        return WriteFailure(kind=kind, reference=constraints.find_reference(constraint[1].replace("``", "`")))
    if kind is WriteFailureKind.UNIQUE:
        key = KEY_PATTERN.search(text)
        return WriteFailure(kind=kind, key=key[1] if key else "")
    column = COLUMN_PATTERN.search(text)
    return WriteFailure(kind=kind, columns=(next(filter(None, column.groups())),) if column else ())
