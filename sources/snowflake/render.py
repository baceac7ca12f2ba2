"""An Ask goes in, one SQL statement with its bound values comes out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from engine.words import All, Ask, Exists, Keys, Kind, Not, Op, Order, Some, Test, Where
from sources.snowflake.tables import Stored, Table
from sources.snowflake.values import bind, holdable, key_text, settled

COMPARE = {Op.EQ: "=", Op.NE: "<>", Op.LT: "<", Op.LTE: "<=", Op.GT: ">", Op.GTE: ">="}
WITHIN = {Op.CONTAINS: "CONTAINS", Op.STARTS_WITH: "STARTSWITH", Op.ENDS_WITH: "ENDSWITH"}
AMONG = {Op.IN: "IN", Op.NOT_IN: "NOT IN"}


@dataclass(frozen=True, slots=True)
class Sql:
    """Text, and the values of its question marks in their order."""

    text: str
    binds: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Scope:
    """The table whose columns a condition speaks of, and how deep in Exists it stands."""

    tables: Mapping[str, Table]
    table: Table
    depth: int = 0


def render(ask: Ask, tables: Mapping[str, Table]) -> Sql:
    """Identifiers are the reflected ones, quoted; values are bound, each once, whatever their number."""
    scope = Scope(tables, tables[ask.collection])
    clauses = (
        Sql(f"SELECT {', '.join(selected(ask, scope))} FROM {quoted(scope.table.name)} AS {alias(scope)}"),
        *(() if ask.keys is None else (joined_keys(ask.keys, scope),)),
        *(() if ask.where == All(()) else (prefixed("WHERE ", condition(ask.where, scope)),)),
        *grouped(ask, scope),
        *limited_per_key(ask, scope),
        *ordered(ask.order, scope),
        *(() if ask.limit is None or ask.keys else (Sql("LIMIT ?", (ask.limit,)),)),
    )
    return glued(" ", clauses)


def selected(ask: Ask, scope: Scope) -> list[str]:
    return [shown(name, scope) for name in ask.columns] + ["COUNT(*)" for _ in ask.measures] or ["1"]


def joined_keys(keys: Keys, scope: Scope) -> Sql:
    """All keys travel as one value, so the statement's text is the same for one key and for a thousand."""
    stored = [scope.table.columns[name] for name in keys.columns]
    rows = [
        [key_text(value, column) for value, column in zip(key, stored, strict=True)]
        for key in keys.values
        if all(holdable(value, column) for value, column in zip(key, stored, strict=True))
    ]
    parts = ", ".join(f'{key_value(place, column)} AS "k{place}"' for place, column in enumerate(stored))
    equal = " AND ".join(f'{shown(name, scope)} = "k"."k{place}"' for place, name in enumerate(keys.columns))
    text = f'JOIN (SELECT {parts} FROM TABLE(FLATTEN(PARSE_JSON(?))) AS "f") AS "k" ON {equal}'
    return Sql(text, (json.dumps(rows, separators=(",", ":")),))


def key_value(place: int, stored: Stored) -> str:
    text = f'"f".VALUE[{place}]::TEXT'
    if stored.kind is Kind.TEXT:
        return text
    return f"TRY_CAST({text} AS {'NUMBER(38, 0)' if stored.kind is Kind.TIME else sql_type(stored)})"


def grouped(ask: Ask, scope: Scope) -> Sequence[Sql]:
    if not ask.measures or not ask.columns:
        return ()
    return (Sql("GROUP BY " + ", ".join(shown(name, scope) for name in ask.columns)),)


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
        case Not(part):
            return condition(complement(part), scope)
        case Test():
            return compared(where, scope)
        case Exists():
            return exists(where, scope)
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
            return Sql(f"{column} {AMONG[op]} ({marks})", tuple(bind(value, stored) for value in values))
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
    column = raw(name, scope)
    return f"DATE_PART(EPOCH_MICROSECOND, {column})" if scope.table.columns[name].kind is Kind.TIME else column


def raw(name: str, scope: Scope) -> str:
    return f"{alias(scope)}.{quoted(scope.table.columns[name].name)}"


def alias(scope: Scope) -> str:
    return f'"t{scope.depth}"'


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def mark(stored: Stored) -> str:
    return f"CAST(? AS {sql_type(stored)})" if stored.kind is Kind.DECIMAL else "?"


def sql_type(stored: Stored) -> str:
    return f"NUMBER({stored.precision}, {stored.scale})" if stored.precision else stored.type


def bracketed(between: str, none: str, parts: Sequence[Sql]) -> Sql:
    if not parts:
        return Sql(none)
    return parts[0] if len(parts) == 1 else prefixed("(", glued(between, parts), ")")


def prefixed(before: str, sql: Sql, after: str = "") -> Sql:
    return Sql(f"{before}{sql.text}{after}", sql.binds)


def glued(between: str, parts: Sequence[Sql]) -> Sql:
    return Sql(between.join(part.text for part in parts), tuple(chain.from_iterable(part.binds for part in parts)))
