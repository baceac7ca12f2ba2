"""Changes as SQL in transactions."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from snowflake.connector import Error, ProgrammingError, SnowflakeConnection

from onedoor.connectors.snowflake.client import (
    SESSION_LOST_ERRORS,
    RunningStatement,
    SnowflakeSessions,
    SnowflakeSql,
    SnowflakeStatusError,
    join_sql,
    map_snowflake_error,
    quote_identifier,
    wrap_sql,
)
from onedoor.connectors.snowflake.compiler import bind_value, compile_placeholder, compile_snowflake_query, is_storable
from onedoor.connectors.snowflake.introspection import SnowflakeTable
from onedoor.connectors.value_checks import TYPE_CHECKS, is_same_value
from onedoor.errors import ConfigurationError, ConnectorError, ErrorCode, build_unknown_name_error
from onedoor.runtime.concurrency import run_in_thread
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.connector import ChangeKind, ChangeRejected, RowChange, RowValues, WriteCapabilities
from onedoor.spi.predicates import Row
from onedoor.spi.scan import KeyFilter, ScanRequest

WRITE_COLUMNS_SQL = (
    "SELECT TABLE_NAME, COLUMN_NAME, IS_NULLABLE, CHARACTER_MAXIMUM_LENGTH FROM INFORMATION_SCHEMA.COLUMNS "
    "WHERE TABLE_SCHEMA = ?"
)

DEFAULT_VERSION_COLUMN = "version"

MAX_BATCH_ROWS = 200
"""Rows of one statement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnowflakeWriteTarget:
    """A table that may be changed. `needed`: columns that always have a value; `letters`: how many a text may have."""

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
    """`writable`: by collection the columns of its key, as Snowflake sees to none. Raises Mistake."""
    facts = {(table, column): (nullable == "NO", letters) for table, column, nullable, letters in columns}
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
    at = DEFAULT_VERSION_COLUMN if version is None else version
    counted = at in table.columns and table.columns[at].column_type is ColumnType.INTEGER
    if version is not None and not counted:
        raise ConfigurationError(f"`versions.{name}` must be a column of whole numbers of `{name}`")
    settable = frozenset(table.columns) - ({at} if counted else set())
    rest = settable - set(key)
    verbs = {
        ChangeKind.CREATE: settable,
        ChangeKind.UPDATE: rest,
        ChangeKind.PUT: rest,
        ChangeKind.DELETE: frozenset[str](),
    }
    told = {each: column_facts.get((table.name, column.name), (False, None)) for each, column in table.columns.items()}
    return SnowflakeWriteTarget(
        name=name,
        table=table,
        key=tuple(key),
        capabilities=WriteCapabilities(
            settable_columns=verbs, version_column=at if counted else None, transactional=True, fenced=True
        ),
        required_columns=frozenset(each for each, (needed, _) in told.items() if needed) | set(key),
        max_lengths={each: int(letters) for each, (_, letters) in told.items() if letters},
    )


def collect_change_values(change: RowChange, target: SnowflakeWriteTarget) -> dict[str, Any]:
    """By column, all that the change gives, its key too. Raises Unmade for what the table cannot hold."""
    given = {**change.key, **change.values} if change.kind is ChangeKind.CREATE else dict(change.key)
    if set(given) & set(target.key) != set(target.key) or not set(change.key) <= set(target.key):
        raise ChangeRejected(f"a row of `{target.name}` is named by " + ", ".join(f"`{each}`" for each in target.key))
    for name in change.values:
        if name not in target.capabilities.settable_columns[change.kind]:
            raise ChangeRejected(f"`{name}` of `{target.name}` is not to be set by a change")
    given |= change.values
    for name, value in given.items():
        _check_value_fits(name, value, target)
    return given


def _check_value_fits(name: str, value: Any, target: SnowflakeWriteTarget) -> None:
    stored = target.table.columns[name]
    if value is None and name not in target.required_columns:
        return
    if value is None:
        raise ChangeRejected(f"`{name}` must have a value")
    if not TYPE_CHECKS[stored.column_type](value):
        raise ChangeRejected(f"`{name}` takes values of the kind {stored.column_type}")
    try:
        holds = is_storable(value, stored)
    except ArithmeticError:
        holds = False
    if not holds or (stored.column_type is ColumnType.TEXT and not _is_text_storable(value, name, target)):
        raise ChangeRejected(f"`{name}` cannot hold the value given")


def _is_text_storable(value: str, name: str, target: SnowflakeWriteTarget) -> bool:
    """As of a database's text, no NUL is among them."""
    return "\0" not in value and len(value) <= target.max_lengths.get(name, len(value))


def check_required_values(values: RowValues, target: SnowflakeWriteTarget) -> None:
    """Raises Unmade where a row that is created lacks a value."""
    for name in sorted(target.required_columns):
        if values.get(name) is None:
            raise ChangeRejected(f"`{name}` must have a value")


def check_stored_values(written: RowValues, after: RowValues, target: SnowflakeWriteTarget) -> None:
    """Raises Unmade unless a read gives back what was given."""
    for name, value in written.items():
        if not is_same_value(value, after[name], target.table.columns[name].column_type):
            raise ChangeRejected(f"`{name}` cannot hold the value given without making it another")


def compile_row_read(target: SnowflakeWriteTarget, keys: Sequence[Row]) -> tuple[ScanRequest, SnowflakeSql]:
    columns = tuple(target.table.columns)
    ask = ScanRequest(collection=target.name, columns=columns, keys=KeyFilter(target.key, tuple(keys)))
    return ask, compile_snowflake_query(ask, {target.name: target.table})


def compile_row_insert(target: SnowflakeWriteTarget, rows: Sequence[RowValues]) -> SnowflakeSql:
    """All of them give the same columns."""
    names = sorted(rows[0])
    columns = ", ".join(quote_identifier(target.table.columns[each].name) for each in names)
    values = [_compile_value_row(target, names, row) for row in rows]
    return wrap_sql(f"INSERT INTO {quote_identifier(target.table.name)} ({columns}) VALUES ", join_sql(", ", values))


def compile_row_update(target: SnowflakeWriteTarget, key: RowValues, values: RowValues) -> SnowflakeSql:
    set_to = join_sql(", ", [_compile_equality(target, name, values[name]) for name in sorted(values)])
    return join_sql(
        " ",
        (
            SnowflakeSql(f"UPDATE {quote_identifier(target.table.name)} SET"),
            set_to,
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
    return join_sql(" AND ", [_compile_equality(target, each, key[each]) for each in target.key])


def _compile_equality(target: SnowflakeWriteTarget, name: str, value: Any) -> SnowflakeSql:
    stored = target.table.columns[name]
    return SnowflakeSql(
        f"{quote_identifier(stored.name)} = {compile_placeholder(stored)}", (_bind_column_value(target, name, value),)
    )


def _compile_value_row(target: SnowflakeWriteTarget, names: Sequence[str], row: RowValues) -> SnowflakeSql:
    marks = ", ".join(compile_placeholder(target.table.columns[each]) for each in names)
    return SnowflakeSql(f"({marks})", tuple(_bind_column_value(target, each, row[each]) for each in names))


def _bind_column_value(target: SnowflakeWriteTarget, name: str, value: Any) -> Any:
    return None if value is None else bind_value(value, target.table.columns[name])


@dataclass(frozen=True, slots=True, kw_only=True)
class RowWrite:
    """A change of a row, what it gives, and its key."""

    change: RowChange
    target: SnowflakeWriteTarget
    values: RowValues

    @property
    def key(self) -> Row:
        return tuple(self.values[each] for each in self.target.key)

    @property
    def batch_key(self) -> Any:
        return self.target.name, self.change.kind, frozenset(self.values)


def group_into_batches(writes: Sequence[RowWrite]) -> Iterator[list[RowWrite]]:
    """Those that stand next to each other and are of one kind, each of another row."""
    run: list[RowWrite] = []
    for step in writes:
        if run and (
            len(run) == MAX_BATCH_ROWS or step.batch_key != run[0].batch_key or step.key in {each.key for each in run}
        ):
            yield run
            run = []
        run.append(step)
    if run:
        yield run


LOCK_TIMEOUT_ERRORS = frozenset({604, 625})
"""Errors of a statement that waited too long for what another transaction holds, or among too many."""

CONFLICT_STATUS = 500
"""The status by which a warehouse that never waits says that another transaction was first."""

INVALID_VALUE_ERRORS = frozenset({100035, 100038, 100039, 100040, 100046, 100067, 100078, 100132})
"""Errors of values that a column cannot hold."""

NULL_VALUE_ERROR = 100072

PERMISSION_ERROR = 3001


class TransactionBusy(Exception):
    """Others hold what the transaction needs."""


class TransactionFailed(Exception):
    """The statement failed as `failure` says; what was not committed is undone."""

    def __init__(self, error: ConnectorError) -> None:
        self.error = error


class SnowflakeTransaction:
    """One connection and what is under way on it. Its methods raise Busy, Lost and Unmade."""

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
            raise TransactionFailed(ConnectorError("snowflake could not say whether it was made")) from reason
        self.active = False

    async def rollback(self) -> None:
        if self.active and self.usable:
            await self.run(SnowflakeSql("ROLLBACK"))
        self.active = False

    async def run(self, sql: SnowflakeSql) -> list[Row]:
        running = RunningStatement(sql)
        timeout = self.sessions.options.timeout
        try:
            async with asyncio.timeout(timeout):
                return await run_in_thread(self.sessions.executor, partial(running.execute, self.connection))
        except Exception as error:
            self.usable = self.usable and isinstance(error, (ProgrammingError, SnowflakeStatusError))
            if not self.usable:
                self.sessions.abandon(running)
            raise map_transaction_error(error, timeout) from None
        except BaseException:
            self.usable = False
            self.sessions.abandon(running)
            raise


def map_transaction_error(error: Exception, timeout: float) -> Exception:
    match error:
        case SnowflakeStatusError(errno=number) if number == CONFLICT_STATUS:
            return TransactionBusy()
        case Error(errno=number) if number in LOCK_TIMEOUT_ERRORS:
            return TransactionBusy()
        case Error(errno=number) if number in INVALID_VALUE_ERRORS:
            return ChangeRejected("a column cannot hold the value given")
        case Error(errno=number) if number == NULL_VALUE_ERROR:
            return ChangeRejected("a column must have a value")
        case Error(errno=number) if number == PERMISSION_ERROR:
            said = "snowflake does not let its user change the table: grant it, or take it out of `writable`"
            return ChangeRejected(said, ErrorCode.CANNOT_ANSWER)
    return TransactionFailed(map_snowflake_error(error, timeout))


@asynccontextmanager
async def open_transaction(
    sessions: SnowflakeSessions, begin: Callable[[SnowflakeTransaction], Awaitable[None]]
) -> AsyncIterator[SnowflakeTransaction]:
    """`begin` begins it; over a new connection where the server forgot the one that was kept."""
    transaction = await _begin_transaction(sessions, begin)
    try:
        yield transaction
    finally:
        await _release_transaction(transaction)


async def _begin_transaction(
    sessions: SnowflakeSessions, begin: Callable[[SnowflakeTransaction], Awaitable[None]]
) -> SnowflakeTransaction:
    while (kept := sessions.pop_idle_connection()) is not None:
        if await _is_connection_alive(sessions, kept):
            return await _begin_or_release(SnowflakeTransaction(sessions, kept), begin)
        sessions.background_executor.submit(kept.close, False)
    try:
        async with asyncio.timeout(sessions.options.timeout):
            opened = await run_in_thread(sessions.executor, sessions.open_new_connection)
    except Exception as error:
        raise TransactionFailed(map_snowflake_error(error, sessions.options.timeout)) from None
    return await _begin_or_release(SnowflakeTransaction(sessions, opened), begin)


async def _is_connection_alive(sessions: SnowflakeSessions, kept: SnowflakeConnection) -> bool:
    try:
        await run_in_thread(sessions.executor, partial(RunningStatement(SnowflakeSql("SELECT 1")).execute, kept))
    except Error as error:
        return isinstance(error, ProgrammingError) and error.errno not in SESSION_LOST_ERRORS
    return True


async def _begin_or_release(
    transaction: SnowflakeTransaction, begin: Callable[[SnowflakeTransaction], Awaitable[Any]]
) -> SnowflakeTransaction:
    try:
        await begin(transaction)
    except BaseException:
        await _release_transaction(transaction)
        raise
    return transaction


async def _release_transaction(transaction: SnowflakeTransaction) -> None:
    try:
        await transaction.rollback()
    except (TransactionBusy, TransactionFailed, ChangeRejected):
        transaction.usable = False
    sessions, connection = transaction.sessions, transaction.connection
    if transaction.usable:
        sessions.idle.append(connection)
    else:
        sessions.background_executor.submit(connection.close, False)
