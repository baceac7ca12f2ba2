"""Rows in, a row for each group out: the columns grouped by, then the measures.

This is the meaning of measures in Python; a source that promises them promises to compute them like this.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from functools import reduce
from typing import Any

from engine.finish import grouped, key_of, limited, ordered, predicate
from engine.words import EVERY_ROW, Aggregate, Ask, Cut, Measure, Row, Unit

EXACT = Context(prec=80, rounding=ROUND_HALF_EVEN)
"""Wide enough that no sum of money is rounded."""


def measured(
    rows: Iterable[Row],
    by: Sequence[str],
    measures: Sequence[Measure],
    columns: Sequence[str],
    cuts: Sequence[Cut] = (),
) -> list[Row]:
    """Grouped by nothing, one row even of no rows."""
    groups = grouped(rows, key_cut(by, columns, cuts))
    if not by and not groups:
        groups[()] = []
    taken = [_taking(each, columns) for each in measures]
    return [(*key, *(take(members) for take in taken)) for key, members in groups.items()]


def arranged(rows: Sequence[Row], ask: Ask) -> list[Row]:
    """The groups that meet `having`, in order, no more than the limit for each key."""
    names = named(ask.columns, ask.measures)
    kept = [*filter(predicate(ask.having, names), rows)] if ask.having != EVERY_ROW else list(rows)
    kept = ordered(kept, ask.order, names)
    if ask.limit is None:
        return kept
    return limited(kept, ask.limit, key_of(ask.keys.columns if ask.keys else (), names))


def named(by: Sequence[str], measures: Sequence[Measure]) -> tuple[str, ...]:
    """What the values of a grouped row are called, in their order."""
    return (*by, *(each.name for each in measures))


def key_cut(by: Sequence[str], columns: Sequence[str], cuts: Sequence[Cut]) -> Callable[[Row], Row]:
    """Takes what is grouped by out of a row, days and times cut to where their unit begins."""
    units = {each.column: each.unit for each in cuts}
    key = key_of(by, columns)
    if not units:
        return key
    cutting = [CUTTING[units[each]] if each in units else None for each in by]
    return lambda row: tuple(
        cut(value) if cut and value is not None else value for cut, value in zip(cutting, key(row), strict=True)
    )


def _midnight(value: Any) -> Any:
    if not isinstance(value, datetime):
        return value
    return value.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _week(value: date) -> date:
    day: date = _midnight(value)
    return day - timedelta(days=day.weekday())


CUTTING: Mapping[Unit, Callable[[Any], Any]] = {
    Unit.HOUR: lambda value: value.astimezone(UTC).replace(minute=0, second=0, microsecond=0),
    Unit.DAY: _midnight,
    Unit.WEEK: _week,
    Unit.MONTH: lambda value: _midnight(value).replace(day=1),
    Unit.QUARTER: lambda value: (day := _midnight(value)).replace(month=(day.month - 1) // 3 * 3 + 1, day=1),
    Unit.YEAR: lambda value: _midnight(value).replace(month=1, day=1),
}
"""By unit, from a day or a time to where its unit begins. Day 1 of year 1 is a Monday."""


def total(values: Sequence[Any]) -> Any:
    """The exact sum; None of no values."""
    if not values:
        return None
    if isinstance(values[0], Decimal):
        return reduce(EXACT.add, values)
    return math.fsum(values) if isinstance(values[0], float) else sum(values)


REDUCE: Mapping[Aggregate, Callable[[list[Any]], Any]] = {
    Aggregate.COUNT: len,
    Aggregate.COUNT_DISTINCT: lambda values: len(set(values)),
    Aggregate.SUM: total,
    Aggregate.MIN: lambda values: min(values, default=None),
    Aggregate.MAX: lambda values: max(values, default=None),
}


def _taking(measure: Measure, columns: Sequence[str]) -> Callable[[Sequence[Row]], Any]:
    if measure.column is None:
        return len
    at, reduced = columns.index(measure.column), REDUCE[measure.aggregate]
    return lambda rows: reduced([row[at] for row in rows if row[at] is not None])
