"""One set of rows under many promises: those of the real sources, none at all, or some drawn at random."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from random import Random
from typing import Any

from engine.binding import Binding
from engine.desk import Desk
from engine.source import Source
from engine.words import Can, Column, Kind, Op
from sources.memory import Collection, Memory
from tests import acme
from tests.push.strict import Strict
from tests.reference.world import INTERFACES, World, names

PLAIN = acme.ORDERED
TEXT = acme.FOLDED
OURS = tuple(acme.sources())


def promising(world: World, can: Callable[[str, Can], Can]) -> Desk:
    """A desk whose sources hold the rows of the world and promise what is said, and are strict about it."""
    given: dict[str, Source] = {}
    for name in OURS:
        memory: Any = world.house.sources[name]
        given[name] = Strict(Memory({at: replaced(at, each, can) for at, each in memory.collections.items()}))
    return acme.opened(replace(world.house, sources={**world.house.sources, **given}))


def replaced(name: str, collection: Collection, can: Callable[[str, Can], Can]) -> Collection:
    return replace(collection, can=can(name, collection.can))


@cache
def kept(name: str, world: Callable[[], World]) -> Desk:
    """The desk of a steady promise, so that its plans are remembered from question to question."""
    return promising(world(), {"real": lambda _, can: can, "nothing": lambda _, can: acme.nothing(can)}[name])


def drawn(world: World, random: Random) -> Desk:
    """Random subsets of what could be promised: of each collection anew."""
    bindings = world.house.bindings
    keyed = {each.collection: tuple(dict.fromkeys(key_columns(bindings, each))) for each in bindings.values()}
    return promising(world, lambda name, can: some(random, can, keyed.get(name, ())))


def key_columns(bindings: Mapping[str, Binding], of: Binding) -> list[tuple[str, ...]]:
    """What rows of a type are looked up by in their source: their key, and what links to them name."""
    links = (link for each in bindings.values() for link in each.links.values())
    own = tuple(each for each in of.key if each not in of.constants)
    return [own, *(names(link.there) for link in links if of.type in (link.to, *INTERFACES.get(link.to, ())))]


def some(random: Random, can: Can, keyed: tuple[tuple[str, ...], ...]) -> Can:
    """Most of the time much is promised, so that the last steps are often pushed down."""
    share = random.choice([0.3, 0.8, 0.95, 1.0])

    def odds() -> bool:
        return random.random() < share

    return Can(
        columns={
            name: Column(each.kind, operators(random, each.kind, share), odds()) for name, each in can.columns.items()
        },
        keys=random.choice([1, 2, 7, 1000]) if odds() else 0,
        key_columns=frozenset(each for each in keyed if odds()) if random.random() < 0.3 else frozenset(),
        logic=odds(),
        related=odds(),
        limit=odds(),
        limit_per_key=odds(),
        measures=odds(),
    )


def operators(random: Random, kind: Kind, share: float) -> frozenset[Op]:
    if kind is Kind.LIST:
        return frozenset()
    held = TEXT if kind is Kind.TEXT else PLAIN
    return held if random.random() < share else frozenset(each for each in sorted(held) if random.random() < share)
