"""Records in, durable lines out: one file per process, one sync for all that wait, all in one thread."""

import asyncio
import os
from asyncio import AbstractEventLoop, Future
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Condition, Thread

from auth.mistake import Mistake
from records import chain
from records.disk import Disk
from records.record import Record, stamp, to_line
from records.tape import Tape

MOST_UNAWAITED = 10_000
"""How many records nobody waits for are kept in memory while the disk fails; more are counted and dropped."""


class JournalUnavailable(Exception):
    """A record could not be made durable, so the reply it stands for must not be sent."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A record's line on its way to the disk, and who is to be told; None: nobody waits."""

    body: bytes
    told: Future[None] | None


class Journal:
    """The journal of one process. `append` returns once its record is durable; `dropped` counts the unawaited lost."""

    def __init__(self, file: int, tape: Tape) -> None:
        """Takes the file and the tape on it; `opened` makes both."""
        self._file, self._tape = file, tape
        self._waiting: list[Waiting] = []
        self._unawaited, self._closing = 0, False
        self._changed = Condition()
        self.dropped = 0
        self._thread = Thread(target=self._run, name="onedoor-journal", daemon=True)
        self._thread.start()

    async def append(self, record: Record) -> None:
        """Returns when the record is durable. Raises JournalUnavailable when it could not be made so.

        Once called, the record is written even if the wait for it is cancelled.
        """
        told = asyncio.get_running_loop().create_future()
        self._add(Waiting(to_line(record), told))
        await told

    def append_later(self, record: Record) -> None:
        """Writes the record in its turn, for replies that do not wait for it; while the disk fails, it is kept."""
        self._add(Waiting(to_line(record), None))

    def close(self) -> None:
        """Writes what waits and gives the file back; afterwards every append fails."""
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify()
        self._thread.join()
        os.close(self._file)

    def _add(self, waiting: Waiting) -> None:
        with self._changed:
            if self._closing:
                raise JournalUnavailable("the journal is closed: try again")
            if waiting.told is None and self._unawaited >= MOST_UNAWAITED:
                self.dropped += 1
                return
            self._unawaited += waiting.told is None
            self._waiting.append(waiting)
            self._changed.notify()

    def _run(self) -> None:
        kept: list[Waiting] = []
        while came := self._taken():
            kept = self._written(kept + came)
        if kept:
            self.dropped += len(self._written(kept))

    def _taken(self) -> list[Waiting]:
        """All that came, once something did; nothing when the journal closes."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            came, self._waiting = self._waiting, []
            return came

    def _written(self, batch: list[Waiting]) -> list[Waiting]:
        """Writes a batch and tells who waits; gives what is to be tried again with the next."""
        try:
            self._tape.write([each.body for each in batch])
        except Exception:  # whatever it was, nobody may wait for ever
            tell(batch, durable=False)
            return [each for each in batch if each.told is None]
        tell(batch, durable=True)
        with self._changed:
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
