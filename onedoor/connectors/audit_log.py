"""Serve the audit log: its requests, the uses they made of fields, and their changes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from onedoor.audit.reader import read_records
from onedoor.errors import ConfigurationError, ConnectorError
from onedoor.model.mapping import Relationship, TypeMapping
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest

RecordReader = Callable[[Mapping[str, Any]], Any]


def read_record_field(name: str) -> RecordReader:
    return lambda record: record.get(name)


def read_record_list(name: str) -> RecordReader:
    return lambda record: tuple(record.get(name) or ())


def read_record_members(name: str, member: str) -> RecordReader:
    """Return the reader of one member of each object of a list, each value once."""
    return lambda record: tuple(dict.fromkeys(item[member] for item in record.get(name) or ()))


AUDIT_COLUMNS: Mapping[str, tuple[ColumnType, RecordReader]] = {
    "id": (ColumnType.TEXT, read_record_field("id")),
    "time": (ColumnType.TIME, lambda record: datetime.fromisoformat(record["time"])),
    "surface": (ColumnType.TEXT, read_record_field("surface")),
    "outcome": (ColumnType.TEXT, lambda record: record["outcome"].upper()),
    "status": (ColumnType.INTEGER, read_record_field("status")),
    "person_id": (ColumnType.TEXT, read_record_field("person")),
    "key_id": (ColumnType.TEXT, read_record_field("key_id")),
    "secret": (ColumnType.INTEGER, read_record_field("secret")),
    "groups": (ColumnType.LIST, read_record_list("groups")),
    "grants": (ColumnType.LIST, read_record_list("grants")),
    "operation": (ColumnType.TEXT, read_record_field("operation")),
    "operation_hash": (ColumnType.TEXT, read_record_field("operation_hash")),
    "text": (ColumnType.TEXT, read_record_field("text")),
    "variables": (
        ColumnType.TEXT,
        lambda record: orjson.dumps(record["variables"]).decode() if record["variables"] else None,
    ),
    "fields": (ColumnType.LIST, read_record_list("fields")),
    "fields_used": (ColumnType.LIST, read_record_list("fields_used")),
    "fields_withheld": (ColumnType.LIST, read_record_members("withheld", "field")),
    "fields_attempted": (ColumnType.LIST, read_record_list("attempted")),
    "sources": (ColumnType.LIST, read_record_members("sources", "source")),
    "rows": (ColumnType.INTEGER, read_record_field("rows")),
    "bytes": (ColumnType.INTEGER, read_record_field("bytes")),
    "ms": (ColumnType.FLOAT, read_record_field("ms")),
    "schema_version": (ColumnType.TEXT, read_record_field("schema_version")),
    "client_request_id": (ColumnType.TEXT, read_record_field("client_request_id")),
    "subscription": (ColumnType.TEXT, read_record_field("subscription")),
    "events": (ColumnType.INTEGER, read_record_field("events")),
    "count": (ColumnType.INTEGER, lambda record: record.get("count") or 1),
    "reason": (ColumnType.TEXT, read_record_field("reason")),
}

RowsReader = Callable[[Mapping[str, Any]], Iterable[Mapping[str, Any]]]


def read_field_uses(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield a row for each field and use of it."""
    uses = {
        "SERVED": record.get("fields"),
        "USED": record.get("fields_used"),
        "WITHHELD": [item["field"] for item in record.get("withheld") or ()],
        "ATTEMPTED": record.get("attempted"),
    }
    for use, fields in uses.items():
        for field in dict.fromkeys(fields or ()):
            yield {"request_id": record["id"], "use": use, "coordinate": field}


def read_changes(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for change in record.get("changes") or ():
        yield {
            "request_id": record["id"],
            "change": change["id"],
            "type": change["type"],
            "verb": change["verb"],
            "state": change["state"],
        }


PART_COLUMNS: Mapping[str, tuple[Sequence[str], RowsReader]] = {
    "field_uses": (("request_id", "use", "coordinate"), read_field_uses),
    "changes": (("request_id", "change", "type", "verb", "state"), read_changes),
}
"""Collections of what a record lists, by their columns, all of text."""

AUDIT_CAPABILITIES: Mapping[str, Capabilities] = {
    "requests": Capabilities(columns={name: Column(kind) for name, (kind, _) in AUDIT_COLUMNS.items()}),
    **{
        name: Capabilities(columns={column: Column(ColumnType.TEXT) for column in columns})
        for name, (columns, _) in PART_COLUMNS.items()
    },
}


class AuditLogConnector:
    """The collections of AUDIT_CAPABILITIES, over the audit logs in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def capabilities(self, collection: str) -> Capabilities:
        return AUDIT_CAPABILITIES[collection]

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        try:
            yield await asyncio.to_thread(read_audit_rows, self.folder, request.collection, request.columns)
        except (OSError, ConfigurationError):
            raise ConnectorError("the records cannot be read") from None

    async def ping(self) -> None:
        if not self.folder.is_dir():
            raise ConnectorError("the records cannot be read")

    async def close(self) -> None:
        return None


def read_audit_rows(folder: Path, collection: str, columns: Sequence[str]) -> list[Row]:
    if collection in PART_COLUMNS:
        _, read_parts = PART_COLUMNS[collection]
        return [
            tuple(part[column] for column in columns) for record in read_records(folder) for part in read_parts(record)
        ]
    readers = [AUDIT_COLUMNS[column][1] for column in columns]
    return [tuple(read(record) for read in readers) for record in read_records(folder)]


MAPPINGS = (
    TypeMapping(
        type="Request",
        source="journal",
        collection="requests",
        relationships={
            "fieldUses": Relationship(to="RequestFieldUse", local="id", remote="request_id"),
            "changes": Relationship(to="RequestChange", local="id", remote="request_id"),
        },
    ),
    TypeMapping(
        type="RequestFieldUse", source="journal", collection="field_uses", key=("request_id", "use", "coordinate")
    ),
    TypeMapping(
        type="RequestChange",
        source="journal",
        collection="changes",
        key=("request_id", "change"),
        columns={"changeType": "type"},
    ),
)
