"""Verify the hash chain of an audit log."""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from onedoor.audit.log import open_audit_log
from onedoor.audit.record import AuditRecord
from onedoor.audit.verification import VerificationResult, verify_folder
from onedoor.errors import ConfigurationError

Make = Callable[..., AuditRecord]
Lines = list[bytes]
START = datetime(2026, 11, 1, 12, tzinfo=UTC)
CHANGED = "it was changed, or lines after it were taken away"
MOVED = "it was changed, moved or put in"


@pytest.fixture
async def path(folder: Path, record: Make) -> Path:
    """Write an audit log of eight records: lines 2 to 9."""
    audit_log = open_audit_log(folder, START)
    for number in range(8):
        await audit_log.append(record(number))
    audit_log.close()
    return only_file(folder)


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def edited(lines: Lines) -> Lines:
    return [*lines[:4], lines[4].replace(b"Customer.name", b"Customer.nane"), *lines[5:]]


def relinked(lines: Lines) -> Lines:
    return [*lines[:4], lines[4].replace(b'"prev":"', b'"prev":"0')[:-1] + b"}", *lines[5:]]


@pytest.mark.parametrize(
    ("forge", "line", "reason"),
    [
        pytest.param(edited, 5, CHANGED, id="edited"),
        pytest.param(relinked, 5, MOVED, id="its link edited"),
        pytest.param(lambda lines: lines[:4] + lines[5:], 4, CHANGED, id="taken away"),
        pytest.param(lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]], 4, MOVED, id="swapped"),
        pytest.param(lambda lines: [*lines[:4], lines[3], *lines[4:]], 5, MOVED, id="doubled"),
        pytest.param(lambda lines: [*lines[:4], b"", *lines[4:]], 5, "it is no record", id="an empty line put in"),
        pytest.param(lambda lines: lines[1:], 1, "it is no header", id="the header taken away"),
        pytest.param(lambda lines: [lines[0].replace(b"2026", b"2025"), *lines[1:]], 1, CHANGED, id="header edited"),
    ],
)
def test_what_was_forged_is_named(path: Path, forge: Callable[[Lines], Lines], line: int, reason: str) -> None:
    lines = forge(path.read_bytes().splitlines())
    path.write_bytes(b"\n".join(lines) + b"\n")
    result = verify_folder(path.parent)
    (finding,) = result.findings
    assert (result.files, result.records, result.is_altered) == (0, max(line - 2, 0), True)
    assert (finding.file, finding.line, finding.reason) == (path.name, line, reason)


def test_the_first_bad_record_is_named_with_its_time(path: Path, record: Make) -> None:
    path.write_bytes(b"\n".join(edited(path.read_bytes().splitlines())) + b"\n")
    (finding,) = verify_folder(path.parent).findings
    assert (finding.record, finding.time) == (record(3).id, record(3).time)


def test_one_changed_byte_before_the_last_line_is_always_found(path: Path) -> None:
    good, dice = path.read_bytes(), random.Random(0)
    last = good[:-1].rindex(b"\n") + 1
    for _ in range(2_000):
        place = dice.randrange(last)
        bad = good[:place] + bytes([good[place] ^ 1 << dice.randrange(8)]) + good[place + 1 :]
        path.write_bytes(bad)
        (finding,) = verify_folder(path.parent).findings
        assert finding.line is not None
        assert finding.line - good[:place].count(b"\n") in (1, 2)


def test_only_the_file_that_is_bad_is_named(path: Path, folder: Path) -> None:
    (folder / "20270101T000000.000000Z-1.jsonl").write_bytes(b"nonsense\n")
    result = verify_folder(folder)
    assert (result.files, result.records) == (1, 8)
    assert [(finding.file, finding.line, finding.reason) for finding in result.findings] == [
        ("20270101T000000.000000Z-1.jsonl", 1, "it is no record")
    ]


def test_an_empty_folder_holds_together(folder: Path) -> None:
    assert verify_folder(folder) == VerificationResult(files=0, records=0)


def test_a_missing_folder_is_one_clear_sentence(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^there is no folder `.*/nowhere` to read records from$"):
        verify_folder(folder / "nowhere")
