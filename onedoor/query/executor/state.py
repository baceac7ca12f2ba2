"""Hold what the execution of one request has so far, and define the results it comes to."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from operator import itemgetter
from typing import Any, TypeAlias

from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.catalog import Limits
from onedoor.query.planner.bind import BoundPlan
from onedoor.query.planner.nodes import LogicalScan, MemberScan, PhysicalScan, SemiJoinFilter
from onedoor.runtime.row_cache import Reader
from onedoor.spi.connector import Connector
from onedoor.spi.operators import compile_key, group_rows
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest
from onedoor.spi.spill import OpenSpillTable, SpillBuffer

ROOT_KEY: Row = ()
"""The key of all rows of a node that no parent rows lead to."""


@dataclass(slots=True, kw_only=True)
class ScanStats:
    """Count what one scan did, for the audit record; counted as it happens, so that a cancelled scan counts too."""

    source: str
    collection: str
    call_count: int = 0
    cached_count: int = 0
    """Reads that took no call, because the row cache had the rows or another request was reading them."""
    read_at: datetime | None = None
    """When the oldest of its rows were read."""
    row_count: int = 0
    spilled_row_count: int = 0
    milliseconds: float = 0.0
    error_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanTrace:
    """Keep one executed scan for a client that wants to see the plan."""

    logical: LogicalScan
    """The scan of the plan that it was executed for."""
    scan: PhysicalScan
    stats: ScanStats
    requests: Sequence[ScanRequest]
    key_batch_columns: tuple[str, ...]
    """The columns whose keys were too many for one filter, so that they were spread over the requests."""
    rows: Sequence[Row]
    """The rows as the connector returned them, those in `spill_buffer` excepted."""
    spill_buffer: SpillBuffer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregateResult:
    """Hold the aggregates over all rows of a list, by the key that leads to it."""

    columns: tuple[str, ...]
    rows: Mapping[Row, Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupingResult:
    """Hold the groups that one field asks for, by the key that leads to their list."""

    columns: tuple[str, ...]
    rows: Mapping[Row, Sequence[Row]]


@dataclass(frozen=True, kw_only=True)
class BranchResult:
    """Hold the rows of one node, and what else the query wants of its list."""

    columns: tuple[str, ...] = ()
    rows: Sequence[Row] = ()
    key_columns: tuple[str, ...] = ()
    """The columns of the key that leads to the rows."""
    total_aggregate: AggregateResult | ConnectorError | None = None
    has_previous: frozenset[Row] = frozenset()
    """The keys whose list has rows before the page."""
    has_next: frozenset[Row] = frozenset()
    groupings: Mapping[int, GroupingResult | ConnectorError] = field(default_factory=dict)
    """By field number."""
    computed_values: Mapping[int, Mapping[Row, object]] = field(default_factory=dict)
    """By field number, then by the values that the field needs."""
    member_results: Mapping[str, "BranchResult"] = field(default_factory=dict)
    """For an interface, the rows of each concrete type that the merged rows come from."""
    member_errors: Mapping[str, ConnectorError] = field(default_factory=dict)
    """For an interface, why the rows of a concrete type are missing."""
    denied_members: tuple[MemberScan, ...] = ()
    """The concrete types whose rows could be among these, but are denied."""

    def group_by_key(self) -> Mapping[Row, Sequence[Row]]:
        """Return the rows by the key that leads to them."""
        return self._rows_by_key

    @cached_property
    def _rows_by_key(self) -> Mapping[Row, Sequence[Row]]:
        return group_rows(self.rows, compile_key(self.key_columns, self.columns)) if self.rows else {}


BranchResults: TypeAlias = Mapping[int, BranchResult | ConnectorError]
"""The results of nodes, by field number."""


def count_rows(results: BranchResults) -> int:
    """Count the rows, groups and aggregates that an answer is made of; the row after a page where that was asked for.

    Whatever sources gave beyond them is not counted, as there may be hidden rows in it.
    """
    return sum(_count_branch_rows(result) for result in results.values() if isinstance(result, BranchResult))


def _count_branch_rows(result: BranchResult) -> int:
    groupings = (grouping for grouping in result.groupings.values() if isinstance(grouping, GroupingResult))
    groups = sum(len(rows) for grouping in groupings for rows in grouping.rows.values())
    total = result.total_aggregate
    return len(result.rows) + groups + (len(total.rows) if isinstance(total, AggregateResult) else 0)


@dataclass(slots=True, kw_only=True)
class ExecutionState:
    """Hold what all scans of one request share."""

    readers: Mapping[str, Reader]
    bound_plan: BoundPlan
    scan_stats: list[ScanStats]
    """Grows while scans run, so that the audit record of a cancelled request says what was read."""
    limits: Limits
    open_spill_table: OpenSpillTable | None = None
    """`Catalog.open_spill_table`."""
    semi_join_keys: dict[SemiJoinFilter, frozenset[Row] | ConnectorError] = field(default_factory=dict)
    """The keys that semi-joins came to; each is read once, however many scans filter by it."""
    semi_join_locks: defaultdict[SemiJoinFilter, asyncio.Lock] = field(
        default_factory=lambda: defaultdict(asyncio.Lock)
    )
    exists_semi_joins: dict[int, SemiJoinFilter] = field(default_factory=dict)
    """The semi-joins that replace an Exists which its connector cannot evaluate, by its id()."""
    traces: list[ScanTrace] | None = None
    """The executed scans, in order; None: the client does not want to see the plan."""

    def get_connector(self, name: str) -> Connector:
        return self.readers[name].inner


def build_too_many_keys_error(state: ExecutionState, source: str) -> ConnectorError:
    limit = f"the limit `cross_source_keys_max` of {state.limits.cross_source_keys_max}"
    message = f"joining with `{source}` needs more keys than {limit}; narrow the filter"
    return ConnectorError(message, ErrorCode.LIMIT_EXCEEDED)


def summarize_freshness(scan_stats: Sequence[ScanStats], now: datetime) -> list[Mapping[str, Any]]:
    """Build `extensions.onedoor.freshness`: an object for each collection that was read, its age in seconds."""
    stats_by_collection: dict[tuple[str, str], list[ScanStats]] = {}
    for stats in scan_stats:
        if stats.read_at is not None:
            stats_by_collection.setdefault((stats.source, stats.collection), []).append(stats)
    return [_summarize_collection(stats, now) for _, stats in sorted(stats_by_collection.items(), key=itemgetter(0))]


def _summarize_collection(scan_stats: Sequence[ScanStats], now: datetime) -> Mapping[str, Any]:
    read_at = min(stats.read_at for stats in scan_stats if stats.read_at is not None)
    return {
        "source": scan_stats[0].source,
        "collection": scan_stats[0].collection,
        "readAt": read_at.isoformat(timespec="milliseconds"),
        "age": max(0.0, round((now - read_at).total_seconds(), 3)),
        "cached": any(stats.cached_count for stats in scan_stats),
    }
