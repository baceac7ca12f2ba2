"""PostgreSQL's way: keys as arrays, days and times bound as text, text compared under the collation "C"."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
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
from sqlalchemy import Boolean as Bool
from sqlalchemy.dialects.postgresql.asyncpg import dialect as asyncpg_dialect

from engine.words import Kind, Op, Unit
from sources.sql.columns import MOST, Stored
from sources.sql.shape import Binding, Slot
from sources.sql.statement import Dialect, Expression

COMPILER = asyncpg_dialect()  # type: ignore[no-untyped-call]
KINDS = {
    "smallint": Kind.INTEGER,
    "integer": Kind.INTEGER,
    "bigint": Kind.INTEGER,
    "numeric": Kind.DECIMAL,
    "real": Kind.FLOAT,
    "double precision": Kind.FLOAT,
    "boolean": Kind.BOOLEAN,
    "date": Kind.DATE,
    "timestamp with time zone": Kind.TIME,
    "timestamp without time zone": Kind.TIME,
    "text": Kind.TEXT,
    "character varying": Kind.TEXT,
}
AS_TEXT = frozenset({"uuid", "USER-DEFINED", "json", "jsonb", "character", "name", "inet", "interval"})
SQL_TYPES: Mapping[Kind, Any] = {
    Kind.INTEGER: BigInteger(),
    Kind.DECIMAL: Numeric(),
    Kind.FLOAT: Float(),
    Kind.BOOLEAN: Bool(),
    Kind.DATE: Date(),
    Kind.TIME: DateTime(timezone=True),
    Kind.TEXT: String(),
}
WRITTEN_OUT = frozenset({Kind.DATE, Kind.TIME})
"""Bound as ISO text: asyncpg sends the first and the last day and moment that Python knows as infinities."""
ENCODE: Mapping[Kind, Any] = {Kind.DATE: date.isoformat, Kind.TIME: datetime.isoformat}


def stored(name: str, declared: str, *, nullable: bool) -> Stored | None:
    if declared in AS_TEXT:
        return Stored(name=name, kind=Kind.TEXT, nullable=nullable, as_text=True)
    kind = KINDS.get(declared)
    if kind is None:
        return None
    if declared == "timestamp without time zone":
        return Stored(name=name, kind=kind, nullable=nullable, zoneless=True, encode=without_zone)
    return Stored(name=name, kind=kind, nullable=nullable, encode=ENCODE.get(kind))


def without_zone(value: datetime) -> str:
    """Read as a time with a zone it says the same: the session's zone is UTC."""
    return value.astimezone(UTC).replace(tzinfo=None).isoformat()


def packed(values: Sequence[Sequence[Any]], stored: Sequence[Stored]) -> Sequence[Any]:
    """An array for each column, so that the statement is the same for one key and for thousands."""
    return values


def among(columns: Sequence[Expression], slots: Sequence[Slot], stored: Sequence[Stored]) -> Expression:
    if len(columns) == 1:
        return columns[0] == func.any(_array(slots[0], stored[0]))
    keys = listed(slots, stored)
    return tuple_(*columns).in_(select(*keys.c))


def listed(slots: Sequence[Slot], stored: Sequence[Stored]) -> FromClause:
    arrays = [_array(slot, each) for slot, each in zip(slots, stored, strict=True)]
    names = [f"k{at}" for at in range(len(slots))]
    return func.unnest(*arrays).table_valued(*names).render_derived(name="k")


def bound(slot: Slot, stored: Stored) -> Expression:
    if stored.kind in WRITTEN_OUT:
        return cast(bindparam(slot.name, type_=String()), _sql_type(stored))
    return bindparam(slot.name, type_=_sql_type(stored))


def _array(slot: Slot, stored: Stored) -> Expression:
    if stored.kind in WRITTEN_OUT:
        return cast(bindparam(slot.name, type_=ARRAY(String())), ARRAY(_sql_type(stored)))
    return bindparam(slot.name, type_=ARRAY(_sql_type(stored)))


def _sql_type(stored: Stored) -> Any:
    if stored.zoneless:
        return DateTime(timezone=False)
    return Numeric() if stored.most > MOST else SQL_TYPES[stored.kind]


def shown(column: Expression, stored: Stored) -> Expression:
    return func.timezone(literal_column("'UTC'"), column) if stored.zoneless else column


def cut(column: Expression, stored: Stored, unit: Unit) -> Expression:
    """The session's zone is UTC; weeks are those of ISO 8601."""
    name: Expression = literal_column(f"'{unit.lower()}'")
    if stored.kind is Kind.DATE:
        return cast(func.date_trunc(name, cast(column, DateTime())), Date())
    return func.date_trunc(name, column)


def summed(stored: Stored) -> Stored:
    """PostgreSQL sums 64 bits up to a numeric, which has no end."""
    return replace(stored, most=MOST**4, decode=int) if stored.kind is Kind.INTEGER else stored


DIALECT = Dialect(
    binding=Binding(packed=packed, summed=summed),
    among=among,
    like={
        Op.CONTAINS: lambda column, value: func.strpos(column, value) > literal_column("0"),
        Op.STARTS_WITH: lambda column, value: func.starts_with(column, value),
        Op.ENDS_WITH: lambda column, value: func.right(column, func.length(value)) == value,
    },
    collated=lambda column: column.collate("C"),
    bound=bound,
    shown=shown,
    cut=cut,
    total=lambda column: func.sum(column),
    listed=listed,
)
