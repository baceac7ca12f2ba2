"""Model the tables of a Snowflake schema: their columns, what each can be asked, and which values it can hold."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Context, Decimal
from typing import Any

from onedoor.connectors.sql.tables import (
    COUNT_FUNCTIONS,
    EQUALITY_OPS,
    EXTREME_FUNCTIONS,
    LESS_THAN_OPS,
    ORDERED_OPS,
    TEXT_OPS,
    build_table_capabilities,
    floor_bound,
)
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.predicates import Comparison, Op, Row
from onedoor.spi.scan import AggregateFunction

COLUMNS_SQL = (
    "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, NUMERIC_PRECISION, NUMERIC_SCALE FROM INFORMATION_SCHEMA.COLUMNS "
    "WHERE TABLE_SCHEMA = ? ORDER BY TABLE_NAME, ORDINAL_POSITION"
)

ROW_COUNTS_SQL = "SELECT TABLE_NAME, ROW_COUNT FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = ?"

MARKER_TABLE_NAME = "ONEDOOR_CHANGE"
"""The table that stores the outcome of each change; it is no collection."""

MAX_KEYS = 1000

MAX_IN_FILTER_KEYS = 10_000

MAX_PRECISION = 38
"""Digits of a NUMBER, and of a sum: Snowflake fails on more, and never rounds."""

EPOCH_TYPE = "EPOCH"
"""The type of a time that was read as microseconds since 1970; no table has it."""

EXACT_CONTEXT = Context(prec=1000)

SNOWFLAKE_COLUMN_TYPES = {
    "TEXT": ColumnType.TEXT,
    "BOOLEAN": ColumnType.BOOLEAN,
    "DATE": ColumnType.DATE,
    "FLOAT": ColumnType.FLOAT,
    "TIMESTAMP_TZ": ColumnType.TIME,
    "TIMESTAMP_LTZ": ColumnType.TIME,
    "TIMESTAMP_NTZ": ColumnType.TIME,
}

AGGREGATES_BY_TYPE = {
    ColumnType.BOOLEAN: COUNT_FUNCTIONS,
    ColumnType.INTEGER: EXTREME_FUNCTIONS | {AggregateFunction.SUM},
    ColumnType.DECIMAL: EXTREME_FUNCTIONS | {AggregateFunction.SUM},
}
"""EXTREME_FUNCTIONS for the other types. No sum of floats: it depends on the order of the rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnowflakeColumn:
    """A column as Snowflake has it; `precision` and `scale` are decimal digits of a NUMBER, 0 for other types."""

    name: str
    type: ColumnType
    data_type: str
    precision: int = 0
    scale: int = 0

    @property
    def exclusive_limit(self) -> int:
        return int(10 ** (self.precision - self.scale))

    def can_store(self, value: Any) -> bool:
        """Return whether some row could hold exactly this value."""
        if self.type is ColumnType.TEXT:
            return find_lone_surrogate(value) == len(str(value))
        if self.type not in (ColumnType.INTEGER, ColumnType.DECIMAL):
            return True
        return bool(self.floor_to_scale(value) == value and abs(value) < self.exclusive_limit)

    def resolve_bound(self, comparison: Comparison) -> Comparison | bool:
        """Replace a bound that no row can hold by one that divides the rows in the same way."""
        if self.type is ColumnType.TEXT:
            # No stored text lies between the first lone surrogate and U+E000.
            bound = comparison.value[: find_lone_surrogate(comparison.value)] + "\ue000"
            return Comparison(comparison.column, Op.LT if comparison.op in LESS_THAN_OPS else Op.GTE, bound)
        if abs(comparison.value) >= self.exclusive_limit:
            return bool(comparison.value > 0) == (comparison.op in LESS_THAN_OPS)
        return floor_bound(comparison, self.floor_to_scale(comparison.value))

    def floor_to_scale(self, value: int | Decimal) -> Decimal:
        return Decimal(value).quantize(Decimal(1).scaleb(-self.scale), ROUND_FLOOR, context=EXACT_CONTEXT)


def find_lone_surrogate(text: str) -> int:
    """Return the place of the first lone surrogate, or the length of the text if there is none."""
    return next((place for place, letter in enumerate(text) if "\ud800" <= letter <= "\udfff"), len(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class SnowflakeTable:
    """A table or view under its real name, with its columns by lower-case name."""

    name: str
    columns: Mapping[str, SnowflakeColumn]
    capabilities: Capabilities


def build_snowflake_tables(columns: Iterable[Row], row_counts: Iterable[Row] = ()) -> Mapping[str, SnowflakeTable]:
    """Build the tables by lower-case name from the rows of COLUMNS_SQL and ROW_COUNTS_SQL.

    A column of a type that no ColumnType can hold is left out.
    """
    row_count_by_table = {name: None if count is None else int(count) for name, count in row_counts}
    columns_by_table: dict[str, dict[str, SnowflakeColumn]] = {}
    for table, *facts in (row for row in columns if row[0] != MARKER_TABLE_NAME):
        table_columns = columns_by_table.setdefault(table, {})
        if (column := parse_snowflake_column(*facts)) is not None:
            table_columns[column.name.lower()] = column
    return {
        name.lower(): SnowflakeTable(
            name=name,
            columns=table_columns,
            capabilities=build_table_capabilities(
                {column: _build_column_capabilities(stored) for column, stored in table_columns.items()},
                max_keys=MAX_KEYS,
                max_in_filter_keys=MAX_IN_FILTER_KEYS,
                row_count=row_count_by_table.get(name),
            ),
        )
        for name, table_columns in columns_by_table.items()
    }


def parse_snowflake_column(
    name: str, data_type: str, precision: int | None, scale: int | None
) -> SnowflakeColumn | None:
    if data_type == "NUMBER":
        column_type = ColumnType.DECIMAL if scale else ColumnType.INTEGER
        return SnowflakeColumn(
            name=name, type=column_type, data_type=data_type, precision=precision or MAX_PRECISION, scale=scale or 0
        )
    if data_type not in SNOWFLAKE_COLUMN_TYPES:
        return None
    return SnowflakeColumn(name=name, type=SNOWFLAKE_COLUMN_TYPES[data_type], data_type=data_type)


def _build_column_capabilities(column: SnowflakeColumn) -> Column:
    aggregates = AGGREGATES_BY_TYPE.get(column.type, EXTREME_FUNCTIONS)
    return Column(column.type, list_snowflake_operators(column.type), True, aggregates)


def list_snowflake_operators(column_type: ColumnType) -> frozenset[Op]:
    """List what Snowflake compares as the SPI says; not the operators that ignore case: its LOWER is not Python's."""
    if column_type is ColumnType.TEXT:
        return TEXT_OPS
    return EQUALITY_OPS if column_type is ColumnType.BOOLEAN else ORDERED_OPS
