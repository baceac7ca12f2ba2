"""Serialize the values of columns by the scalars of their fields."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import orjson
from graphql import GraphQLEnumType, GraphQLList, GraphQLNonNull, GraphQLOutputType, get_named_type, get_nullable_type

from onedoor.model.names import format_id_part


class BadValue(ValueError):
    """A source has a value that its field cannot show; the message says what kind of value, never which."""


def build_serializer(return_type: GraphQLOutputType) -> Callable[[Any], Any]:
    """Build the serializer of a field's values, or of the items of its lists."""
    nullable = get_nullable_type(return_type)
    named: Any = get_named_type(return_type)
    serialize = _build_enum_serializer(named) if isinstance(named, GraphQLEnumType) else SERIALIZERS[named.name]
    if not isinstance(nullable, GraphQLList):
        return serialize
    if isinstance(nullable.of_type, GraphQLNonNull):
        return lambda values: [serialize(value) for value in values]
    return lambda values: [None if value is None else serialize(value) for value in values]


def _build_enum_serializer(enum: GraphQLEnumType) -> Callable[[Any], Any]:
    names = {member.value: name for name, member in enum.values.items()}

    def serialize_enum(value: Any) -> Any:
        if value not in names:
            raise BadValue(f"a value that is none of `{enum.name}`")
        return names[value]

    return serialize_enum


def serialize_int(value: Any) -> int:
    """Return an integer of 32 bits."""
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**31) <= value < 2**31:
        raise BadValue("a value that is no whole number of 32 bits")
    return value


def serialize_big_int(value: Any) -> str:
    """Return an integer of any size as text."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadValue("a value that is no whole number")
    return str(value)


def serialize_decimal(value: Any) -> str:
    """Return a decimal as text; also an integer, as the sum of integers of 64 bits may need more."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, Decimal) or not value.is_finite():
        raise BadValue("a value that is no decimal number")
    return format(value, "f")


def serialize_float(value: Any) -> float:
    """Return a finite number."""
    if not isinstance(value, int | float) or value != value or value in (float("inf"), float("-inf")):
        raise BadValue("a value that is no finite number")
    return float(value)


def serialize_string(value: Any) -> str:
    """Return text."""
    if not isinstance(value, str):
        raise BadValue("a value that is no text")
    return value


def serialize_json(value: Any) -> Any:
    """Return the value of JSON text."""
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        raise BadValue("a value that is no JSON") from None


def serialize_boolean(value: Any) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        raise BadValue("a value that is neither true nor false")
    return value


def serialize_id(value: Any) -> str:
    """Return the text of an id."""
    return value if isinstance(value, str) else format_id_part(value)


def serialize_date(value: Any) -> str:
    """Return a day in the form of ISO 8601."""
    if not isinstance(value, date) or isinstance(value, datetime):
        raise BadValue("a value that is no day")
    return value.isoformat()


def serialize_datetime(value: Any) -> str:
    """Return a time in the form of ISO 8601: in UTC, with `Z`, and as many decimals as it has."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise BadValue("a value that is no moment with a zone")
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


SERIALIZERS: Mapping[str, Callable[[Any], Any]] = {
    "ID": serialize_id,
    "String": serialize_string,
    "Int": serialize_int,
    "Float": serialize_float,
    "Boolean": serialize_boolean,
    "BigInt": serialize_big_int,
    "JSON": serialize_json,
    "Decimal": serialize_decimal,
    "Date": serialize_date,
    "DateTime": serialize_datetime,
}
