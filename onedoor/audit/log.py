"""The append-only, hash-chained, fsynced audit log."""

import asyncio
import os
import re
from asyncio import AbstractEventLoop, Future
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, NamedTuple

import orjson

from onedoor.audit.record import AuditRecord, format_timestamp, to_line
from onedoor.errors import ConfigurationError, OnedoorError

PREVIOUS_DIGEST = re.compile(rb'\{"prev":"([0-9a-f]{64})"[,}]')


def build_header(started: str, process: int) -> bytes:
    """The first line of a file; the chain hangs from it."""
    return orjson.dumps({"journal": "onedoor", "version": 1, "started": started, "process": process})


def link_line(body: bytes, previous: str) -> bytes:
    """A record's line with the digest of the line before put first in it."""
    return b'{"prev":"' + previous.encode() + b'",' + body[1:]


def hash_line(line: bytes) -> str:
    """SHA-256 of a line without its line end, in hex."""
    return sha256(line).hexdigest()


def follows(line: bytes, before: bytes) -> bool:
    """Whether a line holds the digest of the one before."""
    match = PREVIOUS_DIGEST.match(line)
    return match is not None and match[1].decode() == hash_line(before)


def is_whole_line(line: bytes) -> bool:
    """Whether a line, as read from a file, was written to its end: a crash may tear the last one."""
    return line.endswith(b"\n")


def parse_line(line: bytes) -> dict[str, Any] | None:
    """The record of a line; None where it is none."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return record if isinstance(record, dict) else None


SYNC_DATA: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)
"""Not every system has fdatasync."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskOps:
    """`write` gives how many bytes it took; each raises OSError."""

    write: Callable[[int, bytes], int] = os.write
    sync: Callable[[int], None] = SYNC_DATA
    truncate: Callable[[int, int], None] = os.ftruncate


def write_all(disk: DiskOps, file: int, octets: bytes) -> None:
    """Writes every byte: a disk about to be full takes some of them, and fails at the next call."""
    while octets:
        octets = octets[disk.write(file, octets) :]


class ChainedFile:
    """An open file whose whole lines are durable up to `_end`; whatever a failure left past it is cut off."""

    def __init__(self, file: int, header: bytes, disk: DiskOps) -> None:
        """Takes an empty file, open to append, and makes its header durable."""
        self._file, self._disk, self._end, self._torn = file, disk, 0, False
        self._write_durably([header])

    def write(self, bodies: Sequence[bytes]) -> None:
        """Returns when all are durable, after one sync. Raises OSError when none counts as written."""
        self._truncate_torn()
        lines, prev = [], self._prev
        for body in bodies:
            lines.append(link_line(body, prev))
            prev = hash_line(lines[-1])
        try:
            self._write_durably(lines)
        except BaseException:
            with suppress(OSError):  # else the next write tries again, before it writes
                self._truncate_torn()
            raise

    def _truncate_torn(self) -> None:
        """Takes off what a failure left, so that nobody reads a record of what was never answered."""
        if self._torn:
            self._disk.truncate(self._file, self._end)
            self._torn = False

    def _write_durably(self, lines: Sequence[bytes]) -> None:
        octets = b"".join(line + b"\n" for line in lines)
        self._torn = True
        write_all(self._disk, self._file, octets)
        # a sync that failed may have forgotten what it could not write: the lines are written anew, not synced again
        self._disk.sync(self._file)
        self._torn = False
        self._end += len(octets)
        self._prev = hash_line(lines[-1])


MAX_UNAWAITED = 10_000
"""How many records nobody waits for are kept in memory while the disk fails; more are counted and dropped."""

CLOSED_MESSAGE = "the journal is closed: try again"


class AuditLogUnavailable(OnedoorError):
    """A record could not be made durable, so the reply it stands for must not be sent."""


class PendingLine(NamedTuple):
    """A record's line on its way to the disk, and who is to be told; None: nobody waits."""

    body: bytes
    durable: Future[None] | None


class AuditLog:
    """The journal of one process. `append` returns once its record is durable; `dropped` counts the unawaited lost."""

    def __init__(self, file: int, chained_file: ChainedFile) -> None:
        """Takes the file and the tape on it; `opened` makes both."""
        self._file, self._tape = file, chained_file
        self._waiting: SimpleQueue[PendingLine | None] = SimpleQueue()
        self._unawaited, self._closing = 0, False
        self._lock = Lock()
        self.dropped = 0
        self._thread = Thread(target=self._write_pending, name="onedoor-journal", daemon=True)
        self._thread.start()

    async def append(self, record: AuditRecord) -> None:
        """Returns when the record is durable. Raises JournalUnavailable when it could not be made so.

        Once called, the record is written even if the wait for it is cancelled.
        """
        await self.append_line(to_line(record))

    def append_line(self, line: bytes) -> Future[None]:
        """Done when the record of this line is durable; JournalUnavailable, raised or in it, as with `append`."""
        told = asyncio.get_running_loop().create_future()
        with self._lock:
            if self._closing:
                raise AuditLogUnavailable(CLOSED_MESSAGE)
            self._waiting.put(PendingLine(line, told))
        return told

    def append_nowait(self, record: AuditRecord) -> None:
        """Writes the record in its turn, for replies that do not wait for it; while the disk fails, it is kept."""
        line = to_line(record)
        with self._lock:
            if self._closing:
                raise AuditLogUnavailable(CLOSED_MESSAGE)
            if self._unawaited >= MAX_UNAWAITED:
                self.dropped += 1
                return
            self._unawaited += 1
            self._waiting.put(PendingLine(line, None))

    def close(self) -> None:
        """Writes what waits and gives the file back; afterwards every append fails."""
        with self._lock:
            if self._closing:
                return
            self._closing = True
            self._waiting.put(None)
        self._thread.join()
        os.close(self._file)

    def _write_pending(self) -> None:
        kept: list[PendingLine] = []
        closing = False
        while not closing:
            came = self._take_pending()
            closing = came[-1] is None  # INVARIANT: nothing is put after it
            fresh = [each for each in came if each is not None]
            kept = self._write_batch(kept + fresh) if fresh else kept
        if kept:
            self.dropped += len(self._write_batch(kept))

    def _take_pending(self) -> list[PendingLine | None]:
        """All that came, once something did.

        Who puts it holds the interpreter's lock until its loop has run all that was ready, so that these come together.
        """
        first = self._waiting.get()
        return [first, *(self._waiting.get_nowait() for _ in range(self._waiting.qsize()))]

    def _write_batch(self, batch: list[PendingLine]) -> list[PendingLine]:
        """Writes a batch and tells who waits; gives what is to be tried again with the next."""
        try:
            self._tape.write([each.body for each in batch])
        except Exception:  # whatever it was, nobody may wait for ever
            wake_waiters(batch, durable=False)
            return [each for each in batch if each.durable is None]
        wake_waiters(batch, durable=True)
        with self._lock:
            self._unawaited -= sum(each.durable is None for each in batch)
        return []


def open_audit_log(folder: Path, started: datetime, *, disk: DiskOps | None = None) -> AuditLog:
    """A new journal file `<start>-<pid>.jsonl` in a folder that exists. Raises Mistake where it cannot be written."""
    path = folder / f"{started.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}-{os.getpid()}.jsonl"
    try:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY, 0o600)
    except FileNotFoundError as reason:
        raise ConfigurationError(f"there is no folder `{folder}` to keep records in: create it") from reason
    except OSError as reason:
        raise ConfigurationError(f"records cannot be kept in `{folder}`: let this process write there") from reason
    try:
        tape = ChainedFile(file, build_header(format_timestamp(started), os.getpid()), disk or DiskOps())
        sync_folder(folder)
    except OSError as reason:
        os.close(file)
        raise ConfigurationError(f"records cannot be kept in `{folder}`: its disk is full or failing") from reason
    return AuditLog(file, tape)


def sync_folder(folder: Path) -> None:
    """Makes a new file's name durable, without which its lines could be lost with it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def wake_waiters(batch: Sequence[PendingLine], *, durable: bool) -> None:
    """Wakes those who wait, once per event loop."""
    waiting: defaultdict[AbstractEventLoop, list[Future[None]]] = defaultdict(list)
    for each in batch:
        if each.durable is not None:
            waiting[each.durable.get_loop()].append(each.durable)
    for loop, told in waiting.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(resolve_futures if durable else reject_futures, told)


def resolve_futures(futures: Sequence[Future[None]]) -> None:
    """Their records are durable."""
    for told in futures:
        if not told.done():
            told.set_result(None)


def reject_futures(futures: Sequence[Future[None]]) -> None:
    """Their records are not."""
    for told in futures:
        if not told.done():
            told.set_exception(AuditLogUnavailable("the record of this request could not be kept: try again"))
