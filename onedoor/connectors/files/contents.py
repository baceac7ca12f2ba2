"""Serve what is inside files: their text, the rows of CSV, JSON Lines and Parquet files, and download addresses."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import orjson

from onedoor.connectors.files.model import FileStat, FileStore, is_compressed
from onedoor.connectors.files.parquet import read_parquet_rows
from onedoor.connectors.files.row_selection import RowSelection, TableRows, parse_row_selection
from onedoor.connectors.files.table_errors import build_rows_too_large_error
from onedoor.connectors.files.text_tables import TextRow, build_nesting_error, read_csv_rows, read_json_rows
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.concurrency import fan_out
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.flaws import FlawedRow
from onedoor.spi.predicates import And, Comparison, Op, Row
from onedoor.spi.scan import ScanRequest

MAX_KEYS = 20

MAX_CONCURRENCY = 4

TEXT_MAX_BYTES = 2**20

MAX_ROWS = 1000
"""Rows that one scan reads of one file."""

DOWNLOAD_MAX_MINUTES = 5

DEFAULT_READ_BYTES = 16 * 2**20
"""The default of a store's setting `read_bytes`."""

FORMATS_BY_EXTENSION = {"csv": "csv", "tsv": "tsv", "jsonl": "lines", "ndjson": "lines", "parquet": "parquet"}

FORMATS_BY_MEDIA_TYPE = {
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/vnd.google-apps.spreadsheet": "csv",
    "application/jsonl": "lines",
    "application/x-ndjson": "lines",
    "application/vnd.apache.parquet": "parquet",
}
"""A Google spreadsheet is read as the CSV that Drive exports."""

TEXT_ROW_READERS: Mapping[str, Callable[[FileStore, str, int], AsyncIterator[TextRow]]] = {
    "csv": read_csv_rows,
    "tsv": partial(read_csv_rows, preferred_delimiter="\t"),
    "lines": read_json_rows,
}

ARGUMENT_OPS = frozenset({Op.EQ})


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedContent:
    """What a file holds, or a part of it; `flaw` says what it holds besides that `value` shows as null."""

    value: Any
    flaw: str | None = None


ContentLoader: TypeAlias = Callable[[str], Awaitable[LoadedContent]]
"""Loads what one file holds, by its id."""


def _build_capabilities(
    value_column: str, value_type: ColumnType, arguments: Mapping[str, ColumnType], required_argument: str
) -> Capabilities:
    columns = {"id": Column(ColumnType.TEXT), value_column: Column(value_type)}
    columns |= {name: Column(argument_type, ARGUMENT_OPS) for name, argument_type in arguments.items()}
    return Capabilities(
        columns=columns,
        max_keys=MAX_KEYS,
        key_columns=frozenset({("id",)}),
        required_columns=("id", required_argument),
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
"""The collections that every store has besides its files."""


async def scan_contents(store: FileStore, request: ScanRequest, read_bytes: int) -> AsyncIterator[Sequence[Row]]:
    """Yield one batch with a row for each key; `read_bytes` bounds what is read of one file for its rows."""
    arguments = parse_arguments(request.filter)
    value_column, build_loader = CONTENT_LOADERS[request.collection]
    load = build_loader(store, arguments, read_bytes)
    ids = [key[0] for key in request.keys.values] if request.keys else []

    async def load_row(id: str) -> Row:
        content = await load(id)
        values = {"id": id, **arguments, value_column: content.value}
        row = tuple(values[name] for name in request.columns)
        if content.flaw is None or value_column not in request.columns:
            return row
        return FlawedRow(row, {request.columns.index(value_column): content.flaw})

    yield await fan_out(load_row, ids, MAX_CONCURRENCY)


def parse_arguments(predicate: Any) -> dict[str, Any]:
    """Return the arguments of a content collection, which arrive as equality comparisons."""
    parts = predicate.parts if isinstance(predicate, And) else (predicate,)
    arguments = {part.column: part.value for part in parts if isinstance(part, Comparison)}
    return {"columns": None, "where": None, **arguments}


def _build_text_loader(store: FileStore, arguments: Mapping[str, Any], read_bytes: int) -> ContentLoader:
    max_bytes = check_argument_limit("maxBytes", arguments["max_bytes"], TEXT_MAX_BYTES)

    async def load(id: str) -> LoadedContent:
        return LoadedContent(value=decode_text(await store.read_range(id, 0, max_bytes), max_bytes=max_bytes))

    return load


def _build_rows_loader(store: FileStore, arguments: Mapping[str, Any], read_bytes: int) -> ContentLoader:
    max_rows = check_argument_limit("first", arguments["first"], MAX_ROWS)
    selection = parse_row_selection(max_rows, arguments["columns"], arguments["where"] or "[]")

    async def load(id: str) -> LoadedContent:
        table_rows = await read_table_rows(store, id, selection, read_bytes)
        if table_rows is None:
            return LoadedContent(value=None)
        return LoadedContent(value=table_rows.rows, flaw=", ".join(table_rows.flaws) or None)

    return load


def _build_download_loader(store: FileStore, arguments: Mapping[str, Any], read_bytes: int) -> ContentLoader:
    seconds = check_argument_limit("minutes", arguments["minutes"], DOWNLOAD_MAX_MINUTES) * 60

    async def load(id: str) -> LoadedContent:
        return LoadedContent(value=await store.create_download_url(id, seconds) if seconds else None)

    return load


CONTENT_LOADERS: Mapping[str, tuple[str, Callable[[FileStore, Mapping[str, Any], int], ContentLoader]]] = {
    "text": ("text", _build_text_loader),
    "rows": ("rows", _build_rows_loader),
    "download": ("url", _build_download_loader),
}
"""By collection, the column of its values and what builds their loader."""


def check_argument_limit(name: str, value: int, limit: int) -> int:
    if not 0 <= value <= limit:
        raise ConnectorError(f"`{name}` takes a number from 0 to {limit}", ErrorCode.LIMIT_EXCEEDED)
    return value


def decode_text(content: bytes, max_bytes: int) -> str | None:
    """Return content as text without a last character that the limit cut in two, or None if it is no UTF-8 text."""
    may_be_cut = len(content) == max_bytes
    for dropped_bytes in range(4 if may_be_cut else 1):
        try:
            text = content[: len(content) - dropped_bytes].decode("utf-8-sig")
        except UnicodeDecodeError:
            continue
        return None if "\0" in text else text
    return None


async def read_table_rows(store: FileStore, id: str, selection: RowSelection, read_bytes: int) -> TableRows | None:
    """Return the selected rows, or None if the file is in none of the formats, or is gone."""
    stat = await store.stat(id)
    table_format = None if stat is None else detect_format(stat)
    if stat is None or table_format is None:
        return None
    if table_format == "parquet":
        return await read_parquet_rows(store, stat, selection, read_bytes)
    if selection.max_rows == 0:
        return TableRows(rows=())
    texts: list[str] = []
    size = 0
    async for row in TEXT_ROW_READERS[table_format](store, id, read_bytes):
        if not is_row_selected(selection, row):
            continue
        texts.append(encode_row(selection.project(row)))
        size += len(texts[-1])
        if size > read_bytes:
            raise build_rows_too_large_error()
        if len(texts) == selection.max_rows:
            break
    return TableRows(rows=tuple(texts))


def detect_format(stat: FileStat) -> str | None:
    """Return None for a file that is no table; a compressed file is none, whatever media type its store gives."""
    if is_compressed(stat.name):
        return None
    extension = stat.name.rpartition(".")[2].lower()
    media_type = (stat.content_type or "").partition(";")[0].strip()
    return FORMATS_BY_EXTENSION.get(extension) or FORMATS_BY_MEDIA_TYPE.get(media_type)


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
