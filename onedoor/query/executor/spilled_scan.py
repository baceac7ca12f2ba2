"""Finish a scan whose rows outgrew memory: the steps its connector does not take run in a spill table."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from onedoor.model.names import get_value_type
from onedoor.query.executor.residual import (
    RemainingAggregation,
    apply_having_sort_limit,
    complete_groups,
    find_pending_semi_joins,
    find_remaining_aggregation,
)
from onedoor.query.executor.state import ExecutionState, build_too_many_keys_error
from onedoor.query.planner.bind import bind_predicate
from onedoor.query.planner.nodes import KeyJoin, LogicalScan, PhysicalScan, PushdownStep, SemiJoinFilter
from onedoor.query.planner.pushdown import get_average_column
from onedoor.runtime.concurrency import gather_or_cancel
from onedoor.spi.capabilities import Capabilities, ColumnType, ValueType, find_aggregate_type
from onedoor.spi.connector import JoinedColumns, SpillTable
from onedoor.spi.operators import name_grouped_columns
from onedoor.spi.predicates import ALWAYS_TRUE, And, Comparison, InKeys, Op, Predicate, Row
from onedoor.spi.scan import COUNT_ROWS, AggregateCall, KeyFilter, ScanRequest
from onedoor.spi.spill import SpillBuffer, SpillInput, closing_batches, measure_json_bytes

KeyMatcher: TypeAlias = Callable[[SemiJoinFilter, Sequence[Row]], Awaitable[frozenset[Row]]]
"""Returns the keys for which a semi-join's inner scan has a row."""

JoinedRowsLoader: TypeAlias = Callable[[KeyJoin, Sequence[Row]], Awaitable[Mapping[Row, Row]]]
"""Returns the values of a key join's columns, by key."""

NOTHING_REMAINS = RemainingAggregation(aggregates=(), time_buckets=())


def create_spill_buffer(state: ExecutionState, scan: PhysicalScan, keys: Sequence[Row] | None) -> SpillBuffer | None:
    """Create the buffer that takes a scan's rows when they are many.

    Returns None where it is of no use: the engine has nothing to do with the rows, or they have no columns.
    """
    if state.open_spill_table is None or not _has_residual_steps(scan) or (scan.logical.key_columns and keys is None):
        return None
    column_types = _find_column_types(state, scan)
    columns = name_grouped_columns(scan.source_columns, scan.pushed_aggregates)
    if not columns:
        return None
    return SpillBuffer(
        state.open_spill_table,
        {column: column_types[column] for column in columns},
        state.limits.rows_in_memory,
        None if state.traces is None else measure_json_bytes,
    )


def _has_residual_steps(scan: PhysicalScan) -> bool:
    """Whether the engine has a step to take that needs several rows, or changes which rows there are."""
    logical = scan.logical
    return (
        bool(logical.key_columns and not scan.key_batch_size)
        or scan.residual_filter != ALWAYS_TRUE
        or bool(scan.key_joins)
        or scan.post_join_filter != ALWAYS_TRUE
        or (bool(logical.aggregates) and (scan.has_partial_groups or not scan.pushed_aggregates))
        or (logical.having != ALWAYS_TRUE and PushdownStep.HAVING not in scan.pushed_steps)
        or (bool(logical.sort) and PushdownStep.SORT not in scan.pushed_steps)
        or (logical.limit is not None and PushdownStep.LIMIT not in scan.pushed_steps)
    )


def _find_column_types(state: ExecutionState, scan: PhysicalScan) -> Mapping[str, ValueType]:
    """Return the type of every column that rows of a scan can have, before and after each step."""
    logical = scan.logical
    capabilities = state.get_connector(logical.source).capabilities(logical.collection)
    return {
        **{name: get_value_type(column) for name, column in capabilities.columns.items()},
        **{
            call.name: _find_aggregate_type(capabilities, call)
            for call in (*logical.aggregates, *scan.pushed_aggregates)
        },
        **{
            get_average_column(column): _find_average_type(capabilities.columns[column].type)
            for column in logical.average_columns
        },
        **{name: column_type for join in logical.key_joins for name, column_type in _map_joined_types(join).items()},
    }


def _map_joined_types(key_join: KeyJoin) -> Mapping[str, ValueType]:
    return dict(zip(key_join.output_columns, key_join.output_types, strict=True))


def _find_aggregate_type(capabilities: Capabilities, aggregate: AggregateCall) -> ValueType:
    found = find_aggregate_type(capabilities, aggregate)
    is_text = found is ColumnType.TEXT and aggregate.column is not None
    return get_value_type(capabilities.columns[aggregate.column or ""]) if is_text else found


def _find_average_type(column_type: ColumnType) -> ColumnType:
    return ColumnType.DECIMAL if column_type is ColumnType.DECIMAL else ColumnType.FLOAT


@dataclass(frozen=True, slots=True, kw_only=True)
class SpilledScan:
    """Finish one scan whose rows are in a spill table."""

    state: ExecutionState
    scan: PhysicalScan
    """The scan, without steps taken by the connector after its filter: a table does not keep the rows' order."""
    keys: Sequence[Row] | None
    limit: int | None
    match_keys: KeyMatcher
    load_joined_rows: JoinedRowsLoader

    async def finish(self, spill_table: SpillTable) -> list[Row]:
        """Apply all steps that are left. Raises ConnectorError."""
        predicate = await self.build_filter(spill_table)
        key_joins = self.scan.key_joins
        joined_rows = await gather_or_cancel(
            self.load_key_join(spill_table, predicate, key_join) for key_join in key_joins
        )
        for key_join, rows_by_key in zip(key_joins, joined_rows, strict=True):
            joined = JoinedColumns(
                column_types=_map_joined_types(key_join), rows_by_key=rows_by_key, absent_row=key_join.missing_row
            )
            await spill_table.join(key_join.outer_columns, joined)
        return await self.read_finished_rows(spill_table, predicate)

    async def build_filter(self, spill_table: SpillTable) -> Predicate:
        """Build the filter before the key joins, with the scan's keys and those of pending semi-joins in place."""
        key_columns, residual_filter = self.scan.logical.key_columns, self.scan.residual_filter
        selects_keys = key_columns and not self.scan.key_batch_size
        key_filter = InKeys(key_columns, frozenset(self.keys or ())) if selects_keys else ALWAYS_TRUE
        semi_joins = list(find_pending_semi_joins(residual_filter))
        matches = await gather_or_cancel(
            self.match_semi_join(spill_table, key_filter, semi_join) for semi_join in semi_joins
        )
        semi_join_keys = dict(zip(semi_joins, matches, strict=True))
        return And((key_filter, bind_predicate(residual_filter, self.state.bound_plan, semi_join_keys)))

    async def match_semi_join(
        self, spill_table: SpillTable, predicate: Predicate, semi_join: SemiJoinFilter
    ) -> frozenset[Row]:
        keys = await self.read_distinct_keys(spill_table, predicate, semi_join.outer_columns, semi_join.inner_scan)
        return await self.match_keys(semi_join, keys)

    async def load_key_join(
        self, spill_table: SpillTable, predicate: Predicate, key_join: KeyJoin
    ) -> Mapping[Row, Row]:
        keys = await self.read_distinct_keys(spill_table, predicate, key_join.outer_columns, key_join.inner_scan)
        return await self.load_joined_rows(key_join, keys)

    async def read_distinct_keys(
        self, spill_table: SpillTable, predicate: Predicate, columns: tuple[str, ...], inner_scan: LogicalScan
    ) -> tuple[Row, ...]:
        """Return the distinct keys of the filtered rows, without those that contain null."""
        max_keys = self.state.limits.cross_source_keys_max
        request = ScanRequest(
            collection=self.scan.logical.collection,
            columns=columns,
            filter=And((predicate, *(Comparison(column, Op.IS_NULL, False) for column in columns))),
            aggregates=(COUNT_ROWS,),
            limit=max_keys + 1,
        )
        rows = await _read_all_rows(spill_table, request)
        if len(rows) > max_keys:
            raise build_too_many_keys_error(self.state, inner_scan.source)
        return tuple(row[:-1] for row in rows)

    async def read_finished_rows(self, spill_table: SpillTable, predicate: Predicate) -> list[Row]:
        """Apply the steps after the key joins."""
        scan, bound_plan = self.scan, self.state.bound_plan
        predicate = And((predicate, bind_predicate(scan.post_join_filter, bound_plan)))
        row_request = self.build_row_request(predicate)
        if not scan.logical.aggregates:
            return await _read_all_rows(spill_table, row_request)
        group_request, having = self.build_group_request(predicate), bind_predicate(scan.logical.having, bound_plan)
        if group_request.aggregates and not scan.has_partial_groups and not scan.logical.average_columns:
            request = replace(
                group_request, keys=row_request.keys, having=having, sort=row_request.sort, limit=row_request.limit
            )
            return await _read_all_rows(spill_table, request)
        async with self.create_group_buffer() as group_buffer:
            groups = await _collect_batches(
                group_buffer, spill_table.scan(group_request), lambda batch: complete_groups(scan, list(batch))
            )
            if group_buffer.table is None:
                return apply_having_sort_limit(scan, groups, self.limit, having)
            return await _read_all_rows(group_buffer.table, self.build_row_request(having))

    def create_group_buffer(self) -> SpillBuffer:
        """Create the buffer for finished groups, which may exceed memory too."""
        assert self.state.open_spill_table is not None
        column_types = _find_column_types(self.state, self.scan)
        return SpillBuffer(
            self.state.open_spill_table,
            {column: column_types[column] for column in self.scan.output_columns},
            self.state.limits.rows_in_memory,
        )

    def build_row_request(self, predicate: Predicate) -> ScanRequest:
        """Build the request for finished rows, in order, limited for each key."""
        logical = self.scan.logical
        limits_keys = logical.key_columns and self.limit is not None
        return ScanRequest(
            collection=logical.collection,
            columns=self.scan.output_columns,
            keys=KeyFilter(logical.key_columns, tuple(self.keys or ())) if limits_keys else None,
            filter=predicate,
            sort=logical.sort,
            limit=self.limit,
        )

    def build_group_request(self, predicate: Predicate) -> ScanRequest:
        """Build the request that aggregates rows, or combines partial groups; complete groups are read as they are."""
        logical, remaining = self.scan.logical, find_remaining_aggregation(self.scan)
        source_groups = name_grouped_columns(self.scan.source_columns, self.scan.pushed_aggregates)
        aggregation = remaining or NOTHING_REMAINS
        return ScanRequest(
            collection=logical.collection,
            columns=source_groups if remaining is None else logical.columns,
            filter=predicate,
            aggregates=aggregation.aggregates,
            time_buckets=aggregation.time_buckets,
        )


async def _collect_batches(
    spill_buffer: SpillBuffer, batches: AsyncIterator[Sequence[Row]], transform: Callable[[Sequence[Row]], list[Row]]
) -> list[Row]:
    """Return the transformed rows, unless they went into the spill buffer."""
    rows: list[Row] = []
    spill_input = SpillInput(spill_buffer)
    async with closing_batches(batches):
        async for batch in batches:
            rows.extend(transform(batch))
            await spill_input.offer(rows)
    await spill_buffer.flush(rows)
    return rows


async def _read_all_rows(spill_table: SpillTable, request: ScanRequest) -> list[Row]:
    async with closing_batches(spill_table.scan(request)) as batches:
        return [row async for batch in batches for row in batch]
