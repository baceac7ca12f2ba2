"""Rows of information_schema.columns go in, the collections with what can be asked of them come out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from engine.words import Aggregate, Can, Column, Kind, Op, Row, Unit

COLUMNS_SQL = (
    "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, NUMERIC_PRECISION, NUMERIC_SCALE FROM INFORMATION_SCHEMA.COLUMNS "
    "WHERE TABLE_SCHEMA = ? ORDER BY TABLE_NAME, ORDINAL_POSITION"
)
ROWS_SQL = "SELECT TABLE_NAME, ROW_COUNT FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = ?"
MARKER = "ONEDOOR_CHANGE"
"""The table that keeps what came of each change; it is no collection."""
KEYS = 1000
AMONG = 10_000
EPOCH = "EPOCH"
"""The type of a time that was read as microseconds since 1970; no table has it."""
KINDS = {
    "TEXT": Kind.TEXT,
    "BOOLEAN": Kind.BOOLEAN,
    "DATE": Kind.DATE,
    "FLOAT": Kind.FLOAT,
    "TIMESTAMP_TZ": Kind.TIME,
    "TIMESTAMP_LTZ": Kind.TIME,
    "TIMESTAMP_NTZ": Kind.TIME,
}
EVERY = frozenset({Op.EQ, Op.NE, Op.IN, Op.NOT_IN, Op.IS_NULL})
ORDERED = EVERY | {Op.LT, Op.LTE, Op.GT, Op.GTE}
TEXTUAL = ORDERED | {Op.CONTAINS, Op.STARTS_WITH, Op.ENDS_WITH}
DISTINCT = frozenset({Aggregate.COUNT, Aggregate.COUNT_DISTINCT})
EXTREME = DISTINCT | {Aggregate.MIN, Aggregate.MAX}
MEASURES = {
    Kind.BOOLEAN: DISTINCT,
    Kind.INTEGER: EXTREME | {Aggregate.SUM},
    Kind.DECIMAL: EXTREME | {Aggregate.SUM},
}
"""By kind, EXTREME of the others. A sum of floats depends on their order, so none is promised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A column as Snowflake has it; precision and scale count decimal digits and are 0 where it holds no NUMBER."""

    name: str
    kind: Kind
    type: str
    precision: int = 0
    scale: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table or view: its real name, its columns by lower-case name, and its promise."""

    name: str
    columns: Mapping[str, Stored]
    can: Can


def tables(rows: Iterable[Row], sizes: Iterable[Row] = ()) -> Mapping[str, Table]:
    """The tables by lower-case name. Columns of a type that no kind can hold are left out."""
    many = {name: None if count is None else int(count) for name, count in sizes}
    found: dict[str, dict[str, Stored]] = {}
    for table, *column in (each for each in rows if each[0] != MARKER):
        columns = found.setdefault(table, {})
        if (stored := stored_column(*column)) is not None:
            columns[stored.name.lower()] = stored
    return {
        name.lower(): Table(name=name, columns=columns, can=promise(columns, many.get(name)))
        for name, columns in found.items()
    }


def stored_column(name: str, type: str, precision: int | None, scale: int | None) -> Stored | None:
    if type == "NUMBER":
        kind = Kind.DECIMAL if scale else Kind.INTEGER
        return Stored(name=name, kind=kind, type=type, precision=precision or 38, scale=scale or 0)
    return Stored(name=name, kind=KINDS[type], type=type) if type in KINDS else None


def promise(columns: Mapping[str, Stored], rows: int | None = None) -> Can:
    return Can(
        columns={
            name: Column(stored.kind, operators(stored.kind), True, MEASURES.get(stored.kind, EXTREME))
            for name, stored in columns.items()
        },
        keys=KEYS,
        logic=True,
        related=True,
        among=AMONG,
        limit=True,
        limit_per_key=True,
        measures=True,
        cuts=frozenset(Unit),
        arranges=True,
        rows=rows,
    )


def operators(kind: Kind) -> frozenset[Op]:
    """What Snowflake answers as the words mean it; not the i- forms, its LOWER is not Python's."""
    if kind is Kind.TEXT:
        return TEXTUAL
    return EVERY if kind is Kind.BOOLEAN else ORDERED
