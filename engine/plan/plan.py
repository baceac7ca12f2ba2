"""Picks and verdicts in, the plan out: one branch for each field that leads to rows, its reads with it.

A withheld field is never planned, so never fetched.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from engine.binding import Batch, Binding
from engine.constant import could
from engine.entities import ENTITIES
from engine.house import House
from engine.names import columns_of, leads_to, link_columns, members
from engine.permit import Verdicts, withheld
from engine.plan import lookup
from engine.plan.listing import Led, listing, of_rows, page, reads
from engine.plan.push import read
from engine.plan.where import sharing, where
from engine.plan.words import Branch, Carried, Meant, Plan, Wanted
from engine.select import Pick
from engine.slots import Slot
from engine.words import Order

LED = frozenset({"Mutation", "Subscription"})
ROOTS = LED | {"Query"}


def plan(house: House, picks: Sequence[Pick], verdicts: Verdicts) -> Plan:
    """Raises Refused when a source cannot answer what is asked within what it declares."""
    planned = [pick for pick in picks if pick.field != "__typename" and not withheld(pick, verdicts)]
    return Plan(branches=tuple(branch for pick in planned for branch in _of_root(house, verdicts, pick)))


def _of_root(house: House, verdicts: Verdicts, pick: Pick) -> Iterator[Branch]:
    """Of entities one for each type, though some are withheld."""
    if pick.field != ENTITIES:
        yield _branch(house, verdicts, pick)
        return
    for one in (each for below in pick.picks.values() for each in below if not withheld(each, verdicts)):
        yield replace(_branch(house, verdicts, one), named=None, representations=one.arguments["id"])


def _branch(house: House, verdicts: Verdicts, pick: Pick) -> Branch:
    to, many = leads_to(house, pick.type, pick.field)
    if to not in house.bindings:
        return _interface(house, verdicts, pick, to)
    led = _led(house, pick, to)
    return _list(house, verdicts, pick, led) if many else _single(house, verdicts, pick, led)


def _interface(house: House, verdicts: Verdicts, pick: Pick, to: str) -> Branch:
    """A branch for each concrete type that may be asked; the page is that of the first, whoever is asking."""
    _, many = leads_to(house, pick.type, pick.field)
    kinds = [each.type for each in members(house, to)]
    first = _led(house, pick, kinds[0])
    meant = _meant(house, verdicts, pick, kinds)
    asked = [each for each in meant if each.verdict is None and could(each.where, each.fixed, None) is not False]
    led = [replace(_led(house, pick, each.type), where=each.where) for each in asked]
    return Branch(
        pick=pick,
        type=to,
        many=many,
        here=first.here,
        there=first.there,
        page=page(house, pick, first.to) if many else None,
        members=tuple((_list if many else _single)(house, verdicts, pick, each) for each in led),
        meant=tuple(meant),
    )


def _meant(house: House, verdicts: Verdicts, pick: Pick, kinds: Sequence[str]) -> list[Meant]:
    """Keys of another source that the filters of several types wait for are read once for all."""
    said = {"id": {"eq": pick.arguments["id"]}} if "id" in pick.arguments else pick.arguments.get("where")
    known: list[Carried] = []
    return [
        Meant(
            type=kind,
            fixed=house.bindings[kind].constants,
            where=sharing(where(house, kind, said), known),
            verdict=None if verdicts[pick.number, kind].allowed else verdicts[pick.number, kind],
        )
        for kind in kinds
    ]


def _led(house: House, pick: Pick, to: str) -> Led:
    here, there = _joined_by(house, pick, house.bindings[to])
    return Led(to=to, here=here, there=there)


def _joined_by(house: House, pick: Pick, target: Binding) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if pick.type not in ROOTS:
        return link_columns(house.bindings[pick.type].links[pick.field])
    return (), target.key if "id" in pick.arguments or pick.type in LED else ()


def _single(house: House, verdicts: Verdicts, pick: Pick, led: Led) -> Branch:
    """One row, of this id or linked; where several match, the one whose key comes first."""
    target, there = house.bindings[led.to], led.there
    wanted = [each for each in pick.picks[led.to] if not withheld(each, verdicts)]
    unique = there == target.key
    rows = Wanted(
        source=target.source,
        collection=target.collection,
        columns=tuple(dict.fromkeys((*_columns(target, wanted), *there))),
        keyed=there,
        order=() if unique else tuple(Order(each) for each in target.key),
        limit=None if unique else 1,
    )
    return Branch(
        pick=pick,
        type=led.to,
        many=False,
        here=led.here,
        there=there,
        named=Slot((led_by(pick),)) if pick.type in LED else pick.arguments.get("id"),
        rows=read(house.sources[target.source], rows),
        **_below(house, verdicts, target, wanted),
    )


def led_by(pick: Pick) -> str:
    """What the variables call the id of the row that a change or an event leads to: no variable has such a name."""
    return f":{pick.number}"


def _list(house: House, verdicts: Verdicts, pick: Pick, led: Led) -> Branch:
    one = listing(house, pick, led)
    asked = [each for each in pick.below if not withheld(each, verdicts)]
    wanted = [each for each in of_rows(asked, led.to) if not withheld(each, verdicts)]
    return Branch(
        pick=pick,
        type=led.to,
        many=True,
        here=led.here,
        there=led.there,
        page=one.page,
        **reads(one, asked, _columns(one.target, wanted), verdicts),
        **_below(house, verdicts, one.target, wanted),
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
    if pick.field in target.lookups:
        return link_columns(target.lookups[pick.field])[0]
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
        "branches": tuple(_branches(house, verdicts, target, wanted)),
    }


def _branches(house: House, verdicts: Verdicts, target: Binding, wanted: Sequence[Pick]) -> Iterator[Branch]:
    for pick in wanted:
        if pick.field in target.links:
            yield _branch(house, verdicts, pick)
        elif pick.field in target.lookups:
            yield lookup.branch(house, pick, target.lookups[pick.field])
