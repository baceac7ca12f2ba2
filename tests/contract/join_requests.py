"""Build the requests that test joins: of the one related row and what it leads to, and of aggregates of many."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from onedoor.spi.predicates import And, Comparison, Exists, Op, Or
from onedoor.spi.scan import COUNT_ROWS, AggregateCall, AggregateFunction, Join, ScanRequest, SortKey
from tests.contract.scan_requests import LIMITS, CollectionFacts, build_request, keys, spread

SOME_COLUMNS = 5
EXTREMES = (AggregateFunction.MIN, AggregateFunction.MAX)


def joined(facts: CollectionFacts, others: Mapping[str, CollectionFacts]) -> Iterator[ScanRequest]:
    if not facts.can.joins:
        return
    keyed = spread([item for item in keys(facts) if item.keys and len(item.keys.values) > 1], 2)
    for link in facts.links:
        other = others[link.collection]
        if link.inner_columns == other.key:
            joins = list(single_joins(link, other, others))
            for column in spread(list(other.can.columns), SOME_COLUMNS):
                yield from requests(facts, joins, f"one.{column}", keyed)
            yield from requests(facts, joins, joins[-1].output_columns[-1], keyed)
        join = aggregate_join(link, other)
        for name in join.output_columns:
            yield from requests(facts, [join], name, keyed)


def single_joins(link: Exists, other: CollectionFacts, others: Mapping[str, CollectionFacts]) -> Iterator[Join]:
    """Yield a join of all columns, and one to what lies beyond."""
    columns = tuple(other.can.columns)
    first = Join(
        collection=link.collection, outer_columns=link.outer_columns, inner_columns=link.inner_columns,
        columns=columns, output_columns=tuple(f"one.{column}" for column in columns),
    )  # fmt: skip
    yield first
    for beyond in other.links:
        further = others[beyond.collection]
        if beyond.inner_columns == further.key:
            names = tuple(further.can.columns)
            yield Join(
                collection=beyond.collection, outer_columns=tuple(f"one.{name}" for name in beyond.outer_columns),
                inner_columns=beyond.inner_columns, columns=names,
                output_columns=tuple(f"one.{beyond.collection}.{name}" for name in names),
            )  # fmt: skip


def aggregate_join(link: Exists, other: CollectionFacts) -> Join:
    calls = (
        COUNT_ROWS,
        *(
            AggregateCall(function, name)
            for name, column in other.can.columns.items()
            for function in sorted(column.aggregates)
        ),
    )
    return Join(
        collection=link.collection, outer_columns=link.outer_columns, inner_columns=link.inner_columns,
        aggregates=calls, output_columns=tuple(f"many.{call.name}" for call in calls),
    )  # fmt: skip


def requests(facts: CollectionFacts, joins: list[Join], name: str, keyed: list[ScanRequest]) -> Iterator[ScanRequest]:
    """Show a joined column, sort and limit by it, begin after a value, group by it; with keys and without."""
    more: dict[str, Any] = {"joins": tuple(joins)}
    columns, key = (*facts.key, name), tuple(map(SortKey, facts.key))
    for way in (SortKey(name), SortKey(name, True), SortKey(name, True, True), SortKey(name, False, True)):
        yield build_request(facts, columns, sort=(way, *key), **more)
        yield from (build_request(facts, columns, sort=(way, *key), limit=limit, **more) for limit in LIMITS)
    for item in keyed:
        assert item.keys is not None
        wanted = tuple(dict.fromkeys((*item.keys.columns, *columns)))
        request = build_request(facts, wanted, keys=item.keys, sort=(SortKey(name), *key), **more)
        yield from (request, replace(request, limit=1))
    is_empty = Comparison(name, Op.IS_NULL, True)
    for where in (is_empty, And((Comparison(name, Op.IS_NULL, False), *facts.links[:1])), Or((is_empty,))):
        yield build_request(facts, columns, filter=where, **more)
    if "(" not in name:
        yield build_request(facts, (name,), aggregates=(COUNT_ROWS,), sort=(SortKey(name, True),), limit=3, **more)
        yield build_request(facts, (facts.key[0], name), aggregates=(COUNT_ROWS,), **more)
