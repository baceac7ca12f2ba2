"""Records in, durable lines out: one file per process, one sync for all that wait, all in one thread."""

import asyncio
import os
from asyncio import AbstractEventLoop, Future
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import NamedTuple

from auth.mistake import Mistake
from records import chain
from records.disk import Disk
from records.record import Record, stamp, to_line
from records.tape import Tape

MOST_UNAWAITED = 10_000
"""How many records nobody waits for are kept in memory while the disk fails; more are counted and dropped."""
CLOSED = "the journal is closed: try again"


class JournalUnavailable(Exception):
    """A record could not be made durable, so the reply it stands for must not be sent."""


class Waiting(NamedTuple):
    """A record's line on its way to the disk, and who is to be told; None: nobody waits."""

    body: bytes
    told: Future[None] | None


class Journal:
    """The journal of one process. `append` returns once its record is durable; `dropped` counts the unawaited lost."""

    def __init__(self, file: int, tape: Tape) -> None:
        """Takes the file and the tape on it; `opened` makes both."""
        self._file, self._tape = file, tape
        self._waiting: SimpleQueue[Waiting | None] = SimpleQueue()
        self._unawaited, self._closing = 0, False
        self._lock = Lock()
        self.dropped = 0
        self._thread = Thread(target=self._run, name="onedoor-journal", daemon=True)
        self._thread.start()

    async def append(self, record: Record) -> None:
        """Returns when the record is durable. Raises JournalUnavailable when it could not be made so.

        Once called, the record is written even if the wait for it is cancelled.
        """
        await self.appended(to_line(record))

    def appended(self, line: bytes) -> Future[None]:
        """Done when the record of this line is durable; JournalUnavailable, raised or in it, as with `append`."""
        told = asyncio.get_running_loop().create_future()
        with self._lock:
            if self._closing:
                raise JournalUnavailable(CLOSED)
            self._waiting.put(Waiting(line, told))
        return told

    def append_later(self, record: Record) -> None:
        """Writes the record in its turn, for replies that do not wait for it; while the disk fails, it is kept."""
        line = to_line(record)
        with self._lock:
            if self._closing:
                raise JournalUnavailable(CLOSED)
            if self._unawaited >= MOST_UNAWAITED:
                self.dropped += 1
                return
            self._unawaited += 1
            self._waiting.put(Waiting(line, None))

    def close(self) -> None:
        """Writes what waits and gives the file back; afterwards every append fails."""
        with self._lock:
            if self._closing:
                return
            self._closing = True
            self._waiting.put(None)
        self._thread.join()
        os.close(self._file)

    def _run(self) -> None:
        kept: list[Waiting] = []
        closing = False
        while not closing:
            came = self._taken()
            closing = came[-1] is None  # INVARIANT: nothing is put after it
            fresh = [each for each in came if each is not None]
            kept = self._written(kept + fresh) if fresh else kept
        if kept:
            self.dropped += len(self._written(kept))

    def _taken(self) -> list[Waiting | None]:
        """All that came, once something did.

        Who puts it holds the interpreter's lock until its loop has run all that was ready, so that these come together.
        """
        first = self._waiting.get()
        return [first, *(self._waiting.get_nowait() for _ in range(self._waiting.qsize()))]

    def _written(self, batch: list[Waiting]) -> list[Waiting]:
        """Writes a batch and tells who waits; gives what is to be tried again with the next."""
        try:
            self._tape.write([each.body for each in batch])
        except Exception:  # whatever it was, nobody may wait for ever
            tell(batch, durable=False)
            return [each for each in batch if each.told is None]
        tell(batch, durable=True)
        with self._lock:
            self._unawaited -= sum(each.told is None for each in batch)
        return []


def opened(folder: Path, started: datetime, *, disk: Disk | None = None) -> Journal:
    """A new journal file `<start>-<pid>.jsonl` in a folder that exists. Raises Mistake where it cannot be written."""
    path = folder / f"{started.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}-{os.getpid()}.jsonl"
    try:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY, 0o600)
    except FileNotFoundError as reason:
        raise Mistake(f"there is no folder `{folder}` to keep records in: create it") from reason
    except OSError as reason:
        raise Mistake(f"records cannot be kept in `{folder}`: let this process write there") from reason
    try:
        tape = Tape(file, chain.header(stamp(started), os.getpid()), disk or Disk())
        sync_folder(folder)
    except OSError as reason:
        os.close(file)
        raise Mistake(f"records cannot be kept in `{folder}`: its disk is full or failing") from reason
    return Journal(file, tape)


def sync_folder(folder: Path) -> None:
    """Makes a new file's name durable, without which its lines could be lost with it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def tell(batch: Sequence[Waiting], *, durable: bool) -> None:
    """Wakes those who wait, once per event loop."""
    waiting: defaultdict[AbstractEventLoop, list[Future[None]]] = defaultdict(list)
    for each in batch:
        if each.told is not None:
            waiting[each.told.get_loop()].append(each.told)
    for loop, told in waiting.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle if durable else refuse, told)


def settle(waiting: Sequence[Future[None]]) -> None:
    """Their records are durable."""
    for told in waiting:
        if not told.done():
            told.set_result(None)


def refuse(waiting: Sequence[Future[None]]) -> None:
    """Their records are not."""
    for told in waiting:
        if not told.done():
            told.set_exception(JournalUnavailable("the record of this request could not be kept: try again"))
