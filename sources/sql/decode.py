"""Rows as a driver gives them in, rows as the words mean them out."""

from collections.abc import Iterable, Sequence
from typing import Any

from engine.errors import Code, SourceFailed
from engine.words import Ask, Row
from sources.sql.columns import Stock


def decoded(rows: Iterable[Sequence[Any]], ask: Ask, stock: Stock) -> list[Row]:
    """Only columns that need it are touched; of an ask without columns and measures, empty rows.

    Raises SourceFailed when a value is none that its column's kind can have.
    """
    if not ask.columns and not ask.measures:
        return [() for _ in rows]
    converts = [(at, stock.columns[each].decode) for at, each in enumerate(ask.columns)]
    needed = [(at, convert) for at, convert in converts if convert is not None]
    if not needed:
        return [tuple(row) for row in rows]
    try:
        return [_row(row, needed) for row in rows]
    except (ValueError, TypeError, ArithmeticError):
        raise unreadable() from None


def unreadable() -> SourceFailed:
    return SourceFailed("the database gave an answer that cannot be read", Code.SOURCE_INVALID)


def _row(row: Sequence[Any], needed: Sequence[tuple[int, Any]]) -> Row:
    values = list(row)
    for at, convert in needed:
        if values[at] is not None:
            values[at] = convert(values[at])
    return tuple(values)
