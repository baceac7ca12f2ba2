"""A planned read in, or the one it came to; its steps out: who takes each, what it is, and why not the source."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from engine.plan import why
from engine.plan.push import conjuncts, pending
from engine.plan.said import NOTHING_CAME, Came, grouped_by, ordered, said, value
from engine.plan.why import Side
from engine.plan.words import Read, Wanted
from engine.plan.words import Step as Named
from engine.words import COUNT, EVERY_ROW, All, Among, Exists, Not, Some


class How(StrEnum):
    """What becomes of a step."""

    PUSHED_DOWN = "PUSHED_DOWN"
    IN_PARTS = "IN_PARTS"
    """The source takes parts of it, which are put together by us."""
    CARRIED = "CARRIED"
    """Keys are carried across, from another source or another read of the same."""
    FINISHED = "FINISHED"
    """By us."""
    OPEN = "OPEN"
    """By the source or by us, as keys that are still to come will decide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One predicate, the measures, the order or the limit of a read; `why` its source does not take all of it."""

    step: str
    how: How
    what: str
    why: str | None = None


def steps(read: Read, side: Side, came: Came = NOTHING_CAME) -> Iterator[Step]:
    """In the order in which they are taken."""
    wanted = read.wanted
    if wanted.keyed:
        yield _keys(read, side)
    yield from _where(read, side, came)
    if wanted.measures:
        yield _measures(read, side)
    if wanted.having != EVERY_ROW:
        yield _later(read, Named.HAVING, said(wanted.having), side)
    if wanted.order:
        yield _later(read, Named.ORDER, ", ".join(map(ordered, wanted.order)), side)
    if wanted.limit is not None:
        yield _later(read, Named.LIMIT, value(wanted.limit) + (" a key" if wanted.keyed else ""), side)


def _keys(read: Read, side: Side) -> Step:
    named = ", ".join(read.wanted.keyed)
    if read.batch:
        return Step(step="keys", how=How.PUSHED_DOWN, what=f"{named}, {read.batch:,} a call")
    return Step(step="keys", how=How.FINISHED, what=named, why=why.keys(read.wanted, side))


def _where(read: Read, side: Side, came: Came) -> Iterator[Step]:
    for each in conjuncts(read.pushed):
        how = How.CARRIED if carries(each, came) else How.PUSHED_DOWN
        yield Step(step="where", how=how, what=said(each, came), why=_first(each, came))
    for each in conjuncts(read.rest):
        carried = pending(each) or carries(each, came)
        yield Step(
            step="where", how=How.CARRIED if carried else How.FINISHED, what=said(each, came), why=why.where(each, side)
        )
    for each in conjuncts(read.last):
        yield Step(step="where", how=How.FINISHED, what=said(each, came), why=why.BEYOND)


def carries(part: Any, came: Came) -> bool:
    return bool(came) and next(_came(part, came), None) is not None


def _first(part: Any, came: Came) -> str | None:
    found = next(_came(part, came), None) if came else None
    return f"its keys were read first, from `{found.wanted.source}`" if found is not None else None


def _came(part: Any, came: Came) -> Iterator[Any]:
    match part:
        case All() | Some():
            for each in part.parts:
                yield from _came(each, came)
        case Not():
            yield from _came(part.part, came)
        case Exists():
            yield from _came(part.where, came)
        case Among() if id(part.keys) in came:
            yield came[id(part.keys)]


def _measures(read: Read, side: Side) -> Step:
    what = measured(read.wanted)
    if read.partial:
        return Step(step="measures", how=How.IN_PARTS, what=what, why=_parts(read.wanted))
    if read.measures:
        return Step(step="measures", how=How.PUSHED_DOWN, what=what)
    return _ours("measures", what, why.measures(read, side))


def measured(wanted: Wanted) -> str:
    """Such as `sum(total) by country`; where rows are only told apart, `each country once`."""
    if wanted.measures == (COUNT,) and wanted.columns and not (wanted.keyed or wanted.order):
        return f"each {', '.join(wanted.columns)} once"
    return ", ".join(each.name for each in wanted.measures) + grouped_by(wanted)


def _parts(wanted: Wanted) -> str:
    reached = [name for each in wanted.reaches for name in each.names]
    return f"`{reached[0]}` lies beyond a link" if reached else why.IN_PARTS


def _later(read: Read, step: Named, what: str, side: Side) -> Step:
    if step in read.takes:
        return Step(step=step, how=How.PUSHED_DOWN, what=what)
    return _ours(step, what, why.later(read, step, side))


def _ours(step: str, what: str, because: str) -> Step:
    return Step(step=step, how=How.OPEN if because is why.OPEN else How.FINISHED, what=what, why=because)
