"""Explain an executed plan: sum up what each scan did, and write the statements of those that did not run."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Any, TypeAlias

from onedoor.model.names import get_value_type
from onedoor.query.executor.dynamic_filter import ResolvedScan
from onedoor.query.executor.scan import build_scan_requests
from onedoor.query.executor.state import ExecutionState, ScanTrace
from onedoor.query.planner.explain import ExplainContext, ScanOutcome, build_plan_json, explain
from onedoor.query.planner.explain_pushdown import is_filter_pushed
from onedoor.query.planner.nodes import LogicalScan, PhysicalScan, Plan
from onedoor.spi.capabilities import Capabilities, ColumnType, ValueType
from onedoor.spi.connector import ExplainableConnector
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest
from onedoor.spi.spill import measure_json_bytes
from onedoor.spi.text_types import TextType

Collections: TypeAlias = frozenset[tuple[str, str]]
"""Each by its source and its name."""

SAMPLE_VALUES: Mapping[ColumnType, tuple[Any, Any]] = {
    ColumnType.TEXT: ("a", "b"),
    ColumnType.INTEGER: (1, 2),
    ColumnType.FLOAT: (1.0, 2.0),
    ColumnType.DECIMAL: (Decimal(1), Decimal(2)),
    ColumnType.BOOLEAN: (False, True),
    ColumnType.DATE: (date(2000, 1, 1), date(2000, 1, 2)),
    ColumnType.TIME: (datetime(2000, 1, 1, tzinfo=UTC), datetime(2000, 1, 2, tzinfo=UTC)),
}
"""Keys for the statement of a scan whose keys are not known; a statement shows none of its values."""


NO_COLLECTIONS: Collections = frozenset()


def explain_execution(
    plan: Plan, state: ExecutionState, *, sql: bool, limited: Collections = NO_COLLECTIONS
) -> dict[str, Any]:
    """Build `extensions.onedoor.plan` for a plan that was executed, was stopped, or is not to be executed.

    `sql`: whether the principal may see the statements; `limited`: the collections with rows that they do not see.
    """
    write_statements = partial(_write_statements, state) if sql else _write_no_statements
    context = ExplainContext(
        connector_for=state.get_connector,
        outcomes=_summarize_scans(state, write_statements, limited),
        exists_semi_joins=state.exists_semi_joins,
        key_origins={
            id(keys): semi_join for semi_join, keys in state.semi_join_keys.items() if isinstance(keys, frozenset)
        },
        was_executed=state.traces is not None,
        statements_for=lambda scan: write_statements(scan, _build_sample_requests(state, scan)),
        max_age_for=lambda logical: _get_max_age(state, logical),
    )
    return build_plan_json(explain(plan, context))


def _get_max_age(state: ExecutionState, logical: LogicalScan) -> float:
    return state.readers[logical.source].max_age(logical.collection)


StatementWriter = Callable[[PhysicalScan, Sequence[ScanRequest]], tuple[str, ...]]
"""Writes the statement of a scan's first request, if there is one and the connector can say it."""


def _write_statements(state: ExecutionState, scan: PhysicalScan, requests: Sequence[ScanRequest]) -> tuple[str, ...]:
    connector = state.get_connector(scan.logical.source)
    if not requests or not isinstance(connector, ExplainableConnector):
        return ()
    return (connector.statement_text(requests[0]),)


def _write_no_statements(scan: PhysicalScan, requests: Sequence[ScanRequest]) -> tuple[str, ...]:
    return ()


def _build_sample_requests(state: ExecutionState, scan: PhysicalScan) -> Sequence[ScanRequest]:
    """Build the request of a scan that did not run; none where keys that are still to be read decide it."""
    if scan.is_undecided:
        return ()
    capabilities = state.get_connector(scan.logical.source).capabilities(scan.logical.collection)
    keys = _build_sample_keys(capabilities, scan.logical.key_columns) if scan.key_batch_size else None
    return (next(build_scan_requests(state, ResolvedScan(scan=scan), keys)),)


def _build_sample_keys(capabilities: Capabilities, columns: Sequence[str]) -> tuple[Row, ...]:
    samples = (_get_samples(get_value_type(capabilities.columns[column])) for column in columns)
    return tuple(zip(*samples, strict=True))


def _get_samples(value_type: ValueType) -> tuple[Any, Any]:
    return value_type.examples if isinstance(value_type, TextType) else SAMPLE_VALUES[value_type]


def _summarize_scans(
    state: ExecutionState, write_statements: StatementWriter, limited: Collections
) -> dict[int, ScanOutcome]:
    """Sum up the scans by the id() of the logical scan that they were executed for."""
    traces_by_scan: dict[int, list[ScanTrace]] = {}
    for trace in state.traces or ():
        traces_by_scan.setdefault(id(trace.logical), []).append(trace)
    return {scan_id: _summarize_scan(traces, write_statements, limited) for scan_id, traces in traces_by_scan.items()}


def _summarize_scan(
    traces: Sequence[ScanTrace], write_statements: StatementWriter, limited: Collections
) -> ScanOutcome:
    stats = [trace.stats for trace in traces]
    requests = [request for trace in traces for request in trace.requests]
    cached_since = [each.read_at for each in stats if each.cached_count and each.read_at]
    statements = (text for trace in traces for text in write_statements(trace.scan, trace.requests))
    counts_hidden_rows = any(
        (trace.stats.source, trace.stats.collection) in limited and not is_filter_pushed(trace.scan) for trace in traces
    )
    return ScanOutcome(
        scan=traces[0].scan,
        key_batch_columns=traces[0].key_batch_columns,
        call_count=sum(each.call_count for each in stats),
        cached_count=sum(each.cached_count for each in stats),
        read_at=min(cached_since).isoformat(timespec="seconds") if cached_since else None,
        key_count=sum(len(request.keys.values) for request in requests if request.keys is not None),
        row_count=None if counts_hidden_rows else sum(map(_count_rows, traces)),
        spilled_row_count=0 if counts_hidden_rows else sum(each.spilled_row_count for each in stats),
        byte_count=None if counts_hidden_rows else sum(map(_count_bytes, traces)),
        milliseconds=round(sum(each.milliseconds for each in stats), 3),
        error_code=next((each.error_code for each in stats if each.error_code), None),
        statements=tuple(dict.fromkeys(statements)),
    )


def _count_rows(trace: ScanTrace) -> int:
    return len(trace.rows) + (trace.spill_buffer.spilled if trace.spill_buffer else 0)


def _count_bytes(trace: ScanTrace) -> int:
    return measure_json_bytes(trace.rows) + (trace.spill_buffer.bytes if trace.spill_buffer else 0)
