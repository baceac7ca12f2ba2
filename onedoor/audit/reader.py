"""Read the records of the audit log, and verify its chains."""

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

from onedoor.audit import log
from onedoor.errors import ConfigurationError


def read_records(folder: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the records of all files, merged by time; within a file, in the order they were written.

    A last line torn by a crash is left out: its request was never answered. Other flaws are left to `verify_folder`.
    """
    return heapq.merge(*(read_file_records(path) for path in list_log_files(folder)), key=itemgetter("time"))


def list_log_files(folder: Path) -> list[Path]:
    """List the files of a folder, oldest first: a name begins with the time of its start. Raises ConfigurationError."""
    if not folder.is_dir():
        raise ConfigurationError(f"there is no folder `{folder}` to read records from")
    return sorted(folder.glob("*.jsonl"))


def read_file_records(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of one file, without its header."""
    for line in read_whole_lines(path):
        record = log.parse_line(line)
        if record is not None and "prev" in record:
            yield record


def read_whole_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file that were written to their end, without their line ends."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line[:-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenLine:
    """The first bad line of a folder, counted from 1; the header is line 1."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationResult:
    """How many files and records are sound before the first bad line, and which that is."""

    files: int
    records: int
    broken: BrokenLine | None = None


def verify_folder(folder: Path) -> VerificationResult:
    """Check that each line of each file holds the digest of the line before.

    Whether the end of a file or a whole file was removed, or a last line changed, cannot be told.
    """
    count = 0
    files = list_log_files(folder)
    for index, path in enumerate(files):
        good = 0
        for good, broken in check_file(path):
            if broken is not None:
                return VerificationResult(files=index, records=count + good, broken=broken)
        count += good
    return VerificationResult(files=len(files), records=count)


def check_file(path: Path) -> Iterator[tuple[int, BrokenLine | None]]:
    """Yield for each line of a file how many sound records there are so far, and what is wrong with the line."""
    before = None
    for number, (line, after) in enumerate(pairwise(chain(read_whole_lines(path), (None,))), 1):
        assert line is not None
        broken = find_flaw(line, before, after)
        if broken is not None:
            offset, reason = broken
            yield max(number - 2 + offset, 0), BrokenLine(file=path.name, line=number + offset, reason=reason)
            return
        yield number - 1, None
        before = line


def find_flaw(line: bytes, before: bytes | None, after: bytes | None) -> tuple[int, str] | None:
    """Return what is wrong with a line, and which line it is: this one (0) or the one before (-1).

    The line before is the bad one where the line after vouches for this one, or there is none.
    """
    record = log.parse_line(line)
    if record is None:
        return 0, "it is no record"
    if before is None:
        return None if "journal" in record else (0, "it is no header")
    if log.follows(line, before):
        return None
    if line != before and (after is None or log.follows(after, line)):
        return -1, "it was changed, or lines after it were taken away"
    return 0, "it was changed, moved or put in"
