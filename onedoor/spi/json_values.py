"""Values in, JSON out, and back: every kind of value comes back as it went, and JSON can make nothing but values."""

from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from math import isfinite
from typing import Any

INTEGER_BOUND = 2**63

JSON_TYPES = frozenset({str, bool, type(None)})


def encode_json_value(value: Any) -> Any:
    """JSON for what JSON has, else [kind, text]; TypeError or KeyError for what is no value of a row."""
    kind = type(value)
    if kind in JSON_TYPES:
        return value
    if kind is int:
        return value if -INTEGER_BOUND <= value < INTEGER_BOUND else ["integer", str(value)]
    if kind is float:
        return value if isfinite(value) else ["float", str(value)]
    if kind is tuple:
        return ["list", [encode_json_value(each) for each in value]]
    if kind is datetime and value.tzinfo is None:
        raise TypeError("a time without a zone is not kept")
    return [JSON_ENCODERS[kind][0], JSON_ENCODERS[kind][1](value)]


def decode_json_value(value: Any) -> Any:
    """ValueError, TypeError or KeyError for what `packed` did not make."""
    if not isinstance(value, list):
        return value
    kind, text = value
    return JSON_DECODERS[kind](text)


JSON_ENCODERS: Mapping[type, tuple[str, Callable[[Any], str]]] = {
    Decimal: ("decimal", str),
    date: ("date", date.isoformat),
    datetime: ("time", datetime.isoformat),
}

JSON_DECODERS: Mapping[str, Callable[[Any], Any]] = {
    "decimal": Decimal,
    "date": date.fromisoformat,
    "time": datetime.fromisoformat,
    "integer": int,
    "float": float,
    "list": lambda inner: tuple(map(decode_json_value, inner)),
}
