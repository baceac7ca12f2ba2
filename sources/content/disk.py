"""A folder and a path below it in, what stands there out: files alone, and nothing outside of the folder.

Links are not followed, and a path is opened part by part from the folder on, so that none can lead out of it meanwhile.
Each raises what the machine says; `sources/folder.py` says it in our words.
"""

import errno
import os
import stat as modes
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from engine.errors import Code, SourceFailed
from sources.content.words import HIDDEN

DEPTH = 32
"""Folders in one another that are looked into."""
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Nothing waits for who writes into a pipe of this name."""
NONE_OF_OURS = frozenset({errno.ELOOP, errno.ENXIO, errno.ENAMETOOLONG})
"""What the machine says of links, sockets and names that no file can have."""
Found = tuple[str, os.stat_result]
"""A file's path from the folder on, and how it stands."""


def walked(root: Path, below: str) -> Iterator[Found]:
    """Every file from `below` on; none where that is no folder of ours, or one that goes meanwhile."""
    parts = split(below) if below else ()
    if parts is None:
        return
    waiting = [(below, len(parts))]
    while waiting:
        path, depth = waiting.pop()
        for name, found in listed(root, path):
            inner = f"{path}/{name}" if path else name
            if modes.S_ISREG(found.st_mode):
                yield inner, found
            elif modes.S_ISDIR(found.st_mode):
                if depth + 1 >= DEPTH:
                    raise SourceFailed(f"folders stand deeper in one another than {DEPTH}", Code.LIMIT_EXCEEDED)
                waiting.append((inner, depth + 1))


def listed(root: Path, path: str) -> Iterable[tuple[str, os.stat_result]]:
    """What one folder holds, links as themselves; names that are no text are left out."""
    with opened(root, path, FOLDER) as folder:
        if folder is None:
            return []
        with os.scandir(folder) as entries:
            names = [each.name for each in entries if text(each.name) and not each.name.startswith(HIDDEN)]
        found = ((name, standing_in(folder, name)) for name in names)
        return [(name, each) for name, each in found if each is not None]


def standing_in(folder: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def standing(root: Path, path: str) -> os.stat_result | None:
    """How a file stands; None where it is none of ours."""
    with opened(root, path, FILE) as file:
        found = None if file is None else os.fstat(file)
    return found if found is not None and modes.S_ISREG(found.st_mode) else None


def octets(root: Path, path: str, span: tuple[int, int]) -> bytes | None:
    with opened(root, path, FILE) as file:
        if file is None or not modes.S_ISREG(os.fstat(file).st_mode):
            return None
        start, length = span
        return os.pread(file, length, start) if length > 0 else b""


@contextmanager
def opened(root: Path, path: str, flags: int) -> Iterator[int | None]:
    """A file or folder below the root, part by part, so that no link on the way leads out; None: there is none."""
    parts = split(path) if path else ()
    held = [os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
    try:
        yield None if parts is None or not descended(held, parts, flags) else held[-1]
    finally:
        for each in held:
            os.close(each)


def descended(held: list[int], parts: Sequence[str], flags: int) -> bool:
    try:
        for at, part in enumerate(parts, start=1):
            held.append(os.open(part, flags if at == len(parts) else FOLDER, dir_fd=held[-1]))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False
    except OSError as error:
        if error.errno in NONE_OF_OURS:
            return False
        raise
    return True


def split(path: str) -> tuple[str, ...] | None:
    """The parts of a path as we give it out; None where it is not one of those."""
    parts = tuple(path.split("/"))
    known = all(part not in ("", ".", "..") and "\0" not in part and not part.startswith(HIDDEN) for part in parts)
    return parts if known and text(path) and len(parts) <= DEPTH else None


def text(name: str) -> bool:
    """Linux lets names be any bytes; Python stands in for those that are no UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
