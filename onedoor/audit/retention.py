"""Compress files of the audit log that nobody writes any more, and delete those that are older than they are kept.

What is deleted leaves a signed statement in the log that goes on, and at its second places, with its last checkpoint.
"""

import fcntl
import gzip
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from onedoor.audit import log, reader
from onedoor.audit.checkpointer import PUBLISHED_SUFFIX
from onedoor.audit.interrupted import CLOSED_SUFFIX
from onedoor.audit.record import format_timestamp
from onedoor.audit.statements import StatementKind, parse_statement
from onedoor.audit.verification import LogFile, check_file
from onedoor.errors import ConfigurationError

LOG = logging.getLogger("onedoor.audit")

NAME_TIME = "%Y%m%dT%H%M%S.%fZ"
"""The time that the name of a file begins with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LegalHold:
    """What is kept whatever its age: all that has to do with a person, or all of a period."""

    person: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def overlaps(self, start: datetime, end: datetime) -> bool:
        """Whether a time from start to end has a part in the period; for a person there is none."""
        if self.person is not None:
            return False
        return (self.since is None or end >= self.since) and (self.until is None or start <= self.until)


def parse_hold(text: str) -> LegalHold:
    """Parse `person:ID`, or `2026-01-01..2026-04-01`; either end may be left out. Raises ConfigurationError."""
    kind, _, person = text.partition(":")
    if kind == "person" and person:
        return LegalHold(person=person)
    since, dots, until = text.partition("..")
    try:
        hold = LegalHold(since=_parse_time(since), until=_parse_time(until))
    except ValueError:
        hold = LegalHold()
    if not dots or hold == LegalHold():
        raise ConfigurationError(f"`records.holds`: write `person:ID` or `2026-01-01..2026-04-01`, not `{text}`")
    return hold


def _parse_time(text: str) -> datetime | None:
    time = datetime.fromisoformat(text) if text else None
    return time.replace(tzinfo=UTC) if time is not None and time.tzinfo is None else time


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRules:
    """How long records are kept, what is kept longer, and whether files are compressed once they have ended."""

    keep: timedelta | None = None
    holds: tuple[LegalHold, ...] = ()
    compress: bool = True
    waits_for_second_place: bool = False
    """Whether a file is left as it is until all of its checkpoints have been published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogKeeper:
    """Applies the rules of retention to the files of one folder."""

    folder: Path
    rules: RetentionRules
    state_deletion: Callable[[Mapping[str, Any]], None]
    """Signs what is deleted, and makes that durable. Raises SigningFailed, OSError."""

    def sweep(self, now: datetime) -> None:
        """Compress and delete what is due. What fails is left to the next sweep."""
        for path in reader.list_log_files(self.folder):
            if not self._has_ended(path):
                continue
            try:
                with lock_exclusively(path) as is_ours:
                    if is_ours:
                        self._keep_file(path, now)
            except Exception as error:
                LOG.error("the file of records `%s` could not be swept: %s", path.name, type(error).__name__)

    def _has_ended(self, path: Path) -> bool:
        """Whether nobody writes to a file, every record in it has an end, and its second places know it."""
        marks = [CLOSED_SUFFIX, *([PUBLISHED_SUFFIX] if self.rules.waits_for_second_place else ())]
        return all(path.with_name(reader.get_log_name(path) + mark).exists() for mark in marks)

    def _keep_file(self, path: Path, now: datetime) -> None:
        if self.rules.keep is not None and self._is_due(path, now - self.rules.keep):
            self._delete_file(path, now)
        elif self.rules.compress and path.suffix != reader.COMPRESSED_SUFFIX:
            compress_file(path)

    def _is_due(self, path: Path, before: datetime) -> bool:
        """Whether a file ended before a time, as its last line says, too, and may go; one that is altered stays."""
        if datetime.fromtimestamp(path.stat().st_mtime, UTC) >= before:
            return False
        file = LogFile(name=reader.get_log_name(path), read_lines=partial(reader.read_whole_lines, path))
        check = check_file(file)
        if check.findings:
            LOG.error("the file of records `%s` is not deleted: it was altered (`audit verify`)", path.name)
            return False
        ended = datetime.fromisoformat(check.last_time or "")
        return ended < before and not self._is_held(path, ended)

    def _is_held(self, path: Path, ended: datetime) -> bool:
        started = parse_file_start(reader.get_log_name(path))
        if any(hold.overlaps(started, ended) for hold in self.rules.holds):
            return True
        people = [f'"person":"{hold.person}"'.encode() for hold in self.rules.holds if hold.person is not None]
        return bool(people) and any(person in line for line in reader.read_whole_lines(path) for person in people)

    def _delete_file(self, path: Path, now: datetime) -> None:
        name, last, records = reader.get_log_name(path), b"", 0
        for line in reader.read_whole_lines(path):
            records += reader.parse_record_id(line) is not None
            last = line
        statement = parse_statement(last)
        content = {
            "file": name,
            "records": records,
            "head": log.hash_line(last),
            "checkpoint": None if statement is None else statement.to_body().decode(),
            "time": format_timestamp(now),
        }
        self.state_deletion(content)
        path.unlink()
        for mark in (CLOSED_SUFFIX, PUBLISHED_SUFFIX):
            path.with_name(name + mark).unlink(missing_ok=True)


def parse_file_start(name: str) -> datetime:
    """Return when a file was begun."""
    return datetime.strptime(name.rpartition("-")[0], NAME_TIME).replace(tzinfo=UTC)


@contextmanager
def lock_exclusively(path: Path) -> Iterator[bool]:
    """Hold a file that no other process holds; False where one does, or the file has gone."""
    try:
        file = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        yield False
        return
    try:
        yield path.exists()
    finally:
        os.close(file)


def compress_file(path: Path) -> None:
    """Put a compressed file in the place of one, whole or not at all, with the same time and owner."""
    part = path.with_name(path.name + ".part")
    state = path.stat()
    with path.open("rb") as source, part.open("wb") as target:
        os.fchmod(target.fileno(), state.st_mode & 0o777)
        if os.geteuid() == 0:
            os.fchown(target.fileno(), state.st_uid, state.st_gid)
        with gzip.GzipFile(filename="", mode="wb", fileobj=target, mtime=0) as compressed:
            shutil.copyfileobj(source, compressed)
        target.flush()
        os.fsync(target.fileno())
    os.utime(part, ns=(state.st_atime_ns, state.st_mtime_ns))
    part.rename(path.with_name(path.name + reader.COMPRESSED_SUFFIX))
    log.sync_folder(path.parent)
    path.unlink()


def state_deletion(audit_log: log.AuditLog, content: Mapping[str, Any]) -> None:
    """Sign in the log what was deleted. Raises SigningFailed, OSError."""
    checkpointer = audit_log.checkpointer
    assert checkpointer is not None
    checkpointer.write_statement(StatementKind.DELETION, content)
