"""Decode Parquet to rows of JSON, reading only the row groups and columns in question; runs in a reader process."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import chain, islice, repeat
from operator import length_hint
from typing import Any

import orjson
import pyarrow
from pyarrow import parquet, types

from onedoor.connectors.files.parquet_values import (
    ColumnConverter,
    Flaw,
    LeafColumn,
    build_column_converter,
    convert_int96,
)
from onedoor.connectors.files.reader_process import (
    MAX_FLAWS,
    DecodingFailed,
    DecodingFailure,
    Frame,
    FrameKind,
    RangeFile,
)
from onedoor.connectors.files.row_selection import CellComparison, RowSelection, parse_number, rename_duplicates

pyarrow.set_cpu_count(1)
pyarrow.set_io_thread_count(1)
pyarrow.set_memory_pool(pyarrow.system_memory_pool())

INT96 = "INT96"

MAX_NAMES, MAX_NAME_CHARACTERS = 10, 64
"""Columns that are named as having values of one kind that JSON cannot hold."""

MAX_BATCH_ROWS = 64

UNPACKED_MAX_BYTES = 100 * 2**20
"""Unpacked bytes of one row group, counting only the columns that are read."""

PLAIN_ENCODINGS = frozenset(
    {"PLAIN", "RLE", "BIT_PACKED", "DELTA_BINARY_PACKED", "DELTA_LENGTH_BYTE_ARRAY", "BYTE_STREAM_SPLIT"}
)
"""Encodings in which a value takes no more bytes unpacked than it takes in the file."""

FOOTER_LIMITS = {"thrift_string_size_limit": 10 * 2**20, "thrift_container_size_limit": 100_000}

STATISTICS_TESTS: Mapping[str, Callable[[int, int, Decimal], bool]] = {
    "eq": lambda least, most, value: least <= value <= most,
    "lt": lambda least, most, value: least < value,
    "lte": lambda least, most, value: least <= value,
    "gt": lambda least, most, value: most > value,
    "gte": lambda least, most, value: most >= value,
}
"""By operator, whether a number between the least and the greatest of a row group may pass."""

UNREADABLE = (pyarrow.ArrowException, OSError, ValueError, ArithmeticError, LookupError, TypeError, RecursionError)
"""What pyarrow and its values raise for a file that is not as it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetColumn:
    """A column of the table; `leaves` are the columns of the file that it consists of."""

    name: str
    file_name: str
    arrow_type: Any
    leaves: range
    is_int96: bool
    convert: ColumnConverter


@dataclass(frozen=True, slots=True, kw_only=True)
class ParquetTable:
    """A file that is open.

    `file` reads moments of 96 bits in microseconds, which hold any of them, and `precise_file`, if there are such
    moments, in nanoseconds, which overflow outside the years 1677 to 2262.
    """

    file: parquet.ParquetFile
    precise_file: parquet.ParquetFile | None
    columns: Sequence[ParquetColumn]
    """Those to be read, in the order of the file."""
    empty_columns: Mapping[str, Flaw]
    """Those of no columns of the file: groups without members, of which there is nothing to read."""
    column_names: Sequence[str] | None
    """What pyarrow is to read; None for all, as names that repeat or hold dots mean several."""


@dataclass(slots=True, kw_only=True)
class RowEncoder:
    """Encodes rows as JSON, and gathers what of them JSON cannot hold: by reason, the columns that have it."""

    columns_by_reason: dict[str, dict[str, None]] = field(default_factory=dict)

    def encode(self, row: Mapping[str, Any]) -> bytes:
        return orjson.dumps(row, default=self._note_flaw, option=orjson.OPT_PASSTHROUGH_DATACLASS)

    def _note_flaw(self, flaw: Flaw) -> None:
        self.columns_by_reason.setdefault(flaw.reason, {})[flaw.column] = None

    def describe_flaws(self) -> Iterator[str]:
        """Say what there is in which columns, such as "a number that is not finite (`share`)"."""
        for reason, columns in islice(self.columns_by_reason.items(), MAX_FLAWS):
            names = [f"`{name[:MAX_NAME_CHARACTERS]}`" for name in islice(columns, MAX_NAMES)]
            more = [f"and {len(columns) - MAX_NAMES} more"] if len(columns) > MAX_NAMES else []
            yield f"{reason} ({', '.join([*names, *more])})"


def decode_parquet(file: RangeFile, request: Mapping[str, Any]) -> Iterator[Frame]:
    """Yield the selected rows as JSON, then what of them JSON cannot hold.

    The request has the `size` of the file, the members of a RowSelection, and `max_bytes`, the most that the rows may
    take. Raises DecodingFailed.
    """
    comparisons = tuple(CellComparison(**comparison) for comparison in request["comparisons"])
    selection = RowSelection(
        max_rows=request["max_rows"], columns=as_tuple(request["columns"]), comparisons=comparisons
    )
    try:
        yield from _encode_rows(_select_rows(open_table(file, selection), selection), request["max_bytes"])
    except MemoryError:
        raise
    except UNREADABLE:
        raise DecodingFailed(DecodingFailure.UNREADABLE) from None


def as_tuple(names: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)


def _encode_rows(rows: Iterator[Mapping[str, Any]], max_bytes: int) -> Iterator[Frame]:
    encoder, size = RowEncoder(), 0
    for row in rows:
        content = encoder.encode(row)
        size += len(content)
        if size > max_bytes:
            raise DecodingFailed(DecodingFailure.ROWS_TOO_LARGE)
        yield Frame(FrameKind.ROW, content)
    yield from (Frame(FrameKind.FLAW, flaw.encode()) for flaw in encoder.describe_flaws())


def open_table(file: RangeFile, selection: RowSelection) -> ParquetTable:
    """Read the footer of a file."""
    source = pyarrow.PythonFile(file, mode="r")
    precise_file = table_file = parquet.ParquetFile(source, pre_buffer=False, **FOOTER_LIMITS)
    has_int96 = any(column.physical_type == INT96 for column in list_file_columns(precise_file))
    if has_int96:
        table_file = parquet.ParquetFile(
            source, metadata=precise_file.metadata, pre_buffer=False, coerce_int96_timestamp_unit="us"
        )
    all_columns = tuple(_list_columns(table_file))
    needed_columns = [column for column in all_columns if selection.needs_column(column.name)]
    columns = [column for column in needed_columns if column.leaves]
    file_names = [column.file_name for column in all_columns]
    are_plain = len(set(file_names)) == len(file_names) and not any("." in name for name in file_names)
    return ParquetTable(
        file=table_file,
        precise_file=precise_file if any(column.is_int96 for column in columns) else None,
        columns=columns if are_plain else [column for column in all_columns if column.leaves],
        empty_columns={
            column.name: Flaw(column=column.name, reason="a group without members")
            for column in needed_columns
            if not column.leaves
        },
        column_names=[column.file_name for column in columns] if are_plain else None,
    )


def list_file_columns(file: parquet.ParquetFile) -> list[Any]:
    return [file.schema.column(index) for index in range(len(file.schema))]


def _list_columns(file: parquet.ParquetFile) -> Iterator[ParquetColumn]:
    file_columns = list_file_columns(file)
    leaves = iter([LeafColumn(logical_type=find_logical_type(column)) for column in file_columns])
    fields = list(file.schema_arrow)
    for name, arrow_field in zip(rename_duplicates([arrow_field.name for arrow_field in fields]), fields, strict=True):
        first = len(file_columns) - length_hint(leaves)
        convert = build_column_converter(name, arrow_field.type, leaves)
        own_leaves = range(first, len(file_columns) - length_hint(leaves))
        is_int96 = any(file_columns[leaf].physical_type == INT96 for leaf in own_leaves)
        yield ParquetColumn(
            name=name,
            file_name=arrow_field.name,
            arrow_type=arrow_field.type,
            leaves=own_leaves,
            is_int96=is_int96 and types.is_timestamp(arrow_field.type),
            convert=convert,
        )


def find_logical_type(column: Any) -> str:
    """Return the logical type of a column of the file; that of an interval is an old, converted one."""
    logical_type: str = column.logical_type.type
    return "INTERVAL" if column.converted_type == "INTERVAL" else logical_type


def _select_rows(table: ParquetTable, selection: RowSelection) -> Iterator[Mapping[str, Any]]:
    rows = chain.from_iterable(
        _read_row_group(table, index, selection) for index in range(table.file.metadata.num_row_groups)
    )
    return islice(map(selection.project, rows), selection.max_rows)


def _read_row_group(table: ParquetTable, index: int, selection: RowSelection) -> Iterator[Mapping[str, Any]]:
    """Yield the rows that pass."""
    group = table.file.metadata.row_group(index)
    chunks = {leaf: group.column(leaf) for column in table.columns for leaf in column.leaves}
    if _may_skip_row_group(table, chunks, selection):
        return
    if sum(chunk.total_uncompressed_size for chunk in chunks.values()) > UNPACKED_MAX_BYTES:
        raise DecodingFailed(DecodingFailure.UNPACKED_TOO_LARGE)
    if not table.columns:
        yield from (table.empty_columns for _ in range(group.num_rows if selection.matches({}) else 0))
        return
    row_count = 0
    for columns in _read_batches(table, index, choose_batch_rows(list(chunks.values()))):
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        has_flaws = any(Flaw in set(map(type, values)) for values in columns.values())
        row_count += len(rows)
        yield from (row for row in rows if selection.matches(_without_flaws(row) if has_flaws else row))
    if row_count != group.num_rows:
        raise DecodingFailed(DecodingFailure.UNREADABLE)


def _read_batches(table: ParquetTable, index: int, batch_rows: int) -> Iterator[Mapping[str, list[Any]]]:
    """Yield the values of a few rows at a time, by column."""
    batches = _iterate_batches(table, table.file, index, batch_rows)
    precise_batches: Iterator[Any] = repeat(None)
    if table.precise_file is not None:
        precise_batches = _iterate_batches(table, table.precise_file, index, batch_rows)
    for batch, precise_batch in zip(batches, precise_batches, strict=False):
        values = {
            column.name: convert_int96(column.name, precise_batch.column(position), batch.column(position))
            if column.is_int96
            else column.convert(batch.column(position))
            for position, column in enumerate(table.columns)
        }
        yield values | {name: [flaw] * batch.num_rows for name, flaw in table.empty_columns.items()}


def _iterate_batches(table: ParquetTable, file: parquet.ParquetFile, index: int, batch_rows: int) -> Iterator[Any]:
    batches: Iterator[Any] = file.iter_batches(
        batch_rows, row_groups=[index], columns=table.column_names, use_threads=False
    )
    return batches


def _without_flaws(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the row as it is shown: null for what JSON cannot hold."""
    return {name: None if isinstance(value, Flaw) else value for name, value in row.items()}


def choose_batch_rows(chunks: Sequence[Any]) -> int:
    """Return how many rows unpack to no more than the limit.

    In an encoding that refers to earlier values, any single row may unpack to the whole chunk.
    """
    referring: int = sum(
        chunk.total_uncompressed_size for chunk in chunks if not PLAIN_ENCODINGS.issuperset(chunk.encodings)
    )
    return max(1, min(MAX_BATCH_ROWS, UNPACKED_MAX_BYTES // max(referring, 1)))


def _may_skip_row_group(table: ParquetTable, chunks: Mapping[int, Any], selection: RowSelection) -> bool:
    """Return whether the statistics of a row group, which count only for integers, show that none of its rows pass."""
    columns = {column.name: column for column in table.columns if types.is_integer(column.arrow_type)}
    for comparison in selection.comparisons:
        column = columns.get(comparison.column)
        value = parse_number(comparison.value) if comparison.op in STATISTICS_TESTS else None
        if column is None or value is None:
            continue
        statistics = chunks[column.leaves.start].statistics
        if statistics is None or not statistics.has_min_max:
            continue
        if not STATISTICS_TESTS[comparison.op](statistics.min, statistics.max, value):
            return True
    return False
