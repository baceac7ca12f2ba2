"""A read in, about how many rows its source would give out: enough to tell which of two reads to begin with.

The shares are rules of thumb, such as every planner has where nothing is known of how values are spread (Selinger et
al. 1979, table 1, gives 1/10 for equality and 1/3 for ranges). A wrong guess costs time, never a wrong answer.
"""

from collections.abc import Mapping
from typing import Any

from engine.plan.push import split
from engine.plan.words import Wanted
from engine.slots import Slot
from engine.source import Source
from engine.words import All, Among, Not, Op, Some, Test

UNKNOWN_ROWS = 100_000
SHARES: Mapping[Op, float] = {
    Op.EQ: 1 / 10,
    Op.IN: 1 / 4,
    Op.LT: 1 / 3,
    Op.LTE: 1 / 3,
    Op.GT: 1 / 3,
    Op.GTE: 1 / 3,
    Op.CONTAINS: 1 / 10,
    Op.STARTS_WITH: 1 / 10,
    Op.ENDS_WITH: 1 / 10,
    Op.I_CONTAINS: 1 / 10,
    Op.I_STARTS_WITH: 1 / 10,
    Op.I_ENDS_WITH: 1 / 10,
}
"""By operator, the share of rows that meet it; of any other, all but a few."""
NEARLY_ALL = 9 / 10
RELATED = 1 / 2
UNIQUE = "id"


def rows_given(source: Source, wanted: Wanted) -> float:
    """What its source would send for the read; what we filter ourselves is sent all the same."""
    can = source.can(wanted.collection)
    pushed, _ = split(wanted.where, can, source.can)
    rows = UNKNOWN_ROWS if can.rows is None else can.rows
    return min(float(rows), _met(pushed, rows))


def _met(where: Any, rows: int) -> float:
    match where:
        case Among():
            return _count(where.keys, rows)
        case Test(op=Op.EQ | Op.IN) if where.column == UNIQUE:
            return 1.0 if where.op is Op.EQ else _count(where.value, rows)
        case All():
            return min([rows * _share(where), *(_met(each, rows) for each in where.parts)])
        case _:
            return rows * _share(where)


def _count(values: Any, rows: int) -> float:
    return rows * SHARES[Op.IN] if isinstance(values, Slot) else float(len(values))


def _share(where: Any) -> float:
    match where:
        case Test():
            return SHARES.get(where.op, NEARLY_ALL)
        case All():
            share = 1.0
            for each in where.parts:
                share *= _share(each)
            return share
        case Some():
            return min(1.0, sum(map(_share, where.parts)))
        case Not():
            return 1 - _share(where.part)
        case _:
            return RELATED
