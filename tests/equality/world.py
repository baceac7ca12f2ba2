"""A seed in, a small world out: a few rows of each type, where they are kept, and what is promised of them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import Any

from auth.rules import Rules
from engine.binding import Binding, Link
from engine.desk import Desk
from engine.house import House, Limits
from engine.overflow import Opened
from engine.words import Can
from schema.build import build
from sources.memory import Collection, Memory
from sources.scratch.scratch import Scratches
from tests import acme
from tests.equality import subjects
from tests.equality.model import MODEL, POOLS, Leads, Type
from tests.equality.promises import promised
from tests.push.strict import Strict

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
    cans: Mapping[str, Can]
    in_memory: int
    """The rows of a read past which they go through the scratch database."""


def world(seed: str) -> World:
    random = Random(seed)
    pools = {pool: random.sample(values, random.randint(2, len(values))) for pool, values in POOLS.items()}
    missing = random.choice([0.0, 0.1, 0.1, 0.3, 0.6])
    names = random.sample(["north", "south", "east", "west"], random.choice([1, 1, 2, 3, 4]))
    rows = {kind: drawn(random, of, pools, missing) for kind, of in MODEL.items()}
    return World(
        rows=rows,
        sources={kind: random.choice(names) for kind in MODEL},
        cans={kind: promised(random, kind, len(rows[kind])) for kind in MODEL},
        in_memory=Random(f"in memory {seed}").choice(IN_MEMORY),
    )


def drawn(random: Random, of: Type, pools: Mapping[str, Sequence[Any]], missing: float) -> Sequence[Dict]:
    """No two of one key; of a small pool many are alike, of a large one many links lead nowhere."""
    found = {}
    for _ in range(random.choice(SIZES)):
        row = {
            name: None if may_miss(of, name) and random.random() < missing else random.choice(pools[each.pool])
            for name, each in of.columns.items()
        }
        found[tuple(row[each] for each in of.key)] = row
    return list(found.values())


def may_miss(of: Type, name: str) -> bool:
    return name not in of.key and not of.columns[name].filled


@asynccontextmanager
async def scratch() -> AsyncIterator[Opened]:
    """A real one; its database stays open for all questions, as to open it takes longer than to ask one."""
    made = Scratches(LIMITS)
    await made.entered()
    try:
        yield made
    finally:
        await made.left()


def desk(of: World, opened: Opened) -> Desk:
    """The house over these rows, its sources strict about what they promise."""
    schema, rules = built()
    kept: dict[str, dict[str, Collection]] = {}
    for kind, source in of.sources.items():
        rows = [tuple(row.values()) for row in of.rows[kind]]
        kept.setdefault(source, {})[kind] = Collection(can=of.cans[kind], rows=rows)
    house = House(
        schema=schema,
        rules=rules,
        bindings={kind: binding(kind, of.sources[kind]) for kind in MODEL},
        sources={name: Strict(Memory(collections)) for name, collections in kept.items()},
        limits=replace(LIMITS, rows_in_memory=of.in_memory),
        scratch=opened,
        cursor_secret=b"a secret of the tests",
        version="1",
    )
    return acme.opened(house)


@cache
def built() -> tuple[Any, Rules]:
    return build([subjects])


def binding(kind: str, source: str) -> Binding:
    of = MODEL[kind]
    return Binding(
        type=kind,
        source=source,
        collection=kind,
        key=of.key,
        columns={**of.fields, **({"id": of.key[0]} if len(of.key) == 1 else {})},
        links={name: link(each) for name, each in of.links.items()},
    )


def link(leads: Leads) -> Link:
    return Link(to=leads.to, here=leads.here, there=leads.there)
