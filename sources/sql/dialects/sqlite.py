"""SQLite's way: two types of our own for money and times, keys as one JSON text, sums that cannot overflow."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from sqlalchemy import Integer, String, and_, bindparam, case, cast, func, literal_column, select, tuple_
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect

from engine.words import Kind, Op, Unit
from sources.sql.columns import Stored
from sources.sql.shape import Binding, Slot
from sources.sql.statement import Dialect, Expression
from sources.sql.values import EXACT

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CENT = Decimal("0.01")
MICRO = timedelta(microseconds=1)
COMPILER = sqlite_dialect(paramstyle="qmark")
KINDS = (
    ("INT", Kind.INTEGER),
    ("BOOL", Kind.BOOLEAN),
    ("CHAR", Kind.TEXT),
    ("CLOB", Kind.TEXT),
    ("TEXT", Kind.TEXT),
)


def stored(name: str, declared: str, *, nullable: bool) -> Stored | None:
    """What a column of this declared type holds, by SQLite's rules of affinity and two types of our own.

    `MINOR_UNITS_INT` keeps money as whole cents, `UTC_MICROS_INT` times as microseconds since 1970.
    """
    if declared.startswith("MINOR_UNITS"):
        return Stored(
            name=name, kind=Kind.DECIMAL, nullable=nullable, scale=2, minor_units=True, encode=cents, decode=money
        )
    if declared.startswith("UTC_MICROS"):
        return Stored(name=name, kind=Kind.TIME, nullable=nullable, encode=micros, decode=moment)
    kind = next((kind for part, kind in KINDS if part in declared), None)
    match kind:
        case Kind.BOOLEAN:
            return Stored(name=name, kind=kind, nullable=nullable, encode=int, decode=bool)
        case Kind.INTEGER | Kind.TEXT:
            return Stored(name=name, kind=kind, nullable=nullable)
    return foreign(name, declared, nullable=nullable)


def foreign(name: str, declared: str, *, nullable: bool) -> Stored | None:
    """Columns of databases that others made: days as ISO text, times without a zone in UTC, money as floats."""
    if declared == "DATE":
        return Stored(name=name, kind=Kind.DATE, nullable=nullable, encode=date.isoformat, decode=date.fromisoformat)
    if declared.startswith(("DATETIME", "TIMESTAMP")):
        return Stored(name=name, kind=Kind.TIME, nullable=nullable, foreign=True, decode=in_utc)
    if declared.startswith(("NUMERIC", "DECIMAL")):
        places = declared.rstrip(")").rpartition(",")[2] if "," in declared else "2"
        quantised = partial(exact, places=int(places))
        return Stored(name=name, kind=Kind.DECIMAL, nullable=nullable, foreign=True, decode=quantised)
    if any(part in declared for part in ("REAL", "FLOA", "DOUB")):
        return Stored(name=name, kind=Kind.FLOAT, nullable=nullable, decode=float)
    return None


def cents(value: Decimal) -> int:
    return int(value.scaleb(2, EXACT))


def money(value: int) -> Decimal:
    """Of 64 bits, which no context of decimals rounds."""
    return value * CENT


def micros(value: datetime) -> int:
    return (value - EPOCH) // MICRO


def moment(value: int) -> datetime:
    return EPOCH + value * MICRO


def in_utc(value: str) -> datetime:
    found = datetime.fromisoformat(value)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def exact(value: Any, places: int) -> Decimal:
    return Decimal(str(value)).quantize(Decimal(1).scaleb(-places))


def packed(values: Sequence[Sequence[Any]], stored: Sequence[Stored]) -> Sequence[Any]:
    """One JSON text, so that the statement is the same for one key and for thousands."""
    return (json.dumps(values[0] if len(values) == 1 else list(zip(*values, strict=True))),)


def among(columns: Sequence[Expression], slots: Sequence[Slot], stored: Sequence[Stored]) -> Expression:
    listed = func.json_each(bindparam(slots[0].name, type_=String())).table_valued("value")
    if len(columns) == 1:
        return columns[0].in_(select(listed.c.value))
    parts = [func.json_extract(listed.c.value, literal_column(f"'$[{at}]'")) for at in range(len(columns))]
    return tuple_(*columns).in_(select(*parts))


def starts(column: Expression, value: Any) -> Expression:
    found: Expression = func.substr(column, literal_column("1"), func.length(value)) == value
    return found


def ends(column: Expression, value: Any) -> Expression:
    longer = func.length(column) >= func.length(value)
    return and_(longer, func.substr(column, func.length(column) - func.length(value) + literal_column("1")) == value)


def contains(column: Expression, value: Any) -> Expression:
    found: Expression = func.instr(column, value) > literal_column("0")
    return found


HALF: Expression = literal_column("32")
LOW: Expression = literal_column(str(2**32 - 1))
BIAS = 2**62
WIDE = BIAS << 32


def total(column: Expression) -> Expression:
    """The upper and the lower half of each number summed apart, then written as digits that sort as the sums do.

    `sum` itself fails beyond 64 bits.
    """
    high = func.sum(column.op(">>")(HALF))
    low = func.sum(column.op("&")(LOW))
    carried = high + low.op(">>")(HALF) + literal_column(str(BIAS))
    return case((func.count(column) > literal_column("0"), func.printf(DIGITS, carried, low.op("&")(LOW))))


DIGITS: Expression = literal_column("'%019lld%010lld'")


def written(whole: int) -> str:
    return f"{(whole >> 32) + BIAS:019}{whole & (2**32 - 1):010}"


def whole(digits: str) -> int:
    return (int(digits[:19]) - BIAS << 32) + int(digits[19:])


def summed(stored: Stored) -> Stored:
    if stored.minor_units:
        return replace(stored, most=WIDE, encode=lambda value: written(cents(value)), decode=summed_money)
    return replace(stored, most=WIDE, encode=written, decode=whole)


def summed_money(digits: str) -> Decimal:
    return EXACT.multiply(whole(digits), CENT)


SECOND = 10**6
DAY = 86_400 * SECOND
TIGHT = 8
"""Binds as `*` does: what is added on its left stands in brackets."""
SPANS = {Unit.HOUR: (3600 * SECOND, 0), Unit.DAY: (DAY, 0), Unit.WEEK: (7 * DAY, 3 * DAY)}
"""In microseconds, and how long before 1970 one began."""
MODIFIERS: Mapping[Unit, Callable[..., Sequence[Expression]]] = {
    Unit.WEEK: lambda *_: (literal_column("'-6 days'"), literal_column("'weekday 1'")),
    Unit.MONTH: lambda *_: (literal_column("'start of month'"),),
    Unit.QUARTER: lambda *day: (literal_column("'start of month'"), _months(day)),
    Unit.YEAR: lambda *_: (literal_column("'start of year'"),),
}
"""Of SQLite's functions of time: from a day to where its unit begins."""


def cut(column: Expression, stored: Stored, unit: Unit) -> Expression:
    if stored.kind is Kind.DATE:
        return column if unit is Unit.DAY else func.date(column, *MODIFIERS[unit](column))
    if unit in SPANS:
        return _floor(column, *SPANS[unit])
    seconds = _floor(column, DAY, 0).op("/", TIGHT)(literal_column(str(SECOND)))
    day: Sequence[Expression] = (seconds, literal_column("'unixepoch'"))
    began = cast(func.strftime(literal_column("'%s'"), *day, *MODIFIERS[unit](*day)), Integer())
    return began * literal_column(str(SECOND))


def _floor(column: Expression, span: int, before: int) -> Expression:
    """Rounded down, below zero too."""
    size: Expression = literal_column(str(span))
    over = (column + literal_column(str(before))).op("%", TIGHT)(size)
    return column - (over + size).op("%", TIGHT)(size)


def _months(day: Sequence[Expression]) -> Expression:
    """How many have passed of a quarter."""
    passed = (func.strftime(literal_column("'%m'"), *day) + literal_column("2")).op("%", TIGHT)(literal_column("3"))
    return literal_column("'-'").op("||")(passed).op("||")(literal_column("' months'"))


DIALECT = Dialect(
    binding=Binding(packed=packed, summed=summed),
    among=among,
    like={
        Op.CONTAINS: contains,
        Op.STARTS_WITH: starts,
        Op.ENDS_WITH: ends,
        Op.I_CONTAINS: lambda column, value: contains(func.lowered(column), func.lowered(value)),
        Op.I_STARTS_WITH: lambda column, value: starts(func.lowered(column), func.lowered(value)),
        Op.I_ENDS_WITH: lambda column, value: ends(func.lowered(column), func.lowered(value)),
    },
    collated=lambda column: column,
    bound=lambda slot, _: bindparam(slot.name),
    shown=lambda column, _: column,
    cut=cut,
    total=total,
)
