"""An ask and a table of the scratch database in, one statement out, and the tables of keys that stand beside it.

Names are `v0`, `e0`, `k0`: none comes from outside. Values are bound, and lists of them are tables.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from engine.words import EVERY_ROW, Aggregate, All, Among, Ask, Cut, Kind, Measure, Order, Where
from sources.scratch.conditions import condition
from sources.scratch.values import Field
from sources.scratch.words import Frame, Given, Matched, Sql, joined, prefixed

CALLS = {Aggregate.COUNT: "count", Aggregate.SUM: "sum", Aggregate.MIN: "min", Aggregate.MAX: "max"}
WRITTEN = {Aggregate.SUM: "min({e})", Aggregate.MIN: "arg_min({e}, {v})", Aggregate.MAX: "arg_max({e}, {v})"}
"""The exponent of a sum is that of the addend with the most places; of a minimum its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What gives the rows, `fields` next to each other; `beside` are the tables `k0`, `k1`, made before, in order."""

    sql: Sql
    fields: tuple[Field, ...]
    beside: tuple[Given | Matched, ...]


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
