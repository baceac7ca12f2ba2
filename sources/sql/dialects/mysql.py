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

from engine.words import Kind, Op, Unit
from sources.sql.columns import MOST, Stored
from sources.sql.shape import Binding, Slot
from sources.sql.statement import Dialect, Expression

KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "int", "bigint", "year"), Kind.INTEGER),
    "decimal": Kind.DECIMAL,
    "float": Kind.FLOAT,
    "double": Kind.FLOAT,
    "date": Kind.DATE,
    "datetime": Kind.TIME,
    "timestamp": Kind.TIME,
    **dict.fromkeys(("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"), Kind.TEXT),
}
YES_OR_NO = frozenset({"tinyint(1)", "bit(1)"})
AS_TEXT = frozenset({"json", "uuid", "inet4", "inet6"})
EXACT = {True: "utf8mb4_nopad_bin", False: "utf8mb4_0900_bin"}
"""Text by code point, its spaces and all, as MariaDB calls it and as MySQL does."""
SQL_TYPES: Mapping[Kind, str] = {
    Kind.TEXT: "LONGTEXT CHARACTER SET utf8mb4",
    Kind.INTEGER: "BIGINT",
    Kind.DECIMAL: "DECIMAL(65, 30)",
    Kind.FLOAT: "DOUBLE",
    Kind.BOOLEAN: "INT",
    Kind.DATE: "DATE",
    Kind.TIME: "DATETIME(6)",
}
"""What a key is read back to, and a value that came as text is taken for."""
SUM = "DECIMAL(65, 0)"
CASTS: Mapping[str, Any] = {
    SUM: DECIMAL(65, 0),
    "DECIMAL(65, 30)": DECIMAL(65, 30),
    "DATE": DATE(),
    "DATETIME(6)": DATETIME(fsp=6),
}


class Compiler(MySQLCompiler):
    """MySQL has no words for where nulls come: whether a value is null is ordered by before the value."""

    def visit_nulls_last_op_unary_modifier(self, unary: UnaryExpression[Any], _: Any, **more: Any) -> str:
        return f"{self._null(unary, **more)}, {self.process(unary.element, **more)}"

    def visit_nulls_first_op_unary_modifier(self, unary: UnaryExpression[Any], _: Any, **more: Any) -> str:
        return f"{self._null(unary, **more)} DESC, {self.process(unary.element, **more)}"

    def _null(self, unary: UnaryExpression[Any], **more: Any) -> str:
        way: Any = unary.element
        return f"{self.process(way.element, **more)} IS NULL"


COMPILER = MySQLDialect(paramstyle="format")
COMPILER.statement_compiler = Compiler


def stored(name: str, declared: str, whole: str, *, nullable: bool) -> Stored | None:
    """`whole` is the type with its length, `declared` without."""
    if whole in YES_OR_NO:
        return Stored(name=name, kind=Kind.BOOLEAN, nullable=nullable, encode=int, decode=bool, read=truth)
    if declared in AS_TEXT:
        return Stored(name=name, kind=Kind.TEXT, nullable=nullable, as_text=True)
    kind = KINDS.get(declared)
    if kind is None:
        return None
    return Stored(name=name, kind=kind, nullable=nullable, encode=ENCODE.get(kind), decode=DECODE.get(kind))


def truth(column: Expression) -> Expression:
    return column != literal_column("0")


def exactly(
    column: Stored, letters: str | None, collation: str | None, exact: str
) -> Callable[[Expression], Expression] | None:
    """How text is read so that it compares by code point; None where the column does so of itself."""
    if column.kind is not Kind.TEXT or collation == exact:
        return None
    if letters == "utf8mb4" and not column.as_text:
        return lambda found: found.collate(exact)
    return lambda found: cast(found, String()).collate(exact)


def in_utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC)


def moment(value: datetime) -> str:
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ")


ENCODE: Mapping[Kind, Callable[[Any], Any]] = {
    Kind.DECIMAL: lambda value: format(value, "f"),
    Kind.DATE: date.isoformat,
    Kind.TIME: moment,
}
DECODE: Mapping[Kind, Callable[[Any], Any]] = {Kind.DECIMAL: Decimal, Kind.TIME: in_utc}


def sql_type(stored: Stored) -> str:
    return SUM if stored.kind is Kind.INTEGER and stored.most > MOST else SQL_TYPES[stored.kind]


def packed(values: Sequence[Sequence[Any]], stored: Sequence[Stored]) -> Sequence[Any]:
    """One JSON text, so that the statement is the same for one key and for thousands."""
    return (json.dumps(list(zip(*values, strict=True)), separators=(",", ":")),)


def among(columns: Sequence[Expression], slots: Sequence[Slot], stored: Sequence[Stored]) -> Expression:
    name = slots[0].name
    kinds = (f"k{at} {sql_type(each)} PATH '$[{at}]'" for at, each in enumerate(stored))
    listed = text(f"JSON_TABLE(:{name}, '$[*]' COLUMNS ({', '.join(kinds)})) AS listed")
    parts: list[Any] = [literal_column(f"listed.k{at}") for at in range(len(columns))]
    wanted: Any = select(*parts).select_from(listed.bindparams(bindparam(name, type_=String())))
    return columns[0].in_(wanted) if len(columns) == 1 else tuple_(*columns).in_(wanted)


def bound(slot: Slot, stored: Stored) -> Expression:
    """A text stands for what has no type of its own on the wire."""
    if stored.kind not in ENCODE and stored.most == MOST:
        return bindparam(slot.name)
    return cast(bindparam(slot.name, type_=String()), CASTS[sql_type(stored)])


def starts(column: Expression, value: Any) -> Expression:
    found: Expression = func.left(column, func.char_length(value)) == value
    return found


def ends(column: Expression, value: Any) -> Expression:
    found: Expression = func.right(column, func.char_length(value)) == value
    return found


def contains(column: Expression, value: Any) -> Expression:
    found: Expression = func.locate(value, column) > literal_column("0")
    return found


def summed(stored: Stored) -> Stored:
    """A sum of whole numbers comes as a decimal number without decimals."""
    if stored.kind is not Kind.INTEGER:
        return stored
    return replace(stored, most=10**60, encode=str, decode=int, read=None)


BEFORE: Mapping[Unit, Callable[[Expression], tuple[str, Expression]]] = {
    Unit.WEEK: lambda day: ("DAY", func.weekday(day)),
    Unit.MONTH: lambda day: ("DAY", func.dayofmonth(day) - literal_column("1")),
    Unit.YEAR: lambda day: ("DAY", func.dayofyear(day) - literal_column("1")),
}
"""How many days of a unit are over."""


def cut(column: Expression, stored: Stored, unit: Unit) -> Expression:
    day: Expression = func.date(column)
    if unit is Unit.HOUR:
        return _added("HOUR", func.hour(column), _midnight(day))
    began = _began(day, unit)
    return _midnight(began) if stored.kind is Kind.TIME else began


def _began(day: Expression, unit: Unit) -> Expression:
    if unit is Unit.DAY:
        return day
    if unit is Unit.QUARTER:
        over: Expression = func.mod(func.month(day) - literal_column("1"), literal_column("3"))
        return _added("MONTH", -over, _began(day, Unit.MONTH))
    span, over = BEFORE[unit](day)
    return _added(span, -over, day)


def _added(span: str, count: Expression, to: Expression) -> Expression:
    found: Expression = func.timestampadd(literal_column(span), count, to)
    return found


def _midnight(day: Expression) -> Expression:
    return cast(day, CASTS["DATETIME(6)"])


DIALECT = Dialect(
    binding=Binding(packed=packed, summed=summed),
    among=among,
    like={Op.CONTAINS: contains, Op.STARTS_WITH: starts, Op.ENDS_WITH: ends},
    collated=lambda column: column,
    bound=bound,
    shown=lambda column, _: column,
    cut=cut,
    total=lambda column: func.sum(column),
)
