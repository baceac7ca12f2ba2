"""Contents as text or rows: CSV, JSONL, Parquet."""

import asyncio
import csv
import io
from codecs import IncrementalDecoder, getincrementaldecoder
from collections import ChainMap
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import TimeoutError as Late
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from math import isfinite
from typing import Any

import orjson

from onedoor.connectors.files.model import (
    FileStat,
    FileStore,
    RowSelection,
    build_read_limit_error,
    build_rows_too_large_error,
    is_compressed,
    parse_number,
    parse_row_selection,
)
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.concurrency import build_thread_pool, fan_out, run_in_thread
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.predicates import And, Comparison, Op, Row
from onedoor.spi.scan import ScanRequest

MAX_BATCH_ROWS = 64

UNPACKED_MAX_BYTES = 100 * 2**20
"""Bytes of one row group, of the columns that are wanted."""

PLAIN_ENCODINGS = frozenset(
    {"PLAIN", "RLE", "BIT_PACKED", "DELTA_BINARY_PACKED", "DELTA_LENGTH_BYTE_ARRAY", "BYTE_STREAM_SPLIT"}
)
"""Ways of writing a column in which a value is no longer than what stands there."""

FOOTER_LIMITS = {"thrift_string_size_limit": 10 * 2**20, "thrift_container_size_limit": 100_000}

RANGE_TIMEOUT_SECONDS = 30.0
"""For one range; whoever waits for the rows gives up before."""

MAX_EXACT_INTEGER = 2**53

STATISTICS_TESTS: Mapping[str, Callable[[int, int, Decimal], bool]] = {
    "eq": lambda least, most, value: least <= value <= most,
    "lt": lambda least, most, value: least < value,
    "lte": lambda least, most, value: least <= value,
    "gt": lambda least, most, value: most > value,
    "gte": lambda least, most, value: most >= value,
}
"""Whether some number between the least and the greatest may pass."""

_parquet_pool = build_thread_pool(4, "parquet")


class RangeFile(io.RawIOBase):
    """One file as a library reads it: each read is a call to its store, awaited on the loop that it came from."""

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
        wanted = self.size - self.position if size < 0 else size
        found = self.read_range(self.position, wanted) if wanted > 0 else b""
        self.position += len(found)
        return found


async def read_parquet_rows(
    store: FileStore, stat: FileStat, selection: RowSelection, read_bytes: int
) -> tuple[str, ...]:
    if stat.size is None:
        raise ConnectorError("the store does not tell the size of the file", ErrorCode.CANNOT_ANSWER)
    fetching = RangeReader(store=store, id=stat.id, loop=asyncio.get_running_loop(), remaining_bytes=read_bytes)
    try:
        return await run_in_thread(
            _parquet_pool,
            partial(_read_parquet_file, partial(RangeFile, fetching.read_range, stat.size), selection, read_bytes),
        )
    except ConnectorError:
        if fetching.remaining_bytes < 0:
            raise build_read_limit_error(read_bytes) from None
        if fetching.error is not None:
            raise fetching.error from None
        raise
    finally:
        fetching.abandoned = True


@dataclass(slots=True, kw_only=True)
class RangeReader:
    """One file's reads, made in a thread; `left`: the bytes that may still be read."""

    store: FileStore
    id: str
    loop: asyncio.AbstractEventLoop
    remaining_bytes: int
    abandoned: bool = False
    error: ConnectorError | None = None

    def read_range(self, start: int, length: int) -> bytes:
        """Raises OSError, for the library to stop at."""
        self.remaining_bytes -= length
        if self.abandoned or self.remaining_bytes < 0:
            raise OSError
        call = asyncio.run_coroutine_threadsafe(self.store.read_range(self.id, start, length), self.loop)
        try:
            return call.result(RANGE_TIMEOUT_SECONDS)
        except ConnectorError as failure:
            self.error = failure
            raise OSError from None
        except Late:
            call.cancel()
            raise OSError from None


def _read_parquet_file(opened: Callable[[], RangeFile], selection: RowSelection, read_bytes: int) -> tuple[str, ...]:
    import pyarrow  # its 40 MB are for those who ask for rows of Parquet
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(pyarrow.PythonFile(opened(), mode="r"), pre_buffer=False, **FOOTER_LIMITS)
        return tuple(_select_parquet_rows(file, selection, read_bytes))
    except (pyarrow.ArrowException, OSError, ValueError, ArithmeticError):
        raise ConnectorError("the file is no Parquet that can be read", ErrorCode.SOURCE_INVALID) from None
    except MemoryError:
        raise build_unpacked_size_error() from None


def _select_parquet_rows(file: Any, selection: RowSelection, read_bytes: int) -> Iterator[str]:
    kinds = {field.name: str(field.type) for field in file.schema_arrow}
    names = [each for each, kind in kinds.items() if "binary" not in kind and _is_column_needed(each, selection)]
    left, size = selection.max_rows, 0
    for row in _read_row_groups(file, names, selection) if names and left else ():
        if selection.matches(row):
            shown = orjson.dumps(selection.project(row)).decode()
            left, size = left - 1, size + len(shown)
            if size > read_bytes:
                raise build_rows_too_large_error()
            yield shown
            if left == 0:
                return


def _read_row_groups(file: Any, names: list[str], selection: RowSelection) -> Iterator[dict[str, Any]]:
    for at in range(file.metadata.num_row_groups):
        group = file.metadata.row_group(at)
        parts = [group.column(each) for each in range(group.num_columns)]
        wanted = [each for each in parts if each.path_in_schema.partition(".")[0] in names]
        if not _may_skip_row_group(wanted, selection):
            if sum(each.total_uncompressed_size for each in wanted) > UNPACKED_MAX_BYTES:
                raise build_unpacked_size_error()
            batches = file.iter_batches(choose_batch_rows(wanted), row_groups=[at], columns=names, use_threads=False)
            yield from (
                {name: convert_to_json(value) for name, value in row.items()}
                for batch in batches
                for row in batch.to_pylist()
            )


def choose_batch_rows(parts: list[Any]) -> int:
    """So many rows that they unpack to no more than may be: of what refers to itself, any row may hold all of it."""
    refers: int = sum(each.total_uncompressed_size for each in parts if not PLAIN_ENCODINGS.issuperset(each.encodings))
    return max(1, min(MAX_BATCH_ROWS, UNPACKED_MAX_BYTES // max(refers, 1)))


def build_unpacked_size_error() -> ConnectorError:
    return ConnectorError("the file unpacks to more than can be read, ask for fewer columns", ErrorCode.LIMIT_EXCEEDED)


def _is_column_needed(name: str, selection: RowSelection) -> bool:
    return (
        selection.columns is None
        or name in selection.columns
        or any(each.column == name for each in selection.comparisons)
    )


def _may_skip_row_group(parts: list[Any], selection: RowSelection) -> bool:
    """Whether a row group tells of itself that none of its rows passes, by its least and greatest whole numbers."""
    known = {each.path_in_schema: each.statistics for each in parts}
    for each in selection.comparisons:
        found, value = known.get(each.column), parse_number(each.value) if each.op in STATISTICS_TESTS else None
        if found is None or value is None or not found.has_min_max:
            continue
        if (
            type(found.min) is int
            and type(found.max) is int
            and not STATISTICS_TESTS[each.op](found.min, found.max, value)
        ):
            return True
    return False


def convert_to_json(value: Any) -> Any:
    """As JSON has it: exact numbers as text, days and times by ISO 8601."""
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
            return [convert_to_json(each) for each in value]
        case dict():
            return {str(key): convert_to_json(each) for key, each in value.items()}
        case bytes() | bytearray():
            return None
    return str(value)


CHUNK_BYTES = 256 * 1024

CSV_DELIMITERS = ",;\t|"

Utf8Decoder = getincrementaldecoder("utf-8-sig")

FORMATS_BY_EXTENSION = {"csv": "csv", "tsv": "csv", "jsonl": "lines", "ndjson": "lines", "parquet": "parquet"}

FORMATS_BY_MEDIA_TYPE = {
    "text/csv": "csv",
    "text/tab-separated-values": "csv",
    "application/vnd.google-apps.spreadsheet": "csv",
    "application/jsonl": "lines",
    "application/x-ndjson": "lines",
    "application/vnd.apache.parquet": "parquet",
}
"""A sheet of Google's is read as the CSV that it is exported as."""


async def read_table_rows(
    store: FileStore, id: str, selection: RowSelection, read_bytes: int
) -> tuple[str, ...] | None:
    """None: the file is none of these, or is gone."""
    stat = await store.stat(id)
    form = None if stat is None else detect_format(stat)
    if stat is None or form is None:
        return None
    if form == "parquet":
        return await read_parquet_rows(store, stat, selection, read_bytes)
    found: list[str] = []
    size = 0
    if selection.max_rows == 0:
        return ()
    async for row in (_parse_csv if form == "csv" else _parse_json_lines)(_read_lines(store, id, read_bytes)):
        if is_row_selected(selection, row):
            found.append(encode_row(selection.project(row)))
            size += len(found[-1])
            if size > read_bytes:
                raise build_rows_too_large_error()
            if len(found) == selection.max_rows:
                break
    return tuple(found)


def is_row_selected(selection: RowSelection, row: Mapping[str, Any]) -> bool:
    try:
        return selection.matches(row)
    except RecursionError:
        raise build_nesting_error() from None


def encode_row(row: Mapping[str, Any]) -> str:
    try:
        return orjson.dumps(row, default=dict).decode()
    except orjson.JSONEncodeError:
        raise build_nesting_error() from None


def build_nesting_error() -> ConnectorError:
    return ConnectorError("a line of the file is nested too deep", ErrorCode.SOURCE_INVALID)


def detect_format(stat: FileStat) -> str | None:
    """None: it is no table, or is packed, whatever its store says of its type."""
    if is_compressed(stat.name):
        return None
    ending = stat.name.rpartition(".")[2].lower()
    return FORMATS_BY_EXTENSION.get(ending) or FORMATS_BY_MEDIA_TYPE.get(
        (stat.content_type or "").partition(";")[0].strip()
    )


async def _read_lines(store: FileStore, id: str, read_bytes: int) -> AsyncIterator[str]:
    """Line by line, their ends kept."""
    decoder, rest, start, ended = Utf8Decoder(), "", 0, False
    while not ended:
        size = min(CHUNK_BYTES, read_bytes + 1 - start)
        octets = await store.read_range(id, start, size)
        start, ended = start + len(octets), len(octets) < size
        *lines, rest = (rest + _decode_chunk(decoder, octets, ended)).split("\n")
        for each in lines:
            yield f"{each}\n"
        if start > read_bytes:
            raise build_read_limit_error(read_bytes)
    if rest:
        yield rest


def _decode_chunk(decoder: IncrementalDecoder, content: bytes, ended: bool) -> str:
    try:
        return decoder.decode(content, final=ended)
    except UnicodeDecodeError:
        raise ConnectorError("the file is no text in UTF-8", ErrorCode.SOURCE_INVALID) from None


async def _parse_csv(lines: AsyncIterator[str]) -> AsyncIterator[Mapping[str, Any]]:
    """RFC 4180, the first record the names; what a row lacks is null."""
    names: list[str] | None = None
    delimiter, empty = ",", dict[str, Any]()
    async for record in _split_csv_records(lines):
        if names is None:
            delimiter = max(CSV_DELIMITERS, key=record.count)
            names = _parse_csv_cells(record, delimiter)
            empty = dict.fromkeys(names)
        elif cells := _parse_csv_cells(record, delimiter):
            row = dict(zip(names, cells, strict=False))
            yield row if len(row) == len(empty) else ChainMap(row, empty)  # what it lacks is not copied for each row


async def _split_csv_records(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    """A record may have line ends within quotes; each line is looked at once, however long its record."""
    parts, within = list[str](), False
    async for line in lines:
        parts.append(line)
        within ^= bool(line.count('"') % 2)
        if not within:
            yield "".join(parts)
            parts.clear()
    if parts:
        raise ConnectorError("the file ends within quotes", ErrorCode.SOURCE_INVALID)


def _parse_csv_cells(record: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([record], delimiter=delimiter, strict=True), [])
    except csv.Error:
        raise ConnectorError("the file is no CSV", ErrorCode.SOURCE_INVALID) from None


async def _parse_json_lines(lines: AsyncIterator[str]) -> AsyncIterator[Mapping[str, Any]]:
    async for line in lines:
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError:
            raise ConnectorError("a line of the file is no JSON", ErrorCode.SOURCE_INVALID) from None
        yield row if isinstance(row, dict) else {"value": row}


MAX_KEYS = 20

MAX_CONCURRENCY = 4

TEXT_MAX_BYTES = 2**20
"""Of one text, at the most."""

MAX_ROWS = 1000
"""Rows of one file, at the most."""

DOWNLOAD_MAX_MINUTES = 5

DEFAULT_READ_BYTES = 16 * 2**20
"""What a store's `read_bytes` is, where its settings do not say."""

ARGUMENT_OPS = frozenset({Op.EQ})


def _build_capabilities(value: str, kind: ColumnType, arguments: Mapping[str, ColumnType], needed: str) -> Capabilities:
    columns = {"id": Column(ColumnType.TEXT), value: Column(kind)}
    columns |= {name: Column(each, ARGUMENT_OPS) for name, each in arguments.items()}
    return Capabilities(
        columns=columns, max_keys=MAX_KEYS, key_columns=frozenset({("id",)}), required_columns=("id", needed)
    )


CONTENT_CAPABILITIES: Mapping[str, Capabilities] = {
    "text": _build_capabilities("text", ColumnType.TEXT, {"max_bytes": ColumnType.INTEGER}, "max_bytes"),
    "rows": _build_capabilities(
        "rows",
        ColumnType.LIST,
        {"first": ColumnType.INTEGER, "columns": ColumnType.LIST, "where": ColumnType.TEXT},
        "first",
    ),
    "download": _build_capabilities("url", ColumnType.TEXT, {"minutes": ColumnType.INTEGER}, "minutes"),
}
"""What every store of files has beside the list of them."""


async def scan_contents(store: FileStore, request: ScanRequest, read_bytes: int) -> AsyncIterator[Sequence[Row]]:
    """`read_bytes`: the most that is read of one file for its rows."""
    given = parse_arguments(request.filter)
    look = CONTENT_LOADERS[request.collection](store, given, read_bytes)
    ids = [key[0] for key in request.keys.values] if request.keys else []

    async def found(id: str) -> Row:
        told = {"id": id, **given, **await look(id)}
        return tuple(told[name] for name in request.columns)

    yield await fan_out(found, ids, MAX_CONCURRENCY)


def parse_arguments(predicate: Any) -> dict[str, Any]:
    tests = predicate.parts if isinstance(predicate, And) else (predicate,)
    return {"columns": None, "where": None} | {
        each.column: each.value for each in tests if isinstance(each, Comparison)
    }


ContentLoader = Callable[[str], Awaitable[dict[str, Any]]]


def _build_text_loader(store: FileStore, given: Mapping[str, Any], read_bytes: int) -> ContentLoader:
    most = check_argument_limit("maxBytes", given["max_bytes"], TEXT_MAX_BYTES)

    async def look(id: str) -> dict[str, Any]:
        return {"text": decode_text(await store.read_range(id, 0, most), max_bytes=most)}

    return look


def _build_rows_loader(store: FileStore, given: Mapping[str, Any], read_bytes: int) -> ContentLoader:
    asked: RowSelection = parse_row_selection(
        check_argument_limit("first", given["first"], MAX_ROWS), given["columns"], given["where"] or "[]"
    )

    async def look(id: str) -> dict[str, Any]:
        return {"rows": await read_table_rows(store, id, asked, read_bytes)}

    return look


def _build_download_loader(store: FileStore, given: Mapping[str, Any], read_bytes: int) -> ContentLoader:
    seconds = check_argument_limit("minutes", given["minutes"], DOWNLOAD_MAX_MINUTES) * 60

    async def look(id: str) -> dict[str, Any]:
        return {"url": await store.create_download_url(id, seconds) if seconds else None}

    return look


CONTENT_LOADERS: Mapping[str, Callable[[FileStore, Mapping[str, Any], int], ContentLoader]] = {
    "text": _build_text_loader,
    "rows": _build_rows_loader,
    "download": _build_download_loader,
}


def check_argument_limit(name: str, given: int, max_bytes: int) -> int:
    if not 0 <= given <= max_bytes:
        raise ConnectorError(f"`{name}` takes a number from 0 to {max_bytes}", ErrorCode.LIMIT_EXCEEDED)
    return given


def decode_text(content: bytes, max_bytes: int) -> str | None:
    """UTF-8, a last character that was cut in two left out; None: it is no text."""
    cut = len(content) == max_bytes
    for short in range(4 if cut else 1):
        try:
            text = content[: len(content) - short].decode("utf-8-sig")
        except UnicodeDecodeError:
            continue
        return None if "\0" in text else text
    return None
