"""A read as the question means it and a source's promise in, one planned read out: what is taken and what is ours.

The law of push-down: of keys, where, measures, having, order and limit, a source takes a step only if it takes every
step before it. A filter may be split: the parts it takes go down, the rest is ours, and then so is all that follows.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from onedoor.errors import ErrorCode, GraphQLErrorInfo, RequestRejected
from onedoor.model.parameters import Parameter
from onedoor.query.planner.nodes import (
    KeysetFilter,
    LogicalScan,
    PhysicalScan,
    PushdownStep,
    SemiJoinFilter,
    collect_predicate_columns,
)
from onedoor.spi.capabilities import Capabilities, ColumnType
from onedoor.spi.connector import Connector
from onedoor.spi.operators import name_grouped_columns
from onedoor.spi.predicates import ALWAYS_TRUE, And, Comparison, Exists, InKeys, Not, Op, Or
from onedoor.spi.scan import COUNT_ROWS, AggregateCall, AggregateFunction

MIN, MAX = AggregateFunction.MIN, AggregateFunction.MAX

KEYSET_OPERATORS = frozenset({Op.EQ, Op.LT, Op.GT, Op.IS_NULL})
"""What a column must take for a cursor over it to be pushed down."""

MAX_IDS_IN_FILTER = 1000
"""As many ids as a filter may name; their number is known only when the question is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedGrouping:
    """How a source groups for us."""

    columns: tuple[str, ...]
    aggregates: tuple[AggregateCall, ...]
    has_partial_groups: bool


def plan_scan(connector: Connector, logical: LogicalScan, *, in_parts: bool = False) -> PhysicalScan:
    """As much pushed down as the source promises and the law allows.

    `spread`: the read is asked in parts, whose rows we put together.
    """
    can = connector.capabilities(logical.collection)
    batch = get_key_batch_size(can, logical.key_columns)
    pushed, rest = split_filter(logical.filter, can, connector.capabilities)
    undecided = has_pending_keys(rest)
    if not undecided and not in_parts:
        _check_required_columns(can, logical, pushed)
    rest, last = split_post_join_filter(
        rest, frozenset(name for each in logical.key_joins for name in each.output_columns)
    )
    filtered = rest == ALWAYS_TRUE == last and bool(batch or not logical.key_columns)
    groups = push_grouping(can, logical, in_parts=in_parts) if filtered and logical.aggregates else None
    return PhysicalScan(
        logical=logical,
        source_columns=groups.columns if groups else collect_source_columns(logical, rest, last),
        pushed_aggregates=groups.aggregates if groups else (),
        has_partial_groups=groups is not None and groups.has_partial_groups,
        key_batch_size=batch,
        pushed_filter=pushed,
        residual_filter=rest,
        post_join_filter=last,
        pushed_steps=frozenset(find_pushed_steps(can, logical, groups)) if filtered and not in_parts else frozenset(),
        output_columns=build_output_columns(logical, groups, rest, last),
        is_undecided=undecided,
    )


def get_key_batch_size(capabilities: Capabilities, key_columns: tuple[str, ...]) -> int:
    return (
        capabilities.max_keys
        if key_columns and (not capabilities.key_columns or key_columns in capabilities.key_columns)
        else 0
    )


def find_pushed_steps(
    capabilities: Capabilities, logical: LogicalScan, grouping: PushedGrouping | None
) -> Iterator[PushdownStep]:
    """The steps after the filter that the source takes, each only if it took the one before."""
    if logical.aggregates:
        if grouping is None or grouping.has_partial_groups:
            return
        yield PushdownStep.AGGREGATES
        known = {*logical.columns, *(each.name for each in grouping.aggregates)}
        used = {*collect_predicate_columns(logical.having), *(each.column for each in logical.sort)}
        if (
            not capabilities.group_ordering_and_limit
            or logical.key_columns
            or not used <= known
            or not _can_filter_groups(capabilities, grouping.aggregates, logical.having)
        ):
            return
        yield from (PushdownStep.HAVING, PushdownStep.SORT, PushdownStep.LIMIT)
    elif all(
        each.column in capabilities.columns and capabilities.columns[each.column].sortable for each in logical.sort
    ):
        yield PushdownStep.SORT
        if capabilities.limit_per_key if logical.key_columns else capabilities.limit:
            yield PushdownStep.LIMIT


def push_grouping(capabilities: Capabilities, logical: LogicalScan, *, in_parts: bool) -> PushedGrouping | None:
    """How the source groups; None where it cannot. Parts of groups, where more is grouped by than it knows."""
    partial = in_parts or bool(logical.key_joins)
    reached = {name for each in logical.key_joins for name in each.output_columns}
    told = [each for each in logical.aggregates if each.function is AggregateFunction.COUNT_DISTINCT] if partial else []
    by = dict.fromkeys(each for each in logical.columns if each not in reached)
    cuts = {each.column for each in logical.time_buckets} - reached
    raw_too = [*(each.column for each in told), *(here for each in logical.key_joins for here in each.outer_columns)]
    if partial and any(_is_float_sum(capabilities, each) for each in logical.aggregates):
        return None
    if not capabilities.aggregates or any(
        each.unit not in capabilities.time_buckets for each in logical.time_buckets if each.column in by
    ):
        return None
    if cuts & {*raw_too, *logical.key_columns}:
        return None
    by |= dict.fromkeys(each for each in raw_too if each is not None and each not in reached)
    measures = tuple(each for each in logical.aggregates if each not in told) or (COUNT_ROWS,)
    if not all(Op.EQ in capabilities.columns[each].filters for each in by) or not all(
        _can_compute(capabilities, each) for each in measures
    ):
        return None
    return PushedGrouping(columns=tuple(by), aggregates=measures, has_partial_groups=partial)


def _is_float_sum(capabilities: Capabilities, aggregate: AggregateCall) -> bool:
    """Sums of floats are rounded, so that sums of them would be rounded twice."""
    column = capabilities.columns.get(aggregate.column or "")
    return aggregate.function is AggregateFunction.SUM and column is not None and column.type is ColumnType.FLOAT


def _can_compute(capabilities: Capabilities, aggregate: AggregateCall) -> bool:
    return aggregate.column is None or aggregate.function in capabilities.columns[aggregate.column].aggregates


def _can_filter_groups(capabilities: Capabilities, aggregates: Sequence[AggregateCall], having: Any) -> bool:
    """Whether the source takes each test of the column whose value it looks at; of counts and sums, it takes all."""
    if isinstance(having, Comparison):
        measure = next((each for each in aggregates if each.name == having.column), AggregateCall(MIN, having.column))
        return measure.function not in (MIN, MAX) or having.op in capabilities.columns[measure.column or ""].filters
    parts = (having.part,) if isinstance(having, Not) else having.parts
    return all(_can_filter_groups(capabilities, aggregates, each) for each in parts)


def collect_source_columns(logical: LogicalScan, residual_filter: Any, post_join_filter: Any) -> tuple[str, ...]:
    """The source's own columns that its rows must hold for us to finish them."""
    reached = {name for each in logical.key_joins for name in each.output_columns}
    names = [
        *logical.columns,
        *logical.key_columns,
        *collect_predicate_columns(residual_filter),
        *collect_predicate_columns(post_join_filter),
        *(here for each in logical.key_joins for here in each.outer_columns),
        *(each.column for each in logical.aggregates if each.column is not None),
        *(each.column for each in logical.sort if not logical.aggregates),
    ]
    return tuple(each for each in dict.fromkeys(names) if each not in reached)


def build_output_columns(
    logical: LogicalScan, grouping: PushedGrouping | None, residual_filter: Any, post_join_filter: Any
) -> tuple[str, ...]:
    if logical.aggregates:
        return (
            *name_grouped_columns(logical.columns, logical.aggregates),
            *map(get_average_column, logical.average_columns),
        )
    return (
        *collect_source_columns(logical, residual_filter, post_join_filter),
        *(name for each in logical.key_joins for name in each.output_columns),
    )


def get_average_column(column: str) -> str:
    """What an average of a column is called."""
    return f"avg({column})"


def split_filter(
    predicate: Any, capabilities: Capabilities, capabilities_of: Callable[[str], Capabilities]
) -> tuple[Any, Any]:
    """The conjuncts the source takes, and those it does not."""
    taken: list[Any] = []
    rest: list[Any] = []
    for each in split_conjuncts(predicate):
        (taken if is_pushable(each, capabilities, capabilities_of) else rest).append(each)
    return combine_conjuncts(taken), combine_conjuncts(rest)


def split_post_join_filter(predicate: Any, joined_columns: frozenset[str]) -> tuple[Any, Any]:
    """The conjuncts over a source's own columns, and those over what is reached."""
    if not joined_columns:
        return predicate, ALWAYS_TRUE
    last = [each for each in split_conjuncts(predicate) if joined_columns & set(collect_predicate_columns(each))]
    return combine_conjuncts([each for each in split_conjuncts(predicate) if each not in last]), combine_conjuncts(last)


def split_conjuncts(predicate: Any) -> Iterator[Any]:
    if isinstance(predicate, And):
        for each in predicate.parts:
            yield from split_conjuncts(each)
    else:
        yield predicate


def combine_conjuncts(parts: Sequence[Any]) -> Any:
    return parts[0] if len(parts) == 1 else And(tuple(parts))


def is_pushable(predicate: Any, capabilities: Capabilities, capabilities_of: Callable[[str], Capabilities]) -> bool:
    """Whether the source evaluates all of it."""
    match predicate:
        case Comparison():
            return predicate.op in capabilities.columns[predicate.column].filters
        case And() | Or():
            return capabilities.boolean_filters and all(
                is_pushable(each, capabilities, capabilities_of) for each in predicate.parts
            )
        case Not():
            return capabilities.boolean_filters and is_pushable(predicate.part, capabilities, capabilities_of)
        case Exists():
            return capabilities.exists_filters and is_pushable(
                predicate.filter, capabilities_of(predicate.collection), capabilities_of
            )
        case KeysetFilter():
            seen = [capabilities.columns.get(each.column) for each in predicate.page.sort]
            return capabilities.boolean_filters and all(
                each is not None and each.filters >= KEYSET_OPERATORS for each in seen
            )
        case InKeys():
            most = MAX_IDS_IN_FILTER if isinstance(predicate.keys, Parameter) else len(predicate.keys)
            return most <= capabilities.max_in_filter_keys and all(
                Op.EQ in capabilities.columns[each].filters for each in predicate.columns
            )
        case _:
            return False


def has_pending_keys(predicate: Any) -> bool:
    """Whether keys from elsewhere are still to come in."""
    match predicate:
        case And() | Or():
            return any(map(has_pending_keys, predicate.parts))
        case Not():
            return has_pending_keys(predicate.part)
        case Exists() | SemiJoinFilter():
            return True
        case _:
            return False


def _check_required_columns(capabilities: Capabilities, logical: LogicalScan, pushed: Any) -> None:
    told = {each.column for each in split_conjuncts(pushed) if isinstance(each, Comparison) and each.op is Op.EQ}
    missing = sorted(
        set(capabilities.required_columns)
        - told
        - set(logical.key_columns if get_key_batch_size(capabilities, logical.key_columns) else ())
    )
    if missing:
        way = "filter" if all(Op.EQ in capabilities.columns[each].filters for each in missing) else "link"
        named = f"`{logical.collection.rpartition('.')[2]}` can only be read through a {way} that names its "
        raise RequestRejected(GraphQLErrorInfo(code=ErrorCode.CANNOT_ANSWER, message=named + ", ".join(missing)))
