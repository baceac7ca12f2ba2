"""What a database says of its columns in, the collections and what can be asked of them out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import FromClause, column, table

from engine.words import Can, Column, Kind, Op

EQUALITY = frozenset({Op.EQ, Op.NE, Op.IN, Op.NOT_IN, Op.IS_NULL})
ORDERED = EQUALITY | {Op.LT, Op.LTE, Op.GT, Op.GTE}
TEXTUAL = ORDERED | {Op.CONTAINS, Op.STARTS_WITH, Op.ENDS_WITH}
FOLDED = TEXTUAL | {Op.I_CONTAINS, Op.I_STARTS_WITH, Op.I_ENDS_WITH}

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
    foreign: bool = False
    """Kept in a form that the database itself cannot compare; filtered and ordered by us."""
    as_text: bool = False
    """Of a type of the database's own that is read as text."""
    encode: Convert | None = None
    decode: Convert | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """One table or view."""

    schema: str | None
    name: str
    columns: Mapping[str, Stored]
    can: Can

    def clause(self, alias: str) -> FromClause:
        return table(self.name, *(column(each.name) for each in self.columns.values()), schema=self.schema).alias(alias)


def stock(schema: str | None, name: str, columns: Mapping[str, Stored], *, keys: int, folds: bool) -> Stock:
    """`folds`: the database compares whatever the case as Python's `str.lower()` does."""
    can = Can(
        columns={each.name: promised(each, folds=folds) for each in columns.values()},
        keys=keys,
        logic=True,
        related=True,
        limit=True,
        limit_per_key=True,
        measures=True,
    )
    return Stock(schema=schema, name=name, columns=columns, can=can)


def promised(stored: Stored, *, folds: bool) -> Column:
    if stored.foreign:
        return Column(stored.kind, frozenset({Op.IS_NULL}))
    if stored.as_text:
        return Column(stored.kind, EQUALITY)
    return Column(stored.kind, operators(stored.kind, folds=folds), stored.kind is not Kind.LIST)


def operators(kind: Kind, *, folds: bool) -> frozenset[Op]:
    match kind:
        case Kind.LIST:
            return frozenset({Op.IS_NULL})
        case Kind.TEXT:
            return FOLDED if folds else TEXTUAL
        case _:
            return ORDERED
