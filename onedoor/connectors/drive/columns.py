"""Read the columns of files and folders from the items of Drive, and say which fields each column needs."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from onedoor.connectors.drive.client import DriveItem
from onedoor.connectors.drive.folders import LOCATION_FIELDS, get_parent_id
from onedoor.connectors.drive.search import SEARCHABLE_COLUMNS
from onedoor.connectors.files.model import MAX_KEYS, list_leading_columns
from onedoor.connectors.path_patterns import PathPattern
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.predicates import Value

GOOGLE_MEDIA_TYPE_PREFIX = "application/vnd.google-apps."
"""Begins the media types of items without bytes of their own: Docs, Sheets, folders, shortcuts."""

PATH_COLUMN = "path"
"""The column that follows from the folders, not from the item alone; so do those of the path pattern."""

ID_KEY, PARENT_KEY, OWNER_KEY = ("id",), ("parent_id",), ("owner_email",)


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveColumn:
    """A column that is read from `fields` of an item."""

    type: ColumnType
    fields: tuple[str, ...]
    read: Callable[[DriveItem], Value]


DriveColumns: TypeAlias = Mapping[str, DriveColumn]


def read_size(item: DriveItem) -> int | None:
    """Return None for what is exported, as Drive's own figure is not the size of the export."""
    return None if item["mimeType"].startswith(GOOGLE_MEDIA_TYPE_PREFIX) or "size" not in item else int(item["size"])


def read_version(item: DriveItem) -> str:
    """Return the revision of the content; for Docs and Sheets, a version that changes with name and rights too."""
    return str(item.get("headRevisionId") or item["version"])


def read_owner_email(item: DriveItem) -> str | None:
    """Return None in a shared drive, where nobody owns a file."""
    owners = item.get("owners") or [{}]
    return owners[0].get("emailAddress") or None


def parse_drive_time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


FILE_COLUMNS: DriveColumns = {
    "id": DriveColumn(type=ColumnType.TEXT, fields=("id",), read=lambda item: str(item["id"])),
    "name": DriveColumn(type=ColumnType.TEXT, fields=("name",), read=lambda item: str(item["name"])),
    "size": DriveColumn(type=ColumnType.INTEGER, fields=("size", "mimeType"), read=read_size),
    "content_type": DriveColumn(type=ColumnType.TEXT, fields=("mimeType",), read=lambda item: str(item["mimeType"])),
    "modified": DriveColumn(
        type=ColumnType.TIME, fields=("modifiedTime",), read=lambda item: parse_drive_time(item["modifiedTime"])
    ),
    "version": DriveColumn(type=ColumnType.TEXT, fields=("headRevisionId", "version"), read=read_version),
    "owner_email": DriveColumn(type=ColumnType.TEXT, fields=("owners(emailAddress)",), read=read_owner_email),
    "parent_id": DriveColumn(type=ColumnType.TEXT, fields=("parents",), read=get_parent_id),
    "link": DriveColumn(type=ColumnType.TEXT, fields=("webViewLink",), read=lambda item: item.get("webViewLink")),
}

FOLDER_COLUMNS: DriveColumns = {name: FILE_COLUMNS[name] for name in ("id", "name", "parent_id")}


def list_item_fields(columns: DriveColumns, names: Iterable[str], *, with_location: bool) -> set[str]:
    """Return the fields that the named columns need, and those that a path needs if asked for."""
    fields = {field for name in names if name in columns for field in columns[name].fields}
    return {*fields, *(LOCATION_FIELDS if with_location else ())}


def build_files_capabilities(pattern: PathPattern | None) -> Capabilities:
    """Return the columns that every store has, then Drive's, then the pattern's except those of the same name."""
    columns = {
        "id": Column(ColumnType.TEXT),
        PATH_COLUMN: Column(ColumnType.TEXT),
        **{
            name: Column(column.type, SEARCHABLE_COLUMNS[name][0] if name in SEARCHABLE_COLUMNS else frozenset())
            for name, column in FILE_COLUMNS.items()
        },
    }
    keys: set[tuple[str, ...]] = {ID_KEY, PARENT_KEY, OWNER_KEY}
    if pattern is None:
        return Capabilities(columns=columns, max_keys=MAX_KEYS, key_columns=frozenset(keys))
    further = {name: Column(type) for name, type in pattern.columns.items() if name not in columns}
    keys.update(list_leading_columns(pattern, tuple(columns)))
    return Capabilities(columns={**columns, **further}, max_keys=MAX_KEYS, key_columns=frozenset(keys))


def build_folders_capabilities() -> Capabilities:
    columns = {name: Column(column.type) for name, column in FOLDER_COLUMNS.items()}
    return Capabilities(
        columns={**columns, PATH_COLUMN: Column(ColumnType.TEXT)},
        max_keys=MAX_KEYS,
        key_columns=frozenset({ID_KEY, PARENT_KEY}),
    )
