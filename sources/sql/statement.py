"""An Ask in, one SQLAlchemy Core statement out; values are bound, names come from what the database itself lists."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
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

from engine.words import EVERY_ROW, All, Ask, Exists, Keys, Not, Op, Order, Some, Test
from sources.sql.columns import Stock, Stored
from sources.sql.values import holdable, settled

Expression = ColumnElement[Any]
COMPARE: Mapping[Op, Callable[[Expression, Any], Expression]] = {
    Op.EQ: lambda column, value: column == value,
    Op.NE: lambda column, value: column != value,
    Op.LT: lambda column, value: column < value,
    Op.LTE: lambda column, value: column <= value,
    Op.GT: lambda column, value: column > value,
    Op.GTE: lambda column, value: column >= value,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What databases say each in their own way."""

    among: Callable[[Sequence[Expression], Sequence[Sequence[Any]], Sequence[Stored]], Expression]
    """Whether columns, together, are one of many keys, all bound as one value (a column of values a key column)."""
    like: Mapping[Op, Callable[[Expression, Any], Expression]]
    collated: Callable[[Expression], Expression]
    """Text compared by code point."""
    bound: Callable[[Any, Stored], Expression]
    """A value, encoded, as a column is compared with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The table whose columns a condition speaks of."""

    dialect: Dialect
    tables: Mapping[str, Stock]
    stock: Stock
    clause: FromClause
    depth: int = 0

    def column(self, name: str) -> Expression:
        found: Expression = self.clause.c[name]
        return cast(found, String()) if self.stock.columns[name].as_text else found

    def compared(self, name: str) -> Expression:
        """As a column is ordered and compared."""
        found = self.column(name)
        return self.dialect.collated(found) if self.stock.columns[name].kind == "text" else found


def statement(ask: Ask, tables: Mapping[str, Stock], dialect: Dialect) -> Select[Any]:
    stock = tables[ask.collection]
    scope = Scope(dialect=dialect, tables=tables, stock=stock, clause=stock.clause("t0"))
    columns: list[Any] = [scope.column(each).label(f"c{at}") for at, each in enumerate(ask.columns)]
    if ask.measures:
        counted = select(*columns, *(func.count() for _ in ask.measures)).select_from(scope.clause)
        return _filtered(counted, ask, scope).group_by(*(scope.column(each) for each in ask.columns))
    made = _filtered(select(*(columns or [literal_column("1")])).select_from(scope.clause), ask, scope)
    if ask.keys is not None and ask.limit is not None:
        return _limited_per_key(made, ask, ask.keys, ask.limit, scope)
    ordered = made.order_by(*(_direction(each, scope) for each in ask.order))
    return ordered if ask.limit is None else ordered.limit(ask.limit)


def _filtered(made: Select[Any], ask: Ask, scope: Scope) -> Select[Any]:
    if ask.keys is not None:
        made = made.where(_keyed(ask.keys, scope))
    return made if ask.where == EVERY_ROW else made.where(condition(ask.where, scope))


def _keyed(keys: Keys, scope: Scope) -> Expression:
    stored = [scope.stock.columns[each] for each in keys.columns]
    values = [key for key in keys.values if all(map(holdable, key, stored))]
    encoded = [[_encoded(key[at], each) for key in values] for at, each in enumerate(stored)]
    return scope.dialect.among([scope.column(each) for each in keys.columns], encoded, stored)


def _limited_per_key(made: Select[Any], ask: Ask, keys: Keys, limit: int, scope: Scope) -> Select[Any]:
    """The first rows of each key, in order; the row numbers stay inside."""
    order = [_direction(each, scope) for each in ask.order]
    number = func.row_number().over(partition_by=[scope.column(each) for each in keys.columns], order_by=order or None)
    inner = made.add_columns(number.label("number")).subquery("ranked")
    wanted = [inner.c[f"c{at}"] for at in range(len(ask.columns))]
    return (
        select(*(wanted or [literal_column("1")]))
        .select_from(inner)
        .where(inner.c.number <= limit)
        .order_by(inner.c.number)
    )


def _direction(order: Order, scope: Scope) -> Expression:
    column = scope.compared(order.column)
    way = column.desc() if order.descending else column.asc()
    if not scope.stock.columns[order.column].nullable:
        return way
    return way.nulls_first() if order.nulls_first else way.nulls_last()


def condition(where: Any, scope: Scope) -> Expression:
    match where:
        case Test():
            return _test(where, scope)
        case All():
            return and_(true(), *(condition(each, scope) for each in where.parts))
        case Some():
            return or_(false(), *(condition(each, scope) for each in where.parts))
        case Not(Exists() as related):
            return not_(_exists(related, scope))
        case Not():
            return condition(where.part, scope).is_not(true())
        case Exists():
            return _exists(where, scope)
        case _:
            raise TypeError(f"no source is asked {type(where).__name__}")


def _test(test: Test, scope: Scope) -> Expression:
    stored = scope.stock.columns[test.column]
    column = scope.column(test.column)
    kept = settled(test, stored)
    if isinstance(kept, bool):
        return column.is_not(None) if kept else false()
    if kept.op is Op.IS_NULL:
        return column.is_(None) if kept.value else column.is_not(None)
    if kept.op in (Op.IN, Op.NOT_IN):
        found = scope.dialect.among([column], [[_encoded(each, stored) for each in kept.value]], [stored])
        return found if kept.op is Op.IN else and_(column.is_not(None), not_(found))
    if kept.op in scope.dialect.like:
        return scope.dialect.like[kept.op](column, bindparam(None, kept.value, type_=String()))
    compared = column if kept.op in (Op.EQ, Op.NE) else scope.compared(test.column)
    return COMPARE[kept.op](compared, scope.dialect.bound(_encoded(kept.value, stored), stored))


def _exists(related: Exists, scope: Scope) -> Expression:
    stock = scope.tables[related.collection]
    depth = scope.depth + 1
    inner = Scope(
        dialect=scope.dialect, tables=scope.tables, stock=stock, clause=stock.clause(f"t{depth}"), depth=depth
    )
    pairs = zip(related.here, related.there, strict=True)
    equal = [inner.column(there) == scope.column(here) for here, there in pairs]
    meets = condition(related.where, inner)
    return select(literal_column("1")).select_from(inner.clause).where(*equal, meets).correlate(scope.clause).exists()


def _encoded(value: Any, stored: Stored) -> Any:
    return stored.encode(value) if stored.encode else value
