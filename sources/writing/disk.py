"""A folder and a path below it in, the file put, copied or deleted there: under a lock, whole or not at all.

No link is followed: each part is opened from the one before it. What is written is another file at first, and takes
its place when the disk has it. Each raises what the machine says where it is not known what came of it.
"""

import errno
import fcntl
import os
import stat as modes
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.change.words import Unmade
from engine.errors import Code
from sources.content import disk
from sources.content.words import HIDDEN
from sources.writing.change import missing_origin
from sources.writing.marks import NAME, left, read, written
from sources.writing.words import Filed, Mark, Outrun, Standing

ATTRIBUTE = f"user.{NAME}"
NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
PIECE = 2**20
LOCK_SECONDS = 5.0
POLL_SECONDS = 0.01
FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
Stands = Callable[[str, os.stat_result, tuple[Mark, ...]], Standing]
"""A path, how it stands, and its marks in, the file as it is known to all stores out."""


def keeps_marks(root: Path) -> bool:
    """Whether the file system keeps what a change leaves with a file."""
    name = f"{HIDDEN}{os.getpid()}-{time.monotonic_ns()}"
    try:
        with open(os.open(root / name, NEW, 0o600), "wb") as file:
            try:
                os.setxattr(file.fileno(), ATTRIBUTE, b"0")
            finally:
                os.unlink(root / name)
    except OSError:
        return False
    return True


def standing(root: Path, path: str, stands: Stands) -> Standing | None:
    with disk.opened(root, path, disk.FILE) as file:
        if file is None or not modes.S_ISREG((found := os.fstat(file)).st_mode):
            return None
        return stands(path, found, marks(file))


def marks(file: int) -> tuple[Mark, ...]:
    try:
        return read(os.getxattr(file, ATTRIBUTE).decode("ascii", "replace"))
    except OSError:
        return ()


def placed(root: Path, filed: Filed, before: Standing | None, stands: Stands) -> Standing:
    with locked(root), surely(), parent(root, filed.id, make=True) as folder:
        compared(root, filed.id, before, stands)
        part, name = unseen(filed), filed.id.rpartition("/")[2]
        with suppress(FileNotFoundError):
            os.unlink(part, dir_fd=folder)
        try:
            found = filled(root, (folder, part), filed, written(left(filed, before)))
            taken(folder, part, name, before)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(part, dir_fd=folder)
        os.fsync(folder)
        return stands(filed.id, found, left(filed, before))


def settled(root: Path, filed: Filed) -> None:
    """What a writer who died may have left."""
    with suppress(Unmade), locked(root), surely(), parent(root, filed.id, make=False) as folder:
        os.unlink(unseen(filed), dir_fd=folder)


def unseen(filed: Filed) -> str:
    """What it is called until it is whole."""
    return f"{HIDDEN}{filed.change}.part"


def removed(root: Path, filed: Filed, before: Standing, stands: Stands) -> None:
    with locked(root), surely(), parent(root, filed.id, make=False) as folder:
        compared(root, filed.id, before, stands)
        os.unlink(filed.id.rpartition("/")[2], dir_fd=folder)
        os.fsync(folder)


def filled(root: Path, part: tuple[int, str], filed: Filed, line: str) -> os.stat_result:
    """On the disk, with its mark, under a name that nobody is shown."""
    with open(os.open(part[1], NEW, 0o666, dir_fd=part[0]), "wb") as file:
        for piece in pieces(root, filed):
            file.write(piece)
        file.flush()
        os.setxattr(file.fileno(), ATTRIBUTE, line.encode())
        os.fsync(file.fileno())
        return os.fstat(file.fileno())


def pieces(root: Path, filed: Filed) -> Iterator[bytes]:
    if filed.copy_of is None:
        yield filed.octets or b""
        return
    with disk.opened(root, filed.copy_of, disk.FILE) as file:
        if file is None or not modes.S_ISREG(os.fstat(file).st_mode):
            raise missing_origin()
        at = 0
        while piece := os.pread(file, PIECE, at):
            yield piece
            at += len(piece)


def taken(folder: int, part: str, name: str, before: Standing | None) -> None:
    """What is new takes no other's place, even one's that knows nothing of our lock."""
    if before is not None:
        os.replace(part, name, src_dir_fd=folder, dst_dir_fd=folder)
        return
    try:
        os.link(part, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        raise Unmade("something that is no file has this name", Code.ALREADY_EXISTS) from None


def compared(root: Path, path: str, before: Standing | None, stands: Stands) -> None:
    now = standing(root, path, stands)
    if (now is None) != (before is None) or (now is not None and before is not None and now.version != before.version):
        raise Outrun


@contextmanager
def parent(root: Path, path: str, *, make: bool) -> Iterator[int]:
    """The folder that a path's last part lies in, opened part by part from the root on."""
    held = [os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
    try:
        for part in path.split("/")[:-1]:
            if make:
                made(held[-1], part)
            held.append(os.open(part, disk.FOLDER, dir_fd=held[-1]))
        yield held[-1]
    finally:
        for each in held:
            os.close(each)


def made(folder: int, part: str) -> None:
    with suppress(FileExistsError):
        os.mkdir(part, dir_fd=folder)
        os.fsync(folder)


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Against all processes of the door, by the folder itself: nothing is left of it. Raises Unmade."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        until = time.monotonic() + LOCK_SECONDS
        while not took(folder):
            if time.monotonic() > until:
                raise Unmade("the folder is being written to, ask again later", Code.SOURCE_OVERLOADED)
            time.sleep(POLL_SECONDS)
        yield
    finally:
        os.close(folder)


def took(folder: int) -> bool:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def surely() -> Iterator[None]:
    """What the machine refuses has changed nothing; what it could not finish is not known."""
    try:
        yield
    except (NotADirectoryError, FileNotFoundError):
        raise Unmade("a part of `path` is no folder") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Unmade("a part of `path` is no folder") from None
        if error.errno in FULL:
            raise Unmade("the folder's disk is full", Code.SOURCE_UNAVAILABLE) from error
        if isinstance(error, PermissionError):
            raise Unmade("the folder does not let this be written", Code.SOURCE_UNAVAILABLE) from error
        raise
