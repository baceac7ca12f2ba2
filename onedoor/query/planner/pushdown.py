"""Decide which steps of a logical scan the connector takes and which the engine finishes.

The law of push-down: of joins, keys, filter, aggregates, having, sort and limit, a connector takes a step only if it
takes every step before it. A filter may be split: the connector takes some conjuncts, and the engine takes the others
and all later steps.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from onedoor.errors import ErrorCode, GraphQLErrorInfo, RequestRejected
from onedoor.model.parameters import Parameter
from onedoor.query.planner.joins import CapabilitiesOf, split_joins
from onedoor.query.planner.nodes import (
    KeysetFilter,
    LogicalScan,
    PhysicalScan,
    PlannedPredicate,
    PushdownStep,
    SemiJoinFilter,
    collect_predicate_columns,
)
from onedoor.spi.capabilities import Capabilities, ColumnType
from onedoor.spi.connector import Connector
from onedoor.spi.operators import name_grouped_columns
from onedoor.spi.predicates import (
    ALWAYS_TRUE,
    Comparison,
    Exists,
    InKeys,
    Op,
    combine_conjuncts,
    is_leaf,
    iterate_leaves,
    split_conjuncts,
)
from onedoor.spi.scan import COUNT_ROWS, AggregateCall, AggregateFunction

MIN, MAX = AggregateFunction.MIN, AggregateFunction.MAX

KEYSET_OPERATORS = frozenset({Op.EQ, Op.LT, Op.GT, Op.IS_NULL})
"""The operators a column must support for a cursor over it to be pushed down."""

MAX_IDS_IN_FILTER = 1000
"""How many ids a filter may name; their number is known only once the variables are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedGrouping:
    """Describe the groups a connector returns."""

    columns: tuple[str, ...]
    aggregates: tuple[AggregateCall, ...]
    has_partial_groups: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitFilter:
    """Hold the two parts of a filter, both of which must hold."""

    pushed: PlannedPredicate
    residual: PlannedPredicate


def plan_scan(connector: Connector, logical: LogicalScan) -> PhysicalScan:
    """Push down as much as the connector supports and the law allows.

    Raises RequestRejected (CANNOT_ANSWER) when the scan does not name a column that every read must name.
    """
    scan = plan_unchecked_scan(connector, logical)
    check_required_columns(connector, scan)
    return scan


def plan_unchecked_scan(connector: Connector, logical: LogicalScan) -> PhysicalScan:
    """Plan a scan as `plan_scan` does, also one that the connector cannot answer."""
    return _plan_scan(connector, logical, in_parts=False)


def plan_scan_in_parts(connector: Connector, logical: LogicalScan) -> PhysicalScan:
    """Plan a scan that several requests answer together; the engine combines their groups and takes later steps."""
    return _plan_scan(connector, logical, in_parts=True)


def _plan_scan(connector: Connector, logical: LogicalScan, *, in_parts: bool) -> PhysicalScan:
    joins = split_joins(logical, connector.capabilities)
    planned, capabilities = logical, joins.capabilities
    logical = replace(planned, key_joins=joins.residual)
    key_batch_size = get_key_batch_size(capabilities, logical.key_columns)
    split = split_filter(logical.filter, capabilities, connector.capabilities)
    is_undecided = has_pending_keys(split.residual)
    residual, post_join = _split_post_join_filter(split.residual, logical.joined_columns)
    is_filtered = residual == ALWAYS_TRUE == post_join and bool(key_batch_size or not logical.key_columns)
    grouping = push_grouping(capabilities, logical, in_parts=in_parts) if is_filtered and logical.aggregates else None
    source_columns = _collect_source_columns(logical, residual, post_join)
    if not logical.aggregates:
        source_columns = tuple(dict.fromkeys((*source_columns, *joins.added_columns)))
    return PhysicalScan(
        logical=planned,
        source_columns=grouping.columns if grouping else source_columns,
        pushed_joins=joins.pushed,
        key_joins=joins.residual,
        pushed_aggregates=grouping.aggregates if grouping else (),
        has_partial_groups=grouping is not None and grouping.has_partial_groups,
        key_batch_size=key_batch_size,
        pushed_filter=split.pushed,
        residual_filter=residual,
        post_join_filter=post_join,
        pushed_steps=frozenset(_find_pushed_steps(capabilities, logical, grouping))
        if is_filtered and not in_parts
        else frozenset(),
        output_columns=_build_output_columns(logical, source_columns),
        is_undecided=is_undecided,
    )


def get_key_batch_size(capabilities: Capabilities, key_columns: tuple[str, ...]) -> int:
    """Return how many keys over these columns one request may carry; 0: none."""
    is_supported = (
        key_columns
        and (not capabilities.key_columns or key_columns in capabilities.key_columns)
        and capabilities.unkeyed_columns.isdisjoint(key_columns)
    )
    return capabilities.max_keys if is_supported else 0


def split_filter(
    predicate: PlannedPredicate, capabilities: Capabilities, capabilities_of: CapabilitiesOf
) -> SplitFilter:
    """Separate the conjuncts the connector evaluates from the others."""
    conjuncts = [(part, is_pushable(part, capabilities, capabilities_of)) for part in split_conjuncts(predicate)]
    return SplitFilter(
        pushed=combine_conjuncts([part for part, pushable in conjuncts if pushable]),
        residual=combine_conjuncts([part for part, pushable in conjuncts if not pushable]),
    )


def is_pushable(predicate: PlannedPredicate, capabilities: Capabilities, capabilities_of: CapabilitiesOf) -> bool:
    """Whether the connector evaluates all of a filter."""
    return (capabilities.boolean_filters or is_leaf(predicate)) and all(
        _is_leaf_pushable(leaf, capabilities, capabilities_of) for leaf in iterate_leaves(predicate)
    )


def _is_leaf_pushable(leaf: PlannedPredicate, capabilities: Capabilities, capabilities_of: CapabilitiesOf) -> bool:
    match leaf:
        case Comparison():
            return leaf.op in capabilities.columns[leaf.column].filters
        case Exists():
            return capabilities.exists_filters and is_pushable(
                leaf.filter, capabilities_of(leaf.collection), capabilities_of
            )
        case KeysetFilter():
            columns = [capabilities.columns.get(sort_key.column) for sort_key in leaf.page.sort]
            return capabilities.boolean_filters and all(
                column is not None and column.filters >= KEYSET_OPERATORS for column in columns
            )
        case InKeys():
            key_count = MAX_IDS_IN_FILTER if isinstance(leaf.keys, Parameter) else len(leaf.keys)
            return key_count <= capabilities.max_in_filter_keys and all(
                Op.EQ in capabilities.columns[column].filters for column in leaf.columns
            )
        case _:
            return False


def has_pending_keys(predicate: PlannedPredicate) -> bool:
    """Whether a filter needs keys that another scan has not read yet."""
    return any(isinstance(leaf, Exists | SemiJoinFilter) for leaf in iterate_leaves(predicate))


def _split_post_join_filter(
    predicate: PlannedPredicate, joined_columns: frozenset[str]
) -> tuple[PlannedPredicate, PlannedPredicate]:
    """Return the conjuncts over the source's own columns, and those that need joined columns."""
    if not joined_columns:
        return predicate, ALWAYS_TRUE
    conjuncts = [
        (part, joined_columns.isdisjoint(collect_predicate_columns(part))) for part in split_conjuncts(predicate)
    ]
    return (
        combine_conjuncts([part for part, is_own in conjuncts if is_own]),
        combine_conjuncts([part for part, is_own in conjuncts if not is_own]),
    )


def check_required_columns(connector: Connector, scan: PhysicalScan) -> None:
    """Raise RequestRejected (CANNOT_ANSWER) when a scan does not name a column that every read must name."""
    logical, capabilities = scan.logical, connector.capabilities(scan.logical.collection)
    if scan.is_undecided or not capabilities.required_columns:
        return
    compared = {
        part.column for part in split_conjuncts(scan.pushed_filter) if isinstance(part, Comparison) and part.op is Op.EQ
    }
    keyed = logical.key_columns if scan.key_batch_size else ()
    missing = sorted(set(capabilities.required_columns) - compared - set(keyed))
    if missing:
        way = "filter" if all(Op.EQ in capabilities.columns[column].filters for column in missing) else "link"
        collection = logical.collection.rpartition(".")[2]
        message = f"`{collection}` can only be read through a {way} that names its {', '.join(missing)}"
        raise RequestRejected(GraphQLErrorInfo(code=ErrorCode.CANNOT_ANSWER, message=message))


def push_grouping(capabilities: Capabilities, logical: LogicalScan, *, in_parts: bool) -> PushedGrouping | None:
    """Return the groups the connector computes; None when it cannot.

    The groups are partial when they are finer than the wanted ones: by the keys of a join, or by a column whose
    distinct values are counted.
    """
    joined = logical.joined_columns
    is_partial = in_parts or bool(logical.key_joins)
    distinct = [call for call in logical.aggregates if is_partial and call.function is AggregateFunction.COUNT_DISTINCT]
    unbucketed = [
        *(call.column for call in distinct if call.column is not None),
        *(column for join in logical.key_joins for column in join.outer_columns),
    ]
    group_by = dict.fromkeys(column for column in logical.columns if column not in joined)
    bucketed = {bucket.column for bucket in logical.time_buckets} - joined
    if is_partial and any(_is_float_sum(capabilities, call) for call in logical.aggregates):
        return None
    if not capabilities.aggregates or any(
        bucket.unit not in capabilities.time_buckets for bucket in logical.time_buckets if bucket.column in group_by
    ):
        return None
    if bucketed & {*unbucketed, *logical.key_columns}:
        return None
    group_by |= dict.fromkeys(column for column in unbucketed if column not in joined)
    aggregates = tuple(call for call in logical.aggregates if call not in distinct) or (COUNT_ROWS,)
    if not all(Op.EQ in capabilities.columns[column].filters for column in group_by) or not all(
        _can_compute(capabilities, call) for call in aggregates
    ):
        return None
    return PushedGrouping(columns=tuple(group_by), aggregates=aggregates, has_partial_groups=is_partial)


def _is_float_sum(capabilities: Capabilities, aggregate: AggregateCall) -> bool:
    """Whether an aggregate is a rounded sum; a sum of such sums would be rounded twice."""
    column = capabilities.columns.get(aggregate.column or "")
    return aggregate.function is AggregateFunction.SUM and column is not None and column.type is ColumnType.FLOAT


def _can_compute(capabilities: Capabilities, aggregate: AggregateCall) -> bool:
    return aggregate.column is None or aggregate.function in capabilities.columns[aggregate.column].aggregates


def _find_pushed_steps(
    capabilities: Capabilities, logical: LogicalScan, grouping: PushedGrouping | None
) -> Iterator[PushdownStep]:
    """Yield the steps after the filter that the connector takes, each only if it takes the one before."""
    if not logical.aggregates:
        yield from _find_pushed_row_steps(capabilities, logical)
    elif grouping is not None and not grouping.has_partial_groups:
        yield PushdownStep.AGGREGATES
        if _can_order_and_limit_groups(capabilities, logical, grouping):
            yield from (PushdownStep.HAVING, PushdownStep.SORT, PushdownStep.LIMIT)


def _find_pushed_row_steps(capabilities: Capabilities, logical: LogicalScan) -> Iterator[PushdownStep]:
    columns = [capabilities.columns.get(sort_key.column) for sort_key in logical.sort]
    if all(column is not None and column.sortable for column in columns):
        yield PushdownStep.SORT
        if capabilities.limit_per_key if logical.key_columns else capabilities.limit:
            yield PushdownStep.LIMIT


def _can_order_and_limit_groups(capabilities: Capabilities, logical: LogicalScan, grouping: PushedGrouping) -> bool:
    known = {*logical.columns, *(call.name for call in grouping.aggregates)}
    used = {*collect_predicate_columns(logical.having), *(sort_key.column for sort_key in logical.sort)}
    return (
        capabilities.group_ordering_and_limit
        and not logical.key_columns
        and used <= known
        and all(_can_filter_groups(capabilities, grouping, leaf) for leaf in iterate_leaves(logical.having))
    )


def _can_filter_groups(capabilities: Capabilities, grouping: PushedGrouping, comparison: Comparison) -> bool:
    """Whether the connector evaluates a comparison in `having`.

    A minimum or a maximum is a value of its column, so that column must support the operator; counts and sums support
    every one.
    """
    call = next((call for call in grouping.aggregates if call.name == comparison.column), None)
    if call is None:
        return comparison.op in capabilities.columns[comparison.column].filters
    return call.function not in (MIN, MAX) or comparison.op in capabilities.columns[call.column or ""].filters


def _collect_source_columns(
    logical: LogicalScan, residual_filter: PlannedPredicate, post_join_filter: PlannedPredicate
) -> tuple[str, ...]:
    """Return the source's own columns that the engine needs to finish the rows."""
    joined = logical.joined_columns
    columns = [
        *logical.columns,
        *logical.key_columns,
        *collect_predicate_columns(residual_filter),
        *collect_predicate_columns(post_join_filter),
        *(column for join in logical.key_joins for column in join.outer_columns),
        *(call.column for call in logical.aggregates if call.column is not None),
        *(sort_key.column for sort_key in logical.sort if not logical.aggregates),
    ]
    return tuple(column for column in dict.fromkeys(columns) if column not in joined)


def _build_output_columns(logical: LogicalScan, source_columns: tuple[str, ...]) -> tuple[str, ...]:
    if logical.aggregates:
        averages = map(get_average_column, logical.average_columns)
        return (*name_grouped_columns(logical.columns, logical.aggregates), *averages)
    return (*source_columns, *(column for join in logical.key_joins for column in join.output_columns))


def get_average_column(column: str) -> str:
    """Return the name of the average of a column, as sorts and `having` name it."""
    return f"avg({column})"
