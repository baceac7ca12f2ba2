"""A plan as plain data: branches (what the question asks for), what each wants, and reads (what a source is asked)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from auth.decide import Verdict
from engine.binding import Batch
from engine.constant import Fixed, could
from engine.select import Pick
from engine.words import COUNT, EVERY_ROW, All, Among, Cut, Exists, Kind, Measure, Not, Order, Row, Some, Test, Where

Path: TypeAlias = tuple[str, ...]
"""Fields from a type on, such as (`customer`, `country`): single links, then a field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One read as the question means it, whatever its source takes of it.

    In this order: keys and where, then `reaches`, measures by `columns`, averages, having, order and limit (for each
    key). Rows are `columns`; with measures, `columns`, measures and averages.
    """

    source: str
    collection: str
    columns: tuple[str, ...]
    keyed: tuple[str, ...] = ()
    where: Any = EVERY_ROW
    reaches: tuple["Reach", ...] = ()
    measures: tuple[Measure, ...] = ()
    averages: tuple[str, ...] = ()
    """Columns whose sums are divided by their counts, both among the measures."""
    cuts: tuple[Cut, ...] = ()
    having: Any = EVERY_ROW
    order: tuple[Order, ...] = ()
    limit: Any = None
    """A number or a slot; None: all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Columns added to rows from where a link leads: those of its one row, or what is measured of its many.

    `wanted` gives at most one row for each key `here`; `takes` of it are added as `names`, `absent` where it has none.
    """

    here: tuple[str, ...]
    wanted: Wanted
    takes: tuple[str, ...]
    names: tuple[str, ...]
    kinds: tuple[Kind, ...]
    """Of the names."""
    absent: Row


@dataclass(frozen=True, slots=True, eq=False)
class Carried:
    """Stands in a `Where` for `Among` the keys that another read gives: `here` equals some row of `wanted`."""

    here: tuple[str, ...]
    wanted: Wanted


@dataclass(frozen=True, slots=True)
class Seek:
    """Stands in a `Where` for the rows that come after a cursor in this order, or before it."""

    page: "Page"
    after: bool

    @property
    def cursor(self) -> Any:
        """The text of the cursor, or its slot."""
        return self.page.after if self.after else self.page.before


class Step(StrEnum):
    """What a source may take of a read beside its keys and filter."""

    MEASURES = "measures"
    HAVING = "having"
    ORDER = "order"
    LIMIT = "limit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One planned read: what the source takes, and what is finished by us."""

    wanted: Wanted
    asked: tuple[str, ...]
    """The columns the source is asked for, which with measures are those it groups by."""
    measures: tuple[Measure, ...] = ()
    """What the source is asked to measure."""
    partial: bool = False
    """Its groups are parts of the wanted ones, which we put together."""
    batch: int = 0
    """Keys a source takes at once; 0: it is read whole and the keys are picked out by us."""
    pushed: Where | Any = EVERY_ROW
    rest: Any = EVERY_ROW
    """Finished by us, before anything is reached."""
    last: Any = EVERY_ROW
    """Finished by us once all is reached."""
    takes: frozenset[Step] = frozenset()
    names: tuple[str, ...] = ()
    """What the finished rows hold."""
    open: bool = False
    """Keys from elsewhere decide, when it is asked, what the source takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Which rows of a list are wanted: a window over a steady order that ends in a key."""

    coordinate: str
    order: tuple[Order, ...]
    kinds: tuple[Kind, ...]
    """Of the columns in the order."""
    reaches: tuple[Reach, ...]
    """To the columns in the order that are not the rows' own."""
    first: Any
    last: Any
    after: Any
    before: Any
    where: Any
    """The filter as it was given, to which cursors are bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """The groups that one field asks for."""

    pick: Pick
    read: Read
    first: Any
    """How many are asked for, or its slot; None: all, of which there may be `limits.first_max`."""
    keys: Mapping[Path, tuple[str, ...]]
    """What is grouped by, and the columns of a group that hold it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meant:
    """Which rows of one concrete type an interface's branch is about."""

    type: str
    fixed: Fixed
    """What is the same in all of them."""
    where: Any = EVERY_ROW
    verdict: Verdict | None = None
    """The denial, where they may not be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """One field that leads to rows: its reads, and the branches below it.

    `here` are columns of the parent's rows and `there` columns of these; at the root `here` is empty.
    """

    pick: Pick
    type: str
    many: bool
    here: tuple[str, ...]
    there: tuple[str, ...]
    named: Any = None
    """The id of a row asked for by id, as the client wrote it, or its slot."""
    representations: Any = None
    """Of entities, what names them, or its slot; those of other types are none of these rows."""
    page: Page | None = None
    rows: Read | None = None
    tally: Read | None = None
    """What is counted and measured of all rows of the list."""
    passed: Read | None = None
    """Whether rows come before what `after` lets in."""
    ahead: Read | None = None
    """Whether rows come after what `before` lets in."""
    groupings: tuple[Grouping, ...] = ()
    column: str | None = None
    """Of a field that is looked up, the column of its value; no branches lie below it."""
    batches: Mapping[int, Batch] | None = None
    """By pick number, the fields computed of all rows at once."""
    needs: Mapping[int, tuple[str, ...]] | None = None
    """By pick number, the columns such a field is computed of."""
    branches: tuple["Branch", ...] = ()
    members: tuple["Branch", ...] = ()
    """Of an interface, what is asked of each concrete type, as if it were asked of that alone; `branches` is empty."""
    meant: tuple[Meant, ...] = ()
    """Of an interface, all its concrete types: those of `members`, and those that may not be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    branches: tuple[Branch, ...]


def every(branches: Sequence[Branch]) -> Iterator[Branch]:
    """At any depth; of what an interface asks of its concrete types, only what lies below."""
    for branch in branches:
        yield branch
        yield from every(branch.branches)
        for member in branch.members:
            yield from every(member.branches)


def shut(plan: Plan, variables: Mapping[str, Any] | None) -> Iterator[tuple[Meant, Verdict]]:
    """The concrete types that may not be asked for rows that the plan is about, as far as variables are known."""
    for each in (meant for branch in every(plan.branches) for meant in branch.meant):
        if each.verdict is not None and could(each.where, each.fixed, variables) is not False:
            yield each, each.verdict


def distinct(source: str, collection: str, columns: tuple[str, ...], where: Any) -> Wanted:
    """What is wanted of a collection whose keys are carried elsewhere: each once."""
    return Wanted(source=source, collection=collection, columns=columns, where=where, measures=(COUNT,))


def named_columns(where: Any) -> Iterator[str]:
    """The columns a filter looks at."""
    match where:
        case Test():
            yield where.column
        case All() | Some():
            for each in where.parts:
                yield from named_columns(each)
        case Not():
            yield from named_columns(where.part)
        case Exists() | Carried():
            yield from where.here
        case Among():
            yield from where.columns
        case Seek():
            yield from (each.column for each in where.page.order)
