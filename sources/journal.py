"""The audit records of this door, as a source: read from the journal's files, and nothing promised beyond that."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from auth.mistake import Mistake
from engine.errors import SourceFailed
from engine.words import Ask, Can, Column, Kind, Row
from records.read import read

Taken = Callable[[Mapping[str, Any]], Any]


def named(name: str) -> Taken:
    return lambda record: record.get(name)


def listed(name: str) -> Taken:
    return lambda record: tuple(record.get(name) or ())


def inner(name: str, member: str) -> Taken:
    """One member of each object of a list, each value once."""
    return lambda record: tuple(dict.fromkeys(each[member] for each in record.get(name) or ()))


COLUMNS: Mapping[str, tuple[Kind, Taken]] = {
    "id": (Kind.TEXT, named("id")),
    "time": (Kind.TIME, lambda record: datetime.fromisoformat(record["time"])),
    "surface": (Kind.TEXT, named("surface")),
    "outcome": (Kind.TEXT, lambda record: record["outcome"].upper()),
    "status": (Kind.INTEGER, named("status")),
    "person_id": (Kind.TEXT, named("person")),
    "key_id": (Kind.TEXT, named("key_id")),
    "groups": (Kind.LIST, listed("groups")),
    "operation": (Kind.TEXT, named("operation")),
    "operation_hash": (Kind.TEXT, named("operation_hash")),
    "text": (Kind.TEXT, named("text")),
    "variables": (
        Kind.TEXT,
        lambda record: orjson.dumps(record["variables"]).decode() if record["variables"] else None,
    ),
    "fields": (Kind.LIST, listed("fields")),
    "fields_used": (Kind.LIST, listed("fields_used")),
    "fields_withheld": (Kind.LIST, inner("withheld", "field")),
    "sources": (Kind.LIST, inner("sources", "source")),
    "rows": (Kind.INTEGER, named("rows")),
    "bytes": (Kind.INTEGER, named("bytes")),
    "ms": (Kind.FLOAT, named("ms")),
    "schema_version": (Kind.TEXT, named("schema_version")),
    "client_request_id": (Kind.TEXT, named("client_request_id")),
    "subscription": (Kind.TEXT, named("subscription")),
    "events": (Kind.INTEGER, named("events")),
}

CAN = Can(columns={name: Column(kind) for name, (kind, _) in COLUMNS.items()})


class JournalSource:
    """One collection, `requests`, over the journals in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def can(self, collection: str) -> Can:
        return {"requests": CAN}[collection]

    async def read(self, ask: Ask) -> AsyncIterator[Sequence[Row]]:
        try:
            yield await asyncio.to_thread(rows, self.folder, ask.columns)
        except (OSError, Mistake):
            raise SourceFailed("the records cannot be read") from None

    async def ping(self) -> None:
        if not self.folder.is_dir():
            raise SourceFailed("the records cannot be read")

    async def close(self) -> None:
        return None


def rows(folder: Path, columns: Sequence[str]) -> list[Row]:
    takes = [COLUMNS[each][1] for each in columns]
    return [tuple(take(record) for take in takes) for record in read(folder)]
