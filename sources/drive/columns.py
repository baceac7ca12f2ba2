"""What a file's columns are: what Drive must be asked for, and how each is read from what it says."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import takewhile
from typing import TypeAlias

from engine.words import Can, Column, Kind, Value
from sources.drive.calls import Item
from sources.drive.search import SAID
from sources.drive.tree import parent_of
from sources.patterns import Pattern

KEYS = 50
OWN = "application/vnd.google-apps."
"""How the types of what has no bytes of its own begin: Docs, Sheets, folders, shortcuts."""
PATH = "path"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A column that Drive says itself: `fields` is what it is asked for."""

    kind: Kind
    fields: tuple[str, ...]
    read: Callable[[Item], Value]


Columns: TypeAlias = Mapping[str, Said]


def size(item: Item) -> int | None:
    """Of what is exported, Drive's own figure is not that of the export."""
    return None if item["mimeType"].startswith(OWN) or "size" not in item else int(item["size"])


def version(item: Item) -> str:
    """Content's own where it has one; that of Docs and Sheets changes with their names and rights, too."""
    return str(item.get("headRevisionId") or item["version"])


def owner(item: Item) -> str | None:
    """None: it is in a shared drive, and nobody's."""
    owners = item.get("owners") or [{}]
    return owners[0].get("emailAddress") or None


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


FILE: Columns = {
    "id": Said(kind=Kind.TEXT, fields=("id",), read=lambda item: str(item["id"])),
    "name": Said(kind=Kind.TEXT, fields=("name",), read=lambda item: str(item["name"])),
    "size": Said(kind=Kind.INTEGER, fields=("size", "mimeType"), read=size),
    "content_type": Said(kind=Kind.TEXT, fields=("mimeType",), read=lambda item: str(item["mimeType"])),
    "modified": Said(kind=Kind.TIME, fields=("modifiedTime",), read=lambda item: instant(item["modifiedTime"])),
    "version": Said(kind=Kind.TEXT, fields=("headRevisionId", "version"), read=version),
    "owner_email": Said(kind=Kind.TEXT, fields=("owners(emailAddress)",), read=owner),
    "parent_id": Said(kind=Kind.TEXT, fields=("parents",), read=parent_of),
    "link": Said(kind=Kind.TEXT, fields=("webViewLink",), read=lambda item: item.get("webViewLink")),
}
FOLDER: Columns = {name: FILE[name] for name in ("id", "name", "parent_id")}
PLACED = ("name", "parents")
"""What must be known of an item to say where it lies."""


def fields(columns: Columns, names: Iterable[str], *, placed: bool) -> set[str]:
    """What Drive is asked for, and no more."""
    said = {each for name in names if name in columns for each in columns[name].fields}
    return {*said, *(PLACED if placed else ())}


def of_files(pattern: Pattern | None) -> Can:
    """Columns as every store of files has them first, then ours, then the pattern's; of the same name, its give way."""
    own = {name: Column(said.kind, SAID[name][0] if name in SAID else frozenset()) for name, said in FILE.items()}
    first = {"id": own["id"], PATH: Column(Kind.TEXT)}
    further = {} if pattern is None else {name: Column(kind) for name, kind in pattern.columns.items()}
    keys = {("id",), ("parent_id",), ("owner_email",), *leading(pattern)}
    return Can(columns={**first, **own, **{n: c for n, c in further.items() if n not in own | first}}, keys=KEYS,
               key_columns=frozenset(keys))  # fmt: skip


def of_folders() -> Can:
    columns = {**{name: Column(said.kind) for name, said in FOLDER.items()}, PATH: Column(Kind.TEXT)}
    return Can(columns=columns, keys=KEYS, key_columns=frozenset({("id",), ("parent_id",)}))


def leading(pattern: Pattern | None) -> Iterator[tuple[str, ...]]:
    """The pattern's columns from its first on: what a path begins with follows from them."""
    ours = {*FILE, PATH}
    names = () if pattern is None else tuple(takewhile(lambda name: name not in ours, pattern.columns))
    return (names[: count + 1] for count in range(len(names)))
