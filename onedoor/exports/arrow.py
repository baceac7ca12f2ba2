"""Write the parts of an export as Parquet or Arrow files, whose columns have the types of the schema."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from onedoor.exports.columns import ColumnValues, extract_columns
from onedoor.exports.models import ExportColumn, ExportState, ExportStopped

GROUP_ROWS = 50_000

GROUP_BYTES = 16 * 2**20
"""Rows are held until there are GROUP_ROWS or GROUP_BYTES of them, whichever comes first."""

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
"""By scalar; all other scalars are text."""

TEXT_SCALARS = frozenset({"BigInt", "Decimal"})
"""Scalars that replies hold as text and Arrow parses."""


class ArrowTableWriter(ABC):
    """Writes one part as a file of tables, which its subclasses open."""

    def __init__(self, path: Path, columns: Sequence[ExportColumn]) -> None:
        self._path, self._columns = path, columns
        self._schema = pa.schema([(column.name, map_arrow_type(column)) for column in columns])
        self._file = self._open(path, self._schema)
        self._tables: list[Any] = []

    @abstractmethod
    def _open(self, path: Path, schema: pa.Schema) -> Any: ...

    def write(self, rows: Sequence[Mapping[str, Any]]) -> int:
        self._tables.append(build_arrow_table(rows, self._columns, self._schema))
        held_rows, held_bytes = sum(table.num_rows for table in self._tables), self._count_held_bytes()
        if held_rows >= GROUP_ROWS or held_bytes >= GROUP_BYTES:
            self._flush()
        return self._path.stat().st_size + self._count_held_bytes()

    def close(self) -> None:
        self._flush()
        self._file.close()

    def _flush(self) -> None:
        if self._tables:
            self._file.write_table(pa.concat_tables(self._tables).combine_chunks())
            self._tables = []

    def _count_held_bytes(self) -> int:
        return int(sum(table.nbytes for table in self._tables))


class ParquetWriter(ArrowTableWriter):
    def _open(self, path: Path, schema: pa.Schema) -> Any:
        return pq.ParquetWriter(path, schema, compression="zstd")


class ArrowWriter(ArrowTableWriter):
    def _open(self, path: Path, schema: pa.Schema) -> Any:
        return pa.ipc.new_file(path, schema)


def map_arrow_type(column: ExportColumn) -> pa.DataType:
    if column.item_columns:
        return pa.list_(pa.struct([(item.name, map_arrow_type(item)) for item in column.item_columns]))
    if column.is_list:
        return pa.list_(ARROW_TYPES.get(column.scalar, TEXT_TYPE))
    if column.enum_members:
        return pa.dictionary(pa.int32(), TEXT_TYPE)
    return ARROW_TYPES.get(column.scalar, TEXT_TYPE)


def build_arrow_table(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[ExportColumn], schema: pa.Schema
) -> pa.Table:
    values_by_column = extract_columns(rows, columns)
    arrays = [build_arrow_array(values, column) for values, column in zip(values_by_column, columns, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def build_arrow_array(values: ColumnValues, column: ExportColumn) -> pa.Array:
    """Build the array of a column.

    Raises ExportStopped (FAILED) for a value that the column's type cannot hold, rather than alter the value.
    """
    try:
        return _convert_values(values, column)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        arrow_type = map_arrow_type(column)
        message = f"`{column.name}` has a value that its type in the file, {arrow_type}, cannot hold: take CSV or JSONL"
        raise ExportStopped(ExportState.FAILED, message) from None


def _convert_values(values: ColumnValues, column: ExportColumn) -> pa.Array:
    arrow_type = map_arrow_type(column)
    if column.item_columns:
        return _build_struct_array(values, column)
    if column.is_list:
        item_column = ExportColumn(name=column.name, path=column.path, scalar=column.scalar)
        items = _convert_values(_flatten(values), item_column)
        return _build_list_array(values, items.cast(arrow_type.value_type), arrow_type)
    if column.enum_members:
        members = pa.array(column.enum_members, TEXT_TYPE)
        return pa.DictionaryArray.from_arrays(pc.index_in(pa.array(values, TEXT_TYPE), value_set=members), members)
    if column.scalar == "JSON":
        return pa.array([None if value is None else orjson.dumps(value).decode() for value in values], TEXT_TYPE)
    has_text_times = pa.types.is_temporal(arrow_type) and any(isinstance(value, str) for value in values)
    if column.scalar in TEXT_SCALARS or has_text_times:
        return pa.array(values, TEXT_TYPE).cast(arrow_type)
    return pa.array(values, arrow_type)


def _build_struct_array(values: ColumnValues, column: ExportColumn) -> pa.Array:
    rows = _flatten(values)
    arrays = [_convert_values([row[item.name] for row in rows], item) for item in column.item_columns]
    fields = [pa.field(item.name, map_arrow_type(item)) for item in column.item_columns]
    return _build_list_array(values, pa.StructArray.from_arrays(arrays, fields=fields), map_arrow_type(column))


def _build_list_array(lists: ColumnValues, items: pa.Array, arrow_type: pa.DataType) -> pa.Array:
    """Build the array of `lists`, whose items stand one after another in `items`."""
    ends = [0]
    for values in lists:
        ends.append(ends[-1] + (0 if values is None else len(values)))
    starts = [None if values is None else start for values, start in zip(lists, ends, strict=False)]
    return pa.ListArray.from_arrays(pa.array([*starts, ends[-1]], pa.int32()), items, type=arrow_type)


def _flatten(lists: ColumnValues) -> list[Any]:
    return [item for values in lists if values is not None for item in values]
