"""The small Acme as the reference sees it: rows as plain dicts by type, links as look-ups, and the house beside them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from random import Random
from typing import Any
from urllib.parse import quote

from graphql import GraphQLSchema, build_schema, get_named_type, print_schema

from engine.house import House, Limits
from engine.words import Binding, Kind, Link, Source
from schema.scalars import taught
from sources.memory import Collection, Memory
from tests import acme

Dict = Mapping[str, Any]
LIMITS = Limits(request_seconds=120, source_seconds=60)
WORN = 0.15
"""The share of values a worn world has lost, where a value may be missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One set of rows, the house that answers over it, and the schema of the reference."""

    name: str
    house: House
    schema: GraphQLSchema
    rows: Mapping[str, Sequence[Dict]]
    indexes: dict[tuple[str, tuple[str, ...]], dict[tuple[Any, ...], list[Dict]]] = field(default_factory=dict)

    def linked(self, link: Link, row: Dict) -> Sequence[Dict]:
        """The rows a link leads to; a null among the keys leads nowhere."""
        key = tuple(row[each] for each in names(link.here))
        return () if None in key else self.keyed(link.to, names(link.there)).get(key, ())

    def keyed(self, kind: str, columns: tuple[str, ...]) -> Mapping[tuple[Any, ...], Sequence[Dict]]:
        if (kind, columns) not in self.indexes:
            index: dict[tuple[Any, ...], list[Dict]] = {}
            for row in self.rows[kind]:
                index.setdefault(tuple(row[each] for each in columns), []).append(row)
            self.indexes[kind, columns] = index
        return self.indexes[kind, columns]

    def binding(self, kind: str) -> Binding:
        return self.house.bindings[kind]

    def many(self, kind: str, name: str) -> bool:
        """Whether a link leads to a connection."""
        output: Any = self.schema.type_map[kind]
        return get_named_type(output.fields[name].type).name.endswith("Connection")


def names(columns: str | tuple[str, ...]) -> tuple[str, ...]:
    return (columns,) if isinstance(columns, str) else columns


def column(binding: Binding, name: str) -> str:
    return binding.columns.get(name) or re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def value(binding: Binding, name: str, row: Dict) -> Any:
    """What a field holds; an id made of several columns is their text."""
    if name == "id" and len(binding.key) > 1:
        return ":".join(quote(str(row[each]), safe="") for each in binding.key)
    return row[binding.key[0] if name == "id" else column(binding, name)]


@cache
def fresh() -> World:
    return world("fresh", acme.sources())


@cache
def worn() -> World:
    """The same world with values lost at random wherever one may be missing, so that nulls and ties are many."""
    draw = Random("worn")
    loses = {(each.source, each.collection): frozenset(nullable(each)) for each in fresh().house.bindings.values()}
    given = {
        name: Memory({at: faded(each, loses[name, at], draw) for at, each in memory.collections.items()})
        for name, memory in acme.sources().items()
    }
    return world("worn", given)


def faded(collection: Collection, loses: frozenset[str], draw: Random) -> Collection:
    may = [name in loses for name in collection.can.columns]
    rows = [
        tuple(None if lost and draw.random() < WORN else cell for lost, cell in zip(may, row, strict=True))
        for row in collection.rows
    ]
    return replace(collection, rows=rows)


def nullable(binding: Binding) -> Iterator[str]:
    """Columns that no field promises to be filled, the keys of links among them."""
    shown: Any = fresh().house.schema.type_map[binding.type]
    filled = {column(binding, name) for name, each in shown.fields.items() if str(each.type).endswith("!")}
    for name in fresh().house.sources[binding.source].can(binding.collection).columns:
        if name not in filled and name not in binding.key:
            yield name


def world(name: str, given: Mapping[str, Source]) -> World:
    house = acme.house(given, LIMITS)
    schema = taught(build_schema(print_schema(house.schema)))
    for scalar, write in WRITERS.items():
        schema.type_map[scalar].coerce_output_value = write
    rows = {kind: tuple(as_dicts(house, binding)) for kind, binding in house.bindings.items()}
    return World(name=name, house=house, schema=schema, rows=rows)


def as_dicts(house: House, binding: Binding) -> Iterator[Dict]:
    source: Any = house.sources[binding.source]
    collection = source.collections[binding.collection]
    for row in collection.rows:
        yield dict(zip(collection.can.columns, row, strict=True))


def kinds(of: World, kind: str) -> Mapping[str, Kind]:
    binding = of.binding(kind)
    columns = of.house.sources[binding.source].can(binding.collection).columns
    return {name: each.kind for name, each in columns.items()}


WRITERS = {
    "Decimal": lambda number: format(number, "f"),
    "BigInt": str,
    "Date": lambda day: day.isoformat(),
    "DateTime": lambda moment: moment.isoformat().replace("+00:00", "Z"),
}
