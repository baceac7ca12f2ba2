"""A read as the question means it and a source's promise in, one planned read out: what is taken and what is ours.

The law of push-down: of keys, where, measures, having, order and limit, a source takes a step only if it takes every
step before it. A filter may be split: the parts it takes go down, the rest is ours, and then so is all that follows.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from engine.errors import Code, Fault, Refused
from engine.plan.words import Carried, Read, Seek, Step, Wanted, named_columns
from engine.reckon import named
from engine.slots import Slot
from engine.source import Source
from engine.words import COUNT, EVERY_ROW, Aggregate, All, Among, Can, Exists, Kind, Measure, Not, Op, Some, Test

MIN, MAX = Aggregate.MIN, Aggregate.MAX
SEEKING = frozenset({Op.EQ, Op.LT, Op.GT, Op.IS_NULL})
"""What a column must take for a cursor over it to be pushed down."""
IDS_MOST = 1000
"""As many ids as a filter may name; their number is known only when the question is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouped:
    """How a source groups for us."""

    by: tuple[str, ...]
    measures: tuple[Measure, ...]
    partial: bool


def read(source: Source, wanted: Wanted, *, spread: bool = False) -> Read:
    """As much pushed down as the source promises and the law allows.

    `spread`: the read is asked in parts, whose rows we put together.
    """
    can = source.can(wanted.collection)
    batch = keys_at_once(can, wanted.keyed)
    pushed, rest = split(wanted.where, can, source.can)
    undecided = pending(rest)
    if not undecided and not spread:
        _answerable(can, wanted, pushed)
    rest, last = parted(rest, frozenset(name for each in wanted.reaches for name in each.names))
    filtered = rest == EVERY_ROW == last and bool(batch or not wanted.keyed)
    groups = grouping(can, wanted, spread=spread) if filtered and wanted.measures else None
    return Read(
        wanted=wanted,
        asked=groups.by if groups else raw(wanted, rest, last),
        measures=groups.measures if groups else (),
        partial=groups is not None and groups.partial,
        batch=batch,
        pushed=pushed,
        rest=rest,
        last=last,
        takes=frozenset(taken(can, wanted, groups)) if filtered and not spread else frozenset(),
        names=results(wanted, groups, rest, last),
        open=undecided,
    )


def keys_at_once(can: Can, keyed: tuple[str, ...]) -> int:
    return can.keys if keyed and (not can.key_columns or keyed in can.key_columns) else 0


def taken(can: Can, wanted: Wanted, groups: Grouped | None) -> Iterator[Step]:
    """The steps after the filter that the source takes, each only if it took the one before."""
    if wanted.measures:
        if groups is None or groups.partial:
            return
        yield Step.MEASURES
        known = {*wanted.columns, *(each.name for each in groups.measures)}
        used = {*named_columns(wanted.having), *(each.column for each in wanted.order)}
        if not can.arranges or wanted.keyed or not used <= known or not _picks(can, groups.measures, wanted.having):
            return
        yield from (Step.HAVING, Step.ORDER, Step.LIMIT)
    elif all(each.column in can.columns and can.columns[each.column].orders for each in wanted.order):
        yield Step.ORDER
        if can.limit_per_key if wanted.keyed else can.limit:
            yield Step.LIMIT


def grouping(can: Can, wanted: Wanted, *, spread: bool) -> Grouped | None:
    """How the source groups; None where it cannot. Parts of groups, where more is grouped by than it knows."""
    partial = spread or bool(wanted.reaches)
    reached = {name for each in wanted.reaches for name in each.names}
    told = [each for each in wanted.measures if each.aggregate is Aggregate.COUNT_DISTINCT] if partial else []
    by = dict.fromkeys(each for each in wanted.columns if each not in reached)
    cuts = {each.column for each in wanted.cuts} - reached
    raw_too = [*(each.column for each in told), *(here for each in wanted.reaches for here in each.here)]
    if partial and any(_rounds(can, each) for each in wanted.measures):
        return None
    if not can.measures or any(each.unit not in can.cuts for each in wanted.cuts if each.column in by):
        return None
    if cuts & {*raw_too, *wanted.keyed}:
        return None
    by |= dict.fromkeys(each for each in raw_too if each is not None and each not in reached)
    measures = tuple(each for each in wanted.measures if each not in told) or (COUNT,)
    if not all(Op.EQ in can.columns[each].filters for each in by) or not all(_measured(can, each) for each in measures):
        return None
    return Grouped(by=tuple(by), measures=measures, partial=partial)


def _rounds(can: Can, measure: Measure) -> bool:
    """Sums of floats are rounded, so that sums of them would be rounded twice."""
    column = can.columns.get(measure.column or "")
    return measure.aggregate is Aggregate.SUM and column is not None and column.kind is Kind.FLOAT


def _measured(can: Can, measure: Measure) -> bool:
    return measure.column is None or measure.aggregate in can.columns[measure.column].measures


def _picks(can: Can, measures: Sequence[Measure], having: Any) -> bool:
    """Whether the source takes each test of the column whose value it looks at; of counts and sums, it takes all."""
    if isinstance(having, Test):
        measure = next((each for each in measures if each.name == having.column), Measure(MIN, having.column))
        return measure.aggregate not in (MIN, MAX) or having.op in can.columns[measure.column or ""].filters
    parts = (having.part,) if isinstance(having, Not) else having.parts
    return all(_picks(can, measures, each) for each in parts)


def raw(wanted: Wanted, rest: Any, last: Any) -> tuple[str, ...]:
    """The source's own columns that its rows must hold for us to finish them."""
    reached = {name for each in wanted.reaches for name in each.names}
    names = [
        *wanted.columns,
        *wanted.keyed,
        *named_columns(rest),
        *named_columns(last),
        *(here for each in wanted.reaches for here in each.here),
        *(each.column for each in wanted.measures if each.column is not None),
        *(each.column for each in wanted.order if not wanted.measures),
    ]
    return tuple(each for each in dict.fromkeys(names) if each not in reached)


def results(wanted: Wanted, groups: Grouped | None, rest: Any, last: Any) -> tuple[str, ...]:
    if wanted.measures:
        return (*named(wanted.columns, wanted.measures), *map(average, wanted.averages))
    return (*raw(wanted, rest, last), *(name for each in wanted.reaches for name in each.names))


def average(column: str) -> str:
    """What an average of a column is called."""
    return f"avg({column})"


def split(where: Any, can: Can, cans: Callable[[str], Can]) -> tuple[Any, Any]:
    """The conjuncts the source takes, and those it does not."""
    taken: list[Any] = []
    rest: list[Any] = []
    for each in conjuncts(where):
        (taken if pushable(each, can, cans) else rest).append(each)
    return joined(taken), joined(rest)


def parted(where: Any, reached: frozenset[str]) -> tuple[Any, Any]:
    """The conjuncts over a source's own columns, and those over what is reached."""
    if not reached:
        return where, EVERY_ROW
    last = [each for each in conjuncts(where) if reached & set(named_columns(each))]
    return joined([each for each in conjuncts(where) if each not in last]), joined(last)


def conjuncts(where: Any) -> Iterator[Any]:
    if isinstance(where, All):
        for each in where.parts:
            yield from conjuncts(each)
    else:
        yield where


def joined(parts: Sequence[Any]) -> Any:
    return parts[0] if len(parts) == 1 else All(tuple(parts))


def pushable(where: Any, can: Can, cans: Callable[[str], Can]) -> bool:
    """Whether the source evaluates all of it."""
    match where:
        case Test():
            return where.op in can.columns[where.column].filters
        case All() | Some():
            return can.logic and all(pushable(each, can, cans) for each in where.parts)
        case Not():
            return can.logic and pushable(where.part, can, cans)
        case Exists():
            return can.related and pushable(where.where, cans(where.collection), cans)
        case Seek():
            seen = [can.columns.get(each.column) for each in where.page.order]
            return can.logic and all(each is not None and each.filters >= SEEKING for each in seen)
        case Among():
            most = IDS_MOST if isinstance(where.keys, Slot) else len(where.keys)
            return most <= can.among and all(Op.EQ in can.columns[each].filters for each in where.columns)
        case _:
            return False


def pending(where: Any) -> bool:
    """Whether keys from elsewhere are still to come in."""
    match where:
        case All() | Some():
            return any(map(pending, where.parts))
        case Not():
            return pending(where.part)
        case Exists() | Carried():
            return True
        case _:
            return False


def _answerable(can: Can, wanted: Wanted, pushed: Any) -> None:
    told = {each.column for each in conjuncts(pushed) if isinstance(each, Test) and each.op is Op.EQ}
    missing = sorted(set(can.requires) - told - set(wanted.keyed if keys_at_once(can, wanted.keyed) else ()))
    if missing:
        way = "filter" if all(Op.EQ in can.columns[each].filters for each in missing) else "link"
        named = f"`{wanted.collection.rpartition('.')[2]}` can only be read through a {way} that names its "
        raise Refused(Fault(code=Code.CANNOT_ANSWER, message=named + ", ".join(missing)))
