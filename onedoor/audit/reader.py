"""Read the records of the audit log, and verify its chains."""

import heapq
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import chain, pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

from onedoor.audit import log
from onedoor.audit.record import AuditOutcome
from onedoor.errors import ConfigurationError

RECORD_ID = re.compile(rb'\{"prev":"[0-9a-f]{64}","id":"([^"]*)"')

BEGUN = b'"outcome":"begun"'


def read_records(folder: Path) -> Iterator[Mapping[str, Any]]:
    """Yield one record for each request, merged from all files by time; within a file, in the order they were written.

    The lines of what changed something are one record, in the place of the first. A last line torn by a crash is left
    out: its request was never answered. Other flaws are left to `verify_folder`.
    """
    sizes = {path: path.stat().st_size for path in list_log_files(folder)}
    begun = {id for path, end in sizes.items() for id in find_begun_ids(path, end)}
    lines = collect_lines(sizes, begun)
    for record in heapq.merge(*(read_file_records(path, end) for path, end in sizes.items()), key=itemgetter("time")):
        if record["id"] not in begun:
            yield record
        elif record["outcome"] == AuditOutcome.BEGUN:
            yield merge_lines(lines[record["id"]])


def find_records(folder: Path, text: str) -> Iterator[Mapping[str, Any]]:
    """Yield the records whose lines hold a text, by time, as `read_records` would; other lines are not parsed.

    The text is in every line of a request or in none, as what says whose it is.
    """
    lines = defaultdict[str, list[Mapping[str, Any]]](list)
    for path in list_log_files(folder):
        for line in read_whole_lines(path):
            if text.encode() in line and (record := log.parse_line(line)) is not None and "prev" in record:
                lines[record["id"]].append(record)
    records = [merge_lines(found) if is_begun(found) else found[-1] for found in lines.values()]
    yield from sorted(records, key=itemgetter("time"))


def is_begun(lines: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the lines of one request say that it began to change something."""
    return any(line["outcome"] == AuditOutcome.BEGUN for line in lines)


def find_begun_ids(path: Path, end: int | None = None) -> set[str]:
    """Return the ids of the records in a file that began to change something."""
    return {id for line in read_whole_lines(path, end) if BEGUN in line and (id := parse_record_id(line)) is not None}


def collect_lines(ends: Mapping[Path, int | None], ids: AbstractSet[str]) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Return the lines with these ids by id, from files as far as they reached; lines with one id may be in several."""
    lines = defaultdict[str, list[Mapping[str, Any]]](list)
    for path, end in ends.items() if ids else ():
        for line in read_whole_lines(path, end):
            if parse_record_id(line) in ids and (record := log.parse_line(line)) is not None:
                lines[record["id"]].append(record)
    return lines


def parse_record_id(line: bytes) -> str | None:
    """Return the id of a record's line, which is cheaper than to parse the line; None: it is no record."""
    match = RECORD_ID.match(line)
    return None if match is None else match[1].decode()


def merge_lines(lines: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Make the lines of one request, the first of which says BEGUN, one record with every change that a line names.

    It is what the client was told, if it was told anything.
    """
    begun = next(line for line in lines if line["outcome"] == AuditOutcome.BEGUN)
    told = [line for line in lines if line["outcome"] not in (AuditOutcome.BEGUN, AuditOutcome.LOST)]
    is_lost = any(line["outcome"] == AuditOutcome.LOST for line in lines)
    changes = {change["id"]: change for line in lines for change in line.get("changes") or ()}
    shown = told[-1] if told else {**begun, "outcome": str(AuditOutcome.LOST)} if is_lost else begun
    return {**shown, "changes": list(changes.values())}


def list_log_files(folder: Path) -> list[Path]:
    """List the files of a folder, oldest first: a name begins with the time of its start. Raises ConfigurationError."""
    if not folder.is_dir():
        raise ConfigurationError(f"there is no folder `{folder}` to read records from")
    return sorted(folder.glob("*.jsonl"))


def read_file_records(path: Path, end: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield the lines of one file as records, without its header, as far as it reached at byte `end`."""
    for line in read_whole_lines(path, end):
        record = log.parse_line(line)
        if record is not None and "prev" in record:
            yield record


def read_whole_lines(path: Path, end: int | None = None) -> Iterator[bytes]:
    """Yield the lines of a file that were written to their end, without their line ends; none that go past `end`."""
    position = 0
    with path.open("rb") as file:
        for line in file:
            position += len(line)
            if line.endswith(b"\n") and (end is None or position <= end):
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
