"""An ask and all rows in, its answer out: what the words mean, read off the contract, fast in no way.

Written apart from engine/finish.py, so that neither can be wrong unseen.
"""

from collections.abc import Mapping, Sequence
from functools import cmp_to_key
from typing import Any

from engine.words import All, Ask, Exists, Not, Op, Order, Row, Some
from engine.words import Test as Check  # pytest would take `Test` for a class of tests

FOLDED = {
    Op.I_CONTAINS: Op.CONTAINS,
    Op.I_STARTS_WITH: Op.STARTS_WITH,
    Op.I_ENDS_WITH: Op.ENDS_WITH,
}
Record = Mapping[str, Any]
Tables = Mapping[str, Sequence[Record]]


def meant(ask: Ask, tables: Tables) -> list[Row]:
    rows = [row for row in tables[ask.collection] if keyed(ask, row) and meets(ask.where, row, tables)]
    if ask.measures:
        return counted(ask, rows)
    rows = sorted(rows, key=cmp_to_key(lambda one, other: compared(ask.order, one, other)))
    return [tuple(row[name] for name in ask.columns) for row in within(ask, rows)]


def keyed(ask: Ask, row: Record) -> bool:
    return ask.keys is None or any(
        all(row[name] is not None and row[name] == value for name, value in zip(ask.keys.columns, key, strict=True))
        for key in ask.keys.values
    )


def counted(ask: Ask, rows: Sequence[Record]) -> list[Row]:
    groups = [tuple(row[name] for name in ask.columns) for row in rows]
    if not ask.columns:
        return [(len(rows),) * len(ask.measures)]
    return [(*group, *[groups.count(group)] * len(ask.measures)) for group in dict.fromkeys(groups)]


def within(ask: Ask, rows: Sequence[Record]) -> list[Record]:
    kept: list[Record] = []
    for row in rows:
        alike = [each for each in kept if ask.keys is None or same(ask.keys.columns, each, row)]
        if ask.limit is None or len(alike) < ask.limit:
            kept.append(row)
    return kept


def same(columns: Sequence[str], one: Record, other: Record) -> bool:
    return all(one[name] == other[name] for name in columns)


def compared(order: Sequence[Order], one: Record, other: Record) -> int:
    for each in order:
        mine, theirs = one[each.column], other[each.column]
        if mine == theirs:
            continue
        if mine is None or theirs is None:
            return -1 if (mine is None) == each.nulls_first else 1
        return -1 if (mine < theirs) != each.descending else 1
    return 0


def meets(where: Any, row: Record, tables: Tables) -> bool:
    if isinstance(where, All):
        return all(meets(part, row, tables) for part in where.parts)
    if isinstance(where, Some):
        return any(meets(part, row, tables) for part in where.parts)
    if isinstance(where, Not):
        return not meets(where.part, row, tables)
    if isinstance(where, Exists):
        return any(joined(where, row, each) and meets(where.where, each, tables) for each in tables[where.collection])
    assert isinstance(where, Check)
    return passes(where.op, row[where.column], where.value)


def joined(where: Exists, row: Record, other: Record) -> bool:
    pairs = [(row[here], other[there]) for here, there in zip(where.here, where.there, strict=True)]
    return all(mine is not None and theirs is not None and mine == theirs for mine, theirs in pairs)


def passes(op: Op, value: Any, given: Any) -> bool:
    if op is Op.IS_NULL:
        return (value is None) == given
    if value is None:
        return False
    match op:
        case Op.EQ | Op.NE:
            return (value == given) == (op is Op.EQ)
        case Op.IN | Op.NOT_IN:
            return any(value == each for each in given) == (op is Op.IN)
        case Op.LT | Op.GTE:
            return (value < given) == (op is Op.LT)
        case Op.GT | Op.LTE:
            return (value > given) == (op is Op.GT)
        case Op.CONTAINS:
            return value.find(given) >= 0
        case Op.STARTS_WITH:
            return value[: len(given)] == given
        case Op.ENDS_WITH:
            return value[max(0, len(value) - len(given)) :] == given
    return passes(FOLDED[op], value.lower(), given.lower())
