"""Parse what clients send for the product's own scalars and for enums."""

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

from onedoor.schema.sdl import STORED_DIRECTIVE

SCALAR_DESCRIPTIONS: Mapping[str, str] = {
    "BigInt": "A whole number of up to 64 bits, with or without a sign, as a string.",
    "Decimal": "An exact decimal number, as a string.",
    "Date": "A day in ISO 8601, such as `2026-10-31`.",
    "JSON": "Any JSON value.",
    "DateTime": "A moment in ISO 8601 with a zone, such as `2026-10-31T12:00:00Z`.",
}

INTEGER_PATTERN = re.compile(r"-?[0-9]{1,20}", re.ASCII)

DECIMAL_PATTERN = re.compile(r"-?[0-9]{1,131072}(\.[0-9]{1,16383})?", re.ASCII)
"""As many digits as any database stores, so that each decimal that is shown can be asked for."""

DATE_PATTERN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)

DATETIME_PATTERN = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})"
)


def parse_big_int(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return _require_64_bits(value)
    if isinstance(value, str) and INTEGER_PATTERN.fullmatch(value):
        return _require_64_bits(int(value))
    raise GraphQLError("BigInt takes a whole number, as a string")


def parse_decimal(value: object) -> Decimal:
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, str) and DECIMAL_PATTERN.fullmatch(value):
        return Decimal(value)
    raise GraphQLError("Decimal takes a number in digits, as a string such as `12.50`")


def parse_date(value: object) -> date:
    try:
        if isinstance(value, str) and DATE_PATTERN.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise GraphQLError("Date takes a day such as `2026-10-31`")


def parse_datetime(value: object) -> datetime:
    try:
        if isinstance(value, str) and DATETIME_PATTERN.fullmatch(value):
            return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise GraphQLError("DateTime takes a moment with a zone such as `2026-10-31T12:00:00Z`")


SCALAR_PARSERS: Mapping[str, Callable[[object], Any]] = {
    "BigInt": parse_big_int,
    "Decimal": parse_decimal,
    "Date": parse_date,
    "DateTime": parse_datetime,
}


def install_scalars(schema: GraphQLSchema) -> GraphQLSchema:
    """Give the schema's scalars their parsers and its enums the values that sources hold, and return it."""
    for name, parse in SCALAR_PARSERS.items():
        scalar: Any = schema.type_map.get(name)
        if scalar is not None:
            scalar.parse_value = scalar.coerce_input_value = parse
            scalar.parse_literal = scalar.coerce_input_literal = _build_literal_parser(parse)
    for declared in schema.type_map.values():
        if isinstance(declared, GraphQLEnumType):
            for value in declared.values.values():
                stored = _read_stored_value(value.ast_node)
                value.value = value.value if stored is None else stored
    return schema


def _read_stored_value(node: EnumValueDefinitionNode | None) -> str | None:
    """Return the text of `@stored(as: ...)` on an enum's value, if it has one."""
    directives = (node.directives if node else None) or ()
    stored = (directive for directive in directives if directive.name.value == STORED_DIRECTIVE)
    values = (argument.value for directive in stored for argument in directive.arguments or ())
    return next((value.value for value in values if isinstance(value, StringValueNode)), None)


def _build_literal_parser(parse: Callable[[object], Any]) -> Callable[..., Any]:
    def parse_literal(node: ValueNode, _variables: object = None) -> Any:
        try:
            return parse(_read_literal(node))
        except GraphQLError as error:
            raise GraphQLError(error.message, node) from None

    return parse_literal


def _read_literal(node: ValueNode) -> str | None:
    """Return the text of a literal; None where it is neither text nor a whole number."""
    return node.value if isinstance(node, StringValueNode | IntValueNode) else None


def _require_64_bits(value: int) -> int:
    if not -(2**63) <= value < 2**64:
        raise GraphQLError("BigInt takes a whole number of up to 64 bits")
    return value
