"""Keep the files of the spill database in a locked folder, and remove folders that a killed process left behind.

This module does not import DuckDB, so that a server which never spills does not load it.
"""

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

FOLDER_PREFIX = "onedoor-scratch-"

MAX_FOLDER_ATTEMPTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedFolder:
    """A folder of this process alone. `lock` is a file descriptor of the folder itself."""

    path: Path
    lock: int

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self.lock)


def create_locked_folder() -> LockedFolder:
    """Create a folder, and another one if it was removed as abandoned before it was locked. Raises OSError."""
    for _ in range(MAX_FOLDER_ATTEMPTS):
        path = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
        lock = _lock_folder(path)
        if lock is not None:
            return LockedFolder(path=path, lock=lock)
    raise OSError("no folder could be locked")


def remove_abandoned_folders() -> None:
    """Remove the folders of this user that no process holds."""
    with suppress(OSError):
        for path in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"):
            _remove_if_abandoned(path)


def _remove_if_abandoned(path: Path) -> None:
    with suppress(FileNotFoundError):
        if path.lstat().st_uid == os.getuid() and (lock := _lock_folder(path)) is not None:
            LockedFolder(path=path, lock=lock).close()


def _lock_folder(path: Path) -> int | None:
    """Return the lock, or None where another process has it or the folder is gone."""
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
