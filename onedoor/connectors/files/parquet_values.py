"""Turn columns of Arrow into values that JSON can hold, and name what it cannot."""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from math import isfinite
from typing import Any, TypeAlias
from uuid import UUID

import pyarrow
from pyarrow import compute, types

from onedoor.connectors.files.row_selection import rename_duplicates

MAX_EXACT_INTEGER = 2**53
"""The largest integer that JSON readers are sure to hold exactly."""

EPOCH = datetime(1970, 1, 1)

UNITS_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

SECONDS_PER_DAY = 86_400

INTERVAL = struct.Struct("<III")
"""Months, days and milliseconds, as Parquet stores an interval."""

UUID_BYTES = 16

NO_FINITE_NUMBER = "a number that is not finite"
NO_DAY = "a day outside the years 1 to 9999"
NO_MOMENT = "a time outside the years 1 to 9999"
NO_TIME_OF_DAY = "a time of day that is none"
NO_TEXT = "bytes that are no text in UTF-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """Stands for a value that JSON cannot hold: its row has null in its place."""

    column: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeafColumn:
    """What the file says of a column besides its Arrow type; "NONE" where it says nothing."""

    logical_type: str = "NONE"


ColumnConverter: TypeAlias = Callable[[Any], list[Any]]
"""Converts an array to values that JSON can hold, and to Flaws."""


def build_column_converter(name: str, arrow_type: Any, leaves: Iterator[LeafColumn]) -> ColumnConverter:
    """Build the converter of one column; `leaves` are those of the file, in order, of which it takes its own."""
    if isinstance(arrow_type, pyarrow.BaseExtensionType):
        convert_storage = build_column_converter(name, arrow_type.storage_type, leaves)
        return lambda array: convert_storage(array.storage)
    if types.is_dictionary(arrow_type):
        return _build_dictionary_converter(build_column_converter(name, arrow_type.value_type, leaves))
    if types.is_struct(arrow_type):
        return _build_struct_converter(name, arrow_type, leaves)
    if types.is_map(arrow_type):
        return _build_map_converter(name, arrow_type, leaves)
    if is_list(arrow_type):
        return _build_list_converter(build_column_converter(name, arrow_type.value_type, leaves))
    return _build_leaf_converter(name, arrow_type, next(leaves))


def is_list(arrow_type: Any) -> bool:
    return bool(
        types.is_list(arrow_type)
        or types.is_large_list(arrow_type)
        or types.is_fixed_size_list(arrow_type)
        or types.is_list_view(arrow_type)
        or types.is_large_list_view(arrow_type)
    )


def _build_dictionary_converter(convert_values: ColumnConverter) -> ColumnConverter:
    """Convert each value that is there once, however often it comes."""

    def convert(array: Any) -> list[Any]:
        indices = array.indices.to_pylist()
        used = sorted({index for index in indices if index is not None})
        values = dict(
            zip(used, convert_values(array.dictionary.take(pyarrow.array(used, pyarrow.int64()))), strict=True)
        )
        return [None if index is None else values[index] for index in indices]

    return convert


def _build_struct_converter(name: str, arrow_type: Any, leaves: Iterator[LeafColumn]) -> ColumnConverter:
    """Convert to objects; of members with one name, the later ones are renamed."""
    fields = [arrow_type.field(index) for index in range(arrow_type.num_fields)]
    member_names = rename_duplicates([field.name for field in fields])
    converters = [
        build_column_converter(f"{name}.{member_name}", field.type, leaves)
        for member_name, field in zip(member_names, fields, strict=True)
    ]

    def convert(array: Any) -> list[Any]:
        members = [convert_member(part) for convert_member, part in zip(converters, array.flatten(), strict=True)]
        rows = zip(*members, strict=True) if members else iter([()] * len(array))
        return [
            dict(zip(member_names, row, strict=True)) if is_valid else None
            for row, is_valid in zip(rows, array.is_valid().to_pylist(), strict=True)
        ]

    return convert


def _build_map_converter(name: str, arrow_type: Any, leaves: Iterator[LeafColumn]) -> ColumnConverter:
    """Convert to lists of pairs, as the keys of a map may be of any type, and may come twice."""
    convert_keys = build_column_converter(name, arrow_type.key_type, leaves)
    convert_items = build_column_converter(name, arrow_type.item_type, leaves)
    pair_fields = [pyarrow.field("key", arrow_type.key_type), pyarrow.field("value", arrow_type.item_type)]
    list_type = pyarrow.list_(pyarrow.struct(pair_fields))

    def convert_pairs(array: Any) -> list[Any]:
        keys, items = array.flatten()
        return [list(pair) for pair in zip(convert_keys(keys), convert_items(items), strict=True)]

    convert_list = _build_list_converter(convert_pairs)
    return lambda array: convert_list(array.cast(list_type))


def _build_list_converter(convert_items: ColumnConverter) -> ColumnConverter:
    def convert(array: Any) -> list[Any]:
        items = iter(convert_items(array.flatten()))
        lengths = compute.list_value_length(array).to_pylist()
        return [None if length is None else list(islice(items, length)) for length in lengths]

    return convert


def _build_leaf_converter(name: str, arrow_type: Any, leaf: LeafColumn) -> ColumnConverter:
    """Convert values that hold no others."""
    if types.is_boolean(arrow_type) or types.is_null(arrow_type):
        return convert_as_is
    if types.is_integer(arrow_type):
        return convert_integers
    if types.is_string(arrow_type) or types.is_large_string(arrow_type) or types.is_string_view(arrow_type):
        return _build_text_converter(name)
    build_decoder = next((build for has_type, build in DECODERS if has_type(arrow_type)), None)
    if build_decoder is None:
        flaw = Flaw(column=name, reason=f"values of the type `{arrow_type}`, which JSON has no form for")
        return lambda array: [flaw if is_valid else None for is_valid in array.is_valid().to_pylist()]
    return _build_value_converter(name, build_decoder(arrow_type, leaf))


def convert_as_is(array: Any) -> list[Any]:
    values: list[Any] = array.to_pylist()
    return values


def convert_integers(array: Any) -> list[Any]:
    """Return integers, those that readers of JSON may not hold exactly as text."""
    return [
        value if value is None or -MAX_EXACT_INTEGER <= value <= MAX_EXACT_INTEGER else str(value)
        for value in array.to_pylist()
    ]


def _build_text_converter(name: str) -> ColumnConverter:
    """Return text at once; where some of it is none in UTF-8, value by value."""
    convert_bytes = _build_value_converter(name, _build_bytes_decoder(None, LeafColumn()))

    def convert(array: Any) -> list[Any]:
        try:
            return convert_as_is(array)
        except UnicodeDecodeError:
            binary = pyarrow.large_binary() if types.is_large_string(array.type) else pyarrow.binary()
            return convert_bytes(array.cast(binary))

    return convert


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueDecoder:
    """Decodes an array to Python's values, then each of them to what JSON can hold, or None if it can hold none."""

    list_values: Callable[[Any], list[Any]]
    decode: Callable[[Any], Any]
    flaw: str


def _build_value_converter(name: str, decoder: ValueDecoder) -> ColumnConverter:
    flaw, decode = Flaw(column=name, reason=decoder.flaw), decoder.decode

    def convert_value(value: Any) -> Any:
        decoded = decode(value)
        return flaw if decoded is None else decoded

    return lambda array: [None if value is None else convert_value(value) for value in decoder.list_values(array)]


def _build_float_decoder(arrow_type: Any, leaf: LeafColumn) -> ValueDecoder:
    """Decode floats, those of 32 bits by their shortest text, as wider ones they would be other numbers."""
    list_values = convert_as_is
    if types.is_float32(arrow_type):

        def list_values(array: Any) -> list[Any]:
            return [None if text is None else float(text) for text in array.cast(pyarrow.string()).to_pylist()]

    return ValueDecoder(
        list_values=list_values, decode=lambda value: value if isfinite(value) else None, flaw=NO_FINITE_NUMBER
    )


def _build_decimal_decoder(arrow_type: Any, leaf: LeafColumn) -> ValueDecoder:
    return ValueDecoder(list_values=convert_as_is, decode=lambda value: format(value, "f"), flaw=NO_FINITE_NUMBER)


def _build_date_decoder(arrow_type: Any, leaf: LeafColumn) -> ValueDecoder:
    days = 1 if types.is_date32(arrow_type) else SECONDS_PER_DAY * 1000
    return ValueDecoder(
        list_values=_list_numbers(pyarrow.int32() if days == 1 else pyarrow.int64()),
        decode=lambda value: format_day(value // days),
        flaw=NO_DAY,
    )


def _build_timestamp_decoder(arrow_type: Any, leaf: LeafColumn) -> ValueDecoder:
    unit, suffix = arrow_type.unit, "" if arrow_type.tz is None else "Z"

    def decode(value: int) -> str | None:
        text = format_moment(value, unit)
        return None if text is None else text + suffix

    return ValueDecoder(list_values=_list_numbers(pyarrow.int64()), decode=decode, flaw=NO_MOMENT)


def convert_int96(name: str, precise: Any, coarse: Any) -> list[Any]:
    """Convert moments read in nanoseconds and in microseconds: the precise ones where they have not overflowed."""
    flaw = Flaw(column=name, reason=NO_MOMENT)
    list_numbers = _list_numbers(pyarrow.int64())

    def convert(nanoseconds: int, microseconds: int) -> str | Flaw:
        is_precise = nanoseconds // 1000 == microseconds
        return (format_moment(nanoseconds, "ns") if is_precise else format_moment(microseconds, "us")) or flaw

    pairs = zip(list_numbers(precise), list_numbers(coarse), strict=True)
    return [None if nanoseconds is None else convert(nanoseconds, microseconds) for nanoseconds, microseconds in pairs]


def _build_time_decoder(arrow_type: Any, leaf: LeafColumn) -> ValueDecoder:
    number_type = pyarrow.int32() if types.is_time32(arrow_type) else pyarrow.int64()
    unit = arrow_type.unit
    return ValueDecoder(
        list_values=_list_numbers(number_type),
        decode=lambda value: format_time_of_day(value, unit),
        flaw=NO_TIME_OF_DAY,
    )


def _build_duration_decoder(arrow_type: Any, leaf: LeafColumn) -> ValueDecoder:
    unit = arrow_type.unit
    return ValueDecoder(
        list_values=_list_numbers(pyarrow.int64()), decode=lambda value: format_duration(value, unit), flaw=NO_MOMENT
    )


def _build_bytes_decoder(arrow_type: Any, leaf: LeafColumn) -> ValueDecoder:
    """Decode bytes by what the file says they are, else as the text that they may be."""
    decode, flaw = BYTES_DECODERS.get(leaf.logical_type, (decode_text, NO_TEXT))
    return ValueDecoder(list_values=convert_as_is, decode=decode, flaw=flaw)


def _list_numbers(number_type: Any) -> Callable[[Any], list[Any]]:
    return lambda array: convert_as_is(array.view(number_type))


def format_day(days: int) -> str | None:
    try:
        return (EPOCH + timedelta(days=days)).date().isoformat()
    except OverflowError:
        return None


def format_moment(value: int, unit: str) -> str | None:
    """Return a count of units since 1970 by ISO 8601, with as many decimals as it has."""
    seconds, fraction = divmod(value, UNITS_PER_SECOND[unit])
    try:
        return (EPOCH + timedelta(seconds=seconds)).isoformat() + format_fraction(fraction, unit)
    except OverflowError:
        return None


def format_time_of_day(value: int, unit: str) -> str | None:
    seconds, fraction = divmod(value, UNITS_PER_SECOND[unit])
    if not 0 <= seconds < SECONDS_PER_DAY:
        return None
    return (EPOCH + timedelta(seconds=seconds)).time().isoformat() + format_fraction(fraction, unit)


def format_duration(value: int, unit: str) -> str:
    """Return a duration by ISO 8601, in seconds."""
    seconds, fraction = divmod(abs(value), UNITS_PER_SECOND[unit])
    return f"{'-' if value < 0 else ''}PT{seconds}{format_fraction(fraction, unit)}S"


def format_fraction(fraction: int, unit: str) -> str:
    """Return a fraction of a second with six decimals, nine where six do not show it, and none where it is 0."""
    nanoseconds = fraction * (10**9 // UNITS_PER_SECOND[unit])
    if nanoseconds % 1000:
        return f".{nanoseconds:09}"
    return f".{nanoseconds // 1000:06}" if nanoseconds else ""


def decode_text(value: bytes) -> str | None:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def decode_uuid(value: bytes) -> str | None:
    return str(UUID(bytes=value)) if len(value) == UUID_BYTES else None


def decode_interval(value: bytes) -> str | None:
    if len(value) != INTERVAL.size:
        return None
    months, days, milliseconds = INTERVAL.unpack(value)
    return f"P{months}M{days}D{format_duration(milliseconds, 'ms').removeprefix('P')}"


BYTES_DECODERS: Mapping[str, tuple[Callable[[bytes], str | None], str]] = {
    "UUID": (decode_uuid, "bytes that are no UUID"),
    "INTERVAL": (decode_interval, "bytes that are no interval"),
    "BSON": (lambda value: None, "BSON"),
    "GEOMETRY": (lambda value: None, "a geometry"),
    "GEOGRAPHY": (lambda value: None, "a geography"),
}
"""By logical type of the file: how its values are decoded, and what they are where they cannot be."""

DECODERS: Sequence[tuple[Callable[[Any], bool], Callable[[Any, LeafColumn], ValueDecoder]]] = (
    (types.is_floating, _build_float_decoder),
    (types.is_decimal, _build_decimal_decoder),
    (types.is_date, _build_date_decoder),
    (types.is_timestamp, _build_timestamp_decoder),
    (types.is_time, _build_time_decoder),
    (types.is_duration, _build_duration_decoder),
    (types.is_binary, _build_bytes_decoder),
    (types.is_large_binary, _build_bytes_decoder),
    (types.is_binary_view, _build_bytes_decoder),
    (types.is_fixed_size_binary, _build_bytes_decoder),
)
"""What tells the types of values apart, and builds their decoder."""
