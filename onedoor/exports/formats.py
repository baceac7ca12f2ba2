"""Write the parts of an export as CSV or JSON Lines."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from onedoor.exports.columns import ColumnValues, build_objects, extract_columns
from onedoor.exports.models import ExportColumn
from onedoor.spi import csv_cells
from onedoor.spi.csv_cells import FORMULA_STARTS, mark_formula, unmark_formula

__all__ = [
    "FORMULA_STARTS",
    "CsvWriter",
    "JsonLinesWriter",
    "encode_csv",
    "encode_json",
    "format_cells",
    "mark_formula",
    "unmark_formula",
]

NUMBER_SCALARS = frozenset({"Int", "Float", "BigInt", "Decimal"})

TIME_SCALARS = frozenset({"Date", "DateTime"})

encode_json = partial(orjson.dumps, option=orjson.OPT_UTC_Z)

encode_json_line = partial(orjson.dumps, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)


class CsvWriter:
    """Writes one part as CSV; with a header, its first line holds the names of the columns."""

    def __init__(self, path: Path, columns: Sequence[ExportColumn], with_header: bool) -> None:
        self._columns = columns
        self._file = path.open("wb")
        if with_header:
            self._file.write(encode_csv([[column.name] for column in columns]))

    def write(self, rows: Sequence[Mapping[str, Any]]) -> int:
        values_by_column = extract_columns(rows, self._columns)
        cells = [format_cells(values, column) for values, column in zip(values_by_column, self._columns, strict=True)]
        self._file.write(encode_csv(cells))
        return self._file.tell()

    def close(self) -> None:
        self._file.close()


class JsonLinesWriter:
    """Writes one part as JSON Lines: one object a row, by name of the column."""

    def __init__(self, path: Path, columns: Sequence[ExportColumn]) -> None:
        self._columns = columns
        self._is_flat = all(len(column.path) == 1 and not column.item_columns for column in columns)
        self._keys = {column.name for column in columns}
        self._file = path.open("wb")

    def write(self, rows: Sequence[Mapping[str, Any]]) -> int:
        as_they_are = self._is_flat and all(row.keys() == self._keys for row in rows)
        objects = rows if as_they_are else build_objects(rows, self._columns)
        self._file.write(b"".join(map(encode_json_line, objects)))
        return self._file.tell()

    def close(self) -> None:
        self._file.close()


def encode_csv(cells_by_column: Sequence[ColumnValues]) -> bytes:
    """Encode rows, given by column."""
    return csv_cells.encode_csv(zip(*cells_by_column, strict=True))


def format_cells(values: ColumnValues, column: ExportColumn) -> ColumnValues:
    """Return the cells of a column; null is an empty cell, and so is an empty text."""
    if column.is_list or column.item_columns or column.scalar == "JSON":
        return [None if value is None else mark_formula(encode_json(value).decode()) for value in values]
    if column.scalar in TIME_SCALARS:
        return _format_times(values)
    if column.scalar == "Boolean":
        return [None if value is None else "true" if value else "false" for value in values]
    if column.scalar in NUMBER_SCALARS or column.enum_members:
        return values
    return [value if value is None else mark_formula(value) for value in values]


def _format_times(values: ColumnValues) -> ColumnValues:
    """Format all times in one call as JSON replies have them; no time holds a comma or a quote."""
    if not values:
        return []
    texts = encode_json(list(values)).decode()[1:-1].replace('"', "").split(",")
    return [None if text == "null" else text for text in texts]
