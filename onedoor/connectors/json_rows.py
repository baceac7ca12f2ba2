"""Turn items of JSON into rows of declared columns, and write keys and filters as an API takes them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, TypeAlias

from onedoor.connectors.setting_readers import (
    SettingReader,
    build_enum_reader,
    parse_dataclass_setting,
    parse_table_setting,
    parse_text_list_setting,
    parse_text_setting,
)
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.flaws import FLAWS, ConvertedColumn, convert_column, mark_flaws
from onedoor.spi.predicates import Row, Value, split_conjuncts
from onedoor.spi.scan import ScanRequest

JsonPath: TypeAlias = tuple[str, ...]
"""The steps to a place in a JSON value; the empty path is the value itself."""

JsonItem: TypeAlias = Any
"""An object, or a text or number where a collection has nothing else."""

LAST_ITEM = "-1"
"""The step to the last item of a list."""

SENDABLE_TYPES = frozenset({ColumnType.TEXT, ColumnType.INTEGER, ColumnType.BOOLEAN, ColumnType.DATE})
"""Types whose values can be written in one way only, so that they can be keys and filters."""

MAX_KEYS_PER_SCAN = 1000
"""The keys of one scan, which may be sent in several calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonColumn:
    """A column of a declared collection: its type, and its place in an item."""

    kind: ColumnType
    at: JsonPath


def convert_rows(
    items: Sequence[JsonItem],
    columns: Sequence[str],
    declared: Mapping[str, JsonColumn],
    constants: Mapping[str, Value] | None = None,
) -> list[Row]:
    """Convert items to rows; a column among `constants` has that value in every row.

    A value that does not have the declared type is null in a FlawedRow.
    """
    if not columns:
        return [()] * len(items)
    constants, flaws_by_place = constants or {}, dict[int, Mapping[int, str]]()
    converted: list[Sequence[Value]] = []
    for place, name in enumerate(columns):
        if name in constants:
            converted.append([constants[name]] * len(items))
            continue
        column = _convert_column(items, declared[name])
        converted.append(column.values)
        if column.flaws:
            flaws_by_place[place] = column.flaws
    rows = list(zip(*converted, strict=True))
    return mark_flaws(rows, flaws_by_place) if flaws_by_place else rows


def filter_items(
    items: Sequence[JsonItem], request: ScanRequest, convert: Callable[[Sequence[JsonItem], Sequence[str]], list[Row]]
) -> Sequence[JsonItem]:
    """Return the items that meet keys and filter; `convert` gives the rows of items for some columns."""
    if request.keys is not None:
        requested_keys = frozenset(request.keys.values)
        keys = convert(items, request.keys.columns)
        items = [item for item, key in zip(items, keys, strict=True) if key in requested_keys]
    equalities = {comparison.column: comparison.value for comparison in split_conjuncts(request.filter)}
    if equalities:
        rows, values = convert(items, tuple(equalities)), tuple(equalities.values())
        items = [item for item, row in zip(items, rows, strict=True) if row == values]
    return items


def find_equalities(request: ScanRequest) -> dict[str, Value] | None:
    """Return the value that the filter demands of each column; None when no row can meet the request.

    Filters are conjunctions of equalities, as the declared collections promise nothing else.
    """
    comparisons = list(split_conjuncts(request.filter))
    equalities = {comparison.column: comparison.value for comparison in comparisons}
    if any(equalities[comparison.column] != comparison.value for comparison in comparisons):
        return None
    return None if request.keys is not None and not request.keys.values else equalities


def extract_at_path(value: Any, path: JsonPath) -> Any:
    """Return what lies at a path; a step into a list is a place from 0 on, or -1. None when a step is missing."""
    for step in path:
        if isinstance(value, Mapping):
            value = value.get(step)
        elif isinstance(value, list) and step == LAST_ITEM:
            value = value[-1] if value else None
        elif isinstance(value, list) and step.isdecimal() and step.isascii():
            value = value[int(step)] if int(step) < len(value) else None
        else:
            return None
    return value


def _convert_column(items: Sequence[JsonItem], column: JsonColumn) -> ConvertedColumn:
    values = (
        [item.get(column.at[0]) for item in items]
        if len(column.at) == 1
        else [extract_at_path(item, column.at) for item in items]
    )
    if set(map(type, values)) <= NATIVE_JSON_TYPES[column.kind]:
        return ConvertedColumn(values=values)
    return convert_column(values, CONVERTERS[column.kind], FLAWS[column.kind])


def _convert_text(value: Any) -> str:
    return str(value) if type(value) is int else str(_require_type(value, str))


def _convert_integer(value: Any) -> int:
    """Accept text too: numbers beyond the range of JavaScript often come as text."""
    if isinstance(value, str) and value.removeprefix("-").isdecimal() and value.isascii():
        return int(value)
    return int(_require_type(value, int))


def _convert_float(value: Any) -> float:
    return float(value) if type(value) is int else _require_type(value, float)


def _convert_decimal(value: Any) -> Decimal:
    """Convert text exactly; a number is what it shows, up to 15 digits."""
    if isinstance(value, str):
        text = value
    else:
        text = str(_convert_float(value) if type(value) is float else _convert_integer(value))
    decimal = Decimal(text)
    if not decimal.is_finite():
        raise ValueError
    return decimal


def _convert_boolean(value: Any) -> bool:
    return bool(_require_type(value, bool))


def _convert_date(value: Any) -> date:
    return date.fromisoformat(_require_type(value, str))


def _convert_time(value: Any) -> datetime:
    """Refuse a time without a zone: nobody knows when it was."""
    time = datetime.fromisoformat(_require_type(value, str))
    if time.tzinfo is None:
        raise ValueError
    return time.astimezone(UTC)


def _convert_list(value: Any) -> tuple[str, ...]:
    return tuple(_convert_text(entry) for entry in _require_type(value, list))


def _require_type(value: Any, expected_type: type[Any]) -> Any:
    if type(value) is not expected_type:
        raise TypeError
    return value


NULL_TYPE = type(None)

NATIVE_JSON_TYPES: Mapping[ColumnType, frozenset[type[Any]]] = {
    ColumnType.TEXT: frozenset({str, NULL_TYPE}),
    ColumnType.INTEGER: frozenset({int, NULL_TYPE}),
    ColumnType.FLOAT: frozenset({float, NULL_TYPE}),
    ColumnType.DECIMAL: frozenset({NULL_TYPE}),
    ColumnType.BOOLEAN: frozenset({bool, NULL_TYPE}),
    ColumnType.DATE: frozenset({NULL_TYPE}),
    ColumnType.TIME: frozenset({NULL_TYPE}),
    ColumnType.LIST: frozenset({NULL_TYPE}),
}
"""By column type, the Python types of JSON values that need no conversion."""

CONVERTERS: Mapping[ColumnType, Callable[[Any], Value]] = {
    ColumnType.TEXT: _convert_text,
    ColumnType.INTEGER: _convert_integer,
    ColumnType.FLOAT: _convert_float,
    ColumnType.DECIMAL: _convert_decimal,
    ColumnType.BOOLEAN: _convert_boolean,
    ColumnType.DATE: _convert_date,
    ColumnType.TIME: _convert_time,
    ColumnType.LIST: _convert_list,
}


def encode_url_values(values: Iterable[Value]) -> list[str] | None:
    """Write values as they stand in a URL; None when one cannot stand there and mean itself."""
    texts = [_encode_url_value(value) for value in values]
    return texts if all(text and _is_utf8(text) for text in texts) else None


def _encode_url_value(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, date) else str(value)


def _is_utf8(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value


def parse_json_path_setting(value: Any, setting: str) -> JsonPath:
    """Split `data.items` into its steps; an empty text is the empty path. A list has the steps apart, dots and all."""
    if isinstance(value, list):
        return parse_text_list_setting(value, setting)
    return tuple(step for step in parse_text_setting(value, setting).split(".") if step)


def build_json_path_setting(path: JsonPath) -> str | list[str]:
    """Return the setting that `parse_json_path_setting` reads as the path."""
    return list(path) if any("." in step or not step for step in path) else ".".join(path)


def parse_json_column_setting(value: Any, setting: str) -> JsonColumn:
    """Read a column; a type alone means that the column lies where its name says."""
    section = {"kind": value} if isinstance(value, str) else parse_table_setting(value, setting)
    return parse_dataclass_setting(
        JsonColumn, {"at": setting.rpartition(".")[2], **section}, setting, JSON_COLUMN_READERS
    )


JSON_COLUMN_READERS: Mapping[str, SettingReader] = {
    "kind": build_enum_reader(ColumnType),
    "at": parse_json_path_setting,
}
