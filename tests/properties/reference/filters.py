"""Evaluate a `where` argument on one row, in two-valued logic."""

from collections.abc import Mapping
from typing import Any

from graphql import GraphQLError

from tests.properties.reference.world import Dict, World, value

TESTS = {
    "eq": lambda actual, given: actual == given,
    "ne": lambda actual, given: actual != given,
    "in": lambda actual, given: actual in given,
    "notIn": lambda actual, given: actual not in given,
    "lt": lambda actual, given: actual < given,
    "lte": lambda actual, given: actual <= given,
    "gt": lambda actual, given: actual > given,
    "gte": lambda actual, given: actual >= given,
    "contains": lambda actual, given: given in actual,
    "startsWith": lambda actual, given: actual.startswith(given),
    "endsWith": lambda actual, given: actual.endswith(given),
    "iContains": lambda actual, given: given.casefold() in actual.casefold(),
    "iStartsWith": lambda actual, given: actual.casefold().startswith(given.casefold()),
    "iEndsWith": lambda actual, given: actual.casefold().endswith(given.casefold()),
}


def meets(world: World, kind: str, where: Mapping[str, Any], row: Dict) -> bool:
    """All that is said holds."""
    return all(holds(world, kind, name, tests_, row) for name, tests_ in where.items())


def holds(world: World, kind: str, name: str, tests_: Any, row: Dict) -> bool:
    if name == "and":
        return all(meets(world, kind, item, row) for item in tests_)
    if name == "or":
        return any(meets(world, kind, item, row) for item in tests_)
    if name == "not":
        return not meets(world, kind, tests_, row)
    binding = world.binding(kind)
    if name not in binding.relationships:
        result = value(binding, name, row)
        return all(passes(result, op, given) for op, given in tests_.items())
    link = binding.relationships[name]
    rows = world.linked(link, row)
    if not world.many(kind, name):
        return any(meets(world, link.to, tests_, item) for item in rows)
    met = {quantifier: [meets(world, link.to, inner, item) for item in rows] for quantifier, inner in tests_.items()}
    return all(QUANTIFIERS[quantifier](item) for quantifier, item in met.items())


QUANTIFIERS = {"some": any, "every": all, "none": lambda met: not any(met)}


def passes(actual: Any, op: str, given: Any) -> bool:
    """A test on null is false; `isNull` alone asks for it."""
    if op == "isNull":
        return (actual is None) == given
    return actual is not None and TESTS[op](actual, given)


def refuse(world: World, kind: str, where: Mapping[str, Any]) -> None:
    """A null, or an operator object that says nothing, would mean everything; raises GraphQLError."""
    for name, tests_ in where.items():
        if tests_ is None:
            raise bad()
        if name in ("and", "or"):
            for item in tests_:
                refuse(world, kind, item)
        elif name == "not":
            refuse(world, kind, tests_)
        elif name in (links := world.binding(kind).relationships):
            for item in quantified(tests_) if world.many(kind, name) else [tests_]:
                refuse(world, links[name].to, item)
        else:
            quantified(tests_)


def quantified(tests_: Mapping[str, Any]) -> list[Any]:
    if not tests_ or None in tests_.values():
        raise bad()
    return list(tests_.values())


def bad() -> GraphQLError:
    return GraphQLError("a filter that says nothing", extensions={"code": "BAD_USER_INPUT"})
