"""The audit log of one process: an acknowledged record is on the disk."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from onedoor.audit import log
from onedoor.audit import record as audit_record
from onedoor.audit.log import SYNC_DATA, AuditLog, AuditLogUnavailable, DiskOps, open_audit_log
from onedoor.audit.reader import read_records
from onedoor.audit.record import AuditRecord
from onedoor.audit.verification import VerificationResult, verify_folder
from onedoor.errors import ConfigurationError

Make = Callable[..., AuditRecord]
FailingDisk = Callable[..., DiskOps]
START = datetime(2026, 11, 1, 12, tzinfo=UTC)
ROOT = Path(__file__).parents[2]


def read_ids(folder: Path) -> list[str]:
    return [record["id"] for record in read_records(folder)]


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


async def tried(audit_log: AuditLog, record: AuditRecord) -> bool:
    """Whether the record was acknowledged."""
    try:
        await audit_log.append(record)
    except AuditLogUnavailable:
        return False
    return True


async def test_what_was_acknowledged_is_read_back_in_order(folder: Path, record: Make) -> None:
    audit_log = open_audit_log(folder, START)
    for number in range(20):
        await audit_log.append(record(number))
        assert read_ids(folder)[-1] == record(number).id
    audit_log.close()
    assert verify_folder(folder) == VerificationResult(files=1, records=20)
    first = next(iter(read_records(folder)))
    assert json.loads(json.dumps(first)) == {"prev": first["prev"], **json.loads(audit_record.to_line(record(0)))}


async def test_a_file_is_named_by_its_start_and_its_process_and_is_nobody_elses(folder: Path) -> None:
    open_audit_log(folder, START).close()
    path = only_file(folder)
    assert path.name == f"20261101T120000.000000Z-{os.getpid()}.jsonl"
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_thousand_that_wait_at_once_take_two_syncs(folder: Path, record: Make) -> None:
    syncs, gate = 0, Event()

    def sync(file: int) -> None:
        nonlocal syncs
        syncs += 1
        assert syncs == 1 or gate.wait(5)
        SYNC_DATA(file)

    audit_log = open_audit_log(folder, START, disk=replace(DiskOps(), sync=sync))
    appends = [asyncio.create_task(audit_log.append(record(number))) for number in range(1_000)]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*appends)
    audit_log.close()
    assert syncs <= 1 + 2
    assert verify_folder(folder) == VerificationResult(files=1, records=1_000)
    assert read_ids(folder) == [record(number).id for number in range(1_000)]


FAILURES = [
    *(pytest.param({"writes": {i}}, 1, id=f"write {i}") for i in range(1, 10)),
    *(pytest.param({"syncs": {i}}, 1, id=f"sync {i}") for i in range(1, 10)),
    pytest.param({"writes": {2, 3, 4}}, 3, id="three writes in a row"),
    pytest.param({"syncs": {2, 3}, "writes": {6}}, 3, id="syncs, then a write"),
    pytest.param({"writes": {2}, "truncates": {0}}, 1, id="what is torn is cut off by the next"),
    pytest.param({"syncs": {2}, "truncates": {0, 1, 2}}, 3, id="what is not synced cannot be cut off for long"),
]


@pytest.mark.parametrize(("failures", "refused"), FAILURES)
async def test_what_is_kept_is_what_was_acknowledged(
    folder: Path, record: Make, failing: FailingDisk, failures: dict[str, set[int]], refused: int
) -> None:
    audit_log = open_audit_log(folder, START, disk=failing(**failures))
    acknowledged = [number for number in range(9) if await tried(audit_log, record(number))]
    audit_log.close()
    assert len(acknowledged) == 9 - refused
    assert read_ids(folder) == [record(number).id for number in acknowledged]
    assert verify_folder(folder) == VerificationResult(files=1, records=len(acknowledged))


async def test_all_that_wait_for_a_failed_sync_are_refused(folder: Path, record: Make, failing: FailingDisk) -> None:
    audit_log = open_audit_log(folder, START, disk=failing(writes=range(1, 1_000)))
    outcomes = await asyncio.gather(*(tried(audit_log, record(number)) for number in range(100)))
    audit_log.close()
    assert outcomes == [False] * 100
    assert read_ids(folder) == []


async def test_a_disk_that_takes_a_little_at_a_time_gets_it_all(folder: Path, record: Make) -> None:
    audit_log = open_audit_log(
        folder, START, disk=replace(DiskOps(), write=lambda file, octets: os.write(file, octets[:7]))
    )
    await audit_log.append(record(1))
    audit_log.close()
    assert read_ids(folder) == [record(1).id]


async def test_any_failure_at_all_refuses_and_does_not_hang(folder: Path, record: Make) -> None:
    broken = False

    def sync(file: int) -> None:
        if broken:
            raise MemoryError

    audit_log = open_audit_log(folder, START, disk=replace(DiskOps(), sync=sync))
    broken = True
    assert not await tried(audit_log, record(1))
    broken = False
    assert await tried(audit_log, record(2))
    audit_log.close()


async def test_a_record_nobody_waits_for_outlives_a_failing_disk(
    folder: Path, record: Make, failing: FailingDisk
) -> None:
    audit_log = open_audit_log(folder, START, disk=failing(syncs={1, 2}))
    audit_log.append_nowait(record(1))
    while not await tried(audit_log, record(3)):
        pass
    audit_log.close()
    assert read_ids(folder) == [record(1).id, record(3).id]
    assert audit_log.dropped == 0


async def test_records_nobody_waits_for_are_bounded_while_the_disk_fails(
    folder: Path, record: Make, failing: FailingDisk
) -> None:
    audit_log = open_audit_log(folder, START, disk=failing(writes=range(1, 100_000)))
    for _ in range(log.MAX_UNAWAITED + 5):
        audit_log.append_nowait(record(1))
    audit_log.close()
    assert audit_log.dropped == log.MAX_UNAWAITED + 5
    assert read_ids(folder) == []


async def test_closing_writes_what_waits_and_then_refuses(folder: Path, record: Make) -> None:
    audit_log = open_audit_log(folder, START)
    for number in range(50):
        audit_log.append_nowait(record(number))
    audit_log.close()
    audit_log.close()
    assert len(read_ids(folder)) == 50
    assert not await tried(audit_log, record(51))


async def test_a_record_is_written_though_its_wait_is_cancelled(folder: Path, record: Make) -> None:
    audit_log = open_audit_log(folder, START)
    waiting = asyncio.create_task(audit_log.append(record(1)))
    await asyncio.sleep(0)
    waiting.cancel()
    await audit_log.append(record(2))
    audit_log.close()
    assert waiting.cancelled()
    assert read_ids(folder) == [record(1).id, record(2).id]


async def test_no_text_in_a_record_makes_a_second_line(folder: Path, record: Make) -> None:
    texts = ["\n", '\n{"prev":"x"}\n', "\r", "\u2028", "\x85", "\x1b[2J", '"}', "\ud800"]
    audit_log = open_audit_log(folder, START)
    await asyncio.gather(*(audit_log.append(record(n, operation=text, text=text)) for n, text in enumerate(texts)))
    audit_log.close()
    path = only_file(folder)
    assert len(path.read_text().splitlines()) == 1 + len(texts)
    assert [item["operation"] for item in read_records(folder)][:-1] == texts[:-1]
    assert verify_folder(folder) == VerificationResult(files=1, records=len(texts))


async def test_records_of_many_files_are_read_in_the_order_of_time(folder: Path, record: Make) -> None:
    both = [open_audit_log(folder, START), open_audit_log(folder, START + timedelta(seconds=1))]
    for number in range(20):
        await both[number % 2].append(record(number))
    for audit_log in both:
        audit_log.close()
    assert read_ids(folder) == [record(number).id for number in range(20)]


@pytest.mark.parametrize("missing", [1, 40])
async def test_a_torn_last_line_is_left_out(folder: Path, record: Make, missing: int) -> None:
    audit_log = open_audit_log(folder, START)
    await audit_log.append(record(1))
    await audit_log.append(record(2))
    audit_log.close()
    path = only_file(folder)
    path.write_bytes(path.read_bytes()[:-missing])
    assert read_ids(folder) == [record(1).id]
    assert verify_folder(folder) == VerificationResult(files=1, records=1)


def test_a_folder_that_is_not_there_is_one_clear_sentence(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^there is no folder `.*/nowhere` to keep records in: create it$"):
        open_audit_log(folder / "nowhere", START)


def test_a_folder_that_is_a_file_is_one_clear_sentence(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(
        ConfigurationError, match=r"^records cannot be kept in `.*/file`: let this process write there$"
    ):
        open_audit_log(folder / "file", START)


@pytest.mark.parametrize("failures", [{"writes": {0}}, {"syncs": {0}}])
def test_a_full_disk_is_one_clear_sentence(folder: Path, failing: FailingDisk, failures: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"its disk is full or failing$"):
        open_audit_log(folder, START, disk=failing(**failures))


LEDGER = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from onedoor.audit.log import open_audit_log
from onedoor.audit.record import AuditOutcome, AuditRecord

async def client(audit_log, name):
    number = 0
    while True:
        number += 1
        await audit_log.append(AuditRecord(id=f"{name}-{number}", time=datetime.now(UTC).isoformat(), surface="graphql",
                                    outcome=AuditOutcome.ANSWERED, status=200))
        print(f"{name}-{number}", flush=True)

async def main():
    audit_log = open_audit_log(Path(sys.argv[1]), datetime.now(UTC))
    await asyncio.gather(*(client(audit_log, name) for name in range(20)))

asyncio.run(main())
"""


def test_after_a_kill_every_acknowledged_record_is_there(folder: Path) -> None:
    acknowledged: set[str] = set()
    for round_ in range(5):
        process = subprocess.Popen([sys.executable, "-c", LEDGER, folder], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(100 + 37 * round_)]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.read().splitlines(keepends=True)
        process.wait()
        process.stdout.close()
        acknowledged = {f"{line.strip()}" for line in lines if line.endswith("\n")}
        (newest,) = [path for path in folder.iterdir() if path.name.endswith(f"-{process.pid}.jsonl")]
        there = {json.loads(line)["id"] for line in newest.read_bytes().splitlines()[1:] if line.endswith(b"}")}
        assert acknowledged <= there
    assert verify_folder(folder).findings == ()


def test_a_file_belongs_to_whom_the_folder_belongs_to(tmp_path: Path) -> None:
    """A command of the superuser leaves records that the server reads, which is another user."""
    owner = 65534 if os.geteuid() == 0 else os.geteuid()
    os.chown(tmp_path, owner, -1)
    open_audit_log(tmp_path, datetime.now(UTC)).close()
    (path,) = tmp_path.iterdir()
    assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (owner, 0o600)
