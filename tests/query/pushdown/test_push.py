"""The push-down law, on all small worlds: the plan changes with the promise, the rows do not."""

import pytest

from onedoor.model.catalog import Limits
from onedoor.query.executor.scan import execute_scan
from onedoor.query.planner import nodes, pushdown
from onedoor.query.planner.nodes import PhysicalScan, PushdownStep
from onedoor.spi.operators import compile_key
from onedoor.spi.predicates import ALWAYS_TRUE, Row
from onedoor.spi.scan import ScanRequest
from tests.query.pushdown.running import running
from tests.query.pushdown.small import COLUMNS, WANTED, Wanted, memory, obvious, promises
from tests.query.pushdown.strict import Strict, complaints

SOURCES = tuple(Strict(memory(can)) for can in promises())
NOTHING, *_, EVERYTHING = SOURCES


def planned(source: Strict, wanted: Wanted) -> PhysicalScan:
    return pushdown.plan_scan(
        source,
        nodes.LogicalScan(
            source="small",
            collection="row",
            columns=wanted.keyed if wanted.measures else COLUMNS,
            key_columns=wanted.keyed,
            filter=wanted.where,
            aggregates=wanted.measures,
            sort=wanted.order,
            limit=wanted.limit,
        ),
    )


async def finished(source: Strict, one: PhysicalScan, wanted: Wanted) -> list[Row]:
    table = await execute_scan(running("small", source, Limits()), one, wanted.keys)
    width = len(one.logical.columns) + len(one.logical.aggregates)
    return sorted_by_key([row[:width] for row in table.rows], wanted)


def sorted_by_key(rows: list[Row], wanted: Wanted) -> list[Row]:
    """Which key comes first is not said, nor is the order of rows that none was asked for."""
    if not wanted.order:
        return sorted(rows, key=repr)
    take = compile_key(wanted.keyed, COLUMNS)
    return sorted(rows, key=take)


@pytest.mark.parametrize("wanted", [pytest.param(each, id=str(at)) for at, each in enumerate(WANTED)])
async def test_rows_are_the_same_whatever_a_source_promises_and_it_is_asked_no_more(wanted: Wanted) -> None:
    expected = sorted_by_key(obvious(wanted), wanted)
    # Most promises lead to one of a few reads, and a read asks the same of each source; so each is read once.
    asked: dict[PhysicalScan, list[ScanRequest]] = {}
    for source in SOURCES:
        one = planned(source, wanted)
        if one not in asked:
            source.asked.clear()
            assert await finished(source, one, wanted) == expected, one
            asked[one] = list(source.asked)
        assert not [each for ask in asked[one] for each in complaints(source, ask)], one


def test_a_step_is_asked_for_only_if_every_step_before_it_is() -> None:
    skipped = [wanted for source in SOURCES for wanted in WANTED if skips(planned(source, wanted))]
    assert skipped == []


def skips(one: PhysicalScan) -> bool:
    filtered = one.residual_filter == ALWAYS_TRUE and bool(one.key_batch_size or not one.logical.key_columns)
    later = one.pushed_aggregates or one.pushed_steps
    return bool(
        (later and not filtered)
        or (PushdownStep.LIMIT in one.pushed_steps and PushdownStep.SORT not in one.pushed_steps)
    )


def test_a_source_that_promises_everything_is_asked_for_everything() -> None:
    left = [
        wanted
        for wanted in WANTED
        for one in [planned(EVERYTHING, wanted)]
        if one.residual_filter != ALWAYS_TRUE
        or one.is_undecided
        or one.logical.aggregates != one.pushed_aggregates
        or (not wanted.measures and one.pushed_steps < {PushdownStep.SORT, PushdownStep.LIMIT})
        or bool(one.logical.key_columns) != bool(one.key_batch_size)
    ]
    assert left == []


def test_a_source_that_promises_nothing_is_asked_for_nothing_but_columns() -> None:
    asked = {planned(NOTHING, wanted).pushed_filter for wanted in WANTED}
    assert asked == {ALWAYS_TRUE}
