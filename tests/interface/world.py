"""A seed in, a small world out: papers on three shelves, each its own source with promises of its own, and people."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from random import Random
from typing import Any

from auth.rules import Rules
from engine.binding import Binding, Link
from engine.desk import Desk
from engine.errors import SourceFailed
from engine.fits import fits
from engine.house import House, Limits
from engine.source import Source
from engine.words import Ask, Can, Column, Kind, Row
from schema.build import build
from sources.memory import Collection, Memory
from tests import acme
from tests.interface import subjects
from tests.push.strict import Strict
from tests.reference.capabilities import some

Dict = Mapping[str, Any]
TYPES = {"BLUE": "BluePaper", "GREEN": "GreenPaper", "RED": "RedPaper"}
"""By shelf, in the order of the shelves."""
COLUMNS = {
    "id": Kind.TEXT, "name": Kind.TEXT, "size": Kind.INTEGER, "dated": Kind.TIME, "person_id": Kind.INTEGER,
    "more": Kind.TEXT,
}  # fmt: skip
RENAMED = {"GREEN": {"name": "title", "size": "octets"}}
"""Columns that a shelf calls otherwise."""
MORE = {"RED": "ink", "GREEN": "more", "BLUE": "secret"}
PEOPLE = {"id": Kind.INTEGER, "name": Kind.TEXT}
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
    papers: Mapping[str, Sequence[Dict]]
    """By shelf."""
    people: Sequence[Dict]
    sources: Mapping[str, Strict]

    def desk(self, **other: Source) -> Desk:
        house = House(
            schema=built()[0],
            rules=built()[1],
            bindings=bindings(),
            sources={**self.sources, **other},
            limits=LIMITS,
            cursor_secret=b"a secret of the tests",
            version="1",
        )
        fits(house)
        return acme.opened(house)


@cache
def built() -> tuple[Any, Rules]:
    return build([subjects])


@cache
def bindings() -> Mapping[str, Binding]:
    owner = Link(to="Person", here="person_id", there="id")
    papers = Link(to="Paper", here="id", there="person_id")
    people = Binding(type="Person", source="people", collection="people", links={"papers": papers, "favourite": papers})
    return {"Person": people} | {
        kind: Binding(
            type=kind,
            source=shelf,
            collection="papers",
            key=("shelf", "id"),
            columns=RENAMED.get(shelf, {}),
            constants={"shelf": shelf},
            links={"owner": owner},
        )
        for shelf, kind in TYPES.items()
    }


def may_size(shelf: str, groups: Sequence[str]) -> bool:
    """Whether a caller may see sizes there."""
    return shelf != "GREEN" or bool({"people", "finance"} & set(groups))


def world(seed: str) -> World:
    random = Random(seed)
    missing = random.choice([0.0, 0.2, 0.5])
    papers = {shelf: drawn(random, missing) for shelf in TYPES}
    people = [{"id": number, "name": random.choice([*POOLS["name"], None])} for number in (1, 2, 3, 4)]
    sources = {shelf: Strict(Memory({"papers": shelved(random, shelf, rows)})) for shelf, rows in papers.items()}
    held = Collection(can=promised(random, PEOPLE, (("id",),)), rows=[tuple(each.values()) for each in people])
    return World(papers=papers, people=people, sources=sources | {"people": Strict(Memory({"people": held}))})


def drawn(random: Random, missing: float) -> Sequence[Dict]:
    """No two of one id on a shelf, though on another there may be."""
    ids = random.sample(POOLS["id"], random.choice([0, 1, 3, 5, 8]))
    return [
        {"id": each}
        | {name: None if random.random() < missing else random.choice(POOLS[name]) for name in COLUMNS if name != "id"}
        for each in ids
    ]


def shelved(random: Random, shelf: str, rows: Sequence[Dict]) -> Collection:
    called = {**RENAMED.get(shelf, {}), "more": MORE[shelf]}
    kinds = {called.get(name, name): kind for name, kind in COLUMNS.items()}
    can = promised(random, kinds, (("id",), ("person_id",)))
    return Collection(can=can, rows=[tuple(row.values()) for row in rows])


def promised(random: Random, kinds: Mapping[str, Kind], keyed: tuple[tuple[str, ...], ...]) -> Can:
    return some(random, Can(columns={name: Column(kind) for name, kind in kinds.items()}), keyed)


class Down:
    """A shelf nobody answers from, with the promises of the one it stands for."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def can(self, collection: str) -> Can:
        return self.source.can(collection)

    async def read(self, ask: Ask) -> AsyncIterator[Sequence[Row]]:
        raise SourceFailed("nobody is there")
        yield ()

    async def ping(self) -> None:
        raise SourceFailed("nobody is there")

    async def close(self) -> None:
        return None
