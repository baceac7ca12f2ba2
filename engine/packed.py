"""Values in, JSON out, and back: every kind of value comes back as it went, and JSON can make nothing but values."""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from math import isfinite
from typing import Any

LARGEST = 2**63
PLAIN = frozenset({str, bool, type(None)})


def packed(value: Any) -> Any:
    """JSON for what JSON has, else [kind, text]; TypeError or KeyError for what is no value of a row."""
    kind = type(value)
    if kind in PLAIN:
        return value
    if kind is int:
        return value if -LARGEST <= value < LARGEST else ["integer", str(value)]
    if kind is float:
        return value if isfinite(value) else ["float", str(value)]
    if kind is tuple:
        return ["list", [packed(each) for each in value]]
    if kind is datetime and value.tzinfo is None:
        raise TypeError("a time without a zone is not kept")
    return [PACKED[kind][0], PACKED[kind][1](value)]


def unpacked(value: Any) -> Any:
    """ValueError, TypeError or KeyError for what `packed` did not make."""
    if not isinstance(value, list):
        return value
    kind, text = value
    return UNPACKED[kind](text)


PACKED: Mapping[type, tuple[str, Callable[[Any], str]]] = {
    Decimal: ("decimal", str),
    date: ("date", date.isoformat),
    datetime: ("time", datetime.isoformat),
}
UNPACKED: Mapping[str, Callable[[Any], Any]] = {
    "decimal": Decimal,
    "date": date.fromisoformat,
    "time": datetime.fromisoformat,
    "integer": int,
    "float": float,
    "list": lambda inner: tuple(map(unpacked, inner)),
}
