"""Read the settings of declared collections: each reader checks one value, and names the setting where it is wrong."""

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from enum import StrEnum
from typing import Any, TypeAlias, TypeVar

import orjson

from onedoor.spi.capabilities import ColumnType

SettingReader: TypeAlias = Callable[[Any, str], Any]
"""Takes a value and the name of its setting, and returns what it means. Raises ValueError."""

SettingsType = TypeVar("SettingsType")

EnumType = TypeVar("EnumType", bound=StrEnum)

LABEL_PATTERN = re.compile(r"(?P<name>[a-z][a-z0-9_]*)(?P<integer>:int)?")


def parse_dataclass_setting(
    settings_type: type[SettingsType], settings: Any, setting: str, readers: Mapping[str, SettingReader]
) -> SettingsType:
    """Build a frozen dataclass from a section, each field by its reader."""
    known = {field.name: field for field in fields(settings_type)}  # type: ignore[arg-type]
    for name in parse_table_setting(settings, setting):
        if name not in known:
            raise ValueError(f"there is no setting `{setting}.{name}`, known are " + ", ".join(sorted(readers)))
    for name, field in known.items():
        if name not in settings and field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"`{setting}.{name}` is missing")
    return settings_type(**{name: readers[name](value, f"{setting}.{name}") for name, value in settings.items()})


def build_dataclass_reader(settings_type: type[Any], **readers: SettingReader) -> SettingReader:
    return lambda value, setting: parse_dataclass_setting(settings_type, value, setting, readers)


def build_table_reader(read_value: SettingReader) -> SettingReader:
    """Build a reader of a section whose values all have one reader."""

    def read_table(value: Any, setting: str) -> Mapping[str, Any]:
        table = parse_table_setting(value, setting)
        return {name: read_value(entry, f"{setting}.{name}") for name, entry in table.items()}

    return read_table


def build_enum_reader(enum: type[EnumType]) -> SettingReader:
    def read_member(value: Any, setting: str) -> EnumType:
        if value not in list(enum):
            raise ValueError(f"`{setting}` must be one of " + ", ".join(f"`{member}`" for member in enum))
        return enum(value)

    return read_member


def parse_table_setting(value: Any, setting: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"`{setting}` must be a section")
    return value


def parse_text_setting(value: Any, setting: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"`{setting}` must be text")
    return value


def parse_text_list_setting(value: Any, setting: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        raise ValueError(f"`{setting}` must be a list of texts")
    return tuple(value)


def parse_count_setting(value: Any, setting: str) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"`{setting}` must be a whole number, not below 0")
    return value


def parse_boolean_setting(value: Any, setting: str) -> bool:
    if type(value) is not bool:
        raise ValueError(f"`{setting}` must be true or false")
    return value


def parse_json_object_setting(value: Any, setting: str) -> Mapping[str, Any]:
    try:
        orjson.dumps(value)
    except TypeError:
        raise ValueError(f"`{setting}` must be what JSON can say") from None
    return parse_table_setting(value, setting)


def parse_headers_setting(headers: Mapping[str, Any] | None) -> dict[str, str]:
    return {name: parse_text_setting(value, f"headers.{name}") for name, value in (headers or {}).items()}


def parse_labels(labels: tuple[str, ...], reserved: frozenset[str]) -> dict[str, ColumnType] | None:
    """Parse `service` as a text column and `customer_id:int` as one of whole numbers.

    Returns None when one is no label, is reserved or stands there twice.
    """
    columns: dict[str, ColumnType] = {}
    for label in labels:
        match = LABEL_PATTERN.fullmatch(label)
        if match is None or match["name"] in columns or match["name"] in reserved:
            return None
        columns[match["name"]] = ColumnType.INTEGER if match["integer"] else ColumnType.TEXT
    return columns
