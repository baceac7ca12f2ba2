"""Evaluate a `where` argument on one row, in two-valued logic."""

from collections.abc import Mapping
from typing import Any

from graphql import GraphQLError

from tests.properties.reference.world import Dict, World, value

TESTS = {
    "eq": lambda found, given: found == given,
    "ne": lambda found, given: found != given,
    "in": lambda found, given: found in given,
    "notIn": lambda found, given: found not in given,
    "lt": lambda found, given: found < given,
    "lte": lambda found, given: found <= given,
    "gt": lambda found, given: found > given,
    "gte": lambda found, given: found >= given,
    "contains": lambda found, given: given in found,
    "startsWith": lambda found, given: found.startswith(given),
    "endsWith": lambda found, given: found.endswith(given),
    "iContains": lambda found, given: given.lower() in found.lower(),
    "iStartsWith": lambda found, given: found.lower().startswith(given.lower()),
    "iEndsWith": lambda found, given: found.lower().endswith(given.lower()),
}


def meets(world: World, kind: str, where: Mapping[str, Any], row: Dict) -> bool:
    """All that is said holds."""
    return all(holds(world, kind, name, said, row) for name, said in where.items())


def holds(world: World, kind: str, name: str, said: Any, row: Dict) -> bool:
    if name == "and":
        return all(meets(world, kind, each, row) for each in said)
    if name == "or":
        return any(meets(world, kind, each, row) for each in said)
    if name == "not":
        return not meets(world, kind, said, row)
    binding = world.binding(kind)
    if name not in binding.relationships:
        found = value(binding, name, row)
        return all(passes(found, op, given) for op, given in said.items())
    link = binding.relationships[name]
    rows = world.linked(link, row)
    if not world.many(kind, name):
        return any(meets(world, link.to, said, each) for each in rows)
    met = {quantifier: [meets(world, link.to, inner, each) for each in rows] for quantifier, inner in said.items()}
    return all(QUANTIFIERS[quantifier](each) for quantifier, each in met.items())


QUANTIFIERS = {"some": any, "every": all, "none": lambda met: not any(met)}


def passes(found: Any, op: str, given: Any) -> bool:
    """A test on null is false; `isNull` alone asks for it."""
    if op == "isNull":
        return (found is None) == given
    return found is not None and TESTS[op](found, given)


def refuse(world: World, kind: str, where: Mapping[str, Any]) -> None:
    """A null, or an operator object that says nothing, would mean everything; raises GraphQLError."""
    for name, said in where.items():
        if said is None:
            raise bad()
        if name in ("and", "or"):
            for each in said:
                refuse(world, kind, each)
        elif name == "not":
            refuse(world, kind, said)
        elif name in (links := world.binding(kind).relationships):
            for each in quantified(said) if world.many(kind, name) else [said]:
                refuse(world, links[name].to, each)
        else:
            quantified(said)


def quantified(said: Mapping[str, Any]) -> list[Any]:
    if not said or None in said.values():
        raise bad()
    return list(said.values())


def bad() -> GraphQLError:
    return GraphQLError("a filter that says nothing", extensions={"code": "BAD_USER_INPUT"})
