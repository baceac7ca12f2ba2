"""Give the reference the small Acme as dicts by type with indexes, beside the catalog."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cache
from random import Random
from typing import Any
from urllib.parse import quote

from graphql import DocumentNode, GraphQLEnumType, GraphQLSchema, build_ast_schema, get_named_type, parse, print_schema

from onedoor.connectors.access import ACCESS_SOURCE
from onedoor.connectors.memory import MemoryCollection, MemoryConnector
from onedoor.model.catalog import Catalog, Limits
from onedoor.model.mapping import Relationship, TypeMapping
from onedoor.schema.scalars import install_scalars
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.connector import Connector
from onedoor.spi.predicates import Row
from tests import acme

Dict = Mapping[str, Any]
LIMITS = Limits(
    request_seconds=120, source_seconds=60, depth_max=100, aliases_max=5000, directives_max=5000, root_fields_max=500,
    cost_max=10**15, document_tokens=100_000, tests_max=100_000,
)  # fmt: skip
WORN = 0.15
"""The share of nullable values that are null in a worn world."""
TORN = 0.02
"""The share of values that are null in a torn world though their field is not nullable."""
TIED = 0.3
"""How often the key of a relationship is that of the row before, so that it leads to several rows."""
KEPT = 250
"""The most rows of a type in a worn world, so that many relationships lead nowhere."""
INTERFACES = {"File": ("AzureFile", "BlobFile", "DriveFile", "FolderFile", "S3File")}
"""The interfaces that have lists, and their concrete types."""
TYPE = "__typename"
"""The key of a row's type, where graphql-core looks for it."""
ID = " id"
"""The key of a row's id; no column has this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """One set of rows, the catalog over it, and the schema of the reference."""

    name: str
    catalog: Catalog
    schema: GraphQLSchema
    rows: Mapping[str, Sequence[Dict]]
    readers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By type of which not all rows are here: what of the caller decides which are. Cursors are bound to it."""
    indexes: dict[tuple[str, tuple[str, ...]], dict[tuple[Any, ...], list[Dict]]] = field(default_factory=dict)

    def linked(self, link: Relationship, row: Dict) -> Sequence[Dict]:
        """The rows a link leads to; a null among the keys leads nowhere."""
        key = tuple(row[name] for name in names(link.local))
        return () if None in key else self.keyed(link.to, names(link.remote)).get(key, ())

    def keyed(self, kind: str, columns: tuple[str, ...]) -> Mapping[tuple[Any, ...], Sequence[Dict]]:
        if (kind, columns) not in self.indexes:
            index: dict[tuple[Any, ...], list[Dict]] = {}
            for row in self.rows[kind]:
                index.setdefault(tuple(row[column] for column in columns), []).append(row)
            self.indexes[kind, columns] = index
        return self.indexes[kind, columns]

    def binding(self, kind: str) -> TypeMapping:
        """Of an interface, that of any of its types: they have its columns alike."""
        return next(
            self.catalog.mappings[item] for item in (kind, *INTERFACES.get(kind, ())) if item in self.catalog.mappings
        )

    def many(self, kind: str, name: str) -> bool:
        """Whether a link leads to a connection."""
        output: Any = self.schema.type_map[kind]
        return get_named_type(output.fields[name].type).name.endswith("Connection")


def names(columns: str | tuple[str, ...]) -> tuple[str, ...]:
    return (columns,) if isinstance(columns, str) else columns


def column(binding: TypeMapping, name: str) -> str:
    return binding.columns.get(name) or re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def value(binding: TypeMapping, name: str, row: Dict) -> Any:
    """What a field holds."""
    return row[ID if name == "id" else column(binding, name)]


def identity(binding: TypeMapping, row: Dict) -> str:
    """The id of a row, as a client sees it; of several columns, each percent-encoded."""
    found = (row[column] for column in binding.key)
    parts = [item.isoformat() if isinstance(item, date) else str(item) for item in found]
    return parts[0] if len(parts) == 1 else ":".join(quote(part, safe="") for part in parts)


@cache
def build_full_world() -> World:
    return world("fresh", acme.sources())


@cache
def build_sparse_world() -> World:
    """A smaller world with values lost at random wherever one may be missing, so that nulls and ties are many."""
    return world("worn", faded("worn", {True: WORN, False: 0.0}))


@cache
def build_invalid_world() -> World:
    """A world that has lost values where none may be missing, so that nulls travel up."""
    return world("torn", faded("torn", {True: WORN, False: TORN}))


WORLDS = {"fresh": build_full_world, "worn": build_sparse_world, "torn": build_invalid_world}


def faded(name: str, loses: Mapping[bool, float]) -> Mapping[str, Connector]:
    """The fresh world's sources with a share of values lost, by whether a value may be missing."""
    draw = Random(name)
    given: dict[str, dict[str, MemoryCollection]] = {}
    for binding in build_full_world().catalog.mappings.values():
        for lookup in binding.lookups.values():
            looked_in = acme.sources()[lookup.source].collections[lookup.collection]
            given.setdefault(lookup.source, {}).setdefault(lookup.collection, looked_in)
        source = acme.sources().get(binding.source)
        if source is not None:
            odds = [wear(binding, column, loses) for column in columns(binding)]
            given.setdefault(binding.source, {})[binding.collection] = thinned(
                source.collections[binding.collection], odds, draw
            )
    return {at: MemoryConnector(item) for at, item in given.items()}


def wear(binding: TypeMapping, name: str, loses: Mapping[bool, float]) -> tuple[float, float]:
    """How often a column's value is lost, and how often it is that of the row before; never so of a key."""
    if name in binding.key:
        return 0.0, 0.0
    links = (
        link for mapping in build_full_world().catalog.mappings.values() for link in mapping.relationships.values()
    )
    joined = any(link.to == binding.type and name in names(link.remote) for link in links)
    return loses[name in optional(binding)], TIED if joined else 0.0


def thinned(collection: MemoryCollection, odds: Sequence[tuple[float, float]], draw: Random) -> MemoryCollection:
    rows: list[Row] = []
    for row in collection.rows[:: len(collection.rows) // KEPT + 1]:
        before = rows[-1] if rows else row
        rows.append(tuple(worn_out(draw, *item) for item in zip(row, before, odds, strict=True)))
    return replace(collection, rows=rows)


def worn_out(draw: Random, cell: Any, before: Any, odds: tuple[float, float]) -> Any:
    lost, tied = odds
    if draw.random() < lost:
        return None
    return before if draw.random() < tied else cell


def columns(binding: TypeMapping) -> Sequence[str]:
    columns = build_full_world().catalog.connectors[binding.source].capabilities(binding.collection).columns
    return [column for column in columns if column not in binding.constants]


def optional(binding: TypeMapping) -> set[str]:
    """Columns that no field promises to be filled, the keys of links among them."""
    shown: Any = build_full_world().catalog.schema.type_map[binding.type]
    return set(columns(binding)) - {
        column(binding, name) for name, field in shown.fields.items() if str(field.type).endswith("!")
    }


@cache
def printed_schema() -> DocumentNode:
    """Acme's schema as its text tells it."""
    return parse(print_schema(acme.load_schema_and_policy()[0]), no_location=True)


@cache
def build_reference_schema() -> GraphQLSchema:
    """The schema of every world; a printed one does not say how values are written, and what a source holds."""
    schema = install_scalars(build_ast_schema(printed_schema(), assume_valid_sdl=True))
    for scalar, write in WRITERS.items():
        schema.type_map[scalar].coerce_output_value = write  # type: ignore[attr-defined]
    known: Any = acme.load_schema_and_policy()[0].type_map
    for item in (item for item in schema.type_map.values() if isinstance(item, GraphQLEnumType)):
        for member, held in item.values.items():
            held.value = known[item.name].values[member].value
    return schema


def world(name: str, given: Mapping[str, Connector]) -> World:
    catalog = acme.build_catalog(given, LIMITS)
    rows = {
        kind: tuple(as_dicts(catalog, binding))
        for kind, binding in catalog.mappings.items()
        if binding.source != ACCESS_SOURCE
    }
    rows |= {kind: tuple(row for item in of for row in rows[item]) for kind, of in INTERFACES.items()}
    return World(name=name, catalog=catalog, schema=build_reference_schema(), rows=rows)


def as_dicts(catalog: Catalog, binding: TypeMapping) -> Iterator[Dict]:
    source: Any = catalog.connectors[binding.source]
    collection = source.collections[binding.collection]
    for row in collection.rows:
        held = dict(zip(collection.capabilities.columns, row, strict=True)) | dict(binding.constants)
        yield held | {ID: identity(binding, held), TYPE: binding.type}


def kinds(of: World, kind: str) -> Mapping[str, ColumnType]:
    binding = of.binding(kind)
    columns = of.catalog.connectors[binding.source].capabilities(binding.collection).columns
    return {name: column.type for name, column in columns.items()}


WRITERS = {
    "Decimal": lambda number: format(number, "f"),
    "BigInt": str,
    "JSON": json.loads,
    "Date": lambda day: day.isoformat(),
    "DateTime": lambda moment: moment.isoformat().replace("+00:00", "Z"),
}
