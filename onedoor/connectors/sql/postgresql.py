"""PostgreSQL: reads, transactions."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import asyncpg
from sqlalchemy import String, bindparam, cast
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.types import UserDefinedType

from onedoor.connectors.sql.compiler import Expression, ParameterIndex, StatementCache, build_unreadable_error
from onedoor.connectors.sql.dialects.postgresql import POSTGRESQL_COMPILER, POSTGRESQL_DIALECT, map_postgresql_column
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
from onedoor.connectors.sql.writes import LOCK_SECONDS, MARKER_TABLE, TRANSACTION_SECONDS, SqlWriter
from onedoor.connectors.value_checks import DisabledWriter
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.capabilities import Capabilities
from onedoor.spi.connector import ChangeResult, ConnectorKind, RowChange, WriteCapabilities
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest

MAX_WRITE_CONNECTIONS = 4
"""Transactions at once."""

WRITE_SESSION_SETTINGS = {
    "lock_timeout": f"{LOCK_SECONDS:g}s",
    "statement_timeout": f"{TRANSACTION_SECONDS:g}s",
    "idle_in_transaction_session_timeout": f"{TRANSACTION_SECONDS:g}s",
}
"""So that no transaction holds what others wait for, whatever became of the door."""

TABLE_NAME_SQL = "CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || c.relname"

WRITE_COLUMNS_SQL = f"""
    SELECT {TABLE_NAME_SQL}, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attidentity = 'a' OR a.attgenerated <> '',
        coalesce(array_position(k.conkey, a.attnum), 0)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p'
    WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND n.nspname <> 'information_schema'
        AND n.nspname NOT LIKE 'pg\\_%'
"""

REFERENCES_SQL = f"""
    SELECT k.conname::text, {TABLE_NAME_SQL}, a.attname::text, {TABLE_NAME_SQL.replace("n.", "tn.").replace("c.relname", "tc.relname")},
        ta.attname::text
    FROM pg_constraint k CROSS JOIN LATERAL unnest(k.conkey, k.confkey) WITH ORDINALITY AS u(here, there, place)
    JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_class tc ON tc.oid = k.confrelid JOIN pg_namespace tn ON tn.oid = tc.relnamespace
    JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.here
    JOIN pg_attribute ta ON ta.attrelid = k.confrelid AND ta.attnum = u.there
    WHERE k.contype = 'f' ORDER BY k.oid, u.place
"""

UNIQUE_KEYS_SQL = f"""
    SELECT {TABLE_NAME_SQL}, i.relname::text, a.attname::text
    FROM pg_index x CROSS JOIN LATERAL unnest(x.indkey::smallint[]) WITH ORDINALITY AS u(number, place)
    JOIN pg_class i ON i.oid = x.indexrelid
    JOIN pg_class c ON c.oid = x.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = u.number
    WHERE x.indisunique AND n.nspname NOT LIKE 'pg\\_%' ORDER BY x.indexrelid, u.place
"""

CHECKS_SQL = f"""
    SELECT {TABLE_NAME_SQL}, k.conname::text, a.attname::text
    FROM pg_constraint k CROSS JOIN LATERAL unnest(k.conkey) AS u(number)
    JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number
    WHERE k.contype = 'c' ORDER BY k.oid, u.number
"""

MARKER_TABLE_EXISTS_SQL = f"SELECT to_regclass('{MARKER_TABLE_NAME}') IS NOT NULL"

CREATE_MARKER_TABLE_SQL = (
    f"CREATE TABLE IF NOT EXISTS {MARKER_TABLE_NAME} "
    "(id text PRIMARY KEY, outcome text, made_at timestamptz NOT NULL DEFAULT now())"
)

FAILURES_BY_SQLSTATE: Mapping[str, WriteFailureKind] = {
    "23505": WriteFailureKind.UNIQUE,
    "23P01": WriteFailureKind.UNIQUE,
    "23503": WriteFailureKind.REFERENCE,
    "23001": WriteFailureKind.REFERENCE,
    "23502": WriteFailureKind.NOT_NULL,
    "23514": WriteFailureKind.CHECK,
    "42501": WriteFailureKind.PERMISSION_DENIED,
    "25006": WriteFailureKind.PERMISSION_DENIED,
    **dict.fromkeys(("40001", "40P01", "55P03", "57014"), WriteFailureKind.LOCK_CONFLICT),
}

FAILURES_BY_SQLSTATE_CLASS: Mapping[str, WriteFailureKind] = {
    "22": WriteFailureKind.INVALID_VALUE,
    "08": WriteFailureKind.CONNECTION_LOST,
    "25": WriteFailureKind.CONNECTION_LOST,
    "57": WriteFailureKind.CONNECTION_LOST,
    "28": WriteFailureKind.CONNECTION_LOST,
}

TRUNCATING_TEXT_TYPES = frozenset({"character", "name", "bpchar"})
"""Text types that cut what is too long when they are cast to."""

DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)

OpenConnection = Callable[[Mapping[str, str]], Awaitable[Any]]


async def create_postgresql_writer(
    open_connection: OpenConnection, writable: Sequence[str], versions: Mapping[str, Any], statements: StatementCache
) -> SqlWriter:
    """Makes the marker table if it is missing. Raises SourceFailed and Mistake."""
    sessions = PostgresqlWriteSessions(open_connection)
    try:
        connection = await sessions.open_write_connection()
        try:
            await _ensure_marker_table(connection)
            asked = (WRITE_COLUMNS_SQL, REFERENCES_SQL, UNIQUE_KEYS_SQL, CHECKS_SQL)
            columns, references, unique, checks = [await connection.fetch(each) for each in asked]
        finally:
            await connection.close(timeout=LOCK_SECONDS)
    except DRIVER_ERRORS as error:
        raise _map_setup_error(error) from None
    sessions.constraints = build_schema_constraints(columns, references, (*unique, *checks))
    chosen = build_sql_targets(writable, versions, statements.tables, sessions.constraints)
    ways = WriteDialect(
        begin_transaction=sessions.begin_transaction,
        lock_clause=" FOR UPDATE",
        claim_marker=insert(MARKER_TABLE)
        .values(id=bindparam("v0"))
        .on_conflict_do_nothing()
        .returning(MARKER_TABLE.c.id),
        supports_returning=True,
        bind_stored_value=bind_stored_value,
        check_constraints=check_deferred_constraints,
        close=sessions.close,
    )
    return SqlWriter(chosen, ways, statements, POSTGRESQL_COMPILER)


async def _ensure_marker_table(connection: Any) -> None:
    """Several doors may begin at once."""
    if not await connection.fetchval(MARKER_TABLE_EXISTS_SQL):
        try:
            await connection.execute(CREATE_MARKER_TABLE_SQL)
        except (asyncpg.UniqueViolationError, asyncpg.DuplicateTableError):
            return


def _map_setup_error(error: Exception) -> ConnectorError:
    if map_postgresql_failure(error, None).kind is WriteFailureKind.PERMISSION_DENIED:
        return ConnectorError(
            f"the database does not let its user make the table `{MARKER_TABLE_NAME}`, which `writable` needs"
        )
    return ConnectorError("the database does not answer", retryable=True)


class NamedSqlType(UserDefinedType[Any]):
    """A type by the name that the database itself gives it."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        return self.name


def bind_stored_value(parameter: ParameterIndex, column: SqlColumn, data_type: str) -> Expression:
    """What is read as text is written as text."""
    if not column.read_as_text or data_type.partition("(")[0] in TRUNCATING_TEXT_TYPES:
        return POSTGRESQL_DIALECT.bind_parameter(parameter, column)
    return cast(cast(bindparam(parameter.name, type_=String()), String()), NamedSqlType(data_type))


async def check_deferred_constraints(session: SqlTransaction, *_: Sequence[RowChange] | Sequence[ChangeResult]) -> None:
    await session.run("SET CONSTRAINTS ALL IMMEDIATE", ())


class PostgresqlWriteSessions:
    """Connections that may write."""

    def __init__(self, open_connection: OpenConnection) -> None:
        self.open_connection = open_connection
        self.constraints: SchemaConstraints | None = None
        self.slots = asyncio.Semaphore(MAX_WRITE_CONNECTIONS)
        self.idle: list[Any] = []

    @asynccontextmanager
    async def begin_transaction(self) -> AsyncIterator[SqlTransaction]:
        async with self.slots:
            connection = await self._acquire_connection()
            try:
                yield PostgresqlTransaction(connection, self.constraints)
            finally:
                await self._release_connection(connection)

    async def open_write_connection(self) -> Any:
        return await self.open_connection(WRITE_SESSION_SETTINGS)

    async def _acquire_connection(self) -> Any:
        while self.idle:
            with suppress(*DRIVER_ERRORS):
                return await _begin_postgresql_transaction(self.idle.pop())
        try:
            return await _begin_postgresql_transaction(await self.open_write_connection())
        except DRIVER_ERRORS as error:
            raise WriteFailed(map_postgresql_failure(error, None)) from None

    async def _release_connection(self, connection: Any) -> None:
        """Undoes what was not committed; where that fails, the server does it for a connection that is gone."""
        try:
            if connection.is_in_transaction():
                await connection.execute("ROLLBACK", timeout=LOCK_SECONDS)
            if connection.is_closed():
                return
        except DRIVER_ERRORS:
            connection.terminate()
        except BaseException:
            connection.terminate()
            raise
        else:
            self.idle.append(connection)

    async def close(self) -> None:
        while self.idle:
            self.idle.pop().terminate()


async def _begin_postgresql_transaction(connection: Any) -> Any:
    try:
        await connection.execute("BEGIN")
    except BaseException:
        connection.terminate()
        raise
    return connection


class PostgresqlTransaction:
    """One that is under way."""

    def __init__(self, connection: Any, constraints: SchemaConstraints | None) -> None:
        self.connection = connection
        self.constraints = constraints

    async def run(self, sql: str, values: Sequence[Any]) -> StatementResult:
        try:
            rows = await self.connection.fetch(sql, *values)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
            raise WriteFailed(map_postgresql_failure(error, self.constraints)) from None
        return StatementResult(rows=rows, row_count=len(rows))

    async def commit(self) -> None:
        await self.run("COMMIT", ())


def map_postgresql_failure(error: Exception, constraints: SchemaConstraints | None) -> WriteFailure:
    if isinstance(error, ValueError):
        return WriteFailure(kind=WriteFailureKind.INVALID_VALUE)
    if not isinstance(error, asyncpg.PostgresError):
        return WriteFailure(kind=WriteFailureKind.CONNECTION_LOST)
    state = error.sqlstate or ""
    sort = FAILURES_BY_SQLSTATE.get(state) or FAILURES_BY_SQLSTATE_CLASS.get(state[:2], WriteFailureKind.OTHER)
    if sort is WriteFailureKind.NOT_NULL:
        return WriteFailure(kind=sort, columns=(error.column_name,) if error.column_name else ())
    schema, table, name = error.schema_name, error.table_name, error.constraint_name
    if constraints is None or name is None:
        return WriteFailure(kind=sort)
    place = table if schema in (None, "public") else f"{schema}.{table}"
    reference = next((each for each in constraints.references if (each.table, each.name) == (place, name)), None)
    return WriteFailure(kind=sort, columns=constraints.unique_keys.get((str(place), name), ()), reference=reference)


MAX_KEYS = 10_000

MAX_PREPARED_STATEMENTS = 1000
"""Statements that a connection keeps prepared."""

COLUMNS_SQL = f"""
    SELECT table_schema, table_name, column_name, data_type, is_nullable = 'YES'
    FROM information_schema.columns
    WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND table_schema NOT LIKE 'pg\\_%'
        AND table_name <> '{MARKER_TABLE_NAME}'
    ORDER BY table_schema, table_name, ordinal_position
"""

STATISTICS_SQL = """
    SELECT n.nspname::text, c.relname::text, CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint END,
        ARRAY(SELECT a.attname::text FROM pg_index i
              JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
              WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm', 'p', 'f') AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
"""

DEFAULT_SCHEMA = "public"

SERVER_STATE_CLASSES = frozenset({"08", "25", "53", "57", "58", "XX"})
"""Classes of SQLSTATE that tell of the server's state, not of the statement."""

CONNECTION_LOST_ERRORS = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)

LOGIN_ERRORS: Mapping[type[Exception], str] = {
    asyncpg.InvalidAuthorizationSpecificationError: "the database refused the login",
    asyncpg.InvalidCatalogNameError: "there is no database of this name",
    ValueError: "`url` is none: `/` in a password is written `%2F`",
}
"""Errors of a login, which is tried first at the start."""

LOGIN_ERROR_TYPES = tuple(LOGIN_ERRORS)

CLOSE_SECONDS = 2.0
"""How long a connection may take to stop its statement and say goodbye."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresqlOptions:
    """`url` as libpq reads it, and how many statements may run at once.

    `writable`: the tables that may be changed. `versions`: by table, the column that counts its changes.
    """

    url: str
    connections: int = 8
    connect_seconds: float = 2.0
    writable: tuple[str, ...] = ()
    versions: Mapping[str, Any] = field(default_factory=dict)


class PostgresqlConnector:
    """The tables and views of one database; those outside `public` are named with their schema."""

    def __init__(self, options: PostgresqlOptions, tables: Mapping[str, SqlTable]) -> None:
        self.options = options
        self.tables = tables
        self.statements = StatementCache(tables, POSTGRESQL_DIALECT, POSTGRESQL_COMPILER)
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
            except asyncpg.DataError:
                raise build_unreadable_error() from None
            except CONNECTION_LOST_ERRORS:
                raise ConnectorError("the database does not answer", retryable=True) from None
            except asyncpg.PostgresError as error:
                raise map_postgresql_error(error) from None
            except (ValueError, ArithmeticError):
                raise build_unreadable_error() from None

    async def _execute_on_any(self, sql: str, values: Sequence[Any]) -> Sequence[Any]:
        """Over a kept connection, if one lives, or else over a new one."""
        while self.idle:
            with suppress(*CONNECTION_LOST_ERRORS):
                return await self._execute_on(self.idle.pop(), sql, values)
        return await self._execute_on(await open_postgresql_connection(self.options), sql, values)

    async def _execute_on(self, connection: Any, sql: str, values: Sequence[Any]) -> Sequence[Any]:
        """A connection goes back only when its statement has ended."""
        try:
            rows: Sequence[Any] = await connection.fetch(sql, *values)
        except CONNECTION_LOST_ERRORS:
            connection.terminate()
            raise
        except asyncpg.PostgresError:
            self.idle.append(connection)
            raise
        except BaseException:
            self._abandon_connection(connection)
            raise
        self.idle.append(connection)
        return rows

    def _abandon_connection(self, connection: Any) -> None:
        """Has the server stop what runs there, and closes it; nobody waits for that."""
        task = asyncio.ensure_future(close_postgresql_connection(connection))
        self.closing_tasks.add(task)
        task.add_done_callback(self.closing_tasks.discard)

    async def ping(self) -> None:
        await self.run("SELECT 1", ())

    async def close(self) -> None:
        await self.writer.close()
        while self.idle:
            self._abandon_connection(self.idle.pop())
        await asyncio.gather(*self.closing_tasks)


async def close_postgresql_connection(connection: Any) -> None:
    with suppress(*CONNECTION_LOST_ERRORS):
        await connection.close(timeout=CLOSE_SECONDS)


def map_postgresql_error(error: asyncpg.PostgresError) -> ConnectorError:
    """Of the database where it lacks means or is being stopped; of the question where it cannot be asked so."""
    if (error.sqlstate or "")[:2] in SERVER_STATE_CLASSES:
        return ConnectorError("the database could not answer")
    return ConnectorError("the database cannot answer this question", ErrorCode.CANNOT_ANSWER)


async def connect(options: PostgresqlOptions) -> PostgresqlConnector:
    """Raises SourceFailed when the database does not answer, or lets nobody in."""
    try:
        connection = await open_postgresql_connection(options)
    except LOGIN_ERROR_TYPES as error:
        raise ConnectorError(next(told for kind, told in LOGIN_ERRORS.items() if isinstance(error, kind))) from None
    except (*CONNECTION_LOST_ERRORS, asyncpg.PostgresError):
        raise ConnectorError("the database does not answer") from None
    try:
        columns, facts = await connection.fetch(COLUMNS_SQL), await connection.fetch(STATISTICS_SQL)
    finally:
        await connection.close()
    source = PostgresqlConnector(options, reflect_postgresql_tables(columns, facts))
    if options.writable:
        made = partial(open_postgresql_connection, options)
        source.writer = await create_postgresql_writer(made, options.writable, options.versions, source.statements)
    return source


READ_ONLY_SETTINGS = {"default_transaction_read_only": "on"}


async def open_postgresql_connection(
    options: PostgresqlOptions, settings: Mapping[str, str] = READ_ONLY_SETTINGS
) -> Any:
    """In UTC; read only, unless `settings` say something else of the session."""
    return await asyncpg.connect(
        options.url,
        timeout=options.connect_seconds,
        statement_cache_size=MAX_PREPARED_STATEMENTS,
        max_cached_statement_lifetime=0,
        server_settings={**settings, "timezone": "UTC", "application_name": "onedoor"},
    )


def reflect_postgresql_tables(
    columns: Sequence[Sequence[Any]], statistics: Sequence[Sequence[Any]]
) -> dict[str, SqlTable]:
    found: dict[tuple[str, str], dict[str, SqlColumn]] = {}
    for schema, table, name, declared, nullable in columns:
        column = map_postgresql_column(name, declared, nullable=nullable)
        if column is not None:
            found.setdefault((schema, table), {})[name] = column
    known = {
        (schema, table): TableStatistics(row_count=rows, indexed_columns=frozenset(first))
        for schema, table, rows, first in statistics
    }
    return {
        table if schema == DEFAULT_SCHEMA else f"{schema}.{table}": build_sql_table(
            schema,
            table,
            columns,
            max_keys=MAX_KEYS,
            folds_case=False,
            statistics=known.get((schema, table), TableStatistics()),
        )
        for (schema, table), columns in found.items()
    }


KIND = ConnectorKind(options=PostgresqlOptions, connect=connect)
