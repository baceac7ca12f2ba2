"""Filter, sort, limit and aggregate rows in memory; what these do is what connectors must do."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from functools import partial, reduce
from typing import Any

from onedoor.spi.flaws import mark_flaws
from onedoor.spi.predicates import ALWAYS_TRUE, Comparison, InKeys, Op, Row, fold_predicate
from onedoor.spi.scan import AggregateCall, AggregateFunction, ScanRequest, SortKey, TimeBucket, TimeUnit

RowTest = Callable[[Row], bool]

COMPARE: Mapping[Op, Callable[[Any, Any], bool]] = {
    Op.EQ: lambda value, operand: bool(value == operand),
    Op.NE: lambda value, operand: bool(value != operand),
    Op.IN: lambda value, operand: value in operand,
    Op.NOT_IN: lambda value, operand: value not in operand,
    Op.LT: lambda value, operand: bool(value < operand),
    Op.LTE: lambda value, operand: bool(value <= operand),
    Op.GT: lambda value, operand: bool(value > operand),
    Op.GTE: lambda value, operand: bool(value >= operand),
    Op.CONTAINS: lambda value, operand: operand in value,
    Op.STARTS_WITH: lambda value, operand: bool(value.startswith(operand)),
    Op.ENDS_WITH: lambda value, operand: bool(value.endswith(operand)),
    Op.I_CONTAINS: lambda value, operand: operand.casefold() in value.casefold(),
    Op.I_STARTS_WITH: lambda value, operand: bool(value.casefold().startswith(operand.casefold())),
    Op.I_ENDS_WITH: lambda value, operand: bool(value.casefold().endswith(operand.casefold())),
}


def compile_predicate(predicate: Any, columns: Sequence[str]) -> RowTest:
    """Compile a filter to a test of rows whose values stand in the order of `columns`.

    Raises TypeError for an Exists, which looks at more than one row.
    """
    return fold_predicate(
        predicate,
        partial(_compile_leaf, columns=columns),
        conjunction=_meets_all,
        disjunction=_meets_any,
        negation=_fails,
    )


def _meets_all(tests: Sequence[RowTest]) -> RowTest:
    return lambda row: all(test(row) for test in tests)


def _meets_any(tests: Sequence[RowTest]) -> RowTest:
    return lambda row: any(test(row) for test in tests)


def _fails(test: RowTest) -> RowTest:
    return lambda row: not test(row)


def _compile_leaf(predicate: Any, columns: Sequence[str]) -> RowTest:
    match predicate:
        case Comparison():
            return _compile_comparison(predicate, columns.index(predicate.column))
        case InKeys():
            key, keys = compile_key(predicate.columns, columns), predicate.keys
            return lambda row: key(row) in keys
        case _:
            raise TypeError(f"{type(predicate).__name__} cannot be evaluated for one row")


def _compile_comparison(comparison: Comparison, index: int) -> RowTest:
    if comparison.op is Op.IS_NULL:
        return lambda row: (row[index] is None) is comparison.value
    compare, operand = COMPARE[comparison.op], comparison.value
    return lambda row: row[index] is not None and compare(row[index], operand)


def compile_key(key: Sequence[str], columns: Sequence[str]) -> Callable[[Row], Row]:
    """Compile a function from a row to the tuple of its key columns."""
    indexes = [columns.index(column) for column in key]
    if len(indexes) == 1:
        index = indexes[0]
        return lambda row: (row[index],)
    return lambda row: tuple(row[index] for index in indexes)


def sort_rows(rows: Sequence[Row], sort: Sequence[SortKey], columns: Sequence[str]) -> list[Row]:
    """Sort rows stably; rows without a value come last in both directions, or first where the sort key says so."""
    ordered = list(rows)
    for sort_key in reversed(sort):
        index = columns.index(sort_key.column)
        with_value = [row for row in ordered if row[index] is not None]
        without_value = [row for row in ordered if row[index] is None]
        with_value.sort(key=lambda row: row[index], reverse=sort_key.descending)
        ordered = without_value + with_value if sort_key.nulls_first else with_value + without_value
    return ordered


def limit_rows(rows: Iterable[Row], limit: int, key: Callable[[Row], Row]) -> list[Row]:
    """Return the first `limit` rows of each key."""
    count_by_key: Counter[Row] = Counter()
    first_rows = []
    for row in rows:
        row_key = key(row)
        count_by_key[row_key] += 1
        if count_by_key[row_key] <= limit:
            first_rows.append(row)
    return first_rows


def group_rows(rows: Iterable[Row], key: Callable[[Row], Row]) -> dict[Row, list[Row]]:
    """Map each key to its rows, both in the order they come."""
    groups: dict[Row, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


EXACT_CONTEXT = Context(prec=200_000, rounding=ROUND_HALF_EVEN)
"""Wide enough that no sum of the decimals that `onedoor.spi.flaws` lets in is rounded."""


def aggregate_rows(
    rows: Iterable[Row],
    group_by: Sequence[str],
    aggregates: Sequence[AggregateCall],
    columns: Sequence[str],
    time_buckets: Sequence[TimeBucket] = (),
) -> list[Row]:
    """Return a row for each group: its columns, then its aggregates; grouped by nothing, one row even of no rows."""
    groups = group_rows(rows, compile_bucketed_key(group_by, columns, time_buckets))
    if not group_by and not groups:
        groups[()] = []
    functions = [_compile_aggregate(aggregate, columns) for aggregate in aggregates]
    aggregated = [(*key, *(function(members) for function in functions)) for key, members in groups.items()]
    return _mark_infinite_sums(aggregated, len(group_by), aggregates)


def _mark_infinite_sums(rows: list[Row], key_length: int, aggregates: Sequence[AggregateCall]) -> list[Row]:
    """Mark as flawed the sums of floats that are too large for a float."""
    sums = [place for place, call in enumerate(aggregates, key_length) if call.function is AggregateFunction.SUM]
    flaws_by_place = {
        place: {number: INFINITE_SUM for number, row in enumerate(rows) if row[place] in INFINITIES} for place in sums
    }
    return mark_flaws(rows, flaws_by_place) if any(flaws_by_place.values()) else rows


def arrange_groups(rows: Sequence[Row], request: ScanRequest) -> list[Row]:
    """Return the groups that meet `having`, sorted, no more than the limit for each key."""
    names = name_grouped_columns(request.columns, request.aggregates)
    groups = [*filter(compile_predicate(request.having, names), rows)] if request.having != ALWAYS_TRUE else list(rows)
    groups = sort_rows(groups, request.sort, names)
    if request.limit is None:
        return groups
    return limit_rows(groups, request.limit, compile_key(request.keys.columns if request.keys else (), names))


def name_grouped_columns(group_by: Sequence[str], aggregates: Sequence[AggregateCall]) -> tuple[str, ...]:
    """Return the names of the values of a grouped row, in their order."""
    return (*group_by, *(aggregate.name for aggregate in aggregates))


def compile_bucketed_key(
    group_by: Sequence[str], columns: Sequence[str], time_buckets: Sequence[TimeBucket]
) -> Callable[[Row], Row]:
    """Compile a function from a row to its group: the columns grouped by, days and times truncated to their unit."""
    units = {bucket.column: bucket.unit for bucket in time_buckets}
    key = compile_key(group_by, columns)
    if not units:
        return key
    truncations = [TRUNCATE[units[column]] if column in units else None for column in group_by]
    return lambda row: tuple(
        truncate(value) if truncate and value is not None else value
        for truncate, value in zip(truncations, key(row), strict=True)
    )


def _truncate_to_day(value: Any) -> Any:
    if not isinstance(value, datetime):
        return value
    return value.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _truncate_to_week(value: date) -> date:
    day: date = _truncate_to_day(value)
    return day - timedelta(days=day.weekday())


TRUNCATE: Mapping[TimeUnit, Callable[[Any], Any]] = {
    TimeUnit.HOUR: lambda value: value.astimezone(UTC).replace(minute=0, second=0, microsecond=0),
    TimeUnit.DAY: _truncate_to_day,
    TimeUnit.WEEK: _truncate_to_week,
    TimeUnit.MONTH: lambda value: _truncate_to_day(value).replace(day=1),
    TimeUnit.QUARTER: lambda value: (day := _truncate_to_day(value)).replace(month=(day.month - 1) // 3 * 3 + 1, day=1),
    TimeUnit.YEAR: lambda value: _truncate_to_day(value).replace(month=1, day=1),
}
"""Functions from a day or a time to the start of its unit; day 1 of year 1 is a Monday."""


def sum_exactly(values: Sequence[Any]) -> Any:
    """Return the exact sum, or None of no values."""
    if not values:
        return None
    if isinstance(values[0], Decimal):
        return reduce(EXACT_CONTEXT.add, values)
    return _sum_floats(values) if isinstance(values[0], float) else sum(values)


def _sum_floats(values: Sequence[float]) -> float:
    """Return the exact sum, rounded once, whatever the order; infinite where no float is as large."""
    try:
        return math.fsum(values)
    except OverflowError:  # also where only a partial sum is too large
        total = sum(map(Fraction, values))
    try:
        return float(total)
    except OverflowError:
        return math.inf if total > 0 else -math.inf


INFINITIES = frozenset({math.inf, -math.inf})

INFINITE_SUM = "a sum that is no finite number"


REDUCERS: Mapping[AggregateFunction, Callable[[list[Any]], Any]] = {
    AggregateFunction.COUNT: len,
    AggregateFunction.COUNT_DISTINCT: lambda values: len(set(values)),
    AggregateFunction.SUM: sum_exactly,
    AggregateFunction.MIN: lambda values: min(values, default=None),
    AggregateFunction.MAX: lambda values: max(values, default=None),
}


def _compile_aggregate(aggregate: AggregateCall, columns: Sequence[str]) -> Callable[[Sequence[Row]], Any]:
    if aggregate.column is None:
        return len
    index, reduce_values = columns.index(aggregate.column), REDUCERS[aggregate.function]
    return lambda rows: reduce_values([row[index] for row in rows if row[index] is not None])
