"""Evaluate a query the naive way: put all rows into one list, filter it, sort it, and take the page."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cmp_to_key
from itertools import product
from typing import Any

from tests.properties.reference.filters import TESTS
from tests.query.interfaces.question import Question, ident
from tests.query.interfaces.world import TYPES, World

Dict = Mapping[str, Any]
Leaf = tuple[str, str, Any]
"""A field, an operator and an operand."""


def may(shelf: str, groups: Sequence[str], fields: set[str]) -> bool:
    """Whether a caller may ask these fields of a shelf: the blue one is for people, green sizes for two groups."""
    if shelf == "BLUE":
        return "people" in groups
    return shelf != "GREEN" or "size" not in fields or bool({"people", "finance"} & set(groups))


def named(asked: Question) -> set[str]:
    """The fields of papers that a filter or an order looks at."""
    return {name for each in asked.order for name in each} | set(_named(asked.where or {}))


def _named(where: Dict) -> Iterator[str]:
    for name, said in where.items():
        if name in ("and", "or"):
            for each in said:
                yield from _named(each)
        elif name == "not":
            yield from _named(said)
        else:
            yield name


def shut(asked: Question) -> set[str]:
    """The types that are left out and missed: those whose rows could have met the filter, whatever they held."""
    denied = [shelf for shelf in TYPES if not may(shelf, asked.groups, named(asked))]
    return {TYPES[shelf] for shelf in denied if could(asked.where or {}, shelf)}


def could(where: Dict, shelf: str) -> bool:
    """Whether any outcome of what is not known of the shelf meets the filter."""
    leaves = sum(1 for _ in unknown(where))
    return any(judged(where, shelf, iter(each)) for each in product([False, True], repeat=leaves))


def unknown(where: Dict) -> Iterator[str]:
    for name, said in where.items():
        if name in ("and", "or"):
            for each in said:
                yield from unknown(each)
        elif name == "not":
            yield from unknown(said)
        elif name != "shelf":
            yield name


def judged(where: Dict, shelf: str, outcomes: Iterator[bool]) -> bool:
    met = [judged_one(name, said, shelf, outcomes) for name, said in where.items()]
    return all(met)


def judged_one(name: str, said: Any, shelf: str, outcomes: Iterator[bool]) -> bool:
    if name in ("and", "or"):
        met = [judged(each, shelf, outcomes) for each in said]
        return all(met) if name == "and" else any(met)
    if name == "not":
        return not judged(said, shelf, outcomes)
    if name == "shelf":
        return passes(shelf, said)
    if name == "id":
        ((op, given),) = said.items()
        here = any(each.startswith(f"{shelf}:") for each in (given if isinstance(given, list) else [given]))
        return (next(outcomes) and here) if op != "ne" else (next(outcomes) or not here)
    return next(outcomes)


def passes(found: Any, said: Dict) -> bool:
    ((op, given),) = said.items()
    if op == "isNull":
        return (found is None) is given
    return found is not None and TESTS[op](found, given)


def rows(world: World, asked: Question) -> list[Dict]:
    """All that the caller may see and the filter lets in, in order."""
    owners = {each["id"]: each["name"] for each in world.people}
    open_to = [shelf for shelf in TYPES if may(shelf, asked.groups, named(asked))]
    found = [
        {
            **row,
            "shelf": shelf,
            "number": row["id"],
            "id": ident(shelf, row["id"]),
            "owner": owners.get(row["person_id"]),
        }
        for shelf in open_to
        for row in world.papers[shelf]
    ]
    return sorted((row for row in found if meets(asked.where or {}, row)), key=cmp_to_key(comparing(asked)))


def meets(where: Dict, row: Dict) -> bool:
    return all(holds(name, said, row) for name, said in where.items())


def holds(name: str, said: Any, row: Dict) -> bool:
    if name in ("and", "or"):
        met = [meets(each, row) for each in said]
        return all(met) if name == "and" else any(met)
    if name == "not":
        return not meets(said, row)
    if name == "owner":
        return passes(row["owner"], said["name"])
    ((op, given),) = said.items()
    return passes(row[name], {op: read(name, op, given)})


def read(name: str, op: str, given: Any) -> Any:
    if op == "isNull" or name not in READERS:
        return given
    return [READERS[name](each) for each in given] if isinstance(given, list) else READERS[name](given)


READERS: Mapping[str, Any] = {"size": int, "dated": datetime.fromisoformat}


def comparing(asked: Question) -> Any:
    """Rows without a value come last, either way; then the shelf, then the number there."""
    terms: list[tuple[str, bool]] = []
    for each in asked.order:
        ((name, said),) = each.items()
        down = (said["name"] if name == "owner" else said) == "DESC"
        terms += [("shelf", down), ("number", down)] if name == "id" else [(name, down)]
    steady = dict(reversed([*terms, ("shelf", False), ("number", False)]))
    first = dict.fromkeys(name for name, _ in [*terms, ("shelf", False), ("number", False)])

    def compare(one: Dict, other: Dict) -> int:
        for name in first:
            here, there = one[name], other[name]
            if here == there:
                continue
            if here is None or there is None:
                return 1 if here is None else -1
            return (-1 if here < there else 1) * (-1 if steady[name] else 1)
        return 0

    return compare


def page(found: Sequence[Dict], asked: Question, span: tuple[int | None, int | None], default: int) -> Dict:
    """`span`: the places of the rows whose cursors were given as `after` and `before`."""
    after, before = span
    inside = found[0 if after is None else after + 1 : before]
    first, last = asked.size.get("first"), asked.size.get("last")
    size = default if first is None and last is None else first
    kept = inside[:size] if last is None else inside[max(0, len(inside) - last) :]
    cut = len(kept) < len(inside)
    past = before is not None and before < len(found)
    return {
        "rows": kept,
        "next": past or (cut and last is None),
        "previous": after is not None or (cut and last is not None),
    }
