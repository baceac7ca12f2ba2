"""A plan as plain data: branches (what the question asks for), what each wants, and reads (what a source is asked)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from auth.policy import Decision
from onedoor.model.constant_columns import ConstantValues, may_match
from onedoor.model.mapping import ComputedField
from onedoor.query.selection import SelectedField
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.predicates import ALWAYS_TRUE, And, Comparison, Exists, InKeys, Not, Or, Predicate, Row
from onedoor.spi.scan import COUNT_ROWS, AggregateCall, SortKey, TimeBucket

FieldPath: TypeAlias = tuple[str, ...]
"""Fields from a type on, such as (`customer`, `country`): single links, then a field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogicalScan:
    """One read as the question means it, whatever its source takes of it.

    In this order: keys and where, then `reaches`, measures by `columns`, averages, having, order and limit (for each
    key). Rows are `columns`; with measures, `columns`, measures and averages.
    """

    source: str
    collection: str
    columns: tuple[str, ...]
    key_columns: tuple[str, ...] = ()
    filter: Any = ALWAYS_TRUE
    key_joins: tuple["KeyJoin", ...] = ()
    aggregates: tuple[AggregateCall, ...] = ()
    average_columns: tuple[str, ...] = ()
    """Columns whose sums are divided by their counts, both among the measures."""
    time_buckets: tuple[TimeBucket, ...] = ()
    having: Any = ALWAYS_TRUE
    sort: tuple[SortKey, ...] = ()
    limit: Any = None
    """A number or a slot; None: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyJoin:
    """Columns added to rows from where a link leads: those of its one row, or what is measured of its many.

    `wanted` gives at most one row for each key `here`; `takes` of it are added as `names`, `absent` where it has none.
    """

    outer_columns: tuple[str, ...]
    inner_scan: LogicalScan
    inner_columns: tuple[str, ...]
    output_columns: tuple[str, ...]
    output_types: tuple[ColumnType, ...]
    """Of the names."""
    missing_row: Row


@dataclass(frozen=True, slots=True, eq=False)
class SemiJoinFilter:
    """Stands in a `Where` for `Among` the keys that another read gives: `here` equals some row of `wanted`."""

    outer_columns: tuple[str, ...]
    inner_scan: LogicalScan


@dataclass(frozen=True, slots=True)
class KeysetFilter:
    """Stands in a `Where` for the rows that come after a cursor in this order, or before it."""

    page: "Page"
    is_after: bool

    @property
    def cursor(self) -> Any:
        """The text of the cursor, or its slot."""
        return self.page.after if self.is_after else self.page.before


class PushdownStep(StrEnum):
    """What a source may take of a read beside its keys and filter."""

    AGGREGATES = "measures"
    HAVING = "having"
    SORT = "order"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhysicalScan:
    """One planned read: what the source takes, and what is finished by us."""

    logical: LogicalScan
    source_columns: tuple[str, ...]
    """The columns the source is asked for, which with measures are those it groups by."""
    pushed_aggregates: tuple[AggregateCall, ...] = ()
    """What the source is asked to measure."""
    has_partial_groups: bool = False
    """Its groups are parts of the wanted ones, which we put together."""
    key_batch_size: int = 0
    """Keys a source takes at once; 0: it is read whole and the keys are picked out by us."""
    pushed_filter: Predicate | Any = ALWAYS_TRUE
    residual_filter: Any = ALWAYS_TRUE
    """Finished by us, before anything is reached."""
    post_join_filter: Any = ALWAYS_TRUE
    """Finished by us once all is reached."""
    pushed_steps: frozenset[PushdownStep] = frozenset()
    output_columns: tuple[str, ...] = ()
    """What the finished rows hold."""
    is_undecided: bool = False
    """Keys from elsewhere decide, when it is asked, what the source takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Which rows of a list are wanted: a window over a steady order that ends in a key."""

    coordinate: str
    sort: tuple[SortKey, ...]
    sort_types: tuple[ColumnType, ...]
    """Of the columns in the order."""
    key_joins: tuple[KeyJoin, ...]
    """To the columns in the order that are not the rows' own."""
    first: Any
    last: Any
    after: Any
    before: Any
    filter_argument: Any
    """The filter as it was given, to which cursors are bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """The groups that one field asks for."""

    field: SelectedField
    scan: PhysicalScan
    first: Any
    """How many are asked for, or its slot; None: all, of which there may be `limits.first_max`."""
    key_columns: Mapping[FieldPath, tuple[str, ...]]
    """What is grouped by, and the columns of a group that hold it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberScan:
    """Which rows of one concrete type an interface's branch is about."""

    type: str
    constants: ConstantValues
    """What is the same in all of them."""
    filter: Any = ALWAYS_TRUE
    denial: Decision | None = None
    """The denial, where they may not be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanNode:
    """One field that leads to rows: its reads, and the branches below it.

    `here` are columns of the parent's rows and `there` columns of these; at the root `here` is empty.
    """

    field: SelectedField
    type: str
    is_list: bool
    parent_columns: tuple[str, ...]
    key_columns: tuple[str, ...]
    id_value: Any = None
    """The id of a row asked for by id, as the client wrote it, or its slot."""
    representations: Any = None
    """Of entities, what names them, or its slot; those of other types are none of these rows."""
    page: Page | None = None
    row_scan: PhysicalScan | None = None
    total_aggregate: PhysicalScan | None = None
    """What is counted and measured of all rows of the list."""
    has_previous: PhysicalScan | None = None
    """Whether rows come before what `after` lets in."""
    has_next: PhysicalScan | None = None
    """Whether rows come after what `before` lets in."""
    groupings: tuple[Grouping, ...] = ()
    lookup_column: str | None = None
    """Of a field that is looked up, the column of its value; no branches lie below it."""
    computed_fields: Mapping[int, ComputedField] | None = None
    """By pick number, the fields computed of all rows at once."""
    computed_field_inputs: Mapping[int, tuple[str, ...]] | None = None
    """By pick number, the columns such a field is computed of."""
    children: tuple["PlanNode", ...] = ()
    members: tuple["PlanNode", ...] = ()
    """Of an interface, what is asked of each concrete type, as if it were asked of that alone; `branches` is empty."""
    member_scans: tuple[MemberScan, ...] = ()
    """Of an interface, all its concrete types: those of `members`, and those that may not be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    roots: tuple[PlanNode, ...]


def walk_nodes(nodes: Sequence[PlanNode]) -> Iterator[PlanNode]:
    """At any depth; of what an interface asks of its concrete types, only what lies below."""
    for branch in nodes:
        yield branch
        yield from walk_nodes(branch.children)
        for member in branch.members:
            yield from walk_nodes(member.children)


def find_denied_members(plan: Plan, variables: Mapping[str, Any] | None) -> Iterator[tuple[MemberScan, Decision]]:
    """The concrete types that may not be asked for rows that the plan is about, as far as variables are known."""
    for each in (meant for branch in walk_nodes(plan.roots) for meant in branch.member_scans):
        if each.denial is not None and may_match(each.filter, each.constants, variables) is not False:
            yield each, each.denial


def build_distinct_scan(source: str, collection: str, columns: tuple[str, ...], predicate: Any) -> LogicalScan:
    """What is wanted of a collection whose keys are carried elsewhere: each once."""
    return LogicalScan(
        source=source, collection=collection, columns=columns, filter=predicate, aggregates=(COUNT_ROWS,)
    )


def collect_predicate_columns(predicate: Any) -> Iterator[str]:
    """The columns a filter looks at."""
    match predicate:
        case Comparison():
            yield predicate.column
        case And() | Or():
            for each in predicate.parts:
                yield from collect_predicate_columns(each)
        case Not():
            yield from collect_predicate_columns(predicate.part)
        case Exists() | SemiJoinFilter():
            yield from predicate.outer_columns
        case InKeys():
            yield from predicate.columns
        case KeysetFilter():
            yield from (each.column for each in predicate.page.sort)
