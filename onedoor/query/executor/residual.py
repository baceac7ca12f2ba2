"""Apply, in memory, the steps of a scan that its connector does not take."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

from onedoor.model.parameters import substitute
from onedoor.query.executor.state import ExecutionState
from onedoor.query.planner.bind import bind_predicate
from onedoor.query.planner.nodes import LogicalScan, PhysicalScan, PlannedPredicate, PushdownStep, SemiJoinFilter
from onedoor.spi.flaws import FlawedRow
from onedoor.spi.operators import (
    EXACT_CONTEXT,
    aggregate_rows,
    compile_key,
    compile_predicate,
    limit_rows,
    name_grouped_columns,
    sort_rows,
)
from onedoor.spi.predicates import ALWAYS_TRUE, Predicate, Row, iterate_leaves
from onedoor.spi.scan import AggregateCall, AggregateFunction, TimeBucket

MEAN_DIGITS = 80
"""The digits that a mean of decimals is divided to, beside those before its point."""

AVERAGE_PLACES = Decimal("1E-12")
"""The decimal places to which an average of decimals is rounded, half to even."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemainingAggregation:
    """Say what the engine still has to aggregate, and which columns to put into time buckets first."""

    aggregates: tuple[AggregateCall, ...]
    time_buckets: tuple[TimeBucket, ...]


def select_rows_by_key(scan: PhysicalScan, rows: list[Row], keys: Sequence[Row] | None) -> list[Row]:
    """Return the rows with these keys, if the connector did not select them."""
    key_columns = scan.logical.key_columns
    if not key_columns or scan.key_batch_size or keys is None:
        return rows
    key_set, get_key = frozenset(keys), compile_key(key_columns, scan.source_columns)
    return [row for row in rows if get_key(row) in key_set]


def filter_rows(rows: list[Row], predicate: Predicate, columns: Sequence[str]) -> list[Row]:
    return rows if predicate == ALWAYS_TRUE else list(filter(compile_predicate(predicate, columns), rows))


def find_pending_semi_joins(predicate: PlannedPredicate) -> Iterator[SemiJoinFilter]:
    """Yield the semi-joins of a filter, whose keys are those of the rows at hand."""
    return (leaf for leaf in iterate_leaves(predicate) if isinstance(leaf, SemiJoinFilter))


def finish_joined_rows(state: ExecutionState, scan: PhysicalScan, rows: list[Row], columns: Sequence[str]) -> list[Row]:
    """Apply the steps after the key joins."""
    if scan.post_join_filter != ALWAYS_TRUE:
        rows = filter_rows(rows, bind_predicate(scan.post_join_filter, state.bound_plan), columns)
    if scan.logical.aggregates:
        rows = _finish_groups(scan, rows, columns)
    having = bind_predicate(scan.logical.having, state.bound_plan)
    return apply_having_sort_limit(scan, rows, resolve_limit(state, scan), having)


def resolve_limit(state: ExecutionState, scan: PhysicalScan) -> int | None:
    limit: int | None = substitute(scan.logical.limit, state.bound_plan.variables)
    return limit


def apply_having_sort_limit(scan: PhysicalScan, rows: list[Row], limit: int | None, having: Predicate) -> list[Row]:
    logical, columns = scan.logical, scan.output_columns
    if PushdownStep.HAVING not in scan.pushed_steps:
        rows = filter_rows(rows, having, columns)
    if logical.sort and PushdownStep.SORT not in scan.pushed_steps:
        rows = sort_rows(rows, logical.sort, columns)
    if limit is not None and PushdownStep.LIMIT not in scan.pushed_steps:
        rows = limit_rows(rows, limit, compile_key(logical.key_columns, columns))
    return rows


def _finish_groups(scan: PhysicalScan, rows: list[Row], columns: Sequence[str]) -> list[Row]:
    """Return a row for each group, its averages last."""
    remaining = find_remaining_aggregation(scan)
    if remaining is not None:
        rows = aggregate_rows(rows, scan.logical.columns, remaining.aggregates, columns, remaining.time_buckets)
    return complete_groups(scan, rows)


def find_remaining_aggregation(scan: PhysicalScan) -> RemainingAggregation | None:
    """Find what is left to aggregate of the connector's rows; None: nothing.

    Partial groups are combined: sums of counts and of sums, minima of minima. Distinct values were grouped by, so that
    they can be counted now.
    """
    logical = scan.logical
    if scan.has_partial_groups:
        joined = {column for join in scan.key_joins for column in join.output_columns}
        return RemainingAggregation(
            aggregates=tuple(COMBINING_AGGREGATES[call.function](call) for call in logical.aggregates),
            time_buckets=tuple(bucket for bucket in logical.time_buckets if bucket.column in joined),
        )
    if scan.pushed_aggregates:
        return None
    return RemainingAggregation(aggregates=logical.aggregates, time_buckets=logical.time_buckets)


COMBINING_AGGREGATES: dict[AggregateFunction, Callable[[AggregateCall], AggregateCall]] = {
    AggregateFunction.COUNT: lambda call: AggregateCall(AggregateFunction.SUM, call.name),
    AggregateFunction.SUM: lambda call: AggregateCall(AggregateFunction.SUM, call.name),
    AggregateFunction.MIN: lambda call: AggregateCall(AggregateFunction.MIN, call.name),
    AggregateFunction.MAX: lambda call: AggregateCall(AggregateFunction.MAX, call.name),
    AggregateFunction.COUNT_DISTINCT: lambda call: call,
}
"""The call that combines the values of partial groups."""


def complete_groups(scan: PhysicalScan, rows: list[Row]) -> list[Row]:
    """Complete each group by itself: a count of no partial groups is 0, and averages come last."""
    logical = scan.logical
    if scan.has_partial_groups:
        counts = {
            index
            for index, call in enumerate(logical.aggregates, start=len(logical.columns))
            if call.function is AggregateFunction.COUNT
        }
        rows = [tuple(value or 0 if index in counts else value for index, value in enumerate(row)) for row in rows]
    return _append_averages(logical, rows) if logical.average_columns else rows


def _append_averages(logical: LogicalScan, rows: list[Row]) -> list[Row]:
    columns = name_grouped_columns(logical.columns, logical.aggregates)
    places = [
        (
            columns.index(AggregateCall(AggregateFunction.SUM, column).name),
            columns.index(AggregateCall(AggregateFunction.COUNT, column).name),
        )
        for column in logical.average_columns
    ]
    return [_append_means(row, places) for row in rows]


def _append_means(row: Row, places: Sequence[tuple[int, int]]) -> Row:
    """Append the mean of each sum and count; that of a flawed sum is flawed as the sum is."""
    means = tuple(compute_mean(row[total], row[count]) for total, count in places)
    if not isinstance(row, FlawedRow):
        return (*row, *means)
    flaws = {place: row.flaws[total] for place, (total, _) in enumerate(places, len(row)) if total in row.flaws}
    return FlawedRow((*row, *means), {**row.flaws, **flaws})


def compute_mean(total: Any, count: int) -> Any:
    """Return a Decimal with at most 12 places for decimals, a float for other numbers, None of no values."""
    if not count or total is None:
        return None
    if not isinstance(total, Decimal):
        return total / count
    digits = max(total.adjusted(), 0) + MEAN_DIGITS
    return normalize_decimal(Context(prec=digits, rounding=ROUND_HALF_EVEN).divide(total, Decimal(count)))


def normalize_decimal(value: Decimal) -> Decimal:
    """Round to 12 places and drop the zeros at the end."""
    rounded = EXACT_CONTEXT.quantize(value, AVERAGE_PLACES).normalize(EXACT_CONTEXT)
    exponent = rounded.as_tuple().exponent
    return EXACT_CONTEXT.quantize(rounded, Decimal(1)) if isinstance(exponent, int) and exponent > 0 else rounded
