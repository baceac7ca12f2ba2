"""Describe files the same way wherever they are stored: their columns, their rows and their media types."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from mimetypes import MimeTypes
from typing import Any, Generic, Protocol, TypeVar

from onedoor.connectors.path_patterns import PathPattern
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.predicates import Row

HIDDEN_PREFIX = ".onedoor-"
"""Begins the names of files that are still being written; they are never listed."""

FILES_COLLECTION = "files"

MAX_KEYS = 50
"""Keys that one scan of a store takes."""

FILE_COLUMN_TYPES: Mapping[str, ColumnType] = {
    "id": ColumnType.TEXT,
    "path": ColumnType.TEXT,
    "name": ColumnType.TEXT,
    "size": ColumnType.INTEGER,
    "content_type": ColumnType.TEXT,
    "modified": ColumnType.TIME,
    "version": ColumnType.TEXT,
}
"""The columns that the collection `files` of every store begins with.

`id`: the store's own name for the file. `path`: folders and name, with `/` between them. `size`: in bytes, null where
the store does not know it. `version`: changes whenever the content does.
"""

FILE_COLUMN_NAMES = tuple(FILE_COLUMN_TYPES)

MIME_TYPES = MimeTypes()
MIME_TYPES.add_type("application/vnd.apache.parquet", ".parquet")
MIME_TYPES.add_type("application/jsonl", ".jsonl")

COMPRESSED_MEDIA_TYPES = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}

DEFAULT_MEDIA_TYPE = "application/octet-stream"

Entry = TypeVar("Entry")
"""What a store's listing says about one file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStat:
    """A file as it stands; `size` is in bytes, and None where the store knows it only once the file is read."""

    id: str
    name: str
    size: int | None
    content_type: str | None
    modified: datetime
    version: str


class FileStore(Protocol):
    """A place that stores files. Every method raises ConnectorError, and nothing else, when it cannot answer."""

    async def stat(self, id: str) -> FileStat | None:
        """Return None if there is no such file, or if the settings do not open it."""
        ...

    async def read_range(self, id: str, start: int, length: int) -> bytes:
        """Return at most `length` bytes from `start` on, fewer at the end of the file; never fetch more."""
        ...

    async def create_download_url(self, id: str, seconds: int) -> str | None:
        """Return a URL that opens this one file to its holder for so long, or None if the store has none to give."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PathFiles(Generic[Entry]):
    """Turn the entries of a store whose files are named by their paths into rows.

    `readers` holds a function for each of FILE_COLUMN_TYPES. The path pattern adds its columns after those, except any
    of the same name.
    """

    pattern: PathPattern
    readers: Mapping[str, Callable[[Entry], Any]]

    def build_row(self, entry: Entry, columns: Sequence[str]) -> Row:
        path_values = self.pattern.match(self.readers["path"](entry)) or {}
        return tuple(self.readers[name](entry) if name in self.readers else path_values.get(name) for name in columns)

    def build_values(self, entry: Entry) -> Mapping[str, Any]:
        """Return the values of all columns, by column."""
        columns = tuple(build_file_capabilities(self.pattern).columns)
        return dict(zip(columns, self.build_row(entry, columns), strict=True))

    def build_stat(self, entry: Entry) -> FileStat:
        return FileStat(**{name: read(entry) for name, read in self.readers.items() if name != "path"})

    def build_key_prefix(self, columns: tuple[str, ...], key: Row) -> str:
        """Return what the paths of a key's files begin with."""
        return str(key[0]) if columns == ("id",) else self.pattern.build_prefix(dict(zip(columns, key, strict=True)))


def build_path_readers(
    read_path: Callable[[Entry], str], **readers: Callable[[Entry], Any]
) -> Mapping[str, Callable[[Entry], Any]]:
    """Return the readers of a store in which a file's id is its path."""
    return {"id": read_path, "path": read_path, "name": lambda entry: get_file_name(read_path(entry)), **readers}


def build_file_capabilities(pattern: PathPattern) -> Capabilities:
    """Return the capabilities of `files` in a store that finds files by their paths, or by what a path begins with."""
    own = {name: Column(type=column_type) for name, column_type in FILE_COLUMN_TYPES.items()}
    further = {name: Column(type=column_type) for name, column_type in pattern.columns.items() if name not in own}
    leading = list_leading_columns(pattern, FILE_COLUMN_NAMES)
    return Capabilities(columns={**own, **further}, max_keys=MAX_KEYS, key_columns=frozenset({("id",), *leading}))


def list_leading_columns(pattern: PathPattern, own_columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Return the runs of pattern columns from the first on, as a prefix of the path follows from each of them."""
    names = tuple(takewhile(lambda name: name not in own_columns, pattern.columns))
    return (names[: count + 1] for count in range(len(names)))


def get_file_name(path: str) -> str:
    return path.rpartition("/")[2]


def guess_media_type(name: str) -> str | None:
    """Return the media type that the ending of a name stands for; of a compressed file, that of its compression."""
    media_type, compression = MIME_TYPES.guess_type(name)
    return media_type if compression is None else COMPRESSED_MEDIA_TYPES.get(compression)


def is_compressed(name: str) -> bool:
    return MIME_TYPES.guess_type(name)[1] is not None
