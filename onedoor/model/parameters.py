"""Separate what of the variables decides a plan from the values that each request substitutes in it.

What decides a plan is part of its cache key: which fields are given, nulls, booleans, directions, lengths of lists of
objects. Every other leaf becomes a Parameter.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from json import dumps
from typing import Any

from graphql import GraphQLInputObjectType, GraphQLInputType, GraphQLList, get_named_type, get_nullable_type

from onedoor.errors import ErrorCode, GraphQLErrorInfo, RequestRejected

STRUCTURAL_TYPES = frozenset({"Boolean", "Direction", "GroupBy", "TimeGroupBy", "DateGroupBy"})
"""Scalars and enums whose values decide the plan."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """Stand for the value at a path in the variables, converted by `convert` if there is one."""

    path: tuple[str | int, ...]
    convert: Callable[[Any], Any] | None = None
    types: frozenset[str] | None = None
    """Of representations, the types that they name, which decide the plan."""


def parameterize(value: Any, input_type: GraphQLInputType, path: tuple[str | int, ...]) -> Any:
    """Replace the leaves that do not decide the plan with parameters."""
    nullable = get_nullable_type(input_type)
    named = get_named_type(input_type)
    if value is None or named.name in STRUCTURAL_TYPES:
        return value
    if isinstance(nullable, GraphQLList):
        if not isinstance(named, GraphQLInputObjectType):
            return Parameter(path)
        return [parameterize(item, nullable.of_type, (*path, index)) for index, item in enumerate(value)]
    if isinstance(nullable, GraphQLInputObjectType):
        return {name: parameterize(inner, nullable.fields[name].type, (*path, name)) for name, inner in value.items()}
    return Parameter(path)


def plan_cache_key(value: Any) -> Any:
    """Return the part of the plan's cache key for parameterized variables."""
    if isinstance(value, dict):
        return tuple((name, plan_cache_key(inner)) for name, inner in value.items())
    if isinstance(value, list):
        return tuple(map(plan_cache_key, value))
    if isinstance(value, Parameter):
        return Parameter if value.types is None else value.types
    return value


def substitute(value: Any, variables: Mapping[str, Any]) -> Any:
    """Replace every parameter in a value with this request's value."""
    if isinstance(value, list):
        return [substitute(item, variables) for item in value]
    if isinstance(value, dict):
        return {name: substitute(inner, variables) for name, inner in value.items()}
    if not isinstance(value, Parameter):
        return value
    current: Any = variables
    for step in value.path:
        current = current[step]
    return value.convert(current) if value.convert else current


def encode(value: Any) -> Any:
    """Return a value as connectors take it: a list as a tuple; objects, also in a list, as JSON with sorted keys."""
    if isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict) for item in value)):
        return dumps(value, default=str, sort_keys=True)
    return tuple(value) if isinstance(value, list) else value


def convert_value(value: Any, convert: Callable[[Any], Any]) -> Any:
    """Convert a value, or the items of a list, now; a parameter is converted each time it is substituted."""
    if isinstance(value, list):
        return [convert_value(item, convert) for item in value]
    return Parameter(value.path, convert) if isinstance(value, Parameter) else convert(value)


def check_list_sizes(value: Any, limit: int) -> None:
    """Raise RequestRejected for a list in the variables or literals that is longer than `limits.in_max`."""
    if isinstance(value, list | tuple):
        if len(value) > limit:
            message = f"a list of {len(value)} values is over the limit `in_max` of {limit}, ask in parts"
            raise RequestRejected(GraphQLErrorInfo(code=ErrorCode.LIMIT_EXCEEDED, message=message))
        for item in value:
            check_list_sizes(item, limit)
    elif isinstance(value, dict):
        for inner in value.values():
            check_list_sizes(inner, limit)


CHARACTERS_A_VALUE = 200


def count_values(value: Any, limit: int) -> int:
    """Count the values in variables, a long text as several, up to about `limit`."""
    count, pending = 0, [value]
    while pending and count <= limit:
        value = pending.pop()
        count += 1
        if isinstance(value, str):
            count += len(value) // CHARACTERS_A_VALUE
        elif isinstance(value, Mapping):
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
    return count
