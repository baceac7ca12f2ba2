"""Local folder."""

import errno
import fcntl
import os
import stat as modes
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, TypeVar

from onedoor.connectors.files import writes
from onedoor.connectors.files.contents import CONTENT_CAPABILITIES, DEFAULT_READ_BYTES, scan_contents
from onedoor.connectors.files.model import HIDDEN_PREFIX, FileStat, guess_media_type
from onedoor.connectors.files.writes import (
    FILE_WRITE_CAPABILITIES,
    MARKER_NAME,
    ChangeMarker,
    FileChange,
    FileState,
    FileWritePolicy,
    WriteConflict,
    build_markers,
    build_missing_origin_error,
    build_path_values,
    check_writable_prefixes,
    format_markers,
    parse_file_change,
    parse_markers,
)
from onedoor.connectors.path_patterns import PathPattern, compile_pattern
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.concurrency import build_thread_pool, fan_out, run_in_thread, shut_down_pool
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.connector import (
    ChangeRejected,
    ChangeResult,
    ConnectorKind,
    RowChange,
    RowValues,
    UploadAddress,
    UploadRequest,
    WriteCapabilities,
)
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest

MAX_DEPTH = 32
"""Folders in one another that are looked into."""

OPEN_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

OPEN_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Nothing waits for who writes into a pipe of this name."""

NOT_A_FILE_ERRNOS = frozenset({errno.ELOOP, errno.ENXIO, errno.ENAMETOOLONG})
"""What the machine says of links, sockets and names that no file can have."""

ListedFile = tuple[str, os.stat_result]
"""A file's path from the folder on, and how it stands."""


def walk_files(root: Path, below: str) -> Iterator[ListedFile]:
    """Every file from `below` on; none where that is no folder of ours, or one that goes meanwhile."""
    parts = split_path(below) if below else ()
    if parts is None:
        return
    waiting = [(below, len(parts))]
    while waiting:
        path, depth = waiting.pop()
        for name, found in list_folder(root, path):
            inner = f"{path}/{name}" if path else name
            if modes.S_ISREG(found.st_mode):
                yield inner, found
            elif modes.S_ISDIR(found.st_mode):
                if depth + 1 >= MAX_DEPTH:
                    raise ConnectorError(
                        f"folders stand deeper in one another than {MAX_DEPTH}", ErrorCode.LIMIT_EXCEEDED
                    )
                waiting.append((inner, depth + 1))


def list_folder(root: Path, path: str) -> Iterable[tuple[str, os.stat_result]]:
    """What one folder holds, links as themselves; names that are no text are left out."""
    with open_below(root, path, OPEN_FOLDER_FLAGS) as folder:
        if folder is None:
            return []
        with os.scandir(folder) as entries:
            names = [
                each.name for each in entries if is_utf8_name(each.name) and not each.name.startswith(HIDDEN_PREFIX)
            ]
        found = ((name, stat_entry(folder, name)) for name in names)
        return [(name, each) for name, each in found if each is not None]


def stat_entry(folder: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def stat_file(root: Path, path: str) -> os.stat_result | None:
    """How a file stands; None where it is none of ours."""
    with open_below(root, path, OPEN_FILE_FLAGS) as file:
        found = None if file is None else os.fstat(file)
    return found if found is not None and modes.S_ISREG(found.st_mode) else None


def read_file_range(root: Path, path: str, span: tuple[int, int]) -> bytes | None:
    with open_below(root, path, OPEN_FILE_FLAGS) as file:
        if file is None or not modes.S_ISREG(os.fstat(file).st_mode):
            return None
        start, length = span
        return os.pread(file, length, start) if length > 0 else b""


@contextmanager
def open_below(root: Path, path: str, flags: int) -> Iterator[int | None]:
    """A file or folder below the root, part by part, so that no link on the way leads out; None: there is none."""
    parts = split_path(path) if path else ()
    held = [os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
    try:
        yield None if parts is None or not descend_into(held, parts, flags) else held[-1]
    finally:
        for each in held:
            os.close(each)


def descend_into(descriptors: list[int], parts: Sequence[str], flags: int) -> bool:
    try:
        for at, part in enumerate(parts, start=1):
            descriptors.append(os.open(part, flags if at == len(parts) else OPEN_FOLDER_FLAGS, dir_fd=descriptors[-1]))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False
    except OSError as error:
        if error.errno in NOT_A_FILE_ERRNOS:
            return False
        raise
    return True


def split_path(path: str) -> tuple[str, ...] | None:
    """The parts of a path as we give it out; None where it is not one of those."""
    parts = tuple(path.split("/"))
    known = all(
        part not in ("", ".", "..") and "\0" not in part and not part.startswith(HIDDEN_PREFIX) for part in parts
    )
    return parts if known and is_utf8_name(path) and len(parts) <= MAX_DEPTH else None


def is_utf8_name(name: str) -> bool:
    """Linux lets names be any bytes; Python stands in for those that are no UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


MARKER_ATTRIBUTE = f"user.{MARKER_NAME}"

CREATE_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

COPY_CHUNK_BYTES = 2**20

LOCK_SECONDS = 5.0

LOCK_POLL_SECONDS = 0.01

DISK_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})

StateBuilder = Callable[[str, os.stat_result, tuple[ChangeMarker, ...]], FileState]
"""A path, how it stands, and its marks in, the file as it is known to all stores out."""


def supports_markers(root: Path) -> bool:
    """Whether the file system keeps what a change leaves with a file."""
    name = f"{HIDDEN_PREFIX}{os.getpid()}-{time.monotonic_ns()}"
    try:
        with open(os.open(root / name, CREATE_FILE_FLAGS, 0o600), "wb") as file:
            try:
                os.setxattr(file.fileno(), MARKER_ATTRIBUTE, b"0")
            finally:
                os.unlink(root / name)
    except OSError:
        return False
    return True


def read_file_state(root: Path, path: str, build_state: StateBuilder) -> FileState | None:
    with open_below(root, path, OPEN_FILE_FLAGS) as file:
        if file is None or not modes.S_ISREG((found := os.fstat(file)).st_mode):
            return None
        return build_state(path, found, read_file_markers(file))


def read_file_markers(file: int) -> tuple[ChangeMarker, ...]:
    try:
        return parse_markers(os.getxattr(file, MARKER_ATTRIBUTE).decode("ascii", "replace"))
    except OSError:
        return ()


def write_to_disk(
    root: Path, file_change: FileChange, before: FileState | None, build_state: StateBuilder
) -> FileState:
    with lock_folder(root), map_write_errors(), open_parent_folder(root, file_change.id, create=True) as folder:
        check_unchanged(root, file_change.id, before, build_state)
        part, name = build_temporary_name(file_change), file_change.id.rpartition("/")[2]
        with suppress(FileNotFoundError):
            os.unlink(part, dir_fd=folder)
        try:
            found = write_temporary_file(
                root, (folder, part), file_change, format_markers(build_markers(file_change, before))
            )
            move_into_place(folder, part, name, before)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(part, dir_fd=folder)
        os.fsync(folder)
        return build_state(file_change.id, found, build_markers(file_change, before))


def remove_leftovers(root: Path, file_change: FileChange) -> None:
    """What a writer who died may have left."""
    with (
        suppress(ChangeRejected),
        lock_folder(root),
        map_write_errors(),
        open_parent_folder(root, file_change.id, create=False) as folder,
    ):
        os.unlink(build_temporary_name(file_change), dir_fd=folder)


def build_temporary_name(file_change: FileChange) -> str:
    """What it is called until it is whole."""
    return f"{HIDDEN_PREFIX}{file_change.change_hash}.part"


def delete_from_disk(root: Path, file_change: FileChange, before: FileState, build_state: StateBuilder) -> None:
    with lock_folder(root), map_write_errors(), open_parent_folder(root, file_change.id, create=False) as folder:
        check_unchanged(root, file_change.id, before, build_state)
        os.unlink(file_change.id.rpartition("/")[2], dir_fd=folder)
        os.fsync(folder)


def write_temporary_file(root: Path, part: tuple[int, str], file_change: FileChange, line: str) -> os.stat_result:
    """On the disk, with its mark, under a name that nobody is shown."""
    with open(os.open(part[1], CREATE_FILE_FLAGS, 0o666, dir_fd=part[0]), "wb") as file:
        for piece in read_content_chunks(root, file_change):
            file.write(piece)
        file.flush()
        os.setxattr(file.fileno(), MARKER_ATTRIBUTE, line.encode())
        os.fsync(file.fileno())
        return os.fstat(file.fileno())


def read_content_chunks(root: Path, file_change: FileChange) -> Iterator[bytes]:
    if file_change.copy_of is None:
        yield file_change.content or b""
        return
    with open_below(root, file_change.copy_of, OPEN_FILE_FLAGS) as file:
        if file is None or not modes.S_ISREG(os.fstat(file).st_mode):
            raise build_missing_origin_error()
        at = 0
        while piece := os.pread(file, COPY_CHUNK_BYTES, at):
            yield piece
            at += len(piece)


def move_into_place(folder: int, part: str, name: str, before: FileState | None) -> None:
    """What is new takes no other's place, even one's that knows nothing of our lock."""
    if before is not None:
        os.replace(part, name, src_dir_fd=folder, dst_dir_fd=folder)
        return
    try:
        os.link(part, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        raise ChangeRejected("something that is no file has this name", ErrorCode.ALREADY_EXISTS) from None


def check_unchanged(root: Path, path: str, before: FileState | None, build_state: StateBuilder) -> None:
    now = read_file_state(root, path, build_state)
    if (now is None) != (before is None) or (now is not None and before is not None and now.version != before.version):
        raise WriteConflict


@contextmanager
def open_parent_folder(root: Path, path: str, *, create: bool) -> Iterator[int]:
    """The folder that a path's last part lies in, opened part by part from the root on."""
    held = [os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
    try:
        for part in path.split("/")[:-1]:
            if create:
                create_folder(held[-1], part)
            held.append(os.open(part, OPEN_FOLDER_FLAGS, dir_fd=held[-1]))
        yield held[-1]
    finally:
        for each in held:
            os.close(each)


def create_folder(folder: int, part: str) -> None:
    with suppress(FileExistsError):
        os.mkdir(part, dir_fd=folder)
        os.fsync(folder)


@contextmanager
def lock_folder(root: Path) -> Iterator[None]:
    """Against all processes of the door, by the folder itself: nothing is left of it. Raises Unmade."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        until = time.monotonic() + LOCK_SECONDS
        while not try_lock(folder):
            if time.monotonic() > until:
                raise ChangeRejected("the folder is being written to, ask again later", ErrorCode.SOURCE_OVERLOADED)
            time.sleep(LOCK_POLL_SECONDS)
        yield
    finally:
        os.close(folder)


def try_lock(folder: int) -> bool:
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def map_write_errors() -> Iterator[None]:
    """What the machine refuses has changed nothing; what it could not finish is not known."""
    try:
        yield
    except (NotADirectoryError, FileNotFoundError):
        raise ChangeRejected("a part of `path` is no folder") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ChangeRejected("a part of `path` is no folder") from None
        if error.errno in DISK_FULL_ERRNOS:
            raise ChangeRejected("the folder's disk is full", ErrorCode.SOURCE_UNAVAILABLE) from error
        if isinstance(error, PermissionError):
            raise ChangeRejected("the folder does not let this be written", ErrorCode.SOURCE_UNAVAILABLE) from error
        raise


MAX_KEYS = 50

LIST_BATCH_SIZE = 500
"""Files looked at between two looks at whether anybody still waits."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

MISSING_FILE_MESSAGE = "the folder has no such file"

DiskResult = TypeVar("DiskResult")

FILE_COLUMNS: Mapping[str, tuple[ColumnType, Callable[[str, os.stat_result], Any]]] = {
    "id": (ColumnType.TEXT, lambda path, found: path),
    "path": (ColumnType.TEXT, lambda path, found: path),
    "name": (ColumnType.TEXT, lambda path, found: path.rpartition("/")[2]),
    "size": (ColumnType.INTEGER, lambda path, found: found.st_size),
    "content_type": (ColumnType.TEXT, lambda path, found: guess_media_type(path.rpartition("/")[2])),
    "modified": (ColumnType.TIME, lambda path, found: convert_nanoseconds(found.st_mtime_ns)),
    "version": (ColumnType.TEXT, lambda path, found: f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"),
}
"""The columns every file has; a pattern's column of the same name gives way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderOptions:
    """`connections`: how many calls read the disk at once.

    `read_bytes`: the most that is read of one file for its rows. `writable`: files may be put, copied and deleted,
    below the folders of `writable_below` alone where there are any.
    """

    path: Path
    pattern: str
    connections: int = 4
    read_bytes: int = DEFAULT_READ_BYTES
    writable: bool = False
    writable_below: tuple[str, ...] = ()


async def connect(options: FolderOptions) -> "FolderConnector":
    """ValueError: the pattern is none, or there is no such folder, or it cannot be written to as it is to be."""
    if not options.path.is_dir():
        raise ValueError("`path` is no folder")
    if options.writable and not supports_markers(options.path):
        raise ValueError("`writable` needs a `path` that may be written to, whose file system keeps attributes")
    return FolderConnector(options, compile_pattern(options.pattern))


class FolderConnector:
    """The collection `files`: one row for each file of the folder and of those in it."""

    def __init__(self, options: FolderOptions, pattern: PathPattern) -> None:
        self.options = options
        self.pattern = pattern
        self.file_capabilities = build_folder_capabilities(pattern)
        self.thread_pool = build_thread_pool(options.connections, "folder")
        self.write_policy = FileWritePolicy(
            writable=options.writable, allowed_prefixes=check_writable_prefixes(options.writable_below)
        )

    def capabilities(self, collection: str) -> Capabilities:
        return {"files": self.file_capabilities, **CONTENT_CAPABILITIES}[collection]

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        """Batches as they are found; for keys, a batch for each key."""
        if request.collection in CONTENT_CAPABILITIES:
            async for rows in scan_contents(self, request, self.options.read_bytes):
                yield rows
            return
        if request.keys is None:
            async for batch in self.list_batches(""):
                yield [self.build_row(each, request.columns) for each in batch]
            return
        look_up = partial(self.look_up, request, request.keys.columns)
        for rows in await fan_out(look_up, request.keys.values, self.options.connections):
            yield rows

    async def look_up(self, request: ScanRequest, columns: tuple[str, ...], key: Row) -> list[Row]:
        """The rows of one key: of those below the folder that its values name, the ones that have them."""
        if columns == ("id",):
            found = await self.run_on_disk(partial(stat_file, self.options.path, key[0]))
            return [] if found is None else [self.build_row((key[0], found), request.columns)]
        below = self.pattern.build_prefix(dict(zip(columns, key, strict=True))).rpartition("/")[0]
        rows = [each async for batch in self.list_batches(below) for each in batch]
        return [self.build_row(each, request.columns) for each in rows if self.build_row(each, columns) == key]

    async def list_batches(self, folder: str) -> AsyncIterator[Sequence[ListedFile]]:
        walk = walk_files(self.options.path, folder)
        while batch := await self.run_on_disk(lambda: list(islice(walk, LIST_BATCH_SIZE))):
            yield batch

    def build_row(self, file: ListedFile, columns: Sequence[str]) -> Row:
        values = self.pattern.match(file[0]) or {}
        return tuple(FILE_COLUMNS[name][1](*file) if name in FILE_COLUMNS else values.get(name) for name in columns)

    async def stat(self, id: str) -> FileStat | None:
        found = await self.run_on_disk(partial(stat_file, self.options.path, id))
        names = ("id", "name", "size", "content_type", "modified", "version")
        return None if found is None else FileStat(**{name: FILE_COLUMNS[name][1](id, found) for name in names})

    async def read_range(self, id: str, start: int, length: int) -> bytes:
        found = await self.run_on_disk(partial(read_file_range, self.options.path, id, (start, length)))
        if found is None:
            raise ConnectorError(MISSING_FILE_MESSAGE)
        return found

    async def create_download_url(self, id: str, seconds: int) -> str | None:
        """A file on a disk has no address that others could open."""
        return None

    def write_capabilities(self, collection: str) -> WriteCapabilities | None:
        return FILE_WRITE_CAPABILITIES if collection == "files" and self.write_policy.writable else None

    async def apply(self, changes: Sequence[RowChange], *, dry_run: bool = False) -> Sequence[ChangeResult]:
        return await writes.apply_file_change(
            self, self.parse_change(writes.require_single_change(changes)), dry_run=dry_run
        )

    async def find_change(self, change: RowChange) -> ChangeResult | None:
        found = await writes.find_file_change(self, change, self.parse_change)
        if found is None:
            with suppress(ChangeRejected):
                await self.run_on_disk(partial(remove_leftovers, self.options.path, self.parse_change(change)))
        return found

    async def upload_address(self, request: UploadRequest) -> UploadAddress | None:
        """As of `download_url`."""
        return None

    async def read_state(self, id: str) -> FileState | None:
        return await self.run_on_disk(partial(read_file_state, self.options.path, id, self.build_state))

    async def write_file(self, file_change: FileChange, before: FileState | None) -> RowValues:
        place = partial(write_to_disk, self.options.path, file_change, before, self.build_state)
        return (await self.run_on_disk(place)).values

    async def delete_file(self, file_change: FileChange, before: FileState) -> None:
        await self.run_on_disk(partial(delete_from_disk, self.options.path, file_change, before, self.build_state))

    def build_known_values(self, file_change: FileChange) -> RowValues:
        return build_path_values(file_change)

    def parse_change(self, change: RowChange) -> FileChange:
        return parse_file_change(change, self.write_policy, self.pattern)

    def build_state(self, path: str, file_stat: os.stat_result, markers: tuple[ChangeMarker, ...]) -> FileState:
        columns = tuple(self.file_capabilities.columns)
        return FileState(
            values=dict(zip(columns, self.build_row((path, file_stat), columns), strict=True)), markers=markers
        )

    async def run_on_disk(self, call: Callable[[], DiskResult]) -> DiskResult:
        """Raises SourceFailed, and nothing else; what the machine says names paths, so none of it is passed on."""
        try:
            return await run_in_thread(self.thread_pool, call)
        except (ChangeRejected, WriteConflict):
            raise
        except PermissionError as error:
            raise ConnectorError("the folder may not be read in part") from error
        except OSError as error:
            raise ConnectorError("the folder could not be read") from error

    async def ping(self) -> None:
        await self.run_on_disk(lambda: os.close(os.open(self.options.path, os.O_RDONLY | os.O_DIRECTORY)))

    async def close(self) -> None:
        shut_down_pool(self.thread_pool)


def build_folder_capabilities(pattern: PathPattern) -> Capabilities:
    """Keys alone: whole paths, or the pattern's columns from its first on, as far as a folder follows from them."""
    own = {name: Column(type=kind) for name, (kind, _) in FILE_COLUMNS.items()}
    further = {name: Column(type=kind) for name, kind in pattern.columns.items()}
    names = tuple(takewhile(lambda name: name not in FILE_COLUMNS, pattern.columns))
    leading = (names[: count + 1] for count in range(len(names)))
    return Capabilities(columns={**further, **own}, max_keys=MAX_KEYS, key_columns=frozenset({("id",), *leading}))


def convert_nanoseconds(nanoseconds: int) -> datetime:
    """A clock that was wrong may have left any time; what Python cannot hold is its last."""
    try:
        return EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


KIND = ConnectorKind(options=FolderOptions, connect=connect)
