"""The strict source complains of whatever it is asked beyond its promise, and of nothing else."""

from dataclasses import replace
from typing import Any

import pytest

from engine.words import (
    COUNT,
    NO_ROW,
    Aggregate,
    Among,
    Ask,
    Can,
    Column,
    Cut,
    Keys,
    Kind,
    Measure,
    Op,
    Order,
    Test,
    Unit,
)
from sources.memory import Collection, Memory
from tests.push.strict import Strict, complaints

ALL = Can(
    columns={
        "id": Column(Kind.INTEGER, frozenset(Op), True, frozenset(Aggregate)),
        "day": Column(Kind.DATE, frozenset(Op), True, frozenset(Aggregate)),
    },
    keys=1,
    logic=True,
    among=1,
    limit=True,
    limit_per_key=True,
    measures=True,
    cuts=frozenset(Unit),
    arranges=True,
)
BLUNT = {"id": Column(Kind.INTEGER), "day": Column(Kind.DATE, frozenset({Op.EQ}))}
ROWS = Ask(collection="row", columns=("id",))
GROUPS = replace(ROWS, columns=("day",), measures=(COUNT,))
BY_COUNT = (Order("count()"),)
KEYED = Keys(("id",), ((1,),))
ONE = Among(("id",), frozenset({(1,)}))


@pytest.mark.parametrize(
    ("ask", "without", "complaint"),
    [
        pytest.param(replace(ROWS, where=ONE), {"among": 0}, "a filter it does not take", id="keys in a filter"),
        pytest.param(GROUPS, {"measures": False}, "a measure it does not take", id="groups"),
        pytest.param(
            replace(GROUPS, measures=(Measure(Aggregate.SUM, "id"),)),
            {"columns": BLUNT},
            "a measure of a column it does not take",
            id="a measure of a column",
        ),
        pytest.param(
            replace(GROUPS, columns=("id",)),
            {"columns": BLUNT},
            "a group by a column it does not tell apart",
            id="groups by a column that takes no EQ",
        ),
        pytest.param(
            replace(GROUPS, cuts=(Cut("day", Unit.WEEK),)),
            {"cuts": frozenset({Unit.YEAR})},
            "a unit it does not cut to",
            id="a unit",
        ),
        pytest.param(replace(GROUPS, having=NO_ROW), {"arranges": False}, "an arrangement of groups", id="having"),
        pytest.param(replace(GROUPS, order=BY_COUNT), {"arranges": False}, "an arrangement of groups", id="an order"),
        pytest.param(replace(GROUPS, limit=1), {"arranges": False}, "an arrangement of groups", id="a limit"),
    ],
)
def test_what_is_not_promised_is_complained_of_and_what_is_promised_is_not(
    ask: Ask, without: dict[str, Any], complaint: str
) -> None:
    assert (told(ask, ALL), told(ask, replace(ALL, **without))) == ([], [complaint])


@pytest.mark.parametrize(
    ("ask", "complaint"),
    [
        pytest.param(replace(GROUPS, keys=KEYED, limit=1), "an arrangement of groups", id="groups of keys in order"),
        pytest.param(
            replace(GROUPS, having=Test("sum(id)", Op.GT, 1)),
            "an arrangement by what its groups do not hold",
            id="having of a measure not asked for",
        ),
        pytest.param(
            replace(ROWS, cuts=(Cut("day", Unit.WEEK),)),
            "what is said of groups, without measures",
            id="cuts without measures",
        ),
    ],
)
def test_what_no_source_takes_is_always_complained_of(ask: Ask, complaint: str) -> None:
    assert told(ask, ALL) == [complaint]


def told(ask: Ask, can: Can) -> list[str]:
    return list(complaints(Strict(Memory({"row": Collection(can=can, rows=())})), ask))
