"""However a question ends, its scratch tables are gone; and what stopped it is told."""

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
from tests.query.spill.worlds import BATCH, PATIENT, bare, promising

ORDERED = "{ orders(orderBy: [{total: DESC}], first: 3) { nodes { id } } }"
GROUPED = "{ orders { groups(by: [{id: VALUE}], orderBy: [{sum: {total: DESC}}], first: 1) { aggregate { count } } } }"
FEW = replace(PATIENT, rows_in_memory=250)
SOON = 5


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


def messages(told: ExecutionResult) -> list[tuple[str, str]]:
    return [(each.code, each.message) for each in told.errors]


async def gone(folder: Path) -> bool:
    """What closes goes on behind a question that was cancelled meanwhile, so it may take a moment."""
    behind = asyncio.all_tasks() - {asyncio.current_task()}
    if behind:
        await asyncio.wait(behind, timeout=SOON)
    return os.listdir(folder) == []


async def test_a_question_that_is_cancelled_while_rows_come_in_leaves_no_table(folder: Path) -> None:
    source = Until(batch=5)
    asking = asyncio.create_task(acme.ask(bare(FEW, source), ORDERED, "finance"))
    async with asyncio.timeout(SOON):
        await source.there.wait()
    before = os.listdir(folder)
    asking.cancel()
    await asyncio.wait({asking}, timeout=SOON)
    assert (len(before), asking.cancelled(), await gone(folder)) == (1, True, True)


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.03, 0.1, 0.2, 0.3])
@pytest.mark.parametrize("text", [ORDERED, GROUPED], ids=["ordered", "grouped"])
async def test_wherever_a_question_is_cancelled_nothing_is_left(folder: Path, text: str, seconds: float) -> None:
    asking = asyncio.create_task(acme.ask(bare(FEW), text, "finance"))
    await asyncio.sleep(seconds)
    asking.cancel()
    await asyncio.wait({asking}, timeout=SOON)
    assert (asking.done(), await gone(folder)) == (True, True)


async def test_a_question_that_takes_too_long_leaves_no_table(folder: Path) -> None:
    source = Until(batch=5)
    told = await acme.ask(bare(replace(FEW, request_seconds=2), source), ORDERED, "finance")
    limit = "the limit `request_seconds` of 2"
    assert messages(told) == [("LIMIT_EXCEEDED", f"the answer took longer than {limit}, ask for less")]
    assert (source.there.is_set(), await gone(folder)) == (True, True)


async def test_a_source_that_fails_after_rows_went_there_is_not_asked_twice_for_them(folder: Path) -> None:
    source = Until(batch=5, failure=ConnectorError("`internal` is gone", retryable=True))
    told = await acme.ask(bare(FEW, source), ORDERED, "finance")
    assert (messages(told), told.data) == ([("SOURCE_UNAVAILABLE", "`internal` is gone")], {"orders": None})
    assert (source.reads, os.listdir(folder)) == (1, [])


async def test_a_source_that_fails_before_is_asked_again_and_no_row_is_there_twice(folder: Path) -> None:
    async def stumbles(ask: ScanRequest, number: int) -> None:
        if number == 1 and not stumbled:
            stumbled.append(ask)
            raise ConnectorError("`internal` is gone", retryable=True)

    stumbled: list[ScanRequest] = []
    text = "{ orders { aggregate { count sum { total } } } }"
    told = await acme.ask(bare(FEW, stumbles), text, "finance")
    whole = await acme.ask(promising(), text, "finance")
    assert (told.data, len(stumbled), os.listdir(folder)) == (whole.data, 1, [])


async def test_a_scratch_database_that_is_full_is_no_failure_of_the_source(folder: Path) -> None:
    """Its breaker stays closed, and what needs no scratch table is answered beside."""
    at = bare(replace(FEW, scratch_bytes=1))
    told = [await acme.ask(at, f"{ORDERED[:-1]} product(id: 1) {{ id }} }}", "finance", "sales") for _ in range(7)]
    reason = "more rows outgrow memory than the limit `scratch_bytes` of 1 lets, filter it or ask again later"
    expected: Any = ({"orders": None, "product": {"id": "1"}}, [("LIMIT_EXCEEDED", reason)])
    assert [(each.data, messages(each)) for each in told] == [expected] * 7
    assert os.listdir(folder) == []


async def test_without_a_place_for_its_folder_only_what_needs_one_fails(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "nowhere"))
    told = await acme.ask(bare(FEW), f"{ORDERED[:-1]} product(id: 1) {{ id }} }}", "finance", "sales")
    assert (told.data, messages(told)) == (
        {"orders": None, "product": {"id": "1"}},
        [("SOURCE_UNAVAILABLE", "there is no room for a scratch database")],
    )


async def test_a_read_past_the_most_rows_is_told_though_they_outgrew_memory(folder: Path) -> None:
    told = await acme.ask(bare(replace(FEW, rows_read=1000)), ORDERED, "finance")
    reason = "a read of `internal` is over the limit `rows_read` of 1000, filter it"
    assert (messages(told), os.listdir(folder)) == ([("LIMIT_EXCEEDED", reason)], [])


async def test_keys_past_the_most_are_told_though_the_rows_that_name_them_outgrew_memory(folder: Path) -> None:
    text = "{ orders(where: {customer: {usage: {some: {apiCalls: {gt: 0}}}}}, first: 1) { nodes { id } } }"
    told = await acme.ask(bare(replace(FEW, cross_source_keys_max=20)), text, "finance", "sales")
    assert [(code, "the limit `keys_carried` of 20 lead" in message) for code, message in messages(told)] == [
        ("LIMIT_EXCEEDED", True)
    ]
    assert os.listdir(folder) == []


async def test_rows_do_not_add_up_in_memory_on_their_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is under way in the two threads of the scratch database comes on top of the limit."""
    alive, most = 0, 0

    class Counted(tuple[Any, ...]):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    async def counting(ask: ScanRequest, number: int) -> None:
        nonlocal most
        most = max(most, alive)

    at = bare(FEW, counting)
    inner = at.catalog.connectors["snowflake"].of  # type: ignore[attr-defined]
    real = inner.scan

    async def read(ask: ScanRequest) -> Any:
        nonlocal alive
        async for rows in real(ask):
            yield _Lazily(rows)

    class _Lazily(list[Any]):
        """Rows that are made when they are given."""

        def __getitem__(self, at: Any) -> Any:
            nonlocal alive
            rows = [Counted(each) for each in super().__getitem__(at)]
            alive += len(rows)
            return rows

    monkeypatch.setattr(inner, "scan", read)
    text = "{ usageDays { aggregate { count max { apiCalls } } } }"
    told, whole = await acme.ask(at, text, "sales"), await acme.ask(promising(), text, "sales")
    assert (told.data, told.scan_stats[0].spilled_row_count) == (whole.data, 3000)
    assert FEW.rows_in_memory - BATCH < most <= 4 * FEW.rows_in_memory


async def test_rows_that_come_one_by_one_go_there_many_at_a_time() -> None:
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
            each async for batch in overflow.table.scan(ScanRequest(collection="", columns=("id",))) for each in batch
        ]
    assert (trips, sorted(rows)) == ([3001, 3001, 2998], [(number,) for number in range(9000)])
