"""Define the dialect of SQLite: its types for money and times, keys bound as one JSON text, sums past 64 bits."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from functools import partial
from math import isfinite
from typing import Any

from sqlalchemy import Integer, LargeBinary, String, and_, bindparam, case, cast, func, literal_column, select, tuple_
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect

from onedoor.connectors.sql.scope import Expression, SqlDialect
from onedoor.connectors.sql.shape import ParameterEncoding, ParameterIndex
from onedoor.connectors.sql.tables import (
    EXACT_CONTEXT,
    INTEGER_LIMIT,
    NativeType,
    RowRead,
    SqlColumn,
    encode_base64,
    format_utc_time,
)
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.predicates import Op
from onedoor.spi.scan import TimeUnit

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

CENT = Decimal("0.01")

MICROSECOND = timedelta(microseconds=1)

EXACT_FLOAT_LIMIT = 2**53
"""Floats hold all whole numbers below it."""

DECIMAL_DIGITS_OF_INTEGER = 19
"""How many digits a number of 64 bits may have."""

COLLATED_TEXTS = ("a", "A", "a ")
"""Different texts in the collation BINARY, but not in NOCASE and RTRIM."""

COLUMN_COLLATION = "that of the column"

COLUMN_AFFINITY = "that of a number, if the text is one"
"""What a text is compared as with a column of a type that SQLite does not know."""

SQLITE_COMPILER = sqlite_dialect(paramstyle="qmark")

SQLITE_COLUMN_TYPES = (
    ("INT", ColumnType.INTEGER),
    ("BOOL", ColumnType.BOOLEAN),
    ("CHAR", ColumnType.TEXT),
    ("CLOB", ColumnType.TEXT),
    ("TEXT", ColumnType.TEXT),
)


def map_sqlite_column(name: str, declared_type: str, *, nullable: bool) -> SqlColumn:
    """Map a column by SQLite's rules of affinity; what no ColumnType stands for is read as text.

    Two types are Onedoor's own: `MINOR_UNITS_INT` stores money as whole cents, and `UTC_MICROS_INT` stores times as
    microseconds since 1970.
    """
    if declared_type.startswith("MINOR_UNITS"):
        return SqlColumn(
            name=name,
            type=ColumnType.DECIMAL,
            nullable=nullable,
            scale=2,
            minor_units=True,
            encode=encode_cents,
            decode=decode_cents,
        )
    if declared_type.startswith("UTC_MICROS"):
        return SqlColumn(
            name=name, type=ColumnType.TIME, nullable=nullable, encode=encode_microseconds, decode=decode_microseconds
        )
    mapped = next((column_type for part, column_type in SQLITE_COLUMN_TYPES if part in declared_type), None)
    match mapped:
        case ColumnType.BOOLEAN:
            return SqlColumn(name=name, type=mapped, nullable=nullable, encode=int, decode=decode_boolean)
        case ColumnType.INTEGER | ColumnType.TEXT:
            return SqlColumn(name=name, type=mapped, nullable=nullable)
    return _map_foreign_column(name, declared_type, nullable=nullable)


def compare_in_binary(column: SqlColumn, distinct_texts: int | None) -> SqlColumn:
    """Have a text column compared by code point, whatever its collation is.

    `distinct_texts`: how many of COLLATED_TEXTS it tells apart, None where it cannot compare. In its own collation, an
    index finds the texts among which those are that are equal.
    """
    if distinct_texts == len(COLLATED_TEXTS):
        return replace(column, in_code_point_order=True)
    native = None if distinct_texts is None else NativeType(name=COLUMN_COLLATION, equality=False)
    return replace(column, native_type=native, read_expression=lambda text: text.collate("BINARY"))


def _map_foreign_column(name: str, declared_type: str, *, nullable: bool) -> SqlColumn:
    """Map a column of a type that others use: dates as ISO text, times without a zone in UTC, money as floats."""
    if any(part in declared_type for part in ("BLOB", "BINARY")):
        return SqlColumn(
            name=name, type=ColumnType.TEXT, nullable=nullable, incomparable=True, binary=True, decode=encode_base64
        )
    if declared_type == "DATE":
        return SqlColumn(name=name, type=ColumnType.DATE, nullable=nullable, encode=date.isoformat, decode=parse_day)
    if declared_type.startswith(("DATETIME", "TIMESTAMP")):
        return SqlColumn(
            name=name,
            type=ColumnType.TIME,
            nullable=nullable,
            zoneless=True,
            encode=format_utc_time,
            decode=parse_utc_time,
            read_expression=lambda column: call_on_value(func.utc_time, column),
            row_read=RowRead(leave_as_stored, parse_utc_time),
        )
    if declared_type.startswith(("NUMERIC", "DECIMAL")):
        places = declared_type.rstrip(")").rpartition(",")[2].strip() if "," in declared_type else "0"
        decode = partial(decode_number, decimal_places=int(places) if places.isdecimal() else 0)
        return SqlColumn(
            name=name,
            type=ColumnType.DECIMAL,
            nullable=nullable,
            nearest=find_nearest_number,
            is_summable=False,
            encode=encode_number,
            decode=decode,
        )
    if any(part in declared_type for part in ("REAL", "FLOA", "DOUB")):
        return SqlColumn(name=name, type=ColumnType.FLOAT, nullable=nullable, decode=decode_float)
    if declared_type.startswith("JSON"):
        return SqlColumn(
            name=name, type=ColumnType.TEXT, nullable=nullable, incomparable=True, json=True, decode=format_any_value
        )
    return SqlColumn(
        name=name,
        type=ColumnType.TEXT,
        nullable=nullable,
        native_type=NativeType(name=COLUMN_AFFINITY, equality=False) if declared_type else None,
        read_expression=lambda column: call_on_value(func.shown_text, column),
        row_read=RowRead(leave_as_stored, format_any_value),
    )


def call_on_value(function: Any, column: Expression) -> Expression:
    """Call a function of `read_value`: a text is handed on as its bytes, as SQLite fails at one that is not UTF-8.

    Bytes that are no text are null.
    """
    storage_class = func.typeof(column)
    return case(
        (storage_class == literal_column("'text'"), function(cast(column, LargeBinary()))),
        (storage_class != literal_column("'blob'"), function(column)),
    )


def read_value(value: Any) -> Any:
    """Return what SQLite stores, from the form in which `call_on_value` hands it on. Raises UnicodeDecodeError."""
    return value.decode() if isinstance(value, bytes) else value


def leave_as_stored(column: Expression) -> Expression:
    return column


def format_any_value(value: Any) -> str:
    """Return as text what a column without a type of its own holds. Raises TypeError for bytes."""
    if isinstance(value, bytes):
        raise TypeError("bytes are no text")
    return str(value)


def doubt_sqlite_column(column: SqlColumn) -> SqlColumn:
    """Let a column of a table that is not strict have any value, as SQLite stores what it is given."""
    match column.type:
        case ColumnType.TEXT if column.binary:
            return column
        case ColumnType.TEXT if column.json or column.row_read is not None:
            return replace(column, validity=is_text_or_number, strict_validity=is_showable_text)
        case ColumnType.TEXT:
            return replace(column, validity=is_text, strict_validity=is_unicode_text)
        case ColumnType.TIME:
            return replace(column, validity=is_readable_time if column.zoneless else is_in_calendar)
        case ColumnType.DECIMAL:
            return replace(column, validity=is_integer if column.minor_units else is_finite_number)
    return replace(column, validity=SQLITE_VALIDITY[column.type])


def _has_storage_class(column: Expression, *names: str) -> Expression:
    """Test what SQLite stores, as a declared type keeps no value of another out."""
    storage_class: Expression = func.typeof(column)
    return storage_class.in_([literal_column(f"'{name}'") for name in names])


def is_integer(column: Expression) -> Expression:
    return _has_storage_class(column, "integer")


def is_text(column: Expression) -> Expression:
    return _has_storage_class(column, "text")


def is_text_or_number(column: Expression) -> Expression:
    return _has_storage_class(column, "text", "integer", "real")


def is_showable_text(column: Expression) -> Expression:
    return call_on_value(func.shown_text, column).is_not(None)


def is_unicode_text(column: Expression) -> Expression:
    return and_(is_text(column), func.is_unicode(cast(column, LargeBinary())) == literal_column("1"))


def is_boolean(column: Expression) -> Expression:
    return and_(is_integer(column), column.in_([literal_column("0"), literal_column("1")]))


def is_finite_number(column: Expression) -> Expression:
    largest = repr(sys.float_info.max)
    is_finite = column.between(literal_column(f"-{largest}"), literal_column(largest))
    return and_(_has_storage_class(column, "integer", "real"), is_finite)


def is_in_calendar(column: Expression) -> Expression:
    """Test whether microseconds lie in the years 1 to 9999."""
    first, last = (encode_microseconds(time.replace(tzinfo=UTC)) for time in (datetime.min, datetime.max))
    return and_(is_integer(column), column.between(literal_column(str(first)), literal_column(str(last))))


def is_readable_day(column: Expression) -> Expression:
    is_readable: Expression = call_on_value(func.is_day, column) == literal_column("1")
    return is_readable


def is_readable_time(column: Expression) -> Expression:
    return call_on_value(func.utc_time, column).is_not(None)


SQLITE_VALIDITY: Mapping[ColumnType, Callable[[Expression], Expression]] = {
    ColumnType.INTEGER: is_integer,
    ColumnType.FLOAT: is_finite_number,
    ColumnType.BOOLEAN: is_boolean,
    ColumnType.DATE: is_readable_day,
}


def decode_boolean(value: Any) -> bool:
    """Raise ValueError for what is not 0 or 1: others mean different things by words and by other numbers."""
    if type(value) is not int or value not in (0, 1):
        raise ValueError
    return value == 1


def decode_float(value: Any) -> float:
    if type(value) not in (int, float) or not isfinite(value):
        raise ValueError
    return float(value)


def parse_day(value: Any) -> date:
    """Parse `2026-10-31`; Python reads other forms of ISO 8601 too, which do not sort as text."""
    day = date.fromisoformat(value)
    if day.isoformat() != value:
        raise ValueError
    return day


def decode_number(value: Any, decimal_places: int) -> Decimal:
    """Return exactly what SQLite shows, which keeps no scale, with at least as many places as are declared."""
    number = Decimal(repr(decode_float(value)) if type(value) is not int else value)
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and exponent > -decimal_places:
        return number.quantize(Decimal(1).scaleb(-decimal_places), context=EXACT_CONTEXT)
    return number


def is_day(value: Any) -> int:
    """Tell SQLite whether a value is a day as `parse_day` parses it."""
    return _can_decode(lambda stored: parse_day(read_value(stored)), value)


def utc_time(value: Any) -> str | None:
    """Give SQLite a time in the one spelling that sorts as text; null where `parse_utc_time` cannot parse it."""
    try:
        return format_utc_time(parse_utc_time(read_value(value)))
    except (ValueError, TypeError, OverflowError):
        return None


def shown_text(value: Any) -> str | None:
    """Give SQLite the text as which any value is shown; null where there is none."""
    try:
        return None if value is None else str(read_value(value))
    except UnicodeDecodeError:
        return None


def is_unicode(value: Any) -> int:
    """Tell SQLite whether bytes are UTF-8, which it never checks."""
    return _can_decode(bytes.decode, value)


def _can_decode(decode: Callable[[Any], Any], value: Any) -> int:
    try:
        decode(value)
    except (ValueError, TypeError, OverflowError):
        return 0
    return 1


def find_nearest_number(value: Decimal) -> Decimal | float:
    """Return the number nearest to a decimal that SQLite stores, as it shows it; infinity beyond all.

    It stores whole numbers of 64 bits as such, and others as floats of 64 bits.
    """
    floor = value.to_integral_value(ROUND_FLOOR) if value.adjusted() < DECIMAL_DIGITS_OF_INTEGER else value
    if -INTEGER_LIMIT <= floor < INTEGER_LIMIT and (floor == value or abs(value) >= EXACT_FLOAT_LIMIT):
        return floor
    nearest = float(value)
    return Decimal(repr(nearest)) if isfinite(nearest) else nearest


def encode_number(value: Decimal) -> int | float:
    is_whole = value.adjusted() < DECIMAL_DIGITS_OF_INTEGER and value == value.to_integral_value(ROUND_FLOOR)
    return int(value) if is_whole and -INTEGER_LIMIT <= value < INTEGER_LIMIT else float(value)


def encode_cents(value: Decimal) -> int:
    return int(value.scaleb(2, EXACT_CONTEXT))


def decode_cents(value: Any) -> Decimal:
    if type(value) is not int:
        raise ValueError
    return value * CENT  # 64 bits are fewer digits than any decimal context rounds


def encode_microseconds(value: datetime) -> int:
    return (value - EPOCH) // MICROSECOND


def decode_microseconds(value: Any) -> datetime:
    if type(value) is not int:
        raise ValueError
    return EPOCH + value * MICROSECOND


def parse_utc_time(value: str) -> datetime:
    time = datetime.fromisoformat(value)
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)


def pack_sqlite_keys(values: Sequence[Sequence[Any]], _: Sequence[SqlColumn]) -> Sequence[Any]:
    """Pack all keys in one JSON text, so that their number does not change the statement."""
    return (json.dumps(values[0] if len(values) == 1 else list(zip(*values, strict=True))),)


def compile_sqlite_in_keys(
    columns: Sequence[Expression], parameters: Sequence[ParameterIndex], _: Sequence[SqlColumn]
) -> Expression:
    listed = func.json_each(bindparam(parameters[0].name, type_=String())).table_valued("value")
    if len(columns) == 1:
        return columns[0].in_(select(listed.c.value))
    parts = [func.json_extract(listed.c.value, literal_column(f"'$[{index}]'")) for index in range(len(columns))]
    return tuple_(*columns).in_(select(*parts))


def compile_sqlite_starts_with(column: Expression, value: Any) -> Expression:
    matches: Expression = func.substr(column, literal_column("1"), func.length(value)) == value
    return matches


def compile_sqlite_ends_with(column: Expression, value: Any) -> Expression:
    is_long_enough = func.length(column) >= func.length(value)
    return and_(
        is_long_enough, func.substr(column, func.length(column) - func.length(value) + literal_column("1")) == value
    )


def compile_sqlite_contains(column: Expression, value: Any) -> Expression:
    matches: Expression = func.instr(column, value) > literal_column("0")
    return matches


HALF_BITS: Expression = literal_column("32")

LOW_HALF_MASK: Expression = literal_column(str(2**32 - 1))

SUM_BIAS = 2**62

SUM_LIMIT = SUM_BIAS << 32


def compile_sqlite_sum(column: Expression) -> Expression:
    """Sum the upper and lower halves of the numbers apart, and write digits that sort as the sums do.

    SQLite's own `sum` fails past 64 bits.
    """
    high = func.sum(column.op(">>")(HALF_BITS))
    low = func.sum(column.op("&")(LOW_HALF_MASK))
    total = high + low.op(">>")(HALF_BITS) + literal_column(str(SUM_BIAS))
    return case((func.count(column) > literal_column("0"), func.printf(SUM_FORMAT, total, low.op("&")(LOW_HALF_MASK))))


SUM_FORMAT: Expression = literal_column("'%019lld%010lld'")


def format_sum(number: int) -> str:
    return f"{(number >> 32) + SUM_BIAS:019}{number & (2**32 - 1):010}"


def parse_sum(digits: str) -> int:
    return (int(digits[:19]) - SUM_BIAS << 32) + int(digits[19:])


def build_sqlite_sum_column(column: SqlColumn) -> SqlColumn:
    if column.minor_units:
        return replace(
            column,
            exclusive_limit=SUM_LIMIT,
            encode=lambda value: format_sum(encode_cents(value)),
            decode=parse_money_sum,
        )
    return replace(column, exclusive_limit=SUM_LIMIT, encode=format_sum, decode=parse_sum)


def parse_money_sum(digits: str) -> Decimal:
    return EXACT_CONTEXT.multiply(parse_sum(digits), CENT)


SECOND_MICROSECONDS = 10**6

DAY_MICROSECONDS = 86_400 * SECOND_MICROSECONDS

OPERATOR_PRECEDENCE = 8
"""The precedence of `*`, so that SQLAlchemy puts a sum on the left in brackets."""

FIXED_UNIT_SPANS = {
    TimeUnit.HOUR: (3600 * SECOND_MICROSECONDS, 0),
    TimeUnit.DAY: (DAY_MICROSECONDS, 0),
    TimeUnit.WEEK: (7 * DAY_MICROSECONDS, 3 * DAY_MICROSECONDS),
}
"""Length in microseconds, and how long before 1970 one of them began."""

UNIT_START_MODIFIERS: Mapping[TimeUnit, Callable[..., Sequence[Expression]]] = {
    TimeUnit.WEEK: lambda *_: (literal_column("'-6 days'"), literal_column("'weekday 1'")),
    TimeUnit.MONTH: lambda *_: (literal_column("'start of month'"),),
    TimeUnit.QUARTER: lambda *day: (literal_column("'start of month'"), _compile_quarter_modifier(day)),
    TimeUnit.YEAR: lambda *_: (literal_column("'start of year'"),),
}
"""The modifiers of SQLite's date functions that lead from a day to the start of its unit."""


def compile_sqlite_time_bucket(column: Expression, sql_column: SqlColumn, unit: TimeUnit) -> Expression:
    if sql_column.type is ColumnType.DATE:
        return column if unit is TimeUnit.DAY else func.date(column, *UNIT_START_MODIFIERS[unit](column))
    if sql_column.zoneless:
        return _compile_text_time_bucket(column, unit)
    if unit in FIXED_UNIT_SPANS:
        return _compile_sqlite_floor(column, *FIXED_UNIT_SPANS[unit])
    seconds = _compile_sqlite_floor(column, DAY_MICROSECONDS, 0).op("/", OPERATOR_PRECEDENCE)(
        literal_column(str(SECOND_MICROSECONDS))
    )
    day: Sequence[Expression] = (seconds, literal_column("'unixepoch'"))
    start = cast(func.strftime(literal_column("'%s'"), *day, *UNIT_START_MODIFIERS[unit](*day)), Integer())
    return start * literal_column(str(SECOND_MICROSECONDS))


def _compile_text_time_bucket(column: Expression, unit: TimeUnit) -> Expression:
    if unit is TimeUnit.HOUR:
        return func.strftime(literal_column("'%Y-%m-%d %H:00:00'"), column)
    modifiers = UNIT_START_MODIFIERS[unit](column) if unit is not TimeUnit.DAY else ()
    return func.datetime(column, literal_column("'start of day'"), *modifiers)


def _compile_sqlite_floor(column: Expression, span: int, before: int) -> Expression:
    """Round down to a multiple of `span`, below zero too."""
    size: Expression = literal_column(str(span))
    remainder = (column + literal_column(str(before))).op("%", OPERATOR_PRECEDENCE)(size)
    return column - (remainder + size).op("%", OPERATOR_PRECEDENCE)(size)


def _compile_quarter_modifier(day: Sequence[Expression]) -> Expression:
    """Go back by the months of the quarter that lie before the day."""
    elapsed = (func.strftime(literal_column("'%m'"), *day) + literal_column("2")).op("%", OPERATOR_PRECEDENCE)(
        literal_column("3")
    )
    return literal_column("'-'").op("||")(elapsed).op("||")(literal_column("' months'"))


def _casefold(column: Expression) -> Expression:
    """Fold the case of a text that is handed on as its bytes: SQLite fails at one that is not UTF-8."""
    folded: Expression = func.casefolded(cast(column, LargeBinary()))
    return folded


LIVE_COLUMNS_SQL = "SELECT name FROM pragma_table_xinfo(?2) WHERE ?1 IS NULL"
"""A SQLite file has no schemas."""

SQLITE_DIALECT = SqlDialect(
    compiler=SQLITE_COMPILER,
    parameter_encoding=ParameterEncoding(pack_keys=pack_sqlite_keys, build_sum_column=build_sqlite_sum_column),
    compile_in_keys=compile_sqlite_in_keys,
    text_matches={
        Op.CONTAINS: compile_sqlite_contains,
        Op.STARTS_WITH: compile_sqlite_starts_with,
        Op.ENDS_WITH: compile_sqlite_ends_with,
        Op.I_CONTAINS: lambda column, value: compile_sqlite_contains(_casefold(column), func.casefolded(value)),
        Op.I_STARTS_WITH: lambda column, value: compile_sqlite_starts_with(_casefold(column), func.casefolded(value)),
        Op.I_ENDS_WITH: lambda column, value: compile_sqlite_ends_with(_casefold(column), func.casefolded(value)),
    },
    collate_text=lambda column: column,
    bind_parameter=lambda parameter, _: bindparam(parameter.name),
    compile_read=lambda column, _: column,
    compile_time_bucket=compile_sqlite_time_bucket,
    compile_sum=compile_sqlite_sum,
    live_columns_sql=LIVE_COLUMNS_SQL,
    runs_subqueries_once=True,
)
