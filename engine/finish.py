"""Rows in, the steps a source did not take out: filter, order and limit as the words mean them.

This is the meaning of the contract in Python; a source that promises a step promises to do it like this.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from engine.words import All, Among, Not, Op, Order, Row, Some, Test

Predicate = Callable[[Row], bool]

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


def predicate(where: Any, columns: Sequence[str]) -> Predicate:
    """Whether a row, its values in the order of `columns`, meets the filter; a test on null is false."""
    match where:
        case Test():
            return _test(where, columns.index(where.column))
        case All():
            parts = [predicate(each, columns) for each in where.parts]
            return lambda row: all(part(row) for part in parts)
        case Some():
            parts = [predicate(each, columns) for each in where.parts]
            return lambda row: any(part(row) for part in parts)
        case Not():
            inner = predicate(where.part, columns)
            return lambda row: not inner(row)
        case Among():
            key, keys = key_of(where.columns, columns), where.keys
            return lambda row: key(row) in keys
        case _:
            raise TypeError(f"nothing here evaluates {type(where).__name__}")


def _test(test: Test, at: int) -> Predicate:
    if test.op is Op.IS_NULL:
        return lambda row: (row[at] is None) is test.value
    compare, given = COMPARE[test.op], test.value
    return lambda row: row[at] is not None and compare(row[at], given)


def key_of(key: Sequence[str], columns: Sequence[str]) -> Callable[[Row], Row]:
    """Takes the key columns out of a row, as a tuple."""
    places = [columns.index(each) for each in key]
    if len(places) == 1:
        at = places[0]
        return lambda row: (row[at],)
    return lambda row: tuple(row[at] for at in places)


def ordered(rows: Sequence[Row], order: Sequence[Order], columns: Sequence[str]) -> list[Row]:
    """Stable; rows without a value come last, either way, unless they are to come first."""
    kept = list(rows)
    for each in reversed(order):
        at = columns.index(each.column)
        filled = [row for row in kept if row[at] is not None]
        empty = [row for row in kept if row[at] is None]
        filled.sort(key=lambda row: row[at], reverse=each.descending)
        kept = empty + filled if each.nulls_first else filled + empty
    return kept


def limited(rows: Iterable[Row], limit: int, key: Callable[[Row], Row]) -> list[Row]:
    """The first `limit` rows of each key."""
    seen: Counter[Row] = Counter()
    kept = []
    for row in rows:
        group = key(row)
        seen[group] += 1
        if seen[group] <= limit:
            kept.append(row)
    return kept


def grouped(rows: Iterable[Row], key: Callable[[Row], Row]) -> dict[Row, list[Row]]:
    groups: dict[Row, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups
