"""Check rows as they enter: a value that its column's type cannot have becomes null, and the row says so."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any

from onedoor.spi.capabilities import ColumnType
from onedoor.spi.predicates import Row
from onedoor.spi.text_types import RankedText

Flaws = Mapping[int, str]
"""By place in a row: what stands there in the source, as "a value that is no whole number"."""


class FlawedRow(tuple[Any, ...]):
    """A row with values that its columns cannot hold: null in it, so that every step takes them for null.

    A value that is looked up may be null in part alone, such as in one column of the rows of a file. The row compares
    and hashes as the tuple that it is. Whoever shows one of these nulls records the error.
    """

    flaws: Flaws

    def __new__(cls, values: Iterable[Any], flaws: Flaws) -> "FlawedRow":
        row = super().__new__(cls, values)
        row.flaws = flaws
        return row

    def __add__(self, other: tuple[Any, ...]) -> "FlawedRow":
        """Append the values of a joined row."""
        return FlawedRow(super().__add__(other), self.flaws)


def select_flaws(row: FlawedRow, selected: Row, places: Sequence[int]) -> Row:
    """Return the values that were selected from a row, flawed where they are. `places`: where they stood in it."""
    flaws = {number: row.flaws[place] for number, place in enumerate(places) if place in row.flaws}
    return FlawedRow(selected, flaws) if flaws else selected


def mark_flaws(rows: Sequence[Row], flaws_by_place: Mapping[int, Mapping[int, str]]) -> list[Row]:
    """Return the rows with nulls in their flawed places. `flaws_by_place`: by place, then by number of the row."""
    marked = list(rows)
    flaws_by_row: dict[int, dict[int, str]] = {}
    for place, flaws in flaws_by_place.items():
        for number, flaw in flaws.items():
            flaws_by_row.setdefault(number, {})[place] = flaw
    for number, row_flaws in flaws_by_row.items():
        values = (None if place in row_flaws else value for place, value in enumerate(rows[number]))
        marked[number] = FlawedRow(values, row_flaws)
    return marked


NULL_TYPE = type(None)

PYTHON_TYPES: Mapping[ColumnType, frozenset[type]] = {
    ColumnType.TEXT: frozenset({str, RankedText, NULL_TYPE}),
    ColumnType.INTEGER: frozenset({int, NULL_TYPE}),
    ColumnType.FLOAT: frozenset({float, NULL_TYPE}),
    ColumnType.DECIMAL: frozenset({Decimal, NULL_TYPE}),
    ColumnType.BOOLEAN: frozenset({bool, NULL_TYPE}),
    ColumnType.DATE: frozenset({date, NULL_TYPE}),
    ColumnType.TIME: frozenset({datetime, NULL_TYPE}),
    ColumnType.LIST: frozenset({tuple, list, NULL_TYPE}),
}

FLAWS: Mapping[ColumnType, str] = {
    ColumnType.TEXT: "a value that is no text",
    ColumnType.INTEGER: "a value that is no whole number",
    ColumnType.FLOAT: "a value that is no finite number",
    ColumnType.DECIMAL: "a value that is no decimal number",
    ColumnType.BOOLEAN: "a value that is neither true nor false",
    ColumnType.DATE: "a value that is no day",
    ColumnType.TIME: "a value that is no moment with a zone",
    ColumnType.LIST: "a value that is no list",
}
"""What an error says of a value that its column cannot hold; never the value itself."""


MAX_DIGITS = 132_000
"""More than the decimals of any database have before their point; a short text such as 1e999999999 may claim any."""


def _are_in_utc(values: Sequence[Any]) -> bool:
    return {UTC}.issuperset(map(attrgetter("tzinfo"), values))


ARE_ALL_VALID: Mapping[ColumnType, Callable[[Sequence[Any]], bool]] = {
    ColumnType.FLOAT: lambda values: all(map(math.isfinite, values)),
    ColumnType.DECIMAL: lambda values: (
        all(map(Decimal.is_finite, values))
        and (not values or (max(places := [*map(Decimal.adjusted, values)]) < MAX_DIGITS and min(places) > -MAX_DIGITS))
    ),
    ColumnType.TIME: _are_in_utc,
}
"""What the Python type of values that are not null leaves open; False means `is_valid_value` decides on each."""

IS_VALID: Mapping[ColumnType, Callable[[Any], bool]] = {
    ColumnType.FLOAT: math.isfinite,
    ColumnType.DECIMAL: lambda value: value.is_finite() and abs(value.adjusted()) < MAX_DIGITS,
    ColumnType.TIME: lambda value: value.tzinfo is not None,
}


def is_valid_value(value: Any, column_type: ColumnType) -> bool:
    """Return whether a column of this type can hold the value; null it can."""
    if type(value) not in PYTHON_TYPES[column_type]:
        return False
    return value is None or column_type not in IS_VALID or IS_VALID[column_type](value)


def find_column_flaws(values: Sequence[Any], column_type: ColumnType) -> Mapping[int, str]:
    """Return the flaws of one column by number of the row; checks all values at once where they are as they should."""
    types = set(map(type, values))
    if types <= PYTHON_TYPES[column_type]:
        are_valid = ARE_ALL_VALID.get(column_type)
        if are_valid is None:
            return {}
        if are_valid(values if NULL_TYPE not in types else [value for value in values if value is not None]):
            return {}
    flaw = FLAWS[column_type]
    return {number: flaw for number, value in enumerate(values) if not is_valid_value(value, column_type)}


def check_rows(rows: Sequence[Row], column_types: Sequence[ColumnType]) -> Sequence[Row]:
    """Return the rows, with nulls in place of the values that their columns cannot hold."""
    if not rows or not column_types:
        return rows
    flaws_by_place = {
        place: flaws
        for place, (values, column_type) in enumerate(zip(zip(*rows, strict=True), column_types, strict=True))
        if (flaws := find_column_flaws(values, column_type))
    }
    return _keep_known_flaws(rows, flaws_by_place) if flaws_by_place else rows


def _keep_known_flaws(rows: Sequence[Row], flaws_by_place: Mapping[int, Mapping[int, str]]) -> Sequence[Row]:
    known: dict[int, dict[int, str]] = {place: dict(flaws) for place, flaws in flaws_by_place.items()}
    for number, row in enumerate(rows):
        if isinstance(row, FlawedRow):
            for place, flaw in row.flaws.items():
                known.setdefault(place, {})[number] = flaw
    return mark_flaws(rows, known)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertedColumn:
    """The values of one column, and what the source has in place of those that it cannot hold, by number of the row."""

    values: Sequence[Any]
    flaws: Mapping[int, str] = field(default_factory=dict)


def convert_column(values: Sequence[Any], convert: Callable[[Any], Any], flaw: str) -> ConvertedColumn:
    """Convert the values that are not null; null in place of those that `convert` refuses."""
    with suppress(TypeError, ValueError, ArithmeticError):
        return ConvertedColumn(values=[None if value is None else convert(value) for value in values])
    converted: list[Any] = []
    flaws: dict[int, str] = {}
    for number, value in enumerate(values):
        try:
            converted.append(None if value is None else convert(value))
        except (TypeError, ValueError, ArithmeticError):
            converted.append(None)
            flaws[number] = flaw
    return ConvertedColumn(values=converted, flaws=flaws)
