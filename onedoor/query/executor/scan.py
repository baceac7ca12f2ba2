"""Execute one scan: read the keys its filter needs, call the connector, and finish the steps it does not take."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter

from onedoor.errors import ConnectorError
from onedoor.query.executor import residual
from onedoor.query.executor.dynamic_filter import KeyBatches, ResolvedScan, resolve_scan
from onedoor.query.executor.spilled_scan import SpilledScan, create_spill_buffer
from onedoor.query.executor.state import ExecutionState, ScanStats, ScanTrace, build_too_many_keys_error
from onedoor.query.planner.bind import bind_predicate
from onedoor.query.planner.nodes import KeyJoin, LogicalScan, PhysicalScan, PushdownStep, SemiJoinFilter
from onedoor.query.planner.pushdown import plan_scan
from onedoor.runtime import row_cache
from onedoor.runtime.concurrency import gather_or_cancel
from onedoor.spi.operators import compile_key, name_grouped_columns
from onedoor.spi.predicates import ALWAYS_TRUE, Predicate, Row
from onedoor.spi.scan import KeyFilter, ScanRequest
from onedoor.spi.spill import SpillBuffer, SpillInput

NULL_AND_ONE_TOO_MANY = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanResult:
    """Hold finished rows and the names of their columns."""

    columns: tuple[str, ...]
    rows: list[Row]


async def execute_scan(
    state: ExecutionState,
    scan: PhysicalScan,
    keys: Sequence[Row] | None,
    origin: LogicalScan | None = None,
    max_rows_per_key: int | None = None,
) -> ScanResult:
    """Return the finished rows of a scan, for these keys if there are any.

    `origin` is the scan of the plan that it is executed for, where that differs. Past `max_rows_per_key` rows are of no
    use to the caller, but may be returned. Raises ConnectorError where a connector fails or a limit is exceeded.
    """
    resolved = ResolvedScan(scan=scan)
    if scan.is_undecided:
        resolved = await resolve_scan(state, scan.logical, keys, partial(_get_semi_join_keys, state))
    if resolved.is_empty:
        return await _finish_in_memory(state, resolved.scan, keys, [])
    origin = origin or scan.logical
    spill_buffer = create_spill_buffer(state, resolved.scan, keys)
    if spill_buffer is None:
        rows = await _request_rows(state, resolved, keys, origin, None)
        return await _finish_in_memory(state, resolved.scan, keys, rows)
    async with spill_buffer:
        rows = await _request_rows(state, resolved, keys, origin, spill_buffer)
        if spill_buffer.table is None:
            return await _finish_in_memory(state, resolved.scan, keys, rows)
        spilled_scan = _build_spilled_scan(state, resolved.scan, keys, max_rows_per_key)
        return ScanResult(columns=resolved.scan.output_columns, rows=await spilled_scan.finish(spill_buffer.table))


async def _finish_in_memory(
    state: ExecutionState, scan: PhysicalScan, keys: Sequence[Row] | None, rows: list[Row]
) -> ScanResult:
    rows = residual.select_rows_by_key(scan, rows, keys)
    columns = name_grouped_columns(scan.source_columns, scan.pushed_aggregates)
    if scan.residual_filter != ALWAYS_TRUE:
        rows = residual.filter_rows(rows, await _bind_residual_filter(state, scan, rows, columns), columns)
    for key_join in scan.key_joins:
        rows = await _join_by_key(state, key_join, rows, columns)
        columns = (*columns, *key_join.output_columns)
    return ScanResult(columns=scan.output_columns, rows=residual.finish_joined_rows(state, scan, rows, columns))


def _build_spilled_scan(
    state: ExecutionState, scan: PhysicalScan, keys: Sequence[Row] | None, max_rows_per_key: int | None
) -> SpilledScan:
    limit = residual.resolve_limit(state, scan)
    return SpilledScan(
        state=state,
        scan=replace(scan, pushed_steps=frozenset()),
        keys=keys,
        limit=max_rows_per_key if limit is None else limit,
        match_keys=partial(match_keys, state),
        load_joined_rows=partial(_load_joined_rows, state),
    )


async def _request_rows(
    state: ExecutionState,
    resolved_scan: ResolvedScan,
    keys: Sequence[Row] | None,
    origin: LogicalScan,
    spill_buffer: SpillBuffer | None,
) -> list[Row]:
    """Return the connector's rows, unless they went into the spill buffer, which takes all or none.

    Requests go out in waves as wide as the connector's bulkhead, so that one query does not overflow its own queue.
    """
    scan, key_batches = resolved_scan.scan, resolved_scan.key_batches
    stats = ScanStats(source=scan.logical.source, collection=scan.logical.collection)
    state.scan_stats.append(stats)
    requests = list(build_scan_requests(state, resolved_scan, keys))
    rows: list[Row] = []
    if state.traces is not None:
        state.traces.append(
            ScanTrace(
                logical=origin,
                scan=scan,
                stats=stats,
                requests=requests,
                key_batch_columns=key_batches.columns if key_batches else (),
                rows=rows,
                spill_buffer=spill_buffer,
            )
        )
    wave_size = state.limits.source_calls
    start = perf_counter()
    try:
        for first in range(0, len(requests), wave_size):
            wave = requests[first : first + wave_size]
            for batch in await gather_or_cancel(
                _execute_request(state, request, stats, spill_buffer) for request in wave
            ):
                rows.extend(batch)
            if spill_buffer is not None:
                await spill_buffer.flush(rows)
        return rows
    except ConnectorError as failure:
        stats.error_code = failure.code
        raise
    finally:
        stats.spilled_row_count = 0 if spill_buffer is None else spill_buffer.spilled
        stats.milliseconds += (perf_counter() - start) * 1000


async def _execute_request(
    state: ExecutionState, request: ScanRequest, stats: ScanStats, spill_buffer: SpillBuffer | None
) -> list[Row]:
    stats.call_count += 1
    spill_input = None if spill_buffer is None else SpillInput(spill_buffer)
    result = await row_cache.read_cached_rows(state.readers[stats.source], request, spill_input)
    if result.cached:
        stats.call_count, stats.cached_count = stats.call_count - 1, stats.cached_count + 1
    stats.read_at = min(stats.read_at or result.entry.read_at, result.entry.read_at)
    rows = list(result.entry.rows)
    stats.row_count += len(rows)
    if spill_input is not None:
        stats.row_count += spill_input.spilled
        await spill_input.offer(rows)
    return rows


def build_scan_requests(
    state: ExecutionState, resolved_scan: ResolvedScan, keys: Sequence[Row] | None
) -> Iterator[ScanRequest]:
    """Yield one request, or one for each batch of keys."""
    scan, logical = resolved_scan.scan, resolved_scan.scan.logical
    request = ScanRequest(
        collection=logical.collection,
        columns=scan.source_columns,
        joins=scan.pushed_joins,
        filter=bind_predicate(scan.pushed_filter, state.bound_plan),
        aggregates=scan.pushed_aggregates,
        time_buckets=tuple(bucket for bucket in logical.time_buckets if bucket.column in scan.source_columns)
        if scan.pushed_aggregates
        else (),
        having=bind_predicate(logical.having, state.bound_plan)
        if PushdownStep.HAVING in scan.pushed_steps
        else ALWAYS_TRUE,
        sort=logical.sort if PushdownStep.SORT in scan.pushed_steps else (),
        limit=residual.resolve_limit(state, scan) if PushdownStep.LIMIT in scan.pushed_steps else None,
    )
    batches = resolved_scan.key_batches or _batch_keys(scan, keys)
    if batches is None:
        yield request
        return
    for start in range(0, len(batches.keys), batches.size):
        values = tuple(batches.keys[start : start + batches.size])
        yield replace(request, keys=KeyFilter(batches.columns, values))


def _batch_keys(scan: PhysicalScan, keys: Sequence[Row] | None) -> KeyBatches | None:
    if not scan.key_batch_size or keys is None:
        return None
    return KeyBatches(columns=scan.logical.key_columns, size=scan.key_batch_size, keys=keys)


async def _join_by_key(state: ExecutionState, key_join: KeyJoin, rows: list[Row], columns: Sequence[str]) -> list[Row]:
    """Add the joined columns to each row."""
    get_key = compile_key(key_join.outer_columns, columns)
    keys = _collect_distinct_keys(state, map(get_key, rows), key_join.inner_scan)
    joined_rows = await _load_joined_rows(state, key_join, keys)
    return [row + joined_rows.get(get_key(row), key_join.missing_row) for row in rows]


async def _load_joined_rows(state: ExecutionState, key_join: KeyJoin, keys: Sequence[Row]) -> dict[Row, Row]:
    """Return the values of the joined columns, by key."""
    if not keys:
        return {}
    inner_scan = key_join.inner_scan
    result = await execute_scan(state, plan_scan(state.get_connector(inner_scan.source), inner_scan), keys)
    get_key = compile_key(inner_scan.key_columns, result.columns)
    get_values = compile_key(key_join.inner_columns, result.columns)
    return {get_key(row): get_values(row) for row in result.rows}


async def _bind_residual_filter(
    state: ExecutionState, scan: PhysicalScan, rows: list[Row], columns: Sequence[str]
) -> Predicate:
    """Bind the filter that is left to the engine; semi-joins that are still pending look up the keys of these rows."""
    semi_joins = list(residual.find_pending_semi_joins(scan.residual_filter))
    keys = [
        _collect_distinct_keys(state, map(compile_key(semi_join.outer_columns, columns), rows), semi_join.inner_scan)
        for semi_join in semi_joins
    ]
    matches = await gather_or_cancel(
        match_keys(state, semi_join, named) for semi_join, named in zip(semi_joins, keys, strict=True)
    )
    return bind_predicate(scan.residual_filter, state.bound_plan, dict(zip(semi_joins, matches, strict=True)))


async def match_keys(state: ExecutionState, semi_join: SemiJoinFilter, keys: Sequence[Row]) -> frozenset[Row]:
    """Return the keys for which the inner scan has a row."""
    if not keys:
        return frozenset()
    inner_scan = semi_join.inner_scan
    keyed_scan = replace(inner_scan, key_columns=inner_scan.columns)
    scan = plan_scan(state.get_connector(inner_scan.source), keyed_scan)
    result = await execute_scan(state, scan, keys, inner_scan)
    return frozenset(map(compile_key(inner_scan.columns, result.columns), result.rows))


async def _get_semi_join_keys(state: ExecutionState, semi_join: SemiJoinFilter) -> frozenset[Row] | ConnectorError:
    """Return all keys of the inner scan, which is read once per request."""
    async with state.semi_join_locks[semi_join]:
        if semi_join not in state.semi_join_keys:
            state.semi_join_keys[semi_join] = await _read_semi_join_keys(state, semi_join)
    return state.semi_join_keys[semi_join]


async def _read_semi_join_keys(state: ExecutionState, semi_join: SemiJoinFilter) -> frozenset[Row] | ConnectorError:
    inner_scan = semi_join.inner_scan
    is_single = len(inner_scan.columns) == 1
    max_rows = state.limits.cross_source_keys_max + NULL_AND_ONE_TOO_MANY if is_single else None
    try:
        scan = plan_scan(state.get_connector(inner_scan.source), inner_scan)
        result = await execute_scan(state, scan, None, max_rows_per_key=max_rows)
        get_key = compile_key(inner_scan.columns, result.columns)
        return frozenset(_collect_distinct_keys(state, map(get_key, result.rows), inner_scan))
    except ConnectorError as failure:
        return failure


def _collect_distinct_keys(state: ExecutionState, keys: Iterable[Row], inner_scan: LogicalScan) -> tuple[Row, ...]:
    """Return the distinct keys; one with a null equals nothing, so it is left out. Raises ConnectorError."""
    distinct = tuple(key for key in dict.fromkeys(keys) if None not in key)
    if len(distinct) > state.limits.cross_source_keys_max:
        raise build_too_many_keys_error(state, inner_scan.source)
    return distinct
