"""Compile a ScanRequest to Snowflake SQL, and convert values on their way in and out."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from onedoor.connectors.snowflake.client import SnowflakeSql, join_bracketed_sql, join_sql, quote_identifier, wrap_sql
from onedoor.connectors.snowflake.tables import EPOCH_TYPE, MAX_PRECISION, SnowflakeColumn, SnowflakeTable
from onedoor.connectors.sql.tables import resolve_comparison
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.predicates import (
    ALWAYS_TRUE,
    Comparison,
    Exists,
    InKeys,
    Op,
    Predicate,
    Row,
    fold_predicate,
    push_negations_down,
)
from onedoor.spi.scan import AggregateCall, AggregateFunction, KeyFilter, ScanRequest, SortKey, TimeUnit

COUNT_RESULT = SnowflakeColumn(name="", type=ColumnType.INTEGER, data_type="NUMBER", precision=38)

EXTREME_SQL = {AggregateFunction.MIN: "MIN", AggregateFunction.MAX: "MAX"}

DAY_MICROSECONDS = 86_400_000_000

FIXED_UNIT_SPANS = {
    TimeUnit.HOUR: (DAY_MICROSECONDS // 24, 0),
    TimeUnit.DAY: (DAY_MICROSECONDS, 0),
    TimeUnit.WEEK: (7 * DAY_MICROSECONDS, 3 * DAY_MICROSECONDS),
}
"""Length in microseconds, and how long before 1970 one of them began."""

EPOCH_DATE_SQL = "DATE '1970-01-01'"


def list_snowflake_results(
    request: ScanRequest, columns: Mapping[str, SnowflakeColumn]
) -> Sequence[tuple[str, SnowflakeColumn]]:
    """Return what a result row holds, in order, by the name that the request gives it.

    In the statement its columns are `c0`, `c1` and so on, then its aggregates `m0`, `m1` and so on. Times are
    microseconds since 1970.
    """
    grouped = [
        (name, replace(map_read_column(columns[name]), name=f"c{index}")) for index, name in enumerate(request.columns)
    ]
    computed = [
        (aggregate.name, replace(_map_aggregate_column(aggregate, columns), name=f"m{index}"))
        for index, aggregate in enumerate(request.aggregates)
    ]
    return [*grouped, *computed]


def map_read_column(column: SnowflakeColumn) -> SnowflakeColumn:
    return replace(column, data_type=EPOCH_TYPE) if column.type is ColumnType.TIME else column


def _map_aggregate_column(aggregate: AggregateCall, columns: Mapping[str, SnowflakeColumn]) -> SnowflakeColumn:
    if aggregate.column is None or aggregate.function in (AggregateFunction.COUNT, AggregateFunction.COUNT_DISTINCT):
        return COUNT_RESULT
    stored = map_read_column(columns[aggregate.column])
    return replace(stored, precision=MAX_PRECISION) if aggregate.function is AggregateFunction.SUM else stored


def compile_snowflake_aggregate(aggregate: AggregateCall, column: str, columns: Mapping[str, SnowflakeColumn]) -> str:
    """Compile an aggregate of a column as it is selected; numbers are summed at the largest precision there is."""
    match aggregate.function:
        case AggregateFunction.COUNT:
            return f"COUNT({column})"
        case AggregateFunction.COUNT_DISTINCT:
            return f"COUNT(DISTINCT {column})"
        case AggregateFunction.SUM:
            assert aggregate.column is not None
            return f"SUM(CAST({column} AS NUMBER({MAX_PRECISION}, {columns[aggregate.column].scale})))"
    return f"{EXTREME_SQL[aggregate.function]}({column})"


def compile_snowflake_time_bucket(column: str, column_type: ColumnType, unit: TimeUnit) -> str:
    """Truncate by arithmetic and calendar, so that the zone and first weekday of the session do not matter."""
    if column_type is ColumnType.DATE:
        return _compile_day_bucket(column, unit)
    if unit in FIXED_UNIT_SPANS:
        return _compile_snowflake_floor(column, *FIXED_UNIT_SPANS[unit])
    midnight = _compile_snowflake_floor(column, *FIXED_UNIT_SPANS[TimeUnit.DAY])
    days = f"CAST({midnight} / {DAY_MICROSECONDS} AS NUMBER(38, 0))"
    day = f"DATEADD(DAY, {days}, {EPOCH_DATE_SQL})"
    return f"(DATEDIFF(DAY, {EPOCH_DATE_SQL}, {_compile_day_bucket(day, unit)}) * {DAY_MICROSECONDS})"


def _compile_day_bucket(day: str, unit: TimeUnit) -> str:
    if unit is TimeUnit.DAY:
        return day
    if unit is TimeUnit.WEEK:
        return f"CAST(DATEADD(DAY, 1 - DAYOFWEEKISO({day}), {day}) AS DATE)"
    return f"CAST(DATE_TRUNC('{unit}', {day}) AS DATE)"


def _compile_snowflake_floor(column: str, span: int, before: int) -> str:
    """Round down to a multiple of `span`, below zero too."""
    return f"({column} - MOD(MOD({column} + {before}, {span}) + {span}, {span}))"


UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def bind_value(value: Any, column: SnowflakeColumn) -> Any:
    """Convert a value for the library; one with decimal places to text, as the type of a Decimal has no scale."""
    return VALUE_BINDERS[column.type](value, column)


def bind_time(value: datetime, column: SnowflakeColumn) -> int | tuple[str, datetime]:
    """Bind a time in UTC, with a type for columns without a zone, where the session's zone would be assumed."""
    if column.data_type == EPOCH_TYPE:
        return (value - UNIX_EPOCH) // timedelta(microseconds=1)
    time = value.astimezone(UTC)
    return (
        ("TIMESTAMP_NTZ", time.replace(tzinfo=None)) if column.data_type == "TIMESTAMP_NTZ" else ("TIMESTAMP_TZ", time)
    )


VALUE_BINDERS: Mapping[ColumnType, Callable[[Any, SnowflakeColumn], Any]] = {
    ColumnType.TEXT: lambda value, _: value,
    ColumnType.INTEGER: lambda value, _: int(value),
    ColumnType.FLOAT: lambda value, _: float(value),
    ColumnType.DECIMAL: lambda value, column: format(column.floor_to_scale(value), "f"),
    ColumnType.BOOLEAN: lambda value, _: value,
    ColumnType.DATE: lambda value, _: value,
    ColumnType.TIME: bind_time,
}


def format_key_value(value: Any, column: SnowflakeColumn) -> str:
    """Format a value of a key as text that Snowflake casts to the column's type; times are microseconds since 1970."""
    if column.type is ColumnType.TIME:
        return str((value - UNIX_EPOCH) // timedelta(microseconds=1))
    if column.type is ColumnType.DATE:
        return str(value.isoformat())
    text = str(bind_value(value, column))
    return text.lower() if column.type is ColumnType.BOOLEAN else text


def decode_decimal(value: Any) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(value)


def decode_time(microseconds: int) -> datetime:
    return UNIX_EPOCH + timedelta(microseconds=int(microseconds))


DECODERS: Mapping[ColumnType, Callable[[Any], Any]] = {
    ColumnType.INTEGER: int,
    ColumnType.DECIMAL: decode_decimal,
    ColumnType.TIME: decode_time,
}
"""How a value that is not null is decoded; a value of another type is passed on."""

COMPARISON_OPERATORS = {Op.EQ: "=", Op.NE: "<>", Op.LT: "<", Op.LTE: "<=", Op.GT: ">", Op.GTE: ">="}

TEXT_MATCH_FUNCTIONS = {Op.CONTAINS: "CONTAINS", Op.STARTS_WITH: "STARTSWITH", Op.ENDS_WITH: "ENDSWITH"}

LIST_OPERATORS = {Op.IN: "IN", Op.NOT_IN: "NOT IN"}


@dataclass(frozen=True, slots=True)
class SnowflakeScope:
    """The table whose columns a predicate names, and how deep in Exists it is."""

    tables: Mapping[str, SnowflakeTable]
    table: SnowflakeTable
    depth: int = 0


def compile_snowflake_query(request: ScanRequest, tables: Mapping[str, SnowflakeTable]) -> SnowflakeSql:
    """Compile a request to one statement of quoted, reflected identifiers and bound values."""
    scope = SnowflakeScope(tables, tables[request.collection])
    if request.aggregates:
        return compile_snowflake_groups(request, scope)
    columns = ", ".join(compile_snowflake_column(name, scope) for name in request.columns) or "1"
    limit = () if request.limit is None or request.keys else (SnowflakeSql("LIMIT ?", (request.limit,)),)
    return join_sql(
        " ",
        (
            *compile_select(columns, request, scope),
            *compile_limit_per_key(request, scope),
            *compile_snowflake_order_by(request.sort, scope),
            *limit,
        ),
    )


def compile_select(columns: str, request: ScanRequest, scope: SnowflakeScope) -> Sequence[SnowflakeSql]:
    return (
        SnowflakeSql(f"SELECT {columns} FROM {quote_identifier(scope.table.name)} AS {format_table_alias(scope)}"),
        *(() if request.keys is None else (compile_key_join(request.keys, scope),)),
        *compile_snowflake_where(request.filter, scope),
    )


def compile_snowflake_where(predicate: Predicate, scope: SnowflakeScope) -> Sequence[SnowflakeSql]:
    return () if predicate == ALWAYS_TRUE else (wrap_sql("WHERE ", compile_snowflake_predicate(predicate, scope)),)


def compile_snowflake_groups(request: ScanRequest, scope: SnowflakeScope) -> SnowflakeSql:
    """Compile a row for each group, and select from the groups as from a table to filter, order or limit them."""
    units = {bucket.column: bucket.unit for bucket in request.time_buckets}
    keys = [compile_snowflake_group_key(name, units.get(name), scope) for name in request.columns]
    aggregates = [
        compile_snowflake_aggregate(
            aggregate,
            compile_snowflake_column(aggregate.column, scope) if aggregate.column else "*",
            scope.table.columns,
        )
        for aggregate in request.aggregates
    ]
    group_by = (SnowflakeSql("GROUP BY " + ", ".join(keys)),) if keys else ()
    if request.having == ALWAYS_TRUE and not request.sort and request.limit is None:
        return join_sql(" ", (*compile_select(", ".join([*keys, *aggregates]), request, scope), *group_by))
    results = list_snowflake_results(request, scope.table.columns)
    pairs = zip([*keys, *aggregates], results, strict=True)
    named = [f"{sql} AS {quote_identifier(column.name)}" for sql, (_, column) in pairs]
    inner = join_sql(" ", (*compile_select(", ".join(named), request, scope), *group_by))
    outer = replace(scope, table=replace(scope.table, columns=dict(results)))
    limit = () if request.limit is None else (SnowflakeSql("LIMIT ?", (request.limit,)),)
    groups = (
        wrap_sql("SELECT * FROM (", inner, f") AS {format_table_alias(outer)}"),
        *compile_snowflake_where(request.having, outer),
    )
    return join_sql(" ", (*groups, *compile_snowflake_order_by(request.sort, outer), *limit))


def compile_snowflake_group_key(name: str, unit: TimeUnit | None, scope: SnowflakeScope) -> str:
    column = compile_snowflake_column(name, scope)
    return column if unit is None else compile_snowflake_time_bucket(column, scope.table.columns[name].type, unit)


def compile_key_join(keys: KeyFilter, scope: SnowflakeScope) -> SnowflakeSql:
    equal = " AND ".join(
        f'{compile_snowflake_column(name, scope)} = "k"."k{place}"' for place, name in enumerate(keys.columns)
    )
    return wrap_sql("JOIN (", compile_key_table(keys.columns, keys.values, scope), f') AS "k" ON {equal}')


def compile_key_table(names: Sequence[str], keys: Iterable[Row], scope: SnowflakeScope) -> SnowflakeSql:
    """Bind all keys as one JSON text, so that their number does not change the statement."""
    stored = [scope.table.columns[name] for name in names]
    rows = [
        [format_key_value(value, column) for value, column in zip(key, stored, strict=True)]
        for key in keys
        if all(column.can_store(value) for value, column in zip(key, stored, strict=True))
    ]
    parts = ", ".join(f'{compile_key_value(place, column)} AS "k{place}"' for place, column in enumerate(stored))
    text = f'SELECT {parts} FROM TABLE(FLATTEN(PARSE_JSON(?))) AS "f"'
    return SnowflakeSql(text, (json.dumps(rows, separators=(",", ":")),))


def compile_snowflake_in_keys(predicate: InKeys, scope: SnowflakeScope, *, negated: bool = False) -> SnowflakeSql:
    """Compile a test for one of many keys; `negated`, it includes rows without a value."""
    columns = [compile_snowflake_column(name, scope) for name in predicate.columns]
    key = columns[0] if len(columns) == 1 else f"({', '.join(columns)})"
    if not negated:
        return wrap_sql(f"{key} IN (", compile_key_table(predicate.columns, predicate.keys, scope), ")")
    is_null = " OR ".join(f"{column} IS NULL" for column in columns)
    stored = [scope.table.columns[name] for name in predicate.columns]
    readable = " AND ".join(f"{compile_key_value(place, column)} IS NOT NULL" for place, column in enumerate(stored))
    keys = compile_key_table(predicate.columns, predicate.keys, scope)
    return wrap_sql(f"({is_null} OR {key} NOT IN (", keys, f" WHERE {readable}))")


def compile_key_value(place: int, column: SnowflakeColumn) -> str:
    text = f'"f".VALUE[{place}]::TEXT'
    if column.type is ColumnType.TEXT:
        return text
    return f"TRY_CAST({text} AS {'NUMBER(38, 0)' if column.type is ColumnType.TIME else format_sql_type(column)})"


def compile_limit_per_key(request: ScanRequest, scope: SnowflakeScope) -> Sequence[SnowflakeSql]:
    if request.keys is None or request.limit is None:
        return ()
    keys = ", ".join(compile_snowflake_column(name, scope) for name in request.keys.columns)
    sort = ", ".join(compile_snowflake_sort_key(key, scope) for key in request.sort) or keys
    return (SnowflakeSql(f"QUALIFY ROW_NUMBER() OVER (PARTITION BY {keys} ORDER BY {sort}) <= ?", (request.limit,)),)


def compile_snowflake_order_by(sort: Sequence[SortKey], scope: SnowflakeScope) -> Sequence[SnowflakeSql]:
    keys = ", ".join(compile_snowflake_sort_key(key, scope) for key in sort)
    return (SnowflakeSql(f"ORDER BY {keys}"),) if keys else ()


def compile_snowflake_sort_key(key: SortKey, scope: SnowflakeScope) -> str:
    direction, nulls = "DESC" if key.descending else "ASC", "FIRST" if key.nulls_first else "LAST"
    return f"{compile_snowflake_column(key.column, scope)} {direction} NULLS {nulls}"


def compile_snowflake_predicate(predicate: Predicate, scope: SnowflakeScope) -> SnowflakeSql:
    """Compile a predicate with NOT before its leaves alone: elsewhere Snowflake does not take a subquery below it.

    The text of a comparison with null may be null; every other one is true or false.
    """
    return fold_predicate(
        push_negations_down(predicate),
        lambda leaf: _compile_snowflake_leaf(leaf, scope),
        conjunction=lambda parts: join_bracketed_sql(" AND ", "TRUE", parts),
        disjunction=lambda parts: join_bracketed_sql(" OR ", "FALSE", parts),
        negation=lambda part: wrap_sql("NOT ", part),
        negated_leaf=lambda leaf: _compile_negated_leaf(leaf, scope),
    )


def _compile_snowflake_leaf(leaf: Any, scope: SnowflakeScope) -> SnowflakeSql:
    match leaf:
        case Comparison():
            return compile_snowflake_comparison(leaf, scope)
        case Exists():
            return compile_snowflake_exists(leaf, scope)
        case InKeys():
            return compile_snowflake_in_keys(leaf, scope)
    raise TypeError(f"Snowflake does not take {type(leaf).__name__}")


def _compile_negated_leaf(leaf: Any, scope: SnowflakeScope) -> SnowflakeSql:
    match leaf:
        case Comparison():
            return wrap_sql("NOT COALESCE(", compile_snowflake_comparison(leaf, scope), ", FALSE)")
        case InKeys():
            return compile_snowflake_in_keys(leaf, scope, negated=True)
    return wrap_sql("NOT ", _compile_snowflake_leaf(leaf, scope))


def compile_snowflake_comparison(comparison: Comparison, scope: SnowflakeScope) -> SnowflakeSql:
    stored = scope.table.columns[comparison.column]
    column = qualify_column(comparison.column, scope)
    match resolve_comparison(comparison, stored):
        case True:
            return SnowflakeSql(f"{column} IS NOT NULL")
        case False:
            return SnowflakeSql("FALSE")
        case Comparison(_, Op.IS_NULL, value):
            return SnowflakeSql(f"{column} IS {'NULL' if value else 'NOT NULL'}")
        case Comparison(_, Op.IN | Op.NOT_IN as op, values):
            placeholders = ", ".join(compile_placeholder(stored) for _ in values)
            return SnowflakeSql(
                f"{column} {LIST_OPERATORS[op]} ({placeholders})", tuple(bind_value(value, stored) for value in values)
            )
        case Comparison(_, op, value) if op in TEXT_MATCH_FUNCTIONS:
            return SnowflakeSql(f"{TEXT_MATCH_FUNCTIONS[op]}({column}, ?)", (value,))
        case Comparison(_, op, value):
            return SnowflakeSql(
                f"{column} {COMPARISON_OPERATORS[op]} {compile_placeholder(stored)}", (bind_value(value, stored),)
            )


def compile_snowflake_exists(predicate: Exists, scope: SnowflakeScope) -> SnowflakeSql:
    inner = SnowflakeScope(scope.tables, scope.tables[predicate.collection], scope.depth + 1)
    pairs = zip(predicate.outer_columns, predicate.inner_columns, strict=True)
    equal = [SnowflakeSql(f"{qualify_column(there, inner)} = {qualify_column(here, scope)}") for here, there in pairs]
    matches = join_bracketed_sql(" AND ", "TRUE", [*equal, compile_snowflake_predicate(predicate.filter, inner)])
    table = f"{quote_identifier(inner.table.name)} AS {format_table_alias(inner)}"
    return wrap_sql(f"EXISTS (SELECT 1 FROM {table} WHERE ", matches, ")")


def compile_snowflake_column(name: str, scope: SnowflakeScope) -> str:
    """Select a column; a time as microseconds since 1970, exact in any zone of the session and type of the column."""
    column, stored = qualify_column(name, scope), scope.table.columns[name]
    return (
        f"DATE_PART(EPOCH_MICROSECOND, {column})"
        if stored.type is ColumnType.TIME and stored.data_type != EPOCH_TYPE
        else column
    )


def qualify_column(name: str, scope: SnowflakeScope) -> str:
    return f"{format_table_alias(scope)}.{quote_identifier(scope.table.columns[name].name)}"


def format_table_alias(scope: SnowflakeScope) -> str:
    return f'"t{scope.depth}"'


def compile_placeholder(column: SnowflakeColumn) -> str:
    return f"CAST(? AS {format_sql_type(column)})" if column.type is ColumnType.DECIMAL else "?"


def format_sql_type(column: SnowflakeColumn) -> str:
    return f"NUMBER({column.precision}, {column.scale})" if column.precision else column.data_type


def list_decoders(request: ScanRequest, tables: Mapping[str, SnowflakeTable]) -> Sequence[Callable[[Any], Any] | None]:
    """Return how the values of each result column are decoded; None: not at all."""
    return [
        DECODERS.get(column.type) for _, column in list_snowflake_results(request, tables[request.collection].columns)
    ]


def decode_snowflake_rows(rows: Sequence[Row], decoders: Sequence[Callable[[Any], Any] | None]) -> list[Row]:
    """Decode the values of rows; a request without columns and aggregates has empty rows."""
    if not decoders:
        return [()] * len(rows)
    if not any(decoders):
        return [tuple(row) for row in rows]
    return [
        tuple(
            decode(value) if decode is not None and value is not None else value
            for decode, value in zip(decoders, row, strict=True)
        )
        for row in rows
    ]
