"""Coerced variables in, their shape and slots out: what a compiled plan depends on, and what it takes anew each time.

The shape holds all that can change a plan (which fields are given, nulls, booleans, directions, lengths of lists of
objects). Every other leaf becomes a `Slot`, filled again for each request.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from json import dumps
from typing import Any

from graphql import GraphQLInputObjectType, GraphQLInputType, GraphQLList, get_named_type, get_nullable_type

from onedoor.errors import ErrorCode, GraphQLErrorInfo, RequestRejected

STRUCTURAL_TYPES = frozenset({"Boolean", "Direction", "GroupBy", "TimeGroupBy", "DateGroupBy"})
"""Scalars and enums whose value decides the plan itself."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """The value at `path` below the variables, through `convert` where it is given."""

    path: tuple[str | int, ...]
    convert: Callable[[Any], Any] | None = None
    types: frozenset[str] | None = None
    """Of representations, the types that they name, which decide the plan."""


def parameterize(value: Any, input_type: GraphQLInputType, path: tuple[str | int, ...]) -> Any:
    """The value with slots for the leaves that do not decide the plan."""
    kind = get_nullable_type(input_type)
    named = get_named_type(input_type)
    if value is None or named.name in STRUCTURAL_TYPES:
        return value
    if isinstance(kind, GraphQLList):
        if not isinstance(named, GraphQLInputObjectType):
            return Parameter(path)
        return [parameterize(each, kind.of_type, (*path, index)) for index, each in enumerate(value)]
    if isinstance(kind, GraphQLInputObjectType):
        return {name: parameterize(each, kind.fields[name].type, (*path, name)) for name, each in value.items()}
    return Parameter(path)


def plan_cache_key(value: Any) -> Any:
    """A hashable stand-in for a slotted value; equal shapes get the same plan."""
    if isinstance(value, dict):
        return tuple((name, plan_cache_key(each)) for name, each in value.items())
    if isinstance(value, list):
        return tuple(map(plan_cache_key, value))
    if isinstance(value, Parameter):
        return Parameter if value.types is None else value.types
    return value


def substitute(value: Any, variables: Mapping[str, Any]) -> Any:
    """What stands in the slot now; a value that is no slot is itself, and of a list or an object, each of its own."""
    if isinstance(value, list):
        return [substitute(each, variables) for each in value]
    if isinstance(value, dict):
        return {name: substitute(each, variables) for name, each in value.items()}
    if not isinstance(value, Parameter):
        return value
    found: Any = variables
    for step in value.path:
        found = found[step]
    return value.convert(found) if value.convert else found


def encode(value: Any) -> Any:
    """A value given as a source takes it: a list is a tuple; an object, or a list of them, its JSON, keys sorted."""
    if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(each, dict) for each in value)):
        return dumps(value, default=str, sort_keys=True)
    return tuple(value) if isinstance(value, list) else value


def convert_value(value: Any, convert: Callable[[Any], Any]) -> Any:
    """The value converted now, or, of a slot, each time it is filled; of a list, each of its own."""
    if isinstance(value, list):
        return [convert_value(each, convert) for each in value]
    return Parameter(value.path, convert) if isinstance(value, Parameter) else convert(value)


def check_list_sizes(value: Any, limit: int) -> None:
    """Refuses a list in the variables or literals that is longer than `limits.in_max`."""
    if isinstance(value, list | tuple):
        if len(value) > limit:
            message = f"a list of {len(value)} values is over the limit `in_max` of {limit}, ask in parts"
            raise RequestRejected(GraphQLErrorInfo(code=ErrorCode.LIMIT_EXCEEDED, message=message))
        for each in value:
            check_list_sizes(each, limit)
    elif isinstance(value, dict):
        for each in value.values():
            check_list_sizes(each, limit)
