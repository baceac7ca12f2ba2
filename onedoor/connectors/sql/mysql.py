"""MySQL/MariaDB: reads, transactions."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncmy
from asyncmy import errors
from sqlalchemy import bindparam
from sqlalchemy.dialects.mysql import insert

from onedoor.connectors.sql.compiler import StatementCache, build_unreadable_error
from onedoor.connectors.sql.dialects.mysql import (
    CODE_POINT_COLLATIONS,
    MYSQL_COMPILER,
    MYSQL_DIALECT,
    build_code_point_reader,
    map_mysql_column,
)
from onedoor.connectors.sql.introspection import SqlColumn, SqlTable, TableStatistics, build_sql_table
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
    build_sql_targets,
)
from onedoor.connectors.sql.writes import LOCK_SECONDS, MARKER_TABLE, SqlWriter
from onedoor.connectors.value_checks import DisabledWriter
from onedoor.errors import ConfigurationError, ConnectorError, ErrorCode
from onedoor.spi.capabilities import Capabilities
from onedoor.spi.connector import ChangeResult, ConnectorKind, RowChange, WriteCapabilities
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest

SERVER_CONNECTION_ERRORS = frozenset(
    {1040, 1053, 1129, 1130, 1152, 1153, 1158, 1159, 1160, 1161, 1184, 1317, 1927, 4031}
)
"""The server's own errors that tell of a connection lost or refused; those of the client begin at 2000."""

CLIENT_ERRORS = range(2000, 3000)

LOGIN_ERRORS: Mapping[object, str] = {
    **dict.fromkeys((1044, 1045, 1698), "the database refused the login"),
    1049: "there is no database of this name",
}
"""Errors of a login, which is tried first at the start."""

INVALID_STATEMENT_ERRORS = (errors.ProgrammingError, errors.DataError, errors.NotSupportedError)


def is_connection_lost(error: Exception) -> bool:
    """Whether the connection is lost, or was never there."""
    if not isinstance(error, errors.MySQLError):
        return True
    number = error.args[0] if error.args else 0
    return isinstance(error, errors.InterfaceError) or number in SERVER_CONNECTION_ERRORS or number in CLIENT_ERRORS


def map_mysql_error(error: Exception) -> ConnectorError:
    """Of the database where it does not answer or lacks means; of the question where it cannot be asked so."""
    if is_connection_lost(error):
        return ConnectorError("the database does not answer", retryable=True)
    if isinstance(error, INVALID_STATEMENT_ERRORS):
        return ConnectorError("the database cannot answer this question", ErrorCode.CANNOT_ANSWER)
    return ConnectorError("the database could not answer")


MAX_WRITE_CONNECTIONS = 4
"""Transactions at once."""

WRITE_SESSION_SQL = (
    "SET SESSION time_zone = '+00:00', innodb_lock_wait_timeout = {seconds:.0f}, "
    "sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION'",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
)
"""Strict, so that nothing is cut or rounded to fit; what else was committed is seen at once."""

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
    SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = '{MARKER_TABLE_NAME}'
"""

CREATE_MARKER_TABLE_SQL = (
    f"CREATE TABLE IF NOT EXISTS {MARKER_TABLE_NAME} (id varchar(190) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin PRIMARY KEY, "
    "outcome longtext CHARACTER SET utf8mb4, made_at datetime(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)) ENGINE=InnoDB"
)

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


@dataclass(frozen=True, slots=True, kw_only=True)
class MysqlConnectionHooks:
    """How a connection is opened, whether an error tells that one is lost, and how one is left in the middle."""

    open_connection: Callable[[Sequence[str]], Awaitable[Any]]
    is_lost: Callable[[Exception], bool]
    abandon: Callable[[Any], None]


async def create_mysql_writer(
    hooks: MysqlConnectionHooks, writable: Sequence[str], versions: Mapping[str, Any], statements: StatementCache
) -> SqlWriter:
    """Makes the marker table if it is missing. Raises SourceFailed and Mistake."""
    sessions = MysqlWriteSessions(hooks)
    try:
        connection = await sessions.open_connection()
        try:
            [(there,)] = (await _execute_mysql(connection, MARKER_TABLE_EXISTS_SQL, ())).rows
            if not there:
                await _execute_mysql(connection, CREATE_MARKER_TABLE_SQL, ())
            asked = (WRITE_COLUMNS_SQL, REFERENCES_SQL, UNIQUE_KEYS_SQL, ENGINES_SQL)
            columns, references, unique, engines = [(await _execute_mysql(connection, each, ())).rows for each in asked]
        finally:
            connection.close()
    except DRIVER_ERRORS as error:
        raise sessions.map_setup_error(error) from None
    sessions.constraints = build_schema_constraints(columns, references, unique)
    _check_transactional_engines(writable, dict(engines))  # type: ignore[arg-type]
    ways = WriteDialect(
        begin_transaction=sessions.begin_transaction,
        lock_clause=" FOR UPDATE",
        claim_marker=insert(MARKER_TABLE).values(id=bindparam("v0")).on_duplicate_key_update(id=MARKER_TABLE.c.id),
        supports_returning=False,
        bind_stored_value=lambda slot, stored, _: MYSQL_DIALECT.bind_parameter(slot, stored),
        check_constraints=check_mysql_constraints,
        unique_keys=sessions.constraints.unique_keys,
        close=sessions.close,
    )
    return SqlWriter(
        build_sql_targets(writable, versions, statements.tables, sessions.constraints), ways, statements, MYSQL_COMPILER
    )


def _check_transactional_engines(writable: Sequence[str], engines: Mapping[str, str]) -> None:
    for each in writable:
        if each in engines and engines[each].upper() != "INNODB":
            raise ConfigurationError(f"`{each}` cannot be written to: its engine undoes nothing, make it InnoDB")


async def check_mysql_constraints(_: SqlTransaction, *__: Sequence[RowChange] | Sequence[ChangeResult]) -> None:
    """InnoDB sees to everything at once."""


class MysqlWriteSessions:
    """Connections that may write."""

    def __init__(self, hooks: MysqlConnectionHooks) -> None:
        self.hooks = hooks
        self.constraints: SchemaConstraints | None = None
        self.slots = asyncio.Semaphore(MAX_WRITE_CONNECTIONS)
        self.idle: list[Any] = []

    @asynccontextmanager
    async def begin_transaction(self) -> AsyncIterator[SqlTransaction]:
        async with self.slots:
            connection = await self._acquire_connection()
            transaction = MysqlTransaction(connection, self)
            try:
                yield transaction
            except BaseException:
                await self._release_connection(connection, transaction)
                raise
            await self._release_connection(connection, transaction)

    async def open_connection(self) -> Any:
        return await self.hooks.open_connection([each.format(seconds=LOCK_SECONDS) for each in WRITE_SESSION_SQL])

    async def _acquire_connection(self) -> Any:
        while self.idle:
            with suppress(*DRIVER_ERRORS):
                return await _begin_mysql_transaction(self.idle.pop())
        try:
            return await _begin_mysql_transaction(await self.open_connection())
        except DRIVER_ERRORS as error:
            raise WriteFailed(self.map_write_failure(error)) from None

    async def _release_connection(self, connection: Any, transaction: "MysqlTransaction") -> None:
        """What was not committed; a connection in the middle of a statement is left, and the server undoes it."""
        if transaction.in_statement:
            self.hooks.abandon(connection)
            return
        try:
            if not transaction.committed:
                async with asyncio.timeout(LOCK_SECONDS):
                    await connection.rollback()
        except DRIVER_ERRORS:
            connection.close()
        else:
            self.idle.append(connection)

    def map_setup_error(self, error: Exception) -> ConnectorError:
        if self.map_write_failure(error).kind is WriteFailureKind.PERMISSION_DENIED:
            return ConnectorError(
                f"the database does not let its user make the table `{MARKER_TABLE_NAME}`, which `writable` needs"
            )
        return ConnectorError("the database does not answer", retryable=True)

    def map_write_failure(self, error: Exception) -> WriteFailure:
        if self.hooks.is_lost(error):
            return WriteFailure(kind=WriteFailureKind.CONNECTION_LOST)
        number, text = (*error.args, 0, "")[0], str(error.args[-1]) if error.args else ""
        sort = FAILURES_BY_ERROR.get(number, WriteFailureKind.OTHER)
        if sort is WriteFailureKind.REFERENCE:
            named = CONSTRAINT_PATTERN.search(text)
            name = named[1].replace("``", "`") if named else None
            found = self.constraints.references if self.constraints else ()
            return WriteFailure(kind=sort, reference=next((each for each in found if each.name == name), None))
        if sort is WriteFailureKind.UNIQUE:
            named = KEY_PATTERN.search(text)
            return WriteFailure(kind=sort, key=named[1] if named else "")
        column = COLUMN_PATTERN.search(text)
        return WriteFailure(kind=sort, columns=(next(filter(None, column.groups())),) if column else ())

    async def close(self) -> None:
        while self.idle:
            with suppress(*DRIVER_ERRORS):
                self.idle.pop().close()


async def _begin_mysql_transaction(connection: Any) -> Any:
    try:
        await connection.begin()
    except BaseException:
        connection.close()
        raise
    return connection


class MysqlTransaction:
    """One that is under way. `busy`: in the middle of a statement, or lost in it."""

    def __init__(self, connection: Any, sessions: MysqlWriteSessions) -> None:
        self.connection = connection
        self.sessions = sessions
        self.in_statement = False
        self.committed = False

    async def run(self, sql: str, values: Sequence[Any]) -> StatementResult:
        told: StatementResult = await self._guard_errors(lambda: _execute_mysql(self.connection, sql, values))
        return told

    async def commit(self) -> None:
        await self._guard_errors(self.connection.commit)
        self.committed = True

    async def _guard_errors(self, act: Callable[[], Awaitable[Any]]) -> Any:
        self.in_statement = True
        try:
            found = await act()
        except DRIVER_ERRORS as error:
            self.in_statement = self.sessions.hooks.is_lost(error)
            raise WriteFailed(self.sessions.map_write_failure(error)) from None
        except (ValueError, ArithmeticError, TypeError):
            raise WriteFailed(WriteFailure(kind=WriteFailureKind.INVALID_VALUE)) from None
        self.in_statement = False
        return found


async def _execute_mysql(connection: Any, sql: str, values: Sequence[Any]) -> StatementResult:
    cursor = connection.cursor()
    await cursor.execute(sql, tuple(values))
    rows = await cursor.fetchall() if cursor.description else ()
    return StatementResult(rows=rows, row_count=cursor.rowcount, inserted_id=cursor.lastrowid or 0)


DEFAULT_PORT = 3306

MAX_PREPARED_STATEMENTS = 256
"""Statements a connection keeps prepared."""

MAX_KEYS = 10_000

VERSION_SQL = "SELECT VERSION()"

COLUMNS_SQL = f"""
    SELECT table_name, column_name, data_type, column_type, is_nullable = 'YES', character_set_name, collation_name
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

READ_SESSION_SQL = (
    "SET SESSION time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES' /*M!, optimizer_switch = 'subquery_cache=off' */",
    "SET SESSION TRANSACTION READ ONLY",
)
"""MariaDB's cache of subqueries takes for one what their own column's collation does, whatever they compare by."""

KILL_SECONDS = 2.0
"""How long it may take to have the server stop a statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MysqlOptions:
    """`url` as `mysql://user:password@host:port/database`, and how many statements may run at once.

    `writable`: the tables that may be changed. `versions`: by table, the column that counts its changes.
    """

    url: str
    tls: bool = False
    connections: int = 8
    connect_seconds: float = 2.0
    writable: tuple[str, ...] = ()
    versions: Mapping[str, Any] = field(default_factory=dict)


class MysqlConnector:
    """The tables and views of one database."""

    def __init__(self, options: MysqlOptions, tables: Mapping[str, SqlTable]) -> None:
        self.options = options
        self.tables = tables
        self.statements = StatementCache(tables, MYSQL_DIALECT, MYSQL_COMPILER)
        self.slots = asyncio.Semaphore(options.connections)
        self.idle: list[Any] = []
        self.closing_tasks: set[asyncio.Task[None]] = set()
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

    async def run(self, sql: str, values: Sequence[Any]) -> Sequence[Any]:
        """The rows of one statement. Raises SourceFailed; a cancelled caller stops it on the server."""
        async with self.slots:
            try:
                return await self._execute_on_any(sql, values)
            except (errors.MySQLError, OSError, TimeoutError) as error:
                raise map_mysql_error(error) from None
            except (ValueError, ArithmeticError):
                raise build_unreadable_error() from None

    async def _execute_on_any(self, sql: str, values: Sequence[Any]) -> Sequence[Any]:
        """Over a kept connection, if one lives, or else over a new one."""
        while self.idle:
            try:
                return await self._execute_on(self.idle.pop(), sql, values)
            except (errors.MySQLError, OSError) as error:
                if not is_connection_lost(error):
                    raise
        return await self._execute_on(await open_mysql_connection(self.options), sql, values)

    async def _execute_on(self, connection: Any, sql: str, values: Sequence[Any]) -> Sequence[Any]:
        """A connection goes back only when its statement has ended."""
        try:
            cursor = connection.cursor()
            await cursor.execute(sql, tuple(values))
            rows: Sequence[Any] = await cursor.fetchall()
        except (errors.MySQLError, OSError) as error:
            if is_connection_lost(error):
                connection.close()
            else:
                self.idle.append(connection)
            raise
        except BaseException:
            self._abandon_connection(connection)
            raise
        self.idle.append(connection)
        return rows

    def _abandon_connection(self, connection: Any) -> None:
        """Has the server stop what runs there, and closes it; nobody waits for that."""
        number = connection.thread_id()
        connection.close()
        task = asyncio.ensure_future(kill_connection(self.options, number))
        self.closing_tasks.add(task)
        task.add_done_callback(self.closing_tasks.discard)

    async def ping(self) -> None:
        await self.run("SELECT 1", ())

    async def close(self) -> None:
        await self.writer.close()
        while self.idle:
            self.idle.pop().close()
        await asyncio.gather(*self.closing_tasks)


async def kill_connection(options: MysqlOptions, thread_id: int) -> None:
    """MySQL goes on with a statement whose client has left, so it is told to stop, over another connection.

    The whole connection is ended: a statement that was sent but not begun would outlive a KILL QUERY.
    """
    with suppress(errors.MySQLError, OSError, TimeoutError):
        async with asyncio.timeout(KILL_SECONDS):
            connection = await open_mysql_connection(options)
            try:
                await connection.cursor().execute(f"KILL {thread_id:d}")
            finally:
                connection.close()


async def connect(options: MysqlOptions) -> MysqlConnector:
    """Raises SourceFailed when the database does not answer, or lets nobody in."""
    try:
        connection = await open_mysql_connection(options)
    except (errors.MySQLError, OSError, TimeoutError) as error:
        told = LOGIN_ERRORS.get(next(iter(error.args), None), "the database does not answer")
        raise ConnectorError(told) from None
    try:
        [(version,)] = await fetch_mysql_rows(connection, VERSION_SQL)
        found = [
            await fetch_mysql_rows(connection, each) for each in (COLUMNS_SQL, ROW_COUNTS_SQL, INDEXED_COLUMNS_SQL)
        ]
    finally:
        connection.close()
    source = MysqlConnector(
        options, reflect_mysql_tables(*found, code_point_collation=CODE_POINT_COLLATIONS["maria" in version.lower()])
    )
    if options.writable:
        links = MysqlConnectionHooks(
            open_connection=partial(open_mysql_connection, options),
            is_lost=is_connection_lost,
            abandon=source._abandon_connection,
        )
        source.writer = await create_mysql_writer(links, options.writable, options.versions, source.statements)
    return source


def reflect_mysql_tables(
    columns: Sequence[Sequence[Any]],
    row_counts: Sequence[Sequence[Any]],
    indexed_columns: Sequence[Sequence[Any]],
    *,
    code_point_collation: str,
) -> dict[str, SqlTable]:
    """The tables by name; `exact` is the collation that compares by code point."""
    found: dict[str, dict[str, SqlColumn]] = {}
    for table, name, declared, whole, nullable, letters, collation in columns:
        column = map_mysql_column(name, declared, whole, nullable=bool(nullable))
        if column is not None:
            read = column.read_expression or build_code_point_reader(column, letters, collation, code_point_collation)
            found.setdefault(table, {})[name] = replace(column, read_expression=read)
    counts = {table: int(count) for table, count in row_counts}
    first = {(table, name) for table, name in indexed_columns}
    return {
        table: build_sql_table(
            None, table, kept, max_keys=MAX_KEYS, folds_case=False,
            statistics=TableStatistics(row_count=counts.get(table), indexed_columns=frozenset(name for name in kept if (table, name) in first)),
        )
        for table, kept in found.items()
    }  # fmt: skip


async def fetch_mysql_rows(connection: Any, sql: str) -> Sequence[Any]:
    cursor = connection.cursor()
    await cursor.execute(sql)
    rows: Sequence[Any] = await cursor.fetchall()
    return rows


async def open_mysql_connection(options: MysqlOptions, session_sql: Sequence[str] = READ_SESSION_SQL) -> Any:
    """Read only, in UTC, unless `at_first` sets it otherwise. Raises ValueError where the URL names no database."""
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
        for each in session_sql:
            await connection.cursor().execute(each)
    return connection


KIND = ConnectorKind(options=MysqlOptions, connect=connect)
