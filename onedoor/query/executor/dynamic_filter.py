"""A read whose filter waits for keys from elsewhere in, the read with those keys in place out.

A filter through a link into another source, or past what its source can relate, is two reads. The one that is thought
to give fewer rows goes first and its keys narrow the other: the far side's keys become part of our filter (`Among`),
or our rows' keys are asked for on the far side once we have them (`Carried` stays, and is filled in later).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from onedoor.errors import ConnectorError, ErrorCode
from onedoor.query.executor.state import ExecutionState
from onedoor.query.planner import pushdown
from onedoor.query.planner.cost import estimate_scan_rows
from onedoor.query.planner.nodes import LogicalScan, PhysicalScan, SemiJoinFilter, build_distinct_scan
from onedoor.query.planner.pushdown import (
    get_key_batch_size,
    has_pending_keys,
    is_pushable,
    split_conjuncts,
    split_filter,
)
from onedoor.runtime.concurrency import gather_or_cancel
from onedoor.spi.capabilities import Capabilities
from onedoor.spi.predicates import ALWAYS_FALSE, And, Exists, InKeys, Not, Or, Row

ROWS_PER_KEY = 10
"""About how many rows a key of a list leads to."""

SemiJoinKeyReader = Callable[[SemiJoinFilter], Awaitable[frozenset[Row]]]
"""Reads the far side, whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedScan:
    """What is asked now."""

    scan: PhysicalScan
    key_batches: tuple[tuple[str, ...], int, tuple[Row, ...]] | None = None
    """Columns, how many keys at once, and the keys, where they are too many for one filter."""
    is_empty: bool = False
    """No row can meet the filter, so nothing is asked."""


async def resolve_scan(
    state: ExecutionState, logical: LogicalScan, keys: Sequence[Row] | None, read_keys: SemiJoinKeyReader
) -> ResolvedScan:
    settling = FilterResolver(state=state, logical=logical, keys=keys, read_keys=read_keys)
    source = state.get_connector(logical.source)
    where = await settling.resolve(logical.filter)
    pushed, ours = split_filter(where, source.capabilities(logical.collection), source.capabilities)
    if has_pending_keys(ours):
        where = And((pushed, await replace(settling, may_push_exists=False).resolve(ours)))
    if ALWAYS_FALSE in split_conjuncts(where):
        none = pushdown.plan_scan(source, replace(logical, filter=ALWAYS_FALSE), in_parts=True)
        return ResolvedScan(
            scan=replace(
                none, has_partial_groups=bool(none.pushed_aggregates), residual_filter=And(()), post_join_filter=And(())
            ),
            is_empty=True,
        )
    can = source.capabilities(logical.collection)
    many = _find_oversized_keys(can, logical, where)
    if many is None:
        return ResolvedScan(scan=pushdown.plan_scan(source, replace(logical, filter=where)))
    rest = And(tuple(each for each in split_conjuncts(where) if each is not many))
    return ResolvedScan(
        scan=pushdown.plan_scan(source, replace(logical, filter=rest), in_parts=True),
        key_batches=(many.columns, can.max_keys, tuple(sorted(many.keys))),
    )


def _find_oversized_keys(capabilities: Capabilities, logical: LogicalScan, predicate: Any) -> InKeys | None:
    """Keys the source takes only as the keys of a read: too many for its filter, or it takes none there."""
    if logical.key_columns:
        return None
    many = (
        each for each in split_conjuncts(predicate) if isinstance(each, InKeys) and isinstance(each.keys, frozenset)
    )
    return next(
        (
            each
            for each in many
            if len(each.keys) > capabilities.max_in_filter_keys and get_key_batch_size(capabilities, each.columns)
        ),
        None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterResolver:
    """One read's filter under way."""

    state: ExecutionState
    logical: LogicalScan
    keys: Sequence[Row] | None
    read_keys: SemiJoinKeyReader
    is_inside_exists: bool = False
    """Within an `Exists`: no rows of ours will be there to ask by."""
    may_push_exists: bool = True
    """Whether the source may be left to look beside; not in a part of the filter that it does not take."""

    async def resolve(self, predicate: Any) -> Any:
        """The filter with what can be known before its rows are read."""
        match predicate:
            case And() | Or():
                return type(predicate)(tuple(await gather_or_cancel(self.resolve(each) for each in predicate.parts)))
            case Not():
                return Not(await self.resolve(predicate.part))
            case Exists():
                return await self.resolve_exists(predicate)
            case SemiJoinFilter():
                return await self.resolve_semi_join(predicate)
            case _:
                return predicate

    async def resolve_exists(self, exists: Exists) -> Any:
        """Rows beside, in the same source: its own work, where it can do it with the keys it is given."""
        source = self.state.get_connector(self.logical.source)
        can = source.capabilities(self.logical.collection)
        beside = build_distinct_scan(self.logical.source, exists.collection, exists.inner_columns, exists.filter)
        keys = self.state.exists_semi_joins.setdefault(id(exists), SemiJoinFilter(exists.outer_columns, beside))
        if (
            can.exists_filters
            and self.may_push_exists
            and not self.needs_outer_keys(self.logical.source, exists.filter)
        ):
            inner = await replace(self, logical=beside, keys=None, is_inside_exists=True).resolve(exists.filter)
            if is_pushable(made := replace(exists, filter=inner), can, source.capabilities):
                self.state.exists_semi_joins[id(made)] = keys
                return made
        return await self.resolve_semi_join(keys)

    async def resolve_semi_join(self, semi_join: SemiJoinFilter) -> Any:
        """The far side's keys if it goes first; the filter as it is where our rows do, or there are too many keys."""
        if not self.should_read_inner_first(semi_join):
            return semi_join
        try:
            keys = await self.read_keys(semi_join)
        except ConnectorError as failure:
            if (
                failure.code is not ErrorCode.LIMIT_EXCEEDED
                or self.is_inside_exists
                or not self.is_readable_by_keys(semi_join)
            ):
                raise
            return semi_join
        return InKeys(semi_join.outer_columns, keys) if keys else ALWAYS_FALSE

    def is_readable_by_keys(self, semi_join: SemiJoinFilter) -> bool:
        """Whether the far side can be asked for the keys that our rows name."""
        can = self.state.get_connector(semi_join.inner_scan.source).capabilities(semi_join.inner_scan.collection)
        return get_key_batch_size(can, semi_join.inner_scan.columns) > 0

    def needs_outer_keys(self, source: str, predicate: Any) -> bool:
        """Whether a filter looks at rows that nobody can read without keys of those it filters."""
        match predicate:
            case And() | Or():
                return any(self.needs_outer_keys(source, each) for each in predicate.parts)
            case Not():
                return self.needs_outer_keys(source, predicate.part)
            case Exists():
                return self.has_required_columns(source, predicate.collection) or self.needs_outer_keys(
                    source, predicate.filter
                )
            case SemiJoinFilter():
                far = predicate.inner_scan
                return self.has_required_columns(far.source, far.collection) or self.needs_outer_keys(
                    far.source, far.filter
                )
            case _:
                return False

    def has_required_columns(self, source: str, collection: str) -> bool:
        return bool(self.state.get_connector(source).capabilities(collection).required_columns)

    def should_read_inner_first(self, semi_join: SemiJoinFilter) -> bool:
        ours = self.state.get_connector(self.logical.source)
        if self.is_readable_by_keys(semi_join) and self.has_required_columns(
            semi_join.inner_scan.source, semi_join.inner_scan.collection
        ):
            return False
        if (
            self.is_inside_exists
            or not self.is_readable_by_keys(semi_join)
            or ours.capabilities(self.logical.collection).required_columns
        ):
            return True
        near = estimate_scan_rows(ours, self.logical) if self.keys is None else float(len(self.keys) * ROWS_PER_KEY)
        return estimate_scan_rows(self.state.get_connector(semi_join.inner_scan.source), semi_join.inner_scan) <= near
