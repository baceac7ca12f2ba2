"""Read rows of Parquet files by ranges, so that only the row groups and columns in question are fetched."""

import asyncio
import io
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from math import isfinite
from typing import Any

import orjson

from onedoor.connectors.files.model import FileStat, FileStore
from onedoor.connectors.files.row_selection import RowSelection, parse_number
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.concurrency import build_thread_pool, run_in_thread

MAX_BATCH_ROWS = 64

UNPACKED_MAX_BYTES = 100 * 2**20
"""Unpacked bytes of one row group, counting only the columns that are read."""

PLAIN_ENCODINGS = frozenset(
    {"PLAIN", "RLE", "BIT_PACKED", "DELTA_BINARY_PACKED", "DELTA_LENGTH_BYTE_ARRAY", "BYTE_STREAM_SPLIT"}
)
"""Encodings in which a value takes no more bytes unpacked than it takes in the file."""

FOOTER_LIMITS = {"thrift_string_size_limit": 10 * 2**20, "thrift_container_size_limit": 100_000}

RANGE_TIMEOUT_SECONDS = 30.0
"""Bounds one range; the caller's own timeout is shorter."""

MAX_EXACT_INTEGER = 2**53
"""The largest integer that JSON readers are sure to hold exactly."""

STATISTICS_TESTS: Mapping[str, Callable[[int, int, Decimal], bool]] = {
    "eq": lambda least, most, value: least <= value <= most,
    "lt": lambda least, most, value: least < value,
    "lte": lambda least, most, value: least <= value,
    "gt": lambda least, most, value: most > value,
    "gte": lambda least, most, value: most >= value,
}
"""By operator, whether a number between the least and the greatest of a row group may pass."""

_parquet_pool = build_thread_pool(4, "parquet")


async def read_parquet_rows(
    store: FileStore, stat: FileStat, selection: RowSelection, read_bytes: int
) -> tuple[str, ...]:
    """Return the selected rows as JSON texts, reading at most `read_bytes` of the file.

    Raises ConnectorError: CANNOT_ANSWER if the store does not know the size, LIMIT_EXCEEDED, SOURCE_INVALID.
    """
    if stat.size is None:
        raise ConnectorError("the store does not know the size of the file", ErrorCode.CANNOT_ANSWER)
    reader = RangeReader(store=store, id=stat.id, loop=asyncio.get_running_loop(), remaining_bytes=read_bytes)
    file = RangeFile(reader.read_range, stat.size)
    try:
        return await run_in_thread(_parquet_pool, partial(_read_selected_rows, file, selection, read_bytes))
    except ConnectorError:
        if reader.remaining_bytes < 0:
            raise build_read_limit_error(read_bytes) from None
        if reader.error is not None:
            raise reader.error from None
        raise
    finally:
        reader.abandoned = True


@dataclass(slots=True, kw_only=True)
class RangeReader:
    """Read ranges of one file in a worker thread, by calls that run on the event loop of the store."""

    store: FileStore
    id: str
    loop: asyncio.AbstractEventLoop
    remaining_bytes: int
    abandoned: bool = False
    error: ConnectorError | None = None

    def read_range(self, start: int, length: int) -> bytes:
        """Read the next bytes. Raises OSError, because that is what stops pyarrow."""
        self.remaining_bytes -= length
        if self.abandoned or self.remaining_bytes < 0:
            raise OSError
        call = asyncio.run_coroutine_threadsafe(self.store.read_range(self.id, start, length), self.loop)
        try:
            return call.result(RANGE_TIMEOUT_SECONDS)
        except ConnectorError as failure:
            self.error = failure
            raise OSError from None
        except FutureTimeoutError:
            call.cancel()
            raise OSError from None


class RangeFile(io.RawIOBase):
    """Let pyarrow read a stored file as if it were open here."""

    def __init__(self, read_range: Callable[[int, int], bytes], size: int) -> None:
        super().__init__()
        self.read_range, self.size, self.position = read_range, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = 0) -> int:
        self.position = offset + (0, self.position, self.size)[whence]
        return self.position

    def read(self, size: int = -1) -> bytes:
        length = self.size - self.position if size < 0 else size
        content = self.read_range(self.position, length) if length > 0 else b""
        self.position += len(content)
        return content


def _read_selected_rows(file: RangeFile, selection: RowSelection, read_bytes: int) -> tuple[str, ...]:
    import pyarrow  # imported here because it takes 40 MB, which only readers of Parquet should pay
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(pyarrow.PythonFile(file, mode="r"), pre_buffer=False, **FOOTER_LIMITS)
        return tuple(_select_rows(table, selection, read_bytes))
    except (pyarrow.ArrowException, OSError, ValueError, ArithmeticError):
        raise ConnectorError("the file is no Parquet that can be read", ErrorCode.SOURCE_INVALID) from None
    except MemoryError:
        raise build_unpacked_size_error() from None


def _select_rows(table: Any, selection: RowSelection, read_bytes: int) -> Iterator[str]:
    arrow_types = {field.name: str(field.type) for field in table.schema_arrow}
    names = [name for name, kind in arrow_types.items() if "binary" not in kind and selection.needs_column(name)]
    rows_left, size = selection.max_rows, 0
    for row in _read_row_groups(table, names, selection) if names and rows_left else ():
        if selection.matches(row):
            text = orjson.dumps(selection.project(row)).decode()
            rows_left, size = rows_left - 1, size + len(text)
            if size > read_bytes:
                raise build_rows_too_large_error()
            yield text
            if rows_left == 0:
                return


def _read_row_groups(table: Any, names: list[str], selection: RowSelection) -> Iterator[dict[str, Any]]:
    for index in range(table.metadata.num_row_groups):
        group = table.metadata.row_group(index)
        chunks = [group.column(position) for position in range(group.num_columns)]
        needed = [chunk for chunk in chunks if chunk.path_in_schema.partition(".")[0] in names]
        if _may_skip_row_group(needed, selection):
            continue
        if sum(chunk.total_uncompressed_size for chunk in needed) > UNPACKED_MAX_BYTES:
            raise build_unpacked_size_error()
        batches = table.iter_batches(choose_batch_rows(needed), row_groups=[index], columns=names, use_threads=False)
        yield from (
            {name: convert_to_json(value) for name, value in row.items()}
            for batch in batches
            for row in batch.to_pylist()
        )


def choose_batch_rows(chunks: list[Any]) -> int:
    """Return how many rows unpack to no more than the limit.

    In an encoding that refers to earlier values, any single row may unpack to the whole chunk.
    """
    referring: int = sum(
        chunk.total_uncompressed_size for chunk in chunks if not PLAIN_ENCODINGS.issuperset(chunk.encodings)
    )
    return max(1, min(MAX_BATCH_ROWS, UNPACKED_MAX_BYTES // max(referring, 1)))


def _may_skip_row_group(chunks: list[Any], selection: RowSelection) -> bool:
    """Return whether the statistics of a row group, which count only for integers, show that none of its rows pass."""
    statistics_by_column = {chunk.path_in_schema: chunk.statistics for chunk in chunks}
    for comparison in selection.comparisons:
        statistics = statistics_by_column.get(comparison.column)
        value = parse_number(comparison.value) if comparison.op in STATISTICS_TESTS else None
        if statistics is None or value is None or not statistics.has_min_max:
            continue
        least, most = statistics.min, statistics.max
        if type(least) is int and type(most) is int and not STATISTICS_TESTS[comparison.op](least, most, value):
            return True
    return False


def convert_to_json(value: Any) -> Any:
    """Return a value that JSON can hold: exact numbers as text, days and times by ISO 8601."""
    match value:
        case bool() | str() | None:
            return value
        case int():
            return value if abs(value) <= MAX_EXACT_INTEGER else str(value)
        case float():
            return value if isfinite(value) else None
        case Decimal():
            return format(value, "f")
        case datetime():
            return (value.astimezone(UTC) if value.tzinfo else value).isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case list() | tuple():
            return [convert_to_json(item) for item in value]
        case dict():
            return {str(key): convert_to_json(item) for key, item in value.items()}
        case bytes() | bytearray():
            return None
    return str(value)


def build_unpacked_size_error() -> ConnectorError:
    return ConnectorError("the file unpacks to more than can be read; ask for fewer columns", ErrorCode.LIMIT_EXCEEDED)


def build_read_limit_error(read_bytes: int) -> ConnectorError:
    return ConnectorError(
        f"finding these rows takes more of the file than the limit `read_bytes` of {read_bytes}; ask for fewer rows",
        ErrorCode.LIMIT_EXCEEDED,
    )


def build_rows_too_large_error() -> ConnectorError:
    return ConnectorError("the rows are too large; ask for fewer rows or fewer columns", ErrorCode.LIMIT_EXCEEDED)
