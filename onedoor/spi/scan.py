"""Describe one read of a collection, as the engine asks a connector for it."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from onedoor.spi.predicates import ALWAYS_TRUE, Exists, Predicate, Row, iterate_leaves


@dataclass(frozen=True, slots=True)
class SortKey:
    """Sort by a column: text by code point; rows without a value last in both directions, or first."""

    column: str
    descending: bool = False
    nulls_first: bool = False


class AggregateFunction(StrEnum):
    """What is computed of a column over many rows, leaving out rows without a value; of no rows it is null.

    COUNT and COUNT_DISTINCT of no rows are 0. SUM is exact: an integer for integers, Decimal for money, and what
    `math.fsum` gives for floats. MIN and MAX compare as a sort does. The engine divides sums by counts for averages.
    """

    COUNT = "count"
    COUNT_DISTINCT = "countDistinct"
    SUM = "sum"
    MIN = "min"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class AggregateCall:
    """Aggregate a column over a group of rows; COUNT without a column counts the rows."""

    function: AggregateFunction
    column: str | None = None

    @property
    def name(self) -> str:
        """Return its name in sort and having, such as `sum(total)`."""
        return f"{self.function}({self.column or ''})"


COUNT_ROWS = AggregateCall(AggregateFunction.COUNT)


class TimeUnit(StrEnum):
    """A span of time; weeks begin on Monday, days and hours are those of UTC."""

    HOUR = "HOUR"
    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    QUARTER = "QUARTER"
    YEAR = "YEAR"


@dataclass(frozen=True, slots=True)
class TimeBucket:
    """Group a column of days or times by the start of its unit: a date for dates, a time in UTC for times."""

    column: str
    unit: TimeUnit


@dataclass(frozen=True, slots=True)
class KeyFilter:
    """Select rows whose `columns`, as a tuple, are one of `values`, which are distinct and without nulls."""

    columns: tuple[str, ...]
    values: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Join:
    """Add values of related rows in another collection of the source, under the names `output_columns`.

    Rows are related whose `inner_columns` equal this row's `outer_columns`, some of which an earlier join may have
    added; a null equals nothing. Without `aggregates` there is at most one such row, and its `columns` are added: nulls
    where there is none. With `aggregates` there are no `columns`, and the aggregates over all such rows are added.
    """

    collection: str
    outer_columns: tuple[str, ...]
    inner_columns: tuple[str, ...]
    columns: tuple[str, ...] = ()
    aggregates: tuple[AggregateCall, ...] = ()
    output_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanRequest:
    """One read, in this order: joins, keys and filter, then aggregates, having, sort and limit. Absence means no.

    What comes after the joins may name their columns. With `aggregates`, rows are grouped by `columns` (none: one row
    for all rows), those of `time_buckets` by their unit, and a row is the columns, then the aggregates; `having` and
    `sort` name aggregates by `AggregateCall.name`. With `keys`, `limit` holds for each key.
    """

    collection: str
    columns: tuple[str, ...]
    joins: tuple[Join, ...] = ()
    keys: KeyFilter | None = None
    filter: Predicate = ALWAYS_TRUE
    aggregates: tuple[AggregateCall, ...] = ()
    time_buckets: tuple[TimeBucket, ...] = ()
    having: Predicate = ALWAYS_TRUE
    sort: tuple[SortKey, ...] = ()
    limit: int | None = None


def list_collections(request: ScanRequest) -> Iterator[str]:
    """Yield the collections that a request reads: its own, those it joins, and those its filter looks into."""
    yield request.collection
    yield from (join.collection for join in request.joins)
    pending = [request.filter]
    while pending:
        for leaf in iterate_leaves(pending.pop()):
            if isinstance(leaf, Exists):
                yield leaf.collection
                pending.append(leaf.filter)
