"""Files of the log rotate, are compressed and are deleted by rules, and it can be proved which and how they ended."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from onedoor.audit.checkpointer import Sealing, mark_published
from onedoor.audit.interrupted import collect_unended_lines, hold_abandoned_files, mark_closed
from onedoor.audit.log import AuditLog, Rotation, open_audit_log
from onedoor.audit.reader import find_records, read_records
from onedoor.audit.receipts import find_receipt, hash_answer
from onedoor.audit.record import AuditOutcome, AuditRecord
from onedoor.audit.retention import LegalHold, LogKeeper, RetentionRules, parse_hold, state_deletion
from onedoor.audit.verification import FindingKind, verify_folder
from onedoor.errors import ConfigurationError
from tests.audit.sealed_logs import KEYS, NEVER, SIGNER, MemoryStore

Make = Callable[..., AuditRecord]
START = datetime(2026, 11, 1, 12, tzinfo=UTC)
YEAR = timedelta(days=365)
LATER = START + 2 * YEAR
FULL_AT_ONCE = Rotation(max_bytes=1)


def open_log(folder: Path, store: MemoryStore, started: datetime = START, rotation: Rotation | None = None) -> AuditLog:
    return open_audit_log(
        folder, started, sealing=Sealing(signer=SIGNER, seconds=NEVER, stores=(store,)), rotation=rotation
    )


def list_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.jsonl*") if not path.name.endswith(("closed", "published")))


def end_files(folder: Path, ended: datetime = START) -> None:
    """Do what processes that go on do to the files of those that have ended, and give them a time."""
    for path in folder.glob("*.jsonl"):
        mark_closed(path)
        mark_published(path)
        os.utime(path, (ended.timestamp(), ended.timestamp()))


def cut_off_end(folder: Path) -> None:
    (path,) = folder.glob("*.jsonl")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    end_files(folder)


def damage_compressed(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    """Compress the one file of a folder and change what that wrote."""
    sweep(folder, None)
    (path,) = folder.glob("*.gz")
    path.write_bytes(damage(path.read_bytes()))


@pytest.fixture
async def store(folder: Path, record: Make) -> MemoryStore:
    """A log of three records that ended, and its second place."""
    store = MemoryStore()
    audit_log = open_log(folder, store)
    for number in range(3):
        await audit_log.append(record(number, digest=hash_answer(b"null")))
    audit_log.close()
    end_files(folder)
    return store


def sweep(folder: Path, audit_log: AuditLog | None, **rules: object) -> None:
    def refuse(_: object) -> None:
        raise AssertionError("nothing is to be deleted")

    state = refuse if audit_log is None else partial(state_deletion, audit_log)
    LogKeeper(folder=folder, rules=RetentionRules(**rules), state_deletion=state).sweep(LATER)


async def test_a_full_file_is_sealed_and_the_next_record_begins_another(folder: Path, record: Make) -> None:
    store = MemoryStore()
    audit_log = open_log(folder, store, rotation=FULL_AT_ONCE)
    for number in range(4):
        await audit_log.append(record(number))
    assert audit_log.checkpointer is not None
    with hold_abandoned_files(folder) as abandoned:
        assert abandoned == []
    audit_log.close()
    result = verify_folder(folder, store.statements, KEYS)
    assert (result.records, result.unsealed, result.findings) == (4, 0, ())
    assert len(list_names(folder)) > 3
    assert [item["id"] for item in read_records(folder)] == [record(number).id for number in range(4)]


async def test_a_file_that_has_ended_is_compressed_and_read_verified_and_proved_as_before(
    folder: Path, store: MemoryStore, record: Make
) -> None:
    before = list(read_records(folder))
    receipt = find_receipt(folder, record(1).id)
    sweep(folder, None)
    assert [name[-9:] for name in list_names(folder)] == [".jsonl.gz"]
    assert list(read_records(folder)) == before
    assert list(find_records(folder, record(1).id)) == [before[1]]
    assert find_receipt(folder, record(1).id) == receipt
    result = verify_folder(folder, store.statements, KEYS)
    assert (result.records, result.unsealed, result.findings) == (3, 0, ())


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-20], lambda data: b"no gzip", lambda data: data[:60] + bytes(30)],
    ids=["cut off", "another file", "overwritten"],
)
@pytest.mark.usefixtures("store")
def test_a_compressed_file_that_is_damaged_is_found_and_cannot_be_read(
    folder: Path, damage: Callable[[bytes], bytes]
) -> None:
    damage_compressed(folder, damage)
    result = verify_folder(folder, keys=KEYS)
    assert [(finding.kind, finding.reason) for finding in result.findings] == [
        (FindingKind.ALTERED, "the compressed file is damaged behind this line")
    ]
    with pytest.raises(OSError, match="the compressed file is damaged"):
        list(read_records(folder))


@pytest.mark.usefixtures("store")
def test_an_empty_compressed_file_beside_a_file_hides_nothing(folder: Path) -> None:
    before = list(read_records(folder))
    (path,) = folder.glob("*.jsonl")
    path.with_name(path.name + ".gz").write_bytes(b"")
    assert list(read_records(folder)) == before


async def test_a_damaged_file_keeps_no_record_of_another_from_being_ended(
    folder: Path, store: MemoryStore, record: Make
) -> None:
    damage_compressed(folder, lambda data: data[:-20])
    audit_log = open_log(folder, store, LATER)
    await audit_log.append(record(9, outcome=AuditOutcome.BEGUN))
    audit_log.close()
    with hold_abandoned_files(folder) as (abandoned,):
        unended = collect_unended_lines(folder, [abandoned])
    assert [(id, len(lines)) for id, lines in unended.items()] == [(record(9).id, 1)]


async def test_a_file_in_use_is_left_alone(folder: Path, record: Make) -> None:
    audit_log = open_log(folder, MemoryStore())
    await audit_log.append(record(1))
    end_files(folder)
    sweep(folder, None, keep=YEAR)
    audit_log.close()
    assert [name[-6:] for name in list_names(folder)] == [".jsonl"]


async def test_what_is_too_old_is_deleted_on_record_and_missed_by_nobody(folder: Path, store: MemoryStore) -> None:
    sweep(folder, None)
    (old,) = list_names(folder)
    audit_log = open_log(folder, store, LATER)
    sweep(folder, audit_log, keep=YEAR)
    audit_log.close()
    assert old not in list_names(folder)
    result = verify_folder(folder, store.statements, KEYS)
    assert (result.deleted, result.findings) == (1, ())


async def test_a_file_that_was_altered_before_it_was_deleted_is_found(folder: Path, store: MemoryStore) -> None:
    cut_off_end(folder)
    audit_log = open_log(folder, store, LATER)
    sweep(folder, audit_log, keep=YEAR)
    audit_log.close()
    assert verify_folder(folder, store.statements, KEYS).is_altered


@pytest.mark.usefixtures("store")
def test_the_time_of_a_file_alone_makes_no_record_old(folder: Path) -> None:
    end_files(folder, START - 9 * YEAR)
    sweep(folder, None, keep=3 * YEAR)
    assert [name[-9:] for name in list_names(folder)] == [".jsonl.gz"]


@pytest.mark.usefixtures("store")
def test_a_file_whose_chain_is_broken_is_not_deleted(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (path,) = folder.glob("*.jsonl")
    path.write_bytes(path.read_bytes().replace(b'"p1"', b'"p2"', 1))
    end_files(folder)
    sweep(folder, None, keep=YEAR)
    assert len(list_names(folder)) == 1
    assert "is not deleted: it was altered" in caplog.text


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param({"keep": 3 * YEAR}, id="young"),
        pytest.param({"keep": YEAR, "holds": (LegalHold(person="p1"),)}, id="a person's"),
        pytest.param({"keep": YEAR, "holds": (LegalHold(since=START),)}, id="since then"),
        pytest.param({"keep": YEAR, "holds": (LegalHold(until=START),)}, id="until then"),
        pytest.param({"keep": None}, id="for ever"),
    ],
)
@pytest.mark.usefixtures("store")
def test_what_is_held_or_young_is_kept(folder: Path, rules: dict[str, object]) -> None:
    before = list(read_records(folder))
    sweep(folder, None, **rules)
    sweep(folder, None, **rules)
    assert list(read_records(folder)) == before


async def test_a_hold_on_another_person_or_time_keeps_nothing(folder: Path, store: MemoryStore) -> None:
    audit_log = open_log(folder, store, LATER)
    before_then = LegalHold(until=START - timedelta(seconds=1))
    sweep(folder, audit_log, keep=YEAR, holds=(LegalHold(person="p2"), before_then))
    audit_log.close()
    assert len(list_names(folder)) == 1


async def test_nothing_is_deleted_where_that_cannot_be_stated(folder: Path, store: MemoryStore) -> None:
    audit_log = open_log(folder, store, LATER)
    audit_log.close()
    sweep(folder, audit_log, keep=YEAR)
    assert len(list_names(folder)) == 2


@pytest.mark.usefixtures("store")
def test_a_file_is_compressed_once_its_second_place_knows_it(folder: Path) -> None:
    for mark in folder.glob("*.published"):
        mark.unlink()
    sweep(folder, None, waits_for_second_place=True)
    assert [name[-6:] for name in list_names(folder)] == [".jsonl"]


@pytest.mark.parametrize(
    ("text", "hold"),
    [
        ("person:4Pp", LegalHold(person="4Pp")),
        ("2026-11-01T12:00:00Z..", LegalHold(since=START)),
        ("..2026-11-01", LegalHold(until=START - timedelta(hours=12))),
    ],
)
def test_holds_are_written_as_texts(text: str, hold: LegalHold) -> None:
    assert parse_hold(text) == hold


@pytest.mark.parametrize("text", ["", "..", "person:", "2026-11-01", "then..now"])
def test_what_is_no_hold_is_one_clear_sentence(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^`records.holds`: write `person:ID` or"):
        parse_hold(text)
