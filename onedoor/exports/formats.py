"""CSV, JSON Lines, Parquet, Arrow."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from onedoor.exports.models import ExportColumn, ExportState, ExportStopped, Format
from onedoor.exports.writer import ColumnValues, build_objects, extract_columns

FORMULA_STARTS = frozenset("=+-@\t\r\n＝＋－＠")
"""What a cell that a spreadsheet computes begins with; the wide ones are read as the narrow ones."""

FORMULA_MARK = "'"

MARKED_FORMULA = re.compile(f"{FORMULA_MARK}+[{re.escape(''.join(FORMULA_STARTS))}]")
"""A text that looks as if it had been marked: marked once more, so that marks can be taken off."""

NUL, VISIBLE_NUL = "\x00", "\u2400"

NUMBER_SCALARS = frozenset({"Int", "Float", "BigInt", "Decimal"})

TIME_SCALARS = frozenset({"Date", "DateTime"})


class CsvWriter:
    """One part; `head`: whether it begins with the names of the columns."""

    def __init__(self, path: Path, columns: Sequence[ExportColumn], with_header: bool, format: Format) -> None:
        self.columns = columns
        self.file = path.open("wb")
        if with_header:
            self.file.write(encode_csv([[each.name] for each in columns]))

    def write(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """How many bytes the part has now."""
        cells = [
            _format_cells(each, of) for each, of in zip(extract_columns(rows, self.columns), self.columns, strict=True)
        ]
        self.file.write(encode_csv(cells))
        return self.file.tell()

    def close(self) -> None:
        self.file.close()


def encode_csv(cells: Sequence[ColumnValues]) -> bytes:
    """Columns as lines."""
    held = io.StringIO(newline="")
    csv.writer(held, lineterminator="\r\n").writerows(zip(*cells, strict=True))
    made = held.getvalue()
    return (made.replace(NUL, VISIBLE_NUL) if NUL in made else made).encode()


def mark_formula(value: str) -> str:
    """With a mark before it where a spreadsheet would compute it; `unmarked` takes it off."""
    if value[:1] in FORMULA_STARTS or (value[:1] == FORMULA_MARK and MARKED_FORMULA.match(value)):
        return FORMULA_MARK + value if value else value
    return value


def unmark_formula(cell: str) -> str:
    return cell[1:] if MARKED_FORMULA.match(cell) else cell


def _format_cells(column: ColumnValues, of: ExportColumn) -> ColumnValues:
    """Null is an empty cell, as is text without characters."""
    if of.many or of.inner or of.scalar == "JSON":
        return [None if each is None else mark_formula(_format_json_cell(each)) for each in column]
    if of.scalar in TIME_SCALARS:
        return _format_times(column)
    if of.scalar == "Boolean":
        return [None if each is None else "true" if each else "false" for each in column]
    if of.scalar in NUMBER_SCALARS or of.members:
        return column
    return [each if each is None else mark_formula(each) for each in column]


def _format_times(column: ColumnValues) -> ColumnValues:
    """All at once, as the door writes them in JSON; no time has a comma or a quote."""
    written = orjson.dumps(list(column), option=orjson.OPT_UTC_Z).decode()[1:-1]
    return [None if each == "null" else each for each in written.replace('"', "").split(",")] if column else []


def _format_json_cell(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_UTC_Z).decode()


encode_json_line = partial(orjson.dumps, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)


class JsonLinesWriter:
    """One part."""

    def __init__(self, path: Path, columns: Sequence[ExportColumn], with_header: bool, format: Format) -> None:
        self.columns = columns
        self.flat = all(len(each.path) == 1 and not each.inner for each in columns)
        self.keys = {each.name for each in columns}
        self.file = path.open("wb")

    def write(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """How many bytes the part has now."""
        alike = self.flat and all(each.keys() == self.keys for each in rows)
        self.file.write(b"".join(map(encode_json_line, rows if alike else build_objects(rows, self.columns))))
        return self.file.tell()

    def close(self) -> None:
        self.file.close()


GROUP_ROWS = 50_000

GROUP_BYTES = 16 * 2**20
"""What is held before it is written: whichever comes first."""

TEXT_TYPE = pa.string()

ARROW_TYPES: Mapping[str, pa.DataType] = {
    "Int": pa.int32(),
    "BigInt": pa.int64(),
    "Float": pa.float64(),
    "Boolean": pa.bool_(),
    "Decimal": pa.decimal128(38, 18),
    "Date": pa.date32(),
    "DateTime": pa.timestamp("us", tz="UTC"),
}
"""By scalar; all others are text."""

CAST_FROM_TEXT = frozenset({"BigInt", "Decimal"})
"""Shown as text by the door, which Arrow reads."""


class ArrowWriter:
    """One part."""

    def __init__(self, path: Path, columns: Sequence[ExportColumn], with_header: bool, format: Format) -> None:
        self.columns = columns
        self.schema = pa.schema([(each.name, map_arrow_type(each)) for each in columns])
        self.path = path
        made = pq.ParquetWriter(path, self.schema, compression="zstd") if format is Format.PARQUET else None
        self.file = made or pa.ipc.new_file(path, self.schema)
        self.held: list[Any] = []
        self.rows = 0

    def write(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """About how many bytes the part has now."""
        table = build_arrow_table(rows, self.columns, self.schema)
        self.held.append(table)
        self.rows += table.num_rows
        if self.rows >= GROUP_ROWS or sum(each.nbytes for each in self.held) >= GROUP_BYTES:
            self.flush()
        return self.path.stat().st_size + int(sum(each.nbytes for each in self.held))

    def flush(self) -> None:
        if self.held:
            self.file.write_table(pa.concat_tables(self.held).combine_chunks())
        self.held, self.rows = [], 0

    def close(self) -> None:
        self.flush()
        self.file.close()


def map_arrow_type(column: ExportColumn) -> pa.DataType:
    """The type of a column's values."""
    if column.inner:
        return pa.list_(pa.struct([(each.name, map_arrow_type(each)) for each in column.inner]))
    one = (
        pa.dictionary(pa.int32(), TEXT_TYPE)
        if column.members and not column.many
        else ARROW_TYPES.get(column.scalar, TEXT_TYPE)
    )
    return pa.list_(one) if column.many else one


def build_arrow_table(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[ExportColumn], schema: pa.Schema
) -> pa.Table:
    found = extract_columns(rows, columns)
    return pa.Table.from_arrays(
        [build_arrow_array(each, of) for each, of in zip(found, columns, strict=True)], schema=schema
    )


def build_arrow_array(values: ColumnValues, of: ExportColumn) -> pa.Array:
    """Raises Stopped (FAILED) for a value that its type cannot hold, rather than another value."""
    try:
        return _convert_values(values, of)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        message = (
            f"`{of.name}` has a value that its type in the file, {map_arrow_type(of)}, cannot hold: take CSV or JSONL"
        )
        raise ExportStopped(ExportState.FAILED, message) from None


def _convert_values(column: ColumnValues, of: ExportColumn) -> pa.Array:
    if of.inner:
        return _build_struct_array(column, of)
    if of.many:
        flat = _convert_values([each for held in column if held is not None for each in held], _build_item_column(of))
        return _build_list_array(column, flat.cast(map_arrow_type(of).value_type), map_arrow_type(of))
    if of.members:
        names = pa.array(of.members, TEXT_TYPE)
        return pa.DictionaryArray.from_arrays(pc.index_in(pa.array(column, TEXT_TYPE), value_set=names), names)
    if of.scalar == "JSON":
        return pa.array([None if each is None else orjson.dumps(each).decode() for each in column], TEXT_TYPE)
    wanted = map_arrow_type(of)
    text = of.scalar in CAST_FROM_TEXT or (
        pa.types.is_temporal(wanted) and any(isinstance(each, str) for each in column)
    )
    return pa.array(column, TEXT_TYPE).cast(wanted) if text else pa.array(column, wanted)


def _build_item_column(of: ExportColumn) -> ExportColumn:
    return ExportColumn(name=of.name, path=of.path, scalar=of.scalar)


def _build_struct_array(column: ColumnValues, of: ExportColumn) -> pa.Array:
    flat = [each for held in column if held is not None for each in held]
    arrays = [_convert_values([each[inner.name] for each in flat], inner) for inner in of.inner]
    fields = [pa.field(each.name, map_arrow_type(each)) for each in of.inner]
    return _build_list_array(column, pa.StructArray.from_arrays(arrays, fields=fields), map_arrow_type(of))


def _build_list_array(column: ColumnValues, flat: pa.Array, wanted: pa.DataType) -> pa.Array:
    """The lists of a column, of what is in all of them one after another."""
    ends, at = [0], 0
    for each in column:
        at += len(each) if each is not None else 0
        ends.append(at)
    starts = [None if held is None else start for held, start in zip(column, ends, strict=False)]
    offsets = pa.array([*starts, ends[-1]], pa.int32())
    return pa.ListArray.from_arrays(offsets, flat, type=wanted)
