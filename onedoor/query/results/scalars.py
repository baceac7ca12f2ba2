"""A column's value in, the value a reply shows out, by the scalar of its field."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import orjson
from graphql import GraphQLEnumType, GraphQLList, GraphQLOutputType, get_named_type, get_nullable_type


class BadValue(ValueError):
    """The source holds a value its field cannot show; the message says what kind, never the value."""


def build_serializer(return_type: GraphQLOutputType) -> Callable[[Any], Any]:
    """Writes one value, or each of a list, for JSON."""
    kind = get_nullable_type(return_type)
    named: Any = get_named_type(return_type)
    one = _build_enum_serializer(named) if isinstance(named, GraphQLEnumType) else SERIALIZERS[named.name]
    if isinstance(kind, GraphQLList):
        return lambda values: [one(each) for each in values]
    return one


def _build_enum_serializer(enum: GraphQLEnumType) -> Callable[[Any], Any]:
    known = {member.value: name for name, member in enum.values.items()}

    def write(value: Any) -> Any:
        if value not in known:
            raise BadValue(f"a value that is none of `{enum.name}`")
        return known[value]

    return write


def serialize_int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**31) <= value < 2**31:
        raise BadValue("a value that is no whole number of 32 bits")
    return value


def serialize_big_int(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadValue("a value that is no whole number")
    return str(value)


def serialize_decimal(value: Any) -> str:
    """Of whole numbers, too: what those of 64 bits add up to may need more."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, Decimal) or not value.is_finite():
        raise BadValue("a value that is no decimal number")
    return format(value, "f")


def serialize_float(value: Any) -> float:
    if not isinstance(value, int | float) or value != value or value in (float("inf"), float("-inf")):
        raise BadValue("a value that is no finite number")
    return float(value)


def serialize_string(value: Any) -> str:
    if not isinstance(value, str):
        raise BadValue("a value that is no text")
    return value


def serialize_json(value: Any) -> Any:
    """The source gives its text."""
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        raise BadValue("a value that is no JSON") from None


def serialize_boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadValue("a value that is neither true nor false")
    return value


def serialize_id(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def serialize_date(value: Any) -> str:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise BadValue("a value that is no day")
    return value.isoformat()


def serialize_datetime(value: Any) -> str:
    """In UTC, with `Z`, as many decimals as there are."""
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
