"""Columns of values in, tables of Arrow out, typed as the schema says; written as Parquet, or as files of Arrow."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from exports.rows import Values, values
from exports.words import Column, Format, State, Stopped

GROUP_ROWS = 50_000
GROUP_BYTES = 16 * 2**20
"""What is held before it is written: whichever comes first."""
TEXT = pa.string()
TYPES: Mapping[str, pa.DataType] = {
    "Int": pa.int32(),
    "BigInt": pa.int64(),
    "Float": pa.float64(),
    "Boolean": pa.bool_(),
    "Decimal": pa.decimal128(38, 18),
    "Date": pa.date32(),
    "DateTime": pa.timestamp("us", tz="UTC"),
}
"""By scalar; all others are text."""
CAST = frozenset({"BigInt", "Decimal"})
"""Shown as text by the door, which Arrow reads."""


class Writer:
    """One part."""

    def __init__(self, path: Path, columns: Sequence[Column], head: bool, format: Format) -> None:
        self.columns = columns
        self.schema = pa.schema([(each.name, kind(each)) for each in columns])
        self.path = path
        made = pq.ParquetWriter(path, self.schema, compression="zstd") if format is Format.PARQUET else None
        self.file = made or pa.ipc.new_file(path, self.schema)
        self.held: list[Any] = []
        self.rows = 0

    def write(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """About how many bytes the part has now."""
        table = made(rows, self.columns, self.schema)
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


def kind(of: Column) -> pa.DataType:
    """The type of a column's values."""
    if of.inner:
        return pa.list_(pa.struct([(each.name, kind(each)) for each in of.inner]))
    one = pa.dictionary(pa.int32(), TEXT) if of.members and not of.many else TYPES.get(of.scalar, TEXT)
    return pa.list_(one) if of.many else one


def made(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column], schema: pa.Schema) -> pa.Table:
    found = values(rows, columns)
    return pa.Table.from_arrays([array(each, of) for each, of in zip(found, columns, strict=True)], schema=schema)


def array(column: Values, of: Column) -> pa.Array:
    """Raises Stopped (FAILED) for a value that its type cannot hold, rather than another value."""
    try:
        return _array(column, of)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        message = f"`{of.name}` has a value that its type in the file, {kind(of)}, cannot hold: take CSV or JSONL"
        raise Stopped(State.FAILED, message) from None


def _array(column: Values, of: Column) -> pa.Array:
    if of.inner:
        return _rows(column, of)
    if of.many:
        flat = _array([each for held in column if held is not None for each in held], _one(of))
        return _lists(column, flat.cast(kind(of).value_type), kind(of))
    if of.members:
        names = pa.array(of.members, TEXT)
        return pa.DictionaryArray.from_arrays(pc.index_in(pa.array(column, TEXT), value_set=names), names)
    if of.scalar == "JSON":
        return pa.array([None if each is None else orjson.dumps(each).decode() for each in column], TEXT)
    wanted = kind(of)
    text = of.scalar in CAST or (pa.types.is_temporal(wanted) and any(isinstance(each, str) for each in column))
    return pa.array(column, TEXT).cast(wanted) if text else pa.array(column, wanted)


def _one(of: Column) -> Column:
    return Column(name=of.name, path=of.path, scalar=of.scalar)


def _rows(column: Values, of: Column) -> pa.Array:
    flat = [each for held in column if held is not None for each in held]
    arrays = [_array([each[inner.name] for each in flat], inner) for inner in of.inner]
    fields = [pa.field(each.name, kind(each)) for each in of.inner]
    return _lists(column, pa.StructArray.from_arrays(arrays, fields=fields), kind(of))


def _lists(column: Values, flat: pa.Array, wanted: pa.DataType) -> pa.Array:
    """The lists of a column, of what is in all of them one after another."""
    ends, at = [0], 0
    for each in column:
        at += len(each) if each is not None else 0
        ends.append(at)
    starts = [None if held is None else start for held, start in zip(column, ends, strict=False)]
    offsets = pa.array([*starts, ends[-1]], pa.int32())
    return pa.ListArray.from_arrays(offsets, flat, type=wanted)
