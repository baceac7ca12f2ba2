"""Model the tables of a Snowflake schema: their columns, what each can be asked, and which values it can hold."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Context, Decimal
from typing import Any

from sqlalchemy import FromClause, column, quoted_name, table
from sqlalchemy.types import DECIMAL, NULLTYPE

from onedoor.connectors.snowflake.dialect import (
    DAY_READ,
    MAX_PRECISION,
    SNOWFLAKE_DECODERS,
    SNOWFLAKE_ENCODERS,
    SNOWFLAKE_VALIDITY,
    StoredTime,
    compile_code_points,
)
from onedoor.connectors.sql.tables import (
    AGGREGATES_BY_TYPE,
    EQUALITY_OPS,
    LESS_THAN_OPS,
    ORDERED_OPS,
    TEXT_OPS,
    SqlColumn,
    SqlTable,
    build_table_capabilities,
    floor_bound,
)
from onedoor.spi.capabilities import Column, ColumnType
from onedoor.spi.predicates import Comparison, Op, Row

COLUMNS_SQL = (
    "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, NUMERIC_PRECISION, NUMERIC_SCALE, COLLATION_NAME "
    "FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA = ? ORDER BY TABLE_NAME, ORDINAL_POSITION"
)

ROW_COUNTS_SQL = "SELECT TABLE_NAME, ROW_COUNT FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = ?"

MARKER_TABLE_NAME = "ONEDOOR_CHANGE"
"""The table that stores the outcome of each change; it is no collection."""

MAX_KEYS = 1000

MAX_IN_FILTER_KEYS = 10_000

CODE_POINT_COLLATIONS = frozenset({None, "", "utf8", "bin"})

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


@dataclass(frozen=True, slots=True, kw_only=True)
class SnowflakeColumn(SqlColumn):
    """A column as Snowflake has it: a NUMBER holds so many digits, and a text anything but lone surrogates."""

    precision: int = 0
    """The decimal digits of a NUMBER, on both sides of its point; 0 for other types."""

    def can_store(self, value: Any) -> bool:
        """Return whether some row could hold exactly this value."""
        if self.type is ColumnType.TEXT:
            return self.can_store_part(value)
        if self.type not in (ColumnType.INTEGER, ColumnType.DECIMAL):
            return True
        return bool(self.floor_to_scale(value) == value and abs(value) < self.exclusive_limit)

    def can_store_part(self, part: str) -> bool:
        return find_lone_surrogate(part) == len(part)

    def can_store_all(self, values: Sequence[Any]) -> bool:
        """Return True only if that is cheap to see for all values at once; False means `can_store` decides on each."""
        match self.type:
            case ColumnType.INTEGER:
                return not values or bool(-self.exclusive_limit < min(values) and max(values) < self.exclusive_limit)
            case ColumnType.TEXT:
                return "".join(values).isascii()
        return self.type is not ColumnType.DECIMAL

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
class SnowflakeTable(SqlTable):
    """A table or view under its real name, in the schema of the session; columns by lower-case name."""

    columns: Mapping[str, SnowflakeColumn]

    def build_from_clause(self, alias: str) -> FromClause:
        columns = (column(quote(stored.name), get_sqlalchemy_type(stored)) for stored in self.columns.values())
        return table(quote(self.name), *columns).alias(alias)


def get_sqlalchemy_type(stored: SqlColumn) -> Any:
    """Return the type of a decimal, whose places its sum keeps; the others need none."""
    return DECIMAL(MAX_PRECISION, stored.scale) if stored.type is ColumnType.DECIMAL else NULLTYPE


def quote(name: str) -> quoted_name:
    """Have a name written as it is, in double quotes: without them Snowflake reads it in capitals."""
    return quoted_name(name, True)


def build_snowflake_tables(
    columns: Iterable[Row], row_counts: Iterable[Row] = (), schema: str | None = None
) -> Mapping[str, SnowflakeTable]:
    """Build the tables by lower-case name from the rows of COLUMNS_SQL and ROW_COUNTS_SQL.

    A column of a type that no ColumnType can hold is left out.
    """
    row_count_by_table = {name: None if count is None else int(count) for name, count in row_counts}
    columns_by_table: dict[str, dict[str, SnowflakeColumn]] = {}
    for table_name, *facts in (row for row in columns if row[0] != MARKER_TABLE_NAME):
        table_columns = columns_by_table.setdefault(table_name, {})
        if (stored := parse_snowflake_column(*facts)) is not None:
            table_columns[stored.name.lower()] = stored
    return {
        name.lower(): SnowflakeTable(
            schema=schema,
            name=name,
            columns=table_columns,
            capabilities=build_table_capabilities(
                {column_name: _build_column_capabilities(stored) for column_name, stored in table_columns.items()},
                max_keys=MAX_KEYS,
                max_in_filter_keys=MAX_IN_FILTER_KEYS,
                row_count=row_count_by_table.get(name),
                joins=True,
                checks_values=True,
            ),
        )
        for name, table_columns in columns_by_table.items()
    }


def parse_snowflake_column(
    name: str, data_type: str, precision: int | None, scale: int | None, collation: str | None = None
) -> SnowflakeColumn | None:
    if data_type == "NUMBER":
        digits, decimals = precision or MAX_PRECISION, scale or 0
        return SnowflakeColumn(
            name=name,
            nullable=True,
            scale=decimals,
            precision=digits,
            exclusive_limit=10 ** (digits - decimals),
            **build_conversions(ColumnType.DECIMAL if scale else ColumnType.INTEGER),
        )
    column_type = SNOWFLAKE_COLUMN_TYPES.get(data_type)
    if column_type is None:
        return None
    return SnowflakeColumn(
        name=name,
        nullable=True,
        zoneless=data_type == "TIMESTAMP_NTZ",
        read_expression=get_reader(column_type, collation),
        validity=SNOWFLAKE_VALIDITY.get(column_type),
        guarded_read=DAY_READ if column_type is ColumnType.DATE else None,
        **build_conversions(column_type),
    )


def get_reader(column_type: ColumnType, collation: str | None) -> Callable[[Any], Any] | None:
    """Return what wraps a column in every statement: a time, and a text that does not compare by code point."""
    if column_type is ColumnType.TIME:
        return StoredTime
    return compile_code_points if column_type is ColumnType.TEXT and collation not in CODE_POINT_COLLATIONS else None


def build_conversions(column_type: ColumnType) -> Mapping[str, Any]:
    return {
        "type": column_type,
        "encode": SNOWFLAKE_ENCODERS.get(column_type),
        "decode": SNOWFLAKE_DECODERS.get(column_type),
    }


def _build_column_capabilities(column: SnowflakeColumn) -> Column:
    return Column(column.type, list_snowflake_operators(column.type), True, AGGREGATES_BY_TYPE[column.type])


def list_snowflake_operators(column_type: ColumnType) -> frozenset[Op]:
    """List what Snowflake compares as the SPI says; not the operators that ignore case: its LOWER is not Python's."""
    if column_type is ColumnType.TEXT:
        return TEXT_OPS
    return EQUALITY_OPS if column_type is ColumnType.BOOLEAN else ORDERED_OPS
