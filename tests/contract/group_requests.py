"""Build the grouped requests that test what a collection declares; one function for each law."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from onedoor.spi.capabilities import Column, ColumnType
from onedoor.spi.predicates import (
    ALWAYS_TRUE,
    And,
    Comparison,
    Not,
    Op,
    Or,
)
from onedoor.spi.scan import COUNT_ROWS, AggregateCall, AggregateFunction, ScanRequest, SortKey, TimeBucket, TimeUnit
from tests.contract.reference import evaluate
from tests.contract.scan_requests import HOSTILE, LIMITS, CollectionFacts, build_request, keys, nested_filters, spread

COUNTS = (AggregateFunction.COUNT, AggregateFunction.COUNT_DISTINCT)
COMPARING = frozenset({Op.EQ, Op.NE, Op.IN, Op.NOT_IN, Op.IS_NULL, Op.LT, Op.LTE, Op.GT, Op.GTE})
"""What `having` may test on a count or sum; on a minimum or maximum, what its column takes in a filter."""

SOME = 90
"""The requests tried for one grouping; its columns, aggregates and units still multiply them."""


def able(facts: CollectionFacts) -> list[str]:
    """List the columns that can be grouped by."""
    return [name for name, column in facts.can.columns.items() if Op.EQ in column.filters]


def declared(facts: CollectionFacts) -> list[AggregateCall]:
    return [
        AggregateCall(aggregate, name)
        for name, column in facts.can.columns.items()
        for aggregate in sorted(column.aggregates)
    ]


def aggregated(facts: CollectionFacts) -> Iterator[ScanRequest]:
    """Compute each aggregate, alone and together: of all rows, by columns, under filters, by keys."""
    if not facts.can.aggregates:
        return
    every = (COUNT_ROWS, *declared(facts))
    names = able(facts)
    groups = [(), *((name,) for name in names), tuple(names[:2]), tuple(names[-3:])]
    filter_requests = [
        ALWAYS_TRUE,
        Or(()),
        *spread([nested_filter.filter for nested_filter in nested_filters(facts)], 4),
    ]
    for columns in groups:
        yield from (build_request(facts, columns, filter=where, aggregates=every) for where in filter_requests)
        yield build_request(facts, columns, aggregates=every[::-1])
        yield from (build_request(facts, columns, aggregates=(item,)) for item in every)
    for base in keys(facts):
        assert base.keys is not None
        if set(base.keys.columns) <= set(names):
            yield build_request(facts, base.keys.columns, keys=base.keys, aggregates=every)
            yield build_request(
                facts, base.keys.columns, keys=base.keys, filter=filter_requests[-1], aggregates=every[:3]
            )


def bucketed(facts: CollectionFacts) -> Iterator[ScanRequest]:
    """Group each date or time by each unit, alone, beside another column and beside another bucket."""
    if not facts.can.aggregates:
        return
    few = (COUNT_ROWS, *spread(declared(facts), 4))
    cuts = [cut for name in able(facts) for cut in units(facts.can.columns[name], name, facts.can.time_buckets)]
    for cut, other in zip(cuts, [*cuts[3:], *cuts[:3]], strict=True):
        beside = next(name for name in facts.can.columns if name != cut.column)
        yield build_request(facts, (cut.column,), time_buckets=(cut,), aggregates=few)
        yield build_request(facts, (beside, cut.column), time_buckets=(cut,), aggregates=(COUNT_ROWS,))
        yield build_request(
            facts, (cut.column,), time_buckets=(cut,), aggregates=(AggregateCall(AggregateFunction.COUNT, cut.column),)
        )
        if other.column != cut.column:
            yield build_request(facts, (cut.column, other.column), time_buckets=(cut, other), aggregates=few)


def units(column: Column, name: str, taken: frozenset[TimeUnit]) -> list[TimeBucket]:
    if column.type not in (ColumnType.DATE, ColumnType.TIME):
        return []
    return [
        TimeBucket(name, item) for item in sorted(taken) if column.type is ColumnType.TIME or item is not TimeUnit.HOUR
    ]


def arranged_groups(facts: CollectionFacts) -> Iterator[ScanRequest]:
    """Filter, sort and limit groups by their aggregates."""
    if not (facts.can.aggregates and facts.can.group_ordering_and_limit):
        return
    for base in bases(facts):
        yield from having(facts, base)
        yield from ordered(base)


def bases(facts: CollectionFacts) -> Iterator[ScanRequest]:
    every = (COUNT_ROWS, *declared(facts))
    cut = [cut for name in able(facts) for cut in units(facts.can.columns[name], name, facts.can.time_buckets)]
    for columns in [(), *((item,) for item in able(facts)), tuple(able(facts)[:2])]:
        yield build_request(facts, columns, aggregates=every)
    yield from (build_request(facts, (item.column,), aggregates=every, time_buckets=(item,)) for item in cut)


def having(facts: CollectionFacts, base: ScanRequest) -> Iterator[ScanRequest]:
    rows = [dict(zip(names(base), row, strict=True)) for row in evaluate(base, {facts.name: facts.rows})]
    few = [
        Comparison(item, op, value)
        for item, ops, hostile in askable(facts, base)
        for op in ops
        for value in operands(op, spread([row[item] for row in rows if row[item] is not None], 2), hostile)
    ]
    some = spread(few, SOME)
    yield from (replace(base, having=item) for item in some)
    for one, two in zip(some[::5], some[2::5], strict=False):
        yield replace(base, having=Or((Not(one), two)))
        yield replace(base, having=Not(And((one, Not(two)))))


def askable(facts: CollectionFacts, base: ScanRequest) -> Iterator[tuple[str, Sequence[Op], Sequence[Any]]]:
    """Yield each column of a result row with its operators and values that no row has."""
    for name in base.columns:
        column = facts.can.columns[name]
        yield name, sorted(column.filters), HOSTILE[column.type][:4]
    for aggregate in base.aggregates:
        if aggregate.column is None or aggregate.function in COUNTS:
            yield aggregate.name, sorted(COMPARING), HOSTILE[ColumnType.INTEGER]
            continue
        column = facts.can.columns[aggregate.column]
        ops = COMPARING if aggregate.function is AggregateFunction.SUM else column.filters
        yield aggregate.name, sorted(ops), HOSTILE[column.type][-3:]


def operands(op: Op, values: Sequence[Any], hostile: Sequence[Any]) -> list[Any]:
    if op is Op.IS_NULL:
        return [True, False]
    return [tuple(values), tuple(hostile), (*values, *hostile)] if op in (Op.IN, Op.NOT_IN) else [*values, *hostile]


def ordered(base: ScanRequest) -> Iterator[ScanRequest]:
    """Sort in both directions, nulls last and first, alone and before the rest, without and with limits."""
    ties = tuple(map(SortKey, base.columns))
    every = [SortKey(name, down, first) for name in names(base) for down in (False, True) for first in (False, True)]
    ways = spread(every, SOME // 3)
    for way, two in zip(ways, [*ways[5:], *ways[:5]], strict=True):
        yield replace(base, sort=(way,))
        whole = once((way, two, *ties))
        yield from (replace(base, sort=whole, limit=limit) for limit in (None, *LIMITS))


def once(order: Sequence[SortKey]) -> tuple[SortKey, ...]:
    """Sort by each column once only."""
    return tuple({sort_key.column: sort_key for sort_key in reversed(order)}.values())[::-1]


def names(scan_request: ScanRequest) -> Mapping[str, int]:
    """Return the place of each column in a result row."""
    return {
        item: index
        for index, item in enumerate(
            (*scan_request.columns, *(aggregate.name for aggregate in scan_request.aggregates))
        )
    }
