"""Picks and verdicts in, the plan out: one branch for each field that leads to rows, its reads with it.

A withheld field is never planned, so never fetched.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from engine.errors import Code, Fault, Refused
from engine.house import House
from engine.names import columns_of, leads_to, link_columns
from engine.permit import Verdicts, withheld
from engine.plan.push import read
from engine.plan.where import where
from engine.plan.words import Branch, Page, Plan, Read, Seek
from engine.select import Pick
from engine.slots import converted, within
from engine.words import COUNT, EVERY_ROW, All, Batch, Binding, Measure, Not, Order

ROOT = "Query"


def plan(house: House, picks: Sequence[Pick], verdicts: Verdicts) -> Plan:
    """Raises Refused when a source cannot answer what is asked within what it declares."""
    planned = [pick for pick in picks if pick.field != "__typename" and not withheld(pick, verdicts)]
    return Plan(branches=tuple(_branch(house, verdicts, pick) for pick in planned))


def _branch(house: House, verdicts: Verdicts, pick: Pick) -> Branch:
    to, many = leads_to(house, pick.type, pick.field)
    here, there = _joined_by(house, pick, house.bindings[to])
    if many:
        return _list(house, verdicts, pick, to, here, there)
    return _single(house, verdicts, pick, to, here, there)


def _joined_by(house: House, pick: Pick, target: Binding) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if pick.type != ROOT:
        return link_columns(house.bindings[pick.type].links[pick.field])
    return (), target.key if "id" in pick.arguments else ()


def _single(
    house: House, verdicts: Verdicts, pick: Pick, to: str, here: tuple[str, ...], there: tuple[str, ...]
) -> Branch:
    """One row, of this id or linked; where several match, the one whose key comes first."""
    target = house.bindings[to]
    wanted = [each for each in pick.picks[to] if not withheld(each, verdicts)]
    unique = there == target.key
    rows = _read(
        house,
        target,
        _columns(target, wanted),
        keyed=there,
        order=() if unique else tuple(Order(each) for each in target.key),
        limit=None if unique else 1,
    )
    return Branch(
        pick=pick,
        type=to,
        many=False,
        here=here,
        there=there,
        named=pick.arguments.get("id"),
        rows=rows,
        **_below(house, verdicts, target, wanted),
    )


def _list(
    house: House, verdicts: Verdicts, pick: Pick, to: str, here: tuple[str, ...], there: tuple[str, ...]
) -> Branch:
    target = house.bindings[to]
    within(pick.arguments, house.limits.in_max)
    meets = where(house, to, pick.arguments.get("where"))
    listing = Listing(house=house, target=target, keyed=there, meets=meets, page=_page(house, pick, target))
    asked = [each for each in pick.below if not withheld(each, verdicts)]
    wanted = [each for each in _of_rows(asked) if not withheld(each, verdicts)]
    info = {inner.field for each in asked if each.field == "pageInfo" for inner in each.below}
    return Branch(
        pick=pick,
        type=to,
        many=True,
        here=here,
        there=there,
        page=listing.page,
        rows=_window(listing, wanted, info) if _rows_asked(asked) else None,
        count=_count(listing) if _counted(asked) else None,
        passed=_probe(listing, after=True) if "hasPreviousPage" in info else None,
        ahead=_probe(listing, after=False) if "hasNextPage" in info else None,
        **_below(house, verdicts, target, wanted),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One list asked for: of what, by which keys, filtered how, and which page of it."""

    house: House
    target: Binding
    keyed: tuple[str, ...]
    meets: Any
    page: Page


def _of_rows(asked: Sequence[Pick]) -> Iterator[Pick]:
    """What is wanted of each row, through `nodes` and through `edges { node }`."""
    for each in asked:
        if each.field == "nodes":
            yield from each.below
        elif each.field == "edges":
            yield from (inner for edge in each.below if edge.field == "node" for inner in edge.below)


def _rows_asked(asked: Sequence[Pick]) -> bool:
    return any(each.field in ("nodes", "edges", "pageInfo") for each in asked)


def _counted(asked: Sequence[Pick]) -> bool:
    return any(each.field == "totalCount" for each in asked)


def _page(house: House, pick: Pick, target: Binding) -> Page:
    given = pick.arguments
    first, last = given.get("first"), given.get("last")
    if first is not None and last is not None:
        message = f"`{pick.field}` takes first or last, not both"
        raise Refused(Fault(code=Code.BAD_USER_INPUT, message=message))
    return Page(
        coordinate=f"{pick.type}.{pick.field}",
        order=_order(target, given.get("orderBy") or ()),
        first=house.limits.first_default if first is None and last is None else first,
        last=last,
        after=given.get("after"),
        before=given.get("before"),
        where=given.get("where"),
    )


def _order(target: Binding, given: Sequence[dict[str, str]]) -> tuple[Order, ...]:
    """The orders asked for, then the key, so that no two rows tie."""
    asked = [
        Order(column, direction == "DESC")
        for each in given
        for field, direction in each.items()
        for column in columns_of(target, field)
    ]
    seen: dict[str, Order] = {}
    for each in (*asked, *(Order(column) for column in target.key)):
        seen.setdefault(each.column, each)
    return tuple(seen.values())


def _window(listing: Listing, wanted: Sequence[Pick], info: set[str]) -> Read:
    """The rows of one page, and one more where it is asked whether more follow."""
    page = listing.page
    backward = page.last is not None
    more = 1 if ("hasPreviousPage" if backward else "hasNextPage") in info else 0
    return _read(
        listing.house,
        listing.target,
        (*_columns(listing.target, wanted), *(each.column for each in page.order)),
        keyed=listing.keyed,
        meets=All((listing.meets, *_seeks(page))),
        order=tuple(_flipped(each) for each in page.order) if backward else page.order,
        limit=converted(page.last if backward else page.first, lambda rows: rows + more),
    )


def _count(listing: Listing) -> Read:
    keyed = listing.keyed
    return _read(listing.house, listing.target, keyed, keyed=keyed, meets=listing.meets, measures=(COUNT,))


def _seeks(page: Page) -> Iterator[Seek]:
    if page.after is not None:
        yield Seek(page, True)
    if page.before is not None:
        yield Seek(page, False)


def _flipped(order: Order) -> Order:
    return Order(order.column, not order.descending, not order.nulls_first)


def _probe(listing: Listing, *, after: bool) -> Read | None:
    """Whether any row lies outside what the cursor lets in; nothing to ask without a cursor."""
    page, keyed = listing.page, listing.keyed
    if (page.after if after else page.before) is None:
        return None
    meets = All((listing.meets, Not(Seek(page, after))))
    return _read(listing.house, listing.target, keyed, keyed=keyed, meets=meets, order=page.order, limit=1)


def _read(
    house: House,
    target: Binding,
    columns: Sequence[str],
    *,
    keyed: tuple[str, ...] = (),
    meets: Any = EVERY_ROW,
    measures: tuple[Measure, ...] = (),
    order: tuple[Order, ...] = (),
    limit: Any = None,
) -> Read:
    source = house.sources[target.source]
    kept = tuple(dict.fromkeys((*columns, *keyed)))
    return read(
        target.source,
        source,
        target.collection,
        kept,
        keyed=keyed,
        where=meets,
        measures=measures,
        order=order,
        limit=limit,
    )


def _columns(target: Binding, wanted: Sequence[Pick]) -> tuple[str, ...]:
    """The columns that the fields, the computed ones and the links among the picks are made of."""
    found = (column for pick in wanted for column in _made_of(target, pick))
    return tuple(dict.fromkeys(found))


def _made_of(target: Binding, pick: Pick) -> tuple[str, ...]:
    if pick.field == "__typename":
        return ()
    if pick.field in target.links:
        return link_columns(target.links[pick.field])[0]
    if pick.field in target.batches:
        return _needs(target, target.batches[pick.field])
    return columns_of(target, pick.field)


def _needs(target: Binding, batch: Batch) -> tuple[str, ...]:
    return tuple(column for field in batch.needs for column in columns_of(target, field))


def _below(house: House, verdicts: Verdicts, target: Binding, wanted: Sequence[Pick]) -> dict[str, Any]:
    computed = [pick for pick in wanted if pick.field in target.batches]
    return {
        "batches": {pick.number: target.batches[pick.field] for pick in computed},
        "needs": {pick.number: _needs(target, target.batches[pick.field]) for pick in computed},
        "branches": tuple(_branch(house, verdicts, pick) for pick in wanted if pick.field in target.links),
    }
