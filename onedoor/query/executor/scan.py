"""One planned read in, its finished rows out: keys from elsewhere first, then the source, then what is ours to do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import Any

from onedoor.errors import ConnectorError
from onedoor.query.executor import residual
from onedoor.query.executor.dynamic_filter import ResolvedScan, resolve_scan
from onedoor.query.executor.residual import SpilledScan
from onedoor.query.executor.state import ExecutionState, ScanStats, ScanTrace, build_too_many_keys_error
from onedoor.query.planner import pushdown
from onedoor.query.planner.bind import bind_predicate
from onedoor.query.planner.nodes import KeyJoin, LogicalScan, PhysicalScan, PushdownStep, SemiJoinFilter
from onedoor.runtime import row_cache
from onedoor.runtime.concurrency import gather_or_cancel
from onedoor.spi.operators import compile_key, name_grouped_columns
from onedoor.spi.predicates import ALWAYS_TRUE, Row
from onedoor.spi.scan import KeyFilter, ScanRequest
from onedoor.spi.spill import SpillBuffer, SpillInput

NULL_AND_ONE_TOO_MANY = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanResult:
    """Finished rows, and what they hold."""

    columns: tuple[str, ...]
    rows: list[Row]


async def execute_scan(
    state: ExecutionState,
    scan: PhysicalScan,
    keys: Sequence[Row] | None,
    origin: LogicalScan | None = None,
    max_rows_per_key: int | None = None,
) -> ScanResult:
    """Raises SourceFailed where a source it needs does not answer, or a limit is passed.

    `origin`: what of the plan it is for, where that is not what is wanted now. `most`: rows of a key that are of any
    use, where no limit is wanted; there may be more.
    """
    origin = origin or scan.logical
    one = ResolvedScan(scan=scan)
    if scan.is_undecided:
        one = await resolve_scan(state, scan.logical, keys, lambda carried: _get_semi_join_keys(state, carried))
    if one.is_empty:
        return await _finish_in_memory(state, one.scan, keys, [])
    overflow = residual.create_spill_buffer(state, one.scan, keys)
    if overflow is None:
        return await _finish_in_memory(state, one.scan, keys, await _request_rows(state, one, keys, origin))
    async with overflow:
        rows = await _request_rows(state, one, keys, origin, overflow)
        if overflow.table is None:
            return await _finish_in_memory(state, one.scan, keys, rows)
        rows = await _build_spilled_scan(state, one.scan, keys, max_rows_per_key).finish(overflow.table)
        return ScanResult(columns=one.scan.output_columns, rows=rows)


async def _finish_in_memory(
    state: ExecutionState, scan: PhysicalScan, keys: Sequence[Row] | None, rows: list[Row]
) -> ScanResult:
    rows = residual.select_rows_by_key(scan, rows, keys)
    names = name_grouped_columns(scan.source_columns, scan.pushed_aggregates)
    if scan.residual_filter != ALWAYS_TRUE:
        rows = residual.keep_matching_rows(rows, await _fill_residual_filter(state, scan, rows, names), names)
    for reach in scan.logical.key_joins:
        rows, names = await _join_by_key(state, reach, rows, names), (*names, *reach.output_columns)
    return ScanResult(columns=scan.output_columns, rows=residual.finish_joined_rows(state, scan, rows, names))


def _build_spilled_scan(
    state: ExecutionState, scan: PhysicalScan, keys: Sequence[Row] | None, most: int | None
) -> SpilledScan:
    limit = residual.resolve_limit(state, scan)
    return SpilledScan(
        state=state,
        scan=replace(scan, pushed_steps=frozenset()),
        keys=keys,
        limit=most if limit is None else limit,
        match_keys=partial(_match_keys, state),
        load_joined_rows=partial(_load_joined_rows, state),
    )


async def _request_rows(
    state: ExecutionState,
    resolved_scan: ResolvedScan,
    keys: Sequence[Row] | None,
    origin: LogicalScan,
    spill_buffer: SpillBuffer | None = None,
) -> list[Row]:
    """In waves as wide as the source's bulkhead, so that one question does not overflow its own queue.

    Without those that went into `overflow`, which are all or none.
    """
    planned = resolved_scan.scan
    call = ScanStats(source=planned.logical.source, collection=planned.logical.collection)
    state.scan_stats.append(call)
    asks = list(build_scan_requests(state, resolved_scan, keys))
    wide = state.limits.source_calls
    start = perf_counter()
    found: list[Row] = []
    if state.traces is not None:
        spread = resolved_scan.key_batches[0] if resolved_scan.key_batches else ()
        state.traces.append(
            ScanTrace(
                logical=origin,
                scan=planned,
                stats=call,
                requests=asks,
                key_batch_columns=spread,
                rows=found,
                spill_buffer=spill_buffer,
            )
        )
    try:
        for first in range(0, len(asks), wide):
            for rows in await gather_or_cancel(
                _execute_request(state, each, call, spill_buffer) for each in asks[first : first + wide]
            ):
                found.extend(rows)
            if spill_buffer is not None:
                await spill_buffer.flush(found)
        return found
    except ConnectorError as failure:
        call.error_code = failure.code
        raise
    finally:
        call.spilled_row_count = 0 if spill_buffer is None else spill_buffer.spilled
        call.milliseconds += (perf_counter() - start) * 1000


async def _execute_request(
    state: ExecutionState, request: ScanRequest, stats: ScanStats, spill_buffer: SpillBuffer | None
) -> list[Row]:
    stats.call_count += 1
    inflow = None if spill_buffer is None else SpillInput(spill_buffer)
    got = await row_cache.read_cached_rows(state.readers[stats.source], request, inflow)
    if got.cached:
        stats.call_count, stats.cached_count = stats.call_count - 1, stats.cached_count + 1
    stats.read_at = min(stats.read_at or got.entry.read_at, got.entry.read_at)
    stats.row_count += len(got.entry.rows)
    rows = list(got.entry.rows)
    if inflow is not None:
        stats.row_count += inflow.spilled
        await inflow.offer(rows)
    return rows


def build_scan_requests(
    state: ExecutionState, resolved_scan: ResolvedScan, keys: Sequence[Row] | None
) -> Iterator[ScanRequest]:
    """One ask, or as many as the keys have batches."""
    planned, wanted = resolved_scan.scan, resolved_scan.scan.logical
    base = ScanRequest(
        collection=wanted.collection,
        columns=planned.source_columns,
        filter=bind_predicate(planned.pushed_filter, state.bound_plan),
        aggregates=planned.pushed_aggregates,
        time_buckets=tuple(
            each for each in wanted.time_buckets if planned.pushed_aggregates and each.column in planned.source_columns
        ),
        having=bind_predicate(wanted.having, state.bound_plan)
        if PushdownStep.HAVING in planned.pushed_steps
        else ALWAYS_TRUE,
        sort=wanted.sort if PushdownStep.SORT in planned.pushed_steps else (),
        limit=residual.resolve_limit(state, planned) if PushdownStep.LIMIT in planned.pushed_steps else None,
    )
    columns, batch, values = (
        (wanted.key_columns, planned.key_batch_size, keys)
        if resolved_scan.key_batches is None
        else resolved_scan.key_batches
    )
    if not batch or values is None:
        yield base
        return
    for start in range(0, len(values), batch):
        yield replace(base, keys=KeyFilter(columns, tuple(values[start : start + batch])))


async def _join_by_key(state: ExecutionState, key_join: KeyJoin, rows: list[Row], names: Sequence[str]) -> list[Row]:
    """Each row, and what lies where its link leads."""
    here = compile_key(key_join.outer_columns, names)
    found = await _load_joined_rows(
        state, key_join, _collect_distinct_keys(state, map(here, rows), key_join.inner_scan)
    )
    return [row + found.get(here(row), key_join.missing_row) for row in rows]


async def _load_joined_rows(state: ExecutionState, key_join: KeyJoin, keys: Sequence[Row]) -> dict[Row, Row]:
    """By key, what lies there."""
    if not keys:
        return {}
    there = await execute_scan(
        state, pushdown.plan_scan(state.get_connector(key_join.inner_scan.source), key_join.inner_scan), keys
    )
    key, take = (
        compile_key(key_join.inner_scan.key_columns, there.columns),
        compile_key(key_join.inner_columns, there.columns),
    )
    return {key(row): take(row) for row in there.rows}


async def _fill_residual_filter(
    state: ExecutionState, scan: PhysicalScan, rows: list[Row], names: Sequence[str]
) -> Any:
    """The filter that is left to us; of a side that was not read first, the keys that these rows name."""
    late = list(residual.find_pending_semi_joins(scan.residual_filter))
    keys = [
        _collect_distinct_keys(state, map(compile_key(each.outer_columns, names), rows), each.inner_scan)
        for each in late
    ]
    found = await gather_or_cancel(_match_keys(state, each, named) for each, named in zip(late, keys, strict=True))
    return bind_predicate(scan.residual_filter, state.bound_plan, dict(zip(late, found, strict=True)))


async def _match_keys(state: ExecutionState, semi_join: SemiJoinFilter, keys: Sequence[Row]) -> frozenset[Row]:
    """Which of the keys lead to a row that is wanted."""
    if not keys:
        return frozenset()
    wanted = replace(semi_join.inner_scan, key_columns=semi_join.inner_scan.columns)
    found = await execute_scan(
        state, pushdown.plan_scan(state.get_connector(wanted.source), wanted), keys, semi_join.inner_scan
    )
    return frozenset(map(compile_key(wanted.columns, found.columns), found.rows))


def _collect_distinct_keys(state: ExecutionState, keys: Any, logical: LogicalScan) -> tuple[Row, ...]:
    found = tuple(key for key in dict.fromkeys(keys) if None not in key)
    if len(found) > state.limits.cross_source_keys_max:
        raise build_too_many_keys_error(state, logical.source)
    return found


async def _get_semi_join_keys(state: ExecutionState, semi_join: SemiJoinFilter) -> frozenset[Row]:
    """The keys of all rows that are wanted there; a null equals nothing, so it is no key."""
    async with state.semi_join_locks[semi_join]:
        if semi_join not in state.semi_join_keys:
            state.semi_join_keys[semi_join] = await _read_semi_join_keys(state, semi_join)
    known = state.semi_join_keys[semi_join]
    if isinstance(known, ConnectorError):
        raise known
    return known


async def _read_semi_join_keys(state: ExecutionState, semi_join: SemiJoinFilter) -> frozenset[Row] | ConnectorError:
    try:
        wanted = semi_join.inner_scan
        most = state.limits.cross_source_keys_max + NULL_AND_ONE_TOO_MANY if len(wanted.columns) == 1 else None
        found = await execute_scan(
            state, pushdown.plan_scan(state.get_connector(wanted.source), wanted), None, max_rows_per_key=most
        )
        return frozenset(
            _collect_distinct_keys(
                state, map(compile_key(semi_join.inner_scan.columns, found.columns), found.rows), semi_join.inner_scan
            )
        )
    except ConnectorError as failure:
        return failure
