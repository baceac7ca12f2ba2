"""An ask and a table of the scratch database in, one statement out, and the tables of keys that stand beside it.

Names are `v0`, `e0`, `k0`: none comes from outside. Values are bound, and lists of them are tables.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from engine.words import (
    EVERY_ROW,
    Aggregate,
    All,
    Among,
    Ask,
    Cut,
    Kind,
    Measure,
    Not,
    Op,
    Order,
    Row,
    Some,
    Test,
    Where,
)
from sources.scratch.values import EXACT, MOST, TYPES, Field, operand

COMPARE = {Op.EQ: "=", Op.NE: "<>", Op.LT: "<", Op.LTE: "<=", Op.GT: ">", Op.GTE: ">="}
BELOW = frozenset({Op.LT, Op.LTE})
ABOVE = frozenset({Op.GT, Op.GTE})
CALLS = {Aggregate.COUNT: "count", Aggregate.SUM: "sum", Aggregate.MIN: "min", Aggregate.MAX: "max"}
WRITTEN = {Aggregate.SUM: "min({e})", Aggregate.MIN: "arg_min({e}, {v})", Aggregate.MAX: "arg_max({e}, {v})"}
"""The exponent of a sum is that of the addend with the most places; of a minimum its own."""


@dataclass(frozen=True, slots=True)
class Sql:
    """Text, and the values of its question marks in their order."""

    text: str
    binds: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A table of keys, each value as our sources give it."""

    fields: tuple[Field, ...]
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """A table of those values that `found` gives which meet `test`: text is matched by us."""

    fields: tuple[Field]
    found: Sql
    test: Test


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What gives the rows, `fields` next to each other; `beside` are the tables `k0`, `k1`, made before, in order."""

    sql: Sql
    fields: tuple[Field, ...]
    beside: tuple[Given | Matched, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Rows that a condition or an order speaks of, and what they are called."""

    sql: Sql
    fields: Mapping[str, Field]
    beside: list[Given | Matched]

    def kept(self, columns: Iterable[str]) -> list[str]:
        return [each for name in columns for each in self.fields[name].kept]


def statement(ask: Ask, table: str, fields: Mapping[str, Field]) -> Statement:
    frame = filtered(Frame(sql=Sql(table), fields=fields, beside=[]), wanted(ask))
    names: Sequence[str] = ask.columns
    if ask.measures:
        frame = filtered(grouped(frame, ask), ask.having)
        names = (*ask.columns, *(each.name for each in ask.measures))
    shown = ", ".join(frame.kept(names)) or "1"
    sql = joined(" ", [prefixed(f"SELECT {shown} FROM ", frame.sql), *_ended(ask, frame)])
    return Statement(sql=sql, fields=tuple(frame.fields[each] for each in names), beside=tuple(frame.beside))


def wanted(ask: Ask) -> Where:
    if ask.keys is None:
        return ask.where
    return All((Among(ask.keys.columns, frozenset(ask.keys.values)), ask.where))


def filtered(frame: Frame, where: Where) -> Frame:
    if where == EVERY_ROW:
        return frame
    met = joined(" WHERE ", [prefixed("(SELECT * FROM ", frame.sql), condition(where, frame)])
    return replace(frame, sql=prefixed("", met, ")"))


def _ended(ask: Ask, frame: Frame) -> list[Sql]:
    """Order and limit: for each key anew where there are keys."""
    order = _order(ask.order, frame)
    if ask.limit is None or ask.keys is None:
        return [order] if ask.limit is None else [order, Sql("LIMIT ?", (ask.limit,))]
    keys = ", ".join(frame.fields[each].value for each in ask.keys.columns)
    number = f"row_number() OVER (PARTITION BY {keys} {order.text})"
    return [Sql(f"QUALIFY {number} <= ?", (ask.limit,)), order]


def _order(order: Sequence[Order], frame: Frame) -> Sql:
    ways = [
        f"{frame.fields[each.column].value} {'DESC' if each.descending else 'ASC'}"
        f" NULLS {'FIRST' if each.nulls_first else 'LAST'}"
        for each in order
    ]
    return Sql(f"ORDER BY {', '.join(ways)}" if ways else "")


def grouped(frame: Frame, ask: Ask) -> Frame:
    units = {each.column: each for each in ask.cuts}
    keys = [_cut(frame.fields[each], units.get(each)) for each in ask.columns]
    held = [replace(frame.fields[name], at=at) for at, name in enumerate(ask.columns)]
    taken = [_taken(each, frame.fields, len(held) + at) for at, each in enumerate(ask.measures)]
    parts = [
        *(f"{key} AS {field.value}" for key, field in zip(keys, held, strict=True)),
        *(f"min(r.{frame.fields[name].written}) AS {field.written}" for name, field in _money(ask.columns, held)),
        *(part for _, parts in taken for part in parts),
    ]
    by = f" GROUP BY {', '.join(keys)}" if keys else ""
    names = (*ask.columns, *(each.name for each in ask.measures))
    fields = dict(zip(names, (*held, *(field for field, _ in taken)), strict=True))
    return replace(frame, sql=prefixed(f"(SELECT {', '.join(parts)} FROM ", frame.sql, f" AS r{by})"), fields=fields)


def _money(names: Sequence[str], fields: Sequence[Field]) -> list[tuple[str, Field]]:
    return [(name, field) for name, field in zip(names, fields, strict=True) if field.kind is Kind.DECIMAL]


def _cut(field: Field, cut: Cut | None) -> str:
    if cut is None:
        return f"r.{field.value}"
    if field.kind is Kind.DATE:
        return f"CAST(date_trunc('{cut.unit}', r.{field.value}) AS DATE)"
    return f"epoch_us(date_trunc('{cut.unit}', make_timestamp(r.{field.value})))"


def _taken(measure: Measure, fields: Mapping[str, Field], at: int) -> tuple[Field, list[str]]:
    """What the measure is, and how it and its exponent are computed."""
    if measure.column is None:
        return Field(kind=Kind.INTEGER, at=at), [f"count(*) AS v{at}"]
    field = fields[measure.column]
    value = f"r.{field.value}"
    if measure.aggregate in (Aggregate.COUNT, Aggregate.COUNT_DISTINCT):
        distinct = "DISTINCT " if measure.aggregate is Aggregate.COUNT_DISTINCT else ""
        return Field(kind=Kind.INTEGER, at=at), [f"count({distinct}{value}) AS v{at}"]
    parts = [f"{CALLS[measure.aggregate]}({value}) AS v{at}"]
    if field.kind is Kind.DECIMAL:
        parts.append(f"{WRITTEN[measure.aggregate].format(e=f'r.{field.written}', v=value)} AS e{at}")
    return replace(field, at=at), parts


def condition(where: Where, frame: Frame) -> Sql:
    """May be null where it is not met; what is not is said with IS NOT TRUE."""
    match where:
        case Test():
            return _test(where, frame)
        case All():
            return _bracketed(" AND ", "TRUE", [condition(each, frame) for each in where.parts])
        case Some():
            return _bracketed(" OR ", "FALSE", [condition(each, frame) for each in where.parts])
        case Not():
            return prefixed("(", condition(where.part, frame), " IS NOT TRUE)")
        case Among():
            return _among([frame.fields[each] for each in where.columns], where.keys, frame)
        case _:
            raise TypeError(f"the scratch database is not asked {type(where).__name__}")


def _test(test: Test, frame: Frame) -> Sql:
    field = frame.fields[test.column]
    filled = Sql(f"{field.value} IS NOT NULL")
    match test.op:
        case Op.IS_NULL:
            return Sql(f"{field.value} IS NULL") if test.value else filled
        case Op.IN:
            return _among([field], [(each,) for each in test.value], frame)
        case Op.NOT_IN:
            found = condition(Test(test.column, Op.IN, test.value), frame)
            return _bracketed(" AND ", "TRUE", [filled, prefixed("", found, " IS NOT TRUE")])
        case Op.EQ | Op.NE if operand(test.value, field) is None:
            return filled if test.op is Op.NE else Sql("FALSE")
        case _ if test.op not in COMPARE:
            return _matched(test, field, frame)
        case _ if field.kind in (Kind.INTEGER, Kind.DECIMAL):
            return _number(test.op, test.value, field)
    return _compared(test.op, operand(test.value, field), field)


def _compared(op: Op, kept: Any, field: Field) -> Sql:
    text = f"{field.value} {COMPARE[op]} CAST(? AS {TYPES[field.kind]})"
    if field.kind is Kind.FLOAT and op in ABOVE:
        text = f"({text} AND NOT isnan({field.value}))"
    return Sql(text, (kept,))


def _number(op: Op, value: Any, field: Field) -> Sql:
    """Between two neighbours a column can hold, the lower one parts the rows alike."""
    units = value.scaleb(field.places, EXACT) if field.kind is Kind.DECIMAL else value
    lower = math.floor(units)
    if not -MOST <= lower < MOST:
        return Sql(f"{field.value} IS NOT NULL" if (units > 0) == (op in BELOW) else "FALSE")
    if lower != units:
        op = Op.LTE if op in BELOW else Op.GT
    return _compared(op, lower, field)


def _among(fields: Sequence[Field], keys: Iterable[Row], frame: Frame) -> Sql:
    here = tuple(replace(field, at=at) for at, field in enumerate(fields))
    rows = [
        key for key in keys if all(operand(value, field) is not None for value, field in zip(key, here, strict=True))
    ]
    frame.beside.append(Given(fields=here, rows=rows))
    return _within(fields, here, len(frame.beside) - 1)


def _within(fields: Sequence[Field], here: Sequence[Field], table: int) -> Sql:
    mine, theirs = (", ".join(each.value for each in every) for every in (fields, here))
    if len(fields) == 1:
        return Sql(f"{mine} IN (SELECT {theirs} FROM k{table})")
    return Sql(f"({mine}) IN (SELECT ({theirs}) FROM k{table})")


def _matched(test: Test, field: Field, frame: Frame) -> Sql:
    here = Field(kind=field.kind, at=0)
    found = prefixed(f"SELECT DISTINCT {field.value} AS v FROM ", frame.sql, f" WHERE {field.value} IS NOT NULL")
    frame.beside.append(Matched(fields=(here,), found=found, test=test))
    return _within([field], [here], len(frame.beside) - 1)


def _bracketed(between: str, none: str, parts: Sequence[Sql]) -> Sql:
    return prefixed("(", joined(between, parts), ")") if parts else Sql(none)


def prefixed(before: str, sql: Sql, after: str = "") -> Sql:
    return Sql(f"{before}{sql.text}{after}", sql.binds)


def joined(between: str, parts: Sequence[Sql]) -> Sql:
    return Sql(between.join(part.text for part in parts), tuple(chain.from_iterable(part.binds for part in parts)))
