"""The plan of an executed query says the outcome of each scan; a plan without data reads nothing."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from onedoor.audit.record import AuditOutcome
from onedoor.connectors.memory import MemoryConnector
from onedoor.errors import ErrorCode
from onedoor.model.catalog import Limits
from onedoor.query.audited import classify_outcome
from onedoor.query.context import ExecutionResult, QueryEngine
from onedoor.runtime.row_cache import InMemoryCacheStore, RowCache
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest
from tests import acme
from tests.golden.test_golden import CASES, HERE, engine, read_json

BUSY = "{ customers(where: {usage: {some: {apiCalls: {gt: 4500}}}}, first: 3) { nodes { id orders { totalCount } } } }"


MILLISECONDS = re.compile(r"[\d.]+ ms")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def cached_engine() -> QueryEngine:
    """Customers are kept for a minute."""
    store = InMemoryCacheStore(max_entries=100, max_bytes=1_000_000, clock=lambda: 0.0)
    fresh = {"internal": {"customer": 60.0}}
    cache = RowCache(store=store, max_ages=fresh, secret=b"a secret of thirty-two characters", now=lambda: NOON)
    return replace(acme.open_engine(acme.build_catalog()), cache=cache)


def get_first_scan_line(result: ExecutionResult) -> str:
    """Of the first read."""
    return result.extensions["plan"]["text"][1]


class CountingConnector(MemoryConnector):
    """Counts its reads, and takes its time over some."""

    def __init__(self, of: MemoryConnector, slow: str = "") -> None:
        super().__init__(of.collections)
        self.slow, self.reads = slow, 0

    async def scan(self, ask: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        self.reads += 1
        if ask.collection == self.slow:
            await asyncio.sleep(60)
        async for rows in super().scan(ask):
            yield rows


def build_counting_engine(
    slow: str = "", limits: Limits | None = None
) -> tuple[QueryEngine, dict[str, CountingConnector]]:
    sources = {name: CountingConnector(source, slow) for name, source in acme.sources().items()}
    return acme.open_engine(acme.build_catalog(sources, limits)), sources


def list_scans(result: ExecutionResult) -> Iterator[dict[str, Any]]:
    waiting = [read for branch in result.extensions["plan"]["branches"] for read in list_node_scans(branch)]
    while waiting:
        branch = waiting.pop(0)
        yield branch
        waiting = [*branch["reads"], *waiting]


def list_node_scans(branch: Any) -> Iterator[Any]:
    yield from branch["reads"]
    for item in branch["branches"]:
        yield from list_node_scans(item)


async def run_case(name: str, *, promising: bool, **more: Any) -> ExecutionResult:
    folder = HERE / name
    groups = (folder / "caller").read_text().split()
    options = {**read_json(folder / "options.json"), **more}
    variables = read_json(folder / "variables.json")
    query = (folder / "query.graphql").read_text()
    return await acme.ask(engine(promising=promising), query, *groups, variables=variables, **options)


@pytest.mark.parametrize("promising", [True, False], ids=["promising", "promising nothing"])
@pytest.mark.parametrize("name", CASES)
async def test_a_plan_counts_every_call_and_changes_no_data(name: str, promising: bool) -> None:
    result, plain = await run_case(name, promising=promising, plan=True), await run_case(name, promising=promising)
    ran = [scan["ran"] for scan in list_scans(result) if "ran" in scan] if not result.rejected else []

    assert (result.data, result.errors) == (plain.data, plain.errors)
    rows, all_rows = sum(item.get("rows", 0) for item in ran), sum(stat.row_count for stat in result.scan_stats)
    sees_all = "vendor" not in (HERE / name / "caller").read_text().split()
    assert rows == all_rows if sees_all else rows <= all_rows, "the rows of a type are not counted for who sees some"
    assert sum(item.get("calls", 0) for item in ran) == sum(scan_stat.call_count for scan_stat in result.scan_stats)
    assert sum(item["ms"] for item in ran) == pytest.approx(
        sum(scan_stat.milliseconds for scan_stat in result.scan_stats), abs=0.01
    )


async def test_a_scan_says_its_rows_bytes_calls_and_keys() -> None:
    result = await acme.ask(acme.open_engine(acme.build_catalog()), BUSY, "sales", plan=True)
    customers, usage, orders = list_scans(result)

    assert [(item["collection"], item["ran"]["rows"], item["ran"]["calls"]) for item in (customers, usage, orders)] == [
        ("customer", 98, 1), ("usage_day", 98, 1), ("orders", 3, 1),
    ]  # fmt: skip
    assert (customers["ran"]["keys"], orders["ran"]["keys"]) == (98, 3)
    assert orders["ran"]["bytes"] == len("[[1,11],[2,11],[3,11]]")
    assert orders["ran"]["ms"] > 0


async def test_the_text_of_a_plan_says_the_outcome_of_each_scan() -> None:
    result = await acme.ask(acme.open_engine(acme.build_catalog()), BUSY, "sales", plan=True)
    lines = [MILLISECONDS.sub("1.0 ms", item.strip()) for item in result.extensions["plan"]["text"]]

    assert "rows from internal customer (id): 98 rows, 483 bytes, for 98 keys, 1 call, 1.0 ms" in lines
    assert "tally from internal orders (customer_id): 3 rows, 22 bytes, for 3 keys, 1 call, 1.0 ms" in lines


async def test_a_scan_says_how_long_its_rows_are_cached_and_when_they_were_read(cached_engine: QueryEngine) -> None:
    text = "{ customers(first: 2) { nodes { id orders { totalCount } } } }"
    first, again = [await acme.ask(cached_engine, text, "sales", plan=True) for _ in range(2)]
    read, cached = [next(list_scans(item)) for item in (first, again)]

    assert (read["fresh"], [*read["ran"]]) == (60.0, ["calls", "rows", "bytes", "ms"])
    assert ("calls" in cached["ran"], cached["ran"]["cached"], cached["ran"]["at"]) == (False, 1, NOON.isoformat())
    assert (
        "rows from internal customer (id), cached for up to 60 s: 2 rows, 9 bytes, 0 calls, 1 cached since"
        in get_first_scan_line(again)
    )
    assert [scan.get("fresh") for scan in list_scans(again)] == [60.0, None]


async def test_a_plan_without_data_says_how_long_rows_are_cached(cached_engine: QueryEngine) -> None:
    result = await acme.ask(cached_engine, "{ customers(first: 2) { nodes { id } } }", "sales", plan="ONLY")

    assert [scan["fresh"] for scan in list_scans(result)] == [60.0]


async def test_the_steps_of_a_scan_are_those_taken_once_its_keys_are_known() -> None:
    engine, sources = build_counting_engine()
    capabilities = sources["internal"].collections["customer"].capabilities
    sources["internal"].collections = {
        **sources["internal"].collections,
        "customer": replace(
            sources["internal"].collections["customer"], capabilities=replace(capabilities, max_in_filter_keys=1000)
        ),
    }
    result = await acme.ask(engine, BUSY, "sales", plan=True)

    assert next(list_scans(result))["steps"] == [
        {
            "step": "where", "how": "CARRIED", "what": "id among 98 keys of snowflake usage_day",
            "why": "its keys were read first, from `snowflake`",
        },
        {"step": "order", "how": "PUSHED_DOWN", "what": "id"},
        {"step": "limit", "how": "PUSHED_DOWN", "what": "3"},
    ]  # fmt: skip


async def test_keys_that_are_too_many_for_a_filter_are_spread_over_calls() -> None:
    result = await acme.ask(acme.open_engine(acme.build_catalog()), BUSY, "sales", plan=True)

    assert next(list_scans(result))["steps"][0] == {
        "step": "keys", "how": "CARRIED", "what": "id",
        "why": "they were read first, and `internal` takes no keys in a filter",
    }  # fmt: skip


async def test_a_scan_without_keys_is_shown_as_skipped() -> None:
    text = '{ customers(where: {id: {eq: "0"}}) { nodes { orders { totalCount } } } }'
    result = await acme.ask(acme.open_engine(acme.build_catalog()), text, "sales", plan=True)

    assert [(scan["collection"], scan.get("idle")) for scan in list_scans(result)] == [
        ("customer", None),
        ("orders", True),
    ]
    assert "    tally from internal orders (customer_id): skipped" in result.extensions["plan"]["text"]


async def test_a_plan_without_data_reads_nothing() -> None:
    engine, sources = build_counting_engine()
    result = await acme.ask(engine, BUSY, "sales", plan="ONLY")

    assert (result.data, result.scan_stats, {source.reads for source in sources.values()}) == (None, [], {0})
    assert [scan["collection"] for scan in list_scans(result)] == ["customer", "usage_day", "orders"]
    assert classify_outcome(result) is AuditOutcome.ANSWERED


async def test_a_plan_without_data_is_held_to_the_limits() -> None:
    result = await acme.ask(
        acme.open_engine(acme.build_catalog()), "{ products(first: 1001) { nodes { id } } }", plan="ONLY"
    )

    assert (result.rejected, [error.code for error in result.errors]) == (True, [ErrorCode.LIMIT_EXCEEDED])


async def test_a_plan_without_data_says_what_is_denied() -> None:
    text = "{ customers(first: 1) { nodes { creditLimit } } }"
    result = await acme.ask(acme.open_engine(acme.build_catalog()), text, "sales", plan="ONLY")

    assert ([error.code for error in result.errors], classify_outcome(result)) == (
        [ErrorCode.FORBIDDEN],
        AuditOutcome.PARTIAL,
    )


async def test_a_query_that_takes_too_long_shows_its_plan_as_far_as_it_came() -> None:
    engine, _ = build_counting_engine("orders", Limits(request_seconds=0.3))
    result = await acme.ask(engine, BUSY, "sales", plan=True)

    assert [error.code for error in result.errors] == [ErrorCode.LIMIT_EXCEEDED]
    assert [(scan["collection"], scan["ran"].get("rows")) for scan in list_scans(result)] == [
        ("customer", 98), ("usage_day", 98), ("orders", None),
    ]  # fmt: skip


@pytest.mark.parametrize("given", [1, 0, "only", "WITH", "", [], {}, ["ONLY"]])
async def test_a_plan_is_requested_in_one_of_two_ways(given: Any) -> None:
    result = await acme.ask(
        acme.open_engine(acme.build_catalog()), "{ products(first: 1) { nodes { id } } }", plan=given
    )

    assert (result.rejected, [error.message for error in result.errors]) == (
        True,
        ['`extensions.onedoor.plan` is `true`, for the plan beside the answer, or `"ONLY"`, in its place'],
    )


@pytest.mark.parametrize("given", [False, None])
async def test_a_plan_that_nobody_asks_for_is_not_shown(given: Any) -> None:
    result = await acme.ask(
        acme.open_engine(acme.build_catalog()), "{ products(first: 1) { nodes { id } } }", plan=given
    )

    assert (result.rejected, result.extensions) == (False, {})
