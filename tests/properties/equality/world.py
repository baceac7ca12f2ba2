"""Draw a small world from a seed: a few rows of each type, their sources and their capabilities."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import Any

from auth.policy import AccessPolicy
from onedoor.connectors.memory import MemoryCollection, MemoryConnector
from onedoor.connectors.spill.factory import SpillTableFactory
from onedoor.model.catalog import Catalog, Limits
from onedoor.model.mapping import Relationship, TypeMapping
from onedoor.query.context import QueryEngine
from onedoor.schema.builder import build_schema_and_policy
from onedoor.spi.capabilities import Capabilities
from onedoor.spi.spill import OpenSpillTable
from tests import acme
from tests.properties.equality import subjects
from tests.properties.equality.capabilities import draw_capabilities
from tests.properties.equality.model import MODEL, POOLS, Leads, Type
from tests.query.pushdown.strict import Strict

Dict = Mapping[str, Any]
SIZES = (0, 1, 2, 4, 6, 8, 9, 10, 11, 12, 12, 12)
IN_MEMORY = (1, 3, 50_000)
FIRST_DEFAULT = 5
LIMITS = Limits(
    request_seconds=120, source_seconds=60, depth_max=100, aliases_max=5000, directives_max=5000, root_fields_max=500,
    cost_max=10**9, document_tokens=100_000, first_default=FIRST_DEFAULT,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Rows by type, each by column; the source of each type; the promise of each collection."""

    rows: Mapping[str, Sequence[Dict]]
    sources: Mapping[str, str]
    cans: Mapping[str, Capabilities]
    in_memory: int
    """The rows of a read past which they go through the spill database."""


def world(seed: str) -> World:
    random = Random(seed)
    pools = {pool: random.sample(values, random.randint(2, len(values))) for pool, values in POOLS.items()}
    missing = random.choice([0.0, 0.1, 0.1, 0.3, 0.6])
    names = random.sample(["north", "south", "east", "west"], random.choice([1, 1, 2, 3, 4]))
    rows = {kind: draw_rows(random, of, pools, missing) for kind, of in MODEL.items()}
    return World(
        rows=rows,
        sources={kind: random.choice(names) for kind in MODEL},
        cans={kind: draw_capabilities(random, kind, len(rows[kind])) for kind in MODEL},
        in_memory=Random(f"in memory {seed}").choice(IN_MEMORY),
    )


def draw_rows(random: Random, of: Type, pools: Mapping[str, Sequence[Any]], missing: float) -> Sequence[Dict]:
    """No two of one key; of a small pool many are alike, of a large one many links lead nowhere."""
    results = {}
    for _ in range(random.choice(SIZES)):
        row = {
            name: None if may_miss(of, name) and random.random() < missing else random.choice(pools[column.pool])
            for name, column in of.columns.items()
        }
        results[tuple(row[column] for column in of.key)] = row
    return list(results.values())


def may_miss(of: Type, name: str) -> bool:
    return name not in of.key and not of.columns[name].filled


@asynccontextmanager
async def scratch() -> AsyncIterator[OpenSpillTable]:
    """A real one; its database stays open for all questions, as to open it takes longer than to ask one."""
    result = SpillTableFactory(LIMITS)
    await result.acquire_database()
    try:
        yield result
    finally:
        await result.release_database()


def engine(of: World, opened: OpenSpillTable) -> QueryEngine:
    """Build a catalog over these rows, whose connectors are strict about their capabilities."""
    schema, rules = build_subjects()
    kept: dict[str, dict[str, MemoryCollection]] = {}
    for kind, source in of.sources.items():
        rows = [tuple(row.values()) for row in of.rows[kind]]
        kept.setdefault(source, {})[kind] = MemoryCollection(capabilities=of.cans[kind], rows=rows)
    catalog = Catalog(
        schema=schema,
        policy=rules,
        mappings={kind: binding(kind, of.sources[kind]) for kind in MODEL},
        connectors={name: Strict(MemoryConnector(collections)) for name, collections in kept.items()},
        limits=replace(LIMITS, rows_in_memory=of.in_memory),
        open_spill_table=opened,
        cursor_secret=b"a secret of the tests",
        version="1",
    )
    return acme.open_engine(catalog)


@cache
def build_subjects() -> tuple[Any, AccessPolicy]:
    return build_schema_and_policy([subjects])


def binding(kind: str, source: str) -> TypeMapping:
    of = MODEL[kind]
    return TypeMapping(
        type=kind,
        source=source,
        collection=kind,
        key=of.key,
        columns={**of.fields, **({"id": of.key[0]} if len(of.key) == 1 else {})},
        relationships={name: link(item) for name, item in of.links.items()},
    )


def link(leads: Leads) -> Relationship:
    return Relationship(to=leads.to, local=leads.here, remote=leads.there)
