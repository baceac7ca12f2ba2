"""Define the dialect of PostgreSQL: keys bound as arrays, dates and times as text, text compared in collation "C"."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Float,
    FromClause,
    Numeric,
    String,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect
from sqlalchemy.types import UserDefinedType

from onedoor.connectors.sql.scope import Expression, SqlDialect
from onedoor.connectors.sql.shape import ParameterEncoding, ParameterIndex
from onedoor.connectors.sql.single_precision import build_single_column, shorten_if_finite
from onedoor.connectors.sql.tables import INTEGER_LIMIT, RowRead, SqlColumn, encode_base64
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.predicates import Op
from onedoor.spi.scan import TimeUnit

POSTGRESQL_COMPILER = asyncpg_dialect()  # type: ignore[no-untyped-call]

POSTGRESQL_COLUMN_TYPES = {
    "smallint": ColumnType.INTEGER,
    "integer": ColumnType.INTEGER,
    "bigint": ColumnType.INTEGER,
    "numeric": ColumnType.DECIMAL,
    "real": ColumnType.FLOAT,
    "double precision": ColumnType.FLOAT,
    "boolean": ColumnType.BOOLEAN,
    "date": ColumnType.DATE,
    "timestamp with time zone": ColumnType.TIME,
    "timestamp without time zone": ColumnType.TIME,
    "text": ColumnType.TEXT,
    "character varying": ColumnType.TEXT,
}

JSON_TYPES = frozenset({"json", "jsonb"})

BINARY_TYPE = "bytea"

NATIVE_ITEM_TYPES = frozenset(
    {ColumnType.INTEGER, ColumnType.DECIMAL, ColumnType.FLOAT, ColumnType.BOOLEAN, ColumnType.TEXT}
)
"""What the driver reads in arrays as it reads it in columns; arrays of all else are cast to arrays of text."""

POSTGRESQL_SQL_TYPES: Mapping[ColumnType, Any] = {
    ColumnType.INTEGER: BigInteger(),
    ColumnType.DECIMAL: Numeric(),
    ColumnType.FLOAT: Float(),
    ColumnType.BOOLEAN: Boolean(),
    ColumnType.DATE: Date(),
    ColumnType.TIME: DateTime(timezone=True),
    ColumnType.TEXT: String(),
}

BOUND_AS_TEXT = frozenset({ColumnType.DATE, ColumnType.TIME})
"""Bound as ISO text, because asyncpg sends the first and last date and time of Python as infinities."""

POSTGRESQL_ENCODERS: Mapping[ColumnType, Any] = {ColumnType.DATE: date.isoformat, ColumnType.TIME: datetime.isoformat}


def map_postgresql_column(name: str, data_type: str, *, nullable: bool) -> SqlColumn:
    """Map a column by the name of its type; what no ColumnType stands for is read as text."""
    if data_type == BINARY_TYPE:
        return SqlColumn(
            name=name, type=ColumnType.TEXT, nullable=nullable, incomparable=True, binary=True, decode=encode_base64
        )
    mapped = POSTGRESQL_COLUMN_TYPES.get(data_type)
    if mapped is None:
        return SqlColumn(
            name=name, type=ColumnType.TEXT, nullable=nullable, read_as_text=True, json=data_type in JSON_TYPES
        )
    if data_type == "real":
        return build_single_column(name, nullable=nullable)
    if data_type == "timestamp without time zone":
        return SqlColumn(name=name, type=mapped, nullable=nullable, zoneless=True, encode=format_zoneless_time)
    return SqlColumn(name=name, type=mapped, nullable=nullable, encode=POSTGRESQL_ENCODERS.get(mapped))


def map_postgresql_array(name: str, item_type: str, dimensions: int, *, nullable: bool) -> SqlColumn | None:
    """Map an array to a list, one of several dimensions to JSON; return None for one of bytes."""
    if item_type == BINARY_TYPE:
        return None
    if dimensions > 1:
        return SqlColumn(
            name=name,
            type=ColumnType.TEXT,
            nullable=nullable,
            incomparable=True,
            json=True,
            read_expression=lambda column: cast(func.to_json(column), String()),
        )
    items = POSTGRESQL_COLUMN_TYPES.get(item_type, ColumnType.TEXT)
    is_native = items in NATIVE_ITEM_TYPES and item_type in POSTGRESQL_COLUMN_TYPES
    return SqlColumn(
        name=name,
        type=ColumnType.LIST,
        nullable=nullable,
        items=items,
        decode=partial(decode_array, decode_item=_get_item_decoder(item_type, items)),
        read_expression=None if is_native else lambda column: cast(column, ARRAY(String())),
    )


def _get_item_decoder(item_type: str, items: ColumnType) -> Callable[[Any], Any] | None:
    return shorten_if_finite if item_type == "real" else ITEM_DECODERS.get(items)


def decode_array(values: Sequence[Any], decode_item: Callable[[Any], Any] | None) -> tuple[Any, ...]:
    """Raise ValueError for an array of several dimensions, which a column may hold whatever it declares."""
    if any(isinstance(value, list) for value in values):
        raise ValueError("an array of several dimensions")
    if decode_item is None:
        return tuple(values)
    return tuple([None if value is None else decode_item(value) for value in values])


def parse_utc_time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


ITEM_DECODERS: Mapping[ColumnType, Callable[[Any], Any]] = {
    ColumnType.DATE: date.fromisoformat,
    ColumnType.TIME: parse_utc_time,
}


def doubt_postgresql_column(column: SqlColumn, data_type: str) -> SqlColumn:
    """Let a column have the values of its type that Python, or GraphQL, has no form for."""
    match data_type:
        case "timestamp without time zone":
            read = RowRead(lambda column: cast(func.timezone(UTC_NAME, column), String()), datetime.fromisoformat)
            return replace(column, validity=is_showable_local_time, guarded_read=read)
        case "timestamp with time zone":
            return replace(
                column, validity=is_showable_time, guarded_read=RowRead(cast_to_text, datetime.fromisoformat)
            )
        case "date":
            return replace(
                column,
                validity=is_showable_day,
                doubtful_values=INFINITE_DAYS,
                guarded_read=RowRead(cast_to_text, date.fromisoformat),
            )
        case "numeric":
            return replace(column, validity=is_finite_numeric)
        case "double precision" | "real":
            return replace(column, validity=is_finite_float)
    return column


UTC_NAME: Expression = literal_column("'UTC'")

INFINITE_DAYS = frozenset({date.min, date.max})
"""What asyncpg gives for infinite days, too."""


def cast_to_text(column: Expression) -> Expression:
    return cast(column, String())


def is_showable_day(column: Expression) -> Expression:
    """Test whether a day is one of Python's, as infinite ones and those before Christ are not."""
    return column.between(literal_column("date '0001-01-01'"), literal_column("date '9999-12-31'"))


def is_showable_time(column: Expression) -> Expression:
    first, last = "timestamptz '0001-01-01 00:00:00+00'", "timestamptz '9999-12-31 23:59:59.999999+00'"
    return column.between(literal_column(first), literal_column(last))


def is_showable_local_time(column: Expression) -> Expression:
    first, last = "timestamp '0001-01-01 00:00:00'", "timestamp '9999-12-31 23:59:59.999999'"
    return column.between(literal_column(first), literal_column(last))


def is_finite_float(column: Expression) -> Expression:
    """Test whether a float is finite: NaN is larger than infinity, which is larger than all others."""
    largest = f"{sys.float_info.max!r}::float8"
    return column.between(literal_column(f"-{largest}"), literal_column(largest))


def is_finite_numeric(column: Expression) -> Expression:
    """Test whether a decimal has a scale, as NaN and, from PostgreSQL 14 on, infinities have none."""
    scale: Expression = func.scale(column)
    return scale.is_not(None)


def format_zoneless_time(value: datetime) -> str:
    """Format a time in UTC without its zone; the session's zone is UTC, so both spellings mean the same time."""
    return value.astimezone(UTC).replace(tzinfo=None).isoformat()


def pack_postgresql_keys(values: Sequence[Sequence[Any]], _: Sequence[SqlColumn]) -> Sequence[Any]:
    """Pack keys in one array for each column, so that their number does not change the statement."""
    return values


def compile_postgresql_in_keys(
    columns: Sequence[Expression], parameters: Sequence[ParameterIndex], stored: Sequence[SqlColumn]
) -> Expression:
    if len(columns) == 1:
        return columns[0] == func.any(_bind_postgresql_array(parameters[0], stored[0]))
    keys = compile_postgresql_key_rows(parameters, stored)
    return tuple_(*columns).in_(select(*keys.c))


def compile_postgresql_key_rows(parameters: Sequence[ParameterIndex], stored: Sequence[SqlColumn]) -> FromClause:
    arrays = [_bind_postgresql_array(parameter, column) for parameter, column in zip(parameters, stored, strict=True)]
    names = [f"k{index}" for index in range(len(parameters))]
    return func.unnest(*arrays).table_valued(*names).render_derived(name="k")


class NamedSqlType(UserDefinedType[Any]):
    """A type under the name that the database gives it."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        return self.name


def bind_postgresql_parameter(parameter: ParameterIndex, column: SqlColumn) -> Expression:
    if column.native_type is not None:
        return cast(bindparam(parameter.name, type_=String()), NamedSqlType(column.native_type.name))
    if column.type in BOUND_AS_TEXT:
        return cast(bindparam(parameter.name, type_=String()), _get_postgresql_type(column))
    return bindparam(parameter.name, type_=_get_postgresql_type(column))


def _bind_postgresql_array(parameter: ParameterIndex, column: SqlColumn) -> Expression:
    if column.native_type is not None:
        array = ARRAY(NamedSqlType(column.native_type.name))
        return cast(bindparam(parameter.name, type_=ARRAY(String())), array)
    if column.type in BOUND_AS_TEXT:
        return cast(bindparam(parameter.name, type_=ARRAY(String())), ARRAY(_get_postgresql_type(column)))
    return bindparam(parameter.name, type_=ARRAY(_get_postgresql_type(column)))


def _get_postgresql_type(column: SqlColumn) -> Any:
    if column.zoneless:
        return DateTime(timezone=False)
    return Numeric() if column.exclusive_limit > INTEGER_LIMIT else POSTGRESQL_SQL_TYPES[column.type]


def compile_postgresql_read(column: Expression, sql_column: SqlColumn) -> Expression:
    return func.timezone(UTC_NAME, column) if sql_column.zoneless else column


def compile_postgresql_time_bucket(column: Expression, sql_column: SqlColumn, unit: TimeUnit) -> Expression:
    """Truncate by `date_trunc`, in the session's zone, which is UTC, and by the weeks of ISO 8601."""
    name: Expression = literal_column(f"'{unit.lower()}'")
    if sql_column.type is ColumnType.DATE:
        return cast(func.date_trunc(name, cast(column, DateTime())), Date())
    return func.date_trunc(name, column)


def build_postgresql_sum_column(column: SqlColumn) -> SqlColumn:
    """Describe a sum: PostgreSQL returns that of 64-bit numbers as a numeric, which has no limit."""
    return (
        replace(column, exclusive_limit=INTEGER_LIMIT**4, decode=int) if column.type is ColumnType.INTEGER else column
    )


LIVE_COLUMNS_SQL = """
    SELECT a.attname::text FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1 AND c.relname = $2 AND a.attnum > 0 AND NOT a.attisdropped
"""

POSTGRESQL_DIALECT = SqlDialect(
    compiler=POSTGRESQL_COMPILER,
    parameter_encoding=ParameterEncoding(
        pack_keys=pack_postgresql_keys, build_sum_column=build_postgresql_sum_column, plans_without_values=True
    ),
    compile_in_keys=compile_postgresql_in_keys,
    text_matches={
        Op.CONTAINS: lambda column, value: func.strpos(column, value) > literal_column("0"),
        Op.STARTS_WITH: lambda column, value: func.starts_with(column, value),
        Op.ENDS_WITH: lambda column, value: func.right(column, func.length(value)) == value,
    },
    collate_text=lambda column: column.collate("C"),
    bind_parameter=bind_postgresql_parameter,
    compile_read=compile_postgresql_read,
    compile_time_bucket=compile_postgresql_time_bucket,
    compile_sum=lambda column: func.sum(column),
    live_columns_sql=LIVE_COLUMNS_SQL,
    compile_key_rows=compile_postgresql_key_rows,
)
