"""The scalars beside GraphQL's own: how each is read from a client, its filters; and enums as sources hold them."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from graphql import (
    EnumValueDefinitionNode,
    GraphQLEnumType,
    GraphQLError,
    GraphQLSchema,
    IntValueNode,
    StringValueNode,
    ValueNode,
)

from schema.nodes import STORED

EQUALITY = ("eq", "ne", "in", "notIn", "isNull")
ORDERED = (*EQUALITY, "lt", "lte", "gt", "gte")
TEXT = (*ORDERED, "contains", "startsWith", "endsWith", "iContains", "iStartsWith", "iEndsWith")

OPERATORS: Mapping[str, tuple[str, ...]] = {
    "ID": EQUALITY,
    "Boolean": EQUALITY,
    "String": TEXT,
    "Int": ORDERED,
    "Float": ORDERED,
    "BigInt": ORDERED,
    "Decimal": ORDERED,
    "Date": ORDERED,
    "DateTime": ORDERED,
}
"""By scalar, the operators of its filter; an enum takes EQUALITY."""

DESCRIPTIONS: Mapping[str, str] = {
    "BigInt": "A whole number of up to 64 bits, as a string.",
    "Decimal": "An exact decimal number, as a string.",
    "Date": "A day, as ISO 8601 has it: `2026-10-31`.",
    "JSON": "Any value of JSON.",
    "DateTime": "A moment, as ISO 8601 has it, with a zone: `2026-10-31T12:00:00Z`.",
}

WHOLE = re.compile(r"-?[0-9]{1,19}", re.ASCII)
FRACTIONAL = re.compile(r"-?[0-9]{1,28}(\.[0-9]{1,12})?", re.ASCII)
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})")


def big_int(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return _in_64_bits(value)
    if isinstance(value, str) and WHOLE.fullmatch(value):
        return _in_64_bits(int(value))
    raise GraphQLError("BigInt takes a whole number, as a string")


def decimal(value: object) -> Decimal:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**28:
        return Decimal(value)
    if isinstance(value, str) and FRACTIONAL.fullmatch(value):
        return Decimal(value)
    raise GraphQLError("Decimal takes a string of at most 28 digits and 12 decimal places, such as `12.50`")


def day(value: object) -> date:
    try:
        if isinstance(value, str) and DAY.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise GraphQLError("Date takes a day such as `2026-10-31`")


def moment(value: object) -> datetime:
    try:
        if isinstance(value, str) and MOMENT.fullmatch(value):
            return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise GraphQLError("DateTime takes a moment with a zone such as `2026-10-31T12:00:00Z`")


READERS: Mapping[str, Callable[[object], Any]] = {
    "BigInt": big_int,
    "Decimal": decimal,
    "Date": day,
    "DateTime": moment,
}


def taught(schema: GraphQLSchema) -> GraphQLSchema:
    """The schema, its scalars taught to read what clients send."""
    for name, read in READERS.items():
        scalar: Any = schema.type_map.get(name)
        if scalar is not None:
            scalar.parse_value = scalar.coerce_input_value = read
            scalar.parse_literal = scalar.coerce_input_literal = _literal(read)
    for each in schema.type_map.values():
        if isinstance(each, GraphQLEnumType):
            for value in each.values.values():
                value.value = _stored(value.ast_node) or value.value
    return schema


def _stored(node: EnumValueDefinitionNode | None) -> str | None:
    """What `@stored(as: ...)` says of an enum's value."""
    said = (each for each in (node.directives if node else None) or () if each.name.value == STORED)
    values = (argument.value for each in said for argument in each.arguments or ())
    return next((each.value for each in values if isinstance(each, StringValueNode)), None)


def _literal(read: Callable[[object], Any]) -> Callable[..., Any]:
    def from_node(node: ValueNode, _variables: object = None) -> Any:
        try:
            return read(_value(node))
        except GraphQLError as error:
            raise GraphQLError(error.message, node) from None

    return from_node


def _value(node: ValueNode) -> str | int | None:
    """What a literal says; None where it is neither text nor a whole number."""
    if isinstance(node, StringValueNode):
        return node.value
    return int(node.value) if isinstance(node, IntValueNode) and len(node.value) <= 28 else None


def _in_64_bits(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise GraphQLError("BigInt takes a whole number of up to 64 bits")
    return value
