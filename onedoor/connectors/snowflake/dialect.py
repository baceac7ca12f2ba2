"""Define Snowflake's dialect: names in quotes, keys bound as one JSON text, times compared to the microsecond."""

import json
import operator
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from snowflake.sqlalchemy import TIMESTAMP_NTZ, TIMESTAMP_TZ
from snowflake.sqlalchemy.snowdialect import SnowflakeDialect
from sqlalchemy import (
    BigInteger,
    Date,
    String,
    and_,
    bindparam,
    cast,
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
    text,
    tuple_,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import BinaryExpression, FunctionElement, Tuple
from sqlalchemy.sql.operators import in_op
from sqlalchemy.types import DECIMAL

from onedoor.connectors.sql.scope import Expression, SqlDialect
from onedoor.connectors.sql.shape import ParameterEncoding, ParameterIndex
from onedoor.connectors.sql.tables import RowRead, SqlColumn
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.predicates import Op, push_negations_down
from onedoor.spi.scan import TimeUnit

MAX_PRECISION = 38
"""Digits of a NUMBER, and of a sum: Snowflake fails on more, and never rounds."""

LIVE_COLUMNS_SQL = "SELECT COLUMN_NAME FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?"

DAY_MICROSECONDS = 86_400_000_000

FIXED_UNIT_SPANS = {
    TimeUnit.HOUR: (DAY_MICROSECONDS // 24, 0),
    TimeUnit.DAY: (DAY_MICROSECONDS, 0),
    TimeUnit.WEEK: (7 * DAY_MICROSECONDS, 3 * DAY_MICROSECONDS),
}
"""Length in microseconds, and how long before 1970 one of them began."""

EPOCH_DATE: Expression = literal_column("DATE '1970-01-01'")

UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Microseconds(BigInteger):
    """Whole microseconds since 1970, in which every time is read, ordered, grouped and compared.

    Snowflake stores times to the nanosecond, and such a one would equal nothing that is shown. A comparison with a
    value is made of the stored column all the same, as only then Snowflake can skip the parts that have no match.
    """

    class Comparator(BigInteger.Comparator[int]):
        """Compares the column below a stored time with what is bound for a value."""

        def operate(self, op: Any, *others: Any, **options: Any) -> Any:
            compare = INSTANT_COMPARISONS.get(op)
            if compare is None or not isinstance(self.expr, StoredTime) or not isinstance(others[0], BoundTime):
                return super().operate(op, *others, **options)
            return compare(self.expr.instant, others[0].instant)

    comparator_factory = Comparator


class EpochMicroseconds(FunctionElement[int]):
    """An instant, rounded down to microseconds since 1970."""

    name = "epoch_microseconds"
    type = Microseconds()
    inherit_cache = True

    @property
    def instant(self) -> Expression:
        [instant] = self.clauses
        return instant


class StoredTime(EpochMicroseconds):
    """A time as a column has it."""

    inherit_cache = True


class BoundTime(EpochMicroseconds):
    """A value that is bound, and no finer than a microsecond."""

    inherit_cache = True


@compiles(EpochMicroseconds)
def render_epoch_microseconds(element: EpochMicroseconds, compiler: Any, **options: Any) -> str:
    return f"DATE_PART(EPOCH_MICROSECOND, {compiler.process(element.instant, **options)})"


def add_microsecond(instant: Expression) -> Expression:
    later: Expression = func.DATEADD(literal_column("MICROSECOND"), literal_column("1"), instant)
    return later


INSTANT_COMPARISONS: Mapping[Any, Callable[[Expression, Expression], Expression]] = {
    operator.lt: lambda stored, value: stored < value,
    operator.le: lambda stored, value: stored < add_microsecond(value),
    operator.gt: lambda stored, value: stored >= add_microsecond(value),
    operator.ge: lambda stored, value: stored >= value,
    operator.eq: lambda stored, value: and_(stored >= value, stored < add_microsecond(value)),
    operator.ne: lambda stored, value: or_(stored < value, stored >= add_microsecond(value)),
}
"""Comparisons of a stored time with a value, which stands for all instants until the next microsecond."""


def compile_code_points(column: Expression) -> Expression:
    """Have a text compare by code point, whatever the collation of its column."""
    text_by_code_point: Expression = func.COLLATE(column, literal_column("'utf8'"))
    return text_by_code_point


def is_finite_float(column: Expression) -> Expression:
    """Test whether a float is finite: NaN is larger than infinity, which is larger than all others."""
    largest = f"{sys.float_info.max!r}::FLOAT"
    return column.between(literal_column(f"-{largest}"), literal_column(largest))


def is_showable_day(column: Expression) -> Expression:
    """Test whether a day lies in the years 1 to 9999; Snowflake stores others too."""
    return column.between(literal_column("DATE '0001-01-01'"), literal_column("DATE '9999-12-31'"))


def is_showable_time(column: Expression) -> Expression:
    first, last = (encode_microseconds(time.replace(tzinfo=UTC)) for time in (datetime.min, datetime.max))
    return StoredTime(column).between(literal_column(str(first)), literal_column(str(last)))


SNOWFLAKE_VALIDITY: Mapping[ColumnType, Callable[[Expression], Expression]] = {
    ColumnType.FLOAT: is_finite_float,
    ColumnType.DATE: is_showable_day,
    ColumnType.TIME: is_showable_time,
}
"""Tests of values that a column stores and no client can be shown, by the types that have such."""


def compile_day_number(column: Expression) -> Expression:
    days: Expression = func.DATEDIFF(literal_column("DAY"), EPOCH_DATE, column)
    return days


def decode_day_number(days: int) -> date:
    return UNIX_EPOCH.date() + timedelta(days=int(days))


DAY_READ = RowRead(compile_day_number, decode_day_number)
"""Reads days of any year, which the connector refuses."""


def encode_microseconds(value: datetime) -> int:
    return (value - UNIX_EPOCH) // timedelta(microseconds=1)


def encode_time(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(sep=" ")


def decode_time(microseconds: int) -> datetime:
    return UNIX_EPOCH + timedelta(microseconds=int(microseconds))


def encode_decimal(value: Decimal) -> str:
    """Encode as text: the type by which the connector binds a Decimal has no scale."""
    return format(value, "f")


def decode_decimal(value: Any) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(value)


SNOWFLAKE_ENCODERS: Mapping[ColumnType, Callable[[Any], Any]] = {
    ColumnType.INTEGER: int,
    ColumnType.FLOAT: float,
    ColumnType.DECIMAL: encode_decimal,
    ColumnType.TIME: encode_time,
}

SNOWFLAKE_DECODERS: Mapping[ColumnType, Callable[[Any], Any]] = {
    ColumnType.INTEGER: int,
    ColumnType.DECIMAL: decode_decimal,
    ColumnType.TIME: decode_time,
}

SNOWFLAKE_SQL_TYPES: Mapping[ColumnType, str] = {
    ColumnType.FLOAT: "FLOAT",
    ColumnType.BOOLEAN: "BOOLEAN",
    ColumnType.DATE: "DATE",
    ColumnType.INTEGER: f"NUMBER({MAX_PRECISION}, 0)",
    ColumnType.TIME: "TIMESTAMP_TZ",
}
"""The type that a key in JSON is cast to; a text stays a text."""


def pack_snowflake_keys(values: Sequence[Sequence[Any]], _: Sequence[SqlColumn]) -> Sequence[Any]:
    """Pack all keys in one JSON text of texts, so that their number does not change the statement."""
    rows = [list(map(format_key_value, row)) for row in zip(*values, strict=True)]
    return (json.dumps(rows, separators=(",", ":")),)


def format_key_value(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case date():
            return value.isoformat()
    return str(value)


def compile_snowflake_in_keys(
    columns: Sequence[Expression], parameters: Sequence[ParameterIndex], stored: Sequence[SqlColumn]
) -> Expression:
    packed = bindparam(parameters[0].name, type_=String())
    table = text(f"TABLE(FLATTEN(PARSE_JSON(:{packed.key}))) AS f").bindparams(packed)
    values: list[Expression] = [literal_column(format_key_part(place, column)) for place, column in enumerate(stored)]
    readable = [value.is_not(None) for value, column in zip(values, stored, strict=True) if column.type in CAST_KEYS]
    keys = select(*values).select_from(table).where(*readable)
    return columns[0].in_(keys) if len(columns) == 1 else tuple_(*columns).in_(keys)


CAST_KEYS = frozenset(ColumnType) - {ColumnType.TEXT}
"""The types of keys that are cast from their text, to null where it is none of the type."""


def format_key_part(place: int, column: SqlColumn) -> str:
    part = f"f.VALUE[{place}]::TEXT"
    if column.type is ColumnType.TEXT:
        return part
    value = f"TRY_CAST({part} AS {format_sql_type(column)})"
    return f"DATE_PART(EPOCH_MICROSECOND, {value})" if column.type is ColumnType.TIME else value


def format_sql_type(column: SqlColumn) -> str:
    if column.type is ColumnType.DECIMAL:
        return f"NUMBER({get_precision(column)}, {column.scale})"
    return SNOWFLAKE_SQL_TYPES[column.type]


def get_precision(column: SqlColumn) -> int:
    """Return how many digits the column has: its limit is the first power of ten with more before the point."""
    return len(str(column.exclusive_limit)) - 1 + column.scale


def build_snowflake_sum_column(column: SqlColumn) -> SqlColumn:
    return replace(column, exclusive_limit=10 ** (MAX_PRECISION - column.scale))


def bind_snowflake_parameter(parameter: ParameterIndex, column: SqlColumn) -> Expression:
    match column.type:
        case ColumnType.DECIMAL:
            return cast(bindparam(parameter.name, type_=String()), DECIMAL(get_precision(column), column.scale))
        case ColumnType.TIME:
            timestamp = TIMESTAMP_NTZ() if column.zoneless else TIMESTAMP_TZ()
            return BoundTime(cast(bindparam(parameter.name, type_=String()), timestamp))
        case ColumnType.INTEGER:
            return bindparam(parameter.name, type_=BigInteger())
    return bindparam(parameter.name)


def negate(expression: Expression) -> Expression:
    """Compile the complement of a test, which is also true of rows where the test has no value.

    Snowflake takes no subquery below a function, so the rows without a key are named beside NOT IN.
    """
    if not isinstance(expression, BinaryExpression) or expression.operator is not in_op:
        return not_(func.coalesce(expression, false()))
    left = expression.left
    columns = left.clauses if isinstance(left, Tuple) else [left]
    return or_(*(column.is_(None) for column in columns), not_(expression))


def compile_snowflake_time_bucket(expression: Expression, column: SqlColumn, unit: TimeUnit) -> Expression:
    """Truncate by arithmetic and calendar, so that the zone and first weekday of the session do not matter."""
    if column.type is ColumnType.DATE:
        return _compile_day_bucket(expression, unit)
    if unit in FIXED_UNIT_SPANS:
        return _compile_floor(expression, *FIXED_UNIT_SPANS[unit])
    day_length: Expression = literal_column(str(DAY_MICROSECONDS))
    midnight = _compile_floor(expression, *FIXED_UNIT_SPANS[TimeUnit.DAY])
    days: Expression = cast(midnight / day_length, DECIMAL(MAX_PRECISION, 0))
    day: Expression = func.DATEADD(literal_column("DAY"), days, EPOCH_DATE)
    bucket: Expression = func.DATEDIFF(literal_column("DAY"), EPOCH_DATE, _compile_day_bucket(day, unit))
    return bucket * day_length


def _compile_day_bucket(day: Expression, unit: TimeUnit) -> Expression:
    if unit is TimeUnit.DAY:
        return day
    if unit is TimeUnit.WEEK:
        back: Expression = literal_column("1") - func.DAYOFWEEKISO(day)
        return cast(func.DATEADD(literal_column("DAY"), back, day), Date())
    return cast(func.DATE_TRUNC(literal_column(f"'{unit}'"), day), Date())


def _compile_floor(column: Expression, span: int, before: int) -> Expression:
    """Round down to a multiple of `span`, below zero too."""
    length: Expression = literal_column(str(span))
    rest: Expression = func.MOD(column + literal_column(str(before)), length)
    return column - func.MOD(rest + length, length)


def compile_snowflake_sum(column: Expression) -> Expression:
    """Sum numbers at the largest precision there is."""
    total: Expression = func.sum(cast(column, DECIMAL(MAX_PRECISION, getattr(column.type, "scale", None) or 0)))
    return total


def _compile_text_function(name: str) -> Callable[[Expression, Any], Expression]:
    function = getattr(func, name)
    return lambda column, value: function(column, value)


SNOWFLAKE_DIALECT = SqlDialect(
    compiler=SnowflakeDialect(paramstyle="qmark"),
    parameter_encoding=ParameterEncoding(pack_keys=pack_snowflake_keys, build_sum_column=build_snowflake_sum_column),
    compile_in_keys=compile_snowflake_in_keys,
    text_matches={
        Op.CONTAINS: _compile_text_function("CONTAINS"),
        Op.STARTS_WITH: _compile_text_function("STARTSWITH"),
        Op.ENDS_WITH: _compile_text_function("ENDSWITH"),
    },
    collate_text=lambda column: column,
    bind_parameter=bind_snowflake_parameter,
    compile_read=lambda expression, _: expression,
    compile_time_bucket=compile_snowflake_time_bucket,
    compile_sum=compile_snowflake_sum,
    live_columns_sql=LIVE_COLUMNS_SQL,
    rewrite_predicate=push_negations_down,
    negate=negate,
)
