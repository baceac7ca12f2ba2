"""Encode values as JSON and decode them to the same values; JSON can make nothing but values.

`encode_json_value` takes the values of a row, `JsonCodec` takes objects and lists that hold such values.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from math import isfinite
from typing import Any, TypeAlias

from onedoor.spi.text_types import RankedText

INTEGER_BOUND = 2**63

JSON_TYPES = frozenset({str, bool, type(None)})

EncodeValue: TypeAlias = Callable[[Any], Any]


def encode_json_value(value: Any) -> Any:
    """Return JSON for what JSON has, else `[kind, text]`.

    Raises TypeError or KeyError for what is no value of a row.
    """
    kind = type(value)
    if kind in JSON_TYPES:
        return value
    if kind is int:
        return value if -INTEGER_BOUND <= value < INTEGER_BOUND else ["integer", str(value)]
    if kind is float:
        return value if isfinite(value) else ["float", str(value)]
    if kind is tuple:
        return ["list", [encode_json_value(item) for item in value]]
    if kind is datetime and value.tzinfo is None:
        raise TypeError("a time without a zone cannot be stored")
    return [JSON_ENCODERS[kind][0], JSON_ENCODERS[kind][1](value)]


def decode_json_value(value: Any) -> Any:
    """Return the value that `encode_json_value` encoded.

    Raises ValueError, TypeError or KeyError for other JSON.
    """
    if not isinstance(value, list):
        return value
    kind, text = value
    return JSON_DECODERS[kind](text)


JSON_ENCODERS: Mapping[type, tuple[str, Callable[[Any], Any]]] = {
    Decimal: ("decimal", str),
    date: ("date", date.isoformat),
    datetime: ("time", datetime.isoformat),
    RankedText: ("ranked", lambda text: [str(text), text.rank]),
}

JSON_DECODERS: Mapping[str, Callable[[Any], Any]] = {
    "decimal": Decimal,
    "date": date.fromisoformat,
    "time": datetime.fromisoformat,
    "integer": int,
    "float": float,
    "ranked": lambda parts: RankedText(*parts),
    "list": lambda items: tuple(map(decode_json_value, items)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonCodec:
    """Encode objects and lists, however deep, over values. The tags are stored, so those of a format never change."""

    list_tag: str
    object_tag: str | None
    """None: an object is stored as a plain JSON object."""
    list_type: type[list[Any]] | type[tuple[Any, ...]]
    """What a list is decoded to."""
    encode_scalar: EncodeValue = encode_json_value

    def encode(self, value: Any) -> Any:
        """Return JSON for an object, a list or a value.

        Raises TypeError or KeyError for what is none of these, such as an object whose names are not text.
        """
        if isinstance(value, Mapping):
            members = {_check_name(name): self.encode(member) for name, member in value.items()}
            return members if self.object_tag is None else [self.object_tag, members]
        if isinstance(value, list | tuple):
            return [self.list_tag, [self.encode(item) for item in value]]
        return self.encode_scalar(value)

    def decode(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self.decode(member) for name, member in value.items()}
        if not isinstance(value, list):
            return value
        tag, content = value
        if tag == self.list_tag:
            return self.list_type(map(self.decode, content))
        return self.decode(content) if tag == self.object_tag else decode_json_value(value)


def _check_name(name: Any) -> str:
    if not isinstance(name, str):
        raise KeyError(name)
    return name
