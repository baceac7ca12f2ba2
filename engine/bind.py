"""A planned filter and this request's values in, the filter a source is asked with out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine import cursor
from engine.errors import Code, Fault, Refused
from engine.house import House
from engine.plan.words import Branch, Carried, Page, Plan, Seek, every
from engine.slots import Slot, filled, held
from engine.words import EVERY_ROW, All, Among, Exists, Not, Row, Some, Test

NONE_CARRIED: Mapping[Carried, frozenset[Row]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a plan takes anew for each request: the variables, and what each cursor says."""

    variables: Mapping[str, Any]
    cursors: Mapping[tuple[int, bool], tuple[Any, ...]]
    """By (id of the page, after or before)."""
    sealing: Mapping[int, bytes]
    """By id of the page, the key its cursors are signed with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A branch that shows a page or groups."""

    branch: Branch
    seal: bytes | None
    """The key of its cursors; None where its filter names variables."""


def windows(house: House, plan: Plan) -> tuple[Window, ...]:
    """What of a plan `bound` is to look at, found once."""
    shown = (each for each in every(plan.branches) if each.page is not None or each.groupings)
    return tuple(Window(branch=each, seal=_fixed(house, each.page)) for each in shown)


def _fixed(house: House, page: Page | None) -> bytes | None:
    return None if page is None or any(_slots(page.where)) else _sealed(house, page, {})


def _slots(where: Any) -> Iterator[Slot]:
    if isinstance(where, Slot):
        yield where
    elif isinstance(where, dict | list):
        for each in where.values() if isinstance(where, dict) else where:
            yield from _slots(each)


def _sealed(house: House, page: Page, variables: Mapping[str, Any]) -> bytes:
    said = _said(page.where, variables)
    return cursor.bound(house.cursor_secret, house.version, page.coordinate, page.order, said)


def bound(house: House, shown: Sequence[Window], variables: Mapping[str, Any]) -> Bound:
    """Judges sizes and cursors of every page of the plan; raises Refused for the first that will not do."""
    cursors: dict[tuple[int, bool], tuple[Any, ...]] = {}
    sealing: dict[int, bytes] = {}
    for window in shown:
        for each in window.branch.groupings:
            _sized(house, f"{each.pick.type}.{each.pick.field}", {"first": each.first}, variables)
        page = window.branch.page
        if page is None:
            continue
        _sized(house, page.coordinate, {"first": page.first, "last": page.last}, variables)
        seal = sealing[id(page)] = window.seal or _sealed(house, page, variables)
        for after, text in ((True, page.after), (False, page.before)):
            if text is not None:
                cursors[id(page), after] = cursor.read(filled(text, variables), page.kinds, seal)
                for member in window.branch.members:
                    cursors[id(member.page), after] = cursors[id(page), after]
    return Bound(variables=variables, cursors=cursors, sealing=sealing)


def fill(where: Any, values: Bound, carried: Mapping[Carried, frozenset[Row]] = NONE_CARRIED) -> Any:
    """The filter with slots filled, cursors in place, and the keys of what was read elsewhere."""
    if where is EVERY_ROW or where == EVERY_ROW:
        return where
    match where:
        case Test():
            return Test(where.column, where.op, held(filled(where.value, values.variables)))
        case All() | Some():
            return type(where)(tuple(fill(each, values, carried) for each in where.parts))
        case Not():
            return Not(fill(where.part, values, carried))
        case Exists():
            return Exists(where.collection, where.here, where.there, fill(where.where, values, carried))
        case Seek():
            return cursor.beyond(where.page.order, values.cursors[id(where.page), where.after], where.after)
        case Carried():
            return Among(where.here, carried[where])
        case Among():
            return Among(where.columns, filled(where.keys, values.variables))
        case _:
            raise TypeError(f"nothing here fills {type(where).__name__}")


def _said(where: Any, variables: Mapping[str, Any]) -> Any:
    """The filter as the client gave it, every slot filled, without conversions."""
    if isinstance(where, dict):
        return {name: _said(each, variables) for name, each in where.items()}
    if isinstance(where, list):
        return [_said(each, variables) for each in where]
    return filled(Slot(where.path), variables) if isinstance(where, Slot) else where


def _sized(house: House, coordinate: str, sizes: Mapping[str, Any], variables: Mapping[str, Any]) -> None:
    for name, given in sizes.items():
        size = filled(given, variables)
        if size is not None and size < 0:
            raise Refused(Fault(code=Code.BAD_USER_INPUT, message=f"`{name}` of `{coordinate}` is negative"))
        if size is not None and size > house.limits.first_max:
            limit = f"the limit `first_max` of {house.limits.first_max}"
            message = f"`{name}` of `{coordinate}` is over {limit}, read on with a cursor"
            raise Refused(Fault(code=Code.LIMIT_EXCEEDED, message=message))
