"""Compile changes of Snowflake tables to statements, and run them in transactions."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from snowflake.connector import Error, IntegrityError, ProgrammingError
from snowflake.connector.aio import SnowflakeConnection

from onedoor.connectors.snowflake.client import (
    SnowflakeSessions,
    SnowflakeSql,
    join_sql,
    map_snowflake_error,
    quote_identifier,
    wrap_sql,
)
from onedoor.connectors.snowflake.dialect import format_sql_type
from onedoor.connectors.snowflake.tables import SnowflakeColumn, SnowflakeTable
from onedoor.connectors.sql.tables import SqlColumn
from onedoor.connectors.sql.write_model import DEFAULT_VERSION_COLUMN
from onedoor.connectors.value_checks import (
    build_key_mismatch_error,
    build_write_capabilities,
    check_same_value,
    check_settable,
    check_value_type,
)
from onedoor.errors import ConfigurationError, ConnectorError, ErrorCode, build_unknown_name_error
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.connector import ChangeKind, ChangeRejected, RowChange, RowValues, WriteCapabilities
from onedoor.spi.predicates import Row
from onedoor.spi.scan import KeyFilter, ScanRequest

WRITE_COLUMNS_SQL = (
    "SELECT TABLE_NAME, COLUMN_NAME, IS_NULLABLE, CHARACTER_MAXIMUM_LENGTH FROM INFORMATION_SCHEMA.COLUMNS "
    "WHERE TABLE_SCHEMA = ?"
)

MAX_BATCH_ROWS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class SnowflakeWriteTarget:
    """A table that may be changed. `max_lengths`: how many characters a text column holds."""

    name: str
    table: SnowflakeTable
    key: tuple[str, ...]
    capabilities: WriteCapabilities
    required_columns: frozenset[str]
    max_lengths: Mapping[str, int]


def build_snowflake_targets(
    writable: Mapping[str, Any],
    versions: Mapping[str, Any],
    tables: Mapping[str, SnowflakeTable],
    columns: Iterable[Row],
) -> Mapping[str, SnowflakeWriteTarget]:
    """Build the tables that may be changed from the settings and the rows of WRITE_COLUMNS_SQL.

    `writable` names the key columns by collection, as Snowflake enforces no key. Raises ConfigurationError.
    """
    facts = {(table, column): (nullable == "NO", length) for table, column, nullable, length in columns}
    for name in (*writable, *versions):
        if name not in tables:
            raise build_unknown_name_error("collection", name, tables)
    return {
        name: _build_snowflake_target(name, tables[name], key, versions.get(name), facts)
        for name, key in writable.items()
    }


def _build_snowflake_target(
    name: str, table: SnowflakeTable, key: Any, version: Any, column_facts: Mapping[Any, tuple[bool, Any]]
) -> SnowflakeWriteTarget:
    if not isinstance(key, list) or not key or not set(key) <= set(table.columns):
        raise ConfigurationError(f"`writable.{name}` must be a list of the columns of `{name}` that name a row")
    version_column = DEFAULT_VERSION_COLUMN if version is None else version
    has_version = version_column in table.columns and table.columns[version_column].type is ColumnType.INTEGER
    if version is not None and not has_version:
        raise ConfigurationError(f"`versions.{name}` must be a column of whole numbers of `{name}`")
    settable = frozenset(table.columns) - ({version_column} if has_version else set())
    facts = {
        column_name: column_facts.get((table.name, column.name), (False, None))
        for column_name, column in table.columns.items()
    }
    return SnowflakeWriteTarget(
        name=name,
        table=table,
        key=tuple(key),
        capabilities=build_write_capabilities(settable, key, version_column if has_version else None),
        required_columns=frozenset(column for column, (required, _) in facts.items() if required) | set(key),
        max_lengths={column: int(length) for column, (_, length) in facts.items() if length},
    )


def collect_change_values(change: RowChange, target: SnowflakeWriteTarget) -> dict[str, Any]:
    """Return, by column, all values of the change and its key. Raises ChangeRejected for what the table cannot hold."""
    values = {**change.key, **change.values} if change.kind is ChangeKind.CREATE else dict(change.key)
    if not set(target.key) <= set(values) or not set(change.key) <= set(target.key):
        raise build_key_mismatch_error(target.name, target.key)
    check_settable(change, target.capabilities)
    values |= change.values
    for name, value in values.items():
        _check_value_fits(name, value, target)
    return values


def _check_value_fits(name: str, value: Any, target: SnowflakeWriteTarget) -> None:
    column = target.table.columns[name]
    if value is None and name not in target.required_columns:
        return
    if value is None:
        raise ChangeRejected(f"`{name}` must have a value")
    check_value_type(name, value, column.type)
    try:
        is_storable = column.can_store(value)
    except ArithmeticError:
        is_storable = False
    if not is_storable or (column.type is ColumnType.TEXT and not _is_text_storable(value, name, target)):
        raise ChangeRejected(f"`{name}` cannot hold the value given")


def _is_text_storable(value: str, name: str, target: SnowflakeWriteTarget) -> bool:
    """Return whether the text is short enough and has no NUL, which a SQL database does not store either."""
    return "\0" not in value and len(value) <= target.max_lengths.get(name, len(value))


def check_required_values(values: RowValues, target: SnowflakeWriteTarget) -> None:
    """Raise ChangeRejected where a new row lacks a value."""
    for name in sorted(target.required_columns):
        if values.get(name) is None:
            raise ChangeRejected(f"`{name}` must have a value")


def check_stored_values(written: RowValues, after: RowValues, target: SnowflakeWriteTarget) -> None:
    """Raise ChangeRejected unless Snowflake stored each value as it was given."""
    for name, value in written.items():
        check_same_value(name, value, after[name], target.table.columns[name].type)


def build_row_request(target: SnowflakeWriteTarget, keys: Sequence[Row]) -> ScanRequest:
    """Build the request for all columns of rows."""
    return ScanRequest(
        collection=target.name, columns=tuple(target.table.columns), keys=KeyFilter(target.key, tuple(keys))
    )


def compile_row_insert(target: SnowflakeWriteTarget, rows: Sequence[RowValues]) -> SnowflakeSql:
    """Compile one insert of rows that set the same columns."""
    names = sorted(rows[0])
    columns = ", ".join(quote_identifier(target.table.columns[name].name) for name in names)
    values = [_compile_value_row(target, names, row) for row in rows]
    return wrap_sql(f"INSERT INTO {quote_identifier(target.table.name)} ({columns}) VALUES ", join_sql(", ", values))


def compile_row_update(target: SnowflakeWriteTarget, key: RowValues, values: RowValues) -> SnowflakeSql:
    assignments = join_sql(", ", [_compile_equality(target, name, values[name]) for name in sorted(values)])
    return join_sql(
        " ",
        (
            SnowflakeSql(f"UPDATE {quote_identifier(target.table.name)} SET"),
            assignments,
            SnowflakeSql("WHERE"),
            _compile_key_condition(target, key),
        ),
    )


def compile_row_delete(target: SnowflakeWriteTarget, key: RowValues) -> SnowflakeSql:
    return join_sql(
        " ",
        (SnowflakeSql(f"DELETE FROM {quote_identifier(target.table.name)} WHERE"), _compile_key_condition(target, key)),
    )


def _compile_key_condition(target: SnowflakeWriteTarget, key: RowValues) -> SnowflakeSql:
    return join_sql(" AND ", [_compile_equality(target, name, key[name]) for name in target.key])


def _compile_equality(target: SnowflakeWriteTarget, name: str, value: Any) -> SnowflakeSql:
    column = target.table.columns[name]
    return SnowflakeSql(
        f"{quote_identifier(column.name)} = {compile_placeholder(column)}", (_bind_column_value(target, name, value),)
    )


def _compile_value_row(target: SnowflakeWriteTarget, names: Sequence[str], row: RowValues) -> SnowflakeSql:
    placeholders = ", ".join(compile_placeholder(target.table.columns[name]) for name in names)
    return SnowflakeSql(f"({placeholders})", tuple(_bind_column_value(target, name, row[name]) for name in names))


def _bind_column_value(target: SnowflakeWriteTarget, name: str, value: Any) -> Any:
    return None if value is None else bind_value(value, target.table.columns[name])


def compile_placeholder(column: SqlColumn) -> str:
    return f"CAST(? AS {format_sql_type(column)})" if column.type is ColumnType.DECIMAL else "?"


def bind_value(value: Any, column: SnowflakeColumn) -> Any:
    """Bind a value that is stored; a time in UTC with its type, as a column without a zone takes the session's."""
    if column.zoneless:
        return ("TIMESTAMP_NTZ", value.astimezone(UTC).replace(tzinfo=None))
    if column.type is ColumnType.TIME:
        return ("TIMESTAMP_TZ", value.astimezone(UTC))
    return column.encode(value) if column.encode else value


@dataclass(frozen=True, slots=True, kw_only=True)
class RowWrite:
    """A change of one row; `values` include its key."""

    change: RowChange
    target: SnowflakeWriteTarget
    values: RowValues

    @property
    def key(self) -> Row:
        return tuple(self.values[name] for name in self.target.key)

    @property
    def batch_key(self) -> Any:
        """The key by which changes are put together that can share a statement."""
        return self.target.name, self.change.kind, frozenset(self.values)


def group_into_batches(writes: Sequence[RowWrite]) -> Iterator[list[RowWrite]]:
    """Group neighbours that can share a statement, each of another row."""
    batch: list[RowWrite] = []
    for write in writes:
        if batch and (
            len(batch) == MAX_BATCH_ROWS
            or write.batch_key != batch[0].batch_key
            or write.key in {other.key for other in batch}
        ):
            yield batch
            batch = []
        batch.append(write)
    if batch:
        yield batch


LOCK_TIMEOUT_ERRORS = frozenset({604, 625})
"""The numbers of errors for a lock that took too long, or that too many wait for."""

INVALID_VALUE_ERRORS = frozenset({100035, 100038, 100039, 100040, 100046, 100067, 100078, 100132})
"""The numbers of errors for a value that a column cannot hold."""

NULL_VALUE_ERROR = 100072

PERMISSION_ERROR = 3001


REFUSALS = (ProgrammingError, IntegrityError)
"""The errors of a statement that leave its transaction as it was."""


class TransactionBusy(Exception):
    """Another transaction holds a lock that this one needs."""


class TransactionFailed(Exception):
    """A statement failed with `error`; what was not committed is rolled back."""

    def __init__(self, error: ConnectorError) -> None:
        self.error = error


class SnowflakeTransaction:
    """A transaction on one connection. Its methods raise TransactionBusy, TransactionFailed and ChangeRejected."""

    def __init__(self, sessions: SnowflakeSessions, connection: SnowflakeConnection) -> None:
        self.sessions = sessions
        self.connection = connection
        self.active = False
        self.usable = True

    async def begin(self) -> None:
        await self.run(SnowflakeSql("BEGIN"))
        self.active = True

    async def commit(self) -> None:
        try:
            await self.run(SnowflakeSql("COMMIT"))
        except (TransactionBusy, ChangeRejected) as reason:
            raise TransactionFailed(ConnectorError("snowflake could not say whether the change was made")) from reason
        self.active = False

    async def rollback(self) -> None:
        if self.active and self.usable:
            await self.run(SnowflakeSql("ROLLBACK"))
        self.active = False

    async def run(self, sql: SnowflakeSql) -> list[Row]:
        timeout = self.sessions.options.timeout
        try:
            fetching = self.sessions.driver.fetch(self.connection, sql.text, sql.binds)
            rows: list[Row] = await self.sessions.limit_time(fetching)
        except Exception as error:
            self.usable = (
                self.usable and isinstance(error, REFUSALS) and not self.sessions.driver.is_connection_lost(error)
            )
            raise map_transaction_error(error, timeout) from None
        except BaseException:
            self.usable = False
            raise
        return rows


def map_transaction_error(error: Exception, timeout: float) -> Exception:
    match error:
        case Error(errno=number) if number in LOCK_TIMEOUT_ERRORS:
            return TransactionBusy()
        case Error(errno=number) if number in INVALID_VALUE_ERRORS:
            return ChangeRejected("a column cannot hold the value given")
        case Error(errno=number) if number == NULL_VALUE_ERROR:
            return ChangeRejected("a column must have a value")
        case Error(errno=number) if number == PERMISSION_ERROR:
            message = "snowflake does not let its user change the table: grant it, or take it out of `writable`"
            return ChangeRejected(message, ErrorCode.CANNOT_ANSWER)
    return TransactionFailed(map_snowflake_error(error, timeout))


BeginTransaction = Callable[[SnowflakeTransaction], Awaitable[None]]


@asynccontextmanager
async def open_transaction(sessions: SnowflakeSessions, begin: BeginTransaction) -> AsyncIterator[SnowflakeTransaction]:
    """Begin a transaction by `begin`, on a new connection where the server has forgotten the idle ones."""
    transaction = SnowflakeTransaction(sessions, await _acquire_connection(sessions))
    try:
        await begin(transaction)
        yield transaction
    finally:
        await _release_transaction(transaction)


async def _acquire_connection(sessions: SnowflakeSessions) -> SnowflakeConnection:
    while sessions.pool.idle:
        connection = sessions.pool.idle.pop()
        if await _is_connection_alive(sessions, connection):
            return connection
    try:
        return await sessions.limit_time(sessions.driver.open_connection())
    except Exception as error:
        raise TransactionFailed(map_snowflake_error(error, sessions.options.timeout)) from None


async def _is_connection_alive(sessions: SnowflakeSessions, connection: SnowflakeConnection) -> bool:
    """Try a connection, which is closed unless it answers."""
    try:
        await sessions.limit_time(sessions.driver.fetch(connection, "SELECT 1", ()))
    except (Error, TimeoutError):
        sessions.driver.drop(connection)
        return False
    except BaseException:
        sessions.driver.drop(connection)
        raise
    return True


async def _release_transaction(transaction: SnowflakeTransaction) -> None:
    try:
        await transaction.rollback()
    except (TransactionBusy, TransactionFailed, ChangeRejected):
        transaction.usable = False
    except BaseException:
        transaction.usable = False
        raise
    finally:
        if transaction.usable:
            transaction.sessions.pool.idle.append(transaction.connection)
        else:
            transaction.sessions.driver.drop(transaction.connection)
