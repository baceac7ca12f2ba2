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


def may_read(shelf: str, groups: Sequence[str], fields: set[str]) -> bool:
    """Whether a caller may ask these fields of a shelf: the blue one is for people, green sizes for two groups."""
    if shelf == "BLUE":
        return "people" in groups
    return shelf != "GREEN" or "size" not in fields or bool({"people", "finance"} & set(groups))


def collect_named_fields(asked: Question) -> set[str]:
    """The fields of papers that a filter or an order looks at."""
    return {name for each in asked.order for name in each} | set(_walk_named_fields(asked.where or {}))


def _walk_named_fields(where: Dict) -> Iterator[str]:
    for name, said in where.items():
        if name in ("and", "or"):
            for each in said:
                yield from _walk_named_fields(each)
        elif name == "not":
            yield from _walk_named_fields(said)
        else:
            yield name


def list_denied_types(asked: Question) -> set[str]:
    """The types that are left out and missed: those whose rows could have met the filter, whatever they held."""
    denied = [shelf for shelf in TYPES if not may_read(shelf, asked.groups, collect_named_fields(asked))]
    return {TYPES[shelf] for shelf in denied if could_match(asked.where or {}, shelf)}


def could_match(where: Dict, shelf: str) -> bool:
    """Whether any outcome of what is not known of the shelf meets the filter."""
    leaves = sum(1 for _ in list_unknown_fields(where))
    return any(evaluate(where, shelf, iter(each)) for each in product([False, True], repeat=leaves))


def list_unknown_fields(where: Dict) -> Iterator[str]:
    for name, said in where.items():
        if name in ("and", "or"):
            for each in said:
                yield from list_unknown_fields(each)
        elif name == "not":
            yield from list_unknown_fields(said)
        elif name != "shelf":
            yield name


def evaluate(where: Dict, shelf: str, outcomes: Iterator[bool]) -> bool:
    met = [evaluate_member(name, said, shelf, outcomes) for name, said in where.items()]
    return all(met)


def evaluate_member(name: str, said: Any, shelf: str, outcomes: Iterator[bool]) -> bool:
    if name in ("and", "or"):
        met = [evaluate(each, shelf, outcomes) for each in said]
        return all(met) if name == "and" else any(met)
    if name == "not":
        return not evaluate(said, shelf, outcomes)
    if name == "shelf":
        return compare_value(shelf, said)
    if name == "id":
        ((op, given),) = said.items()
        here = any(each.startswith(f"{shelf}:") for each in (given if isinstance(given, list) else [given]))
        return (next(outcomes) and here) if op != "ne" else (next(outcomes) or not here)
    return next(outcomes)


def compare_value(found: Any, said: Dict) -> bool:
    ((op, given),) = said.items()
    if op == "isNull":
        return (found is None) is given
    return found is not None and TESTS[op](found, given)


def list_rows(world: World, asked: Question) -> list[Dict]:
    """All that the caller may see and the filter lets in, in order."""
    owners = {each["id"]: each["name"] for each in world.people}
    open_to = [shelf for shelf in TYPES if may_read(shelf, asked.groups, collect_named_fields(asked))]
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
    return sorted(
        (row for row in found if meets_filter(asked.where or {}, row)), key=cmp_to_key(build_row_order(asked))
    )


def meets_filter(where: Dict, row: Dict) -> bool:
    return all(meets_member(name, said, row) for name, said in where.items())


def meets_member(name: str, said: Any, row: Dict) -> bool:
    if name in ("and", "or"):
        met = [meets_filter(each, row) for each in said]
        return all(met) if name == "and" else any(met)
    if name == "not":
        return not meets_filter(said, row)
    if name == "owner":
        return compare_value(row["owner"], said["name"])
    ((op, given),) = said.items()
    return compare_value(row[name], {op: parse_operand(name, op, given)})


def parse_operand(name: str, op: str, given: Any) -> Any:
    if op == "isNull" or name not in READERS:
        return given
    return [READERS[name](each) for each in given] if isinstance(given, list) else READERS[name](given)


READERS: Mapping[str, Any] = {"size": int, "dated": datetime.fromisoformat}


def build_row_order(asked: Question) -> Any:
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


def take_page(found: Sequence[Dict], asked: Question, span: tuple[int | None, int | None], default: int) -> Dict:
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
