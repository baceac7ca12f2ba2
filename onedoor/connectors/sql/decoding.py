"""Decode the rows of a statement, and mark as flawed the values that their columns cannot hold."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from onedoor.connectors.sql.tables import SqlColumn, ValueConverter
from onedoor.spi.flaws import FLAWS, ConvertedColumn, convert_column, find_column_flaws, mark_flaws
from onedoor.spi.predicates import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedColumn:
    """One column of a result that is decoded, or may hold what its type cannot."""

    place: int
    name: str
    column: SqlColumn
    decode: ValueConverter | None

    def convert(self, values: Sequence[Any]) -> ConvertedColumn:
        if self.decode is not None:
            return convert_column(values, self.decode, FLAWS[self.column.type])
        flaws = dict(find_column_flaws(values, self.column.type))
        if self.column.doubtful_values:
            number_by_place = enumerate(values)
            flaws |= {
                number: FLAWS[self.column.type]
                for number, value in number_by_place
                if value in self.column.doubtful_values
            }
        return ConvertedColumn(values=values, flaws=flaws)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedRows:
    rows: list[Row]
    flawed_columns: frozenset[str] = frozenset()
    """The columns in which some row has a value that the column cannot hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowDecoder:
    """Decodes the rows of one statement."""

    columns: tuple[DecodedColumn, ...]
    """Those whose values do not enter as they are."""
    has_values: bool
    """Otherwise the request wants rows without any value."""

    def decode(self, rows: Sequence[Sequence[Any]]) -> DecodedRows:
        if not self.has_values:
            return DecodedRows(rows=[()] * len(rows))
        if not self.columns or not rows:
            # A slice is the fastest way from a record of asyncpg to a tuple; of a tuple it is the tuple itself.
            return DecodedRows(rows=[row[:] for row in rows])  # type: ignore[misc]
        columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
        flaws_by_place = {}
        for column in self.columns:
            converted = column.convert(columns[column.place])
            columns[column.place] = converted.values
            if converted.flaws:
                flaws_by_place[column.place] = converted.flaws
        decoded: list[Row] = list(zip(*columns, strict=True))
        if not flaws_by_place:
            return DecodedRows(rows=decoded)
        flawed_columns = frozenset(column.name for column in self.columns if column.place in flaws_by_place)
        return DecodedRows(rows=mark_flaws(decoded, flaws_by_place), flawed_columns=flawed_columns)
