"""A Parquet file of a store in, its first rows out: only the columns and row groups that they need are fetched.

What a row group unpacks to is judged by what the file says of it, before it is read.
"""

import asyncio
import io
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import TimeoutError as Late
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from math import isfinite
from typing import Any

import orjson

from engine.errors import Code, SourceFailed
from sources.content.cells import Wanted, number
from sources.content.words import Stat, Store, too_large, too_much
from sources.threads import in_thread, threads

BATCH = 64
UNPACKED = 100 * 2**20
"""Bytes of one row group, of the columns that are wanted."""
PLAIN = frozenset({"PLAIN", "RLE", "BIT_PACKED", "DELTA_BINARY_PACKED", "DELTA_LENGTH_BYTE_ARRAY", "BYTE_STREAM_SPLIT"})
"""Ways of writing a column in which a value is no longer than what stands there."""
FOOTER = {"thrift_string_size_limit": 10 * 2**20, "thrift_container_size_limit": 100_000}
CALL_SECONDS = 30.0
"""For one range; whoever waits for the rows gives up before."""
EXACT = 2**53
PASSES: Mapping[str, Callable[[int, int, Decimal], bool]] = {
    "eq": lambda least, most, value: least <= value <= most,
    "lt": lambda least, most, value: least < value,
    "lte": lambda least, most, value: least <= value,
    "gt": lambda least, most, value: most > value,
    "gte": lambda least, most, value: most >= value,
}
"""Whether some number between the least and the greatest may pass."""
_threads = threads(4, "parquet")


class Ranges(io.RawIOBase):
    """One file as a library reads it: each read is a call to its store, awaited on the loop that it came from."""

    def __init__(self, fetch: Callable[[int, int], bytes], size: int) -> None:
        super().__init__()
        self.fetch, self.size, self.place = fetch, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.place

    def seek(self, offset: int, whence: int = 0) -> int:
        self.place = offset + (0, self.place, self.size)[whence]
        return self.place

    def read(self, size: int = -1) -> bytes:
        wanted = self.size - self.place if size < 0 else size
        found = self.fetch(self.place, wanted) if wanted > 0 else b""
        self.place += len(found)
        return found


async def parquet(store: Store, stat: Stat, asked: Wanted, read_bytes: int) -> tuple[str, ...]:
    if stat.size is None:
        raise SourceFailed("the store does not tell the size of the file", Code.CANNOT_ANSWER)
    fetching = Fetching(store=store, id=stat.id, loop=asyncio.get_running_loop(), left=read_bytes)
    try:
        return await in_thread(_threads, partial(_read, partial(Ranges, fetching.octets, stat.size), asked, read_bytes))
    except SourceFailed:
        if fetching.left < 0:
            raise too_much(read_bytes) from None
        if fetching.failure is not None:
            raise fetching.failure from None
        raise
    finally:
        fetching.given_up = True


@dataclass(slots=True, kw_only=True)
class Fetching:
    """One file's reads, made in a thread; `left`: the bytes that may still be read."""

    store: Store
    id: str
    loop: asyncio.AbstractEventLoop
    left: int
    given_up: bool = False
    failure: SourceFailed | None = None

    def octets(self, start: int, length: int) -> bytes:
        """Raises OSError, for the library to stop at."""
        self.left -= length
        if self.given_up or self.left < 0:
            raise OSError
        call = asyncio.run_coroutine_threadsafe(self.store.octets(self.id, start, length), self.loop)
        try:
            return call.result(CALL_SECONDS)
        except SourceFailed as failure:
            self.failure = failure
            raise OSError from None
        except Late:
            call.cancel()
            raise OSError from None


def _read(opened: Callable[[], Ranges], asked: Wanted, read_bytes: int) -> tuple[str, ...]:
    import pyarrow  # its 40 MB are for those who ask for rows of Parquet
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(pyarrow.PythonFile(opened(), mode="r"), pre_buffer=False, **FOOTER)
        return tuple(_rows(file, asked, read_bytes))
    except (pyarrow.ArrowException, OSError, ValueError, ArithmeticError):
        raise SourceFailed("the file is no Parquet that can be read", Code.SOURCE_INVALID) from None
    except MemoryError:
        raise unpacks() from None


def _rows(file: Any, asked: Wanted, read_bytes: int) -> Iterator[str]:
    kinds = {field.name: str(field.type) for field in file.schema_arrow}
    names = [each for each, kind in kinds.items() if "binary" not in kind and _needed(each, asked)]
    left, size = asked.first, 0
    for row in _unpacked(file, names, asked) if names and left else ():
        if asked.passes(row):
            shown = orjson.dumps(asked.shown(row)).decode()
            left, size = left - 1, size + len(shown)
            if size > read_bytes:
                raise too_large()
            yield shown
            if left == 0:
                return


def _unpacked(file: Any, names: list[str], asked: Wanted) -> Iterator[dict[str, Any]]:
    for at in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(at)
        parts = [group.column(each) for each in range(group.num_columns)]
        wanted = [each for each in parts if each.path_in_schema.partition(".")[0] in names]
        if not _holds_none(wanted, asked):
            if sum(each.total_uncompressed_size for each in wanted) > UNPACKED:
                raise unpacks()
            batches = file.iter_batches(at_once(wanted), row_groups=[at], columns=names, use_threads=False)
            yield from (
                {name: plain(value) for name, value in row.items()} for batch in batches for row in batch.to_pylist()
            )


def at_once(parts: list[Any]) -> int:
    """So many rows that they unpack to no more than may be: of what refers to itself, any row may hold all of it."""
    refers: int = sum(each.total_uncompressed_size for each in parts if not PLAIN.issuperset(each.encodings))
    return max(1, min(BATCH, UNPACKED // max(refers, 1)))


def unpacks() -> SourceFailed:
    return SourceFailed("the file unpacks to more than can be read, ask for fewer columns", Code.LIMIT_EXCEEDED)


def _needed(name: str, asked: Wanted) -> bool:
    return asked.columns is None or name in asked.columns or any(each.column == name for each in asked.tests)


def _holds_none(parts: list[Any], asked: Wanted) -> bool:
    """Whether a row group tells of itself that none of its rows passes, by its least and greatest whole numbers."""
    known = {each.path_in_schema: each.statistics for each in parts}
    for each in asked.tests:
        found, value = known.get(each.column), number(each.value) if each.op in PASSES else None
        if found is None or value is None or not found.has_min_max:
            continue
        if type(found.min) is int and type(found.max) is int and not PASSES[each.op](found.min, found.max, value):
            return True
    return False


def plain(value: Any) -> Any:
    """As JSON has it: exact numbers as text, days and times by ISO 8601."""
    match value:
        case bool() | str() | None:
            return value
        case int():
            return value if abs(value) <= EXACT else str(value)
        case float():
            return value if isfinite(value) else None
        case Decimal():
            return format(value, "f")
        case datetime():
            return (value.astimezone(UTC) if value.tzinfo else value).isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case list() | tuple():
            return [plain(each) for each in value]
        case dict():
            return {str(key): plain(each) for key, each in value.items()}
        case bytes() | bytearray():
            return None
    return str(value)
