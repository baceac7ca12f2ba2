"""A column's value in, the value a reply shows out, by the scalar of its field."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import orjson
from graphql import GraphQLEnumType, GraphQLList, GraphQLOutputType, get_named_type, get_nullable_type


class BadValue(ValueError):
    """The source holds a value its field cannot show; the message says what kind, never the value."""


def leaf(returns: GraphQLOutputType) -> Callable[[Any], Any]:
    """Writes one value, or each of a list, for JSON."""
    kind = get_nullable_type(returns)
    named: Any = get_named_type(returns)
    one = _member_of(named) if isinstance(named, GraphQLEnumType) else WRITERS[named.name]
    if isinstance(kind, GraphQLList):
        return lambda values: [one(each) for each in values]
    return one


def _member_of(enum: GraphQLEnumType) -> Callable[[Any], Any]:
    known = {member.value: name for name, member in enum.values.items()}

    def write(value: Any) -> Any:
        if value not in known:
            raise BadValue(f"a value that is none of `{enum.name}`")
        return known[value]

    return write


def whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**31) <= value < 2**31:
        raise BadValue("a value that is no whole number of 32 bits")
    return value


def big(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadValue("a value that is no whole number")
    return str(value)


def decimal(value: Any) -> str:
    """Of whole numbers, too: what those of 64 bits add up to may need more."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, Decimal) or not value.is_finite():
        raise BadValue("a value that is no decimal number")
    return format(value, "f")


def floating(value: Any) -> float:
    if not isinstance(value, int | float) or value != value or value in (float("inf"), float("-inf")):
        raise BadValue("a value that is no finite number")
    return float(value)


def text(value: Any) -> str:
    if not isinstance(value, str):
        raise BadValue("a value that is no text")
    return value


def json(value: Any) -> Any:
    """The source gives its text."""
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        raise BadValue("a value that is no JSON") from None


def truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadValue("a value that is neither true nor false")
    return value


def identity(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def day(value: Any) -> str:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise BadValue("a value that is no day")
    return value.isoformat()


def moment(value: Any) -> str:
    """In UTC, with `Z`, as many decimals as there are."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise BadValue("a value that is no moment with a zone")
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


WRITERS: Mapping[str, Callable[[Any], Any]] = {
    "ID": identity,
    "String": text,
    "Int": whole,
    "Float": floating,
    "Boolean": truth,
    "BigInt": big,
    "JSON": json,
    "Decimal": decimal,
    "Date": day,
    "DateTime": moment,
}
