"""Define the dialect of MySQL and MariaDB: text compared by code point, keys bound as one JSON text."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import String, and_, bindparam, cast, func, literal_column, select, text, tuple_
from sqlalchemy.dialects.mysql import DATE, DATETIME, DECIMAL
from sqlalchemy.dialects.mysql.base import MySQLCompiler, MySQLDialect
from sqlalchemy.sql.elements import UnaryExpression

from onedoor.connectors.sql.scope import Expression, SqlDialect
from onedoor.connectors.sql.shape import ParameterEncoding, ParameterIndex
from onedoor.connectors.sql.single_precision import build_single_column
from onedoor.connectors.sql.tables import INTEGER_LIMIT, NativeType, RowRead, SqlColumn, encode_base64, format_utc_time
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.predicates import Op
from onedoor.spi.scan import TimeUnit
from onedoor.spi.text_types import NETWORK_ADDRESS, UUID, TextType, build_enum_type

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

MYSQL_READ_AS_TEXT = frozenset({"json", "time"})

MARIADB_TEXT_TYPES: Mapping[str, TextType] = {"uuid": UUID, "inet4": NETWORK_ADDRESS, "inet6": NETWORK_ADDRESS}

UNSIGNED_LIMIT = 2**64

UNSIGNED_BIGINT_PATTERN = re.compile(r"bigint(\(\d+\))? unsigned", re.IGNORECASE)

ENUM_VALUE_PATTERN = re.compile(r"'((?:[^']|'')*)'")

BINARY_TYPES = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"})

GEOMETRY_TYPES = frozenset(
    {
        "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon",
        "geometrycollection", "geomcollection",
    }
)  # fmt: skip

CODE_POINT_COLLATIONS = {True: "utf8mb4_nopad_bin", False: "utf8mb4_0900_bin"}
"""The collation that compares by code point, trailing spaces included, by whether the server is MariaDB."""

MYSQL_SQL_TYPES: Mapping[ColumnType, str] = {
    ColumnType.TEXT: "LONGTEXT CHARACTER SET utf8mb4",
    ColumnType.DECIMAL: "DECIMAL(65, 30)",
    ColumnType.FLOAT: "DOUBLE",
    ColumnType.BOOLEAN: "INT",
    ColumnType.DATE: "DATE",
    ColumnType.TIME: "DATETIME(6)",
}
"""The type that a key in JSON is read as, and that a value bound as text is cast to."""

MYSQL_INTEGER_TYPES: Mapping[int, str] = {INTEGER_LIMIT: "BIGINT", UNSIGNED_LIMIT: "BIGINT UNSIGNED"}

MYSQL_SUM_TYPE = "DECIMAL(65, 0)"

MYSQL_CAST_TYPES: Mapping[str, Any] = {
    MYSQL_SUM_TYPE: DECIMAL(65, 0),
    "DECIMAL(65, 30)": DECIMAL(65, 30),
    "DATE": DATE(),
    "DATETIME(6)": DATETIME(fsp=6),
}


class MysqlStatementCompiler(MySQLCompiler):
    """Orders by whether a value is null before it orders by the value, as MySQL has no NULLS FIRST or LAST."""

    def visit_nulls_last_op_unary_modifier(self, unary: UnaryExpression[Any], _: Any, **options: Any) -> str:
        return f"{self._compile_is_null(unary, **options)}, {self.process(unary.element, **options)}"

    def visit_nulls_first_op_unary_modifier(self, unary: UnaryExpression[Any], _: Any, **options: Any) -> str:
        return f"{self._compile_is_null(unary, **options)} DESC, {self.process(unary.element, **options)}"

    def _compile_is_null(self, unary: UnaryExpression[Any], **options: Any) -> str:
        directed: Any = unary.element
        return f"{self.process(directed.element, **options)} IS NULL"


MYSQL_COMPILER = MySQLDialect(paramstyle="format")

MYSQL_COMPILER.statement_compiler = MysqlStatementCompiler


def map_mysql_column(name: str, data_type: str, column_type: str, *, nullable: bool) -> SqlColumn | None:
    """Map a column, or return None for a type that no ColumnType can hold.

    `column_type` is the declared type with its length, `data_type` without it.
    """
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
        return SqlColumn(
            name=name, type=ColumnType.TEXT, nullable=nullable, read_as_text=True, json=data_type == "json"
        )
    if data_type in MARIADB_TEXT_TYPES:
        return _map_mariadb_column(name, MARIADB_TEXT_TYPES[data_type], nullable=nullable)
    if data_type == "enum":
        return _map_enum_column(name, column_type, nullable=nullable)
    if data_type in BINARY_TYPES:
        return SqlColumn(
            name=name, type=ColumnType.TEXT, nullable=nullable, incomparable=True, binary=True, decode=encode_base64
        )
    if data_type in GEOMETRY_TYPES or data_type == "bit":
        read = compile_well_known_text if data_type in GEOMETRY_TYPES else build_bits_reader(column_type)
        return SqlColumn(name=name, type=ColumnType.TEXT, nullable=nullable, incomparable=True, read_expression=read)
    if data_type == "float":
        return build_single_column(name, nullable=nullable)
    mapped = MYSQL_COLUMN_TYPES.get(data_type)
    if mapped is None:
        return None
    return SqlColumn(
        name=name,
        type=mapped,
        nullable=nullable,
        exclusive_limit=UNSIGNED_LIMIT if UNSIGNED_BIGINT_PATTERN.match(column_type) else INTEGER_LIMIT,
        encode=MYSQL_ENCODERS.get(mapped),
        decode=MYSQL_DECODERS.get(mapped),
    )


def _map_mariadb_column(name: str, text_type: TextType, *, nullable: bool) -> SqlColumn:
    """Map a type that MariaDB compares by itself; it orders UUIDs by their times, as no other database does."""
    return SqlColumn(
        name=name,
        type=ColumnType.TEXT,
        nullable=nullable,
        read_as_text=True,
        native_type=NativeType(name="", order=text_type.is_ranked),
        text_type=text_type,
        decode=text_type.spell,
    )


def _map_enum_column(name: str, column_type: str, *, nullable: bool) -> SqlColumn:
    """Map an enum, which is equal to the text of its value and ordered by the place of that, counted from 1."""
    values = [text.replace("''", "'") for text in ENUM_VALUE_PATTERN.findall(column_type)]
    text_type = build_enum_type(name, values)
    return SqlColumn(
        name=name,
        type=ColumnType.TEXT,
        nullable=nullable,
        native_type=NativeType(name="", order=True),
        text_type=text_type,
        encode_rank=lambda value: values.index(value) + 1,
        rank_expression=lambda text: func.field(text, *map(quote_mysql_text, values)),
        decode=text_type.spell,
    )


def quote_mysql_text(text: str) -> Expression:
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return literal_column(f"'{escaped}'")


def compile_well_known_text(column: Expression) -> Expression:
    text_form: Expression = func.st_astext(column)
    return text_form


def build_bits_reader(column_type: str) -> Callable[[Expression], Expression]:
    """Read bits as digits, as many as the type has: `bit(4)` holds `0101`."""
    length: Expression = literal_column(column_type.removeprefix("bit(").removesuffix(")"))
    return lambda column: func.lpad(func.bin(column + literal_column("0")), length, literal_column("'0'"))


def doubt_mysql_column(column: SqlColumn, *, is_strict: bool) -> SqlColumn:
    """Let a column of days or times have zeros for year, month and day, and days that its month does not have.

    A server that is not strict gives an enum that it does not know the place 0.
    """
    if column.encode_rank is not None and not is_strict:
        return replace(column, validity=lambda enum_column: enum_column > literal_column("0"))
    read = MYSQL_ROW_READS.get(column.type)
    return column if read is None else replace(column, validity=is_showable_moment, row_read=read)


def is_showable_moment(column: Expression) -> Expression:
    """Test whether a day or a time is one of the calendar: with a month, a day of that month, and a year from 1 on."""
    day: Expression = func.date(column)
    return and_(
        func.coalesce(day.between(literal_column("'0001-01-01'"), func.last_day(column)), literal_column("0")),
        func.dayofmonth(column) > literal_column("0"),
    )


def parse_mysql_time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


MYSQL_ROW_READS: Mapping[ColumnType, RowRead] = {
    ColumnType.DATE: RowRead(lambda column: cast(column, String()), date.fromisoformat),
    ColumnType.TIME: RowRead(lambda column: cast(column, String()), parse_mysql_time),
}
"""Rows have days and times as text: the driver gives null for some that are not in the calendar, and refuses others."""


def compile_truth(column: Expression) -> Expression:
    return column != literal_column("0")


def compare_by_code_point(
    column: SqlColumn, charset: str | None, collation: str | None, code_point_collation: str
) -> SqlColumn:
    """Have a text column compared by code point; in its own collation, an index finds the texts to compare."""
    if column.type is not ColumnType.TEXT or column.incomparable:
        return column
    if column.encode_rank is not None and charset == "utf8mb4":
        return replace(
            column,
            native_type=NativeType(name=collation or "", order=True),
            read_expression=lambda enum_column: enum_column.collate(code_point_collation),
        )
    if column.native_type is not None and column.encode_rank is None:
        return replace(
            column,
            read_as_text=False,
            read_expression=lambda native: cast(native, String()).collate(code_point_collation),
        )
    if collation == code_point_collation:
        return replace(column, in_code_point_order=True)
    if charset == "utf8mb4" and not column.read_as_text:
        return replace(
            column,
            native_type=NativeType(name=collation or "", equality=False),
            read_expression=lambda text_column: text_column.collate(code_point_collation),
        )
    return replace(
        column, read_expression=lambda text_column: cast(text_column, String()).collate(code_point_collation)
    )


def lets_zero_dates_in(sql_mode: str) -> bool:
    """Return whether a server in this mode stores dates that are none, such as `0000-00-00`, which read as null."""
    modes = set(sql_mode.upper().split(","))
    return (
        "ALLOW_INVALID_DATES" in modes
        or STRICT_MODES.isdisjoint(modes)
        or not {"NO_ZERO_DATE", "NO_ZERO_IN_DATE"} <= modes
    )


STRICT_MODES = frozenset({"STRICT_TRANS_TABLES", "STRICT_ALL_TABLES"})

ZERO_DATE_PREFIX = "0000-00-00"


def attach_utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC)


MYSQL_ENCODERS: Mapping[ColumnType, Callable[[Any], Any]] = {
    ColumnType.DECIMAL: lambda value: format(value, "f"),
    ColumnType.DATE: date.isoformat,
    ColumnType.TIME: format_utc_time,
}

MYSQL_DECODERS: Mapping[ColumnType, Callable[[Any], Any]] = {ColumnType.DECIMAL: Decimal, ColumnType.TIME: attach_utc}


def get_mysql_type(column: SqlColumn) -> str:
    return (
        MYSQL_INTEGER_TYPES.get(column.exclusive_limit, MYSQL_SUM_TYPE)
        if column.type is ColumnType.INTEGER
        else MYSQL_SQL_TYPES[column.type]
    )


def pack_mysql_keys(values: Sequence[Sequence[Any]], _: Sequence[SqlColumn]) -> Sequence[Any]:
    """Pack all keys in one JSON text, so that their number does not change the statement."""
    return (json.dumps(list(zip(*values, strict=True)), separators=(",", ":")),)


def compile_mysql_in_keys(
    columns: Sequence[Expression], parameters: Sequence[ParameterIndex], stored: Sequence[SqlColumn]
) -> Expression:
    name = parameters[0].name
    types = (f"k{index} {get_mysql_type(column)} PATH '$[{index}]'" for index, column in enumerate(stored))
    listed = text(f"JSON_TABLE(:{name}, '$[*]' COLUMNS ({', '.join(types)})) AS listed")
    parts = [
        _collate_natively(literal_column(f"listed.k{index}", String()), column) for index, column in enumerate(stored)
    ]
    keys: Any = select(*parts).select_from(listed.bindparams(bindparam(name, type_=String())))
    return columns[0].in_(keys) if len(columns) == 1 else tuple_(*columns).in_(keys)


def _collate_natively(value: Expression, column: SqlColumn) -> Expression:
    """Give a value the collation of the column that it is compared with by that column's own equality."""
    return value.collate(column.native_type.name) if column.native_type and column.native_type.name else value


def bind_mysql_parameter(parameter: ParameterIndex, column: SqlColumn) -> Expression:
    """Bind a value as text where the protocol has no type for it."""
    if column.native_type is not None:
        return _collate_natively(bindparam(parameter.name, type_=String()), column)
    if column.type not in MYSQL_ENCODERS and column.exclusive_limit in MYSQL_INTEGER_TYPES:
        return bindparam(parameter.name)
    return cast(bindparam(parameter.name, type_=String()), MYSQL_CAST_TYPES[get_mysql_type(column)])


def compile_mysql_starts_with(column: Expression, value: Any) -> Expression:
    matches: Expression = func.left(column, func.char_length(value)) == value
    return matches


def compile_mysql_ends_with(column: Expression, value: Any) -> Expression:
    matches: Expression = func.right(column, func.char_length(value)) == value
    return matches


def compile_mysql_contains(column: Expression, value: Any) -> Expression:
    matches: Expression = func.locate(value, column) > literal_column("0")
    return matches


def build_mysql_sum_column(column: SqlColumn) -> SqlColumn:
    """Describe a sum: MySQL returns that of whole numbers as a DECIMAL without decimal places."""
    if column.type is not ColumnType.INTEGER:
        return column
    return replace(column, exclusive_limit=10**60, encode=str, decode=int, read_expression=None)


ELAPSED_DAYS_IN_UNIT: Mapping[TimeUnit, Callable[[Expression], tuple[str, Expression]]] = {
    TimeUnit.WEEK: lambda day: ("DAY", func.weekday(day)),
    TimeUnit.MONTH: lambda day: ("DAY", func.dayofmonth(day) - literal_column("1")),
    TimeUnit.YEAR: lambda day: ("DAY", func.dayofyear(day) - literal_column("1")),
}
"""How many days of the unit lie before a day."""


def compile_mysql_time_bucket(column: Expression, sql_column: SqlColumn, unit: TimeUnit) -> Expression:
    day: Expression = func.date(column)
    if unit is TimeUnit.HOUR:
        return _compile_timestamp_add("HOUR", func.hour(column), _compile_midnight(day))
    start = _compile_unit_start(day, unit)
    return _compile_midnight(start) if sql_column.type is ColumnType.TIME else start


def _compile_unit_start(day: Expression, unit: TimeUnit) -> Expression:
    if unit is TimeUnit.DAY:
        return day
    if unit is TimeUnit.QUARTER:
        elapsed: Expression = func.mod(func.month(day) - literal_column("1"), literal_column("3"))
        return _compile_timestamp_add("MONTH", -elapsed, _compile_unit_start(day, TimeUnit.MONTH))
    span, elapsed = ELAPSED_DAYS_IN_UNIT[unit](day)
    return _compile_timestamp_add(span, -elapsed, day)


def _compile_timestamp_add(span: str, count: Expression, to: Expression) -> Expression:
    total: Expression = func.timestampadd(literal_column(span), count, to)
    return total


def _compile_midnight(day: Expression) -> Expression:
    return cast(day, MYSQL_CAST_TYPES["DATETIME(6)"])


LIVE_COLUMNS_SQL = """
    SELECT column_name FROM information_schema.columns
    WHERE table_schema = COALESCE(%s, DATABASE()) AND table_name = %s
"""

MYSQL_DIALECT = SqlDialect(
    compiler=MYSQL_COMPILER,
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
    live_columns_sql=LIVE_COLUMNS_SQL,
)
