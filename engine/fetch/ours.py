"""Rows of one read in, the steps its source did not take out, in their order."""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from engine.bind import fill
from engine.fetch.words import Fetching
from engine.finish import key_of, limited, ordered, predicate
from engine.plan.words import Carried, Read, Step, Wanted
from engine.reckon import EXACT, measured, named
from engine.slots import filled
from engine.words import EVERY_ROW, Aggregate, All, Cut, Measure, Not, Row, Some


def picked(planned: Read, rows: list[Row], keys: Sequence[Row] | None) -> list[Row]:
    """The rows of these keys, where the source was read whole."""
    keyed = planned.wanted.keyed
    if not keyed or planned.batch or keys is None:
        return rows
    wanted, key = frozenset(keys), key_of(keyed, planned.asked)
    return [row for row in rows if key(row) in wanted]


def kept(rows: list[Row], where: Any, names: Sequence[str]) -> list[Row]:
    return rows if where == EVERY_ROW else list(filter(predicate(where, names), rows))


def late(where: Any) -> Iterator[Carried]:
    """What of a filter waits for the keys that our rows name."""
    match where:
        case All() | Some():
            for each in where.parts:
                yield from late(each)
        case Not():
            yield from late(where.part)
        case Carried():
            yield where


def grouped_rows(planned: Read, rows: list[Row], names: Sequence[str]) -> list[Row]:
    """A row for each group, its averages last: of whole rows, of parts of groups, or as the source gave them."""
    left = measuring(planned)
    if left is not None:
        measures, cuts = left
        rows = measured(rows, planned.wanted.columns, measures, names, cuts)
    return completed(planned, rows)


def measuring(planned: Read) -> tuple[tuple[Measure, ...], tuple[Cut, ...]] | None:
    """What is left to measure, and to cut before; None: nothing.

    Of parts: sums of counts and sums, least of leasts; what is told apart was grouped by, so it is told apart now.
    """
    wanted = planned.wanted
    if not planned.partial:
        return None if planned.measures else (wanted.measures, wanted.cuts)
    reached = {name for each in wanted.reaches for name in each.names}
    again = tuple(PART[each.aggregate](each) for each in wanted.measures)
    return again, tuple(each for each in wanted.cuts if each.column in reached)


def completed(planned: Read, rows: list[Row]) -> list[Row]:
    """Each group on its own: counts of no parts are 0, averages come last."""
    wanted = planned.wanted
    if planned.partial:
        first = len(wanted.columns)
        counts = {at for at, each in enumerate(wanted.measures, first) if each.aggregate is Aggregate.COUNT}
        rows = [tuple(value or 0 if at in counts else value for at, value in enumerate(row)) for row in rows]
    return _averaged(wanted, rows) if wanted.averages else rows


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


def ended(run: Fetching, planned: Read, rows: list[Row], names: Sequence[str]) -> list[Row]:
    """What is left once all is reached."""
    if planned.last != EVERY_ROW:
        rows = kept(rows, fill(planned.last, run.values), names)
    if planned.wanted.measures:
        rows = grouped_rows(planned, rows, names)
    return arranged(planned, rows, limit(run, planned), fill(planned.wanted.having, run.values))


def limit(run: Fetching, planned: Read) -> int | None:
    found: int | None = filled(planned.wanted.limit, run.values.variables)
    return found


def arranged(planned: Read, rows: list[Row], limit: int | None, having: Any) -> list[Row]:
    wanted, names = planned.wanted, planned.names
    if Step.HAVING not in planned.takes:
        rows = kept(rows, having, names)
    if wanted.order and Step.ORDER not in planned.takes:
        rows = ordered(rows, wanted.order, names)
    if limit is not None and Step.LIMIT not in planned.takes:
        rows = limited(rows, limit, key_of(wanted.keyed, names))
    return rows
