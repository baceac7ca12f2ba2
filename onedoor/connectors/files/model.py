"""FileStat, FileStore, cell predicates, media types."""

import json
import mimetypes
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from operator import eq, ge, gt, le, lt, ne
from typing import Any, Protocol

from onedoor.errors import ConnectorError, ErrorCode

HIDDEN_PREFIX = ".onedoor-"
"""How the names of files begin that are being written: they are none yet."""

FILES_COLLECTION = "files"
"""The collection of all files; its columns begin with those of `COLUMNS`."""

FILE_COLUMN_NAMES = ("id", "path", "name", "size", "content_type", "modified", "version")
"""`id`: what the store knows it by. `path`: folders and name, `/` between. `size`: bytes, null where it has none.

`version` changes when the content does. A store's pattern gives further columns, such as `customer_id`.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStat:
    """A file as it stands: `size` in bytes, None where the store cannot tell before it is read."""

    id: str
    name: str
    size: int | None
    content_type: str | None
    modified: datetime
    version: str


class FileStore(Protocol):
    """A place that keeps files. Each method raises SourceFailed, and nothing else, when it cannot answer."""

    async def stat(self, id: str) -> FileStat | None:
        """None: there is no such file, or it is outside of what the settings open."""
        ...

    async def read_range(self, id: str, start: int, length: int) -> bytes:
        """At most `length` bytes from `start` on, fewer where the file ends; never more are fetched."""
        ...

    async def create_download_url(self, id: str, seconds: int) -> str | None:
        """An address that gives this one file to whoever holds it, for so long; None: the store has none to give."""
        ...


def build_read_limit_error(read_bytes: int) -> ConnectorError:
    limit = f"the limit `read_bytes` of {read_bytes}"
    return ConnectorError(
        f"finding these rows takes more of a file than {limit}, ask for fewer", ErrorCode.LIMIT_EXCEEDED
    )


def build_rows_too_large_error() -> ConnectorError:
    return ConnectorError("the rows are too large, ask for fewer or for less of each", ErrorCode.LIMIT_EXCEEDED)


MIME_TYPES = mimetypes.MimeTypes()

MIME_TYPES.add_type("application/vnd.apache.parquet", ".parquet")

MIME_TYPES.add_type("application/jsonl", ".jsonl")

COMPRESSED_MEDIA_TYPES = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}


def guess_media_type(name: str) -> str | None:
    """None: the ending says nothing. What is packed is of the type of what it is packed in."""
    found, packed = MIME_TYPES.guess_type(name)
    return found if packed is None else COMPRESSED_MEDIA_TYPES.get(packed)


def is_compressed(name: str) -> bool:
    return MIME_TYPES.guess_type(name)[1] is not None


NUMBER_PATTERN = re.compile(r"[+-]?[0-9]{1,28}(\.[0-9]{1,12})?", re.ASCII)

COMPARISON_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": eq,
    "ne": ne,
    "lt": lt,
    "lte": le,
    "gt": gt,
    "gte": ge,
}

TEXT_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "contains": lambda cell, value: value in cell,
    "startsWith": str.startswith,
    "endsWith": str.endswith,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CellComparison:
    """`column op value`, the value as text. A cell and a value that are both plain numbers compare as such."""

    column: str
    op: str
    value: Any

    def matches(self, row: Mapping[str, Any]) -> bool:
        """A column that the row does not have is null, and a test on null is false."""
        cell = row.get(self.column)
        if self.op == "isNull":
            return (cell is None) is self.value
        if cell is None:
            return False
        if self.op in TEXT_OPERATORS:
            return TEXT_OPERATORS[self.op](format_cell(cell), self.value)
        ours, theirs = parse_number(cell), parse_number(self.value)
        if ours is None or theirs is None:
            return COMPARISON_OPERATORS[self.op](format_cell(cell), self.value)
        return COMPARISON_OPERATORS[self.op](ours, theirs)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSelection:
    """The first so many rows that pass all tests; `columns` None: all of them."""

    max_rows: int
    columns: tuple[str, ...] | None
    comparisons: tuple[CellComparison, ...]

    def matches(self, row: Mapping[str, Any]) -> bool:
        return all(each.matches(row) for each in self.comparisons)

    def project(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        return row if self.columns is None else {name: row.get(name) for name in self.columns}


def parse_row_selection(max_rows: int, columns: Sequence[str] | None, filter_json: str) -> RowSelection:
    """`where`: a JSON list of objects, each a column and any number of operators with their values."""
    given = json.loads(filter_json)
    tests = (
        CellComparison(column=each["column"], op=op, value=value)
        for each in given
        for op, value in each.items()
        if op != "column" and value is not None
    )
    return RowSelection(
        max_rows=max_rows, columns=None if columns is None else tuple(columns), comparisons=tuple(tests)
    )


def parse_number(value: Any) -> Decimal | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | Decimal):
        return Decimal(value)
    text = repr(value) if isinstance(value, float) else value
    return Decimal(text) if isinstance(text, str) and NUMBER_PATTERN.fullmatch(text) else None


def format_cell(cell: Any) -> str:
    """As the row shows it. RecursionError: it is nested too deep to be shown."""
    return cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False, default=str)
