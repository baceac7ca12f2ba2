"""Parse the rows of CSV and of JSON Lines: each value as it stands in the file, or an error that says why not."""

import csv
import json
import re
from codecs import IncrementalDecoder, getincrementaldecoder
from collections import ChainMap
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

import orjson

from onedoor.connectors.files.model import FileStore
from onedoor.connectors.files.row_selection import rename_duplicates
from onedoor.connectors.files.table_errors import build_read_limit_error
from onedoor.errors import ConnectorError, ErrorCode

CHUNK_BYTES = 256 * 1024

CSV_DELIMITERS = ",;\t|"
"""In the order in which they are preferred where a header has as many of each."""

BLANK = f'{CSV_DELIMITERS} \r\n"'
"""What a line may hold that is no line of names."""

BLANK_LINES = frozenset({"\n", "\r", "\r\n"})

DELIMITER_LINE = re.compile(f"sep=([{re.escape(CSV_DELIMITERS)}])[\r\n]*", re.IGNORECASE)
"""What spreadsheets begin a file with to say what its delimiter is."""

FIRST_LINE = re.compile(r'(?:"[^"]*+"|[^"\r\n])*+(\r\n|\n|\r(?!\Z))')
"""A line whose end is outside of quotes."""

FIRST_LINE_CHARACTERS = 2**20
"""A first line that is longer ends in a line feed."""

LONG_NUMBER = re.compile(r"[0-9][0-9.]{15}|[0-9][eE][-+]?[0-9]{3}")
"""Part of a number that a float may not hold exactly."""

MEMBER_NAME = re.compile(r'"\s*+:')
"""The end of a member's name; it may also be in a text, but then with a backslash, as where it is written anew."""

MAX_INTEGER_CHARACTERS, MIN_INTEGER, MAX_INTEGER = 20, -(2**63), 2**64 - 1
"""Of the integers that orjson writes."""

Utf8Decoder = getincrementaldecoder("utf-8-sig")

TextRow: TypeAlias = Mapping[str, Any]


def read_csv_rows(
    store: FileStore, id: str, read_bytes: int, *, preferred_delimiter: str = ","
) -> AsyncIterator[TextRow]:
    """Yield the rows of a file of cells between delimiters. Raises ConnectorError."""
    return parse_csv(_split_lines(_read_text(store, id, read_bytes)), preferred_delimiter)


def read_json_rows(store: FileStore, id: str, read_bytes: int) -> AsyncIterator[TextRow]:
    """Yield the rows of a file of JSON Lines. Raises ConnectorError."""
    return parse_json_lines(_split_lines(_read_text(store, id, read_bytes)))


async def _read_text(store: FileStore, id: str, read_bytes: int) -> AsyncIterator[str]:
    """Yield a file's text, chunk by chunk."""
    decoder, start, ended = Utf8Decoder(), 0, False
    while not ended:
        size = min(CHUNK_BYTES, read_bytes + 1 - start)
        content = await store.read_range(id, start, size)
        start, ended = start + len(content), len(content) < size
        yield _decode_chunk(decoder, content, ended)
        if start > read_bytes:
            raise build_read_limit_error(read_bytes)


def _decode_chunk(decoder: IncrementalDecoder, content: bytes, ended: bool) -> str:
    """Decode text; what holds NUL is none, but for one in UTF-16 without a mark."""
    try:
        text = decoder.decode(content, final=ended)
    except UnicodeDecodeError:
        raise _build_encoding_error() from None
    if "\0" in text:
        raise _build_encoding_error()
    return text


async def _split_lines(chunks: AsyncIterator[str]) -> AsyncIterator[str]:
    """Yield lines with their ends, which are those of the first line."""
    rest, line_end = "", None
    async for chunk in chunks:
        rest += chunk
        line_end = line_end or find_line_end(rest)
        if line_end is not None:
            *lines, rest = rest.split(line_end)
            for line in lines:
                yield line + line_end
    *lines, rest = rest.split(line_end or "\n")
    for line in lines:
        yield line + (line_end or "\n")
    if rest:
        yield rest


def find_line_end(text: str) -> str | None:
    """Return what ends the lines of a text: a carriage return alone, as on old machines, or a line feed.

    None: it has too few characters to tell.
    """
    first_line = FIRST_LINE.match(text)
    if first_line is not None:
        return "\r" if first_line[1] == "\r" else "\n"
    return None if len(text) < FIRST_LINE_CHARACTERS else "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotePatterns:
    """Match lines up to a quoted cell that is open at their end; `inside` matches those that begin in such a cell."""

    outside: re.Pattern[str]
    inside: re.Pattern[str]

    def is_open_after(self, line: str, is_open: bool) -> bool:
        match = (self.inside if is_open else self.outside).match(line)
        return match is None or match.end() < len(line)


def compile_quote_patterns(delimiters: str) -> QuotePatterns:
    """Compile patterns in which nothing is tried twice, for linear time."""
    any_delimiter, no_delimiter = f"[{re.escape(delimiters)}]", f"[^{re.escape(delimiters)}]"
    rest_of_quoted = f'[^"]*+(?:""[^"]*+)*+"{no_delimiter}*+'
    cell = f'(?>"{rest_of_quoted}|(?!"){no_delimiter}*+)'
    return QuotePatterns(
        outside=re.compile(f"(?:{cell}(?:{any_delimiter}{cell})*+)?+"),
        inside=re.compile(f"{rest_of_quoted}(?:{any_delimiter}{cell})*+"),
    )


HEADER_QUOTES = compile_quote_patterns(CSV_DELIMITERS)

QUOTES_BY_DELIMITER = {delimiter: compile_quote_patterns(delimiter) for delimiter in CSV_DELIMITERS}


class CsvRecord(NamedTuple):
    """The text of one record, the number of the line that it begins in, and that of the line behind it."""

    text: str
    line: int
    next_line: int


async def _split_records(
    lines: AsyncIterator[str], quotes: QuotePatterns, first_line: int = 1
) -> AsyncIterator[CsvRecord]:
    """Yield the records that are not blank.

    They have line ends within quotes; each line is looked at once, for linear time.
    """
    parts, is_open, next_line = list[str](), False, first_line
    async for line in lines:
        next_line += 1
        if not parts and line in BLANK_LINES:
            continue
        parts.append(line)
        is_open = (is_open or '"' in line) and quotes.is_open_after(line, is_open)
        if not is_open:
            yield CsvRecord("".join(parts), next_line - len(parts), next_line)
            parts.clear()
    if parts:
        raise ConnectorError("the file ends within quotes", ErrorCode.SOURCE_INVALID)


async def parse_csv(lines: AsyncIterator[str], preferred_delimiter: str = ",") -> AsyncIterator[TextRow]:
    """Parse CSV by RFC 4180. The first record that is not blank names the columns.

    A cell that a record lacks is null; a record with cells past the last name is an error, unless they are empty.
    """
    header = await _read_header(lines, 1)
    declaration = None if header is None else DELIMITER_LINE.fullmatch(header.text)
    if header is not None and declaration is not None:
        header = await _read_header(lines, header.next_line)
    if header is None:
        return
    delimiter = detect_delimiter(header.text, preferred_delimiter) if declaration is None else declaration[1]
    names = rename_duplicates(_parse_cells(header, delimiter))
    empty_row = dict.fromkeys(names)
    async for record in _split_records(lines, QUOTES_BY_DELIMITER[delimiter], header.next_line):
        cells = _parse_cells(record, delimiter)
        if len(cells) > len(names) and any(cells[len(names) :]):
            raise _build_long_record_error(record, header)
        row = dict(zip(names, cells, strict=False))
        yield row if len(row) == len(names) else ChainMap(row, empty_row)  # copies no nulls into each row


async def _read_header(lines: AsyncIterator[str], first_line: int) -> CsvRecord | None:
    """Return the next record in which any cell has a value."""
    async for record in _split_records(lines, HEADER_QUOTES, first_line):
        if record.text.strip(BLANK):
            return record
    return None


def detect_delimiter(header: str, preferred_delimiter: str) -> str:
    """Return the delimiter that a header has most of, outside of quotes; a tab in a file of tabs is always one."""
    unquoted = re.sub(r'"[^"]*+"', "", header)
    if preferred_delimiter == "\t" and "\t" in unquoted:
        return "\t"
    return max(CSV_DELIMITERS, key=unquoted.count)


def _parse_cells(record: CsvRecord, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([record.text], delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        if "field limit" in str(error):
            raise ConnectorError(
                f"a cell of the file has more than {csv.field_size_limit():,} characters", ErrorCode.LIMIT_EXCEEDED
            ) from None
        raise ConnectorError("the file is no CSV", ErrorCode.SOURCE_INVALID) from None


def _build_long_record_error(record: CsvRecord, header: CsvRecord) -> ConnectorError:
    return ConnectorError(
        f"line {record.line} of the file has more cells than line {header.line} has names for", ErrorCode.SOURCE_INVALID
    )


async def parse_json_lines(lines: AsyncIterator[str]) -> AsyncIterator[TextRow]:
    """Parse each line that is not blank; one that is no object is the column `value` of its row."""
    async for line in lines:
        if not line.strip():
            continue
        row = parse_json_line(line)
        yield row if isinstance(row, dict) else {"value": row}


def parse_json_line(line: str) -> Any:
    """Parse JSON; a number that neither 64 bits nor a float hold exactly is a text. Raises ConnectorError."""
    try:
        value = orjson.loads(line)
        names = orjson.dumps(value).count(b'":')
        is_exact = names == len(MEMBER_NAME.findall(line)) and LONG_NUMBER.search(line) is None
        return value if is_exact else _parse_json_exactly(line)
    except orjson.JSONDecodeError:
        raise ConnectorError("a line of the file is no JSON", ErrorCode.SOURCE_INVALID) from None
    except (RecursionError, orjson.JSONEncodeError):
        raise build_nesting_error() from None


def _parse_json_exactly(line: str) -> Any:
    return json.loads(line, object_pairs_hook=_build_object, parse_int=_parse_integer, parse_float=_parse_exact_float)


def _build_object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ConnectorError("a line of the file has two members of one name", ErrorCode.SOURCE_INVALID)
    return members


def _parse_integer(text: str) -> int | str:
    number = int(text) if len(text) <= MAX_INTEGER_CHARACTERS else None
    return number if number is not None and MIN_INTEGER <= number <= MAX_INTEGER else text


def _parse_exact_float(text: str) -> float | str:
    number = float(text)
    return number if Decimal(text) == Decimal(repr(number)) else text


def build_nesting_error() -> ConnectorError:
    return ConnectorError("a line of the file is nested too deeply", ErrorCode.SOURCE_INVALID)


def _build_encoding_error() -> ConnectorError:
    return ConnectorError("the file is no text in UTF-8", ErrorCode.SOURCE_INVALID)
