"""A step of a read that its source does not take in, one short sentence that says why out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from engine.plan.push import conjuncts, pending, pushable
from engine.plan.words import Carried, Read, Seek, Step, Wanted, named_columns
from engine.words import EVERY_ROW, All, Among, Can, Exists, Not, Op, Some, Test

BEFORE = "a step before it is ours"
BEYOND = "it looks beyond a link"
IN_PARTS = "it is asked for in parts"
OPEN = "it depends on the keys that are read first"
LOGIC = {All: "and", Some: "or", Not: "not"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A collection as its source promises it."""

    name: str
    can: Can
    cans: Callable[[str], Can]

    def beside(self, collection: str) -> "Side":
        return Side(name=self.name, can=self.cans(collection), cans=self.cans)


def where(part: Any, side: Side) -> str:
    """Of one conjunct."""
    match part:
        case Carried():
            return f"its keys come from `{part.wanted.source}`"
        case Test():
            return f"`{side.name}` does not filter `{part.column}` by `{part.op}`"
        case Seek():
            return f"`{side.name}` does not go on from a cursor of this order"
        case Among():
            return too_many(side)
        case Exists() if not side.can.related:
            return f"`{side.name}` does not look from `{part.here[0]}` into `{part.collection}`"
        case Exists():
            return where(part.where, side.beside(part.collection))
        case All() | Some() | Not() if not side.can.logic and not pending(part):
            return f"`{side.name}` takes no `{LOGIC[type(part)]}` in a filter"
        case _:
            untaken = (each for each in _leaves(part) if not pushable(each, side.can, side.cans))
            return next((where(each, side) for each in untaken), BEFORE)


def too_many(side: Side) -> str:
    most = f"at most {side.can.among:,}" if side.can.among else "no"
    return f"`{side.name}` takes {most} keys in a filter"


def _leaves(part: Any) -> Iterator[Any]:
    match part:
        case All() | Some():
            for each in part.parts:
                yield from _leaves(each)
        case Not():
            yield from _leaves(part.part)
        case _:
            yield part


def keys(wanted: Wanted, side: Side) -> str:
    return f"`{side.name}` cannot be read by `{', '.join(wanted.keyed)}`"


def measures(read: Read, side: Side) -> str:
    if not filtered(read) and not waits(read):
        return BEFORE
    return next(_unmeasured(read.wanted, side), OPEN if waits(read) else "the same column is a key and cut")


def _unmeasured(wanted: Wanted, side: Side) -> Iterator[str]:
    can = side.can
    if not can.measures:
        yield f"`{side.name}` measures nothing"
    for each in wanted.cuts:
        if each.unit not in can.cuts:
            yield f"`{side.name}` does not cut to the {each.unit.lower()}"
    for column in wanted.columns:
        if column in can.columns and Op.EQ not in can.columns[column].filters:
            yield f"`{side.name}` does not group by `{column}`"
    for measure in wanted.measures:
        if measure.column is not None and measure.aggregate not in can.columns[measure.column].measures:
            yield f"`{side.name}` does not compute `{measure.name}`"


def later(read: Read, step: Step, side: Side) -> str:
    """Of `having`, an order or a limit."""
    if not filtered(read) and not waits(read):
        return BEFORE
    found = _of_groups(read, side) if read.wanted.measures else _of_rows(read.wanted, step, side)
    return next(found, OPEN if waits(read) else IN_PARTS)


def _of_groups(read: Read, side: Side) -> Iterator[str]:
    wanted = read.wanted
    if Step.MEASURES not in read.takes and not waits(read):
        yield BEFORE
    if not side.can.arranges:
        yield f"`{side.name}` does not arrange groups"
    if wanted.keyed:
        yield f"`{side.name}` does not arrange groups for each key"
    known = {*wanted.columns, *(each.name for each in wanted.measures)}
    for used in (*named_columns(wanted.having), *(each.column for each in wanted.order)):
        if used not in known:
            yield f"`{used}` is computed by us"


def _of_rows(wanted: Wanted, step: Step, side: Side) -> Iterator[str]:
    for each in wanted.order:
        if each.column not in side.can.columns:
            yield BEFORE if step is Step.LIMIT else f"`{each.column}` lies beyond a link"
        elif not side.can.columns[each.column].orders:
            yield BEFORE if step is Step.LIMIT else f"`{side.name}` gives no order by `{each.column}`"
    if step is Step.LIMIT and not (side.can.limit_per_key if wanted.keyed else side.can.limit):
        yield f"`{side.name}` takes no limit" + (" for each key" if wanted.keyed else "")


def filtered(read: Read) -> bool:
    """Whether the source gives the very rows that are meant, so that it may take what follows."""
    return read.rest == EVERY_ROW == read.last and bool(read.batch or not read.wanted.keyed)


def waits(read: Read) -> bool:
    """Whether all that stands in the way are keys that are still to come."""
    return read.open and read.last == EVERY_ROW and all(map(pending, conjuncts(read.rest)))
