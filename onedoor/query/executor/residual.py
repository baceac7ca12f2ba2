"""The steps the connector did not take: in memory or spilled."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from onedoor.model.parameters import substitute
from onedoor.query.executor.state import ExecutionState, build_too_many_keys_error
from onedoor.query.planner.bind import bind_predicate
from onedoor.query.planner.nodes import KeyJoin, LogicalScan, PhysicalScan, PushdownStep, SemiJoinFilter
from onedoor.query.planner.pushdown import get_average_column
from onedoor.runtime.concurrency import gather_or_cancel
from onedoor.spi.capabilities import Capabilities, ColumnType
from onedoor.spi.connector import JoinedColumns, SpillTable
from onedoor.spi.operators import (
    EXACT_CONTEXT,
    aggregate_rows,
    compile_key,
    compile_predicate,
    limit_rows,
    name_grouped_columns,
    sort_rows,
)
from onedoor.spi.predicates import ALWAYS_TRUE, And, Comparison, InKeys, Not, Op, Or, Row
from onedoor.spi.scan import COUNT_ROWS, AggregateCall, AggregateFunction, KeyFilter, ScanRequest, TimeBucket
from onedoor.spi.spill import SpillBuffer, SpillInput, closing_batches, measure_json_bytes


def select_rows_by_key(scan: PhysicalScan, rows: list[Row], keys: Sequence[Row] | None) -> list[Row]:
    """The rows of these keys, where the source was read whole."""
    keyed = scan.logical.key_columns
    if not keyed or scan.key_batch_size or keys is None:
        return rows
    wanted, key = frozenset(keys), compile_key(keyed, scan.source_columns)
    return [row for row in rows if key(row) in wanted]


def keep_matching_rows(rows: list[Row], residual_filter: Any, names: Sequence[str]) -> list[Row]:
    return rows if residual_filter == ALWAYS_TRUE else list(filter(compile_predicate(residual_filter, names), rows))


def find_pending_semi_joins(residual_filter: Any) -> Iterator[SemiJoinFilter]:
    """What of a filter waits for the keys that our rows name."""
    match residual_filter:
        case And() | Or():
            for each in residual_filter.parts:
                yield from find_pending_semi_joins(each)
        case Not():
            yield from find_pending_semi_joins(residual_filter.part)
        case SemiJoinFilter():
            yield residual_filter


def finish_groups(scan: PhysicalScan, rows: list[Row], columns: Sequence[str]) -> list[Row]:
    """A row for each group, its averages last: of whole rows, of parts of groups, or as the source gave them."""
    left = find_remaining_aggregation(scan)
    if left is not None:
        measures, cuts = left
        rows = aggregate_rows(rows, scan.logical.columns, measures, columns, cuts)
    return complete_groups(scan, rows)


def find_remaining_aggregation(scan: PhysicalScan) -> tuple[tuple[AggregateCall, ...], tuple[TimeBucket, ...]] | None:
    """What is left to measure, and to cut before; None: nothing.

    Of parts: sums of counts and sums, least of leasts; what is told apart was grouped by, so it is told apart now.
    """
    wanted = scan.logical
    if not scan.has_partial_groups:
        return None if scan.pushed_aggregates else (wanted.aggregates, wanted.time_buckets)
    reached = {name for each in wanted.key_joins for name in each.output_columns}
    again = tuple(PARTIAL_AGGREGATES[each.function](each) for each in wanted.aggregates)
    return again, tuple(each for each in wanted.time_buckets if each.column in reached)


def complete_groups(scan: PhysicalScan, rows: list[Row]) -> list[Row]:
    """Each group on its own: counts of no parts are 0, averages come last."""
    wanted = scan.logical
    if scan.has_partial_groups:
        first = len(wanted.columns)
        counts = {at for at, each in enumerate(wanted.aggregates, first) if each.function is AggregateFunction.COUNT}
        rows = [tuple(value or 0 if at in counts else value for at, value in enumerate(row)) for row in rows]
    return _append_averages(wanted, rows) if wanted.average_columns else rows


PARTIAL_AGGREGATES: dict[AggregateFunction, Callable[[AggregateCall], AggregateCall]] = {
    AggregateFunction.COUNT: lambda whole: AggregateCall(AggregateFunction.SUM, whole.name),
    AggregateFunction.SUM: lambda whole: AggregateCall(AggregateFunction.SUM, whole.name),
    AggregateFunction.MIN: lambda whole: AggregateCall(AggregateFunction.MIN, whole.name),
    AggregateFunction.MAX: lambda whole: AggregateCall(AggregateFunction.MAX, whole.name),
    AggregateFunction.COUNT_DISTINCT: lambda whole: whole,
}


def _append_averages(logical: LogicalScan, rows: list[Row]) -> list[Row]:
    names = name_grouped_columns(logical.columns, logical.aggregates)
    pairs = [
        (
            names.index(AggregateCall(AggregateFunction.SUM, each).name),
            names.index(AggregateCall(AggregateFunction.COUNT, each).name),
        )
        for each in logical.average_columns
    ]
    return [(*row, *(compute_mean(row[total], row[count]) for total, count in pairs)) for row in rows]


def compute_mean(total: Any, count: int) -> Any:
    """Of money, half even at 12 decimal places; of any other number, a float; None of no values."""
    if not count:
        return None
    if not isinstance(total, Decimal):
        return total / count
    return normalize_decimal(EXACT_CONTEXT.divide(total, Decimal(count)))


def normalize_decimal(value: Decimal) -> Decimal:
    """At most 12 places, without zeros that say nothing."""
    short = EXACT_CONTEXT.quantize(value, Decimal("1E-12")).normalize(EXACT_CONTEXT)
    exponent = short.as_tuple().exponent
    return EXACT_CONTEXT.quantize(short, Decimal(1)) if isinstance(exponent, int) and exponent > 0 else short


def finish_joined_rows(state: ExecutionState, scan: PhysicalScan, rows: list[Row], names: Sequence[str]) -> list[Row]:
    """What is left once all is reached."""
    if scan.post_join_filter != ALWAYS_TRUE:
        rows = keep_matching_rows(rows, bind_predicate(scan.post_join_filter, state.bound_plan), names)
    if scan.logical.aggregates:
        rows = finish_groups(scan, rows, names)
    return apply_having_sort_limit(
        scan, rows, resolve_limit(state, scan), bind_predicate(scan.logical.having, state.bound_plan)
    )


def resolve_limit(state: ExecutionState, scan: PhysicalScan) -> int | None:
    found: int | None = substitute(scan.logical.limit, state.bound_plan.variables)
    return found


def apply_having_sort_limit(scan: PhysicalScan, rows: list[Row], limit: int | None, having: Any) -> list[Row]:
    wanted, names = scan.logical, scan.output_columns
    if PushdownStep.HAVING not in scan.pushed_steps:
        rows = keep_matching_rows(rows, having, names)
    if wanted.sort and PushdownStep.SORT not in scan.pushed_steps:
        rows = sort_rows(rows, wanted.sort, names)
    if limit is not None and PushdownStep.LIMIT not in scan.pushed_steps:
        rows = limit_rows(rows, limit, compile_key(wanted.key_columns, names))
    return rows


KeyMatcher = Callable[[SemiJoinFilter, Sequence[Row]], Awaitable[frozenset[Row]]]
"""Which of these keys lead to a row that is wanted there."""

JoinedRowsLoader = Callable[[KeyJoin, Sequence[Row]], Awaitable[Mapping[Row, Row]]]
"""By key, what lies there."""

COUNT_FUNCTIONS = frozenset({AggregateFunction.COUNT, AggregateFunction.COUNT_DISTINCT})


def create_spill_buffer(state: ExecutionState, scan: PhysicalScan, keys: Sequence[Row] | None) -> SpillBuffer | None:
    """Where the rows of a read go when they are many; None where nothing is done with them, or nothing is in them."""
    if state.open_spill_table is None or not has_residual_steps(scan) or (scan.logical.key_columns and keys is None):
        return None
    found = find_column_types(state, scan)
    held = {name: found[name] for name in name_grouped_columns(scan.source_columns, scan.pushed_aggregates)}
    weigh = None if state.traces is None else measure_json_bytes
    return SpillBuffer(state.open_spill_table, held, state.limits.rows_in_memory, weigh) if held else None


def has_residual_steps(scan: PhysicalScan) -> bool:
    """Whether any step is left to us that looks at more than one row, or at other rows than are given."""
    wanted = scan.logical
    return (
        bool(wanted.key_columns and not scan.key_batch_size)
        or scan.residual_filter != ALWAYS_TRUE
        or bool(wanted.key_joins)
        or scan.post_join_filter != ALWAYS_TRUE
        or (bool(wanted.aggregates) and (scan.has_partial_groups or not scan.pushed_aggregates))
        or (wanted.having != ALWAYS_TRUE and PushdownStep.HAVING not in scan.pushed_steps)
        or (bool(wanted.sort) and PushdownStep.SORT not in scan.pushed_steps)
        or (wanted.limit is not None and PushdownStep.LIMIT not in scan.pushed_steps)
    )


def find_column_types(state: ExecutionState, scan: PhysicalScan) -> Mapping[str, ColumnType]:
    """Of all that rows of the read can hold on their way."""
    wanted = scan.logical
    can = state.get_connector(wanted.source).capabilities(wanted.collection)
    averages = {get_average_column(each): _find_average_type(can.columns[each].type) for each in wanted.average_columns}
    measures = {each.name: _find_aggregate_type(can, each) for each in (*wanted.aggregates, *scan.pushed_aggregates)}
    reached = {
        name: kind
        for each in wanted.key_joins
        for name, kind in zip(each.output_columns, each.output_types, strict=True)
    }
    return {**{name: column.type for name, column in can.columns.items()}, **measures, **averages, **reached}


def _find_aggregate_type(capabilities: Capabilities, aggregate: AggregateCall) -> ColumnType:
    return (
        ColumnType.INTEGER
        if aggregate.column is None or aggregate.function in COUNT_FUNCTIONS
        else capabilities.columns[aggregate.column].type
    )


def _find_average_type(kind: ColumnType) -> ColumnType:
    return ColumnType.DECIMAL if kind is ColumnType.DECIMAL else ColumnType.FLOAT


@dataclass(frozen=True, slots=True, kw_only=True)
class SpilledScan:
    """One read under way whose rows are in a table."""

    state: ExecutionState
    scan: PhysicalScan
    """Which source takes no step after the filter any more: what it did with its rows, their order, is lost."""
    keys: Sequence[Row] | None
    limit: int | None
    match_keys: KeyMatcher
    load_joined_rows: JoinedRowsLoader

    async def finish(self, spill_table: SpillTable) -> list[Row]:
        where = await self.build_filter(spill_table)
        reaches = self.scan.logical.key_joins
        found = await gather_or_cancel(self.load_key_join(spill_table, where, each) for each in reaches)
        for each, there in zip(reaches, found, strict=True):
            kinds = dict(zip(each.output_columns, each.output_types, strict=True))
            await spill_table.join(
                each.outer_columns, JoinedColumns(column_types=kinds, rows_by_key=there, absent_row=each.missing_row)
            )
        return await self.read_finished_rows(spill_table, where)

    def create_group_buffer(self, names: Sequence[str]) -> SpillBuffer:
        """For rows made of the table's."""
        assert self.state.open_spill_table is not None
        found = find_column_types(self.state, self.scan)
        return SpillBuffer(
            self.state.open_spill_table, {each: found[each] for each in names}, self.state.limits.rows_in_memory
        )

    async def build_filter(self, spill_table: SpillTable) -> Any:
        """The filter that is left to us, the keys we pick by among it."""
        keyed = self.scan.logical.key_columns
        picked = InKeys(keyed, frozenset(self.keys or ())) if keyed and not self.scan.key_batch_size else ALWAYS_TRUE
        late = list(find_pending_semi_joins(self.scan.residual_filter))
        found = await gather_or_cancel(self.match_semi_join(spill_table, picked, each) for each in late)
        return And(
            (
                picked,
                bind_predicate(self.scan.residual_filter, self.state.bound_plan, dict(zip(late, found, strict=True))),
            )
        )

    async def match_semi_join(
        self, spill_table: SpillTable, predicate: Any, semi_join: SemiJoinFilter
    ) -> frozenset[Row]:
        return await self.match_keys(
            semi_join,
            await self.read_distinct_keys(spill_table, predicate, semi_join.outer_columns, semi_join.inner_scan),
        )

    async def load_key_join(self, spill_table: SpillTable, predicate: Any, key_join: KeyJoin) -> Mapping[Row, Row]:
        return await self.load_joined_rows(
            key_join, await self.read_distinct_keys(spill_table, predicate, key_join.outer_columns, key_join.inner_scan)
        )

    async def read_distinct_keys(
        self, spill_table: SpillTable, predicate: Any, columns: tuple[str, ...], logical: LogicalScan
    ) -> tuple[Row, ...]:
        """The keys that rows name, each once, without nulls."""
        most = self.state.limits.cross_source_keys_max
        filled = (Comparison(each, Op.IS_NULL, False) for each in columns)
        ask = ScanRequest(
            collection=self.scan.logical.collection,
            columns=columns,
            filter=And((predicate, *filled)),
            aggregates=(COUNT_ROWS,),
            limit=most + 1,
        )
        found = await read_all_rows(spill_table, ask)
        if len(found) > most:
            raise build_too_many_keys_error(self.state, logical.source)
        return tuple(row[:-1] for row in found)

    async def read_finished_rows(self, spill_table: SpillTable, predicate: Any) -> list[Row]:
        """The rows once all is reached: the last filter, then measures, having, order and limit."""
        planned, values = self.scan, self.state.bound_plan
        predicate = And((predicate, bind_predicate(planned.post_join_filter, values)))
        if not planned.logical.aggregates:
            return await read_all_rows(spill_table, self.build_row_request(predicate))
        groups, having = self.build_group_request(predicate), bind_predicate(planned.logical.having, values)
        if groups.aggregates and not planned.has_partial_groups and not planned.logical.average_columns:
            last = self.build_row_request(predicate)
            ask = replace(groups, keys=last.keys, having=having, sort=last.sort, limit=last.limit)
            return await read_all_rows(spill_table, ask)
        async with self.create_group_buffer(planned.output_columns) as room:
            rows = await collect_batches(
                room, spill_table.scan(groups), lambda batch: complete_groups(planned, list(batch))
            )
            if room.table is None:
                return apply_having_sort_limit(planned, rows, self.limit, having)
            return await read_all_rows(room.table, self.build_row_request(having))

    def build_row_request(self, predicate: Any) -> ScanRequest:
        """Finished rows that meet the filter, in order, no more than the limit for each key."""
        wanted, keys = self.scan.logical, None
        if wanted.key_columns and self.limit is not None:
            keys = KeyFilter(wanted.key_columns, tuple(self.keys or ()))
        return ScanRequest(
            collection=wanted.collection,
            columns=self.scan.output_columns,
            keys=keys,
            filter=predicate,
            sort=wanted.sort,
            limit=self.limit,
        )

    def build_group_request(self, predicate: Any) -> ScanRequest:
        """The groups, or what of them the source left to put together."""
        wanted, left = self.scan.logical, find_remaining_aggregation(self.scan)
        columns = (
            wanted.columns if left else name_grouped_columns(self.scan.source_columns, self.scan.pushed_aggregates)
        )
        measures, cuts = left or ((), ())
        return ScanRequest(
            collection=wanted.collection, columns=columns, filter=predicate, aggregates=measures, time_buckets=cuts
        )


async def collect_batches(
    spill_buffer: SpillBuffer, batches: AsyncIterator[Sequence[Row]], transform: Callable[[Sequence[Row]], list[Row]]
) -> list[Row]:
    """What is made of them; nothing is held where the room took it."""
    held: list[Row] = []
    inflow = SpillInput(spill_buffer)
    async with closing_batches(batches):
        async for batch in batches:
            held.extend(transform(batch))
            await inflow.offer(held)
    await spill_buffer.flush(held)
    return held


async def read_all_rows(spill_table: SpillTable, request: ScanRequest) -> list[Row]:
    async with closing_batches(spill_table.scan(request)) as batches:
        return [row async for batch in batches for row in batch]
