"""A field that leads to many rows in, what is read for it out: a page, what lies around it, tallies and groups."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.binding import Binding
from engine.errors import Code, Fault, Refused
from engine.house import House
from engine.permit import Verdicts
from engine.plan import groups
from engine.plan.order import ordering
from engine.plan.push import read
from engine.plan.where import where
from engine.plan.words import Grouping, Page, Read, Seek, Wanted
from engine.select import Pick
from engine.slots import converted, within
from engine.words import EVERY_ROW, All, Not, Order


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One list asked for: which page of it, and what of it is meant at all."""

    house: House
    target: Binding
    page: Page
    base: Wanted
    """Its keys and its filter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Led:
    """Where a pick leads: to `there` columns of a type's rows, from `here` columns of the rows above."""

    to: str
    here: tuple[str, ...]
    there: tuple[str, ...]
    where: Any = None
    """The filter, where it was planned before."""


def listing(house: House, pick: Pick, led: Led) -> Listing:
    target = house.bindings[led.to]
    within(pick.arguments, house.limits.in_max)
    base = Wanted(
        source=target.source,
        collection=target.collection,
        columns=(),
        keyed=led.there,
        where=where(house, led.to, pick.arguments.get("where")) if led.where is None else led.where,
    )
    return Listing(house=house, target=target, page=page(house, pick, led.to), base=base)


def page(house: House, pick: Pick, to: str) -> Page:
    given = pick.arguments
    first, last = given.get("first"), given.get("last")
    if first is not None and last is not None:
        message = f"`{pick.field}` takes first or last, not both"
        raise Refused(Fault(code=Code.BAD_USER_INPUT, message=message))
    asked = ordering(house, to, given.get("orderBy") or ())
    return Page(
        coordinate=f"{pick.type}.{pick.field}",
        order=asked.order,
        kinds=asked.kinds,
        reaches=asked.reaches,
        first=house.limits.first_default if first is None and last is None else first,
        last=last,
        after=given.get("after"),
        before=given.get("before"),
        where=given.get("where"),
    )


def of_rows(asked: Sequence[Pick], to: str) -> Iterator[Pick]:
    """What is wanted of each row of this type, through `nodes` and through `edges { node }`."""
    for each in asked:
        if each.field == "nodes":
            yield from each.picks[to]
        elif each.field == "edges":
            yield from (inner for edge in each.below if edge.field == "node" for inner in edge.picks[to])


def reads(one: Listing, asked: Sequence[Pick], columns: Sequence[str], verdicts: Verdicts) -> dict[str, Any]:
    """The reads of a branch, by name; `columns` are those its rows are wanted with."""
    info = {inner.field for each in asked if each.field == "pageInfo" for inner in each.below}
    shows = any(each.field in ("nodes", "edges", "pageInfo") for each in asked)
    return {
        "rows": window(one, columns, info) if shows else None,
        "tally": _tally(one, asked, verdicts),
        "passed": _probe(one, after=True) if "hasPreviousPage" in info else None,
        "ahead": _probe(one, after=False) if "hasNextPage" in info else None,
        "groupings": tuple(_grouping(one, each, verdicts) for each in asked if each.field == "groups"),
    }


def window(one: Listing, columns: Sequence[str], info: set[str]) -> Read:
    """The rows of one page, and one more where it is asked whether more follow."""
    page = one.page
    backward = page.last is not None
    more = 1 if ("hasPreviousPage" if backward else "hasNextPage") in info else 0
    reached = {name for each in page.reaches for name in each.names}
    wanted = replace(
        one.base,
        columns=_own((*columns, *(each.column for each in page.order), *one.base.keyed), reached),
        reaches=page.reaches,
        where=_all((one.base.where, *_seeks(page))),
        order=tuple(flipped(each) for each in page.order) if backward else page.order,
        limit=converted(page.last if backward else page.first, lambda rows: rows + more),
    )
    return _read(one, wanted)


def _own(names: Sequence[str], reached: set[str]) -> tuple[str, ...]:
    return tuple(each for each in dict.fromkeys(names) if each not in reached)


def _tally(one: Listing, asked: Sequence[Pick], verdicts: Verdicts) -> Read | None:
    """Everything that is counted or measured of all rows, in one read."""
    shown = [each for each in asked if each.field == "aggregate"]
    wanted = [*groups.aggregates(shown, verdicts), *(("count", None) for each in asked if each.field == "totalCount")]
    return _read(one, groups.tally(one.house, one.target.type, wanted, one.base)) if wanted else None


def _grouping(one: Listing, pick: Pick, verdicts: Verdicts) -> Grouping:
    """One more group than may be, so that too many are noticed."""
    wanted, keys = groups.grouping(one.house, one.target.type, pick, verdicts, one.base)
    first = pick.arguments.get("first")
    limit = one.house.limits.first_max + 1 if first is None else first
    return Grouping(pick=pick, read=_read(one, replace(wanted, limit=limit)), first=first, keys=keys)


def _seeks(page: Page) -> Iterator[Seek]:
    if page.after is not None:
        yield Seek(page, True)
    if page.before is not None:
        yield Seek(page, False)


def flipped(order: Order) -> Order:
    return Order(order.column, not order.descending, not order.nulls_first)


def _probe(one: Listing, *, after: bool) -> Read | None:
    """Whether any row lies outside what the cursor lets in; nothing to ask without a cursor."""
    page = one.page
    if (page.after if after else page.before) is None:
        return None
    wanted = replace(
        one.base,
        columns=one.base.keyed,
        reaches=page.reaches,
        where=_all((one.base.where, Not(Seek(page, after)))),
        order=page.order,
        limit=1,
    )
    return _read(one, wanted)


def _all(parts: Sequence[Any]) -> Any:
    kept = [each for each in parts if each != EVERY_ROW]
    return kept[0] if len(kept) == 1 else All(tuple(kept))


def _read(one: Listing, wanted: Wanted) -> Read:
    return read(one.house.sources[wanted.source], wanted)
