"""Read the records of the audit log."""

import errno
import gzip
import heapq
import re
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO, cast

from onedoor.audit import log
from onedoor.audit.record import AuditOutcome
from onedoor.errors import ConfigurationError

RECORD_ID = re.compile(rb'\{"prev":"[0-9a-f]{64}","id":"([^"]*)"')

COMPRESSED_SUFFIX = ".gz"
"""Ends the name of a file that nobody writes any more and that was compressed."""

BEGUN = b'"outcome":"begun"'


class LogFileDamaged(OSError):
    """A compressed file cannot be read to its end."""


def read_records(folder: Path) -> Iterator[Mapping[str, Any]]:
    """Yield one record for each request, merged from all files by time; within a file, in the order they were written.

    The lines of what changed something are one record, in the place of the first. A last line torn by a crash is left
    out: its request was never answered. Other flaws are left to `verification`.
    """
    yield from merge_files(list_log_files(folder))


def merge_files(paths: Sequence[Path]) -> Iterator[Mapping[str, Any]]:
    """Yield the records of some files as `read_records` does."""
    sizes = {path: measure_file(path) for path in paths}
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
            if text.encode() in line and (record := log.parse_line(line)) is not None and "id" in record:
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
    """List the files of a folder, oldest first: a name begins with the time of its start. Raises ConfigurationError.

    A file that is there compressed, too, is listed as it was written.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"there is no folder `{folder}` to read records from")
    files = {path.name: path for path in folder.glob("*.jsonl")}
    compressed = {
        path.name.removesuffix(COMPRESSED_SUFFIX): path for path in folder.glob(f"*.jsonl{COMPRESSED_SUFFIX}")
    }
    return [path for _, path in sorted({**compressed, **files}.items())]


def get_log_name(path: Path) -> str:
    """Return the name that a file has in its checkpoints, compressed or not."""
    return path.name.removesuffix(COMPRESSED_SUFFIX)


def measure_file(path: Path) -> int | None:
    """Return how many bytes a file has, so that it is read no further; None: it does not grow any more."""
    try:
        return None if path.suffix == COMPRESSED_SUFFIX else path.stat().st_size
    except FileNotFoundError:
        return None


@contextmanager
def open_lines(path: Path) -> Iterator[BinaryIO]:
    """Open a file for its lines, also where it is compressed, or was a moment ago. Reading raises LogFileDamaged."""
    compressed = path if path.suffix == COMPRESSED_SUFFIX else path.with_name(path.name + COMPRESSED_SUFFIX)
    if path == compressed or (not path.exists() and compressed.exists()):
        try:
            with gzip.open(compressed, "rb") as lines:
                yield cast(BinaryIO, lines)
        except (EOFError, gzip.BadGzipFile, zlib.error) as reason:
            raise LogFileDamaged(errno.EIO, "the compressed file is damaged") from reason
    else:
        with path.open("rb") as file:
            yield file


def read_file_records(path: Path, end: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield the records of one file, without its header and checkpoints, as far as it reached at byte `end`."""
    for line in read_whole_lines(path, end):
        record = log.parse_line(line)
        if record is not None and "id" in record:
            yield record


def read_whole_lines(path: Path, end: int | None = None) -> Iterator[bytes]:
    """Yield the lines of a file that were written to their end, without their line ends; none that go past `end`."""
    position = 0
    with open_lines(path) as file:
        for line in file:
            position += len(line)
            if line.endswith(b"\n") and (end is None or position <= end):
                yield line[:-1]
