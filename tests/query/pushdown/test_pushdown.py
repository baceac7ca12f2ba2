"""The law of push-down, tried on all small scans: capabilities change the plan, never the rows."""

import pytest

from onedoor.model.catalog import Limits
from onedoor.query.executor.scan import execute_scan
from onedoor.query.planner.nodes import LogicalScan, PhysicalScan, PushdownStep
from onedoor.query.planner.pushdown import plan_scan
from onedoor.spi.operators import compile_key
from onedoor.spi.predicates import ALWAYS_TRUE, Row
from onedoor.spi.scan import ScanRequest
from tests.query.pushdown.small import (
    COLUMNS,
    SMALL_SCANS,
    SmallScan,
    build_memory_connector,
    compute_expected_rows,
    list_capabilities,
)
from tests.query.pushdown.state import build_state
from tests.query.pushdown.strict import Strict, complaints

CONNECTORS = tuple(Strict(build_memory_connector(capabilities)) for capabilities in list_capabilities())
WITHOUT_CAPABILITIES, *_, WITH_ALL_CAPABILITIES = CONNECTORS


def plan(connector: Strict, small_scan: SmallScan) -> PhysicalScan:
    return plan_scan(
        connector,
        LogicalScan(
            source="small",
            collection="row",
            columns=small_scan.key_columns if small_scan.aggregates else COLUMNS,
            key_columns=small_scan.key_columns,
            filter=small_scan.filter,
            aggregates=small_scan.aggregates,
            sort=small_scan.sort,
            limit=small_scan.limit,
        ),
    )


async def execute(connector: Strict, scan: PhysicalScan, small_scan: SmallScan) -> list[Row]:
    result = await execute_scan(build_state("small", connector, Limits()), scan, small_scan.keys)
    width = len(scan.logical.columns) + len(scan.logical.aggregates)
    return sort_by_key([row[:width] for row in result.rows], small_scan)


def sort_by_key(rows: list[Row], small_scan: SmallScan) -> list[Row]:
    """Sort what no law orders: the keys, and rows that no order was asked for."""
    if not small_scan.sort:
        return sorted(rows, key=repr)
    return sorted(rows, key=compile_key(small_scan.key_columns, COLUMNS))


@pytest.mark.parametrize("small_scan", [pytest.param(item, id=str(number)) for number, item in enumerate(SMALL_SCANS)])
async def test_rows_are_the_same_whatever_the_capabilities_and_no_request_exceeds_them(small_scan: SmallScan) -> None:
    expected = sort_by_key(compute_expected_rows(small_scan), small_scan)
    # Most capabilities lead to one of a few scans, and a scan makes the same requests; so each is executed once.
    requests: dict[PhysicalScan, list[ScanRequest]] = {}
    for connector in CONNECTORS:
        scan = plan(connector, small_scan)
        if scan not in requests:
            connector.requests.clear()
            assert await execute(connector, scan, small_scan) == expected, scan
            requests[scan] = list(connector.requests)
        assert not [complaint for request in requests[scan] for complaint in complaints(connector, request)], scan


def test_a_step_is_pushed_down_only_if_every_step_before_it_is() -> None:
    scans = [(connector, small_scan) for connector in CONNECTORS for small_scan in SMALL_SCANS]
    assert [small_scan for connector, small_scan in scans if skips_a_step(plan(connector, small_scan))] == []


def skips_a_step(scan: PhysicalScan) -> bool:
    is_filtered = scan.residual_filter == ALWAYS_TRUE and bool(scan.key_batch_size or not scan.logical.key_columns)
    later = scan.pushed_aggregates or scan.pushed_steps
    return bool(
        (later and not is_filtered)
        or (PushdownStep.LIMIT in scan.pushed_steps and PushdownStep.SORT not in scan.pushed_steps)
    )


def test_a_connector_with_all_capabilities_takes_every_step() -> None:
    scans = [(small_scan, plan(WITH_ALL_CAPABILITIES, small_scan)) for small_scan in SMALL_SCANS]
    assert [small_scan for small_scan, scan in scans if leaves_a_step(scan)] == []


def leaves_a_step(scan: PhysicalScan) -> bool:
    return (
        scan.residual_filter != ALWAYS_TRUE
        or scan.is_undecided
        or scan.logical.aggregates != scan.pushed_aggregates
        or (not scan.logical.aggregates and scan.pushed_steps < {PushdownStep.SORT, PushdownStep.LIMIT})
        or bool(scan.logical.key_columns) != bool(scan.key_batch_size)
    )


def test_a_connector_without_capabilities_gets_requests_for_columns_alone() -> None:
    assert {plan(WITHOUT_CAPABILITIES, small_scan).pushed_filter for small_scan in SMALL_SCANS} == {ALWAYS_TRUE}
