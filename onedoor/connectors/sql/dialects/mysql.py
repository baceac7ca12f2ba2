"""MySQL's way, and MariaDB's: text read so that it compares by code point, keys as one JSON text."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import String, bindparam, cast, func, literal_column, select, text, tuple_
from sqlalchemy.dialects.mysql import DATE, DATETIME, DECIMAL
from sqlalchemy.dialects.mysql.base import MySQLCompiler, MySQLDialect
from sqlalchemy.sql.elements import UnaryExpression

from onedoor.connectors.sql.compiler import Expression, ParameterEncoding, ParameterIndex, SqlDialect
from onedoor.connectors.sql.introspection import INTEGER_LIMIT, SqlColumn
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.predicates import Op
from onedoor.spi.scan import TimeUnit

MYSQL_COLUMN_TYPES: Mapping[str, ColumnType] = {
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "int", "bigint", "year"), ColumnType.INTEGER),
    "decimal": ColumnType.DECIMAL,
    "float": ColumnType.FLOAT,
    "double": ColumnType.FLOAT,
    "date": ColumnType.DATE,
    "datetime": ColumnType.TIME,
    "timestamp": ColumnType.TIME,
    **dict.fromkeys(("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"), ColumnType.TEXT),
}

MYSQL_BOOLEAN_TYPES = frozenset({"tinyint(1)", "bit(1)"})

MYSQL_READ_AS_TEXT = frozenset({"json", "uuid", "inet4", "inet6"})

CODE_POINT_COLLATIONS = {True: "utf8mb4_nopad_bin", False: "utf8mb4_0900_bin"}
"""Text by code point, its spaces and all, as MariaDB calls it and as MySQL does."""

MYSQL_SQL_TYPES: Mapping[ColumnType, str] = {
    ColumnType.TEXT: "LONGTEXT CHARACTER SET utf8mb4",
    ColumnType.INTEGER: "BIGINT",
    ColumnType.DECIMAL: "DECIMAL(65, 30)",
    ColumnType.FLOAT: "DOUBLE",
    ColumnType.BOOLEAN: "INT",
    ColumnType.DATE: "DATE",
    ColumnType.TIME: "DATETIME(6)",
}
"""What a key is read back to, and a value that came as text is taken for."""

MYSQL_SUM_TYPE = "DECIMAL(65, 0)"

MYSQL_CAST_TYPES: Mapping[str, Any] = {
    MYSQL_SUM_TYPE: DECIMAL(65, 0),
    "DECIMAL(65, 30)": DECIMAL(65, 30),
    "DATE": DATE(),
    "DATETIME(6)": DATETIME(fsp=6),
}


class MysqlStatementCompiler(MySQLCompiler):
    """MySQL has no words for where nulls come: whether a value is null is ordered by before the value."""

    def visit_nulls_last_op_unary_modifier(self, unary: UnaryExpression[Any], _: Any, **more: Any) -> str:
        return f"{self._compile_is_null(unary, **more)}, {self.process(unary.element, **more)}"

    def visit_nulls_first_op_unary_modifier(self, unary: UnaryExpression[Any], _: Any, **more: Any) -> str:
        return f"{self._compile_is_null(unary, **more)} DESC, {self.process(unary.element, **more)}"

    def _compile_is_null(self, unary: UnaryExpression[Any], **more: Any) -> str:
        way: Any = unary.element
        return f"{self.process(way.element, **more)} IS NULL"


MYSQL_COMPILER = MySQLDialect(paramstyle="format")

MYSQL_COMPILER.statement_compiler = MysqlStatementCompiler


def map_mysql_column(name: str, data_type: str, column_type: str, *, nullable: bool) -> SqlColumn | None:
    """`whole` is the type with its length, `declared` without."""
    if column_type in MYSQL_BOOLEAN_TYPES:
        return SqlColumn(
            name=name,
            type=ColumnType.BOOLEAN,
            nullable=nullable,
            encode=int,
            decode=bool,
            read_expression=compile_truth,
        )
    if data_type in MYSQL_READ_AS_TEXT:
        return SqlColumn(name=name, type=ColumnType.TEXT, nullable=nullable, read_as_text=True)
    kind = MYSQL_COLUMN_TYPES.get(data_type)
    if kind is None:
        return None
    return SqlColumn(
        name=name, type=kind, nullable=nullable, encode=MYSQL_ENCODERS.get(kind), decode=MYSQL_DECODERS.get(kind)
    )


def compile_truth(column: Expression) -> Expression:
    return column != literal_column("0")


def build_code_point_reader(
    column: SqlColumn, charset: str | None, collation: str | None, code_point_collation: str
) -> Callable[[Expression], Expression] | None:
    """How text is read so that it compares by code point; None where the column does so of itself."""
    if column.type is not ColumnType.TEXT or collation == code_point_collation:
        return None
    if charset == "utf8mb4" and not column.read_as_text:
        return lambda found: found.collate(code_point_collation)
    return lambda found: cast(found, String()).collate(code_point_collation)


def attach_utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC)


def format_utc_time(value: datetime) -> str:
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")


MYSQL_ENCODERS: Mapping[ColumnType, Callable[[Any], Any]] = {
    ColumnType.DECIMAL: lambda value: format(value, "f"),
    ColumnType.DATE: date.isoformat,
    ColumnType.TIME: format_utc_time,
}

MYSQL_DECODERS: Mapping[ColumnType, Callable[[Any], Any]] = {ColumnType.DECIMAL: Decimal, ColumnType.TIME: attach_utc}


def get_mysql_type(column: SqlColumn) -> str:
    return (
        MYSQL_SUM_TYPE
        if column.type is ColumnType.INTEGER and column.exclusive_limit > INTEGER_LIMIT
        else MYSQL_SQL_TYPES[column.type]
    )


def pack_mysql_keys(values: Sequence[Sequence[Any]], column: Sequence[SqlColumn]) -> Sequence[Any]:
    """One JSON text, so that the statement is the same for one key and for thousands."""
    return (json.dumps(list(zip(*values, strict=True)), separators=(",", ":")),)


def compile_mysql_in_keys(
    columns: Sequence[Expression], parameters: Sequence[ParameterIndex], column: Sequence[SqlColumn]
) -> Expression:
    name = parameters[0].name
    kinds = (f"k{at} {get_mysql_type(each)} PATH '$[{at}]'" for at, each in enumerate(column))
    listed = text(f"JSON_TABLE(:{name}, '$[*]' COLUMNS ({', '.join(kinds)})) AS listed")
    parts: list[Any] = [literal_column(f"listed.k{at}") for at in range(len(columns))]
    wanted: Any = select(*parts).select_from(listed.bindparams(bindparam(name, type_=String())))
    return columns[0].in_(wanted) if len(columns) == 1 else tuple_(*columns).in_(wanted)


def bind_mysql_parameter(parameter: ParameterIndex, column: SqlColumn) -> Expression:
    """A text stands for what has no type of its own on the wire."""
    if column.type not in MYSQL_ENCODERS and column.exclusive_limit == INTEGER_LIMIT:
        return bindparam(parameter.name)
    return cast(bindparam(parameter.name, type_=String()), MYSQL_CAST_TYPES[get_mysql_type(column)])


def compile_mysql_starts_with(column: Expression, value: Any) -> Expression:
    found: Expression = func.left(column, func.char_length(value)) == value
    return found


def compile_mysql_ends_with(column: Expression, value: Any) -> Expression:
    found: Expression = func.right(column, func.char_length(value)) == value
    return found


def compile_mysql_contains(column: Expression, value: Any) -> Expression:
    found: Expression = func.locate(value, column) > literal_column("0")
    return found


def build_mysql_sum_column(column: SqlColumn) -> SqlColumn:
    """A sum of whole numbers comes as a decimal number without decimals."""
    if column.type is not ColumnType.INTEGER:
        return column
    return replace(column, exclusive_limit=10**60, encode=str, decode=int, read_expression=None)


ELAPSED_DAYS_IN_UNIT: Mapping[TimeUnit, Callable[[Expression], tuple[str, Expression]]] = {
    TimeUnit.WEEK: lambda day: ("DAY", func.weekday(day)),
    TimeUnit.MONTH: lambda day: ("DAY", func.dayofmonth(day) - literal_column("1")),
    TimeUnit.YEAR: lambda day: ("DAY", func.dayofyear(day) - literal_column("1")),
}
"""How many days of a unit are over."""


def compile_mysql_time_bucket(column: Expression, sql_column: SqlColumn, unit: TimeUnit) -> Expression:
    day: Expression = func.date(column)
    if unit is TimeUnit.HOUR:
        return _compile_timestamp_add("HOUR", func.hour(column), _compile_midnight(day))
    began = _compile_unit_start(day, unit)
    return _compile_midnight(began) if sql_column.type is ColumnType.TIME else began


def _compile_unit_start(day: Expression, unit: TimeUnit) -> Expression:
    if unit is TimeUnit.DAY:
        return day
    if unit is TimeUnit.QUARTER:
        over: Expression = func.mod(func.month(day) - literal_column("1"), literal_column("3"))
        return _compile_timestamp_add("MONTH", -over, _compile_unit_start(day, TimeUnit.MONTH))
    span, over = ELAPSED_DAYS_IN_UNIT[unit](day)
    return _compile_timestamp_add(span, -over, day)


def _compile_timestamp_add(span: str, count: Expression, to: Expression) -> Expression:
    found: Expression = func.timestampadd(literal_column(span), count, to)
    return found


def _compile_midnight(day: Expression) -> Expression:
    return cast(day, MYSQL_CAST_TYPES["DATETIME(6)"])


MYSQL_DIALECT = SqlDialect(
    parameter_encoding=ParameterEncoding(pack_keys=pack_mysql_keys, build_sum_column=build_mysql_sum_column),
    compile_in_keys=compile_mysql_in_keys,
    text_matches={
        Op.CONTAINS: compile_mysql_contains,
        Op.STARTS_WITH: compile_mysql_starts_with,
        Op.ENDS_WITH: compile_mysql_ends_with,
    },
    collate_text=lambda column: column,
    bind_parameter=bind_mysql_parameter,
    compile_read=lambda column, _: column,
    compile_time_bucket=compile_mysql_time_bucket,
    compile_sum=lambda column: func.sum(column),
)
