"""Exports in a folder of this machine: each a folder, each range in it one of its own, with parts and a manifest.

What is written is renamed into place once it is durable, then named in the manifest. A part that no manifest names
was never finished, and a line that was torn was never written. The kernel lets go of the claims of who dies.
"""

import fcntl
import os
import re
import shutil
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from hashlib import sha256
from pathlib import Path

from exports import kept
from exports.words import Ending, Part, State, Stated, Stopped
from records.journal import sync_folder

ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,99}")
STATED, ENDED, MANIFEST, CLAIM, FRESH = "stated.json", "ended.json", "manifest.jsonl", "claim", "fresh"
CHUNK = 2**20


class Folder:
    """A `Store`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def state(self, stated: Stated) -> bool:
        place = self._of(stated.id)
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        for each in stated.ranges:
            (place / _range(each.number)).mkdir(exist_ok=True)
        sync_folder(self.folder)
        return _first(place / STATED, kept.written(stated))

    def stated(self, id: str) -> Stated | None:
        found = _read(self._of(id) / STATED) if ID.fullmatch(id) else None
        return None if found is None else kept.stated(found)

    @contextmanager
    def claim(self, id: str, number: int) -> Iterator[bool]:
        file = os.open(self._of(id) / _range(number) / CLAIM, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            ours = False
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                ours = True
            yield ours
        finally:
            os.close(file)

    def parts(self, id: str, number: int) -> Sequence[Part]:
        found = _read(self._of(id) / _range(number) / MANIFEST) or b""
        whole = found[: found.rfind(b"\n") + 1]
        return tuple(kept.part(each) for each in whole.splitlines())

    def sweep(self, id: str, number: int) -> None:
        place = self._of(id) / _range(number)
        manifest = place / MANIFEST
        whole = (_read(manifest) or b"").rfind(b"\n") + 1
        if manifest.exists() and manifest.stat().st_size > whole:
            os.truncate(manifest, whole)
        named = {MANIFEST, CLAIM, *(_part(each.number) for each in self.parts(id, number))}
        for each in place.iterdir():
            if each.name not in named:
                each.unlink()

    def fresh(self, id: str, number: int) -> Path:
        return self._of(id) / _range(number) / FRESH

    def keep(self, id: str, part: Part, written: Path) -> None:
        place = self._of(id) / _range(part.range)
        _durable(written)
        written.rename(place / _part(part.number))
        sync_folder(place)
        _append(place / MANIFEST, kept.written(part) + b"\n")
        sync_folder(place)

    def end(self, id: str, ending: Ending) -> Ending:
        _first(self._of(id) / ENDED, kept.written(ending))
        return self.ended(id) or ending

    def ended(self, id: str) -> Ending | None:
        found = _read(self._of(id) / ENDED)
        return None if found is None else kept.ending(found)

    async def read(self, id: str, part: Part) -> AsyncIterator[bytes]:
        """Its end is not given away before all of it was found to be what was written."""
        found, held = sha256(), b""
        with (self._of(id) / _range(part.range) / _part(part.number)).open("rb") as file:
            for chunk in iter(partial(file.read, CHUNK), b""):
                found.update(chunk)
                if held:
                    yield held
                held = chunk
        if found.hexdigest() != part.sha256:
            raise Stopped(State.FAILED, f"part {part.number} of the export is not what was written: export it again")
        yield held

    def forget(self, before: datetime) -> None:
        """Removes the exports that were started before then, done or not."""
        for each in self.folder.iterdir() if self.folder.exists() else ():
            stated = self.stated(each.name)
            if stated is not None and datetime.fromisoformat(stated.started) < before:
                shutil.rmtree(each)

    def _of(self, id: str) -> Path:
        if not ID.fullmatch(id):
            raise ValueError("no export has such an id")
        return self.folder / id


def digest(path: Path) -> str:
    with path.open("rb") as file:
        found = sha256()
        for chunk in iter(partial(file.read, CHUNK), b""):
            found.update(chunk)
        return found.hexdigest()


def _range(number: int) -> str:
    return f"range-{number:04}"


def _part(number: int) -> str:
    return f"part-{number:05}"


def _first(path: Path, body: bytes) -> bool:
    """Whole or not at all, and never in place of another; durable in either case."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    fresh.write_bytes(body)
    _durable(fresh)
    try:
        os.link(fresh, path)
        return True
    except FileExistsError:
        return False
    finally:
        fresh.unlink()
        sync_folder(path.parent)


def _append(path: Path, line: bytes) -> None:
    file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    try:
        os.write(file, line)
        os.fsync(file)
    finally:
        os.close(file)


def _durable(path: Path) -> None:
    file = os.open(path, os.O_RDWR)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
