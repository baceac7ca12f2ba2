"""Serve the files of a local folder, and open nothing outside of it."""

import errno
import fcntl
import os
import stat as file_modes
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from onedoor.connectors.files.connector import PathFileConnector
from onedoor.connectors.files.contents import DEFAULT_READ_BYTES
from onedoor.connectors.files.model import (
    HIDDEN_PREFIX,
    FileStat,
    build_path_readers,
    get_file_name,
    guess_media_type,
)
from onedoor.connectors.files.writes import (
    MARKER_NAME,
    ChangeMarker,
    FileChange,
    FileState,
    WriteConflict,
    build_markers,
    build_missing_origin_error,
    build_path_values,
    build_write_policy,
    format_markers,
    parse_markers,
)
from onedoor.connectors.path_patterns import PathPattern, compile_pattern
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.concurrency import PROBE_THREADS, build_thread_pool, fan_out, run_in_thread, shut_down_pool
from onedoor.runtime.fair_slots import FairSlots
from onedoor.spi.connector import (
    ChangeRejected,
    ChangeResult,
    ConnectorKind,
    RowChange,
    RowValues,
    UploadAddress,
    UploadRequest,
)
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest

MAX_DEPTH = 32
"""Levels of folders that are walked."""

LIST_BATCH_SIZE = 500
"""Files listed in one go; a cancelled scan stops after that many."""

MARKER_ATTRIBUTE = f"user.{MARKER_NAME}"

COPY_CHUNK_BYTES = 2**20

LOCK_SECONDS = 5.0

LOCK_POLL_SECONDS = 0.01

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

OPEN_ROOT_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

OPEN_FOLDER_FLAGS = OPEN_ROOT_FLAGS | os.O_NOFOLLOW

OPEN_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""O_NONBLOCK, so that opening a pipe of this name waits for no writer."""

CREATE_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

NOT_A_FILE_ERRNOS = frozenset({errno.ELOOP, errno.ENXIO, errno.ENAMETOOLONG})
"""What opening raises for links, sockets and names that no file can have."""

DISK_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})

MISSING_FILE_MESSAGE = "the folder has no such file"

DiskResult = TypeVar("DiskResult")


class ListedFile(NamedTuple):
    """A file's path below the root, and its status."""

    path: str
    status: os.stat_result


StateBuilder = Callable[[ListedFile, tuple[ChangeMarker, ...]], FileState]


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderOptions:
    """The settings of a folder.

    `connections`: calls that read the disk at once. `read_bytes`: the most that is read of one file for its rows.
    `writable`: files may be put, copied and deleted, and only below the folders of `writable_below` if there are any.
    """

    path: Path
    pattern: str
    connections: int = 4
    read_bytes: int = DEFAULT_READ_BYTES
    writable: bool = False
    writable_below: tuple[str, ...] = ()


async def connect(options: FolderOptions) -> "FolderConnector":
    """Open a folder. Raises ValueError if there is none, if it cannot be written as set, or if the pattern is none."""
    if not options.path.is_dir():
        raise ValueError("`path` is no folder")
    if options.writable and not supports_markers(options.path):
        raise ValueError("`writable` needs a `path` that may be written to, whose file system keeps attributes")
    return FolderConnector(options, compile_pattern(options.pattern))


class FolderConnector(PathFileConnector[ListedFile]):
    """Serve the collection `files`, with one row for each file below the folder."""

    def __init__(self, options: FolderOptions, pattern: PathPattern) -> None:
        write_policy = build_write_policy(writable=options.writable, allowed_prefixes=options.writable_below)
        super().__init__(pattern, FILE_READERS, write_policy, options.read_bytes)
        self.options = options
        self.slots = FairSlots(options.connections)
        self.thread_pool = build_thread_pool(options.connections + PROBE_THREADS, "folder")
        self.file_writer = FolderFileWriter(self)

    async def scan_collection(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        """Yield batches as they are found; for keys, a batch for each key."""
        if request.keys is None:
            async for batch in self.list_batches(""):
                yield [self.files.build_row(file, request.columns) for file in batch]
            return
        look_up = partial(self.look_up, request.columns, request.keys.columns)
        for rows in await fan_out(look_up, request.keys.values, self.options.connections):
            yield rows

    async def look_up(self, columns: Sequence[str], key_columns: tuple[str, ...], key: Row) -> list[Row]:
        """Return the rows of one key: of the files below the folder that it names, those that have its values."""
        if key_columns == ("id",):
            status = await self.run_on_disk(partial(stat_file, self.options.path, key[0]))
            return [] if status is None else [self.files.build_row(ListedFile(key[0], status), columns)]
        folder = self.files.build_key_prefix(key_columns, key).rpartition("/")[0]
        return [
            self.files.build_row(file, columns)
            async for batch in self.list_batches(folder)
            for file in batch
            if self.files.build_row(file, key_columns) == key
        ]

    async def list_batches(self, folder: str) -> AsyncIterator[Sequence[ListedFile]]:
        files = walk_files(self.options.path, folder)
        while batch := await self.run_on_disk(lambda: list(islice(files, LIST_BATCH_SIZE))):
            yield batch

    async def run_on_disk(self, call: Callable[[], DiskResult]) -> DiskResult:
        """Run a file operation. Raises ConnectorError without the text of the system, which names paths."""
        try:
            async with self.slots.hold():
                return await run_in_thread(self.thread_pool, call)
        except (ChangeRejected, WriteConflict):
            raise
        except PermissionError as error:
            raise ConnectorError("the folder may not be read in part") from error
        except OSError as error:
            raise ConnectorError("the folder could not be read") from error

    async def stat(self, id: str) -> FileStat | None:
        status = await self.run_on_disk(partial(stat_file, self.options.path, id))
        return None if status is None else self.files.build_stat(ListedFile(id, status))

    async def read_range(self, id: str, start: int, length: int) -> bytes:
        content = await self.run_on_disk(partial(read_file_range, self.options.path, id, start=start, length=length))
        if content is None:
            raise ConnectorError(MISSING_FILE_MESSAGE)
        return content

    async def create_download_url(self, id: str, seconds: int) -> str | None:
        """Return None: a file on a disk has no address that others could open."""
        return None

    async def upload_address(self, request: UploadRequest) -> UploadAddress | None:
        """Return None, for the same reason."""
        return None

    async def find_change(self, change: RowChange) -> ChangeResult | None:
        """Find a change, and remove what a writer of an unfinished one may have left."""
        result = await super().find_change(change)
        if result is None:
            with suppress(ChangeRejected):
                await self.run_on_disk(partial(remove_leftovers, self.options.path, self.parse_change(change)))
        return result

    async def ping(self) -> None:
        await self.run_on_disk(lambda: os.close(os.open(self.options.path, OPEN_ROOT_FLAGS)))

    async def close(self) -> None:
        shut_down_pool(self.thread_pool)


FILE_READERS: Mapping[str, Callable[[ListedFile], Any]] = build_path_readers(
    lambda file: file.path,
    size=lambda file: file.status.st_size,
    content_type=lambda file: guess_media_type(get_file_name(file.path)),
    modified=lambda file: convert_nanoseconds(file.status.st_mtime_ns),
    version=lambda file: f"{file.status.st_ino:x}-{file.status.st_mtime_ns:x}-{file.status.st_size:x}",
)


def convert_nanoseconds(nanoseconds: int) -> datetime:
    """Return a time since the epoch; a file whose clock was wrong may be later than Python can hold."""
    try:
        return EPOCH + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)


class FolderFileWriter:
    """Write files of a folder, as its FileWriter."""

    def __init__(self, connector: FolderConnector) -> None:
        self.root = connector.options.path
        self.files = connector.files
        self.run_on_disk = connector.run_on_disk

    async def read_state(self, id: str) -> FileState | None:
        return await self.run_on_disk(partial(read_file_state, self.root, id, self.build_state))

    async def write_file(self, file_change: FileChange, before: FileState | None) -> RowValues:
        write = partial(write_to_disk, self.root, file_change, before, self.build_state)
        return (await self.run_on_disk(write)).values

    async def delete_file(self, file_change: FileChange, before: FileState) -> None:
        await self.run_on_disk(partial(delete_from_disk, self.root, file_change, before, self.build_state))

    async def create_upload_address(
        self, file_change: FileChange, before: FileState | None, size: int, requested_seconds: int
    ) -> UploadAddress | None:
        return None

    def build_known_values(self, file_change: FileChange) -> RowValues:
        return build_path_values(file_change)

    def build_state(self, file: ListedFile, markers: tuple[ChangeMarker, ...]) -> FileState:
        return FileState(values=self.files.build_values(file), markers=markers)


def walk_files(root: Path, folder: str) -> Iterator[ListedFile]:
    """Yield every file below a folder; none if it is no folder below the root, or one that is deleted meanwhile."""
    parts = split_path(folder) if folder else ()
    if parts is None:
        return
    waiting = [(folder, len(parts))]
    while waiting:
        path, depth = waiting.pop()
        for name, status in list_folder(root, path):
            entry_path = f"{path}/{name}" if path else name
            if file_modes.S_ISREG(status.st_mode):
                yield ListedFile(entry_path, status)
            elif file_modes.S_ISDIR(status.st_mode):
                if depth + 1 >= MAX_DEPTH:
                    raise ConnectorError(
                        f"folders stand deeper in one another than {MAX_DEPTH}", ErrorCode.LIMIT_EXCEEDED
                    )
                waiting.append((entry_path, depth + 1))


def list_folder(root: Path, path: str) -> Iterable[tuple[str, os.stat_result]]:
    """Return the entries of one folder, links as themselves, without names that are no UTF-8."""
    with open_below(root, path, OPEN_FOLDER_FLAGS) as folder:
        if folder is None:
            return []
        with os.scandir(folder) as entries:
            names = [
                entry.name for entry in entries if is_utf8_name(entry.name) and not entry.name.startswith(HIDDEN_PREFIX)
            ]
        statuses = ((name, stat_entry(folder, name)) for name in names)
        return [(name, status) for name, status in statuses if status is not None]


def stat_entry(folder: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def stat_file(root: Path, path: str) -> os.stat_result | None:
    """Return the status of a file, or None if the path is no regular file below the root."""
    with open_file(root, path) as file:
        return None if file is None else os.fstat(file)


def read_file_range(root: Path, path: str, *, start: int, length: int) -> bytes | None:
    with open_file(root, path) as file:
        if file is None:
            return None
        return os.pread(file, length, start) if length > 0 else b""


@contextmanager
def open_file(root: Path, path: str) -> Iterator[int | None]:
    """Open a regular file below the root; yield None if there is none."""
    with open_below(root, path, OPEN_FILE_FLAGS) as file:
        yield file if file is not None and file_modes.S_ISREG(os.fstat(file).st_mode) else None


@contextmanager
def open_below(root: Path, path: str, flags: int) -> Iterator[int | None]:
    """Open a file or folder part by part, so that no link on the way leads out of the root; yield None if absent."""
    parts = split_path(path) if path else ()
    descriptor = None if parts is None else open_part_by_part(root, parts, flags)
    try:
        yield descriptor
    finally:
        if descriptor is not None:
            os.close(descriptor)


def open_part_by_part(root: Path, parts: Sequence[str], flags: int) -> int | None:
    """Open each part in the folder before it; return a descriptor of the last, None where one is absent."""
    descriptor = os.open(root, OPEN_ROOT_FLAGS)
    for position, part in enumerate(parts, start=1):
        parent = descriptor
        try:
            descriptor = os.open(part, flags if position == len(parts) else OPEN_FOLDER_FLAGS, dir_fd=parent)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        except OSError as error:
            if error.errno in NOT_A_FILE_ERRNOS:
                return None
            raise
        finally:
            os.close(parent)
    return descriptor


def split_path(path: str) -> tuple[str, ...] | None:
    """Return the parts of a path as a listing writes it; None for any other text."""
    parts = tuple(path.split("/"))
    is_plain = all(
        part not in ("", ".", "..") and "\0" not in part and not part.startswith(HIDDEN_PREFIX) for part in parts
    )
    return parts if is_plain and is_utf8_name(path) and len(parts) <= MAX_DEPTH else None


def is_utf8_name(name: str) -> bool:
    """Return whether a name is UTF-8; Linux allows any bytes, which Python shows as lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def supports_markers(root: Path) -> bool:
    """Return whether the file system stores the attribute that holds a file's markers."""
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
    with open_file(root, path) as file:
        return None if file is None else build_state(ListedFile(path, os.fstat(file)), read_file_markers(file))


def read_file_markers(file: int) -> tuple[ChangeMarker, ...]:
    try:
        return parse_markers(os.getxattr(file, MARKER_ATTRIBUTE).decode("ascii", "replace"))
    except OSError:
        return ()


def write_to_disk(
    root: Path, file_change: FileChange, before: FileState | None, build_state: StateBuilder
) -> FileState:
    """Write a whole file beside its place, then move it there, so that no reader sees a part of it."""
    with lock_folder(root), map_write_errors(), open_parent_folder(root, file_change.id, create=True) as folder:
        check_unchanged(root, file_change.id, before, build_state)
        markers = build_markers(file_change, before)
        temporary_name = build_temporary_name(file_change)
        with suppress(FileNotFoundError):
            os.unlink(temporary_name, dir_fd=folder)
        try:
            status = write_temporary_file(root, folder, file_change, format_markers(markers))
            move_into_place(folder, temporary_name, get_file_name(file_change.id), before)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary_name, dir_fd=folder)
        os.fsync(folder)
        return build_state(ListedFile(file_change.id, status), markers)


def remove_leftovers(root: Path, file_change: FileChange) -> None:
    """Remove the temporary file of a writer that died."""
    with (
        suppress(ChangeRejected),
        lock_folder(root),
        map_write_errors(),
        open_parent_folder(root, file_change.id, create=False) as folder,
    ):
        os.unlink(build_temporary_name(file_change), dir_fd=folder)


def delete_from_disk(root: Path, file_change: FileChange, before: FileState, build_state: StateBuilder) -> None:
    with lock_folder(root), map_write_errors(), open_parent_folder(root, file_change.id, create=False) as folder:
        check_unchanged(root, file_change.id, before, build_state)
        os.unlink(get_file_name(file_change.id), dir_fd=folder)
        os.fsync(folder)


def build_temporary_name(file_change: FileChange) -> str:
    return f"{HIDDEN_PREFIX}{file_change.change_hash}.part"


def write_temporary_file(root: Path, folder: int, file_change: FileChange, marker_line: str) -> os.stat_result:
    """Write content and markers durably under a hidden name in the folder."""
    name = build_temporary_name(file_change)
    with open(os.open(name, CREATE_FILE_FLAGS, 0o666, dir_fd=folder), "wb") as file:
        for chunk in read_content_chunks(root, file_change):
            file.write(chunk)
        file.flush()
        os.setxattr(file.fileno(), MARKER_ATTRIBUTE, marker_line.encode())
        os.fsync(file.fileno())
        return os.fstat(file.fileno())


def read_content_chunks(root: Path, file_change: FileChange) -> Iterator[bytes]:
    if file_change.copy_of is None:
        yield file_change.content or b""
        return
    with open_file(root, file_change.copy_of) as origin:
        if origin is None:
            raise build_missing_origin_error()
        offset = 0
        while chunk := os.pread(origin, COPY_CHUNK_BYTES, offset):
            yield chunk
            offset += len(chunk)


def move_into_place(folder: int, temporary_name: str, name: str, before: FileState | None) -> None:
    """Move a file to its name; a new one replaces nothing, not even a file of a writer that ignores the lock."""
    if before is not None:
        os.replace(temporary_name, name, src_dir_fd=folder, dst_dir_fd=folder)
        return
    try:
        os.link(temporary_name, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        raise ChangeRejected("something that is no file has this name", ErrorCode.ALREADY_EXISTS) from None


def check_unchanged(root: Path, path: str, before: FileState | None, build_state: StateBuilder) -> None:
    """Read the state of the file again and compare its version. Raises WriteConflict."""
    now = read_file_state(root, path, build_state)
    if (None if now is None else now.version) != (None if before is None else before.version):
        raise WriteConflict


@contextmanager
def open_parent_folder(root: Path, path: str, *, create: bool) -> Iterator[int]:
    """Open the folder of a path's last part, part by part from the root on."""
    descriptors = [os.open(root, OPEN_ROOT_FLAGS)]
    try:
        for part in path.split("/")[:-1]:
            if create:
                create_folder(descriptors[-1], part)
            descriptors.append(os.open(part, OPEN_FOLDER_FLAGS, dir_fd=descriptors[-1]))
        yield descriptors[-1]
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def create_folder(parent: int, name: str) -> None:
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=parent)
        os.fsync(parent)


@contextmanager
def lock_folder(root: Path) -> Iterator[None]:
    """Lock the folder itself against the writers of all processes, without a lock file. Raises ChangeRejected."""
    folder = os.open(root, OPEN_ROOT_FLAGS)
    try:
        deadline = time.monotonic() + LOCK_SECONDS
        while not try_lock(folder):
            if time.monotonic() > deadline:
                raise ChangeRejected("others are writing to the folder; try again later", ErrorCode.SOURCE_OVERLOADED)
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
    """Map an OSError. Raises ChangeRejected for what the system refuses; any other leaves open what was written."""
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


KIND = ConnectorKind(options=FolderOptions, connect=connect)
