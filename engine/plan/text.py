"""A plan in, the text a person reads out: for each read, what the source takes and what is finished by us."""

from collections.abc import Iterator
from typing import Any

from engine.plan.words import Branch, Carried, Plan, Read, Seek
from engine.slots import Slot
from engine.words import EVERY_ROW, All, Among, Exists, Not, Order, Some, Test


def text(plan: Plan) -> str:
    return "\n".join(line for branch in plan.branches for line in _branch(branch, "")) + "\n"


def _branch(branch: Branch, indent: str) -> Iterator[str]:
    joined = f" by {', '.join(branch.there)} = {', '.join(branch.here) or 'id'}" if branch.there else ""
    yield f"{indent}{branch.pick.type}.{branch.pick.key}: {branch.type}{joined}"
    named = (("rows", branch.rows), ("count", branch.count), ("passed", branch.passed), ("ahead", branch.ahead))
    for name, read in named:
        if read is not None:
            yield from _read(name, read, indent + "  ")
    for each in branch.branches:
        yield from _branch(each, indent + "  ")


def _read(name: str, read: Read, indent: str) -> Iterator[str]:
    yield f"{indent}{name} from {read.source} {read.collection} ({', '.join(read.asked)})"
    for carried in read.carries:
        yield from _read("keys first", carried, indent + "  ")
    for what, where, said in _steps(read):
        yield f"{indent}  {what} {where}{said}"


def _steps(read: Read) -> Iterator[tuple[str, str, str]]:
    """(step, who takes it, what it is)"""
    if read.keyed:
        keys = ", ".join(read.keyed)
        yield (
            "keys",
            "pushed down" if read.batch else "finished by us",
            f": {keys}" + (f", {read.batch} a call" if read.batch else ""),
        )
    if read.pushed != EVERY_ROW:
        yield "where", "pushed down", f": {said(read.pushed)}"
    if read.rest != EVERY_ROW:
        yield "where", "finished by us", f": {said(read.rest)}"
    if read.measures:
        yield "count", _who(read.pushes_measures), ""
    if read.order:
        yield "order", _who(read.pushes_order), f": {', '.join(map(ordered, read.order))}"
    if read.limit is not None:
        yield "limit", _who(read.pushes_limit), f": {_value(read.limit)}" + (" a key" if read.keyed else "")


def _who(pushed: bool) -> str:
    return "pushed down" if pushed else "finished by us"


def ordered(order: Order) -> str:
    return order.column + (" desc" if order.descending else "") + (" nulls first" if order.nulls_first else "")


def said(where: Any) -> str:
    """A filter as a line of text; values that are filled in for each request show as their variable."""
    match where:
        case Test():
            return f"{where.column} {where.op} {_value(where.value)}"
        case All() | Some():
            word = " and " if isinstance(where, All) else " or "
            parts = [said(each) for each in where.parts if each != EVERY_ROW]
            if not parts:
                return "true" if isinstance(where, All) else "false"
            return parts[0] if len(parts) == 1 else f"({word.join(parts)})"
        case Not():
            return f"not {said(where.part)}"
        case Exists():
            joined = f"{', '.join(where.there)} = {', '.join(where.here)}"
            return f"some {where.collection} by {joined} where {said(where.where)}"
        case Carried():
            return f"{', '.join(where.here)} among the keys read first"
        case Among():
            return f"{', '.join(where.columns)} among the ids given"
        case Seek():
            return f"{'after' if where.after else 'before'} the cursor"
        case _:
            return ""


def _value(value: Any) -> str:
    if isinstance(value, Slot):
        return "$" + ".".join(map(str, value.path))
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return str(value)
