"""Separate a ScanRequest into its shape, which one SQL statement serves, and the values that are bound to it."""

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from onedoor.connectors.sql.tables import RANGE_OPS, SqlColumn, SqlTable, resolve_comparison
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.predicates import (
    ALWAYS_FALSE,
    ALWAYS_TRUE,
    And,
    Comparison,
    Exists,
    InKeys,
    Not,
    Op,
    Row,
    transform_predicate,
)
from onedoor.spi.scan import AggregateCall, AggregateFunction, Join, KeyFilter, ScanRequest, SortKey, TimeBucket


class ParameterIndex(int):
    """The place of a bound value among the values of a statement."""

    __slots__ = ()

    @property
    def name(self) -> str:
        return f"v{int(self)}"


class KeyList(NamedTuple):
    """A predicate: `columns`, as a tuple, are one of the keys bound as `parameters`.

    A single key has one parameter for each of its values; many keys are packed by `ParameterEncoding.pack_keys`.
    """

    columns: tuple[str, ...]
    parameters: tuple[ParameterIndex, ...]
    single: bool = False


class StatementShape(NamedTuple):
    """A ScanRequest with a ParameterIndex in place of each value, and comparisons that no row can meet resolved.

    It is built and hashed for each request: a NamedTuple hashes faster than a dataclass.
    """

    collection: str
    columns: tuple[str, ...]
    joins: tuple[Join, ...]
    keys: Any
    """A KeyList, or ALWAYS_FALSE; None: all rows."""
    filter: Any
    """None: all rows."""
    aggregates: tuple[AggregateCall, ...]
    time_buckets: tuple[TimeBucket, ...]
    having: Any
    """None: all groups."""
    sort: tuple[SortKey, ...]
    limit: "ParameterIndex | LiteralLimit | None"
    guarded: frozenset[str] = frozenset()
    """The columns whose invalid values are taken for null in orders, groups and extremes, at the cost of their index.

    Those of other columns are found as they are read: a page that begins with valid values has the right order.
    """


class LiteralLimit(NamedTuple):
    """A limit that is written into the statement, so that its planner knows how few rows of each key are read."""

    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterEncoding:
    """How a database takes values that are not bound one by one."""

    pack_keys: Callable[[Sequence[Sequence[Any]], Sequence[SqlColumn]], Sequence[Any]]
    """Turns encoded keys, one sequence per column, into the values to bind."""
    build_sum_column: Callable[[SqlColumn], SqlColumn]
    """Describes the sum of a column as a column."""
    plans_without_values: bool = False
    """The database keeps one plan for all values of a statement, and then takes a bound limit for a tenth of the rows.

    Of rows without a filter, one plan is the best for all values once their limit is known; of others the bound limit
    makes that plan look so costly that each execution is planned anew, by its values.
    """


def build_statement_shape(
    request: ScanRequest,
    tables: Mapping[str, SqlTable],
    encoding: ParameterEncoding,
    flawed_columns: Set[tuple[str, str]] = frozenset(),
) -> tuple[StatementShape, list[Any]]:
    """Return the shape of a request, and its values in the order of their ParameterIndex.

    `flawed_columns`: by collection and name, those known to have values that their types cannot have.
    """
    columns = list_columns(request.collection, request.joins, tables, encoding)
    builder = _ShapeBuilder(encoding, tables, [])
    shape = StatementShape(
        collection=request.collection,
        columns=request.columns,
        joins=request.joins,
        keys=None if request.keys is None else builder.build_key_filter(request.keys, columns),
        filter=None
        if request.filter is ALWAYS_TRUE or request.filter == ALWAYS_TRUE
        else builder.build_predicate(request.filter, columns),
        aggregates=request.aggregates,
        time_buckets=request.time_buckets,
        having=builder.build_having(request, columns),
        sort=request.sort,
        limit=builder.build_limit(request),
        guarded=find_guarded_columns(request, columns, flawed_columns),
    )
    return shape, builder.values


def find_guarded_columns(
    request: ScanRequest, columns: Mapping[str, SqlColumn], flawed_columns: Set[tuple[str, str]]
) -> frozenset[str]:
    """Return the flawed columns of a request, and those whose invalid values it might not read though they come first.

    Of rows that is a sort with nulls first, or by a column that is not read; of groups it is a part of them.
    """
    guarded = {name for collection, name in flawed_columns if collection == request.collection}
    guarded |= {name for name, origin in list_joined_origins(request).items() if origin in flawed_columns}
    if request.aggregates:
        if request.sort or request.limit is not None or request.having != ALWAYS_TRUE:
            guarded |= set(list_fallible_columns(request, columns))
        return frozenset(guarded)
    for sort_key in request.sort:
        is_unread = sort_key.nulls_first or sort_key.column not in request.columns
        if is_unread and columns[sort_key.column].validity is not None:
            guarded.add(sort_key.column)
    return frozenset(guarded)


def list_joined_origins(request: ScanRequest) -> Mapping[str, tuple[str, str]]:
    """Return the collection and name of each column of a related row that a request joins."""
    return {
        name: (join.collection, column)
        for join in request.joins
        if not join.aggregates
        for name, column in zip(join.output_columns, join.columns, strict=True)
    }


def list_fallible_columns(request: ScanRequest, columns: Mapping[str, SqlColumn]) -> list[str]:
    """Return the columns that a request reads, groups, aggregates or sorts by, and that may have invalid values."""
    named = (*request.columns, *(call.column for call in request.aggregates), *(key.column for key in request.sort))
    return [name for name in named if name is not None and name in columns and columns[name].validity is not None]


@dataclass(slots=True)
class _ShapeBuilder:
    """Collects the values of one request in `values`."""

    encoding: ParameterEncoding
    tables: Mapping[str, SqlTable]
    values: list[Any]

    def add_value(self, value: Any) -> ParameterIndex:
        self.values.append(value)
        return ParameterIndex(len(self.values) - 1)

    def build_key_filter(self, keys: KeyFilter, columns: Mapping[str, SqlColumn]) -> Any:
        if len(keys.values) != 1:
            return self.build_key_list(keys.columns, keys.values, columns)
        parameters = []
        for name, value in zip(keys.columns, keys.values[0], strict=True):
            column = columns[name]
            if not column.can_store(value):
                return ALWAYS_FALSE
            parameters.append(self.add_value(column.encode(value) if column.encode else value))
        return KeyList(keys.columns, tuple(parameters), single=True)

    def build_limit(self, request: ScanRequest) -> ParameterIndex | LiteralLimit | None:
        if request.limit is None:
            return None
        is_keyed = request.keys is not None and len(request.keys.values) != 1
        is_whole_list = request.keys is None and request.filter == ALWAYS_TRUE and not request.aggregates
        if self.encoding.plans_without_values and (is_keyed or is_whole_list):
            return LiteralLimit(request.limit)
        return self.add_value(request.limit)

    def build_key_list(self, names: tuple[str, ...], keys: Sequence[Row], columns: Mapping[str, SqlColumn]) -> KeyList:
        stored = [columns[name] for name in names]
        by_column = _split_keys(keys, len(stored))
        if not all(column.can_store_all(values) for column, values in zip(stored, by_column, strict=True)):
            storable = [
                key for key in keys if all(column.can_store(value) for column, value in zip(stored, key, strict=True))
            ]
            by_column = _split_keys(storable, len(stored))
        encoded = [_encode_column_values(values, column) for values, column in zip(by_column, stored, strict=True)]
        return KeyList(names, tuple(map(self.add_value, self.encoding.pack_keys(encoded, stored))))

    def build_predicate(self, predicate: Any, columns: Mapping[str, SqlColumn]) -> Any:
        return transform_predicate(predicate, lambda leaf: self._build_leaf(leaf, columns))

    def _build_leaf(self, leaf: Any, columns: Mapping[str, SqlColumn]) -> Any:
        match leaf:
            case Comparison():
                return self._build_comparison(leaf, columns)
            case Exists():
                return replace(leaf, filter=self.build_predicate(leaf.filter, self.tables[leaf.collection].columns))
            case InKeys():
                return self.build_key_list(leaf.columns, tuple(leaf.keys), columns)
            case _:
                raise TypeError(f"a SQL database does not take {type(leaf).__name__}")

    def build_having(self, request: ScanRequest, columns: Mapping[str, SqlColumn]) -> Any:
        if request.having is ALWAYS_TRUE or request.having == ALWAYS_TRUE:
            return None
        results = list_result_columns(request.columns, request.aggregates, columns, self.encoding)
        return self.build_predicate(request.having, dict(results))

    def _build_comparison(self, comparison: Comparison, columns: Mapping[str, SqlColumn]) -> Any:
        column = columns[comparison.column]
        resolved = resolve_comparison(comparison, column)
        if isinstance(resolved, bool):
            return _has_value(comparison.column) if resolved else ALWAYS_FALSE
        if resolved.op is Op.IS_NULL:
            return resolved
        if resolved.op in (Op.IN, Op.NOT_IN):
            keys = self.build_key_list((resolved.column,), [(value,) for value in resolved.value], columns)
            return keys if resolved.op is Op.IN else And((_has_value(resolved.column), Not(keys)))
        encode = column.encode_rank if resolved.op in RANGE_OPS and column.encode_rank else column.encode
        value = encode(resolved.value) if encode else resolved.value
        return Comparison(resolved.column, resolved.op, self.add_value(value))


def _has_value(column: str) -> Comparison:
    return Comparison(column, Op.IS_NULL, False)


def _split_keys(keys: Sequence[Row], width: int) -> list[Sequence[Any]]:
    return list(zip(*keys, strict=True)) if keys else [()] * width


def _encode_column_values(values: Sequence[Any], column: SqlColumn) -> Sequence[Any]:
    return list(map(column.encode, values)) if column.encode else values


def list_result_columns(
    names: Sequence[str],
    aggregates: Sequence[AggregateCall],
    columns: Mapping[str, SqlColumn],
    encoding: ParameterEncoding,
) -> list[tuple[str, SqlColumn]]:
    """Return what a result row holds, in order, by the name that the request gives it.

    In the statement its columns are `c0`, `c1` and so on, then its aggregates `m0`, `m1` and so on.
    """
    grouped = [(name, build_group_column(columns[name], f"c{index}")) for index, name in enumerate(names)]
    computed = [
        (aggregate.name, _build_result_column(_build_aggregate_column(aggregate, columns, encoding), f"m{index}"))
        for index, aggregate in enumerate(aggregates)
    ]
    return [*grouped, *computed]


def list_columns(
    collection: str, joins: Sequence[Join], tables: Mapping[str, SqlTable], encoding: ParameterEncoding
) -> Mapping[str, SqlColumn]:
    """Return the columns of a table and those that joins add."""
    columns = tables[collection].columns
    if not joins:
        return columns
    return {**columns, **dict(pair for join in joins for pair in _list_joined_columns(join, tables, encoding))}


def _list_joined_columns(
    join: Join, tables: Mapping[str, SqlTable], encoding: ParameterEncoding
) -> list[tuple[str, SqlColumn]]:
    inner = tables[join.collection].columns
    if not join.aggregates:
        added = [replace(inner[column], nullable=True) for column in join.columns]
    else:
        results = list_result_columns((), join.aggregates, inner, encoding)
        added = [column for _, column in results]
    return list(zip(join.output_columns, added, strict=True))


def build_group_column(column: SqlColumn, name: str) -> SqlColumn:
    """Describe what rows are grouped by: the bare column where the database compares that as its values mean."""
    is_bare = column.native_type is not None and column.native_type.equality
    return replace(column, name=name) if is_bare and not column.encode_rank else _build_result_column(column, name)


def _build_result_column(column: SqlColumn, name: str) -> SqlColumn:
    return replace(
        column,
        name=name,
        native_type=None,
        read_as_text=False,
        zoneless=False,
        read_expression=None,
        validity=None,
        strict_validity=None,
        row_read=None,
        guarded_read=None,
    )


def _build_aggregate_column(
    aggregate: AggregateCall, columns: Mapping[str, SqlColumn], encoding: ParameterEncoding
) -> SqlColumn:
    if aggregate.column is None or aggregate.function in (AggregateFunction.COUNT, AggregateFunction.COUNT_DISTINCT):
        return SqlColumn(name="", type=ColumnType.INTEGER, nullable=False)
    if aggregate.function is AggregateFunction.SUM:
        return replace(encoding.build_sum_column(columns[aggregate.column]), nullable=True)
    return replace(columns[aggregate.column], nullable=True)
