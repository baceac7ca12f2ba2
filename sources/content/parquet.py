"""A Parquet file of a store in, its first rows out: only the columns and row groups that they need are fetched.

DuckDB reads it, in a bounded memory, from the ranges it asks for; it can reach nothing else.
"""

import asyncio
import io
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import TimeoutError as Late
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from itertools import count
from math import isfinite
from typing import Any

import orjson

from engine.errors import Code, SourceFailed
from sources.content.cells import Wanted, number
from sources.content.words import Stat, Store, too_much
from sources.threads import in_thread, threads

MEMORY = "128MB"
BATCH = 64
CALL_SECONDS = 30.0
"""For one range; whoever waits for the rows gives up before."""
EXACT = 2**53
ALONE = (
    "autoinstall_known_extensions = false",
    "autoload_known_extensions = false",
    "enable_external_access = false",
    "lock_configuration = true",
)
WHOLE = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"})
PUSHED = {"eq": "=", "lt": "<", "lte": "<=", "gt": ">", "gte": ">="}
"""What DuckDB may skip row groups by, of whole numbers; every row is tested by us all the same."""
_threads = threads(4, "parquet")
_numbers = count()


class Ranges(io.RawIOBase):
    """One file as DuckDB reads it: each read is a call to its store, which is awaited on the loop that it came from."""

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
        """Raises OSError, for DuckDB to stop at."""
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
    import duckdb  # its 30 MB are for those who ask for rows of Parquet

    from sources.content.filesystem import one_file

    with closing(duckdb.connect(":memory:", config={"memory_limit": MEMORY, "threads": "1"})) as connection:
        name = f"stored{next(_numbers)}"
        connection.register_filesystem(one_file(name, opened))
        connection.execute(f"SET allowed_directories = ['{name}://']")
        for each in ALONE:
            connection.execute(f"SET {each}")
        try:
            return tuple(_rows(connection, f"{name}://file", asked, read_bytes))
        except duckdb.OutOfMemoryException:
            raise SourceFailed("the file unpacks to more than can be read, ask for less", Code.LIMIT_EXCEEDED) from None
        except duckdb.Error:
            raise SourceFailed("the file is no Parquet that can be read", Code.SOURCE_INVALID) from None
        finally:
            connection.unregister_filesystem(name)


def _rows(connection: Any, place: str, asked: Wanted, read_bytes: int) -> Iterator[str]:
    described = connection.execute(f"DESCRIBE SELECT * FROM read_parquet('{place}')").fetchall()
    kinds = {name: kind for name, kind, *_ in described}
    names = [each for each in kinds if kinds[each] != "BLOB" and _needed(each, asked)]
    if not names or asked.first == 0:
        return
    where, values = _pushed(asked, kinds)
    columns = ", ".join(_quoted(each) for each in names)
    found = connection.execute(f"SELECT {columns} FROM read_parquet('{place}') WHERE {where}", values)
    left, size = asked.first, 0
    while batch := found.fetchmany(BATCH):
        for each in batch:
            row = {name: plain(value) for name, value in zip(names, each, strict=True)}
            if asked.passes(row):
                shown = orjson.dumps(asked.shown(row)).decode()
                left, size = left - 1, size + len(shown)
                if size > read_bytes:
                    raise SourceFailed("the rows are too large, ask for fewer or for less of each", Code.LIMIT_EXCEEDED)
                yield shown
                if left == 0:
                    return


def _needed(name: str, asked: Wanted) -> bool:
    return asked.columns is None or name in asked.columns or any(each.column == name for each in asked.tests)


def _pushed(asked: Wanted, kinds: Mapping[str, str]) -> tuple[str, list[Any]]:
    parts, values = ["true"], []
    for each in asked.tests:
        value = number(each.value) if each.op in PUSHED and kinds.get(each.column) in WHOLE else None
        if value is not None and value == int(value) and abs(value) < 2**63:
            parts.append(f"{_quoted(each.column)} {PUSHED[each.op]} ?")
            values.append(int(value))
    return " AND ".join(parts), values


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


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
