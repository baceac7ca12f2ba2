"""A filter or an order in, a line of text out; values that are filled in for each request show as their variable."""

from collections.abc import Mapping
from typing import Any

from engine.plan.words import Carried, Seek, Wanted
from engine.slots import Slot
from engine.words import EVERY_ROW, All, Among, Exists, Not, Order, Some, Test

Came = Mapping[int, Carried]
"""By id of the keys that came from elsewhere, what they were read for."""
NOTHING_CAME: Came = {}


def said(where: Any, came: Came = NOTHING_CAME) -> str:
    match where:
        case Test():
            return f"{where.column} {where.op} {value(where.value)}"
        case All() | Some():
            word = " and " if isinstance(where, All) else " or "
            parts = [said(each, came) for each in where.parts if each != EVERY_ROW]
            if not parts:
                return "true" if isinstance(where, All) else "false"
            return parts[0] if len(parts) == 1 else f"({word.join(parts)})"
        case Not():
            return f"not {said(where.part, came)}"
        case Exists():
            joined = f"{', '.join(where.there)} = {', '.join(where.here)}"
            return f"some {where.collection} by {joined} where {said(where.where, came)}"
        case Carried():
            return f"{', '.join(where.here)} among keys of {where.wanted.source} {where.wanted.collection}"
        case Among():
            return f"{', '.join(where.columns)} among {_keys(where, came)}"
        case Seek():
            return f"{'after' if where.after else 'before'} the cursor"
        case _:
            return ""


def _keys(where: Among, came: Came) -> str:
    if isinstance(where.keys, Slot):
        return "the keys given"
    found = came.get(id(where.keys))
    return counted(len(where.keys), "key") + (f" of {found.wanted.source} {found.wanted.collection}" if found else "")


def counted(count: int, what: str) -> str:
    """`1 key`, `1,200 keys`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def ordered(order: Order) -> str:
    return order.column + (" desc" if order.descending else "") + (" nulls first" if order.nulls_first else "")


def grouped_by(wanted: Wanted) -> str:
    """Such as ` by country, placed_at cut to the month`."""
    units = {each.column: f" cut to the {each.unit.lower()}" for each in wanted.cuts}
    by = [each + units.get(each, "") for each in wanted.columns]
    return f" by {', '.join(by)}" if by else ""


def value(given: Any) -> str:
    if isinstance(given, Slot):
        return "$" + ".".join(map(str, given.path))
    if isinstance(given, list | tuple):
        return f"[{', '.join(map(value, given))}]"
    return str(given)
