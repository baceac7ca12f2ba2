"""However a query ends, its spill tables are gone and its error says what stopped it."""

import asyncio
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from onedoor.connectors.spill.factory import SpillTableFactory
from onedoor.errors import ConnectorError
from onedoor.query.context import ExecutionResult
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.connector import SpillTable
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest
from onedoor.spi.spill import SpillBuffer, SpillInput
from tests import acme
from tests.query.spill.engines import BATCH, PATIENT, build_engine_with_capabilities, build_engine_without_capabilities

ORDERED = "{ orders(orderBy: [{total: DESC}], first: 3) { nodes { id } } }"
GROUPED = "{ orders { groups(by: [{id: VALUE}], orderBy: [{sum: {total: DESC}}], first: 1) { aggregate { count } } } }"
FEW = replace(PATIENT, rows_in_memory=250)
SOON = 30


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where scratch folders are made."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


class Until:
    """A source that stops at a batch: it waits for ever there, or fails."""

    def __init__(self, batch: int, failure: ConnectorError | None = None) -> None:
        self.batch, self.failure = batch, failure
        self.there = asyncio.Event()
        self.reads = 0

    async def __call__(self, ask: ScanRequest, number: int) -> None:
        self.reads += number == 0
        if number < self.batch:
            return
        self.there.set()
        if self.failure is not None:
            raise self.failure
        await asyncio.Event().wait()


def list_messages(result: ExecutionResult) -> list[tuple[str, str]]:
    return [(error.code, error.message) for error in result.errors]


async def is_emptied(folder: Path) -> bool:
    """What closes goes on behind a question that was cancelled meanwhile, so it may take a moment."""
    behind = asyncio.all_tasks() - {asyncio.current_task()}
    if behind:
        await asyncio.wait(behind, timeout=SOON)
    return os.listdir(folder) == []


async def test_a_query_that_is_cancelled_while_rows_arrive_leaves_no_table(folder: Path) -> None:
    source = Until(batch=5)
    asking = asyncio.create_task(acme.ask(build_engine_without_capabilities(FEW, source), ORDERED, "finance"))
    async with asyncio.timeout(SOON):
        await source.there.wait()
    before = os.listdir(folder)
    asking.cancel()
    await asyncio.wait({asking}, timeout=SOON)
    assert (len(before), asking.cancelled(), await is_emptied(folder)) == (1, True, True)


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.03, 0.1, 0.2, 0.3])
@pytest.mark.parametrize("text", [ORDERED, GROUPED], ids=["ordered", "grouped"])
async def test_a_query_cancelled_at_any_time_leaves_nothing(folder: Path, text: str, seconds: float) -> None:
    asking = asyncio.create_task(acme.ask(build_engine_without_capabilities(FEW), text, "finance"))
    await asyncio.sleep(seconds)
    asking.cancel()
    await asyncio.wait({asking}, timeout=SOON)
    assert (asking.done(), await is_emptied(folder)) == (True, True)


async def test_a_query_that_takes_too_long_leaves_no_table(folder: Path) -> None:
    source = Until(batch=5)
    result = await acme.ask(
        build_engine_without_capabilities(replace(FEW, request_seconds=2), source), ORDERED, "finance"
    )
    limit = "the limit `request_seconds` of 2"
    assert list_messages(result) == [("LIMIT_EXCEEDED", f"the answer took longer than {limit}, ask for less")]
    assert (source.there.is_set(), await is_emptied(folder)) == (True, True)


async def test_a_request_that_fails_after_rows_were_spilled_is_not_retried(folder: Path) -> None:
    source = Until(batch=5, failure=ConnectorError("`internal` is gone", retryable=True))
    result = await acme.ask(build_engine_without_capabilities(FEW, source), ORDERED, "finance")
    assert (list_messages(result), result.data) == ([("SOURCE_UNAVAILABLE", "`internal` is gone")], {"orders": None})
    assert (source.reads, os.listdir(folder)) == (1, [])


async def test_a_request_that_fails_before_rows_were_spilled_is_retried(folder: Path) -> None:
    async def stumbles(ask: ScanRequest, number: int) -> None:
        if number == 1 and not stumbled:
            stumbled.append(ask)
            raise ConnectorError("`internal` is gone", retryable=True)

    stumbled: list[ScanRequest] = []
    text = "{ orders { aggregate { count sum { total } } } }"
    result = await acme.ask(build_engine_without_capabilities(FEW, stumbles), text, "finance")
    whole = await acme.ask(build_engine_with_capabilities(), text, "finance")
    assert (result.data, len(stumbled), os.listdir(folder)) == (whole.data, 1, [])


async def test_a_full_spill_database_is_no_failure_of_the_connector(folder: Path) -> None:
    """Its breaker stays closed, and what needs no scratch table is answered beside."""
    engine = build_engine_without_capabilities(replace(FEW, scratch_bytes=1))
    result = [
        await acme.ask(engine, f"{ORDERED[:-1]} product(id: 1) {{ id }} }}", "finance", "sales") for _ in range(7)
    ]
    reason = "more rows outgrow memory than the limit `scratch_bytes` of 1 lets, filter it or ask again later"
    expected: Any = ({"orders": None, "product": {"id": "1"}}, [("LIMIT_EXCEEDED", reason)])
    assert [(item.data, list_messages(item)) for item in result] == [expected] * 7
    assert os.listdir(folder) == []


async def test_without_a_spill_folder_only_scans_that_need_one_fail(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "nowhere"))
    result = await acme.ask(
        build_engine_without_capabilities(FEW), f"{ORDERED[:-1]} product(id: 1) {{ id }} }}", "finance", "sales"
    )
    assert (result.data, list_messages(result)) == (
        {"orders": None, "product": {"id": "1"}},
        [("SOURCE_UNAVAILABLE", "there is no room for a spill database")],
    )


async def test_a_scan_over_rows_read_fails_though_its_rows_were_spilled(folder: Path) -> None:
    result = await acme.ask(build_engine_without_capabilities(replace(FEW, rows_read=1000)), ORDERED, "finance")
    reason = "a read of `internal` is over the limit `rows_read` of 1000, filter it"
    assert (list_messages(result), os.listdir(folder)) == ([("LIMIT_EXCEEDED", reason)], [])


async def test_too_many_keys_fail_though_the_rows_that_name_them_were_spilled(folder: Path) -> None:
    text = "{ orders(where: {customer: {usage: {some: {apiCalls: {gt: 0}}}}}, first: 1) { nodes { id } } }"
    result = await acme.ask(
        build_engine_without_capabilities(replace(FEW, cross_source_keys_max=20)), text, "finance", "sales"
    )
    assert [
        (code, "the limit `cross_source_keys_max` of 20" in message) for code, message in list_messages(result)
    ] == [("LIMIT_EXCEEDED", True)]
    assert os.listdir(folder) == []


async def test_rows_that_are_spilled_do_not_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is under way in the two threads of the spill database comes on top of the limit."""
    alive, most = 0, 0

    class Counted(tuple[Any, ...]):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    async def counting(ask: ScanRequest, number: int) -> None:
        nonlocal most
        most = max(most, alive)

    engine = build_engine_without_capabilities(FEW, counting)
    inner = engine.catalog.connectors["snowflake"].of  # type: ignore[attr-defined]
    real = inner.scan

    async def read(ask: ScanRequest) -> Any:
        nonlocal alive
        async for rows in real(ask):
            yield _Lazily(rows)

    class _Lazily(list[Any]):
        """Rows that are made when they are given."""

        def __getitem__(self, at: Any) -> Any:
            nonlocal alive
            rows = [Counted(item) for item in super().__getitem__(at)]
            alive += len(rows)
            return rows

    monkeypatch.setattr(inner, "scan", read)
    text = "{ usageDays { aggregate { count max { apiCalls } } } }"
    result, whole = (
        await acme.ask(engine, text, "sales"),
        await acme.ask(build_engine_with_capabilities(), text, "sales"),
    )
    assert (result.data, result.scan_stats[0].spilled_row_count) == (whole.data, 3000)
    assert FEW.rows_in_memory - BATCH < most <= 4 * FEW.rows_in_memory


async def test_rows_that_arrive_one_by_one_are_spilled_in_batches() -> None:
    trips: list[int] = []

    class Counting:
        """A table that notes how many rows each trip brings."""

        def __init__(self, of: SpillTable) -> None:
            self.of = of
            self.scan, self.close = of.scan, of.close

        async def append_rows(self, rows: Sequence[Row]) -> None:
            trips.append(len(rows))
            await self.of.append_rows(rows)

    overflow = SpillBuffer(
        lambda kinds: Counting(SpillTableFactory(PATIENT)(kinds)), {"id": ColumnType.INTEGER}, max_rows=3000
    )
    held: list[Row] = []
    async with overflow:
        inflow = SpillInput(overflow)
        for number in range(9000):
            held.append((number,))
            await inflow.offer(held)
        await overflow.flush(held)
        assert overflow.table is not None
        rows = [
            item async for batch in overflow.table.scan(ScanRequest(collection="", columns=("id",))) for item in batch
        ]
    assert (trips, sorted(rows)) == ([3001, 3001, 2998], [(number,) for number in range(9000)])
