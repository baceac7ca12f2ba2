"""The shape of an Ask in, one SQLAlchemy Core statement out; values are bound, names are those the database lists."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
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
    true,
)

from engine.words import All, Exists, Kind, Not, Op, Order, Some, Test, Unit
from sources.sql.columns import Stock, Stored
from sources.sql.shape import Binding, Listed, Shape, Slot

Expression = ColumnElement[Any]
COMPARE: Mapping[Op, Callable[[Expression, Any], Expression]] = {
    Op.EQ: lambda column, value: column == value,
    Op.NE: lambda column, value: column != value,
    Op.LT: lambda column, value: column < value,
    Op.LTE: lambda column, value: column <= value,
    Op.GT: lambda column, value: column > value,
    Op.GTE: lambda column, value: column >= value,
}
ONE: Expression = literal_column("1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What databases say each in their own way. Slots give the names of values that are bound, encoded."""

    binding: Binding
    among: Callable[[Sequence[Expression], Sequence[Slot], Sequence[Stored]], Expression]
    """Whether columns, together, are one of many keys, bound as `binding.packed` packs them."""
    like: Mapping[Op, Callable[[Expression, Any], Expression]]
    collated: Callable[[Expression], Expression]
    """Text compared by code point."""
    bound: Callable[[Slot, Stored], Expression]
    """A value as a column is compared with it."""
    shown: Callable[[Expression, Stored], Expression]
    """A column as it is read."""
    cut: Callable[[Expression, Stored, Unit], Expression]
    """A column of days or times, as it is read, cut to where its unit begins."""
    total: Callable[[Expression], Expression]
    """The exact sum of a column of whole numbers or money; null of none."""
    listed: Callable[[Sequence[Slot], Sequence[Stored]], FromClause] | None = None
    """The keys as rows, columns `k0`, `k1` ...; given where a limit for each key may be read by LATERAL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The table whose columns a condition speaks of."""

    dialect: Dialect
    tables: Mapping[str, Stock]
    columns: Mapping[str, Stored]
    clause: FromClause
    depth: int = 0

    def column(self, name: str) -> Expression:
        stored = self.columns[name]
        found: Expression = self.clause.c[stored.name]
        if stored.read is not None:
            found = stored.read(found)
        return cast(found, String()) if stored.as_text else found

    def compared(self, name: str) -> Expression:
        """As a column is ordered and compared."""
        found = self.column(name)
        return self.dialect.collated(found) if self.columns[name].kind is Kind.TEXT else found

    def shown(self, name: str) -> Expression:
        return self.dialect.shown(self.column(name), self.columns[name])


def scope_of(collection: str, tables: Mapping[str, Stock], dialect: Dialect, depth: int = 0) -> Scope:
    stock = tables[collection]
    clause = stock.clause(f"t{depth}")
    return Scope(dialect=dialect, tables=tables, columns=stock.columns, clause=clause, depth=depth)


def statement(shape: Shape, tables: Mapping[str, Stock], dialect: Dialect) -> Select[Any]:
    """Of an ask without measures."""
    scope = scope_of(shape.collection, tables, dialect)
    if not isinstance(shape.keys, Listed) or shape.keys.one or shape.limit is None:
        made = filtered(selected(shape, scope), shape, scope).order_by(*directions(shape.order, scope))
        return within(made, shape.limit)
    indexed = tables[shape.collection].facts.indexed
    if dialect.listed is not None and not indexed.isdisjoint(shape.keys.columns):
        return _key_by_key(shape, shape.keys, scope, dialect.listed)
    return _ranked(shape, shape.keys, shape.limit, scope)


def selected(shape: Shape, scope: Scope) -> Select[Any]:
    columns: list[Any] = [scope.shown(each).label(f"c{at}") for at, each in enumerate(shape.columns)]
    return select(*(columns or [ONE.label("c")])).select_from(scope.clause)


def filtered(made: Select[Any], shape: Shape, scope: Scope) -> Select[Any]:
    if shape.keys is not None:
        made = made.where(condition(shape.keys, scope))
    return made if shape.where is None else made.where(condition(shape.where, scope))


def within(made: Select[Any], limit: Slot | None) -> Select[Any]:
    return made if limit is None else made.limit(whole(limit))


def whole(slot: Slot) -> Expression:
    return bindparam(slot.name, type_=BigInteger())


def _key_by_key(shape: Shape, keys: Listed, scope: Scope, listed: Any) -> Select[Any]:
    """By an index, the first rows of each key; they come key after key."""
    given = listed(keys.slots, [scope.columns[each] for each in keys.columns])
    equal = [scope.column(each) == given.c[f"k{at}"] for at, each in enumerate(keys.columns)]
    rows = filtered(selected(shape, scope).where(*equal), shape._replace(keys=None), scope)
    each = within(rows.order_by(*directions(shape.order, scope)), shape.limit).lateral("ranked")
    return select(*each.c).select_from(given.join(each, true()))


def _ranked(shape: Shape, keys: Listed, limit: Slot, scope: Scope) -> Select[Any]:
    """In one go over the table, the first rows of each key, in order; the row numbers stay inside."""
    order = directions(shape.order, scope)
    number = func.row_number().over(partition_by=[scope.column(each) for each in keys.columns], order_by=order or None)
    inner = filtered(selected(shape, scope).add_columns(number.label("number")), shape, scope).subquery("ranked")
    wanted = [each for each in inner.c if each.name != "number"]
    return select(*wanted).where(inner.c.number <= whole(limit)).order_by(inner.c.number)


def directions(order: Sequence[Order], scope: Scope) -> list[Expression]:
    return [_direction(each, scope) for each in order]


def _direction(order: Order, scope: Scope) -> Expression:
    column = scope.compared(order.column)
    way = column.desc() if order.descending else column.asc()
    if not scope.columns[order.column].nullable:
        return way
    return way.nulls_first() if order.nulls_first else way.nulls_last()


def condition(where: Any, scope: Scope) -> Expression:
    match where:
        case Test():
            return _test(where, scope)
        case All():
            return and_(true(), *(condition(each, scope) for each in where.parts))
        case Some():
            return or_(false(), *(condition(each, scope) for each in where.parts if not _never(each, scope)))
        case Not(Exists() as related):
            return not_(_exists(related, scope))
        case Not():
            return condition(where.part, scope).is_not(true())
        case Exists():
            return _exists(where, scope)
        case Listed(names, slots, one=True):
            pairs = zip(names, slots, strict=True)
            return and_(*(scope.column(each) == scope.dialect.bound(slot, scope.columns[each]) for each, slot in pairs))
        case Listed(names, slots):
            stored = [scope.columns[each] for each in names]
            return scope.dialect.among([scope.column(each) for each in names], slots, stored)
        case _:
            raise TypeError(f"no source is asked {type(where).__name__}")


def _never(where: Any, scope: Scope) -> bool:
    """A null where there is none: said in so many words, it keeps a page from being found by its key's index."""
    null = isinstance(where, Test) and where.op is Op.IS_NULL and where.value
    return bool(null) and not scope.columns[where.column].nullable


def _test(test: Test, scope: Scope) -> Expression:
    column = scope.column(test.column)
    if test.op is Op.IS_NULL:
        return column.is_(None) if test.value else column.is_not(None)
    if test.op in scope.dialect.like:
        return scope.dialect.like[test.op](column, bindparam(test.value.name, type_=String()))
    compared = column if test.op in (Op.EQ, Op.NE) else scope.compared(test.column)
    return COMPARE[test.op](compared, scope.dialect.bound(test.value, scope.columns[test.column]))


def _exists(related: Exists, scope: Scope) -> Expression:
    inner = scope_of(related.collection, scope.tables, scope.dialect, scope.depth + 1)
    pairs = zip(related.here, related.there, strict=True)
    equal = [inner.column(there) == scope.column(here) for here, there in pairs]
    meets = condition(related.where, inner)
    return select(ONE).select_from(inner.clause).where(*equal, meets).correlate(scope.clause).exists()
