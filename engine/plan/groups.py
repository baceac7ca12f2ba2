"""The `aggregate` and `groups` of a list in, what is measured of its rows out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.errors import Code, Fault, Refused
from engine.house import House
from engine.permit import Verdicts, withheld
from engine.plan.order import aggregated, term
from engine.plan.reach import Term, measured_name, measuring, names, reaches
from engine.plan.where import as_tuple
from engine.plan.words import Path, Wanted
from engine.select import Pick
from engine.words import All, Cut, Not, Op, Order, Some, Test, Unit

WHOLE = "VALUE"
"""Grouped by the value itself, not by a stretch of time."""
LOGIC = {"and": All, "or": Some}
Aggregated = tuple[str, str | None]
"""(aggregate, field), as the schema names them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class By:
    """One thing grouped by, and what holds it in the rows."""

    path: Path
    names: tuple[str, ...]
    term: Term
    cuts: tuple[Cut, ...]


def aggregates(picks: Sequence[Pick], verdicts: Verdicts) -> Iterator[Aggregated]:
    """What some `aggregate` fields ask for, of what may be seen."""
    for pick in (inner for each in picks for inner in each.below if not withheld(inner, verdicts)):
        if pick.field == "count":
            yield "count", None
        elif pick.field != "__typename":
            seen = (each for each in pick.below if not withheld(each, verdicts) and each.field != "__typename")
            yield from ((pick.field, each.field) for each in seen)


def tally(house: House, type_name: str, asked: Sequence[Aggregated], base: Wanted) -> Wanted:
    """What is measured of all rows of `base`, for each key."""
    made = measuring(house, type_name, asked)
    return _measured(base, columns=base.keyed, measures=made.measures, averages=made.averages)


def grouping(
    house: House, type_name: str, pick: Pick, verdicts: Verdicts, base: Wanted
) -> tuple[Wanted, Mapping[Path, tuple[str, ...]]]:
    """The groups one field asks for, without their limit, and where each thing grouped by stands in them."""
    by = [_by(house, type_name, each) for each in pick.arguments["by"]]
    keys = {each.path: each.names for each in by}
    _once(pick, by)
    seen = [each for each in pick.below if not withheld(each, verdicts)]
    _shown(pick, [each for each in seen if each.field == "key"], verdicts, keys)
    orders = [_order(house, type_name, pick, each, keys) for each in pick.arguments.get("orderBy") or ()]
    having = pick.arguments.get("having")
    asked = [
        *aggregates([each for each in seen if each.field == "aggregate"], verdicts),
        *(used for used, _ in orders if used is not None),
        *_tested(having),
    ]
    made = measuring(house, type_name, asked)
    order = dict.fromkeys([*(each for _, found in orders for each in found)])
    ordered = {each.column for each in order}
    ties = [Order(name) for each in by for name in each.names if name not in ordered]
    wanted = _measured(
        base,
        columns=tuple(dict.fromkeys((*base.keyed, *(name for each in by for name in each.names)))),
        reaches=reaches(house, type_name, [each.term for each in by]),
        measures=made.measures,
        averages=made.averages,
        cuts=tuple(cut for each in by for cut in each.cuts),
        having=_having(house, type_name, having) if having is not None else All(()),
        order=(*order, *ties),
    )
    return wanted, keys


def _measured(base: Wanted, **said: Any) -> Wanted:
    return Wanted(source=base.source, collection=base.collection, keyed=base.keyed, where=base.where, **said)


def _by(house: House, type_name: str, given: Mapping[str, Any]) -> By:
    path, unit = _cut(given)
    found = Term(links=path[:-1], field=path[-1])
    named = names(house, type_name, found)
    cuts = () if unit == WHOLE else tuple(Cut(each, Unit(unit)) for each in named)
    return By(path=path, names=named, term=found, cuts=cuts)


def _cut(given: Mapping[str, Any]) -> tuple[Path, str]:
    ((field, inner),) = given.items()
    if not isinstance(inner, Mapping):
        return (field,), inner
    path, unit = _cut(inner)
    return (field, *path), unit


def _once(pick: Pick, by: Sequence[By]) -> None:
    if not by:
        raise _refused(f"`by` of `{pick.field}` says nothing, name at least one field")
    paths = [each.path for each in by]
    for each in paths:
        if paths.count(each) > 1:
            raise _refused(f"`by` of `{pick.field}` names `{'.'.join(each)}` twice, ask in two")


def _shown(pick: Pick, shown: Sequence[Pick], verdicts: Verdicts, keys: Mapping[Path, Any]) -> None:
    for path in (path for each in shown for path in _paths(each, verdicts)):
        if path not in keys:
            raise _refused(f"`key` of `{pick.field}` shows `{'.'.join(path)}`, which `by` does not name: add it there")


def _paths(pick: Pick, verdicts: Verdicts) -> Iterator[Path]:
    for each in pick.below:
        if each.field == "__typename" or withheld(each, verdicts):
            continue
        if each.below:
            yield from ((each.field, *path) for path in _paths(each, verdicts))
        else:
            yield (each.field,)


def _order(
    house: House, type_name: str, pick: Pick, given: Mapping[str, Any], keys: Mapping[Path, tuple[str, ...]]
) -> tuple[Aggregated | None, list[Order]]:
    """The aggregate an order looks at, if it does, and the order."""
    if "key" not in given:
        found, descending = aggregated(given)
        assert found.aggregate is not None
        name = measured_name(house, type_name, found.aggregate, found.field)
        return (found.aggregate, found.field), [Order(name, descending)]
    wanted, descending = term(house, type_name, given["key"])
    path = (*wanted.links, wanted.field or wanted.aggregate or "")
    if wanted.aggregate is not None or path not in keys:
        raise _refused(
            f"`orderBy` of `{pick.field}` names the key `{'.'.join(path)}`, which `by` does not: add it there"
        )
    return None, [Order(each, descending) for each in keys[path]]


def _tested(having: Mapping[str, Any] | None) -> Iterator[Aggregated]:
    for name, inner in (having or {}).items():
        if name in LOGIC:
            yield from (each for part in inner or () for each in _tested(part))
        elif name == "not":
            yield from _tested(inner)
        elif name == "count":
            yield "count", None
        else:
            yield from ((name, field) for field in inner or {})


def _having(house: House, type_name: str, given: Mapping[str, Any]) -> Any:
    return All(tuple(_member(house, type_name, name, inner) for name, inner in given.items()))


def _member(house: House, type_name: str, name: str, inner: Any) -> Any:
    if inner is None or inner == {}:
        raise _refused(f"`{name}` in `having` says nothing, leave it out or give a test")
    if name in LOGIC:
        return LOGIC[name](tuple(_having(house, type_name, each) for each in inner))
    if name == "not":
        return Not(_having(house, type_name, inner))
    tests = [(None, inner)] if name == "count" else list(inner.items())
    return All(tuple(each for field, said in tests for each in _tests(house, type_name, (name, field), said)))


def _tests(house: House, type_name: str, what: Aggregated, said: Mapping[str, Any] | None) -> Iterator[Test]:
    name = measured_name(house, type_name, *what)
    if not said:
        raise _refused(f"`{what[1] or what[0]}` in `having` says nothing, leave it out or give a test")
    for op, operand in said.items():
        if operand is None or (isinstance(operand, list) and None in operand):
            raise _refused(f"`{op}` of `{what[1] or what[0]}` in `having` is null: leave it out, or ask `isNull`")
        yield Test(name, Op(op), as_tuple(Op(op), operand))


def _refused(message: str) -> Refused:
    return Refused(Fault(code=Code.BAD_USER_INPUT, message=message))
