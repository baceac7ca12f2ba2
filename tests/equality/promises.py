"""A type in, a random promise of its collection out: any subset of all that could be promised."""

from collections.abc import Iterable
from random import Random
from typing import TypeVar

from engine.words import Aggregate, Can, Column, Kind, Unit
from tests import acme
from tests.equality.model import KINDS, MODEL

T = TypeVar("T")
NUMBERS = frozenset({Kind.INTEGER, Kind.FLOAT, Kind.DECIMAL})
ORDERED = NUMBERS | {Kind.TEXT, Kind.DATE, Kind.TIME}
SHARES = (0.0, 0.3, 0.8, 0.95, 1.0, 1.0)


def promised(random: Random, kind: str, rows: int) -> Can:
    """Most of the time much is promised, so that the last steps are often pushed down."""
    share = random.choice(SHARES)

    def odds() -> bool:
        return random.random() < share

    return Can(
        columns={name: column(random, KINDS[each.scalar], share) for name, each in MODEL[kind].columns.items()},
        keys=random.choice([1, 2, 7, 1000]) if odds() else 0,
        key_columns=subset(random, sorted(looked_up(kind)), share) if random.random() < 0.3 else frozenset(),
        logic=odds(),
        related=odds(),
        among=random.choice([1, 3, 1000, 1000]) if odds() else 0,
        limit=odds(),
        limit_per_key=odds(),
        measures=odds(),
        cuts=subset(random, Unit, share),
        arranges=odds(),
        rows=random.choice([None, rows, rows, 0, 1000, 10**7]),
    )


def column(random: Random, kind: Kind, share: float) -> Column:
    filters = acme.FOLDED if kind is Kind.TEXT else frozenset() if kind is Kind.LIST else acme.ORDERED
    measures = {
        **dict.fromkeys([Aggregate.COUNT, Aggregate.COUNT_DISTINCT], kind is not Kind.LIST),
        **dict.fromkeys([Aggregate.MIN, Aggregate.MAX], kind in ORDERED),
        Aggregate.SUM: kind in NUMBERS,
    }
    return Column(
        kind,
        filters if random.random() < share else subset(random, sorted(filters), share),
        kind is not Kind.LIST and random.random() < share,
        subset(random, [each for each, possible in measures.items() if possible], max(share, random.random())),
    )


def subset(random: Random, of: Iterable[T], share: float) -> frozenset[T]:
    return frozenset(each for each in of if random.random() < share)


def looked_up(kind: str) -> set[tuple[str, ...]]:
    """The columns rows of a type are looked up by: their key, and what links to them name."""
    links = (link for each in MODEL.values() for link in each.links.values())
    return {MODEL[kind].key, *(link.there for link in links if link.to == kind)}
