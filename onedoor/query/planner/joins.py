"""Decide which joins of a logical scan the connector makes and which the engine makes."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from onedoor.query.planner.nodes import KeyJoin, LogicalScan
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.predicates import ALWAYS_TRUE, Op
from onedoor.spi.scan import AggregateCall, AggregateFunction, Join

CapabilitiesOf: TypeAlias = Callable[[str], Capabilities]
"""The capabilities of a collection of the same source, by its name."""

ORDERED_OPERATORS = frozenset({Op.EQ, Op.NE, Op.IN, Op.NOT_IN, Op.IS_NULL, Op.LT, Op.LTE, Op.GT, Op.GTE})

EXTREMES = frozenset({AggregateFunction.MIN, AggregateFunction.MAX})

COUNTS = frozenset({AggregateFunction.COUNT, AggregateFunction.COUNT_DISTINCT})


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitJoins:
    """Hold the joins of a scan by who makes them."""

    pushed: tuple[Join, ...]
    added_columns: tuple[str, ...]
    """The columns of pushed joins that the scan is for."""
    residual: tuple[KeyJoin, ...]
    capabilities: Capabilities
    """What the source promises of the collection and of the columns that pushed joins add."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedTable:
    """Hold what a join is made to: a collection, whose columns rows have under a prefix."""

    capabilities: Capabilities
    prefix: str = ""


def split_joins(logical: LogicalScan, capabilities_of: CapabilitiesOf) -> SplitJoins:
    """Push each join that stays in the source and adds one row, or aggregates, of collections that can be joined.

    A join adds no row and takes none away, so it is pushed whatever becomes of the filter.
    """
    outer = JoinedTable(capabilities=capabilities_of(logical.collection))
    pushable = [join for join in logical.key_joins if _is_pushable(join, logical.source, outer, capabilities_of)]
    if not pushable:
        return SplitJoins(pushed=(), added_columns=(), residual=logical.key_joins, capabilities=outer.capabilities)
    pushed = tuple(join for key_join in pushable for join in _flatten(key_join, outer, capabilities_of))
    columns = dict(outer.capabilities.columns)
    for join in pushed:
        columns |= _describe_columns(join, capabilities_of(join.collection))
    return SplitJoins(
        pushed=pushed,
        added_columns=tuple(column for key_join in pushable for column in key_join.output_columns),
        residual=tuple(key_join for key_join in logical.key_joins if key_join not in pushable),
        capabilities=replace(outer.capabilities, columns=columns),
    )


def _is_pushable(key_join: KeyJoin, source: str, outer: JoinedTable, capabilities_of: CapabilitiesOf) -> bool:
    scan = key_join.inner_scan
    if scan.source != source or scan.filter != ALWAYS_TRUE or scan.limit is not None or scan.average_columns:
        return False
    inner = capabilities_of(scan.collection)
    return (
        outer.capabilities.joins
        and inner.joins
        and set(inner.required_columns) <= set(scan.key_columns)
        and all(
            _can_equal(outer.capabilities.columns[here], inner.columns[there])
            for here, there in zip(key_join.outer_columns, scan.key_columns, strict=True)
        )
        and (not scan.aggregates or inner.aggregates)
        and all(_can_compute(inner, call) for call in scan.aggregates)
        and all(
            not _counts_rows(nested) and _is_pushable(nested, source, JoinedTable(capabilities=inner), capabilities_of)
            for nested in scan.key_joins
        )
    )


def _counts_rows(key_join: KeyJoin) -> bool:
    """Whether a join adds a count: beyond a row that is not there it is null, where a source would count no rows."""
    return any(call.function in COUNTS for call in key_join.inner_scan.aggregates)


def _can_equal(outer: Column, inner: Column) -> bool:
    return outer.type is inner.type and Op.EQ in outer.filters and Op.EQ in inner.filters


def _can_compute(capabilities: Capabilities, call: AggregateCall) -> bool:
    return call.column is None or call.function in capabilities.columns[call.column].aggregates


def _flatten(key_join: KeyJoin, outer: JoinedTable, capabilities_of: CapabilitiesOf) -> Iterator[Join]:
    """Yield a join, then those it leads to, which find their own columns in it."""
    scan = key_join.inner_scan
    inner = JoinedTable(capabilities=capabilities_of(scan.collection), prefix=f"{outer.prefix}{key_join.relationship}.")
    calls = {call.name: call for call in scan.aggregates}
    names = dict.fromkeys(
        (
            *(column for column in key_join.inner_columns if column not in scan.joined_columns),
            *(column for nested in scan.key_joins for column in nested.outer_columns),
        )
    )
    yield Join(
        collection=scan.collection,
        outer_columns=tuple(outer.prefix + column for column in key_join.outer_columns),
        inner_columns=scan.key_columns,
        columns=() if calls else tuple(names),
        aggregates=tuple(calls[name] for name in names) if calls else (),
        output_columns=tuple(inner.prefix + name for name in names),
    )
    for nested in scan.key_joins:
        yield from _flatten(nested, inner, capabilities_of)


def _describe_columns(join: Join, inner: Capabilities) -> Mapping[str, Column]:
    """Return what the source can do with the columns that a join adds."""
    columns = (
        [_describe_aggregate(call, inner) for call in join.aggregates]
        if join.aggregates
        else [inner.columns[column] for column in join.columns]
    )
    return dict(zip(join.output_columns, columns, strict=True))


def _describe_aggregate(call: AggregateCall, inner: Capabilities) -> Column:
    """Describe an aggregate: an extreme as a value of its column; counts and sums compare in every way."""
    if call.function in EXTREMES and call.column is not None:
        return replace(inner.columns[call.column], aggregates=frozenset())
    is_sum = call.function is AggregateFunction.SUM and call.column is not None
    column_type = inner.columns[call.column or ""].type if is_sum else ColumnType.INTEGER
    return Column(column_type, ORDERED_OPERATORS, sortable=True)
