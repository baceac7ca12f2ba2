"""Encode cells as CSV that a spreadsheet shows as it is: a text that it would compute is marked."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import orjson

FORMULA_STARTS = frozenset("=+-@\t\r\n＝＋－＠")
"""The characters that begin a formula in a spreadsheet; the wide ones are read as the narrow ones."""

FORMULA_MARK = "'"

MARKED_FORMULA = re.compile(f"{FORMULA_MARK}+[{re.escape(''.join(FORMULA_STARTS))}]")
"""A text that looks like a marked formula: it is marked once more, so that marks can be removed."""

NUL, VISIBLE_NUL = "\x00", "\u2400"


def mark_formula(text: str) -> str:
    """Put a mark before a text that a spreadsheet would compute; `unmark_formula` removes it."""
    if text[:1] in FORMULA_STARTS or (text[:1] == FORMULA_MARK and MARKED_FORMULA.match(text)):
        return FORMULA_MARK + text if text else text
    return text


def unmark_formula(cell: str) -> str:
    return cell[1:] if MARKED_FORMULA.match(cell) else cell


def format_cell(value: Any) -> Any:
    """Return the cell of any value that JSON can hold, money, a day or a time; null is an empty cell."""
    match value:
        case None | int() | float() | Decimal() if not isinstance(value, bool):
            return value
        case bool():
            return "true" if value else "false"
        case str():
            return mark_formula(value)
        case date() | datetime():
            return value.isoformat()
    return mark_formula(orjson.dumps(value, default=str, option=orjson.OPT_UTC_Z).decode())


def encode_csv(rows: Iterable[Sequence[Any]], line_end: str = "\r\n") -> bytes:
    """Encode rows of cells."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator=line_end).writerows(rows)
    text = buffer.getvalue()
    return (text.replace(NUL, VISIBLE_NUL) if NUL in text else text).encode()
