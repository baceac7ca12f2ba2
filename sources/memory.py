"""Rows held in memory, as a source: what it promises of each collection is given, and kept to."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.change.words import Change, Made, Values, Writes
from engine.finish import grouped, key_of, limited, ordered, predicate
from engine.reckon import arranged, measured
from engine.words import All, Among, Ask, Can, Exists, Not, Row, Some
from sources.memory_changes import Changing, Writable


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """Rows, their values in the order of `can.columns`."""

    can: Can
    rows: Sequence[Row]


class Memory:
    """Collections by name; asked for more than it declares, it fails loudly: that is the planner's fault.

    `writable`: those that may be changed; their rows are then ours.
    """

    def __init__(self, collections: Mapping[str, Collection], writable: Mapping[str, Writable] | None = None) -> None:
        self.collections = dict(collections)
        self.writable = writable or {}
        self.changing = Changing(
            self.writable, {name: _by_key(self.collections[name], each.key) for name, each in self.writable.items()}
        )

    def writes(self, collection: str) -> Writes | None:
        of = self.writable.get(collection)
        return of.writes() if of else None

    async def write(self, changes: Sequence[Change], *, dry: bool = False) -> Sequence[Made]:
        made = self.changing.write(changes, dry=dry)
        for name in {each.collection for each in changes}:
            kept = self.collections[name]
            rows = [tuple(row[each] for each in kept.can.columns) for row in self.changing.rows[name].values()]
            self.collections[name] = replace(kept, rows=rows)
        return made

    async def made(self, change: Change) -> Made | None:
        return self.changing.made(change)

    def can(self, collection: str) -> Can:
        return self.collections[collection].can

    async def read(self, ask: Ask) -> AsyncIterator[Sequence[Row]]:
        yield answered(self.collections, ask)

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        return None


def answered(collections: Mapping[str, Collection], ask: Ask) -> list[Row]:
    """The rows of one ask, step by step."""
    collection = collections[ask.collection]
    columns = tuple(collection.can.columns)
    meets = predicate(resolved(collections, ask.where), columns)
    rows = [row for row in _keyed(collection, ask, columns) if meets(row)]
    if ask.measures:
        return arranged(measured(rows, ask.columns, ask.measures, columns, ask.cuts), ask)
    rows = ordered(rows, ask.order, columns)
    if ask.limit is not None:
        rows = limited(rows, ask.limit, key_of(ask.keys.columns if ask.keys else (), columns))
    wanted = key_of(ask.columns, columns)
    return [wanted(row) for row in rows]


def resolved(collections: Mapping[str, Collection], where: Any) -> Any:
    """The filter with each `Exists` replaced by the keys of the rows that meet it."""
    match where:
        case All() | Some():
            return type(where)(tuple(resolved(collections, each) for each in where.parts))
        case Not():
            return Not(resolved(collections, where.part))
        case Exists():
            ask = Ask(collection=where.collection, columns=where.there, where=where.where)
            keys = (row for row in answered(collections, ask) if None not in row)
            return Among(where.here, frozenset(keys))
        case _:
            return where


def _by_key(collection: Collection, key: Sequence[str]) -> dict[Row, Values]:
    columns = tuple(collection.can.columns)
    named = key_of(tuple(key), columns)
    return {named(row): dict(zip(columns, row, strict=True)) for row in collection.rows}


def _keyed(collection: Collection, ask: Ask, columns: Sequence[str]) -> Sequence[Row]:
    if ask.keys is None:
        return collection.rows
    groups = grouped(collection.rows, key_of(ask.keys.columns, columns))
    return [row for key in ask.keys.values for row in groups.get(key, ())]
