"""ScanRequest -> Snowflake SQL; values."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Context, Decimal
from typing import Any

from onedoor.connectors.snowflake.client import SnowflakeSql, join_bracketed_sql, join_sql, quote_identifier, wrap_sql
from onedoor.connectors.snowflake.introspection import EPOCH_TYPE, SnowflakeColumn, SnowflakeTable
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.predicates import ALWAYS_TRUE, And, Comparison, Exists, InKeys, Not, Op, Or, Predicate, Row
from onedoor.spi.scan import AggregateCall, AggregateFunction, KeyFilter, ScanRequest, SortKey, TimeUnit

COUNT_RESULT = SnowflakeColumn(name="", column_type=ColumnType.INTEGER, data_type="NUMBER", precision=38)

MAX_PRECISION = 38
"""Digits of a sum. Snowflake fails on more; it never rounds."""

EXTREME_SQL = {AggregateFunction.MIN: "MIN", AggregateFunction.MAX: "MAX"}

DAY_MICROSECONDS = 86_400_000_000

FIXED_UNIT_SPANS = {
    TimeUnit.HOUR: (DAY_MICROSECONDS // 24, 0),
    TimeUnit.DAY: (DAY_MICROSECONDS, 0),
    TimeUnit.WEEK: (7 * DAY_MICROSECONDS, 3 * DAY_MICROSECONDS),
}
"""In microseconds, and how long before 1970 one began."""

EPOCH_DATE_SQL = "DATE '1970-01-01'"


def list_snowflake_results(
    request: ScanRequest, columns: Mapping[str, SnowflakeColumn]
) -> Sequence[tuple[str, SnowflakeColumn]]:
    """What a row of the answer holds, and its name: `c0`, `c1` ... are its columns, then `m0` ... its measures.

    Times are microseconds since 1970.
    """
    by = [(name, replace(map_read_column(columns[name]), name=f"c{at}")) for at, name in enumerate(request.columns)]
    measured = [
        (each.name, replace(_map_aggregate_column(each, columns), name=f"m{at}"))
        for at, each in enumerate(request.aggregates)
    ]
    return [*by, *measured]


def map_read_column(column: SnowflakeColumn) -> SnowflakeColumn:
    return replace(column, data_type=EPOCH_TYPE) if column.column_type is ColumnType.TIME else column


def _map_aggregate_column(aggregate: AggregateCall, columns: Mapping[str, SnowflakeColumn]) -> SnowflakeColumn:
    if aggregate.column is None or aggregate.function in (AggregateFunction.COUNT, AggregateFunction.COUNT_DISTINCT):
        return COUNT_RESULT
    stored = map_read_column(columns[aggregate.column])
    return replace(stored, precision=MAX_PRECISION) if aggregate.function is AggregateFunction.SUM else stored


def compile_snowflake_aggregate(aggregate: AggregateCall, column: str, columns: Mapping[str, SnowflakeColumn]) -> str:
    """`column`: as it is read. A sum is of numbers as wide as there are, whatever the column's own width."""
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
    """By arithmetic and the calendar: the session's zone and the day its weeks begin with have no say."""
    if column_type is ColumnType.DATE:
        return _compile_day_bucket(column, unit)
    if unit in FIXED_UNIT_SPANS:
        return _compile_snowflake_floor(column, *FIXED_UNIT_SPANS[unit])
    day = f"DATEADD(DAY, CAST({_compile_snowflake_floor(column, *FIXED_UNIT_SPANS[TimeUnit.DAY])} / {DAY_MICROSECONDS} AS NUMBER(38, 0)), {EPOCH_DATE_SQL})"
    return f"(DATEDIFF(DAY, {EPOCH_DATE_SQL}, {_compile_day_bucket(day, unit)}) * {DAY_MICROSECONDS})"


def _compile_day_bucket(day: str, unit: TimeUnit) -> str:
    if unit is TimeUnit.DAY:
        return day
    if unit is TimeUnit.WEEK:
        return f"CAST(DATEADD(DAY, 1 - DAYOFWEEKISO({day}), {day}) AS DATE)"
    return f"CAST(DATE_TRUNC('{unit}', {day}) AS DATE)"


def _compile_snowflake_floor(column: str, span: int, before: int) -> str:
    """Rounded down, below zero too."""
    return f"({column} - MOD(MOD({column} + {before}, {span}) + {span}, {span}))"


UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

EXACT_CONTEXT = Context(prec=1000)

LESS_THAN_OPS = frozenset({Op.LT, Op.LTE})

NEGATIVE_OPS = frozenset({Op.NE, Op.NOT_IN})


def resolve_comparison(comparison: Comparison, column: SnowflakeColumn) -> Comparison | bool:
    """The same test with a value the column can hold; True: every row with a value meets it, False: none does."""
    if comparison.op is Op.IS_NULL:
        return comparison
    if comparison.op in (Op.IN, Op.NOT_IN):
        values = tuple(value for value in comparison.value if is_storable(value, column))
        return replace(comparison, value=values) if values else comparison.op is Op.NOT_IN
    if is_storable(comparison.value, column):
        return comparison
    if comparison.op in (Op.LT, Op.LTE, Op.GT, Op.GTE):
        return (
            resolve_text_bound(comparison)
            if column.column_type is ColumnType.TEXT
            else resolve_number_bound(comparison, column)
        )
    return comparison.op in NEGATIVE_OPS


def is_storable(value: Any, column: SnowflakeColumn) -> bool:
    if column.column_type is ColumnType.TEXT:
        return find_lone_surrogate(value) == len(str(value))
    if column.column_type not in (ColumnType.INTEGER, ColumnType.DECIMAL):
        return True
    return bool(floor_to_scale(value, column) == value and abs(value) < exclusive_limit_for(column))


def resolve_text_bound(comparison: Comparison) -> Comparison:
    """No stored text lies between the first lone surrogate and U+E000, so U+E000 in its place parts the rows alike."""
    bound = comparison.value[: find_lone_surrogate(comparison.value)] + "\ue000"
    return Comparison(comparison.column, Op.LT if comparison.op in LESS_THAN_OPS else Op.GTE, bound)


def find_lone_surrogate(text: str) -> int:
    """Where the first lone surrogate stands; the length of the text when there is none."""
    return next((place for place, letter in enumerate(text) if "\ud800" <= letter <= "\udfff"), len(text))


def resolve_number_bound(comparison: Comparison, column: SnowflakeColumn) -> Comparison | bool:
    """Between two neighbours a column can hold, the lower one parts the rows alike."""
    if abs(comparison.value) >= exclusive_limit_for(column):
        return bool(comparison.value > 0) == (comparison.op in LESS_THAN_OPS)
    return Comparison(
        comparison.column, Op.LTE if comparison.op in LESS_THAN_OPS else Op.GT, floor_to_scale(comparison.value, column)
    )


def floor_to_scale(value: int | Decimal, column: SnowflakeColumn) -> Decimal:
    return Decimal(value).quantize(Decimal(1).scaleb(-column.scale), ROUND_FLOOR, context=EXACT_CONTEXT)


def exclusive_limit_for(column: SnowflakeColumn) -> int:
    return int(10 ** (column.precision - column.scale))


def bind_value(value: Any, column: SnowflakeColumn) -> Any:
    """The value as the connector takes it. Numbers with a scale go as text: a Decimal's type would lose the scale."""
    return VALUE_BINDERS[column.column_type](value, column)


def bind_time(value: datetime, column: SnowflakeColumn) -> int | tuple[str, datetime]:
    """A zone-less column holds UTC; without the type said, the session's own zone would be assumed."""
    if column.data_type == EPOCH_TYPE:
        return (value - UNIX_EPOCH) // timedelta(microseconds=1)
    at = value.astimezone(UTC)
    return (column.data_type, at.replace(tzinfo=None)) if column.data_type == "TIMESTAMP_NTZ" else ("TIMESTAMP_TZ", at)


VALUE_BINDERS: Mapping[ColumnType, Callable[[Any, SnowflakeColumn], Any]] = {
    ColumnType.TEXT: lambda value, _: value,
    ColumnType.INTEGER: lambda value, _: int(value),
    ColumnType.FLOAT: lambda value, _: float(value),
    ColumnType.DECIMAL: lambda value, stored: format(floor_to_scale(value, stored), "f"),
    ColumnType.BOOLEAN: lambda value, _: value,
    ColumnType.DATE: lambda value, _: value,
    ColumnType.TIME: bind_time,
}


def format_key_value(value: Any, column: SnowflakeColumn) -> str:
    """A key's value as the text that is read back to the column's type; times as microseconds since 1970."""
    if column.column_type is ColumnType.TIME:
        return str((value - UNIX_EPOCH) // timedelta(microseconds=1))
    if column.column_type is ColumnType.DATE:
        return str(value.isoformat())
    return (
        str(bind_value(value, column)).lower()
        if column.column_type is ColumnType.BOOLEAN
        else str(bind_value(value, column))
    )


def decode_decimal(value: Any) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(value)


def decode_time(microseconds: int) -> datetime:
    return UNIX_EPOCH + timedelta(microseconds=int(microseconds))


DECODERS: Mapping[ColumnType, Callable[[Any], Any]] = {
    ColumnType.INTEGER: int,
    ColumnType.DECIMAL: decode_decimal,
    ColumnType.TIME: decode_time,
}
"""How a value that is not null is read; of the kinds not named here, as it comes."""

COMPARISON_OPERATORS = {Op.EQ: "=", Op.NE: "<>", Op.LT: "<", Op.LTE: "<=", Op.GT: ">", Op.GTE: ">="}

TEXT_MATCH_FUNCTIONS = {Op.CONTAINS: "CONTAINS", Op.STARTS_WITH: "STARTSWITH", Op.ENDS_WITH: "ENDSWITH"}

LIST_OPERATORS = {Op.IN: "IN", Op.NOT_IN: "NOT IN"}


@dataclass(frozen=True, slots=True)
class SnowflakeScope:
    """The table whose columns a condition speaks of, and how deep in Exists it stands."""

    tables: Mapping[str, SnowflakeTable]
    table: SnowflakeTable
    depth: int = 0


def compile_snowflake_query(request: ScanRequest, tables: Mapping[str, SnowflakeTable]) -> SnowflakeSql:
    """Identifiers are the reflected ones, quoted; values are bound, each once, whatever their number."""
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
    """The columns of the rows that keys and filter leave."""
    return (
        SnowflakeSql(f"SELECT {columns} FROM {quote_identifier(scope.table.name)} AS {format_table_alias(scope)}"),
        *(() if request.keys is None else (compile_key_join(request.keys, scope),)),
        *compile_snowflake_where(request.filter, scope),
    )


def compile_snowflake_where(predicate: Predicate, scope: SnowflakeScope) -> Sequence[SnowflakeSql]:
    return () if predicate == ALWAYS_TRUE else (wrap_sql("WHERE ", compile_snowflake_predicate(predicate, scope)),)


def compile_snowflake_groups(request: ScanRequest, scope: SnowflakeScope) -> SnowflakeSql:
    """A row for each group; where groups are picked, ordered or limited, they are a table to do so of."""
    units = {each.column: each.unit for each in request.time_buckets}
    by = [compile_snowflake_group_key(name, units.get(name), scope) for name in request.columns]
    measures = [
        compile_snowflake_aggregate(
            each, compile_snowflake_column(each.column, scope) if each.column else "*", scope.table.columns
        )
        for each in request.aggregates
    ]
    group = (SnowflakeSql("GROUP BY " + ", ".join(by)),) if by else ()
    if request.having == ALWAYS_TRUE and not request.sort and request.limit is None:
        return join_sql(" ", (*compile_select(", ".join([*by, *measures]), request, scope), *group))
    stored = list_snowflake_results(request, scope.table.columns)
    named = [f"{sql} AS {quote_identifier(each.name)}" for sql, (_, each) in zip([*by, *measures], stored, strict=True)]
    inner = join_sql(" ", (*compile_select(", ".join(named), request, scope), *group))
    outer = replace(scope, table=replace(scope.table, columns=dict(stored)))
    limit = () if request.limit is None else (SnowflakeSql("LIMIT ?", (request.limit,)),)
    kept = (
        wrap_sql("SELECT * FROM (", inner, f") AS {format_table_alias(outer)}"),
        *compile_snowflake_where(request.having, outer),
    )
    return join_sql(" ", (*kept, *compile_snowflake_order_by(request.sort, outer), *limit))


def compile_snowflake_group_key(name: str, unit: TimeUnit | None, scope: SnowflakeScope) -> str:
    column = compile_snowflake_column(name, scope)
    return (
        column if unit is None else compile_snowflake_time_bucket(column, scope.table.columns[name].column_type, unit)
    )


def compile_key_join(keys: KeyFilter, scope: SnowflakeScope) -> SnowflakeSql:
    equal = " AND ".join(
        f'{compile_snowflake_column(name, scope)} = "k"."k{place}"' for place, name in enumerate(keys.columns)
    )
    return wrap_sql("JOIN (", compile_key_table(keys.columns, keys.values, scope), f') AS "k" ON {equal}')


def compile_key_table(names: Sequence[str], keys: Iterable[Row], scope: SnowflakeScope) -> SnowflakeSql:
    """All keys travel as one value, so the statement's text is the same for one key and for a thousand."""
    stored = [scope.table.columns[name] for name in names]
    rows = [
        [format_key_value(value, column) for value, column in zip(key, stored, strict=True)]
        for key in keys
        if all(is_storable(value, column) for value, column in zip(key, stored, strict=True))
    ]
    parts = ", ".join(f'{compile_key_value(place, column)} AS "k{place}"' for place, column in enumerate(stored))
    text = f'SELECT {parts} FROM TABLE(FLATTEN(PARSE_JSON(?))) AS "f"'
    return SnowflakeSql(text, (json.dumps(rows, separators=(",", ":")),))


def compile_snowflake_in_keys(predicate: InKeys, scope: SnowflakeScope, *, negated: bool = False) -> SnowflakeSql:
    """`outside`: of those that are not; a row without a value is."""
    columns = [compile_snowflake_column(name, scope) for name in predicate.columns]
    one = columns[0] if len(columns) == 1 else f"({', '.join(columns)})"
    if not negated:
        return wrap_sql(f"{one} IN (", compile_key_table(predicate.columns, predicate.keys, scope), ")")
    empty = " OR ".join(f"{each} IS NULL" for each in columns)
    stored = [scope.table.columns[each] for each in predicate.columns]
    readable = " AND ".join(f"{compile_key_value(place, each)} IS NOT NULL" for place, each in enumerate(stored))
    keys = compile_key_table(predicate.columns, predicate.keys, scope)
    return wrap_sql(f"({empty} OR {one} NOT IN (", keys, f" WHERE {readable}))")


def compile_key_value(place: int, column: SnowflakeColumn) -> str:
    text = f'"f".VALUE[{place}]::TEXT'
    if column.column_type is ColumnType.TEXT:
        return text
    return (
        f"TRY_CAST({text} AS {'NUMBER(38, 0)' if column.column_type is ColumnType.TIME else format_sql_type(column)})"
    )


def compile_limit_per_key(request: ScanRequest, scope: SnowflakeScope) -> Sequence[SnowflakeSql]:
    if request.keys is None or request.limit is None:
        return ()
    keys = ", ".join(compile_snowflake_column(name, scope) for name in request.keys.columns)
    order = ", ".join(compile_snowflake_sort_key(order, scope) for order in request.sort) or keys
    return (SnowflakeSql(f"QUALIFY ROW_NUMBER() OVER (PARTITION BY {keys} ORDER BY {order}) <= ?", (request.limit,)),)


def compile_snowflake_order_by(order: Sequence[SortKey], scope: SnowflakeScope) -> Sequence[SnowflakeSql]:
    return (
        (SnowflakeSql("ORDER BY " + ", ".join(compile_snowflake_sort_key(one, scope) for one in order)),)
        if order
        else ()
    )


def compile_snowflake_sort_key(order: SortKey, scope: SnowflakeScope) -> str:
    way = "DESC" if order.descending else "ASC"
    return f"{compile_snowflake_column(order.column, scope)} {way} NULLS {'FIRST' if order.nulls_first else 'LAST'}"


def compile_snowflake_predicate(predicate: Predicate, scope: SnowflakeScope) -> SnowflakeSql:
    """Of a test on null the text may be null; everything else is true or false."""
    match predicate:
        case And(parts):
            return join_bracketed_sql(" AND ", "TRUE", [compile_snowflake_predicate(part, scope) for part in parts])
        case Or(parts):
            return join_bracketed_sql(" OR ", "FALSE", [compile_snowflake_predicate(part, scope) for part in parts])
        case Not(Comparison() as test):
            tested = compile_snowflake_comparison(test, scope)
            return SnowflakeSql(f"NOT COALESCE({tested.text}, FALSE)", tested.binds)
        case Not(Exists() as related):
            return wrap_sql("NOT ", compile_snowflake_exists(related, scope))
        case Not(InKeys() as keys):
            return compile_snowflake_in_keys(keys, scope, negated=True)
        case Not(part):
            return compile_snowflake_predicate(negate_predicate(part), scope)
        case Comparison():
            return compile_snowflake_comparison(predicate, scope)
        case Exists():
            return compile_snowflake_exists(predicate, scope)
        case InKeys():
            return compile_snowflake_in_keys(predicate, scope)
    raise TypeError(f"no source is asked {type(predicate).__name__}")


def negate_predicate(predicate: Predicate) -> Predicate:
    """De Morgan's: NOT comes to stand before tests and EXISTS alone, where Snowflake takes a subquery."""
    match predicate:
        case And(parts):
            return Or(tuple(Not(part) for part in parts))
        case Or(parts):
            return And(tuple(Not(part) for part in parts))
        case _:
            return predicate.part if isinstance(predicate, Not) else Not(predicate)


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
            marks = ", ".join(compile_placeholder(stored) for _ in values)
            return SnowflakeSql(
                f"{column} {LIST_OPERATORS[op]} ({marks})", tuple(bind_value(value, stored) for value in values)
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
    meets = join_bracketed_sql(" AND ", "TRUE", [*equal, compile_snowflake_predicate(predicate.filter, inner)])
    return SnowflakeSql(
        f"EXISTS (SELECT 1 FROM {quote_identifier(inner.table.name)} AS {format_table_alias(inner)} WHERE {meets.text})",
        meets.binds,
    )


def compile_snowflake_column(name: str, scope: SnowflakeScope) -> str:
    """Times come as microseconds since 1970: exact, whatever the session's zone and the column's type."""
    column, stored = qualify_column(name, scope), scope.table.columns[name]
    return (
        f"DATE_PART(EPOCH_MICROSECOND, {column})"
        if stored.column_type is ColumnType.TIME and stored.data_type != EPOCH_TYPE
        else column
    )


def qualify_column(name: str, scope: SnowflakeScope) -> str:
    return f"{format_table_alias(scope)}.{quote_identifier(scope.table.columns[name].name)}"


def format_table_alias(scope: SnowflakeScope) -> str:
    return f'"t{scope.depth}"'


def compile_placeholder(column: SnowflakeColumn) -> str:
    return f"CAST(? AS {format_sql_type(column)})" if column.column_type is ColumnType.DECIMAL else "?"


def format_sql_type(column: SnowflakeColumn) -> str:
    return f"NUMBER({column.precision}, {column.scale})" if column.precision else column.data_type


def list_decoders(request: ScanRequest, tables: Mapping[str, SnowflakeTable]) -> Sequence[Callable[[Any], Any] | None]:
    """How the values of each column of its answer are read; None: as they come."""
    return [
        DECODERS.get(each.column_type)
        for _, each in list_snowflake_results(request, tables[request.collection].columns)
    ]


def decode_snowflake_rows(rows: Sequence[Row], decoders: Sequence[Callable[[Any], Any] | None]) -> list[Row]:
    """The rows with their values as the words mean them; of an ask without columns and measures, empty rows."""
    if not decoders:
        return [()] * len(rows)
    if not any(decoders):
        return [tuple(row) for row in rows]
    return [
        tuple(
            show(value) if show is not None and value is not None else value
            for show, value in zip(decoders, row, strict=True)
        )
        for row in rows
    ]
