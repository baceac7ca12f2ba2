"""Open PostgreSQL: connections through asyncpg, reflection of its tables, transactions that change rows."""

from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from sqlalchemy import String, bindparam, cast
from sqlalchemy.dialects.postgresql import insert

from onedoor.connectors.sql.compiler import StatementCache, build_unreadable_error
from onedoor.connectors.sql.connector import SqlConnector
from onedoor.connectors.sql.dialects.postgresql import (
    POSTGRESQL_DIALECT,
    NamedSqlType,
    doubt_postgresql_column,
    map_postgresql_array,
    map_postgresql_column,
)
from onedoor.connectors.sql.dialects.postgresql_types import (
    COLUMN_COMPARISONS_SQL,
    compare_natively,
    index_column_comparisons,
)
from onedoor.connectors.sql.pool import ConnectionPool, TransactionPool
from onedoor.connectors.sql.scope import Expression
from onedoor.connectors.sql.shape import ParameterIndex
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
from onedoor.connectors.sql.writes import LOCK_SECONDS, MARKER_TABLE, TRANSACTION_SECONDS, SqlWriter
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.connector import ChangeResult, ConnectorKind, RowChange

DEFAULT_SCHEMA = "public"

MAX_KEYS = 10_000

MAX_PREPARED_STATEMENTS = 1000
"""Statements that a connection keeps prepared."""

CLOSE_SECONDS = 2.0
"""How long a connection may take to stop its statement and close."""

READ_SESSION_SETTINGS = {"default_transaction_read_only": "on"}

WRITE_SESSION_SETTINGS = {
    "lock_timeout": f"{LOCK_SECONDS:g}s",
    "statement_timeout": f"{TRANSACTION_SECONDS:g}s",
    "idle_in_transaction_session_timeout": f"{TRANSACTION_SECONDS:g}s",
}
"""The server ends a transaction of ours in time, even if this process is gone."""

TYPE_NAME_SQL = "CASE WHEN {0}.typnamespace = 'pg_catalog'::regnamespace THEN format_type({0}.oid, NULL) ELSE '' END"

COLUMNS_SQL = f"""
    WITH RECURSIVE plain AS (
        SELECT oid AS declared, oid AS type FROM pg_type WHERE typtype <> 'd'
        UNION ALL SELECT t.oid, p.type FROM pg_type t JOIN plain p ON p.declared = t.typbasetype WHERE t.typtype = 'd'
    )
    SELECT n.nspname::text, c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod),
        has_schema_privilege(n.oid, 'USAGE') AND has_column_privilege(c.oid, a.attnum, 'SELECT'),
        NOT (a.attnotnull OR (c.relkind IN ('r', 'p') AND d.typtype = 'd' AND d.typnotnull)),
        {TYPE_NAME_SQL.format("t")}, CASE WHEN i.oid IS NOT NULL THEN {TYPE_NAME_SQL.format("i")} END, a.attndims
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_type d ON d.oid = a.atttypid JOIN plain p ON p.declared = d.oid JOIN pg_type t ON t.oid = p.type
    LEFT JOIN plain q ON q.declared = t.typelem AND t.typlen = -1 LEFT JOIN pg_type i ON i.oid = q.type
    WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND a.attnum > 0 AND NOT a.attisdropped
        AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%' AND c.relname <> '{MARKER_TABLE_NAME}'
    ORDER BY n.nspname, c.relname, a.attnum
"""
"""The columns of tables, views and materialized views, with their types; a domain counts as the type beneath it."""

UNREADABLE = "its user may not read it"

STATISTICS_SQL = """
    SELECT n.nspname::text, c.relname::text, CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint END,
        ARRAY(SELECT a.attname::text FROM pg_index i
              JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
              WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm', 'p', 'f') AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
"""

TABLE_NAME_SQL = "CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || c.relname"

REFERENCED_NAME_SQL = TABLE_NAME_SQL.replace("n.", "tn.").replace("c.relname", "tc.relname")

WRITE_COLUMNS_SQL = f"""
    SELECT {TABLE_NAME_SQL}, a.attname::text, format_type(a.atttypid, a.atttypmod),
        a.attidentity = 'a' OR a.attgenerated <> '', coalesce(array_position(k.conkey, a.attnum), 0)
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p'
    WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped AND n.nspname <> 'information_schema'
        AND n.nspname NOT LIKE 'pg\\_%'
"""

REFERENCES_SQL = f"""
    SELECT k.conname::text, {TABLE_NAME_SQL}, a.attname::text, {REFERENCED_NAME_SQL}, ta.attname::text
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
"""Text types to which a cast truncates."""

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

DRIVER_ERRORS = (*CONNECTION_LOST_ERRORS, asyncpg.PostgresError)

LOGIN_ERRORS: Mapping[type[Exception], str] = {
    asyncpg.InvalidAuthorizationSpecificationError: "the database refused the login",
    asyncpg.InvalidCatalogNameError: "there is no database of this name",
    ValueError: "`url` is not a URL: write `/` in a password as `%2F`",
}
"""Messages for the first login, which runs when the connector is opened."""

SERVER_STATE_CLASSES = frozenset({"08", "25", "53", "57", "58", "XX"})
"""Classes of SQLSTATE that describe the state of the server rather than the statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresqlOptions:
    """The settings of a PostgreSQL database: `url` as libpq reads it.

    `connections`: how many statements may run at once. `writable`: the tables that may be changed. `versions`: by
    table, the column that counts its changes.
    """

    url: str
    connections: int = 8
    connect_seconds: float = 2.0
    writable: tuple[str, ...] = ()
    versions: Mapping[str, Any] = field(default_factory=dict)


async def connect(options: PostgresqlOptions) -> SqlConnector:
    """Reflect the tables and views; those outside the schema `public` are named with their schema.

    Raises ConnectorError where the database does not answer or refuses the login.
    """
    driver = PostgresqlReadDriver(options)
    try:
        connection = await driver.open_connection()
    except tuple(LOGIN_ERRORS) as error:
        raise ConnectorError(next(text for kind, text in LOGIN_ERRORS.items() if isinstance(error, kind))) from None
    except DRIVER_ERRORS:
        raise ConnectorError("the database does not answer") from None
    try:
        columns, comparisons, statistics = [
            await connection.fetch(query) for query in (COLUMNS_SQL, COLUMN_COMPARISONS_SQL, STATISTICS_SQL)
        ]
    finally:
        await connection.close()
    statements = StatementCache(reflect_postgresql_tables(columns, comparisons, statistics), POSTGRESQL_DIALECT)
    connector = SqlConnector(statements, ConnectionPool(driver, options.connections))
    if options.writable:
        connector.writer = await create_postgresql_writer(options, statements)
    return connector


KIND = ConnectorKind(options=PostgresqlOptions, connect=connect)


def reflect_postgresql_tables(
    columns: Sequence[Sequence[Any]], comparisons: Sequence[Sequence[Any]], statistics: Sequence[Sequence[Any]]
) -> dict[str, SqlTable]:
    """Build the tables by collection from the rows of COLUMNS_SQL, COLUMN_COMPARISONS_SQL and STATISTICS_SQL."""
    comparison_by_column = index_column_comparisons(comparisons)
    columns_by_table: dict[tuple[str, str], dict[str, SqlColumn]] = {}
    types_by_table: dict[tuple[str, str], dict[str, str]] = {}
    for schema, table, name, declared_type, may_read, *declaration in columns:
        mapped = columns_by_table.setdefault((schema, table), {})
        column = _map_declared_column(name, *declaration)
        if column is not None and may_read:
            mapped[name] = compare_natively(column, comparison_by_column.get((schema, table, name)))
        types_by_table.setdefault((schema, table), {})[name] = declared_type if may_read else UNREADABLE
    statistics_by_table = {
        (schema, table): TableStatistics(row_count=row_count, indexed_columns=frozenset(indexed))
        for schema, table, row_count, indexed in statistics
    }
    return {
        table if schema == DEFAULT_SCHEMA else f"{schema}.{table}": build_sql_table(
            schema,
            table,
            table_columns,
            max_keys=MAX_KEYS,
            folds_case=False,
            code_point_collation="C",
            statistics=statistics_by_table.get((schema, table), TableStatistics()),
            declared_types=types_by_table[schema, table],
        )
        for (schema, table), table_columns in columns_by_table.items()
    }


def _map_declared_column(
    name: str, nullable: bool, data_type: str, item_type: str | None, dimensions: int
) -> SqlColumn | None:
    if item_type is None:
        column = map_postgresql_column(name, data_type, nullable=nullable)
        return None if column is None else doubt_postgresql_column(column, data_type)
    return map_postgresql_array(name, item_type, dimensions, nullable=nullable)


async def open_postgresql_connection(options: PostgresqlOptions, session_settings: Mapping[str, str]) -> Any:
    """Open a connection whose session is in UTC."""
    return await asyncpg.connect(
        options.url,
        timeout=options.connect_seconds,
        statement_cache_size=MAX_PREPARED_STATEMENTS,
        max_cached_statement_lifetime=0,
        server_settings={**session_settings, "timezone": "UTC", "datestyle": "ISO", "application_name": "onedoor"},
    )


class PostgresqlReadDriver:
    """Opens read-only connections."""

    errors = DRIVER_ERRORS

    def __init__(self, options: PostgresqlOptions) -> None:
        self.options = options

    async def open_connection(self) -> Any:
        return await open_postgresql_connection(self.options, READ_SESSION_SETTINGS)

    async def fetch(self, connection: Any, sql: str, values: Sequence[Any]) -> Sequence[Any]:
        rows: Sequence[Any] = await connection.fetch(sql, *values)
        return rows

    def is_connection_lost(self, error: Exception) -> bool:
        return isinstance(error, CONNECTION_LOST_ERRORS)

    def map_error(self, error: Exception) -> ConnectorError:
        return map_postgresql_error(error)

    def drop(self, connection: Any) -> None:
        connection.terminate()

    def stop(self, connection: Any) -> Coroutine[Any, Any, None]:
        return self.close_connection(connection)

    async def close_connection(self, connection: Any) -> None:
        """Close a connection; asyncpg has the server stop the statement that still runs on it."""
        with suppress(*CONNECTION_LOST_ERRORS):
            await connection.close(timeout=CLOSE_SECONDS)


def map_postgresql_error(error: Exception) -> ConnectorError:
    if isinstance(error, asyncpg.DataError):
        return build_unreadable_error()
    if isinstance(error, CONNECTION_LOST_ERRORS):
        return ConnectorError("the database does not answer", retryable=True)
    if not isinstance(error, asyncpg.PostgresError):
        return build_unreadable_error()
    if (error.sqlstate or "")[:2] in SERVER_STATE_CLASSES:
        return ConnectorError("the database could not answer")
    return ConnectorError("the database cannot answer this request", ErrorCode.CANNOT_ANSWER)


async def create_postgresql_writer(options: PostgresqlOptions, statements: StatementCache) -> SqlWriter:
    """Create the marker table if it is missing. Raises ConnectorError and ConfigurationError."""
    driver = PostgresqlWriteDriver(options)
    try:
        connection = await driver.open_connection()
        try:
            await _ensure_marker_table(connection)
            queries = (WRITE_COLUMNS_SQL, REFERENCES_SQL, UNIQUE_KEYS_SQL, CHECKS_SQL)
            columns, references, unique_keys, checks = [await connection.fetch(query) for query in queries]
        finally:
            await connection.close(timeout=LOCK_SECONDS)
    except DRIVER_ERRORS as error:
        raise build_setup_error(driver.map_failure(error)) from None
    constraints = driver.constraints = build_schema_constraints(columns, references, (*unique_keys, *checks))
    pool = TransactionPool(driver)
    dialect = WriteDialect(
        begin_transaction=pool.begin_transaction,
        lock_clause=" FOR UPDATE",
        claim_marker=insert(MARKER_TABLE)
        .values(id=bindparam("v0"))
        .on_conflict_do_nothing()
        .returning(MARKER_TABLE.c.id),
        supports_returning=True,
        bind_stored_value=bind_stored_value,
        check_constraints=check_deferred_constraints,
        close=pool.close,
    )
    targets = build_sql_targets(options.writable, options.versions, statements.tables, constraints)
    return SqlWriter(targets, dialect, statements)


async def _ensure_marker_table(connection: Any) -> None:
    if not await connection.fetchval(MARKER_TABLE_EXISTS_SQL):
        # Several servers may start at once: IF NOT EXISTS does not keep two of them from creating the table.
        with suppress(asyncpg.UniqueViolationError, asyncpg.DuplicateTableError):
            await connection.execute(CREATE_MARKER_TABLE_SQL)


def bind_stored_value(parameter: ParameterIndex, column: SqlColumn, data_type: str) -> Expression:
    """Bind a value to store; a column that is read as text is written as text."""
    if not column.read_as_text or data_type.partition("(")[0] in TRUNCATING_TEXT_TYPES:
        return POSTGRESQL_DIALECT.bind_parameter(parameter, column)
    return cast(cast(bindparam(parameter.name, type_=String()), String()), NamedSqlType(data_type))


async def check_deferred_constraints(
    transaction: SqlTransaction, *_: Sequence[RowChange] | Sequence[ChangeResult]
) -> None:
    await transaction.run("SET CONSTRAINTS ALL IMMEDIATE", ())


class PostgresqlWriteDriver:
    """Opens connections that write. `constraints` tell which columns a violated constraint is about."""

    errors = DRIVER_ERRORS

    def __init__(self, options: PostgresqlOptions) -> None:
        self.options = options
        self.constraints: SchemaConstraints | None = None

    async def open_connection(self) -> Any:
        return await open_postgresql_connection(self.options, WRITE_SESSION_SETTINGS)

    async def begin(self, connection: Any) -> "PostgresqlTransaction":
        await connection.execute("BEGIN")
        return PostgresqlTransaction(connection, self)

    def map_failure(self, error: Exception) -> WriteFailure:
        return map_postgresql_failure(error, self.constraints)

    def drop(self, connection: Any) -> None:
        connection.terminate()


class PostgresqlTransaction:
    """A transaction that was begun."""

    def __init__(self, connection: Any, driver: PostgresqlWriteDriver) -> None:
        self.connection = connection
        self.driver = driver

    async def run(self, sql: str, values: Sequence[Any]) -> StatementResult:
        try:
            rows = await self.connection.fetch(sql, *values)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
            raise WriteFailed(self.driver.map_failure(error)) from None
        return StatementResult(rows=rows, row_count=len(rows))

    async def commit(self) -> None:
        await self.run("COMMIT", ())

    async def end(self) -> bool:
        if self.connection.is_in_transaction():
            await self.connection.execute("ROLLBACK", timeout=LOCK_SECONDS)
        return not self.connection.is_closed()


def map_postgresql_failure(error: Exception, constraints: SchemaConstraints | None) -> WriteFailure:
    if isinstance(error, ValueError):
        return WriteFailure(kind=WriteFailureKind.INVALID_VALUE)
    if not isinstance(error, asyncpg.PostgresError):
        return WriteFailure(kind=WriteFailureKind.CONNECTION_LOST)
    sqlstate = error.sqlstate or ""
    kind = FAILURES_BY_SQLSTATE.get(sqlstate) or FAILURES_BY_SQLSTATE_CLASS.get(sqlstate[:2], WriteFailureKind.OTHER)
    if kind is WriteFailureKind.NOT_NULL:
        return WriteFailure(kind=kind, columns=(error.column_name,) if error.column_name else ())
    schema, table, name = error.schema_name, error.table_name, error.constraint_name
    if constraints is None or name is None:
        return WriteFailure(kind=kind)
    collection = str(table) if schema in (None, DEFAULT_SCHEMA) else f"{schema}.{table}"
    return WriteFailure(
        kind=kind,
        columns=constraints.unique_keys.get((collection, name), ()),
        reference=constraints.find_reference(name, collection),
    )
