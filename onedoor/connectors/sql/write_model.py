"""Writable tables, constraint violations -> messages."""

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from onedoor.connectors.sql.compiler import Expression, ParameterIndex
from onedoor.connectors.sql.introspection import SqlColumn, SqlTable, is_storable
from onedoor.connectors.value_checks import TYPE_CHECKS, is_same_value
from onedoor.errors import ConfigurationError, ConnectorError, ErrorCode, build_unknown_name_error
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.connector import ChangeKind, ChangeRejected, ChangeResult, RowChange, WriteCapabilities

MARKER_TABLE_NAME = "onedoor_change"
"""The table that keeps what came of each change."""


class WriteFailureKind(StrEnum):
    """What a database may have against a change, or the lack of a database."""

    UNIQUE = "unique"
    REFERENCE = "reference"
    """To a row that is not there, or from others to the one that is to go."""
    NOT_NULL = "empty"
    CHECK = "check"
    INVALID_VALUE = "unfit"
    """Too long, too large, or none of what the column's type has."""
    PERMISSION_DENIED = "denied"
    LOCK_CONFLICT = "busy"
    """Others hold what it needs, or a deadlock was ended: it may be tried again."""
    CONNECTION_LOST = "lost"
    """The connection is gone; before the end of a transaction that undoes it."""
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignKey:
    """A foreign key: `columns` of `table` name `there` of `to`, both collections."""

    name: str
    table: str
    columns: tuple[str, ...]
    referenced_table: str
    referenced_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteFailure:
    """`columns` and `reference` as far as the database names them; `key` is the name of a unique one."""

    kind: WriteFailureKind
    columns: tuple[str, ...] = ()
    key: str = ""
    reference: ForeignKey | None = None


class WriteFailed(Exception):
    """A statement of a transaction failed; all of it is undone."""

    def __init__(self, failure: WriteFailure) -> None:
        super().__init__(failure.kind)
        self.failure = failure


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaConstraints:
    """What a database tells of all its tables: by table their keys and their columns' types, and what is computed.

    `unique`: by table and name of a key, its columns.
    """

    primary_keys: Mapping[str, tuple[str, ...]]
    column_types: Mapping[str, Mapping[str, str]]
    generated_columns: frozenset[tuple[str, str]]
    references: tuple[ForeignKey, ...]
    unique_keys: Mapping[tuple[str, str], tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlWriteTarget:
    """A table that may be changed. `types` are its columns' types as it was declared with."""

    name: str
    table: SqlTable
    key: tuple[str, ...]
    capabilities: WriteCapabilities
    column_types: Mapping[str, str]

    @property
    def version(self) -> str | None:
        return self.capabilities.version_column


class StatementResult(NamedTuple):
    """What came of a statement: its rows, how many it changed or gave, and the number it made for a new row."""

    rows: Sequence[Sequence[Any]]
    row_count: int = 0
    inserted_id: int = 0


class SqlTransaction(Protocol):
    """One transaction. Each method raises Objected, and nothing else."""

    async def run(self, sql: str, values: Sequence[Any]) -> StatementResult: ...

    async def commit(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteDialect:
    """What each kind of database says in its own way."""

    begin_transaction: Callable[[], AbstractAsyncContextManager[SqlTransaction]]
    """Begins a transaction, which is undone at its end unless it was committed. Raises Objected."""
    lock_clause: str
    """Stands behind a read of a row that is about to be changed."""
    claim_marker: Any
    """An insertion of the id `v0` into the marker table that leaves a row that is there as it is, and counts none."""
    supports_returning: bool
    """An insertion gives the columns that the database has filled in; without it, the one number it made."""
    bind_stored_value: Callable[[ParameterIndex, SqlColumn, str], Expression]
    """A value as it is stored in a column of a declared type."""
    check_constraints: Callable[[SqlTransaction, Sequence[RowChange], Sequence[ChangeResult]], Awaitable[None]]
    """Has the database say now what it would have against a commit."""
    close: Callable[[], Awaitable[None]]
    unique_keys: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    """By table and name, the columns of unique keys that the database tells by their names alone."""


UNKNOWN_OUTCOME_MESSAGE = "whether the change was made is not known: the database left before it could say so"


def build_change_rejection(failure: WriteFailure, change: RowChange | None) -> ChangeRejected:
    """`change`: the one it was about, where that is known."""
    table = f"`{change.collection}`" if change else "a table"
    if failure.kind is WriteFailureKind.REFERENCE:
        return ChangeRejected(_describe_reference_failure(failure.reference, change, table))
    sentence, code = FAILURE_MESSAGES[failure.kind]
    return ChangeRejected(sentence(failure.columns, table), code)


def _describe_reference_failure(reference: ForeignKey | None, change: RowChange | None, table: str) -> str:
    """Of rows that refer to the changed one no more is told than that there are some."""
    inward = change is not None and (reference is None or reference.referenced_table == change.collection)
    if (
        change is not None
        and inward
        and (reference is None or reference.table != change.collection or is_delete(change))
    ):
        return f"other rows still refer to this row of {table}"
    return f"{format_column_names(reference.columns if reference else (), f'a reference of {table}')} names no row that there is"


def is_delete(change: RowChange) -> bool:
    return change.kind is ChangeKind.DELETE


def map_lookup_failure(failure: WriteFailure) -> ConnectorError:
    """Of a question that changes nothing of a caller's."""
    if failure.kind is WriteFailureKind.LOCK_CONFLICT:
        return ConnectorError(BUSY_MESSAGE, ErrorCode.SOURCE_OVERLOADED)
    return ConnectorError(
        "the database does not answer" if failure.kind is WriteFailureKind.CONNECTION_LOST else "the database failed"
    )


def format_column_names(columns: tuple[str, ...], otherwise: str) -> str:
    return ", ".join(f"`{each}`" for each in columns) or otherwise


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

DEFAULT_VERSION_COLUMN = "version"
"""The column that holds a row's version where the settings name no other."""


def build_sql_targets(
    writable: Sequence[str], versions: Mapping[str, Any], tables: Mapping[str, SqlTable], constraints: SchemaConstraints
) -> Mapping[str, SqlWriteTarget]:
    """`versions`: by collection, the column. Raises Mistake."""
    for name in (*writable, *versions):
        if name not in tables:
            raise build_unknown_name_error("collection", name, tables)
    for name in versions:
        if name not in writable:
            raise ConfigurationError(f"`versions.{name}` needs `{name}` in `writable`")
    return {name: _build_sql_target(tables[name], name, versions.get(name), constraints) for name in writable}


def _build_sql_target(table: SqlTable, name: str, version: Any, constraints: SchemaConstraints) -> SqlWriteTarget:
    key = constraints.primary_keys.get(name, ())
    if not key or not set(key) <= set(table.columns):
        raise ConfigurationError(f"`{name}` cannot be written to: it has no primary key")
    version = _find_version_column(table, name, version)
    settable = frozenset(
        each.name
        for each in table.columns.values()
        if not (
            each.incomparable
            or each.type is ColumnType.LIST
            or (name, each.name) in constraints.generated_columns
            or each.name == version
        )
    )
    verbs = {
        ChangeKind.CREATE: settable,
        ChangeKind.UPDATE: settable - set(key),
        ChangeKind.PUT: settable - set(key),
        ChangeKind.DELETE: frozenset[str](),
    }
    writes = WriteCapabilities(settable_columns=verbs, version_column=version, transactional=True, fenced=True)
    return SqlWriteTarget(
        name=name, table=table, key=key, capabilities=writes, column_types=constraints.column_types.get(name, {})
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
    """Of rows a column each, in their order.

    Columns: table, name, type, whether it is computed, its place in the key or 0. References: name, table, column,
    the table it leads to, the column there or None. Unique keys: table, name, column.
    """
    types, keys, computed = defaultdict[str, dict[str, str]](dict), defaultdict[str, list[Any]](list), set()
    for table, name, declared, made, place in columns:
        types[table][name] = declared
        if place:
            keys[table].append((place, name))
        if made:
            computed.add((table, name))
    whole = {table: tuple(name for _, name in sorted(each)) for table, each in keys.items()}
    by_name = defaultdict[tuple[str, str], list[str]](list)
    for table, name, column in unique_keys:
        by_name[table, name].append(column)
    return SchemaConstraints(
        primary_keys=whole,
        column_types=types,
        generated_columns=frozenset(computed),
        references=_build_foreign_keys(references, whole),
        unique_keys={key: tuple(each) for key, each in by_name.items()},
    )


def _build_foreign_keys(rows: Iterable[Sequence[Any]], keys: Mapping[str, tuple[str, ...]]) -> tuple[ForeignKey, ...]:
    parts = defaultdict[tuple[str, str, str], list[tuple[str, Any]]](list)
    for name, table, column, to, there in rows:
        parts[name, table, to].append((column, there))
    return tuple(
        ForeignKey(
            name=name,
            table=table,
            columns=tuple(column for column, _ in each),
            referenced_table=to,
            referenced_columns=keys.get(to, ())
            if None in (there for _, there in each)
            else tuple(there for _, there in each),
        )
        for (name, table, to), each in parts.items()
    )


INTEGER_TYPE_LIMITS = {"smallint": 2**15, "integer": 2**31}

TEXT_LENGTH_PATTERN = re.compile(r"(?:character varying|varchar|character|char)\((\d+)\)")

DECIMAL_DIGITS_PATTERN = re.compile(r"(?:numeric|decimal)\((\d+),\s*(\d+)\)")


def collect_change_values(change: RowChange, target: SqlWriteTarget) -> dict[str, Any]:
    """By column, the values that the change gives; with those of its key where a row is created. Raises Unmade."""
    if not set(change.key) <= set(target.key):
        raise _build_key_mismatch_error(target)
    given = (
        {**change.key, **change.values} if change.kind in (ChangeKind.CREATE, ChangeKind.PUT) else dict(change.values)
    )
    for name in change.values:
        if name not in target.capabilities.settable_columns[change.kind]:
            raise ChangeRejected(f"`{name}` of `{target.name}` is not to be set by a change")
    for name, value in given.items():
        check_value_fits(name, value, target)
    return given


def get_change_key(change: RowChange, target: SqlWriteTarget) -> tuple[Any, ...]:
    """The values of the whole key. Raises Unmade where it is another key, or not whole."""
    if set(change.key) != set(target.key) or None in change.key.values():
        raise _build_key_mismatch_error(target)
    for name in target.key:
        check_value_type(name, change.key[name], target)
    return tuple(change.key[each] for each in target.key)


def _build_key_mismatch_error(target: SqlWriteTarget) -> ChangeRejected:
    return ChangeRejected(f"a row of `{target.name}` is named by " + ", ".join(f"`{each}`" for each in target.key))


def check_value_fits(name: str, value: Any, target: SqlWriteTarget) -> None:
    """Raises Unmade unless the column can hold the value."""
    stored = target.table.columns[name]
    if value is None:
        if not stored.nullable:
            raise ChangeRejected(f"`{name}` must have a value")
        return
    check_value_type(name, value, target)
    if not _is_value_storable(value, stored) or not _fits_declared_type(value, target.column_types.get(name, "")):
        raise ChangeRejected(f"`{name}` cannot hold the value given")


def check_value_type(name: str, value: Any, target: SqlWriteTarget) -> None:
    kind = target.table.columns[name].type
    if not TYPE_CHECKS[kind](value):
        raise ChangeRejected(f"`{name}` takes values of the kind {kind}")


def _is_value_storable(value: Any, column: SqlColumn) -> bool:
    try:
        return is_storable(value, column)
    except ArithmeticError:
        return False


def _fits_declared_type(value: Any, declared: str) -> bool:
    if declared in INTEGER_TYPE_LIMITS:
        return bool(-INTEGER_TYPE_LIMITS[declared] <= value < INTEGER_TYPE_LIMITS[declared])
    if (letters := TEXT_LENGTH_PATTERN.fullmatch(declared)) is not None:
        return len(value) <= int(letters[1])
    if (digits := DECIMAL_DIGITS_PATTERN.fullmatch(declared)) is not None:
        whole, places = int(digits[1]) - int(digits[2]), int(digits[2])
        shape = Decimal(value).normalize().as_tuple()
        return abs(value) < 10**whole and -int(shape.exponent) <= places
    return True


def check_stored_values(written: Mapping[str, Any], after: Mapping[str, Any], target: SqlWriteTarget) -> None:
    """Raises Unmade unless a read gives back what was given: no value is rounded, cut or spelled otherwise."""
    for name, value in written.items():
        stored = target.table.columns[name]
        if not stored.read_as_text and not is_same_value(value, after[name], stored.type):
            raise ChangeRejected(f"`{name}` cannot hold the value given without making it another")
