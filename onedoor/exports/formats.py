"""Write the parts of an export as CSV or JSON Lines."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from onedoor.exports.columns import ColumnValues, build_objects, extract_columns
from onedoor.exports.models import ExportColumn

FORMULA_STARTS = frozenset("=+-@\t\r\n＝＋－＠")
"""The characters that begin a formula in a spreadsheet; the wide ones are read as the narrow ones."""

FORMULA_MARK = "'"

MARKED_FORMULA = re.compile(f"{FORMULA_MARK}+[{re.escape(''.join(FORMULA_STARTS))}]")
"""A text that looks like a marked formula: it is marked once more, so that marks can be removed."""

NUL, VISIBLE_NUL = "\x00", "\u2400"

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
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\r\n").writerows(zip(*cells_by_column, strict=True))
    text = buffer.getvalue()
    return (text.replace(NUL, VISIBLE_NUL) if NUL in text else text).encode()


def mark_formula(text: str) -> str:
    """Put a mark before a text that a spreadsheet would compute; `unmark_formula` removes it."""
    if text[:1] in FORMULA_STARTS or (text[:1] == FORMULA_MARK and MARKED_FORMULA.match(text)):
        return FORMULA_MARK + text if text else text
    return text


def unmark_formula(cell: str) -> str:
    return cell[1:] if MARKED_FORMULA.match(cell) else cell


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
