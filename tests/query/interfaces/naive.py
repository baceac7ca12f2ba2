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
    """Whether a caller may select these fields of a source: the blue one is for people, green sizes for two groups."""
    if shelf == "BLUE":
        return "people" in groups
    return shelf != "GREEN" or "size" not in fields or bool({"people", "finance"} & set(groups))


def collect_named_fields(question: Question) -> set[str]:
    """The fields of papers that a filter or an order looks at."""
    return {name for sort_key in question.order for name in sort_key} | set(_walk_named_fields(question.where or {}))


def _walk_named_fields(where: Dict) -> Iterator[str]:
    for name, tests_ in where.items():
        if name in ("and", "or"):
            for item in tests_:
                yield from _walk_named_fields(item)
        elif name == "not":
            yield from _walk_named_fields(tests_)
        else:
            yield name


def list_denied_types(question: Question) -> set[str]:
    """The types that are left out and missed: those whose rows could have met the filter, whatever they held."""
    denied = [shelf for shelf in TYPES if not may_read(shelf, question.groups, collect_named_fields(question))]
    return {TYPES[shelf] for shelf in denied if could_match(question.where or {}, shelf)}


def could_match(where: Dict, shelf: str) -> bool:
    """Whether any outcome of what is not known about the source meets the filter."""
    leaves = sum(1 for _ in list_unknown_fields(where))
    return any(evaluate(where, shelf, iter(item)) for item in product([False, True], repeat=leaves))


def list_unknown_fields(where: Dict) -> Iterator[str]:
    for name, tests_ in where.items():
        if name in ("and", "or"):
            for item in tests_:
                yield from list_unknown_fields(item)
        elif name == "not":
            yield from list_unknown_fields(tests_)
        elif name != "shelf":
            yield name


def evaluate(where: Dict, shelf: str, outcomes: Iterator[bool]) -> bool:
    met = [evaluate_member(name, tests_, shelf, outcomes) for name, tests_ in where.items()]
    return all(met)


def evaluate_member(name: str, tests_: Any, shelf: str, outcomes: Iterator[bool]) -> bool:
    if name in ("and", "or"):
        met = [evaluate(item, shelf, outcomes) for item in tests_]
        return all(met) if name == "and" else any(met)
    if name == "not":
        return not evaluate(tests_, shelf, outcomes)
    if name == "shelf":
        return compare_value(shelf, tests_)
    if name == "id":
        ((op, given),) = tests_.items()
        here = any(item.startswith(f"{shelf}:") for item in (given if isinstance(given, list) else [given]))
        return (next(outcomes) and here) if op != "ne" else (next(outcomes) or not here)
    return next(outcomes)


def compare_value(value: Any, tests_: Dict) -> bool:
    ((op, given),) = tests_.items()
    if op == "isNull":
        return (value is None) is given
    return value is not None and TESTS[op](value, given)


def list_rows(world: World, question: Question) -> list[Dict]:
    """All that the caller may see and the filter lets in, in order."""
    owners = {person["id"]: person["name"] for person in world.people}
    open_to = [shelf for shelf in TYPES if may_read(shelf, question.groups, collect_named_fields(question))]
    results = [
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
        (row for row in results if meets_filter(question.where or {}, row)), key=cmp_to_key(build_row_order(question))
    )


def meets_filter(where: Dict, row: Dict) -> bool:
    return all(meets_member(name, tests_, row) for name, tests_ in where.items())


def meets_member(name: str, tests_: Any, row: Dict) -> bool:
    if name in ("and", "or"):
        met = [meets_filter(item, row) for item in tests_]
        return all(met) if name == "and" else any(met)
    if name == "not":
        return not meets_filter(tests_, row)
    if name == "owner":
        return compare_value(row["owner"], tests_["name"])
    ((op, given),) = tests_.items()
    return compare_value(row[name], {op: parse_operand(name, op, given)})


def parse_operand(name: str, op: str, given: Any) -> Any:
    if op == "isNull" or name not in READERS:
        return given
    return [READERS[name](item) for item in given] if isinstance(given, list) else READERS[name](given)


READERS: Mapping[str, Any] = {"size": int, "dated": datetime.fromisoformat}


def build_row_order(question: Question) -> Any:
    """Rows without a value come last, either way; then the source, then the number there."""
    terms: list[tuple[str, bool]] = []
    for sort_key in question.order:
        ((name, tests_),) = sort_key.items()
        down = (tests_["name"] if name == "owner" else tests_) == "DESC"
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


def take_page(rows: Sequence[Dict], question: Question, span: tuple[int | None, int | None], default: int) -> Dict:
    """`span`: the places of the rows whose cursors were given as `after` and `before`."""
    after, before = span
    inside = rows[0 if after is None else after + 1 : before]
    first, last = question.size.get("first"), question.size.get("last")
    size = default if first is None and last is None else first
    page_rows = inside[:size] if last is None else inside[max(0, len(inside) - last) :]
    cut = len(page_rows) < len(inside)
    past = before is not None and before < len(rows)
    return {
        "rows": page_rows,
        "next": past or (cut and last is None),
        "previous": after is not None or (cut and last is not None),
    }
