"""Compute aggregates, the values of sort terms and time buckets the naive way."""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from tests.properties.equality.model import MODEL
from tests.properties.equality.rows import field_value, linked_rows, scalar
from tests.properties.equality.world import Dict, World


def evaluate_term(world: World, kind: str, term: Mapping[str, Any], row: Dict) -> Any:
    """What a term names: a value of the row, of the row a link leads to, or an aggregate of those it leads to."""
    [(name, inner)] = term.items()
    if name not in MODEL[kind].links:
        return field_value(kind, row, name)
    link, linked = MODEL[kind].links[name], linked_rows(world, kind, row, name)
    if link.many:
        return compute_aggregate(link.to, linked, inner)
    return evaluate_term(world, link.to, inner, linked[0]) if linked else None


def compute_aggregate(kind: str, rows: Sequence[Dict], term: Mapping[str, Any]) -> Any:
    """`{count: _}` or `{sum: {total: _}}`: rows without a value take no part."""
    [(name, inner)] = term.items()
    if name == "count":
        return len(rows)
    values = [field_value(kind, row, next(iter(inner))) for row in rows]
    return MEASURES[name]([value for value in values if value is not None])


def total(values: Sequence[Any]) -> Any:
    if not values:
        return None
    return math.fsum(values) if isinstance(values[0], float) else sum(values)


def average(values: Sequence[Any]) -> Any:
    """Money to twelve places, half to even; `round` does so of a fraction."""
    if not values:
        return None
    if isinstance(values[0], Decimal):
        return Decimal(round(Fraction(total(values)) / len(values) * 10**12)).scaleb(-12).normalize()
    return total(values) / len(values)


MEASURES: Mapping[str, Callable[[list[Any]], Any]] = {
    "countDistinct": lambda values: len(set(values)),
    "sum": total,
    "avg": average,
    "min": lambda values: min(values, default=None),
    "max": lambda values: max(values, default=None),
}
WIDER = {"Int": "BigInt", "BigInt": "Decimal"}
HALVED = {"Int": "Float", "BigInt": "Float"}


def result(kind: str, name: str, column: str) -> str:
    """The scalar of a measure."""
    own = scalar(kind, column)
    return {"countDistinct": "Int", "sum": WIDER.get(own, own), "avg": HALVED.get(own, own)}.get(name, own)


def cut(value: Any, unit: str) -> Any:
    """Where the unit begins that the day or time is in, for times that of UTC; weeks begin on Monday."""
    if unit == "VALUE" or value is None:
        return value
    if isinstance(value, datetime):
        value = value.astimezone(UTC)
        if unit == "HOUR":
            return value.replace(minute=0, second=0, microsecond=0)
        return datetime.combine(cut(value.date(), unit), datetime.min.time(), UTC)
    return CUTS[unit](value)


CUTS: Mapping[str, Callable[[date], date]] = {
    "DAY": lambda day: day,
    "WEEK": lambda day: day - timedelta(days=day.weekday()),
    "MONTH": lambda day: date(day.year, day.month, 1),
    "QUARTER": lambda day: date(day.year, [1, 1, 1, 4, 4, 4, 7, 7, 7, 10, 10, 10][day.month - 1], 1),
    "YEAR": lambda day: date(day.year, 1, 1),
}
