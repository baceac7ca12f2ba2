"""What a database says of its columns in, the collections and what can be asked of them out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import FromClause, column, table

from engine.words import Aggregate, Can, Column, Kind, Op, Unit

EQUALITY = frozenset({Op.EQ, Op.NE, Op.IN, Op.NOT_IN, Op.IS_NULL})
ORDERED = EQUALITY | {Op.LT, Op.LTE, Op.GT, Op.GTE}
TEXTUAL = ORDERED | {Op.CONTAINS, Op.STARTS_WITH, Op.ENDS_WITH}
FOLDED = TEXTUAL | {Op.I_CONTAINS, Op.I_STARTS_WITH, Op.I_ENDS_WITH}
COUNTED = frozenset({Aggregate.COUNT})
DISTINCT = COUNTED | {Aggregate.COUNT_DISTINCT}
EXTREME = DISTINCT | {Aggregate.MIN, Aggregate.MAX}
MEASURES: Mapping[Kind, frozenset[Aggregate]] = {
    Kind.INTEGER: EXTREME | {Aggregate.SUM},
    Kind.DECIMAL: EXTREME | {Aggregate.SUM},
    Kind.FLOAT: EXTREME,
    Kind.TEXT: EXTREME,
    Kind.DATE: EXTREME,
    Kind.TIME: EXTREME,
    Kind.BOOLEAN: DISTINCT,
    Kind.LIST: COUNTED,
}
"""By kind. A sum of floats depends on their order in a database, so none is promised."""
MOST = 2**63
"""Where whole numbers end in a database."""

Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One column as its database keeps it."""

    name: str
    kind: Kind
    nullable: bool
    scale: int = 0
    """Decimal places of a column that keeps numbers as whole minor units."""
    minor_units: bool = False
    most: int = MOST
    """No whole number, and no number of minor units, is as large as this; nor, below zero, beyond it."""
    foreign: bool = False
    """Kept in a form that the database itself cannot compare; filtered and ordered by us."""
    as_text: bool = False
    """Of a type of the database's own that is read as text."""
    zoneless: bool = False
    """A time in UTC of a type that does not say so."""
    encode: Convert | None = None
    decode: Convert | None = None
    read: Callable[[Any], Any] | None = None
    """How a statement speaks of the column, where not by its name alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a database knows of a table: about how many rows it has, and the columns that an index of it begins with."""

    rows: int | None = None
    indexed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """One table or view."""

    schema: str | None
    name: str
    columns: Mapping[str, Stored]
    can: Can
    facts: Facts = Facts()

    def clause(self, alias: str) -> FromClause:
        return table(self.name, *(column(each.name) for each in self.columns.values()), schema=self.schema).alias(alias)


def stock(
    schema: str | None, name: str, columns: Mapping[str, Stored], *, keys: int, folds: bool, facts: Facts = Facts()
) -> Stock:
    """`folds`: the database compares whatever the case as Python's `str.lower()` does."""
    can = Can(
        columns={each.name: promised(each, folds=folds) for each in columns.values()},
        keys=keys,
        logic=True,
        related=True,
        among=keys,
        limit=True,
        limit_per_key=True,
        measures=True,
        cuts=frozenset(Unit),
        arranges=True,
        rows=facts.rows,
    )
    return Stock(schema=schema, name=name, columns=columns, can=can, facts=facts)


def promised(stored: Stored, *, folds: bool) -> Column:
    if stored.foreign:
        return Column(stored.kind, frozenset({Op.IS_NULL}), measures=COUNTED)
    if stored.as_text:
        return Column(stored.kind, EQUALITY, measures=DISTINCT)
    orders = stored.kind is not Kind.LIST
    return Column(stored.kind, operators(stored.kind, folds=folds), orders, MEASURES[stored.kind])


def operators(kind: Kind, *, folds: bool) -> frozenset[Op]:
    match kind:
        case Kind.LIST:
            return frozenset({Op.IS_NULL})
        case Kind.TEXT:
            return FOLDED if folds else TEXTUAL
        case _:
            return ORDERED
