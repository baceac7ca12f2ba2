"""Encode single values as a spill table stores them, and decode them; decimals are encoded with their column."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from onedoor.spi.capabilities import ColumnType, ValueType
from onedoor.spi.json_values import decode_json_value, encode_json_value
from onedoor.spi.text_types import RankedText, TextType

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

MICROSECOND = timedelta(microseconds=1)

RANK_END = "\0"


def encode_text(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")


def decode_text(value: bytes) -> str:
    return value.decode("utf-8", "surrogatepass")


def encode_list(items: Sequence[Any]) -> bytes:
    """Encode a list as JSON, in which equal lists are equal and a lone surrogate is escaped."""
    return json.dumps([encode_json_value(item) for item in items]).encode("ascii")


def decode_list(value: bytes) -> tuple[Any, ...]:
    return tuple(map(decode_json_value, json.loads(value)))


def encode_ranked_text(value: RankedText) -> bytes:
    """Encode a text after its rank, so that it is sorted by that: the ranks of a type are equally long."""
    return encode_text(f"{value.rank}{RANK_END}{value}")


def decode_ranked_text(value: bytes) -> RankedText:
    rank, _, text = decode_text(value).partition(RANK_END)
    return RankedText(text, rank)


def encode_time(value: datetime) -> int:
    return (value - EPOCH) // MICROSECOND


ENCODERS: Mapping[ColumnType, Callable[[Any], Any]] = {
    ColumnType.TEXT: encode_text,
    ColumnType.TIME: encode_time,
    ColumnType.LIST: encode_list,
}

DECODERS: Mapping[ColumnType, Callable[[Any], Any]] = {
    ColumnType.TEXT: decode_text,
    ColumnType.TIME: lambda value: EPOCH + value * MICROSECOND,
    ColumnType.LIST: decode_list,
}


def get_encoder(value_type: ValueType) -> Callable[[Any], Any] | None:
    if isinstance(value_type, TextType):
        return encode_ranked_text if value_type.is_ranked else encode_text
    return ENCODERS.get(value_type)


def get_decoder(value_type: ValueType) -> Callable[[Any], Any] | None:
    if isinstance(value_type, TextType):
        return decode_ranked_text if value_type.is_ranked else decode_text
    return DECODERS.get(value_type)
