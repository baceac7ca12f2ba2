"""Compute from what is shown of a table what each question about it must answer."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from ipaddress import ip_interface
from typing import Any

from tests.properties.foreign.shape import Field

Row = Mapping[str, Any]
"""A row as it is shown: JSON values by field, null where it is shown null."""

READ: Mapping[str, Callable[[Any], Any]] = {
    "BigInt": int,
    "Decimal": Decimal,
    "DateTime": datetime.fromisoformat,
}
"""How the values of a scalar are compared, where not as their JSON is."""

ADDRESS_TYPES = frozenset({"inet", "cidr", "inet4", "inet6"})
"""Ordered by family, network, prefix and host."""

ORDER_OPERATORS = {
    "lt": lambda value, operand: value < operand,
    "lte": lambda value, operand: value <= operand,
    "gt": lambda value, operand: value > operand,
    "gte": lambda value, operand: value >= operand,
}
TEXT_OPERATORS = {
    "contains": lambda value, operand: operand in value,
    "startsWith": lambda value, operand: value.startswith(operand),
    "endsWith": lambda value, operand: value.endswith(operand),
    "iContains": lambda value, operand: operand.casefold() in value.casefold(),
    "iStartsWith": lambda value, operand: value.casefold().startswith(operand.casefold()),
    "iEndsWith": lambda value, operand: value.casefold().endswith(operand.casefold()),
}
OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": lambda value, operand: value == operand,
    "ne": lambda value, operand: value != operand,
    **ORDER_OPERATORS,
    **TEXT_OPERATORS,
}


def rank_address(text: str) -> tuple[int, int, int, int]:
    address = ip_interface(text)
    return address.version, int(address.network.network_address), address.network.prefixlen, int(address.ip)


def read(field: Field, value: Any) -> Any:
    """Return the value as it is compared; an enum's by its place."""
    if field.enum_values:
        return field.enum_values.index(value)
    if field.sql in ADDRESS_TYPES:
        return rank_address(value)
    return READ.get(field.type, lambda same: same)(value)


def matches(field: Field, operator: str, operand: Any, row: Row) -> bool:
    """Whether the row is found."""
    value = row[field.name]
    if operator == "isNull":
        return (value is None) is operand
    if value is None:
        return False
    if operator in ("in", "notIn"):
        return (read(field, value) in [read(field, item) for item in operand]) is (operator == "in")
    compare = OPERATORS[operator]
    return compare(value, operand) if operator in TEXT_OPERATORS else compare(read(field, value), read(field, operand))


def draw_filters(field: Field, rows: Sequence[Row]) -> Iterator[tuple[str, Any]]:
    """Yield the operators that the field has, each with operands that are shown somewhere."""
    values = list({str(value): value for row in rows if (value := row[field.name]) is not None}.values())[:4]
    yield from ((operator, True) for operator in field.operators & {"isNull"})
    for operator in sorted(field.operators & OPERATORS.keys()):
        parts = [part for value in values for part in _cut(value)] if operator in TEXT_OPERATORS else []
        yield from ((operator, value) for value in dict.fromkeys([*values, *parts]))
    if values:
        yield from ((operator, values[:2]) for operator in sorted(field.operators & {"in", "notIn"}))


def _cut(value: str) -> Iterator[str]:
    """Yield parts of a text: its first and last character, and these in the other case."""
    yield from (value[:1], value[-1:], value[:1].swapcase(), value[-1:].swapcase())


def is_ordered_by_value(field: Field) -> bool:
    """Whether the order of a field is that of what is shown; of others only that there is one order is known.

    A text that a check limits to some values is shown as an enum, and ordered as the text that it is.
    """
    return field.type != "ID" and "CHECK" not in field.sql


def sort(rows: Sequence[Row], field: Field, *, descending: bool) -> list[Any]:
    """Return the values in their order, nulls last; rows of the same value may come in any order of their keys."""
    values = [read(field, row[field.name]) for row in rows if row[field.name] is not None]
    return sorted(values, reverse=descending) + [None] * (len(rows) - len(values))


def count_groups(field: Field, rows: Sequence[Row]) -> Counter[Any]:
    return Counter(None if row[field.name] is None else read(field, row[field.name]) for row in rows)


def aggregate(function: str, field: Field, rows: Sequence[Row]) -> Any:
    """Return count, distinct count, least or greatest as a value that is compared."""
    values = [read(field, row[field.name]) for row in rows if row[field.name] is not None]
    match function:
        case "count":
            return len(values)
        case "countDistinct":
            return len(set(values))
        case "min":
            return min(values, default=None)
        case _:
            return max(values, default=None)
