"""Filter, sort, limit, aggregate rows in memory: the reference semantics."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import partial, reduce
from typing import Any

from onedoor.spi.predicates import ALWAYS_TRUE, Comparison, InKeys, Op, Row, fold_predicate
from onedoor.spi.scan import AggregateCall, AggregateFunction, ScanRequest, SortKey, TimeBucket, TimeUnit

RowTest = Callable[[Row], bool]

COMPARE: Mapping[Op, Callable[[Any, Any], bool]] = {
    Op.EQ: lambda value, given: bool(value == given),
    Op.NE: lambda value, given: bool(value != given),
    Op.IN: lambda value, given: value in given,
    Op.NOT_IN: lambda value, given: value not in given,
    Op.LT: lambda value, given: bool(value < given),
    Op.LTE: lambda value, given: bool(value <= given),
    Op.GT: lambda value, given: bool(value > given),
    Op.GTE: lambda value, given: bool(value >= given),
    Op.CONTAINS: lambda value, given: given in value,
    Op.STARTS_WITH: lambda value, given: bool(value.startswith(given)),
    Op.ENDS_WITH: lambda value, given: bool(value.endswith(given)),
    Op.I_CONTAINS: lambda value, given: given.lower() in value.lower(),
    Op.I_STARTS_WITH: lambda value, given: bool(value.lower().startswith(given.lower())),
    Op.I_ENDS_WITH: lambda value, given: bool(value.lower().endswith(given.lower())),
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
            raise TypeError(f"nothing here evaluates {type(predicate).__name__}")


def _compile_comparison(comparison: Comparison, at: int) -> RowTest:
    if comparison.op is Op.IS_NULL:
        return lambda row: (row[at] is None) is comparison.value
    compare, given = COMPARE[comparison.op], comparison.value
    return lambda row: row[at] is not None and compare(row[at], given)


def compile_key(key: Sequence[str], columns: Sequence[str]) -> Callable[[Row], Row]:
    """Takes the key columns out of a row, as a tuple."""
    places = [columns.index(each) for each in key]
    if len(places) == 1:
        at = places[0]
        return lambda row: (row[at],)
    return lambda row: tuple(row[at] for at in places)


def sort_rows(rows: Sequence[Row], sort: Sequence[SortKey], columns: Sequence[str]) -> list[Row]:
    """Stable; rows without a value come last, either way, unless they are to come first."""
    kept = list(rows)
    for each in reversed(sort):
        at = columns.index(each.column)
        filled = [row for row in kept if row[at] is not None]
        empty = [row for row in kept if row[at] is None]
        filled.sort(key=lambda row: row[at], reverse=each.descending)
        kept = empty + filled if each.nulls_first else filled + empty
    return kept


def limit_rows(rows: Iterable[Row], limit: int, key: Callable[[Row], Row]) -> list[Row]:
    """The first `limit` rows of each key."""
    seen: Counter[Row] = Counter()
    kept = []
    for row in rows:
        group = key(row)
        seen[group] += 1
        if seen[group] <= limit:
            kept.append(row)
    return kept


def group_rows(rows: Iterable[Row], key: Callable[[Row], Row]) -> dict[Row, list[Row]]:
    groups: dict[Row, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


EXACT_CONTEXT = Context(prec=80, rounding=ROUND_HALF_EVEN)
"""Wide enough that no sum of money is rounded."""


def aggregate_rows(
    rows: Iterable[Row],
    group_by: Sequence[str],
    aggregates: Sequence[AggregateCall],
    columns: Sequence[str],
    time_buckets: Sequence[TimeBucket] = (),
) -> list[Row]:
    """Grouped by nothing, one row even of no rows."""
    groups = group_rows(rows, compile_bucketed_key(group_by, columns, time_buckets))
    if not group_by and not groups:
        groups[()] = []
    taken = [_compile_aggregate(each, columns) for each in aggregates]
    return [(*key, *(take(members) for take in taken)) for key, members in groups.items()]


def arrange_groups(rows: Sequence[Row], request: ScanRequest) -> list[Row]:
    """The groups that meet `having`, in order, no more than the limit for each key."""
    names = name_grouped_columns(request.columns, request.aggregates)
    kept = [*filter(compile_predicate(request.having, names), rows)] if request.having != ALWAYS_TRUE else list(rows)
    kept = sort_rows(kept, request.sort, names)
    if request.limit is None:
        return kept
    return limit_rows(kept, request.limit, compile_key(request.keys.columns if request.keys else (), names))


def name_grouped_columns(group_by: Sequence[str], aggregates: Sequence[AggregateCall]) -> tuple[str, ...]:
    """What the values of a grouped row are called, in their order."""
    return (*group_by, *(each.name for each in aggregates))


def compile_bucketed_key(
    group_by: Sequence[str], columns: Sequence[str], time_buckets: Sequence[TimeBucket]
) -> Callable[[Row], Row]:
    """Takes what is grouped by out of a row, days and times cut to where their unit begins."""
    units = {each.column: each.unit for each in time_buckets}
    key = compile_key(group_by, columns)
    if not units:
        return key
    cutting = [TRUNCATE[units[each]] if each in units else None for each in group_by]
    return lambda row: tuple(
        cut(value) if cut and value is not None else value for cut, value in zip(cutting, key(row), strict=True)
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
"""By unit, from a day or a time to where its unit begins. Day 1 of year 1 is a Monday."""


def sum_exactly(values: Sequence[Any]) -> Any:
    """The exact sum; None of no values."""
    if not values:
        return None
    if isinstance(values[0], Decimal):
        return reduce(EXACT_CONTEXT.add, values)
    return math.fsum(values) if isinstance(values[0], float) else sum(values)


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
    at, reduced = columns.index(aggregate.column), REDUCERS[aggregate.function]
    return lambda rows: reduced([row[at] for row in rows if row[at] is not None])
