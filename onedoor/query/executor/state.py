"""ExecutionState, ScanStats, BranchResult, freshness."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
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


@dataclass(slots=True, kw_only=True)
class ScanStats:
    """One read of one collection, for the record: how many calls, rows and milliseconds it took."""

    source: str
    collection: str
    call_count: int = 0
    cached_count: int = 0
    """Reads that took no call, as the same was read a moment ago or is being read just now."""
    read_at: datetime | None = None
    """When the oldest of its rows were read."""
    row_count: int = 0
    spilled_row_count: int = 0
    """Of those, what went through the scratch database."""
    milliseconds: float = 0.0
    error_code: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanTrace:
    """One read as it was asked, kept for a question that wants its plan shown."""

    logical: LogicalScan
    """As it stands in the plan."""
    scan: PhysicalScan
    stats: ScanStats
    requests: Sequence[ScanRequest]
    key_batch_columns: tuple[str, ...]
    """The columns whose keys, from elsewhere, were too many for one filter, so that they are spread over the asks."""
    rows: Sequence[Row]
    """As they come in, before any step of ours."""
    spill_buffer: SpillBuffer | None = None
    """Where the rest of them went, if they outgrew memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregateResult:
    """What was measured of all rows of a list, by the key that leads to it."""

    columns: tuple[str, ...]
    rows: Mapping[Row, Row]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupingResult:
    """The groups one field asked for, by the key that leads to their list."""

    columns: tuple[str, ...]
    rows: Mapping[Row, Sequence[Row]]


@dataclass(slots=True, kw_only=True)
class BranchResult:
    """What one branch came to: its rows, and what was asked beside them."""

    columns: tuple[str, ...] = ()
    rows: Sequence[Row] = ()
    key_columns: tuple[str, ...] = ()
    """The columns of the key that leads to them."""
    total_aggregate: AggregateResult | ConnectorError | None = None
    has_previous: frozenset[Row] = frozenset()
    has_next: frozenset[Row] = frozenset()
    groupings: dict[int, GroupingResult | ConnectorError] = field(default_factory=dict)
    """By pick number."""
    computed_values: dict[int, Mapping[Row, object]] = field(default_factory=dict)
    """By pick number, then by row."""
    member_results: Mapping[str, "BranchResult"] = field(default_factory=dict)
    """Of an interface, by concrete type what the rows here were merged from."""
    member_errors: Mapping[str, ConnectorError] = field(default_factory=dict)
    """By concrete type, why its rows are not among these."""
    denied_members: tuple[MemberScan, ...] = ()
    """The concrete types whose rows may not be among these."""
    grouped_rows: dict[Row, list[Row]] | None = None

    def group_by_key(self) -> Mapping[Row, Sequence[Row]]:
        """The rows by the key that leads to them."""
        if self.grouped_rows is None:
            self.grouped_rows = group_rows(self.rows, compile_key(self.key_columns, self.columns)) if self.rows else {}
        return self.grouped_rows


BranchResults: TypeAlias = dict[int, BranchResult | ConnectorError]
"""By pick number of the branch."""


@dataclass(slots=True, kw_only=True)
class ExecutionState:
    """One request's fetch under way."""

    readers: Mapping[str, Reader]
    bound_plan: BoundPlan
    scan_stats: list[ScanStats]
    limits: Limits
    open_spill_table: OpenSpillTable | None = None
    """`House.scratch`."""
    results: BranchResults = field(default_factory=dict)
    semi_join_keys: dict[SemiJoinFilter, frozenset[Row] | ConnectorError] = field(default_factory=dict)
    """Keys that other reads gave: read once, however many reads need them."""
    semi_join_locks: defaultdict[SemiJoinFilter, asyncio.Lock] = field(
        default_factory=lambda: defaultdict(asyncio.Lock)
    )

    exists_semi_joins: dict[int, SemiJoinFilter] = field(default_factory=dict)
    """By id of an `Exists`, the keys it comes to where its source cannot evaluate it."""
    traces: list[ScanTrace] | None = None
    """Every read, in the order they were asked; None: nobody wants to know."""

    def get_connector(self, name: str) -> Connector:
        return self.readers[name].inner


def build_too_many_keys_error(state: ExecutionState, source: str) -> ConnectorError:
    limit = f"the limit `keys_carried` of {state.limits.cross_source_keys_max}"
    return ConnectorError(
        f"more keys than {limit} lead to `{source}` or from it, filter it more", ErrorCode.LIMIT_EXCEEDED
    )


def summarize_freshness(scan_stats: Sequence[ScanStats], now: datetime) -> list[Mapping[str, Any]]:
    """A line for each source and collection that gave rows; ages in seconds."""
    read: dict[tuple[str, str], list[ScanStats]] = {}
    for call in scan_stats:
        if call.read_at is not None:
            read.setdefault((call.source, call.collection), []).append(call)
    return [_describe_collection(source, collection, each, now) for (source, collection), each in sorted(read.items())]


def _describe_collection(
    source: str, collection: str, scan_stats: Sequence[ScanStats], now: datetime
) -> Mapping[str, Any]:
    at = min(each.read_at for each in scan_stats if each.read_at is not None)
    return {
        "source": source,
        "collection": collection,
        "readAt": at.isoformat(timespec="milliseconds"),
        "age": max(0.0, round((now - at).total_seconds(), 3)),
        "cached": any(each.cached_count for each in scan_stats),
    }
