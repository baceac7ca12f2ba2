"""Define the plan as plain data.

A `PlanNode` stands for a field that leads to rows, a `LogicalScan` for what it reads, and a `PhysicalScan` for how the
read is split between the connector and the engine.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from auth.policy import Decision
from onedoor.model.constant_columns import ConstantValues, may_match
from onedoor.model.mapping import ComputedField
from onedoor.model.parameters import Parameter
from onedoor.model.reader import ReaderTraits
from onedoor.query.selection import SelectedField
from onedoor.spi.capabilities import ValueType
from onedoor.spi.predicates import ALWAYS_TRUE, Comparison, Exists, InKeys, Predicate, Row, iterate_leaves
from onedoor.spi.scan import COUNT_ROWS, AggregateCall, Join, SortKey, TimeBucket

FieldPath: TypeAlias = tuple[str, ...]
"""Fields from a type on, such as (`customer`, `country`): relationships to one row, then a field."""

Size: TypeAlias = int | Parameter | None
"""A number of rows, or the Parameter that gives it; None: all."""


@dataclass(frozen=True, slots=True, eq=False)
class SemiJoinFilter:
    """Hold when the row's `outer_columns` equal some row of `inner_scan`, which another scan reads.

    Equal only to itself, so that its keys are read once per plan.
    """

    outer_columns: tuple[str, ...]
    inner_scan: "LogicalScan"


@dataclass(frozen=True, slots=True)
class KeysetFilter:
    """Hold when the row comes after the cursor `page.after`, or before the cursor `page.before`."""

    page: "Page"
    is_after: bool

    @property
    def cursor(self) -> str | Parameter | None:
        """The cursor's text or its Parameter."""
        return self.page.after if self.is_after else self.page.before


@dataclass(frozen=True, slots=True)
class RuleComparison(Comparison):
    """A comparison of a row rule, whose value is not shown in a plan."""


PlannedPredicate: TypeAlias = Predicate | SemiJoinFilter | KeysetFilter
"""A filter before it is bound: a value may be a `Parameter`, and a leaf a `SemiJoinFilter` or a `KeysetFilter`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogicalScan:
    """Describe one read as the query means it, whatever its connector takes of it.

    The steps apply in this order: keys and filter, key joins, aggregates grouped by `columns`, averages, having, sort,
    and limit (for each key). A row is `columns`; with aggregates it is `columns`, then aggregates, then averages.
    """

    source: str
    collection: str
    columns: tuple[str, ...]
    key_columns: tuple[str, ...] = ()
    filter: PlannedPredicate = ALWAYS_TRUE
    key_joins: tuple["KeyJoin", ...] = ()
    aggregates: tuple[AggregateCall, ...] = ()
    average_columns: tuple[str, ...] = ()
    """The columns whose sums are divided by their counts; both are among the aggregates."""
    time_buckets: tuple[TimeBucket, ...] = ()
    having: PlannedPredicate = ALWAYS_TRUE
    sort: tuple[SortKey, ...] = ()
    limit: Size = None

    @property
    def joined_columns(self) -> frozenset[str]:
        """The columns that key joins add, which the source does not have."""
        return frozenset(name for join in self.key_joins for name in join.output_columns)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyJoin:
    """Add the columns of a related row, or aggregates over related rows.

    `inner_scan` returns at most one row for each key in `outer_columns`. Its `inner_columns` are added under the names
    `output_columns`, which begin with the relationship's; a key without a row gets `missing_row`.
    """

    relationship: str
    outer_columns: tuple[str, ...]
    inner_scan: LogicalScan
    inner_columns: tuple[str, ...]
    output_columns: tuple[str, ...]
    output_types: tuple[ValueType, ...]
    missing_row: Row


class PushdownStep(StrEnum):
    """A step after keys and filter that a connector may take. The values appear in `extensions.onedoor.plan`."""

    AGGREGATES = "measures"
    HAVING = "having"
    SORT = "order"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhysicalScan:
    """Split one read into what its connector does and what the engine finishes."""

    logical: LogicalScan
    source_columns: tuple[str, ...]
    """The columns the connector returns; with pushed aggregates, those it groups by."""
    pushed_joins: tuple[Join, ...] = ()
    key_joins: tuple[KeyJoin, ...] = ()
    """The joins that the engine makes."""
    pushed_aggregates: tuple[AggregateCall, ...] = ()
    has_partial_groups: bool = False
    """Whether the connector's groups are finer than the wanted ones, so that the engine combines them."""
    key_batch_size: int = 0
    """How many keys one request may carry; 0: the connector returns all rows and the engine selects by key."""
    pushed_filter: PlannedPredicate = ALWAYS_TRUE
    residual_filter: PlannedPredicate = ALWAYS_TRUE
    """What the engine filters before the key joins."""
    post_join_filter: PlannedPredicate = ALWAYS_TRUE
    """What the engine filters after the key joins."""
    pushed_steps: frozenset[PushdownStep] = frozenset()
    output_columns: tuple[str, ...] = ()
    """The columns of the finished rows."""
    is_undecided: bool = False
    """Whether keys that are still to be read decide what the connector takes; `dynamic_filter` plans it anew then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Select a window of a list whose total order ends in the key, as Relay's cursor connections do."""

    coordinate: str
    sort: tuple[SortKey, ...]
    sort_types: tuple[ValueType, ...]
    key_joins: tuple[KeyJoin, ...]
    """The joins that bring in the sort columns that the rows themselves do not have."""
    first: Size
    last: Size
    after: str | Parameter | None
    before: str | Parameter | None
    filter_argument: Any
    """The `where` argument as the client gave it; cursors are bound to it."""
    reader: ReaderTraits
    """Of the types that are listed, or that the sort goes through. Cursors are bound to it, too: one of somebody who
    sees other rows would lead to the place of a hidden one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """Plan the `groups` of a list for one field that asks for them."""

    field: SelectedField
    scan: PhysicalScan
    first: Size
    """How many groups are asked for; None: all, at most `limits.first_max`."""
    key_columns: Mapping[FieldPath, tuple[str, ...]]
    """For each path in `by`, the columns of a group that hold its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberScan:
    """Say which rows of one concrete type belong to an interface's node."""

    type: str
    constants: ConstantValues
    """The columns that have one value in all rows of the type."""
    filter: PlannedPredicate = ALWAYS_TRUE
    denial: Decision | None = None
    """The denial, if the principal may not read this type here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanNode:
    """Plan one field that leads to rows: the scans it needs and the nodes for the fields below it.

    `parent_columns` of the parent's rows equal `key_columns` of these rows; at the root `parent_columns` is empty.
    """

    field: SelectedField
    type: str
    is_list: bool
    parent_columns: tuple[str, ...]
    key_columns: tuple[str, ...]
    id_value: str | Parameter | None = None
    """The `id` argument of a single row, as the client wrote it, or its Parameter."""
    representations: Any = None
    """The `representations` of Apollo Federation's `_entities`; those of other types select no row."""
    page: Page | None = None
    row_scan: PhysicalScan | None = None
    total_aggregate: PhysicalScan | None = None
    """The scan that aggregates all rows of the list."""
    has_previous: PhysicalScan | None = None
    """The scan that finds a row before the page's `after` cursor."""
    has_next: PhysicalScan | None = None
    """The scan that finds a row after the page's `before` cursor."""
    groupings: tuple[Grouping, ...] = ()
    lookup_column: str | None = None
    """The column whose value a `Lookup` field shows; such a node has no children."""
    computed_fields: Mapping[int, ComputedField] | None = None
    """The computed fields, by field number."""
    computed_field_inputs: Mapping[int, tuple[str, ...]] | None = None
    """The columns each of them needs, by field number."""
    children: tuple["PlanNode", ...] = ()
    members: tuple["PlanNode", ...] = ()
    """For an interface, one node for each concrete type to read; `children` is empty then."""
    unmatched_members: tuple["PlanNode", ...] = ()
    """For an interface, one for each allowed type whose rows cannot match: only arguments below it are checked."""
    member_scans: tuple[MemberScan, ...] = ()
    """For an interface, all its concrete types, the denied ones included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Hold the nodes of an operation's root fields."""

    roots: tuple[PlanNode, ...]
    link_cost: int = 0
    """What the links of its filters, sorts and groups add to its cost."""


def walk_nodes(nodes: Sequence[PlanNode]) -> Iterator[PlanNode]:
    """Yield the nodes at any depth; an interface's members are left out, their children are not."""
    for node in nodes:
        yield node
        yield from walk_nodes(node.children)
        for member in node.members:
            yield from walk_nodes(member.children)


def walk_checked_nodes(nodes: Sequence[PlanNode]) -> Iterator[PlanNode]:
    """Yield the nodes whose arguments are checked: those of `walk_nodes`, and those below rows that cannot match."""
    for node in nodes:
        yield node
        yield from walk_checked_nodes(node.children)
        for member in (*node.members, *node.unmatched_members):
            yield from walk_checked_nodes(member.children)


def find_denied_members(plan: Plan, variables: Mapping[str, Any] | None) -> Iterator[tuple[MemberScan, Decision]]:
    """Yield the denied concrete types whose rows could match; without `variables`, whatever those may be."""
    for member_scan in (member_scan for node in walk_nodes(plan.roots) for member_scan in node.member_scans):
        if (
            member_scan.denial is not None
            and may_match(member_scan.filter, member_scan.constants, variables) is not False
        ):
            yield member_scan, member_scan.denial


def build_distinct_scan(
    source: str, collection: str, columns: tuple[str, ...], predicate: PlannedPredicate
) -> LogicalScan:
    """Build the scan that returns each distinct value of `columns` once."""
    return LogicalScan(
        source=source, collection=collection, columns=columns, filter=predicate, aggregates=(COUNT_ROWS,)
    )


def collect_predicate_columns(predicate: PlannedPredicate) -> Iterator[str]:
    """Yield the columns of the filtered rows that a filter compares."""
    for leaf in iterate_leaves(predicate):
        match leaf:
            case Comparison():
                yield leaf.column
            case Exists() | SemiJoinFilter():
                yield from leaf.outer_columns
            case InKeys():
                yield from leaf.columns
            case KeysetFilter():
                yield from (sort_key.column for sort_key in leaf.page.sort)
