"""Nothing in, a folder out that is ours alone; those that killed processes left are swept away.

Whoever has one holds a lock on it, which ends with the process, however that ends. A process id would not do: another
container that shares the disk has its own.
"""

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PREFIX = "onedoor-scratch-"
TRIES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """`lock` is an open file: of the folder itself."""

    path: Path
    lock: int

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self.lock)


def made() -> Folder:
    """Raises OSError. A sweep may take a folder away between its making and its locking, so it is made again."""
    for _ in range(TRIES):
        path = Path(tempfile.mkdtemp(prefix=PREFIX))
        lock = locked(path)
        if lock is not None:
            return Folder(path=path, lock=lock)
    raise OSError("no folder could be locked")


def locked(path: Path) -> int | None:
    """None where another process has it, or it is not there any more."""
    try:
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    with suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), path.lstat()):
            return lock
    os.close(lock)
    return None


def swept() -> None:
    """Removes the folders of this user that no process holds."""
    with suppress(OSError):
        for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            _removed(path)


def _removed(path: Path) -> None:
    with suppress(FileNotFoundError):
        if path.lstat().st_uid == os.getuid() and (lock := locked(path)) is not None:
            Folder(path=path, lock=lock).close()
