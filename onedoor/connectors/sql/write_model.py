"""Model what may be changed in a database, what a change may hold, and why a database refused one."""

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from onedoor.connectors.sql.scope import Expression
from onedoor.connectors.sql.shape import ParameterIndex
from onedoor.connectors.sql.tables import SqlColumn, SqlTable
from onedoor.connectors.value_checks import (
    build_key_mismatch_error,
    build_write_capabilities,
    check_same_value,
    check_settable,
    check_value_type,
)
from onedoor.errors import ConfigurationError, ConnectorError, ErrorCode, build_unknown_name_error
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.connector import ChangeKind, ChangeRejected, ChangeResult, RowChange, WriteCapabilities
from onedoor.spi.text_types import InvalidText

MARKER_TABLE_NAME = "onedoor_change"
"""The table that stores the outcome of each change."""

DEFAULT_VERSION_COLUMN = "version"
"""The column that holds a row's version where the settings name no other."""


class WriteFailureKind(StrEnum):
    """Why a database did not make a change."""

    UNIQUE = "unique"
    REFERENCE = "reference"
    """The row refers to one that is missing, or a row to delete is referred to."""
    NOT_NULL = "empty"
    CHECK = "check"
    INVALID_VALUE = "unfit"
    """Too long, too large, or not of the column's type."""
    PERMISSION_DENIED = "denied"
    LOCK_CONFLICT = "busy"
    """Others hold a lock it needs, or it was the victim of a deadlock; it may be tried again."""
    CONNECTION_LOST = "lost"
    """The connection is gone. That rolls the transaction back, unless it was being committed."""
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignKey:
    """A foreign key between two collections."""

    name: str
    table: str
    columns: tuple[str, ...]
    referenced_table: str
    referenced_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteFailure:
    """A failed statement; `columns`, the unique `key` and `reference` as far as the database names them."""

    kind: WriteFailureKind
    columns: tuple[str, ...] = ()
    key: str = ""
    reference: ForeignKey | None = None


class WriteFailed(Exception):
    """A statement of a transaction failed, and all of the transaction is rolled back."""

    def __init__(self, failure: WriteFailure) -> None:
        super().__init__(failure.kind)
        self.failure = failure


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaConstraints:
    """The constraints and declared types of all tables of a database, by collection."""

    primary_keys: Mapping[str, tuple[str, ...]]
    column_types: Mapping[str, Mapping[str, str]]
    generated_columns: frozenset[tuple[str, str]]
    references: tuple[ForeignKey, ...]
    unique_keys: Mapping[tuple[str, str], tuple[str, ...]]
    """The columns of a unique key, by its collection and name."""

    def find_reference(self, name: str, table: str | None = None) -> ForeignKey | None:
        """Find a foreign key by its name, which some databases make unique only within a table."""
        return next(
            (key for key in self.references if key.name == name and table in (None, key.table)),
            None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlWriteTarget:
    """A table that may be changed. `column_types` are as the table declares them."""

    name: str
    table: SqlTable
    key: tuple[str, ...]
    capabilities: WriteCapabilities
    column_types: Mapping[str, str]

    @property
    def version(self) -> str | None:
        return self.capabilities.version_column


class StatementResult(NamedTuple):
    """The rows of a statement, how many it changed or returned, and the number it gave a new row."""

    rows: Sequence[Sequence[Any]]
    row_count: int = 0
    inserted_id: int = 0


class SqlTransaction(Protocol):
    """A transaction on one connection. Each method raises WriteFailed, and nothing else."""

    async def run(self, sql: str, values: Sequence[Any]) -> StatementResult: ...

    async def commit(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteDialect:
    """What each kind of database does in its own way to change rows."""

    begin_transaction: Callable[[], AbstractAsyncContextManager[SqlTransaction]]
    """Begins a transaction, which is rolled back at the end unless it was committed. Raises WriteFailed."""
    lock_clause: str
    """Follows the read of a row that is about to be changed."""
    claim_marker: Any
    """Inserts the id `v0` into the marker table, or changes nothing and counts no row where it is there."""
    supports_returning: bool
    """An insert returns generated columns; without it, only the one generated number."""
    bind_stored_value: Callable[[ParameterIndex, SqlColumn, str], Expression]
    """Binds a value to be stored in a column of a declared type."""
    check_constraints: Callable[[SqlTransaction, Sequence[RowChange], Sequence[ChangeResult]], Awaitable[None]]
    """Checks now what the database would otherwise check at the commit. Raises WriteFailed."""
    close: Callable[[], Awaitable[None]]
    unique_keys: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    """As SchemaConstraints has them, where the database reports a violated key by its name alone."""


UNKNOWN_OUTCOME_MESSAGE = "whether the change was made is not known: the database left before it could say so"

BUSY_MESSAGE = "the database is busy with other changes, ask again"

MessageBuilder = Callable[[tuple[str, ...], str], str]

FAILURE_MESSAGES: Mapping[WriteFailureKind, tuple[MessageBuilder, ErrorCode]] = {
    WriteFailureKind.UNIQUE: (
        lambda columns, table: f"there already is a row of {table} with this {format_column_names(columns, 'value')}",
        ErrorCode.ALREADY_EXISTS,
    ),
    WriteFailureKind.NOT_NULL: (
        lambda columns, table: f"{format_column_names(columns, f'a column of {table}')} must have a value",
        ErrorCode.BAD_USER_INPUT,
    ),
    WriteFailureKind.CHECK: (
        lambda columns, table: f"a check of {table} does not let {format_column_names(columns, 'the row')} be so",
        ErrorCode.BAD_USER_INPUT,
    ),
    WriteFailureKind.INVALID_VALUE: (
        lambda columns, table: f"{format_column_names(columns, f'a column of {table}')} cannot hold the value given",
        ErrorCode.BAD_USER_INPUT,
    ),
    WriteFailureKind.PERMISSION_DENIED: (
        lambda _, table: f"the database does not let its user change {table}: grant it, or take it out of `writable`",
        ErrorCode.CANNOT_ANSWER,
    ),
    WriteFailureKind.LOCK_CONFLICT: (lambda *_: BUSY_MESSAGE, ErrorCode.SOURCE_OVERLOADED),
    WriteFailureKind.CONNECTION_LOST: (lambda *_: "the database does not answer", ErrorCode.SOURCE_UNAVAILABLE),
    WriteFailureKind.OTHER: (
        lambda _, table: f"the database does not make this change of {table}",
        ErrorCode.CANNOT_ANSWER,
    ),
}


def build_change_rejection(failure: WriteFailure, change: RowChange | None) -> ChangeRejected:
    """Build the message of a failure; `change` is the one it is about, where that is known."""
    table = f"`{change.collection}`" if change else "a table"
    if failure.kind is WriteFailureKind.REFERENCE:
        return ChangeRejected(_describe_reference_failure(failure.reference, change, table))
    build_message, code = FAILURE_MESSAGES[failure.kind]
    return ChangeRejected(build_message(failure.columns, table), code)


def _describe_reference_failure(reference: ForeignKey | None, change: RowChange | None, table: str) -> str:
    """Say which reference fails; about rows that refer to the changed one, only that there are some."""
    is_referenced = change is not None and (reference is None or reference.referenced_table == change.collection)
    if (
        change is not None
        and is_referenced
        and (reference is None or reference.table != change.collection or change.kind is ChangeKind.DELETE)
    ):
        return f"other rows still refer to this row of {table}"
    if reference is None:
        return f"no row has the key given as a reference of {table}"
    return f"no row of `{reference.referenced_table}` has the key given as {format_column_names(reference.columns, '')}"


def map_lookup_failure(failure: WriteFailure) -> ConnectorError:
    """Map the failure of a transaction that looks a change up and changes no row of a caller."""
    if failure.kind is WriteFailureKind.LOCK_CONFLICT:
        return ConnectorError(BUSY_MESSAGE, ErrorCode.SOURCE_OVERLOADED)
    return ConnectorError(
        "the database does not answer" if failure.kind is WriteFailureKind.CONNECTION_LOST else "the database failed"
    )


def build_setup_error(failure: WriteFailure) -> ConnectorError:
    """Map the failure to create the marker table and read the constraints."""
    if failure.kind is WriteFailureKind.PERMISSION_DENIED:
        return ConnectorError(
            f"the database does not let its user make the table `{MARKER_TABLE_NAME}`, which `writable` needs"
        )
    return ConnectorError("the database does not answer", retryable=True)


def format_column_names(columns: tuple[str, ...], otherwise: str) -> str:
    return ", ".join(f"`{name}`" for name in columns) or otherwise


def build_sql_targets(
    writable: Sequence[str], versions: Mapping[str, Any], tables: Mapping[str, SqlTable], constraints: SchemaConstraints
) -> Mapping[str, SqlWriteTarget]:
    """Build the tables that may be changed; `versions` names the version column by collection.

    Raises ConfigurationError.
    """
    for name in (*writable, *versions):
        if name not in tables:
            raise build_unknown_name_error("collection", name, tables)
    for name in versions:
        if name not in writable:
            raise ConfigurationError(f"`versions.{name}` needs `{name}` in `writable`")
    return {name: _build_sql_target(tables[name], name, versions.get(name), constraints) for name in writable}


def _build_sql_target(
    table: SqlTable, name: str, version_column: Any, constraints: SchemaConstraints
) -> SqlWriteTarget:
    key = constraints.primary_keys.get(name, ())
    if not key or not set(key) <= set(table.columns):
        raise ConfigurationError(f"`{name}` cannot be written to: it has no primary key")
    version = _find_version_column(table, name, version_column)
    settable = frozenset(
        column.name
        for column in table.columns.values()
        if not (
            column.incomparable
            or column.type is ColumnType.LIST
            or (name, column.name) in constraints.generated_columns
            or column.name == version
        )
    )
    return SqlWriteTarget(
        name=name,
        table=table,
        key=key,
        capabilities=build_write_capabilities(settable, key, version),
        column_types=constraints.column_types.get(name, {}),
    )


def _find_version_column(table: SqlTable, name: str, column_name: Any) -> str | None:
    column = table.columns.get(DEFAULT_VERSION_COLUMN if column_name is None else str(column_name))
    if column is not None and column.type is ColumnType.INTEGER:
        return column.name
    if column_name is not None:
        raise ConfigurationError(f"`versions.{name}` must be a column of whole numbers of `{name}`")
    return None


def build_schema_constraints(
    columns: Iterable[Sequence[Any]], references: Iterable[Sequence[Any]], unique_keys: Iterable[Sequence[Any]] = ()
) -> SchemaConstraints:
    """Build the constraints from rows about one column each, in the order of the columns.

    Columns: table, name, declared type, whether it is generated, its place in the primary key or 0.
    References: name, table, column, referenced table, referenced column or None for that table's primary key.
    Unique keys: table, name of the key, column.
    """
    types = defaultdict[str, dict[str, str]](dict)
    key_parts = defaultdict[str, list[tuple[int, str]]](list)
    generated = set()
    for table, name, declared_type, is_generated, place in columns:
        types[table][name] = declared_type
        if place:
            key_parts[table].append((place, name))
        if is_generated:
            generated.add((table, name))
    primary_keys = {table: tuple(name for _, name in sorted(parts)) for table, parts in key_parts.items()}
    unique = defaultdict[tuple[str, str], list[str]](list)
    for table, name, column in unique_keys:
        unique[table, name].append(column)
    return SchemaConstraints(
        primary_keys=primary_keys,
        column_types=types,
        generated_columns=frozenset(generated),
        references=_build_foreign_keys(references, primary_keys),
        unique_keys={key: tuple(names) for key, names in unique.items()},
    )


def _build_foreign_keys(
    rows: Iterable[Sequence[Any]], primary_keys: Mapping[str, tuple[str, ...]]
) -> tuple[ForeignKey, ...]:
    pairs_by_key = defaultdict[tuple[str, str, str], list[tuple[str, Any]]](list)
    for name, table, column, referenced_table, referenced_column in rows:
        pairs_by_key[name, table, referenced_table].append((column, referenced_column))
    return tuple(
        ForeignKey(
            name=name,
            table=table,
            columns=tuple(column for column, _ in pairs),
            referenced_table=referenced_table,
            referenced_columns=primary_keys.get(referenced_table, ())
            if None in (referenced for _, referenced in pairs)
            else tuple(referenced for _, referenced in pairs),
        )
        for (name, table, referenced_table), pairs in pairs_by_key.items()
    )


INTEGER_TYPE_LIMITS = {"smallint": 2**15, "integer": 2**31}

TEXT_LENGTH_PATTERN = re.compile(r"(?:character varying|varchar|character|char)\((\d+)\)")

DECIMAL_DIGITS_PATTERN = re.compile(r"(?:numeric|decimal)\((\d+),\s*(\d+)\)")


def collect_change_values(change: RowChange, target: SqlWriteTarget) -> dict[str, Any]:
    """Return, by column, the values that the change sets, the key of a new row included. Raises ChangeRejected."""
    if not set(change.key) <= set(target.key):
        raise build_key_mismatch_error(target.name, target.key)
    is_insert = change.kind in (ChangeKind.CREATE, ChangeKind.PUT)
    given = {**change.key, **change.values} if is_insert else change.values
    check_settable(change, target.capabilities)
    values = {name: _spell_value(value, target.table.columns[name]) for name, value in given.items()}
    for name, value in values.items():
        _check_value_fits(name, value, target)
    return values


def get_change_key(change: RowChange, target: SqlWriteTarget) -> tuple[Any, ...]:
    """Return the values of the whole key. Raises ChangeRejected where a part is missing or another column is named."""
    if set(change.key) != set(target.key) or None in change.key.values():
        raise build_key_mismatch_error(target.name, target.key)
    for name in target.key:
        check_value_type(name, change.key[name], target.table.columns[name].type)
    return tuple(_spell_value(change.key[name], target.table.columns[name]) for name in target.key)


def _spell_value(value: Any, column: SqlColumn) -> Any:
    """Return a value in the one spelling of its type. Raises ChangeRejected for a text that is not of it."""
    if column.text_type is None or not isinstance(value, str):
        return value
    try:
        return column.text_type.parse(value)
    except InvalidText as error:
        raise ChangeRejected(str(error)) from None


def _check_value_fits(name: str, value: Any, target: SqlWriteTarget) -> None:
    """Raise ChangeRejected unless the column can hold the value."""
    column = target.table.columns[name]
    if value is None:
        if not column.nullable:
            raise ChangeRejected(f"`{name}` must have a value")
        return
    check_value_type(name, value, column.type)
    if not _can_store(value, column) or not _fits_declared_type(value, target.column_types.get(name, "")):
        raise ChangeRejected(f"`{name}` cannot hold the value given")


def _can_store(value: Any, column: SqlColumn) -> bool:
    try:
        return column.can_store(value)
    except ArithmeticError:
        return False


def _fits_declared_type(value: Any, declared_type: str) -> bool:
    if declared_type in INTEGER_TYPE_LIMITS:
        return bool(-INTEGER_TYPE_LIMITS[declared_type] <= value < INTEGER_TYPE_LIMITS[declared_type])
    if (length := TEXT_LENGTH_PATTERN.fullmatch(declared_type)) is not None:
        return len(value) <= int(length[1])
    if (digits := DECIMAL_DIGITS_PATTERN.fullmatch(declared_type)) is not None:
        whole_digits, places = int(digits[1]) - int(digits[2]), int(digits[2])
        exponent = int(Decimal(value).normalize().as_tuple().exponent)
        return abs(value) < 10**whole_digits and -exponent <= places
    return True


def check_stored_values(written: Mapping[str, Any], after: Mapping[str, Any], target: SqlWriteTarget) -> None:
    """Raise ChangeRejected unless the database stored each value as it was given: not rounded, cut or respelled."""
    for name, value in written.items():
        column = target.table.columns[name]
        if not column.read_as_text or column.text_type is not None:
            check_same_value(name, value, after[name], column.type)
