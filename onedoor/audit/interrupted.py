"""Find the records that a process began before it changed something, and did not live to end."""

import fcntl
import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from onedoor.audit import reader
from onedoor.audit.record import AuditOutcome

LOG = logging.getLogger("onedoor.audit")

LinesById: TypeAlias = Mapping[str, Sequence[Mapping[str, Any]]]

CLOSED_SUFFIX = ".closed"
"""Marks a file beside it whose every record has an end, so that nobody need read it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BegunRecord:
    """What the lines of a record that began to change something say."""

    id: str
    person: str | None
    key_id: str | None
    groups: tuple[str, ...]
    operation: str | None
    has_end: bool
    changes: frozenset[str]
    """The ids of the changes that it names."""


@contextmanager
def hold_abandoned_files(folder: Path) -> Iterator[Sequence[Path]]:
    """Yield the files whose process has ended and that are not marked closed; meanwhile no other process has them."""
    with ExitStack() as stack:
        marked = {path.name for path in folder.glob(f"*{CLOSED_SUFFIX}")}
        unmarked = [path for path in sorted(folder.glob("*.jsonl")) if path.name + CLOSED_SUFFIX not in marked]
        yield [path for path in unmarked if _lock_file(path, stack)]


def _lock_file(path: Path, stack: ExitStack) -> bool:
    """Return whether the file could be locked: a process locks its file as long as it lives."""
    try:
        file = os.open(path, os.O_RDWR)
    except PermissionError:  # another user's, who ends it
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return False
    stack.callback(os.close, file)
    return True


def mark_closed(path: Path) -> None:
    path.with_name(path.name + CLOSED_SUFFIX).touch(mode=0o600)


def collect_unended_lines(folder: Path, paths: Iterable[Path]) -> LinesById:
    """Return what the lines of any file say of each record that began in one of these and has no end there.

    All files are read once, however many processes ended without an end. One that is damaged is left out, and said.
    """
    unended = {record.id for path in paths for record in _read_own_records(path) if not record.has_end}
    lines = defaultdict[str, list[Mapping[str, Any]]](list)
    for path in reader.list_log_files(folder) if unended else ():
        try:
            found = reader.collect_lines({path: None}, unended)
        except reader.LogFileDamaged:
            LOG.error("the file of records `%s` is damaged: run `python -m onedoor audit verify`", path.name)
            continue
        for id, own in found.items():
            lines[id].extend(own)
    return lines


def read_begun_records(path: Path, unended: LinesById) -> Sequence[BegunRecord]:
    """Return the records that began in a file, with what lines of any file say of those that have no end in it."""
    return [record if record.has_end else _build_record(unended[record.id]) for record in _read_own_records(path)]


def _read_own_records(path: Path) -> Sequence[BegunRecord]:
    lines_by_id = reader.collect_lines({path: None}, reader.find_begun_ids(path))
    return [_build_record(lines) for lines in lines_by_id.values()]


def _build_record(lines: Sequence[Mapping[str, Any]]) -> BegunRecord:
    begun = lines[0]
    return BegunRecord(
        id=begun["id"],
        person=begun["person"],
        key_id=begun["key_id"],
        groups=tuple(begun["groups"]),
        operation=begun["operation"],
        has_end=any(line["outcome"] != AuditOutcome.BEGUN for line in lines),
        changes=frozenset(change["id"] for line in lines for change in line["changes"]),
    )
