"""Draw random capabilities for a collection."""

from collections.abc import Iterable
from random import Random
from typing import TypeVar

from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.scan import AggregateFunction, TimeUnit
from tests import acme
from tests.properties.equality.model import KINDS, MODEL

T = TypeVar("T")
NUMBERS = frozenset({ColumnType.INTEGER, ColumnType.FLOAT, ColumnType.DECIMAL})
ORDERED = NUMBERS | {ColumnType.TEXT, ColumnType.DATE, ColumnType.TIME}
SHARES = (0.0, 0.3, 0.8, 0.95, 1.0, 1.0)


def draw_capabilities(random: Random, kind: str, rows: int) -> Capabilities:
    """Most of the time much is promised, so that the last steps are often pushed down."""
    share = random.choice(SHARES)

    def odds() -> bool:
        return random.random() < share

    return Capabilities(
        columns={name: column(random, KINDS[item.scalar], share) for name, item in MODEL[kind].columns.items()},
        max_keys=random.choice([1, 2, 7, 1000]) if odds() else 0,
        key_columns=subset(random, sorted(looked_up(kind)), share) if random.random() < 0.3 else frozenset(),
        boolean_filters=odds(),
        exists_filters=odds(),
        joins=odds(),
        max_in_filter_keys=random.choice([1, 3, 1000, 1000]) if odds() else 0,
        limit=odds(),
        limit_per_key=odds(),
        aggregates=odds(),
        time_buckets=subset(random, TimeUnit, share),
        group_ordering_and_limit=odds(),
        row_count=random.choice([None, rows, rows, 0, 1000, 10**7]),
    )


def column(random: Random, kind: ColumnType, share: float) -> Column:
    filters = acme.FOLDED if kind is ColumnType.TEXT else frozenset() if kind is ColumnType.LIST else acme.ORDERED
    measures = {
        **dict.fromkeys([AggregateFunction.COUNT, AggregateFunction.COUNT_DISTINCT], kind is not ColumnType.LIST),
        **dict.fromkeys([AggregateFunction.MIN, AggregateFunction.MAX], kind in ORDERED),
        AggregateFunction.SUM: kind in NUMBERS,
    }
    return Column(
        kind,
        filters if random.random() < share else subset(random, sorted(filters), share),
        kind is not ColumnType.LIST and random.random() < share,
        subset(random, [name for name, possible in measures.items() if possible], max(share, random.random())),
    )


def subset(random: Random, of: Iterable[T], share: float) -> frozenset[T]:
    return frozenset(item for item in of if random.random() < share)


def looked_up(kind: str) -> set[tuple[str, ...]]:
    """The columns rows of a type are looked up by: their key, and what links to them name."""
    links = (link for item in MODEL.values() for link in item.links.values())
    return {MODEL[kind].key, *(link.there for link in links if link.to == kind)}
