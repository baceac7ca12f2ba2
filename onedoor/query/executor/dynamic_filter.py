"""Resolve a filter that needs keys from another scan, once the request is known.

A filter through a relationship into another source, or past what a source can relate itself, takes two scans. The one
that is expected to return fewer rows goes first and its keys narrow the other: either the inner scan's keys become an
`InKeys` of the outer filter, or the `SemiJoinFilter` stays and the outer rows' keys are looked up in the inner scan.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from onedoor.errors import ConnectorError, ErrorCode
from onedoor.query.executor.state import ExecutionState
from onedoor.query.planner.cost import estimate_scan_rows
from onedoor.query.planner.nodes import (
    LogicalScan,
    PhysicalScan,
    PlannedPredicate,
    SemiJoinFilter,
    build_distinct_scan,
)
from onedoor.query.planner.pushdown import (
    get_key_batch_size,
    has_pending_keys,
    is_pushable,
    plan_scan,
    plan_scan_in_parts,
    split_filter,
)
from onedoor.runtime.concurrency import gather_or_cancel
from onedoor.spi.capabilities import Capabilities
from onedoor.spi.connector import Connector
from onedoor.spi.predicates import (
    ALWAYS_FALSE,
    ALWAYS_TRUE,
    And,
    Exists,
    InKeys,
    Row,
    iterate_leaves,
    split_conjuncts,
    transform_predicate,
)

ROWS_PER_KEY = 10
"""About how many rows a key of a list leads to."""

SemiJoinKeyReader: TypeAlias = Callable[[SemiJoinFilter], Awaitable[frozenset[Row] | ConnectorError]]
"""Reads all keys of a semi-join's inner scan, or says why it cannot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyBatches:
    """Hold the keys that several requests carry, `size` at a time."""

    columns: tuple[str, ...]
    size: int
    keys: Sequence[Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedScan:
    """Hold a scan that can be executed now."""

    scan: PhysicalScan
    key_batches: KeyBatches | None = None
    """The keys of another scan, where they are too many for one filter."""
    is_empty: bool = False
    """Whether no row can match, so that the connector is not called."""


async def resolve_scan(
    state: ExecutionState, logical: LogicalScan, keys: Sequence[Row] | None, read_keys: SemiJoinKeyReader
) -> ResolvedScan:
    """Read the keys that are to be known first, and plan the scan with them. Raises ConnectorError."""
    connector = state.get_connector(logical.source)
    capabilities = connector.capabilities(logical.collection)
    resolver = FilterResolver(state=state, logical=logical, keys=keys, read_keys=read_keys)
    resolved = await resolver.resolve(logical.filter)
    split = split_filter(resolved, capabilities, connector.capabilities)
    if has_pending_keys(split.residual):
        residual = await replace(resolver, may_push_exists=False).resolve(split.residual)
        resolved = And((split.pushed, residual))
    if ALWAYS_FALSE in split_conjuncts(resolved):
        return ResolvedScan(scan=_plan_empty_scan(connector, logical), is_empty=True)
    oversized = _find_oversized_keys(capabilities, logical, resolved)
    if oversized is None:
        return ResolvedScan(scan=plan_scan(connector, replace(logical, filter=resolved)))
    rest = And(tuple(part for part in split_conjuncts(resolved) if part is not oversized))
    return ResolvedScan(
        scan=plan_scan_in_parts(connector, replace(logical, filter=rest)),
        key_batches=KeyBatches(
            columns=oversized.columns, size=capabilities.max_keys, keys=tuple(sorted(oversized.keys))
        ),
    )


def _plan_empty_scan(connector: Connector, logical: LogicalScan) -> PhysicalScan:
    """Plan what the engine makes of no rows: no group, or the one group of all rows."""
    scan = plan_scan_in_parts(connector, replace(logical, filter=ALWAYS_FALSE))
    return replace(
        scan,
        has_partial_groups=bool(scan.pushed_aggregates),
        residual_filter=ALWAYS_TRUE,
        post_join_filter=ALWAYS_TRUE,
    )


def _find_oversized_keys(
    capabilities: Capabilities, logical: LogicalScan, predicate: PlannedPredicate
) -> InKeys | None:
    """Find keys that are too many for the connector's filter but that it takes as the keys of a request."""
    if logical.key_columns:
        return None
    for part in split_conjuncts(predicate):
        if (
            isinstance(part, InKeys)
            and isinstance(part.keys, frozenset)
            and len(part.keys) > capabilities.max_in_filter_keys
            and get_key_batch_size(capabilities, part.columns)
        ):
            return part
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterResolver:
    """Resolve the filter of one scan."""

    state: ExecutionState
    logical: LogicalScan
    keys: Sequence[Row] | None
    """The keys that lead to the scan's rows."""
    read_keys: SemiJoinKeyReader
    is_inside_exists: bool = False
    """Whether the filter is part of an Exists, so that no outer rows will be there to look up."""
    may_push_exists: bool = True
    """Whether the connector may evaluate an Exists; not in a part of the filter that it does not take."""

    async def resolve(self, predicate: PlannedPredicate) -> PlannedPredicate:
        """Return the filter with the keys that are to be known before its rows are read."""
        resolved = iter(await gather_or_cancel(self.resolve_leaf(leaf) for leaf in iterate_leaves(predicate)))
        resolved_predicate: PlannedPredicate = transform_predicate(predicate, lambda leaf: next(resolved))
        return resolved_predicate

    async def resolve_leaf(self, leaf: PlannedPredicate) -> PlannedPredicate:
        if isinstance(leaf, Exists):
            return await self.resolve_exists(leaf)
        if isinstance(leaf, SemiJoinFilter):
            return await self.resolve_semi_join(leaf)
        return leaf

    async def resolve_exists(self, exists: Exists) -> PlannedPredicate:
        """Leave an Exists to the connector if it can evaluate it once it has its keys; else make it a semi-join."""
        connector = self.state.get_connector(self.logical.source)
        capabilities = connector.capabilities(self.logical.collection)
        inner_scan = build_distinct_scan(self.logical.source, exists.collection, exists.inner_columns, exists.filter)
        semi_join = self.state.exists_semi_joins.setdefault(
            id(exists), SemiJoinFilter(exists.outer_columns, inner_scan)
        )
        if (
            capabilities.exists_filters
            and self.may_push_exists
            and not self.needs_outer_keys(self.logical.source, exists.filter)
        ):
            inner = replace(self, logical=inner_scan, keys=None, is_inside_exists=True)
            resolved = replace(exists, filter=await inner.resolve(exists.filter))
            if is_pushable(resolved, capabilities, connector.capabilities):
                self.state.exists_semi_joins[id(resolved)] = semi_join
                return resolved
        return await self.resolve_semi_join(semi_join)

    async def resolve_semi_join(self, semi_join: SemiJoinFilter) -> PlannedPredicate:
        """Return the keys of the inner scan if it goes first.

        The filter stays as it is when the outer rows go first, or when there are too many keys and the outer rows can
        go first instead.
        """
        if not self.should_read_inner_first(semi_join):
            return semi_join
        keys = await self.read_keys(semi_join)
        if isinstance(keys, ConnectorError):
            can_read_outer_first = not self.is_inside_exists and self.is_readable_by_keys(semi_join)
            if keys.code is ErrorCode.LIMIT_EXCEEDED and can_read_outer_first:
                return semi_join
            raise keys
        return InKeys(semi_join.outer_columns, keys) if keys else ALWAYS_FALSE

    def should_read_inner_first(self, semi_join: SemiJoinFilter) -> bool:
        inner_scan, is_readable_by_keys = semi_join.inner_scan, self.is_readable_by_keys(semi_join)
        if is_readable_by_keys and self.has_required_columns(inner_scan.source, inner_scan.collection):
            return False
        if (
            self.is_inside_exists
            or not is_readable_by_keys
            or self.has_required_columns(self.logical.source, self.logical.collection)
        ):
            return True
        inner_rows = estimate_scan_rows(self.state.get_connector(inner_scan.source), inner_scan)
        return inner_rows <= self.estimate_outer_rows()

    def estimate_outer_rows(self) -> float:
        if self.keys is not None:
            return float(len(self.keys) * ROWS_PER_KEY)
        return estimate_scan_rows(self.state.get_connector(self.logical.source), self.logical)

    def is_readable_by_keys(self, semi_join: SemiJoinFilter) -> bool:
        """Whether the inner scan can look up the keys of outer rows."""
        inner_scan = semi_join.inner_scan
        capabilities = self.state.get_connector(inner_scan.source).capabilities(inner_scan.collection)
        return get_key_batch_size(capabilities, inner_scan.columns) > 0

    def needs_outer_keys(self, source: str, predicate: PlannedPredicate) -> bool:
        """Whether a filter looks at rows that can only be read by keys of the rows it filters."""
        for leaf in iterate_leaves(predicate):
            match leaf:
                case Exists():
                    inner_source, collection, inner_filter = source, leaf.collection, leaf.filter
                case SemiJoinFilter(inner_scan=inner_scan):
                    inner_source, collection, inner_filter = inner_scan.source, inner_scan.collection, inner_scan.filter
                case _:
                    continue
            if self.has_required_columns(inner_source, collection) or self.needs_outer_keys(inner_source, inner_filter):
                return True
        return False

    def has_required_columns(self, source: str, collection: str) -> bool:
        return bool(self.state.get_connector(source).capabilities(collection).required_columns)
