"""An Ask goes in, one SQL statement with its bound values comes out."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from engine.words import (
    EVERY_ROW,
    All,
    Among,
    Ask,
    Exists,
    Keys,
    Kind,
    Not,
    Op,
    Order,
    Row,
    Some,
    Test,
    Unit,
    Where,
)
from sources.snowflake.groups import computed, cut, results
from sources.snowflake.sql import Sql, bracketed, glued, prefixed, quoted
from sources.snowflake.tables import EPOCH, Stored, Table
from sources.snowflake.values import bind, holdable, key_text, settled

COMPARE = {Op.EQ: "=", Op.NE: "<>", Op.LT: "<", Op.LTE: "<=", Op.GT: ">", Op.GTE: ">="}
WITHIN = {Op.CONTAINS: "CONTAINS", Op.STARTS_WITH: "STARTSWITH", Op.ENDS_WITH: "ENDSWITH"}
WITHIN_LIST = {Op.IN: "IN", Op.NOT_IN: "NOT IN"}


@dataclass(frozen=True, slots=True)
class Scope:
    """The table whose columns a condition speaks of, and how deep in Exists it stands."""

    tables: Mapping[str, Table]
    table: Table
    depth: int = 0


def render(ask: Ask, tables: Mapping[str, Table]) -> Sql:
    """Identifiers are the reflected ones, quoted; values are bound, each once, whatever their number."""
    scope = Scope(tables, tables[ask.collection])
    if ask.measures:
        return grouped(ask, scope)
    columns = ", ".join(shown(name, scope) for name in ask.columns) or "1"
    limit = () if ask.limit is None or ask.keys else (Sql("LIMIT ?", (ask.limit,)),)
    return glued(" ", (*picked(columns, ask, scope), *limited_per_key(ask, scope), *ordered(ask.order, scope), *limit))


def picked(columns: str, ask: Ask, scope: Scope) -> Sequence[Sql]:
    """The columns of the rows that keys and filter leave."""
    return (
        Sql(f"SELECT {columns} FROM {quoted(scope.table.name)} AS {alias(scope)}"),
        *(() if ask.keys is None else (joined_keys(ask.keys, scope),)),
        *filtered(ask.where, scope),
    )


def filtered(where: Where, scope: Scope) -> Sequence[Sql]:
    return () if where == EVERY_ROW else (prefixed("WHERE ", condition(where, scope)),)


def grouped(ask: Ask, scope: Scope) -> Sql:
    """A row for each group; where groups are picked, ordered or limited, they are a table to do so of."""
    units = {each.column: each.unit for each in ask.cuts}
    by = [grouped_by(name, units.get(name), scope) for name in ask.columns]
    measures = [
        computed(each, shown(each.column, scope) if each.column else "*", scope.table.columns) for each in ask.measures
    ]
    group = (Sql("GROUP BY " + ", ".join(by)),) if by else ()
    if ask.having == EVERY_ROW and not ask.order and ask.limit is None:
        return glued(" ", (*picked(", ".join([*by, *measures]), ask, scope), *group))
    stored = results(ask, scope.table.columns)
    named = [f"{sql} AS {quoted(each.name)}" for sql, (_, each) in zip([*by, *measures], stored, strict=True)]
    inner = glued(" ", (*picked(", ".join(named), ask, scope), *group))
    outer = replace(scope, table=replace(scope.table, columns=dict(stored)))
    limit = () if ask.limit is None else (Sql("LIMIT ?", (ask.limit,)),)
    kept = (prefixed("SELECT * FROM (", inner, f") AS {alias(outer)}"), *filtered(ask.having, outer))
    return glued(" ", (*kept, *ordered(ask.order, outer), *limit))


def grouped_by(name: str, unit: Unit | None, scope: Scope) -> str:
    column = shown(name, scope)
    return column if unit is None else cut(column, scope.table.columns[name].kind, unit)


def joined_keys(keys: Keys, scope: Scope) -> Sql:
    equal = " AND ".join(f'{shown(name, scope)} = "k"."k{place}"' for place, name in enumerate(keys.columns))
    return prefixed("JOIN (", listed(keys.columns, keys.values, scope), f') AS "k" ON {equal}')


def listed(names: Sequence[str], keys: Iterable[Row], scope: Scope) -> Sql:
    """All keys travel as one value, so the statement's text is the same for one key and for a thousand."""
    stored = [scope.table.columns[name] for name in names]
    rows = [
        [key_text(value, column) for value, column in zip(key, stored, strict=True)]
        for key in keys
        if all(holdable(value, column) for value, column in zip(key, stored, strict=True))
    ]
    parts = ", ".join(f'{key_value(place, column)} AS "k{place}"' for place, column in enumerate(stored))
    text = f'SELECT {parts} FROM TABLE(FLATTEN(PARSE_JSON(?))) AS "f"'
    return Sql(text, (json.dumps(rows, separators=(",", ":")),))


def among(where: Among, scope: Scope, *, outside: bool = False) -> Sql:
    """`outside`: of those that are not; a row without a value is."""
    columns = [shown(name, scope) for name in where.columns]
    one = columns[0] if len(columns) == 1 else f"({', '.join(columns)})"
    if not outside:
        return prefixed(f"{one} IN (", listed(where.columns, where.keys, scope), ")")
    empty = " OR ".join(f"{each} IS NULL" for each in columns)
    stored = [scope.table.columns[each] for each in where.columns]
    readable = " AND ".join(f"{key_value(place, each)} IS NOT NULL" for place, each in enumerate(stored))
    keys = listed(where.columns, where.keys, scope)
    return prefixed(f"({empty} OR {one} NOT IN (", keys, f" WHERE {readable}))")


def key_value(place: int, stored: Stored) -> str:
    text = f'"f".VALUE[{place}]::TEXT'
    if stored.kind is Kind.TEXT:
        return text
    return f"TRY_CAST({text} AS {'NUMBER(38, 0)' if stored.kind is Kind.TIME else sql_type(stored)})"


def limited_per_key(ask: Ask, scope: Scope) -> Sequence[Sql]:
    if ask.keys is None or ask.limit is None:
        return ()
    keys = ", ".join(shown(name, scope) for name in ask.keys.columns)
    order = ", ".join(direction(order, scope) for order in ask.order) or keys
    return (Sql(f"QUALIFY ROW_NUMBER() OVER (PARTITION BY {keys} ORDER BY {order}) <= ?", (ask.limit,)),)


def ordered(order: Sequence[Order], scope: Scope) -> Sequence[Sql]:
    return (Sql("ORDER BY " + ", ".join(direction(one, scope) for one in order)),) if order else ()


def direction(order: Order, scope: Scope) -> str:
    way = "DESC" if order.descending else "ASC"
    return f"{shown(order.column, scope)} {way} NULLS {'FIRST' if order.nulls_first else 'LAST'}"


def condition(where: Where, scope: Scope) -> Sql:
    """Of a test on null the text may be null; everything else is true or false."""
    match where:
        case All(parts):
            return bracketed(" AND ", "TRUE", [condition(part, scope) for part in parts])
        case Some(parts):
            return bracketed(" OR ", "FALSE", [condition(part, scope) for part in parts])
        case Not(Test() as test):
            tested = compared(test, scope)
            return Sql(f"NOT COALESCE({tested.text}, FALSE)", tested.binds)
        case Not(Exists() as related):
            return prefixed("NOT ", exists(related, scope))
        case Not(Among() as keys):
            return among(keys, scope, outside=True)
        case Not(part):
            return condition(complement(part), scope)
        case Test():
            return compared(where, scope)
        case Exists():
            return exists(where, scope)
        case Among():
            return among(where, scope)
    raise TypeError(f"no source is asked {type(where).__name__}")


def complement(where: Where) -> Where:
    """De Morgan's: NOT comes to stand before tests and EXISTS alone, where Snowflake takes a subquery."""
    match where:
        case All(parts):
            return Some(tuple(Not(part) for part in parts))
        case Some(parts):
            return All(tuple(Not(part) for part in parts))
        case _:
            return where.part if isinstance(where, Not) else Not(where)


def compared(test: Test, scope: Scope) -> Sql:
    stored = scope.table.columns[test.column]
    column = raw(test.column, scope)
    match settled(test, stored):
        case True:
            return Sql(f"{column} IS NOT NULL")
        case False:
            return Sql("FALSE")
        case Test(_, Op.IS_NULL, value):
            return Sql(f"{column} IS {'NULL' if value else 'NOT NULL'}")
        case Test(_, Op.IN | Op.NOT_IN as op, values):
            marks = ", ".join(mark(stored) for _ in values)
            return Sql(f"{column} {WITHIN_LIST[op]} ({marks})", tuple(bind(value, stored) for value in values))
        case Test(_, op, value) if op in WITHIN:
            return Sql(f"{WITHIN[op]}({column}, ?)", (value,))
        case Test(_, op, value):
            return Sql(f"{column} {COMPARE[op]} {mark(stored)}", (bind(value, stored),))


def exists(related: Exists, scope: Scope) -> Sql:
    inner = Scope(scope.tables, scope.tables[related.collection], scope.depth + 1)
    pairs = zip(related.here, related.there, strict=True)
    equal = [Sql(f"{raw(there, inner)} = {raw(here, scope)}") for here, there in pairs]
    meets = bracketed(" AND ", "TRUE", [*equal, condition(related.where, inner)])
    return Sql(f"EXISTS (SELECT 1 FROM {quoted(inner.table.name)} AS {alias(inner)} WHERE {meets.text})", meets.binds)


def shown(name: str, scope: Scope) -> str:
    """Times come as microseconds since 1970: exact, whatever the session's zone and the column's type."""
    column, stored = raw(name, scope), scope.table.columns[name]
    return f"DATE_PART(EPOCH_MICROSECOND, {column})" if stored.kind is Kind.TIME and stored.type != EPOCH else column


def raw(name: str, scope: Scope) -> str:
    return f"{alias(scope)}.{quoted(scope.table.columns[name].name)}"


def alias(scope: Scope) -> str:
    return f'"t{scope.depth}"'


def mark(stored: Stored) -> str:
    return f"CAST(? AS {sql_type(stored)})" if stored.kind is Kind.DECIMAL else "?"


def sql_type(stored: Stored) -> str:
    return f"NUMBER({stored.precision}, {stored.scale})" if stored.precision else stored.type
