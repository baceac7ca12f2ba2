"""Columns of values in, CSV out: RFC 4180, UTF-8, and no cell that a spreadsheet would take for a formula."""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from exports.rows import Values, values
from exports.words import Column, Format

FORMULA = frozenset("=+-@\t\r\n＝＋－＠")
"""What a cell that a spreadsheet computes begins with; the wide ones are read as the narrow ones."""
MARK = "'"
AGAIN = re.compile(f"{MARK}+[{re.escape(''.join(FORMULA))}]")
"""A text that looks as if it had been marked: marked once more, so that marks can be taken off."""
NUL, SHOWN_NUL = "\x00", "\u2400"
NUMBERS = frozenset({"Int", "Float", "BigInt", "Decimal"})
TIMES = frozenset({"Date", "DateTime"})


class Writer:
    """One part; `head`: whether it begins with the names of the columns."""

    def __init__(self, path: Path, columns: Sequence[Column], head: bool, format: Format) -> None:
        self.columns = columns
        self.file = path.open("wb")
        if head:
            self.file.write(text([[each.name] for each in columns]))

    def write(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """How many bytes the part has now."""
        cells = [_cells(each, of) for each, of in zip(values(rows, self.columns), self.columns, strict=True)]
        self.file.write(text(cells))
        return self.file.tell()

    def close(self) -> None:
        self.file.close()


def text(cells: Sequence[Values]) -> bytes:
    """Columns as lines."""
    held = io.StringIO(newline="")
    csv.writer(held, lineterminator="\r\n").writerows(zip(*cells, strict=True))
    made = held.getvalue()
    return (made.replace(NUL, SHOWN_NUL) if NUL in made else made).encode()


def marked(value: str) -> str:
    """With a mark before it where a spreadsheet would compute it; `unmarked` takes it off."""
    if value[:1] in FORMULA or (value[:1] == MARK and AGAIN.match(value)):
        return MARK + value if value else value
    return value


def unmarked(cell: str) -> str:
    return cell[1:] if AGAIN.match(cell) else cell


def _cells(column: Values, of: Column) -> Values:
    """Null is an empty cell, as is text without characters."""
    if of.many or of.inner or of.scalar == "JSON":
        return [None if each is None else marked(_json(each)) for each in column]
    if of.scalar in TIMES:
        return _times(column)
    if of.scalar == "Boolean":
        return [None if each is None else "true" if each else "false" for each in column]
    if of.scalar in NUMBERS or of.members:
        return column
    return [each if each is None else marked(each) for each in column]


def _times(column: Values) -> Values:
    """All at once, as the door writes them in JSON; no time has a comma or a quote."""
    written = orjson.dumps(list(column), option=orjson.OPT_UTC_Z).decode()[1:-1]
    return [None if each == "null" else each for each in written.replace('"', "").split(",")] if column else []


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_UTC_Z).decode()
