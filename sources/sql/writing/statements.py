"""A table, a verb and columns in; the statement that changes one row out, compiled once for each, its values bound."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    DateTime,
    MetaData,
    String,
    Table,
    Text,
    and_,
    bindparam,
    cast,
    delete,
    insert,
    select,
    table,
    update,
)
from sqlalchemy import column as column_named
from sqlalchemy.engine.interfaces import Dialect as Compiler

from sources.sql.columns import Stored
from sources.sql.compiled import ordering
from sources.sql.shape import Slot
from sources.sql.writing.words import MARKER, Target, Ways

MOST = 1000
"""Statements that are kept; what is over is made anew."""
MARKERS = Table(
    MARKER,
    MetaData(),
    Column("id", String(190), primary_key=True),
    Column("outcome", Text),
    Column("made_at", DateTime),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A statement, and how its values are put in the order of its marks."""

    text: str
    order: Callable[[Sequence[Any]], Sequence[Any]]
    read: tuple[tuple[str, Stored], ...] = ()
    """The columns that it gives back."""


class Changing:
    """The statements of one database."""

    def __init__(self, ways: Ways, compiler: Compiler) -> None:
        self.ways = ways
        self.compiler = compiler
        self.known: dict[Any, Written] = {}
        id, outcome = bindparam("v0", type_=String()), bindparam("v1", type_=Text())
        self.claim = self._made(ways.claim)
        self.found = self._made(select(MARKERS.c.outcome).where(MARKERS.c.id == id))
        self.keep = self._made(update(MARKERS).values(outcome=outcome).where(MARKERS.c.id == id))

    def insert(self, target: Target, names: tuple[str, ...]) -> Written:
        return self._kept(("insert", target.name, names), lambda: self._insert(target, names))

    def update(self, target: Target, names: tuple[str, ...]) -> Written:
        """Its values: those of `names`, then the key."""
        return self._kept(("update", target.name, names), lambda: self._update(target, names))

    def delete(self, target: Target) -> Written:
        return self._kept(("delete", target.name), lambda: self._delete(target))

    def _insert(self, target: Target, names: tuple[str, ...]) -> Written:
        clause = _clause(target)
        made = insert(clause).values(self._given(target, names))
        missing = tuple(each for each in target.key if each not in names)
        if not missing or not self.ways.returning:
            return self._made(made)
        stored = tuple((each, target.stock.columns[each]) for each in missing)
        shown = [cast(clause.c[name], String()) if each.as_text else clause.c[name] for name, each in stored]
        return self._made(made.returning(*shown), stored)

    def _update(self, target: Target, names: tuple[str, ...]) -> Written:
        clause = _clause(target)
        met = self._key(target, clause, len(names))
        return self._made(update(clause).where(met).values(self._given(target, names)))

    def _delete(self, target: Target) -> Written:
        clause = _clause(target)
        return self._made(delete(clause).where(self._key(target, clause, 0)))

    def _given(self, target: Target, names: Sequence[str]) -> Mapping[str, Any]:
        return {name: self._value(target, name, at) for at, name in enumerate(names)}

    def _key(self, target: Target, clause: Any, first: int) -> Any:
        return and_(*(clause.c[name] == self._value(target, name, first + at) for at, name in enumerate(target.key)))

    def _value(self, target: Target, name: str, at: int) -> Any:
        return self.ways.given(Slot(at), target.stock.columns[name], target.types.get(name, ""))

    def _kept(self, key: Any, make: Callable[[], Written]) -> Written:
        found = self.known.get(key)
        if found is None:
            found = make()
            if len(self.known) < MOST:
                self.known[key] = found
        return found

    def _made(self, statement: Any, read: tuple[tuple[str, Stored], ...] = ()) -> Written:
        made = statement.compile(dialect=self.compiler)
        return Written(text=str(made), order=ordering(made), read=read)


def _clause(target: Target) -> Any:
    columns: Any = (column_named(each.name) for each in target.stock.columns.values())
    return table(target.stock.name, *columns, schema=target.stock.schema)


def encoded(names: Sequence[str], values: Mapping[str, Any], target: Target) -> list[Any]:
    """The values as the driver takes them, in the order of `names`."""
    return [encoded_value(values[name], target.stock.columns[name]) for name in names]


def encoded_value(value: Any, stored: Stored) -> Any:
    return value if value is None or stored.encode is None else stored.encode(value)
