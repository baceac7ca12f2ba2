"""A file that holds a table in, its first rows out, each as a JSON object: CSV, JSON Lines, Parquet."""

import csv
from codecs import IncrementalDecoder, getincrementaldecoder
from collections import ChainMap
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson

from engine.errors import Code, SourceFailed
from sources.content.cells import Wanted
from sources.content.media import is_packed
from sources.content.parquet import parquet
from sources.content.words import Stat, Store, too_large, too_much

CHUNK = 256 * 1024
DELIMITERS = ",;\t|"
UTF_8 = getincrementaldecoder("utf-8-sig")
ENDINGS = {"csv": "csv", "tsv": "csv", "jsonl": "lines", "ndjson": "lines", "parquet": "parquet"}
TYPES = {
    "text/csv": "csv",
    "text/tab-separated-values": "csv",
    "application/vnd.google-apps.spreadsheet": "csv",
    "application/jsonl": "lines",
    "application/x-ndjson": "lines",
    "application/vnd.apache.parquet": "parquet",
}
"""A sheet of Google's is read as the CSV that it is exported as."""


async def rows(store: Store, id: str, asked: Wanted, read_bytes: int) -> tuple[str, ...] | None:
    """None: the file is none of these, or is gone."""
    stat = await store.stat(id)
    form = None if stat is None else form_of(stat)
    if stat is None or form is None:
        return None
    if form == "parquet":
        return await parquet(store, stat, asked, read_bytes)
    found: list[str] = []
    size = 0
    if asked.first == 0:
        return ()
    async for row in (_csv if form == "csv" else _lines)(_text(store, id, read_bytes)):
        if passes(asked, row):
            found.append(written(asked.shown(row)))
            size += len(found[-1])
            if size > read_bytes:
                raise too_large()
            if len(found) == asked.first:
                break
    return tuple(found)


def passes(asked: Wanted, row: Mapping[str, Any]) -> bool:
    try:
        return asked.passes(row)
    except RecursionError:
        raise nested() from None


def written(row: Mapping[str, Any]) -> str:
    try:
        return orjson.dumps(row, default=dict).decode()
    except orjson.JSONEncodeError:
        raise nested() from None


def nested() -> SourceFailed:
    return SourceFailed("a line of the file is nested too deep", Code.SOURCE_INVALID)


def form_of(stat: Stat) -> str | None:
    """None: it is no table, or is packed, whatever its store says of its type."""
    if is_packed(stat.name):
        return None
    ending = stat.name.rpartition(".")[2].lower()
    return ENDINGS.get(ending) or TYPES.get((stat.content_type or "").partition(";")[0].strip())


async def _text(store: Store, id: str, read_bytes: int) -> AsyncIterator[str]:
    """Line by line, their ends kept."""
    decoder, rest, start, ended = UTF_8(), "", 0, False
    while not ended:
        size = min(CHUNK, read_bytes + 1 - start)
        octets = await store.octets(id, start, size)
        start, ended = start + len(octets), len(octets) < size
        *lines, rest = (rest + _decoded(decoder, octets, ended)).split("\n")
        for each in lines:
            yield f"{each}\n"
        if start > read_bytes:
            raise too_much(read_bytes)
    if rest:
        yield rest


def _decoded(decoder: IncrementalDecoder, octets: bytes, ended: bool) -> str:
    try:
        return decoder.decode(octets, final=ended)
    except UnicodeDecodeError:
        raise SourceFailed("the file is no text in UTF-8", Code.SOURCE_INVALID) from None


async def _csv(lines: AsyncIterator[str]) -> AsyncIterator[Mapping[str, Any]]:
    """RFC 4180, the first record the names; what a row lacks is null."""
    names: list[str] | None = None
    delimiter, empty = ",", dict[str, Any]()
    async for record in _records(lines):
        if names is None:
            delimiter = max(DELIMITERS, key=record.count)
            names = _cells(record, delimiter)
            empty = dict.fromkeys(names)
        elif cells := _cells(record, delimiter):
            row = dict(zip(names, cells, strict=False))
            yield row if len(row) == len(empty) else ChainMap(row, empty)  # what it lacks is not copied for each row


async def _records(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    """A record may have line ends within quotes; each line is looked at once, however long its record."""
    parts, within = list[str](), False
    async for line in lines:
        parts.append(line)
        within ^= bool(line.count('"') % 2)
        if not within:
            yield "".join(parts)
            parts.clear()
    if parts:
        raise SourceFailed("the file ends within quotes", Code.SOURCE_INVALID)


def _cells(record: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([record], delimiter=delimiter, strict=True), [])
    except csv.Error:
        raise SourceFailed("the file is no CSV", Code.SOURCE_INVALID) from None


async def _lines(lines: AsyncIterator[str]) -> AsyncIterator[Mapping[str, Any]]:
    async for line in lines:
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError:
            raise SourceFailed("a line of the file is no JSON", Code.SOURCE_INVALID) from None
        yield row if isinstance(row, dict) else {"value": row}
