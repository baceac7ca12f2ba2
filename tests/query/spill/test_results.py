"""Every step that the engine takes gives the same result for spilled rows as for rows in memory.

Random questions are asked so too, in tests/properties/equality.
"""

import asyncio
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from onedoor.query.context import ExecutionResult
from onedoor.query.executor.state import ScanStats
from onedoor.runtime.row_cache import InMemoryCacheStore, RowCache
from tests import acme
from tests.query.spill.engines import PATIENT, build_engine_with_capabilities, build_engine_without_capabilities
from tests.runtime.cache.cached_reader import SECRET, Clock

GROUPS = ("sales", "finance", "people", "engineering")
QUESTIONS = {
    "a filter": '{ orders(where: {total: {gt: "900"}}, first: 9) { totalCount nodes { id total } } }',
    "text in a filter": '{ customers(where: {name: {iContains: "an"}}) { totalCount nodes { name } } }',
    "an order and a limit": "{ orders(orderBy: [{total: DESC}], first: 7) { nodes { id total } } }",
    "the last": "{ orders(orderBy: [{placedAt: ASC}], last: 7) { nodes { id } pageInfo { hasPreviousPage } } }",
    "one by id": '{ order(id: "77") { id total customer { name } } }',
    "a limit a key": "{ customers(first: 5) { nodes { orders(orderBy: [{total: ASC}], first: 2) { nodes { id } } } } }",
    "a count a key": "{ customers(first: 5) { nodes { orders { totalCount } usage { totalCount } } } }",
    "keys carried here": (
        "{ customers(where: {usage: {some: {apiCalls: {gt: 5000}}}}, first: 4) { totalCount nodes { id } } }"
    ),
    "keys carried there": '{ usageDays(where: {customer: {country: {eq: "FR"}}}) { totalCount nodes { day } } }',
    "no keys": "{ customers(where: {usage: {none: {apiCalls: {gt: 5000}}}}) { totalCount nodes { id } } }",
    "an order by a link": (
        "{ orders(orderBy: [{customer: {name: DESC}}], first: 5) { nodes { id customer { name } } } }"
    ),
    "an order by an aggregate": (
        "{ customers(orderBy: [{revenue: {sum: {revenue: DESC}}}], first: 5) { nodes { id } } }"
    ),
    "an aggregate": (
        "{ orders { aggregate { count sum { total } avg { total } min { placedAt } max { note }"
        " countDistinct { status } } } }"
    ),
    "groups": (
        "{ orders { groups(by: [{status: VALUE}, {placedAt: MONTH}], having: {count: {gt: 3}},"
        " orderBy: [{sum: {total: DESC}}], first: 6) { key { status placedAt } aggregate { count sum { total } } } } }"
    ),
    "groups across a link": (
        "{ usageDays { groups(by: [{customer: {country: VALUE}}], orderBy: [{max: {apiCalls: DESC}}]) {"
        " key { customer { country } } aggregate { avg { apiCalls } sum { storageGb } countDistinct { day } } } } }"
    ),
    "groups a key": (
        "{ customers(first: 4) { nodes { id orders { groups(by: [{status: VALUE}], orderBy: [{count: DESC}], first: 2)"
        " { key { status } aggregate { count } } } } } }"
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where scratch folders are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def count_spilled_rows(result: ExecutionResult) -> int:
    return sum(scan_stat.spilled_row_count for scan_stat in result.scan_stats)


@pytest.mark.parametrize("text", QUESTIONS.values(), ids=QUESTIONS)
async def test_answers_are_the_same_however_few_rows_are_held_in_memory(folder: Path, text: str) -> None:
    whole = await acme.ask(build_engine_with_capabilities(), text, *GROUPS)
    limits = [replace(PATIENT, rows_in_memory=most) for most in (1, 7, 50_000)]
    result = [await acme.ask(build_engine_without_capabilities(limit), text, *GROUPS) for limit in limits]
    assert [item.data for item in result] == [whole.data] * 3
    assert [list(item.errors) for item in (whole, *result)] == [[]] * 4
    assert [count_spilled_rows(item) > 0 for item in result] == [True, True, False]
    assert os.listdir(folder) == []


async def test_pages_are_the_same_however_few_rows_are_held_in_memory() -> None:
    text = (
        "query ($after: String, $before: String) { orders(orderBy: [{total: DESC}], first: 7, after: $after,"
        " before: $before) { pageInfo { startCursor endCursor hasNextPage hasPreviousPage } nodes { id } } }"
    )
    few, many = (build_engine_without_capabilities(replace(PATIENT, rows_in_memory=most)) for most in (3, 50_000))
    page = (await acme.ask(many, text, *GROUPS)).data["orders"]["pageInfo"]  # type: ignore[index]
    for given in ({"after": page["endCursor"]}, {"before": page["endCursor"]}):
        result = [await acme.ask(item, text, *GROUPS, variables=given) for item in (few, many)]
        assert result[0].data == result[1].data
        assert [count_spilled_rows(item) > 0 for item in result] == [True, False]


async def test_concurrent_queries_share_a_spill_database_and_no_rows(folder: Path) -> None:
    engine, texts = build_engine_without_capabilities(replace(PATIENT, rows_in_memory=5)), [*QUESTIONS.values()]
    alone = [await acme.ask(engine, text, *GROUPS) for text in texts]
    together = await asyncio.gather(*(acme.ask(engine, text, *GROUPS) for text in texts))
    assert [item.data for item in together] == [item.data for item in alone]
    assert os.listdir(folder) == []


async def test_cached_rows_are_spilled_too() -> None:
    """What may be kept is read whole; it is poured when it is there."""
    clock = Clock()
    store = InMemoryCacheStore(max_entries=100, max_bytes=10_000_000, clock=clock)
    engine = build_engine_without_capabilities(replace(PATIENT, rows_in_memory=5))
    engine = replace(
        engine, cache=RowCache(store=store, max_ages={"internal": {"orders": 60.0}}, secret=SECRET, now=clock.now)
    )
    plain = await acme.ask(build_engine_with_capabilities(), QUESTIONS["groups"], *GROUPS)
    result = [await acme.ask(engine, QUESTIONS["groups"], *GROUPS) for _ in range(2)]
    assert [item.data for item in result] == [plain.data] * 2
    assert [[count(stats) for stats in item.scan_stats] for item in result] == [
        [(1, 0, 2000, 2000)],
        [(0, 1, 2000, 2000)],
    ]


def count(stats: ScanStats) -> tuple[int, int, int, int]:
    return stats.call_count, stats.cached_count, stats.row_count, stats.spilled_row_count
