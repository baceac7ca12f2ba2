"""What a collection of a store is: its columns, what it promises, and how a row is made."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any, TypeAlias

from engine.source import Source
from engine.words import Ask, Can, Column, Keys, Kind, Row
from sources.azure.entries import Entry
from sources.content.words import COLUMNS, FILES, Stat
from sources.patterns import Pattern

KEYS = 50
Read: TypeAlias = Callable[[Entry], Any]
FILE: Mapping[str, tuple[Kind, Read]] = {
    "id": (Kind.TEXT, lambda entry: entry.path),
    "path": (Kind.TEXT, lambda entry: entry.path),
    "name": (Kind.TEXT, lambda entry: entry.path.rpartition("/")[2]),
    "size": (Kind.INTEGER, lambda entry: entry.size),
    "content_type": (Kind.TEXT, lambda entry: entry.content_type),
    "modified": (Kind.TIME, lambda entry: entry.modified),
    "version": (Kind.TEXT, lambda entry: entry.version),
}
"""The columns every file has; a pattern's column of the same name gives way."""
DIRECTORY = {name: FILE[name] for name in ("id", "path", "name", "modified", "version")}
BY_ID = frozenset({("id",)})


def promise(columns: Mapping[str, tuple[Kind, Read]]) -> Can:
    return Can(columns={name: Column(kind=kind) for name, (kind, _) in columns.items()})


def files(pattern: Pattern) -> Can:
    """Keys alone: ids, or the pattern's columns from its first on, as far as a prefix follows from them."""
    further = {name: Column(kind=kind) for name, kind in pattern.columns.items() if name not in FILE}
    return Can(columns={**promise(FILE).columns, **further}, keys=KEYS, key_columns=BY_ID | frozenset(leading(pattern)))


def leading(pattern: Pattern) -> Iterator[tuple[str, ...]]:
    names = tuple(takewhile(lambda name: name not in FILE, pattern.columns))
    return (names[: count + 1] for count in range(len(names)))


def prefix(pattern: Pattern, columns: tuple[str, ...], key: Row) -> str:
    """What the paths of a key's files begin with."""
    return str(key[0]) if columns == ("id",) else pattern.prefix(dict(zip(columns, key, strict=True)))


def row(entry: Entry, columns: Sequence[str], pattern: Pattern) -> Row:
    values = pattern.match(entry.path) or {}
    return tuple(FILE[name][1](entry) if name in FILE else values.get(name) for name in columns)


def kept(entries: Iterable[Entry], ask: Ask, made: Callable[[Entry, Sequence[str]], Row]) -> list[Row]:
    """The rows of a page, those of the keys alone."""
    if ask.keys is not None:
        wanted, columns = frozenset(ask.keys.values), ask.keys.columns
        entries = [each for each in entries if made(each, columns) in wanted]
    return [made(each, ask.columns) for each in entries]


async def stat(source: Source, id: str) -> Stat | None:
    """As its listing shows it: only so is it known under no other name."""
    ask = Ask(collection=FILES, columns=COLUMNS, keys=Keys(("id",), ((id,),)))
    async for rows in source.read(ask):
        for found in rows:
            said = dict(zip(COLUMNS, found, strict=True))
            del said["path"]
            return Stat(**said)
    return None
