"""Rows of one read in, the steps its source did not take out, in their order."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from engine.finish import key_of, limited, ordered, predicate
from engine.plan.words import Read, Step, Wanted
from engine.reckon import EXACT, measured, named
from engine.words import EVERY_ROW, Aggregate, Measure, Row


def picked(planned: Read, rows: list[Row], keys: Sequence[Row] | None) -> list[Row]:
    """The rows of these keys, where the source was read whole."""
    keyed = planned.wanted.keyed
    if not keyed or planned.batch or keys is None:
        return rows
    wanted, key = frozenset(keys), key_of(keyed, planned.asked)
    return [row for row in rows if key(row) in wanted]


def kept(rows: list[Row], where: Any, names: Sequence[str]) -> list[Row]:
    return rows if where == EVERY_ROW else list(filter(predicate(where, names), rows))


def grouped_rows(planned: Read, rows: list[Row], names: Sequence[str]) -> list[Row]:
    """A row for each group, its averages last: of whole rows, of parts of groups, or as the source gave them."""
    wanted = planned.wanted
    if planned.partial:
        rows = _put_together(wanted, rows, names)
    elif not planned.measures:
        rows = measured(rows, wanted.columns, wanted.measures, names, wanted.cuts)
    return _averaged(wanted, rows) if wanted.averages else rows


def _put_together(wanted: Wanted, rows: list[Row], names: Sequence[str]) -> list[Row]:
    """Sums of counts and sums, least of leasts; what is told apart was grouped by, so it is told apart now."""
    again = [PART[each.aggregate](each) for each in wanted.measures]
    reached = {name for each in wanted.reaches for name in each.names}
    cuts = [each for each in wanted.cuts if each.column in reached]
    found = measured(rows, wanted.columns, again, names, cuts)
    counts = {at for at, each in enumerate(wanted.measures, len(wanted.columns)) if each.aggregate is Aggregate.COUNT}
    return [tuple(value or 0 if at in counts else value for at, value in enumerate(row)) for row in found]


PART: dict[Aggregate, Callable[[Measure], Measure]] = {
    Aggregate.COUNT: lambda whole: Measure(Aggregate.SUM, whole.name),
    Aggregate.SUM: lambda whole: Measure(Aggregate.SUM, whole.name),
    Aggregate.MIN: lambda whole: Measure(Aggregate.MIN, whole.name),
    Aggregate.MAX: lambda whole: Measure(Aggregate.MAX, whole.name),
    Aggregate.COUNT_DISTINCT: lambda whole: whole,
}


def _averaged(wanted: Wanted, rows: list[Row]) -> list[Row]:
    names = named(wanted.columns, wanted.measures)
    pairs = [
        (names.index(Measure(Aggregate.SUM, each).name), names.index(Measure(Aggregate.COUNT, each).name))
        for each in wanted.averages
    ]
    return [(*row, *(mean(row[total], row[count]) for total, count in pairs)) for row in rows]


def mean(total: Any, count: int) -> Any:
    """Of money, half even at 12 decimal places; of any other number, a float; None of no values."""
    if not count:
        return None
    if not isinstance(total, Decimal):
        return total / count
    return plain(EXACT.divide(total, Decimal(count)))


def plain(value: Decimal) -> Decimal:
    """At most 12 places, without zeros that say nothing."""
    short = EXACT.quantize(value, Decimal("1E-12")).normalize(EXACT)
    exponent = short.as_tuple().exponent
    return EXACT.quantize(short, Decimal(1)) if isinstance(exponent, int) and exponent > 0 else short


def arranged(planned: Read, rows: list[Row], limit: int | None, having: Any) -> list[Row]:
    wanted, names = planned.wanted, planned.names
    if Step.HAVING not in planned.takes:
        rows = kept(rows, having, names)
    if wanted.order and Step.ORDER not in planned.takes:
        rows = ordered(rows, wanted.order, names)
    if limit is not None and Step.LIMIT not in planned.takes:
        rows = limited(rows, limit, key_of(wanted.keyed, names))
    return rows
