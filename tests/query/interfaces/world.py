"""Draw a small world from a seed: papers of three types, each in a source with capabilities of its own, and people."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from random import Random
from typing import Any

from auth.policy import AccessPolicy
from onedoor.connectors.memory import MemoryCollection, MemoryConnector
from onedoor.errors import ConnectorError
from onedoor.model.catalog import Catalog, Limits
from onedoor.model.mapping import Relationship, TypeMapping
from onedoor.query.context import QueryEngine
from onedoor.query.startup_checks import validate_catalog
from onedoor.schema.builder import build_schema_and_policy
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.connector import Connector
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest
from tests import acme
from tests.properties.reference.capabilities import some
from tests.query.interfaces import subjects
from tests.query.pushdown.strict import Strict

RowDict = Mapping[str, Any]
TYPES = {"BLUE": "BluePaper", "GREEN": "GreenPaper", "RED": "RedPaper"}
"""The types by shelf, in the order of the shelves."""
COLUMNS = {
    "id": ColumnType.TEXT, "name": ColumnType.TEXT, "size": ColumnType.INTEGER, "dated": ColumnType.TIME,
    "person_id": ColumnType.INTEGER, "more": ColumnType.TEXT,
}  # fmt: skip
RENAMED = {"GREEN": {"name": "title", "size": "octets"}}
"""Columns that have other names in the source of a shelf."""
MORE = {"RED": "ink", "GREEN": "more", "BLUE": "secret"}
PEOPLE = {"id": ColumnType.INTEGER, "name": ColumnType.TEXT}
POOLS: Mapping[str, tuple[Any, ...]] = {
    "id": ("1", "2", "10", "a:b", "ö", "z", "%3A", "A"),
    "name": ("Ada", "ada", "Émile", "ß", "", "zoe", "Zoe"),
    "size": (0, 1, 1, 2, 2, 2**40, -3),
    "dated": tuple(datetime(2026, 1, day, tzinfo=UTC) for day in (1, 1, 2, 3)),
    "person_id": (1, 1, 2, 3, 9),
    "more": ("x", "y"),
}
LIMITS = Limits(request_seconds=60, source_seconds=30, first_default=4, first_max=100)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    papers: Mapping[str, Sequence[RowDict]]
    """By shelf."""
    people: Sequence[RowDict]
    sources: Mapping[str, Strict]

    def build_engine(self, **other: Connector) -> QueryEngine:
        catalog = Catalog(
            schema=build_schema()[0],
            policy=build_schema()[1],
            mappings=build_mappings(),
            connectors={**self.sources, **other},
            limits=LIMITS,
            cursor_secret=b"a secret of the tests",
            version="1",
        )
        validate_catalog(catalog)
        return acme.open_engine(catalog)


@cache
def build_schema() -> tuple[Any, AccessPolicy]:
    return build_schema_and_policy([subjects])


@cache
def build_mappings() -> Mapping[str, TypeMapping]:
    owner = Relationship(to="Person", local="person_id", remote="id")
    papers = Relationship(to="Paper", local="id", remote="person_id")
    people = TypeMapping(
        type="Person", source="people", collection="people", relationships={"papers": papers, "favourite": papers}
    )
    return {"Person": people} | {
        kind: TypeMapping(
            type=kind,
            source=shelf,
            collection="papers",
            key=("shelf", "id"),
            columns=RENAMED.get(shelf, {}),
            constants={"shelf": shelf},
            relationships={"owner": owner},
        )
        for shelf, kind in TYPES.items()
    }


def may_size(shelf: str, groups: Sequence[str]) -> bool:
    """Whether a caller may see sizes there."""
    return shelf != "GREEN" or bool({"people", "finance"} & set(groups))


def world(seed: str) -> World:
    random = Random(seed)
    missing = random.choice([0.0, 0.2, 0.5])
    papers = {shelf: draw_papers(random, missing) for shelf in TYPES}
    people = [{"id": number, "name": random.choice([*POOLS["name"], None])} for number in (1, 2, 3, 4)]
    sources = {
        shelf: Strict(MemoryConnector({"papers": build_collection(random, shelf, rows)}))
        for shelf, rows in papers.items()
    }
    held = MemoryCollection(
        capabilities=draw_capabilities(random, PEOPLE, (("id",),)), rows=[tuple(person.values()) for person in people]
    )
    return World(papers=papers, people=people, sources=sources | {"people": Strict(MemoryConnector({"people": held}))})


def draw_papers(random: Random, missing: float) -> Sequence[RowDict]:
    """No two rows of one source have the same id, though rows of two sources may."""
    ids = random.sample(POOLS["id"], random.choice([0, 1, 3, 5, 8]))
    return [
        {"id": id}
        | {name: None if random.random() < missing else random.choice(POOLS[name]) for name in COLUMNS if name != "id"}
        for id in ids
    ]


def build_collection(random: Random, shelf: str, rows: Sequence[RowDict]) -> MemoryCollection:
    called = {**RENAMED.get(shelf, {}), "more": MORE[shelf]}
    kinds = {called.get(name, name): kind for name, kind in COLUMNS.items()}
    capabilities = draw_capabilities(random, kinds, (("id",), ("person_id",)))
    return MemoryCollection(capabilities=capabilities, rows=[tuple(row.values()) for row in rows])


def draw_capabilities(
    random: Random, kinds: Mapping[str, ColumnType], keyed: tuple[tuple[str, ...], ...]
) -> Capabilities:
    return some(random, Capabilities(columns={name: Column(kind) for name, kind in kinds.items()}), keyed)


class FailingConnector:
    """A connector that always fails, with the capabilities of the one it replaces."""

    def __init__(self, source: Connector) -> None:
        self.source = source

    def capabilities(self, collection: str) -> Capabilities:
        return self.source.capabilities(collection)

    async def scan(self, ask: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        raise ConnectorError("nobody is there")
        yield ()

    async def ping(self) -> None:
        raise ConnectorError("nobody is there")

    async def close(self) -> None:
        return None
