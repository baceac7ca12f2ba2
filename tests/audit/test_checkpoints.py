"""A log is sealed as it grows and at its end, whatever becomes of its second place, and keys hold for a time."""

import asyncio
import errno
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

import pytest

from onedoor.audit import log
from onedoor.audit.checkpointer import PUBLISHED_SUFFIX, Sealing
from onedoor.audit.checkpoints import (
    ChainState,
    Checkpoint,
    FolderCheckpointStore,
    PublishingFailed,
    parse_checkpoint,
    parse_statements,
)
from onedoor.audit.log import AuditLog, Rotation, build_header, hash_line, open_audit_log
from onedoor.audit.reader import read_records
from onedoor.audit.record import AuditRecord
from onedoor.audit.statements import (
    CommandSigner,
    SigningFailed,
    StatementKind,
    TrustedKeys,
    format_public_key,
    parse_trusted_key,
    sign_statement,
)
from onedoor.audit.verification import FindingKind, VerificationResult, verify_folder
from onedoor.errors import ConfigurationError
from tests.audit.sealed_logs import KEYS, NEVER, OTHER_SIGNER, SIGNER, MemoryStore

Make = Callable[..., AuditRecord]
START = datetime(2026, 11, 1, 12, tzinfo=UTC)


def find_file(folder: Path) -> Path:
    (path,) = folder.glob("*.jsonl")
    return path


def count_published(folder: Path) -> int:
    return len(list(folder.glob(f"*{PUBLISHED_SUFFIX}")))


def open_sealed(folder: Path, *stores: MemoryStore, started: datetime = START, seconds: float = NEVER) -> AuditLog:
    return open_audit_log(folder, started, sealing=Sealing(signer=SIGNER, seconds=seconds, stores=stores))


async def test_a_log_that_ended_is_sealed_to_its_end_and_reads_as_before(folder: Path, record: Make) -> None:
    audit_log = open_sealed(folder)
    for number in range(3):
        await audit_log.append(record(number))
    audit_log.close()
    assert verify_folder(folder, keys=KEYS) == VerificationResult(files=1, records=3, sealed=3)
    assert [item["id"] for item in read_records(folder)] == [record(number).id for number in range(3)]


async def test_what_is_new_is_sealed_after_a_while_and_reaches_the_second_place(folder: Path, record: Make) -> None:
    published = Event()

    class Store(MemoryStore):
        def publish(self, name: str, body: bytes) -> None:
            super().publish(name, body)
            published.set()

    store = Store()
    audit_log = open_sealed(folder, store, seconds=0.01)
    await audit_log.append(record(1))
    assert published.wait(5)
    (checkpoint,) = map(parse_checkpoint, store.statements)
    audit_log.close()
    assert checkpoint is not None
    assert (checkpoint.number, checkpoint.state.records, checkpoint.end) == (1, 1, False)


async def test_without_new_records_nothing_is_sealed_again(folder: Path, record: Make) -> None:
    audit_log = open_sealed(folder)
    assert audit_log.checkpointer is not None
    await audit_log.append(record(1))
    for _ in range(3):
        audit_log.checkpointer.seal()
    audit_log.close()
    path = find_file(folder)
    assert [b'"end":true' in line for line in path.read_bytes().splitlines() if b"checkpoint" in line] == [False, True]


async def test_records_after_the_last_checkpoint_of_a_log_in_use_are_said_not_to_be_sealed(
    folder: Path, record: Make
) -> None:
    audit_log = open_sealed(folder)
    assert audit_log.checkpointer is not None
    await audit_log.append(record(1))
    audit_log.checkpointer.seal()
    await audit_log.append(record(2))
    result = verify_folder(folder, keys=KEYS)
    audit_log.close()
    assert (result.records, result.unsealed, result.open_files, result.findings) == (2, 1, 1, ())


async def test_an_end_that_is_missing_is_found(folder: Path, record: Make) -> None:
    audit_log = open_sealed(folder)
    assert audit_log.checkpointer is not None
    await audit_log.append(record(1))
    audit_log.checkpointer.seal()
    audit_log.close()
    path = find_file(folder)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    result = verify_folder(folder, keys=KEYS)
    assert [(finding.kind, finding.line) for finding in result.findings] == [(FindingKind.UNPROVED, 3)]


async def test_a_second_place_that_fails_holds_nothing_up_and_is_tried_again(
    folder: Path, record: Make, caplog: pytest.LogCaptureFixture
) -> None:
    store = MemoryStore(is_down=True)
    audit_log = open_sealed(folder, store)
    assert audit_log.checkpointer is not None
    for number in range(3):
        await audit_log.append(record(number))
        audit_log.checkpointer.seal()
    assert not audit_log.checkpointer.is_up
    store.is_down = False
    audit_log.checkpointer.seal()
    assert audit_log.checkpointer.is_up
    audit_log.close()
    assert [message.levelno for message in caplog.records] == [logging.ERROR, logging.WARNING]
    assert len(store.bodies) == 4
    assert verify_folder(folder, store.statements, KEYS).findings == ()


async def test_what_an_ended_process_left_unpublished_the_next_one_publishes(folder: Path, record: Make) -> None:
    store = MemoryStore(is_down=True)
    first = open_sealed(folder, store)
    await first.append(record(1))
    first.close()
    store.is_down = False
    second = open_sealed(folder, store, started=START.replace(hour=13))
    await second.append(record(2))
    assert second.checkpointer is not None
    second.checkpointer.seal()
    second.close()
    checkpoints = [checkpoint for checkpoint in map(parse_checkpoint, store.statements) if checkpoint is not None]
    assert len({checkpoint.file for checkpoint in checkpoints if checkpoint.end}) == 2
    assert count_published(folder) == 2


async def test_only_statements_of_its_own_key_about_its_own_file_are_published_from_an_abandoned_file(
    folder: Path, record: Make
) -> None:
    store = MemoryStore()
    audit_log = open_sealed(folder, store)
    assert audit_log.checkpointer is not None
    live = find_file(folder)
    state = ChainState(first=1, lines=1, records=0, head="", root="")
    abandoned = folder / "20260101T000000.000000Z-1.jsonl"
    own, other = abandoned.name, live.name
    statements = [
        sign_statement(signer, StatementKind.CHECKPOINT, Checkpoint(
            file=file, number=number, state=state, time="2026-11-01", end=False
        ).to_json())
        for number, signer, file in ((1, SIGNER, own), (1, SIGNER, other), (2, OTHER_SIGNER, own))
    ]  # fmt: skip
    statements.append(sign_statement(OTHER_SIGNER, StatementKind.DELETION, {"file": live.name, "time": "2026-11-01"}))
    abandoned.write_bytes(b"".join(statement.to_body() + b"\n" for statement in statements))
    audit_log.checkpointer.seal()
    assert list(store.bodies) == [f"{abandoned.stem}.000001.json"]
    await audit_log.append(record(1))
    audit_log.close()
    assert f"{live.stem}.000001.json" in store.bodies
    assert count_published(folder) == 1


async def test_a_place_that_takes_few_at_once_gets_each_statement_of_abandoned_files_once(folder: Path) -> None:
    posted: list[str] = []

    class SlowStore(MemoryStore):
        def publish(self, name: str, body: bytes) -> None:
            if len(posted) >= len(rounds):
                raise PublishingFailed("come again later")
            posted.append(name)

    rounds: list[int] = []
    audit_log = open_sealed(folder, SlowStore())
    assert audit_log.checkpointer is not None
    deletions = [{"file": str(number), "time": f"2026-11-0{number}"} for number in range(1, 5)]
    statements = [sign_statement(SIGNER, StatementKind.DELETION, deletion).to_body() + b"\n" for deletion in deletions]
    for name, lines in (("1", statements[:3]), ("2", statements[3:])):
        (folder / f"20260101T000000.000000Z-{name}.jsonl").write_bytes(b"".join(lines))
    for number in range(8):
        audit_log.checkpointer.seal()
        rounds.append(number)
    assert (len(posted), len(set(posted)), count_published(folder)) == (4, 4, 2)
    audit_log.close()


async def test_a_bad_abandoned_file_keeps_no_other_from_being_published(folder: Path) -> None:
    store = MemoryStore()
    audit_log = open_sealed(folder, store)
    assert audit_log.checkpointer is not None
    outside = sign_statement(SIGNER, StatementKind.DELETION, {"file": "a", "time": "/../2026"})
    inside = sign_statement(SIGNER, StatementKind.DELETION, {"file": "b", "time": "2026"})
    for number, statement in enumerate((outside, inside), 1):
        (folder / f"20260101T000000.000000Z-{number}.jsonl").write_bytes(statement.to_body() + b"\n")
    audit_log.checkpointer.seal()
    assert list(store.bodies.values()) == [inside.to_body()]
    audit_log.close()


def test_a_statement_at_the_second_place_that_nobody_vouches_for_is_found(folder: Path) -> None:
    forged = sign_statement(OTHER_SIGNER, StatementKind.DELETION, {"file": "a.jsonl", "time": "2026-11-01"})
    (finding,) = verify_folder(folder, [forged], KEYS).findings
    assert finding.reason == "a deletion at the second place is signed by no key that is trusted at its time"


@pytest.mark.parametrize("thread", ["onedoor-checkpoints", "onedoor-audit-end"])
async def test_a_full_file_goes_on_while_no_thread_can_be_started(
    folder: Path, record: Make, monkeypatch: pytest.MonkeyPatch, thread: str
) -> None:
    audit_log = open_audit_log(folder, sealing=Sealing(signer=SIGNER, seconds=NEVER), rotation=Rotation(max_bytes=1))
    start = Thread.start

    def refuse(self: Thread) -> None:
        if self.name == thread:
            raise RuntimeError("can't start new thread")
        start(self)

    monkeypatch.setattr(log, "REOPEN_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(Thread, "start", refuse)
        await asyncio.wait_for(audit_log.append(record(1)), 10)
    await asyncio.wait_for(audit_log.append(record(2)), 10)
    audit_log.close()
    result = verify_folder(folder, keys=KEYS)
    assert (result.records, result.sealed, result.findings) == (2, 2, ())


async def test_a_file_that_is_missing_is_named(folder: Path, record: Make) -> None:
    store = MemoryStore()
    audit_log = open_sealed(folder, store)
    await audit_log.append(record(1))
    audit_log.close()
    path = find_file(folder)
    path.unlink()
    (finding,) = verify_folder(folder, store.statements, KEYS).findings
    assert (finding.file, finding.reason[:38]) == (path.name, "the file is missing: it held 1 records")


async def test_a_checkpoint_of_another_key_is_found(folder: Path, record: Make) -> None:
    audit_log = open_audit_log(folder, START, sealing=Sealing(signer=OTHER_SIGNER, seconds=NEVER))
    await audit_log.append(record(1))
    audit_log.close()
    result = verify_folder(folder, keys=KEYS)
    assert (result.is_altered, result.sealed) == (True, 0)


@pytest.mark.parametrize(
    ("validity", "is_altered"),
    [("", False), ("@2026-01-01..", False), ("@..2026-01-01", True), ("@2999-01-01..", True)],
)
async def test_a_key_holds_between_its_times_alone(
    folder: Path, record: Make, validity: str, *, is_altered: bool
) -> None:
    audit_log = open_sealed(folder)
    await audit_log.append(record(1))
    audit_log.close()
    key = parse_trusted_key(format_public_key(SIGNER.public_key) + validity)
    assert verify_folder(folder, keys=[key]).is_altered == is_altered


async def test_a_key_that_the_former_one_names_is_trusted_from_then_on(folder: Path, record: Make) -> None:
    former = open_sealed(folder)
    assert former.checkpointer is not None
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    content = {"successor": format_public_key(OTHER_SIGNER.public_key), "time": now, "until": "2999-01-01"}
    former.checkpointer.write_statement(StatementKind.ROTATION, content)
    former.close()
    later = open_audit_log(folder, START.replace(hour=13), sealing=Sealing(signer=OTHER_SIGNER, seconds=NEVER))
    await later.append(record(1))
    later.close()
    result = verify_folder(folder, keys=KEYS)
    assert (result.records, result.sealed, result.findings) == (1, 1, ())


def test_a_key_that_nobody_vouches_for_is_not_trusted_and_a_former_key_ends() -> None:
    def name_successor(signer: object, successor: bytes, day: int) -> object:
        content = {"successor": format_public_key(successor), "time": f"2026-11-{day:02}", "until": f"2026-11-{day:02}"}
        return sign_statement(signer, StatementKind.ROTATION, content)

    keys = TrustedKeys(KEYS)
    forged = name_successor(OTHER_SIGNER, OTHER_SIGNER.public_key, 1)
    assert keys.follow_rotations([forged]) == [forged]
    assert keys.follow_rotations([name_successor(SIGNER, OTHER_SIGNER.public_key, 2)]) == []
    later = sign_statement(SIGNER, StatementKind.CHECKPOINT, {"time": "2026-11-03"})
    assert not keys.vouch_for(later)
    assert keys.vouch_for(sign_statement(OTHER_SIGNER, StatementKind.CHECKPOINT, {"time": "2026-11-03"}))


def test_a_statement_of_one_kind_is_none_of_another() -> None:
    statement = sign_statement(SIGNER, StatementKind.CHECKPOINT, {"time": "2026-11-01"})
    (other,) = parse_statements([statement.to_body().replace(b"checkpoint", b"deletion")])
    assert TrustedKeys(KEYS).vouch_for(statement)
    assert not TrustedKeys(KEYS).vouch_for(other)


def test_a_command_signs_in_place_of_a_key(tmp_path: Path) -> None:
    signature = SIGNER.sign(b"message")
    (tmp_path / "signature").write_bytes(signature)
    signer = CommandSigner(command=("cat", str(tmp_path / "signature")), public_key=SIGNER.public_key)
    assert signer.sign(b"message") == signature
    with pytest.raises(SigningFailed, match=r"^the command that signs wrote no signature of its key$"):
        signer.sign(b"another message")


async def test_what_cannot_be_signed_is_sealed_later(folder: Path, record: Make) -> None:
    class Signer:
        public_key = SIGNER.public_key
        is_down = True

        def sign(self, message: bytes) -> bytes:
            if self.is_down:
                raise SigningFailed("no answer")
            return SIGNER.sign(message)

    signer, store = Signer(), MemoryStore()
    audit_log = open_audit_log(folder, START, sealing=Sealing(signer=signer, seconds=NEVER, stores=(store,)))
    assert audit_log.checkpointer is not None
    await audit_log.append(record(1))
    audit_log.checkpointer.seal()
    assert not audit_log.checkpointer.is_up
    await audit_log.append(record(2))
    signer.is_down = False
    audit_log.close()
    result = verify_folder(folder, store.statements, KEYS)
    assert (result.records, result.unsealed, result.findings) == (2, 0, ())


def test_a_folder_takes_a_statement_once(tmp_path: Path) -> None:
    store = FolderCheckpointStore(tmp_path / "checkpoints")
    store.publish("a.json", b"1")
    store.publish("a.json", b"1")
    with pytest.raises(PublishingFailed, match=r"^another statement is there already as `a.json`$"):
        store.publish("a.json", b"2")
    assert list(store.load()) == [b"1"]


def test_a_folder_that_lets_files_be_added_alone_takes_statements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "not permitted")

    monkeypatch.setattr(Path, "unlink", refuse)
    store = FolderCheckpointStore(tmp_path / "checkpoints")
    store.publish("a.json", b"1")
    assert list(store.load()) == [b"1"]


def test_a_statement_that_cannot_be_written_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(PublishingFailed, match="no space left"):
        FolderCheckpointStore(tmp_path).publish("a.json", b"1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "x@y@z", "c2hvcnQ=", "KEY@yesterday.."])
def test_what_is_no_key_is_one_clear_sentence(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^(this is no public key|`.*` is no (key|date))"):
        parse_trusted_key(text)


async def test_a_second_place_that_holds_another_checkpoint_is_said_and_the_later_ones_reach_it(
    folder: Path, record: Make, tmp_path: Path
) -> None:
    store = FolderCheckpointStore(tmp_path / "checkpoints")
    audit_log = open_audit_log(folder, START, sealing=Sealing(signer=SIGNER, seconds=NEVER, stores=(store,)))
    assert audit_log.checkpointer is not None
    store.publish(f"{find_file(folder).stem}.000001.json", b"{}")
    await audit_log.append(record(1))
    audit_log.checkpointer.seal()
    assert not audit_log.checkpointer.is_up
    audit_log.close()
    assert [
        checkpoint.number for checkpoint in map(parse_checkpoint, parse_statements(store.load())) if checkpoint
    ] == [2]
    assert count_published(folder) == 0


async def test_statements_of_one_moment_have_names_of_their_own(folder: Path) -> None:
    store = MemoryStore()
    audit_log = open_sealed(folder, store)
    assert audit_log.checkpointer is not None
    for name in ("a", "b"):
        audit_log.checkpointer.write_statement(StatementKind.DELETION, {"file": name, "time": "2026-11-01"})
    audit_log.close()
    assert len(store.bodies) == 3


async def test_an_end_that_was_cut_off_is_said_to_be(folder: Path, record: Make) -> None:
    store = MemoryStore()
    audit_log = open_sealed(folder, store)
    await audit_log.append(record(1))
    audit_log.close()
    path = find_file(folder)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:1]))
    assert [
        (finding.line, finding.reason[:23]) for finding in verify_folder(folder, store.statements, KEYS).findings
    ] == [
        (1, "its end was cut off: it"),
        (1, "its end is not sealed: "),
    ]


async def test_a_root_that_is_not_that_of_the_lines_is_found_though_the_key_signed_it(
    folder: Path, record: Make
) -> None:
    audit_log = open_sealed(folder)
    await audit_log.append(record(1))
    assert audit_log.checkpointer is not None
    head = hash_line(find_file(folder).read_bytes().splitlines()[-1])
    content = {
        "file": find_file(folder).name, "number": 1, "first": 1, "lines": 2, "records": 1, "head": head,
        "root": "0" * 64, "time": "2026-11-01", "end": False,
    }  # fmt: skip
    audit_log.checkpointer.write_statement(StatementKind.CHECKPOINT, content)
    (finding,) = verify_folder(folder, keys=KEYS).findings
    audit_log.close()
    assert (finding.line, finding.reason) == (3, "the checkpoint does not fit the lines before it")


async def test_nothing_is_stated_in_a_file_whose_end_is_sealed(folder: Path, record: Make) -> None:
    audit_log = open_audit_log(
        folder, START, sealing=Sealing(signer=SIGNER, seconds=NEVER), rotation=Rotation(max_bytes=1)
    )
    full = audit_log.checkpointer
    await audit_log.append(record(1))
    await audit_log.append(record(2))
    assert full is not None
    full.close()
    with pytest.raises(SigningFailed, match=r"^the file has ended: try again$"):
        full.write_statement(StatementKind.DELETION, {"file": "a", "time": "2026-11-01"})
    audit_log.close()
    assert verify_folder(folder, keys=KEYS).findings == ()


@pytest.mark.parametrize(("content", "reason"), [(b"", "it is empty"), (None, "nothing seals it, though others")])
async def test_a_file_that_nothing_seals_beside_sealed_ones_is_found(
    folder: Path, record: Make, content: bytes | None, reason: str
) -> None:
    open_sealed(folder).close()
    (folder / "20270101T000000.000000Z-1.jsonl").write_bytes(
        build_header("2027-01-01T00:00:00.000000+00:00", 1) + b"\n" if content is None else content
    )
    (finding,) = verify_folder(folder, keys=KEYS).findings
    assert (finding.kind, finding.reason[: len(reason)]) == (FindingKind.UNPROVED, reason)


async def test_an_early_header_hides_no_record_that_nothing_seals(folder: Path, record: Make) -> None:
    open_sealed(folder).close()
    forged = open_audit_log(folder, START.replace(hour=11))
    await forged.append(record(1))
    forged.close()
    (finding,) = verify_folder(folder, keys=KEYS).findings
    reason = "nothing seals it, though others were sealed already when it was written"
    assert (finding.kind, finding.reason) == (FindingKind.UNPROVED, reason)
