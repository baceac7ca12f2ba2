"""The contract of every connector: what its capabilities declare, it answers as the SPI defines it.

A new connector is one line in SOURCES, in conftest.py. Each law is tried with as many requests as the connector is fast
enough for, in the long tests with ten times as many, and with all of them where FUZZ is set.
"""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from onedoor.spi.capabilities import ColumnType
from onedoor.spi.connector import Connector
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest
from tests.contract import group_requests, in_keys_requests, join_requests, scan_requests
from tests.contract.conftest import OpenedConnector, open_connector, read_rows
from tests.contract.reference import evaluate
from tests.contract.scan_requests import CollectionFacts

pytestmark = pytest.mark.asyncio(loop_scope="module")

AT_ONCE = 4
TYPES = {
    ColumnType.TEXT: str,
    ColumnType.INTEGER: int,
    ColumnType.FLOAT: float,
    ColumnType.DECIMAL: Decimal,
    ColumnType.BOOLEAN: bool,
    ColumnType.DATE: date,
    ColumnType.TIME: datetime,
    ColumnType.LIST: tuple,
}
LAWS: dict[str, Callable[[CollectionFacts, dict[str, CollectionFacts]], Iterable[ScanRequest]]] = {
    "columns": lambda facts, _: scan_requests.projections(facts),
    "filters": lambda facts, _: scan_requests.filters(facts),
    "nested filters": lambda facts, _: scan_requests.nested_filters(facts),
    "related": scan_requests.related,
    "joins": join_requests.joined,
    "orders": lambda facts, _: scan_requests.orders(facts),
    "limits": lambda facts, _: scan_requests.limits(facts),
    "keys": lambda facts, _: scan_requests.keys(facts),
    "keys beside the rest": lambda facts, _: scan_requests.keys_beside_the_rest(facts),
    "keys in a filter": in_keys_requests.in_keys,
    "counts": lambda facts, _: scan_requests.counts(facts),
    "aggregates": lambda facts, _: group_requests.aggregated(facts),
    "time buckets": lambda facts, _: group_requests.bucketed(facts),
    "having, order and limit of groups": lambda facts, _: group_requests.arranged_groups(facts),
}


@pytest.mark.parametrize("times", [pytest.param(1, id="some"), pytest.param(10, id="many", marks=pytest.mark.long)])
@pytest.mark.parametrize("law", LAWS)
async def test_a_declared_capability_is_answered_as_the_spi_defines_it(
    opened_connector: OpenedConnector, law: str, times: int
) -> None:
    tables = {name: facts.rows for name, facts in opened_connector.facts.items()}
    every = [
        scan_request
        for facts in opened_connector.facts.values()
        for scan_request in LAWS[law](facts, opened_connector.facts)
    ]
    wanted = every if "FUZZ" in os.environ else scan_requests.spread(every, times * opened_connector.most)
    answers = await read_all(opened_connector.source, wanted)
    wrong = [
        (scan_request, answer, evaluate(scan_request, tables))
        for scan_request, answer in zip(wanted, answers, strict=True)
        if not is_same_answer(
            scan_request, answer, evaluate(scan_request, tables), opened_connector.facts[scan_request.collection]
        )
    ]
    assert wrong[:5] == [], f"{len(wrong)} of {len(wanted)} asks"


async def test_a_plain_read_gives_back_what_was_put_in(opened_connector: OpenedConnector) -> None:
    results = {
        name: sorted(repr(tuple(row.values())) for row in facts.rows) for name, facts in opened_connector.facts.items()
    }
    put = {
        name: sorted(map(repr, expected.rows))
        for name, expected in opened_connector.expected.items()
        if expected.rows is not None
    }
    assert {name: results[name] for name in put} == put


async def test_a_value_is_of_its_columns_type(opened_connector: OpenedConnector) -> None:
    odd = [
        (facts.name, name, value)
        for facts in opened_connector.facts.values()
        for row in facts.rows
        for name, value in row.items()
        if value is not None and not is_of_type(value, facts.can.columns[name].type)
    ]
    assert odd == []


async def test_no_two_rows_have_the_same_key(opened_connector: OpenedConnector) -> None:
    results = [
        (facts.name, *(row[column] for column in facts.key))
        for facts in opened_connector.facts.values()
        for row in facts.rows
    ]
    assert [key for key, times in Counter(results).items() if times > 1 or None in key] == []


async def test_a_missing_collection_raises_key_error(opened_connector: OpenedConnector) -> None:
    with pytest.raises(KeyError):
        opened_connector.source.capabilities("no such collection")


async def test_a_connector_answers_a_ping(opened_connector: OpenedConnector) -> None:
    await opened_connector.source.ping()


@pytest.mark.parametrize("turns", [0, 1, 2, 5, 50])
async def test_a_cancelled_read_leaves_it_usable(opened_connector: OpenedConnector, turns: int) -> None:
    facts = next(iter(opened_connector.facts.values()))
    scan_request = scan_requests.build_request(facts, tuple(facts.can.columns))
    for _ in range(AT_ONCE + 1):
        await cancelled_after(turns, read_rows(opened_connector.source, scan_request))
    again = await read_rows(opened_connector.source, scan_request)
    assert Counter(again) == Counter(tuple(row.values()) for row in facts.rows)


MADE_ANEW = frozenset({"changes", "folder", "jobs"})
"""Sources whose data are made with the connector, under ids or times that are never the same twice."""


async def test_a_fresh_connector_reads_the_same_after_all_other_cases(
    opened_connector: OpenedConnector, request: pytest.FixtureRequest
) -> None:
    async with open_connector(request, opened_connector.name) as fresh:
        before, after = ({name: facts.rows for name, facts in item.facts.items()} for item in (opened_connector, fresh))
    if opened_connector.name in MADE_ANEW:
        assert {name: len(rows) for name, rows in after.items()} == {name: len(rows) for name, rows in before.items()}
    else:
        assert after == before


async def cancelled_after(turns: int, work: Any) -> None:
    """Cancel work after a number of turns of the event loop, wherever it then is."""
    task = asyncio.ensure_future(work)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def read_all(source: Connector, wanted: list[ScanRequest]) -> list[Any]:
    """Return the rows of each request, or the exception in their place; a few requests run at a time."""
    free = asyncio.Semaphore(AT_ONCE)

    async def turn(scan_request: ScanRequest) -> Any:
        async with free:
            try:
                return await read_rows(source, scan_request)
            except Exception as failure:
                return failure

    return await asyncio.gather(*map(turn, wanted))


def is_of_type(value: Any, kind: ColumnType) -> bool:
    if kind is ColumnType.LIST:
        return type(value) is tuple and all(type(item) is str for item in value)
    return type(value) is TYPES[kind] and (kind is not ColumnType.TIME or value.tzinfo is UTC)  # type: ignore[attr-defined]


def is_same_answer(scan_request: ScanRequest, actual: Any, expected: list[Row], facts: CollectionFacts) -> bool:
    """Return whether the rows are the same, in the same order where one was requested: with keys, for each key."""
    if isinstance(actual, Exception) or not all(type(row) is tuple for row in actual):
        return False
    if Counter(map(with_types, actual)) != Counter(map(with_types, expected)):
        return False
    return list(in_order(scan_request, actual)) == list(in_order(scan_request, expected))


def with_types(row: Row) -> Row:
    """Add what equality ignores: the type of a value, and the decimal places of money."""
    return tuple((type(item), str(item) if isinstance(item, Decimal) else item) for item in row)


def in_order(scan_request: ScanRequest, rows: list[Row]) -> Iterator[tuple[Row, list[Row]]]:
    """Yield each key with the values of the sorted columns, row after row."""
    places = [group_requests.names(scan_request)[sort_key.column] for sort_key in scan_request.sort]
    leading = [
        scan_request.columns.index(column)
        for column in (scan_request.keys.columns if scan_request.keys and scan_request.sort else ())
    ]
    keys = dict.fromkeys(tuple(row[at] for at in leading) for row in rows)
    for key in sorted(keys, key=repr):
        yield key, [tuple(row[place] for place in places) for row in rows if tuple(row[at] for at in leading) == key]
