"""Read and verify the log."""

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain as joined
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

from onedoor.audit import log
from onedoor.errors import ConfigurationError


def read_records(folder: Path) -> Iterator[Mapping[str, Any]]:
    """Every record of every file, merged by time; within a file, in the order it was written.

    A last line torn by a crash is left out: nobody was answered for it. What else cannot be read is left to `verify`.
    """
    return heapq.merge(*(read_file_records(path) for path in list_log_files(folder)), key=itemgetter("time"))


def list_log_files(folder: Path) -> list[Path]:
    """The files of a folder, oldest first: their names begin with when they began."""
    if not folder.is_dir():
        raise ConfigurationError(f"there is no folder `{folder}` to read records from")
    return sorted(folder.glob("*.jsonl"))


def read_file_records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of one file, without its header."""
    for line in read_whole_lines(path):
        record = log.parse_line(line)
        if record is not None and "prev" in record:
            yield record


def read_whole_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file that were written to their end, without their line ends."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line[:-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenLine:
    """The first bad line of a folder: counted from 1, the header being line 1."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationResult:
    """How many files and lines hold together before the first bad one, and which that is."""

    files: int
    records: int
    broken: BrokenLine | None = None


def verify_folder(folder: Path) -> VerificationResult:
    """Whether each line of each file holds the digest of the line before it.

    It cannot tell whether the end of a file, or a whole file, was taken away, nor whether a last line was changed.
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
    """For each line of a file: how many good records there are so far, and what is wrong with it."""
    before = None
    for number, (line, after) in enumerate(pairwise(joined(read_whole_lines(path), (None,))), 1):
        assert line is not None
        broken = find_flaw(line, before, after)
        if broken is not None:
            offset, reason = broken
            yield max(number - 2 + offset, 0), BrokenLine(file=path.name, line=number + offset, reason=reason)
            return
        yield number - 1, None
        before = line


def find_flaw(line: bytes, before: bytes | None, after: bytes | None) -> tuple[int, str] | None:
    """What is wrong with a line (0) or, where the line after vouches for it or is none, with the one before (-1)."""
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
