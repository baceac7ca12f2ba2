"""Nothing is changed before its record has begun, and what was changed is named whatever ends the request."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from onedoor.audit.log import SYNC_DATA, AuditLogUnavailable, DiskOps, open_audit_log
from onedoor.audit.reader import read_records
from onedoor.audit.record import Surface
from onedoor.audit.verification import verify_folder
from onedoor.model.catalog import Limits
from onedoor.mutations.record_recovery import RecordedChange, RecordRecovery
from onedoor.query.audited import AuditedExecutor
from onedoor.query.context import ExecutionResult, GraphQLRequest
from tests import acme
from tests.mutations.lamps import LIT, LIT_ONE, Lamps, build_engine

LIGHT_FOR_EVER = 'mutation { light(input: {id: 1, lit: true, note: "for ever"}) { id } }'


@dataclass(slots=True)
class FailingDisk:
    """Fails at the calls, writes and syncs alike, whose numbers are `failing`; the first is 1."""

    failing: Iterable[int] = ()
    calls: int = 0

    def write(self, file: int, data: bytes) -> int:
        self.calls += 1
        if self.calls in self.failing:
            raise OSError("the disk is full")
        return os.write(file, data)

    def sync(self, file: int) -> None:
        self.calls += 1
        if self.calls in self.failing:
            raise OSError("the disk is full")
        SYNC_DATA(file)


@asynccontextmanager
async def open_executor(
    folder: Path, lamps: Lamps, failing: Iterable[int] = (), **options: Any
) -> AsyncIterator[AuditedExecutor]:
    disk = FailingDisk()
    log = open_audit_log(folder, datetime.now(UTC), disk=DiskOps(write=disk.write, sync=disk.sync))
    disk.failing, disk.calls = failing, 0
    executor = AuditedExecutor(engine=build_engine(lamps, **options), audit_log=log, redaction_key=b"key")
    try:
        yield executor
        await executor.drain()
    finally:
        await asyncio.to_thread(log.close)


async def light(executor: AuditedExecutor, text: str = LIT) -> ExecutionResult:
    variables: Mapping[str, Any] = {"id": "1", "lit": True} if text is LIT else {}
    request = GraphQLRequest(query=text, variables=variables)
    return await executor.run(acme.caller("sales"), request, surface=Surface.GRAPHQL)


async def recover(folder: Path, lamps: Lamps) -> None:
    """End what an ended process left, as the next one does; the lamp that is lit was lit for the last record."""
    log = open_audit_log(folder, datetime.now(UTC))

    async def find_changes(ids: Any) -> list[RecordedChange]:
        return [RecordedChange(ids[-1], LIT_ONE)] if lamps.rows[1][1] else []

    await RecordRecovery(folder=folder, append=log.append, find_changes=[find_changes]).run_pass()
    await asyncio.to_thread(log.close)


def list_outcomes(folder: Path) -> list[tuple[str, list[str]]]:
    return [(record["outcome"], [change["id"] for change in record["changes"]]) for record in read_records(folder)]


async def test_a_mutation_is_one_record_whose_beginning_came_first(tmp_path: Path) -> None:
    lamps = Lamps()
    async with open_executor(tmp_path, lamps) as executor:
        await light(executor)
    assert list_outcomes(tmp_path) == [("answered", ["C1"])]
    assert verify_folder(tmp_path).records == 2


async def test_a_query_has_one_line(tmp_path: Path) -> None:
    async with open_executor(tmp_path, Lamps()) as executor:
        await light(executor, "{ lamp(id: 1) { lit } }")
    assert verify_folder(tmp_path).records == 1


@pytest.mark.parametrize("goes_on", [True, False], ids=["the disk recovers", "the process ends"])
async def test_whichever_call_of_the_disk_fails_every_change_is_named(tmp_path: Path, goes_on: bool) -> None:
    for number in count(1):
        folder, lamps = tmp_path / str(number), Lamps()
        folder.mkdir()
        failing = [number] if goes_on else range(number, 100)
        answered = False
        async with open_executor(folder, lamps, failing) as executor:
            with suppress(AuditLogUnavailable):
                answered = (await light(executor)).data is not None
            with suppress(AuditLogUnavailable):
                await light(executor, "{ lamp(id: 1) { id } }")
        await recover(folder, lamps)
        named = [id for _, changes in list_outcomes(folder) for id in changes]
        assert named == (["C1"] if lamps.rows[1][1] else [])
        assert verify_folder(folder).findings == ()
        if answered:
            assert number > 4, "two lines, each a write and a sync"
            return


async def test_nothing_is_changed_where_its_beginning_cannot_be_recorded(tmp_path: Path) -> None:
    lamps = Lamps()
    async with open_executor(tmp_path, lamps, range(1, 100)) as executor:
        with pytest.raises(AuditLogUnavailable):
            await light(executor)
    assert (lamps.acts, list_outcomes(tmp_path)) == ([], [])


async def test_a_change_that_outlives_its_request_is_named_by_its_record(tmp_path: Path) -> None:
    lamps = Lamps()
    async with open_executor(tmp_path, lamps) as executor:
        request = asyncio.create_task(light(executor, LIGHT_FOR_EVER))
        await lamps.began.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert list_outcomes(tmp_path) == [("cancelled", [])]
        lamps.released.set()
    assert list_outcomes(tmp_path) == [("cancelled", ["C1"])]


async def test_a_change_that_outlasts_the_deadline_is_named_by_its_record(tmp_path: Path) -> None:
    lamps = Lamps()
    async with open_executor(tmp_path, lamps, limits=Limits(request_seconds=0.05)) as executor:
        await light(executor, LIGHT_FOR_EVER)
        assert list_outcomes(tmp_path) == [("partial", [])]
        lamps.released.set()
    assert list_outcomes(tmp_path) == [("partial", ["C1"])]


async def test_a_record_without_an_end_is_lost_and_ended_once(tmp_path: Path) -> None:
    lamps = Lamps()
    async with open_executor(tmp_path, lamps, range(3, 100)) as executor:
        with pytest.raises(AuditLogUnavailable):
            await light(executor)
        assert list_outcomes(tmp_path) == [("begun", [])]
        await recover(tmp_path, lamps)
        assert list_outcomes(tmp_path) == [("begun", [])], "the process that wrote it lives"
    await recover(tmp_path, lamps)
    await recover(tmp_path, lamps)
    assert list_outcomes(tmp_path) == [("lost", ["C1"])]
    assert verify_folder(tmp_path).records == 2
