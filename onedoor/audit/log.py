"""Write the append-only, hash-chained audit log: a record is durable before its request is answered."""

import asyncio
import errno
import fcntl
import os
import re
from asyncio import AbstractEventLoop, Future
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from time import monotonic
from typing import Any, NamedTuple

import orjson

from onedoor.audit.checkpointer import Checkpointer, Sealing
from onedoor.audit.checkpoints import ChainState
from onedoor.audit.merkle import MerkleTree, hash_line_leaf
from onedoor.audit.record import AuditRecord, format_timestamp, to_line
from onedoor.audit.statements import build_key_id
from onedoor.errors import ConfigurationError, OnedoorError

PREVIOUS_DIGEST = re.compile(rb'\{"prev":"([0-9a-f]{64})"[,}]')


RECORD_START = b'{"id":'
"""Begins the line of a record, but for the digest of the line before."""


def build_header(started: str, process: int, sealed_by: str | None = None) -> bytes:
    """Build the first line of a file, from which the chain begins; it names the key of its checkpoints, if any."""
    header = {"journal": "onedoor", "version": 1, "started": started, "process": process}
    return orjson.dumps(header if sealed_by is None else {**header, "sealed_by": sealed_by})


def link_line(body: bytes, previous: str) -> bytes:
    """Put the digest of the line before first into a record's line."""
    return b'{"prev":"' + previous.encode() + b'",' + body[1:]


def hash_line(line: bytes) -> str:
    """Return the SHA-256 of a line without its line end, in hexadecimal."""
    return sha256(line).hexdigest()


def follows(line: bytes, before: bytes) -> bool:
    """Whether a line holds the digest of the line before."""
    match = PREVIOUS_DIGEST.match(line)
    return match is not None and match[1].decode() == hash_line(before)


def is_whole_line(line: bytes) -> bool:
    """Whether a line, as read from a file, was written to its end: a crash may tear the last."""
    return line.endswith(b"\n")


def parse_line(line: bytes) -> dict[str, Any] | None:
    """Parse the record of a line; None where it is not a record."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return record if isinstance(record, dict) else None


SYNC_DATA: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)
"""fdatasync, where the system has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskOps:
    """The calls that reach the disk; each raises OSError, and `write` returns how many bytes it took."""

    write: Callable[[int, bytes], int] = os.write
    sync: Callable[[int], None] = SYNC_DATA
    truncate: Callable[[int, int], None] = os.ftruncate


def write_all(disk: DiskOps, file: int, data: bytes) -> None:
    """Write every byte: a disk about to be full takes some of them, and fails at the next call."""
    while data:
        data = data[disk.write(file, data) :]


class ChainedFile:
    """An open file whose lines are durable up to `_end`; whatever a failure left past it is cut off."""

    def __init__(self, file: int, header: bytes, disk: DiskOps) -> None:
        """Make the header durable in an empty file, open to append."""
        self._file, self._disk, self._end, self._torn = file, disk, 0, False
        self._lock, self._tree, self._is_closed = Lock(), MerkleTree(), False
        self._line_count, self.record_count = 0, 0
        self._write_durably([header])

    @property
    def size(self) -> int:
        """The bytes of its durable lines."""
        return self._end

    def close(self) -> None:
        """Close the file; whoever still writes to it fails, as another file may soon have its number."""
        with self._lock:
            self._is_closed = True
            os.close(self._file)

    def take_state(self) -> ChainState:
        """Return how far the file has come, and begin a new tree with the next line."""
        with self._lock:
            tree, self._tree = self._tree, MerkleTree()
            return ChainState(
                first=self._line_count - tree.size + 1,
                lines=self._line_count,
                records=self.record_count,
                head=self._previous,
                root=tree.compute_root().hex(),
            )

    def write(self, bodies: Sequence[bytes]) -> None:
        """Return when all are durable, after one sync. Raises OSError where none counts as written."""
        with self._lock:
            if self._is_closed:
                raise OSError(errno.EBADF, "the file is closed")
            self._append(bodies)
            self.record_count += sum(body.startswith(RECORD_START) for body in bodies)

    def _append(self, bodies: Sequence[bytes]) -> None:
        self._truncate_torn()
        lines, previous = [], self._previous
        for body in bodies:
            lines.append(link_line(body, previous))
            previous = hash_line(lines[-1])
        try:
            self._write_durably(lines)
        except BaseException:
            with suppress(OSError):  # else the next write tries again, before it writes
                self._truncate_torn()
            raise

    def _truncate_torn(self) -> None:
        """Cut off what a failure left, so that nobody reads a record of a request that was never answered."""
        if self._torn:
            self._disk.truncate(self._file, self._end)
            self._torn = False

    def _write_durably(self, lines: Sequence[bytes]) -> None:
        data = b"".join(line + b"\n" for line in lines)
        self._torn = True
        write_all(self._disk, self._file, data)
        # a failed sync may have dropped what it could not write, so the lines are written anew, not synced again
        self._disk.sync(self._file)
        self._torn = False
        self._end += len(data)
        self._previous = hash_line(lines[-1])
        self._line_count += len(lines)
        for line in lines:
            self._tree.append(hash_line_leaf(line))


MAX_UNAWAITED = 10_000
"""How many records that nobody waits for are kept in memory while the disk fails; more are counted and dropped."""

CLOSED_MESSAGE = "the audit log is closed: try again"


class AuditLogUnavailable(OnedoorError):
    """A record could not be made durable, so the response to its request must not be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """When a file of the log is full, so that the next record begins another."""

    max_bytes: int = 134_217_728
    max_seconds: float = 86_400.0


LOCK_SECONDS = 3_600.0
"""How long a process keeps the lock on a file that was full: what began in it may end in the next one."""

REOPEN_SECONDS = 60.0
"""How long a full file is written on where the next one cannot be opened."""


@dataclass(slots=True, kw_only=True)
class OpenLogFile:
    """A file that this process writes, and holds the lock on until it is closed."""

    chained_file: ChainedFile
    checkpointer: Checkpointer | None
    opened_at: float = field(default_factory=monotonic)

    def is_full(self, rotation: Rotation) -> bool:
        age = monotonic() - self.opened_at
        return self.chained_file.size >= rotation.max_bytes or age >= rotation.max_seconds

    def seal_end(self) -> None:
        """Seal the end; nobody writes to it any more."""
        if self.checkpointer is not None:
            self.checkpointer.close()


class PendingLine(NamedTuple):
    """A record's line on its way to the disk, and the future to resolve then; None: nobody waits."""

    body: bytes
    durable: Future[None] | None


class AuditLog:
    """The audit log of one process, written by a thread; `dropped` counts lost records that nobody waited for."""

    def __init__(self, open_next: Callable[[], OpenLogFile], rotation: Rotation) -> None:
        """Open the first file, by `open_next`, and start the thread. Raises ConfigurationError."""
        self._current, self._open_next, self._rotation = open_next(), open_next, rotation
        self._full: list[tuple[float, OpenLogFile, Thread]] = []
        """The files before this one whose locks are still held, since when they are full, and what seals them."""
        self._reopen_at = 0.0
        self._waiting: SimpleQueue[PendingLine | None] = SimpleQueue()
        self._unawaited, self._closing = 0, False
        self._lock = Lock()
        self.dropped = 0
        self._thread = Thread(target=self._write_pending, name="onedoor-audit", daemon=True)
        self._thread.start()

    @property
    def checkpointer(self) -> Checkpointer | None:
        """What seals the file that is written now; None: nothing does."""
        return self._current.checkpointer

    async def append(self, record: AuditRecord) -> None:
        """Return when the record is durable; it is written even where the wait for it is cancelled.

        Raises AuditLogUnavailable where it could not be made durable.
        """
        await self.append_line(to_line(record))

    def append_line(self, line: bytes) -> Future[None]:
        """Return a future that is done when the line is durable; it, or the call, raises AuditLogUnavailable."""
        durable = asyncio.get_running_loop().create_future()
        with self._lock:
            if self._closing:
                raise AuditLogUnavailable(CLOSED_MESSAGE)
            self._waiting.put(PendingLine(line, durable))
        return durable

    def append_nowait(self, record: AuditRecord) -> None:
        """Write the record in its turn, while its response does not wait. Raises AuditLogUnavailable once closed."""
        self.append_line_nowait(to_line(record))

    def append_line_nowait(self, line: bytes) -> None:
        """Write the line in its turn, again while the disk fails. Raises AuditLogUnavailable once closed."""
        with self._lock:
            if self._closing:
                raise AuditLogUnavailable(CLOSED_MESSAGE)
            if self._unawaited >= MAX_UNAWAITED:
                self.dropped += 1
                return
            self._unawaited += 1
            self._waiting.put(PendingLine(line, None))

    def close(self) -> None:
        """Write what waits, seal the end and close the file; afterwards every append fails."""
        with self._lock:
            if self._closing:
                return
            self._closing = True
            self._waiting.put(None)
        self._thread.join()
        self._current.seal_end()
        self._current.chained_file.close()
        for _, full, sealing in self._full:
            if sealing.ident is None:
                full.seal_end()
            else:
                sealing.join()
            full.chained_file.close()

    def _write_pending(self) -> None:
        unwritten: list[PendingLine] = []
        closing = False
        while not closing:
            pending = self._take_pending()
            closing = pending[-1] is None  # INVARIANT: nothing is put after it
            lines = [line for line in pending if line is not None]
            unwritten = self._write_batch(unwritten + lines) if lines else unwritten
        if unwritten:
            self.dropped += len(self._write_batch(unwritten))

    def _take_pending(self) -> list[PendingLine | None]:
        """Wait for a line, and return it with all that wait behind it.

        The event loop holds the interpreter's lock until it has run all that was ready, so its lines come together.
        """
        first = self._waiting.get()
        return [first, *(self._waiting.get_nowait() for _ in range(self._waiting.qsize()))]

    def _write_batch(self, batch: list[PendingLine]) -> list[PendingLine]:
        """Write a batch, wake who waits for it, and return the lines to try again with the next batch."""
        if self._current.is_full(self._rotation) and monotonic() >= self._reopen_at:
            self._rotate()
        self._end_full_files()
        try:
            self._current.chained_file.write([line.body for line in batch])
        except Exception:  # whatever failed, nobody may wait for ever
            wake_waiters(batch, durable=False)
            return [line for line in batch if line.durable is None]
        wake_waiters(batch, durable=True)
        with self._lock:
            self._unawaited -= sum(line.durable is None for line in batch)
        return []

    def _rotate(self) -> None:
        """Begin another file; the end of the full one is sealed in a thread, as that may wait for a second place."""
        try:
            following = self._open_next()
        except Exception:  # whatever failed, the thread lives: where the disk does not, the next record says so
            self._reopen_at = monotonic() + REOPEN_SECONDS
            return
        full, self._current = self._current, following
        sealing = Thread(target=full.seal_end, name="onedoor-audit-end", daemon=True)
        self._full.append((monotonic(), full, sealing))

    def _end_full_files(self) -> None:
        """Seal the ends of full files, where a thread can be started for it now, and close those kept long enough."""
        for since, full, sealing in list(self._full):
            if sealing.ident is None:
                with suppress(RuntimeError):  # the next batch tries again
                    sealing.start()
            elif monotonic() - since >= LOCK_SECONDS and not sealing.is_alive():
                full.chained_file.close()
                self._full.remove((since, full, sealing))


BUDGET_SECONDS = 60.0


class ByteBudget:
    """Counts what each key has written, from one minute's start to the next; a minute begins for all at once."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.clock = clock
        self.counts: Counter[str] = Counter()
        self.began_at = clock()

    def add(self, name: str, byte_count: int) -> None:
        """Count bytes that a key has written."""
        self._begin_minute()
        self.counts[name] += byte_count

    def get_wait(self, name: str, limit: int) -> float | None:
        """Return the seconds until a key that has written `limit` bytes may write again; None: it has not."""
        if self.counts[name] < limit:
            return None
        self._begin_minute()
        return None if self.counts[name] < limit else self.began_at + BUDGET_SECONDS - self.clock()

    def _begin_minute(self) -> None:
        now = self.clock()
        if now - self.began_at >= BUDGET_SECONDS:
            self.began_at = now
            self.counts.clear()


def open_audit_log(
    folder: Path,
    started: datetime | None = None,
    *,
    disk: DiskOps | None = None,
    sealing: Sealing | None = None,
    rotation: Rotation | None = None,
) -> AuditLog:
    """Open the log of this process in an existing folder, sealed if it can be. Raises ConfigurationError.

    `started` names its first file; the time names the others.
    """
    times = chain((started,) if started is not None else (), iter(lambda: datetime.now(UTC), None))
    return AuditLog(
        lambda: open_log_file(folder, next(times), disk=disk or DiskOps(), sealing=sealing), rotation or Rotation()
    )


def open_log_file(folder: Path, started: datetime, *, disk: DiskOps, sealing: Sealing | None) -> OpenLogFile:
    """Open a new file `<start>-<pid>.jsonl`. Raises ConfigurationError."""
    path = folder / f"{started.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}-{os.getpid()}.jsonl"
    try:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY, 0o600)
    except FileNotFoundError as reason:
        raise ConfigurationError(f"there is no folder `{folder}` to keep records in: create it") from reason
    except OSError as reason:
        raise ConfigurationError(f"records cannot be kept in `{folder}`: let this process write there") from reason
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until this process ends, however it does
        if os.geteuid() == 0:  # a command of the superuser, whose records the server reads
            owner = folder.stat()
            os.fchown(file, owner.st_uid, owner.st_gid)
        sealed_by = None if sealing is None else build_key_id(sealing.signer.public_key)
        header = build_header(format_timestamp(started), os.getpid(), sealed_by)
        chained_file = ChainedFile(file, header, disk)
        sync_folder(folder)
    except OSError as reason:
        os.close(file)
        raise ConfigurationError(f"records cannot be kept in `{folder}`: its disk is full or failing") from reason
    try:
        checkpointer = None if sealing is None else Checkpointer(chained_file, path, sealing)
    except RuntimeError as reason:
        chained_file.close()
        path.unlink()
        raise ConfigurationError("records cannot be sealed: let this process start more threads") from reason
    return OpenLogFile(chained_file=chained_file, checkpointer=checkpointer)


def sync_folder(folder: Path) -> None:
    """Make a new file's name durable; its lines could be lost with it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def wake_waiters(batch: Sequence[PendingLine], *, durable: bool) -> None:
    """Resolve the futures of a batch, in one call for each event loop."""
    futures_by_loop: defaultdict[AbstractEventLoop, list[Future[None]]] = defaultdict(list)
    for line in batch:
        if line.durable is not None:
            futures_by_loop[line.durable.get_loop()].append(line.durable)
    for loop, futures in futures_by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(resolve_futures if durable else reject_futures, futures)


def resolve_futures(futures: Sequence[Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)


def reject_futures(futures: Sequence[Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(AuditLogUnavailable("the record of this request could not be kept: try again"))
