"""Coerced variables in, their shape and slots out: what a compiled plan depends on, and what it takes anew each time.

The shape holds all that can change a plan (which fields are given, nulls, booleans, directions, lengths of lists of
objects). Every other leaf becomes a `Slot`, filled again for each request.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from json import dumps
from typing import Any

from graphql import GraphQLInputObjectType, GraphQLInputType, GraphQLList, get_named_type, get_nullable_type

from engine.errors import Code, Fault, Refused

STRUCTURAL = frozenset({"Boolean", "Direction", "GroupBy", "TimeGroupBy", "DateGroupBy"})
"""Scalars and enums whose value decides the plan itself."""


@dataclass(frozen=True, slots=True)
class Slot:
    """The value at `path` below the variables, through `convert` where it is given."""

    path: tuple[str | int, ...]
    convert: Callable[[Any], Any] | None = None


def slotted(value: Any, of: GraphQLInputType, path: tuple[str | int, ...]) -> Any:
    """The value with slots for the leaves that do not decide the plan."""
    kind = get_nullable_type(of)
    named = get_named_type(of)
    if value is None or named.name in STRUCTURAL:
        return value
    if isinstance(kind, GraphQLList):
        if not isinstance(named, GraphQLInputObjectType):
            return Slot(path)
        return [slotted(each, kind.of_type, (*path, index)) for index, each in enumerate(value)]
    if isinstance(kind, GraphQLInputObjectType):
        return {name: slotted(each, kind.fields[name].type, (*path, name)) for name, each in value.items()}
    return Slot(path)


def shape(value: Any) -> Any:
    """A hashable stand-in for a slotted value; equal shapes get the same plan."""
    if isinstance(value, dict):
        return tuple((name, shape(each)) for name, each in value.items())
    if isinstance(value, list):
        return tuple(map(shape, value))
    return Slot if isinstance(value, Slot) else value


def filled(value: Any, variables: Mapping[str, Any]) -> Any:
    """What stands in the slot now; a value that is no slot is itself, and of a list or an object, each of its own."""
    if isinstance(value, list):
        return [filled(each, variables) for each in value]
    if isinstance(value, dict):
        return {name: filled(each, variables) for name, each in value.items()}
    if not isinstance(value, Slot):
        return value
    found: Any = variables
    for step in value.path:
        found = found[step]
    return value.convert(found) if value.convert else found


def held(value: Any) -> Any:
    """A value given as a source takes it: a list is a tuple; an object, or a list of them, its JSON, keys sorted."""
    if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(each, dict) for each in value)):
        return dumps(value, default=str, sort_keys=True)
    return tuple(value) if isinstance(value, list) else value


def converted(value: Any, convert: Callable[[Any], Any]) -> Any:
    """The value converted now, or, of a slot, each time it is filled; of a list, each of its own."""
    if isinstance(value, list):
        return [converted(each, convert) for each in value]
    return Slot(value.path, convert) if isinstance(value, Slot) else convert(value)


def within(value: Any, limit: int) -> None:
    """Refuses a list in the variables or literals that is longer than `limits.in_max`."""
    if isinstance(value, list | tuple):
        if len(value) > limit:
            message = f"a list of {len(value)} values is over the limit `in_max` of {limit}, ask in parts"
            raise Refused(Fault(code=Code.LIMIT_EXCEEDED, message=message))
        for each in value:
            within(each, limit)
    elif isinstance(value, dict):
        for each in value.values():
            within(each, limit)
