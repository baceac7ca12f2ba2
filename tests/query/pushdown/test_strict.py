"""The strict connector complains about every request beyond its capabilities, and about nothing else."""

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
    ("scan_request", "without", "complaint"),
    [
        pytest.param(
            replace(ROWS, filter=ONE), {"max_in_filter_keys": 0}, "a filter it does not take", id="keys in a filter"
        ),
        pytest.param(GROUPS, {"aggregates": False}, "aggregates it does not compute", id="groups"),
        pytest.param(
            replace(GROUPS, aggregates=(AggregateCall(AggregateFunction.SUM, "id"),)),
            {"columns": BLUNT},
            "an aggregate it does not compute of that column",
            id="an aggregate of a column",
        ),
        pytest.param(
            replace(GROUPS, columns=("id",)),
            {"columns": BLUNT},
            "groups by a column it does not compare",
            id="groups by a column that takes no EQ",
        ),
        pytest.param(
            replace(GROUPS, time_buckets=(TimeBucket("day", TimeUnit.WEEK),)),
            {"time_buckets": frozenset({TimeUnit.YEAR})},
            "a time bucket it does not take",
            id="a time bucket",
        ),
        pytest.param(
            replace(GROUPS, having=ALWAYS_FALSE),
            {"group_ordering_and_limit": False},
            "an order or a limit of groups",
            id="having",
        ),
        pytest.param(
            replace(GROUPS, sort=BY_COUNT),
            {"group_ordering_and_limit": False},
            "an order or a limit of groups",
            id="an order",
        ),
        pytest.param(
            replace(GROUPS, limit=1), {"group_ordering_and_limit": False}, "an order or a limit of groups", id="a limit"
        ),
    ],
)
def test_only_a_scan_requestbeyond_the_capabilities_is_complained_about(
    scan_request: ScanRequest, without: dict[str, Any], complaint: str
) -> None:
    assert (list_complaints(scan_request, ALL), list_complaints(scan_request, replace(ALL, **without))) == (
        [],
        [complaint],
    )


@pytest.mark.parametrize(
    ("scan_request", "complaint"),
    [
        pytest.param(
            replace(GROUPS, keys=KEYED, limit=1), "an order or a limit of groups", id="groups of keys in order"
        ),
        pytest.param(
            replace(GROUPS, having=Comparison("sum(id)", Op.GT, 1)),
            "an order by what its groups do not have",
            id="having of an aggregate not asked for",
        ),
        pytest.param(
            replace(ROWS, time_buckets=(TimeBucket("day", TimeUnit.WEEK),)),
            "steps of groups, without aggregates",
            id="time buckets without aggregates",
        ),
    ],
)
def test_a_request_that_no_connector_takes_is_always_complained_about(
    scan_request: ScanRequest, complaint: str
) -> None:
    assert list_complaints(scan_request, ALL) == [complaint]


def list_complaints(request: ScanRequest, capabilities: Capabilities) -> list[str]:
    memory = MemoryConnector({"row": MemoryCollection(capabilities=capabilities, rows=())})
    return list(complaints(Strict(memory), request))
