"""Give one set of rows the capabilities of the real connectors, none, or random ones."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from random import Random
from typing import Any

from onedoor.connectors.memory import MemoryCollection, MemoryConnector
from onedoor.model.mapping import TypeMapping
from onedoor.query.context import QueryEngine
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.connector import Connector
from onedoor.spi.predicates import Op
from tests import acme
from tests.properties.reference.world import INTERFACES, World, names
from tests.query.pushdown.strict import Strict

PLAIN = acme.ORDERED
TEXT = acme.FOLDED
OURS = tuple(acme.sources())


def promising(world: World, capabilities: Callable[[str, Capabilities], Capabilities]) -> QueryEngine:
    """Build an engine over the rows of the world whose connectors have these capabilities and are strict about them."""
    given: dict[str, Connector] = {}
    for name in OURS:
        memory: Any = world.catalog.connectors[name]
        given[name] = Strict(
            MemoryConnector(
                {at: replaced(at, collection, capabilities) for at, collection in memory.collections.items()}
            )
        )
    return acme.open_engine(replace(world.catalog, connectors={**world.catalog.connectors, **given}))


def replaced(
    name: str, collection: MemoryCollection, capabilities: Callable[[str, Capabilities], Capabilities]
) -> MemoryCollection:
    return replace(collection, capabilities=capabilities(name, collection.capabilities))


@cache
def get_engine(name: str, world: Callable[[], World]) -> QueryEngine:
    """Return the engine for fixed capabilities, which keeps its plans from query to query."""
    return promising(
        world(),
        {"real": lambda _, capabilities: capabilities, "nothing": lambda _, capabilities: acme.nothing(capabilities)}[
            name
        ],
    )


def draw_engine(world: World, random: Random) -> QueryEngine:
    """Random subsets of what could be promised: of each collection anew."""
    bindings = world.catalog.mappings
    keyed = {binding.collection: tuple(dict.fromkeys(key_columns(bindings, binding))) for binding in bindings.values()}
    return promising(world, lambda name, capabilities: some(random, capabilities, keyed.get(name, ())))


def key_columns(bindings: Mapping[str, TypeMapping], of: TypeMapping) -> list[tuple[str, ...]]:
    """What rows of a type are looked up by in their source: their key, and what links to them name."""
    links = (link for binding in bindings.values() for link in binding.relationships.values())
    own = tuple(column for column in of.key if column not in of.constants)
    return [own, *(names(link.remote) for link in links if of.type in (link.to, *INTERFACES.get(link.to, ())))]


def some(random: Random, capabilities: Capabilities, keyed: tuple[tuple[str, ...], ...]) -> Capabilities:
    """Most of the time much is promised, so that the last steps are often pushed down."""
    share = random.choice([0.3, 0.8, 0.95, 1.0])

    def odds() -> bool:
        return random.random() < share

    return Capabilities(
        columns={
            name: Column(column.type, operators(random, column.type, share), odds())
            for name, column in capabilities.columns.items()
        },
        max_keys=random.choice([1, 2, 7, 1000]) if odds() else 0,
        key_columns=frozenset(item for item in keyed if odds()) if random.random() < 0.3 else frozenset(),
        boolean_filters=odds(),
        exists_filters=odds(),
        joins=odds(),
        limit=odds(),
        limit_per_key=odds(),
        aggregates=odds(),
    )


def operators(random: Random, kind: ColumnType, share: float) -> frozenset[Op]:
    if kind is ColumnType.LIST:
        return frozenset()
    held = TEXT if kind is ColumnType.TEXT else PLAIN
    return held if random.random() < share else frozenset(item for item in sorted(held) if random.random() < share)
