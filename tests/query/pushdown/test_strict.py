"""The strict source complains of whatever it is asked beyond its promise, and of nothing else."""

from dataclasses import replace
from typing import Any

import pytest

from onedoor.connectors.memory import MemoryCollection, MemoryConnector
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.predicates import ALWAYS_FALSE, Comparison, InKeys, Op
from onedoor.spi.scan import (
    COUNT_ROWS,
    AggregateCall,
    AggregateFunction,
    KeyFilter,
    ScanRequest,
    SortKey,
    TimeBucket,
    TimeUnit,
)
from tests.query.pushdown.strict import Strict, complaints

ALL = Capabilities(
    columns={
        "id": Column(ColumnType.INTEGER, frozenset(Op), True, frozenset(AggregateFunction)),
        "day": Column(ColumnType.DATE, frozenset(Op), True, frozenset(AggregateFunction)),
    },
    max_keys=1,
    boolean_filters=True,
    max_in_filter_keys=1,
    limit=True,
    limit_per_key=True,
    aggregates=True,
    time_buckets=frozenset(TimeUnit),
    group_ordering_and_limit=True,
)
BLUNT = {"id": Column(ColumnType.INTEGER), "day": Column(ColumnType.DATE, frozenset({Op.EQ}))}
ROWS = ScanRequest(collection="row", columns=("id",))
GROUPS = replace(ROWS, columns=("day",), aggregates=(COUNT_ROWS,))
BY_COUNT = (SortKey("count()"),)
KEYED = KeyFilter(("id",), ((1,),))
ONE = InKeys(("id",), frozenset({(1,)}))


@pytest.mark.parametrize(
    ("ask", "without", "complaint"),
    [
        pytest.param(replace(ROWS, filter=ONE), {"max_in_filter_keys": 0}, "a filter it does not take", id="keys in a filter"),
        pytest.param(GROUPS, {"aggregates": False}, "a measure it does not take", id="groups"),
        pytest.param(
            replace(GROUPS, aggregates=(AggregateCall(AggregateFunction.SUM, "id"),)),
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
            replace(GROUPS, time_buckets=(TimeBucket("day", TimeUnit.WEEK),)),
            {"time_buckets": frozenset({TimeUnit.YEAR})},
            "a unit it does not cut to",
            id="a unit",
        ),
        pytest.param(
            replace(GROUPS, having=ALWAYS_FALSE), {"group_ordering_and_limit": False}, "an arrangement of groups", id="having"
        ),
        pytest.param(replace(GROUPS, sort=BY_COUNT), {"group_ordering_and_limit": False}, "an arrangement of groups", id="an order"),
        pytest.param(replace(GROUPS, limit=1), {"group_ordering_and_limit": False}, "an arrangement of groups", id="a limit"),
    ],
)
def test_what_is_not_promised_is_complained_of_and_what_is_promised_is_not(
    ask: ScanRequest, without: dict[str, Any], complaint: str
) -> None:
    assert (told(ask, ALL), told(ask, replace(ALL, **without))) == ([], [complaint])


@pytest.mark.parametrize(
    ("ask", "complaint"),
    [
        pytest.param(replace(GROUPS, keys=KEYED, limit=1), "an arrangement of groups", id="groups of keys in order"),
        pytest.param(
            replace(GROUPS, having=Comparison("sum(id)", Op.GT, 1)),
            "an arrangement by what its groups do not hold",
            id="having of a measure not asked for",
        ),
        pytest.param(
            replace(ROWS, time_buckets=(TimeBucket("day", TimeUnit.WEEK),)),
            "what is said of groups, without measures",
            id="cuts without measures",
        ),
    ],
)
def test_what_no_source_takes_is_always_complained_of(ask: ScanRequest, complaint: str) -> None:
    assert told(ask, ALL) == [complaint]


def told(ask: ScanRequest, can: Capabilities) -> list[str]:
    return list(complaints(Strict(MemoryConnector({"row": MemoryCollection(capabilities=can, rows=())})), ask))
