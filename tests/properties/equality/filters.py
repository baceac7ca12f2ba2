"""Evaluate a filter on a row or a group, in two-valued logic."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tests.properties.equality.measures import compute_aggregate
from tests.properties.equality.model import MODEL
from tests.properties.equality.rows import field_value, identity, linked_rows
from tests.properties.equality.world import Dict, World


def meets(world: World, kind: str, row: Dict, where: Mapping[str, Any]) -> bool:
    """All that is said holds."""
    return all(holds(world, kind, row, name, tests_) for name, tests_ in where.items())


def holds(world: World, kind: str, row: Dict, name: str, tests_: Any) -> bool:
    if name == "and":
        return all(meets(world, kind, row, item) for item in tests_)
    if name == "or":
        return any(meets(world, kind, row, item) for item in tests_)
    if name == "not":
        return not meets(world, kind, row, tests_)
    if name == "id":
        return passes(identity(kind, row), tests_)
    if name not in MODEL[kind].links:
        return passes(field_value(kind, row, name), tests_)
    link, linked = MODEL[kind].links[name], linked_rows(world, kind, row, name)
    if not link.many:
        return any(meets(world, link.to, item, tests_) for item in linked)
    return all(QUANTIFIERS[item](meets(world, link.to, one, inner) for one in linked) for item, inner in tests_.items())


QUANTIFIERS: Mapping[str, Callable[[Iterable[bool]], bool]] = {
    "some": any,
    "every": all,
    "none": lambda met: not any(met),
}


def passes(value: Any, tests_: Mapping[str, Any]) -> bool:
    """A test on null is false; `isNull` alone asks for it."""
    return all(
        (value is None) == given if test == "isNull" else value is not None and TESTS[test](value, given)
        for test, given in tests_.items()
    )


TESTS: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": lambda value, given: value == given,
    "ne": lambda value, given: value != given,
    "in": lambda value, given: value in given,
    "notIn": lambda value, given: value not in given,
    "lt": lambda value, given: value < given,
    "lte": lambda value, given: value <= given,
    "gt": lambda value, given: value > given,
    "gte": lambda value, given: value >= given,
    "contains": lambda value, given: given in value,
    "startsWith": lambda value, given: value.startswith(given),
    "endsWith": lambda value, given: value.endswith(given),
    "iContains": lambda value, given: given.casefold() in value.casefold(),
    "iStartsWith": lambda value, given: value.casefold().startswith(given.casefold()),
    "iEndsWith": lambda value, given: value.casefold().endswith(given.casefold()),
}


def meets_having(kind: str, rows: Sequence[Dict], having: Mapping[str, Any]) -> bool:
    """Whether a group meets all that is said."""
    return all(grouped_by(kind, rows, name, tests_) for name, tests_ in having.items())


def grouped_by(kind: str, rows: Sequence[Dict], name: str, tests_: Any) -> bool:
    if name == "and":
        return all(meets_having(kind, rows, item) for item in tests_)
    if name == "or":
        return any(meets_having(kind, rows, item) for item in tests_)
    if name == "not":
        return not meets_having(kind, rows, tests_)
    if name == "count":
        return passes(len(rows), tests_)
    return all(passes(compute_aggregate(kind, rows, {name: {column: None}}), tests) for column, tests in tests_.items())
