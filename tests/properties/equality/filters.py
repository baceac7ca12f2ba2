"""Evaluate a filter on a row or a group, in two-valued logic."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tests.properties.equality.measures import measured
from tests.properties.equality.model import MODEL
from tests.properties.equality.rows import held, identity, linked
from tests.properties.equality.world import Dict, World


def meets(world: World, kind: str, row: Dict, where: Mapping[str, Any]) -> bool:
    """All that is said holds."""
    return all(holds(world, kind, row, name, said) for name, said in where.items())


def holds(world: World, kind: str, row: Dict, name: str, said: Any) -> bool:
    if name == "and":
        return all(meets(world, kind, row, each) for each in said)
    if name == "or":
        return any(meets(world, kind, row, each) for each in said)
    if name == "not":
        return not meets(world, kind, row, said)
    if name == "id":
        return passes(identity(kind, row), said)
    if name not in MODEL[kind].links:
        return passes(held(kind, row, name), said)
    link, found = MODEL[kind].links[name], linked(world, kind, row, name)
    if not link.many:
        return any(meets(world, link.to, each, said) for each in found)
    return all(QUANTIFIERS[each](meets(world, link.to, one, inner) for one in found) for each, inner in said.items())


QUANTIFIERS: Mapping[str, Callable[[Iterable[bool]], bool]] = {
    "some": any,
    "every": all,
    "none": lambda met: not any(met),
}


def passes(value: Any, said: Mapping[str, Any]) -> bool:
    """A test on null is false; `isNull` alone asks for it."""
    return all(
        (value is None) == given if test == "isNull" else value is not None and TESTS[test](value, given)
        for test, given in said.items()
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
    "iContains": lambda value, given: given.lower() in value.lower(),
    "iStartsWith": lambda value, given: value.lower().startswith(given.lower()),
    "iEndsWith": lambda value, given: value.lower().endswith(given.lower()),
}


def grouped(kind: str, rows: Sequence[Dict], having: Mapping[str, Any]) -> bool:
    """Whether a group meets all that is said."""
    return all(grouped_by(kind, rows, name, said) for name, said in having.items())


def grouped_by(kind: str, rows: Sequence[Dict], name: str, said: Any) -> bool:
    if name == "and":
        return all(grouped(kind, rows, each) for each in said)
    if name == "or":
        return any(grouped(kind, rows, each) for each in said)
    if name == "not":
        return not grouped(kind, rows, said)
    if name == "count":
        return passes(len(rows), said)
    return all(passes(measured(kind, rows, {name: {column: None}}), tests) for column, tests in said.items())
