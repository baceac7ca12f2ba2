"""Build the requests that filter by many keys at once."""

from collections.abc import Iterator, Mapping
from itertools import pairwise

from onedoor.spi.predicates import ALWAYS_TRUE, And, Exists, InKeys, Not, Op, Or, Row
from onedoor.spi.scan import ScanRequest
from tests.contract.scan_requests import (
    CollectionFacts,
    build_request,
    distinct,
    filter_requests,
    hostile_keys,
    key_of,
    many,
    spread,
    tests,
)


def in_keys(facts: CollectionFacts, others: Mapping[str, CollectionFacts]) -> Iterator[ScanRequest]:
    """Filter by keys of one column and of more, alone and nested, up to the declared number."""
    if not facts.can.max_in_filter_keys:
        return
    able = [name for name, column in facts.can.columns.items() if Op.EQ in column.filters]
    results = [key for columns in (*((name,) for name in able), *pairwise(able)) for key in many_keys(facts, columns)]
    one = next(tests(facts), ALWAYS_TRUE)
    for result in results:
        yield build_request(facts, facts.key, filter=result)
        if facts.can.boolean_filters:
            yield from filter_requests(
                facts, (Not(result), Or((result, one)), Not(Or((Not(result), one))), And((result, Not(result))))
            )
    yield from filter_requests(
        facts, [InKeys(facts.key, frozenset(known_and_more(facts, facts.key)[: facts.can.max_in_filter_keys]))]
    )
    for link in facts.links if facts.can.exists_filters and facts.can.boolean_filters else ():
        other = others[link.collection]
        for inner in spread(list(many_keys(other, other.key)), 3):
            there = Exists(link.collection, link.outer_columns, link.inner_columns, inner)
            yield from filter_requests(facts, (there, Not(there), And((there, Not(spread(results, 1)[0])))))


def many_keys(facts: CollectionFacts, columns: tuple[str, ...]) -> Iterator[InKeys]:
    known = list(dict.fromkeys(key_of(row, columns) for row in facts.rows if None not in key_of(row, columns)))
    hostile = [key for key in hostile_keys(facts, columns, known) if key not in known]
    for chosen in ([], known[:1], spread(known, 3), known, hostile, known[:1] + hostile):
        yield InKeys(columns, frozenset(chosen[: facts.can.max_in_filter_keys]))


def known_and_more(facts: CollectionFacts, columns: tuple[str, ...]) -> tuple[Row, ...]:
    return distinct([*(key_of(row, columns) for row in facts.rows), *many(facts, columns)])
