"""The words the stages share: what a source is asked, what it promises, and where a type's values live."""

from dataclasses import dataclass
from enum import StrEnum

from onedoor.spi.predicates import ALWAYS_TRUE, Predicate, Row


@dataclass(frozen=True, slots=True)
class SortKey:
    """Rows without a value come last, either way, unless they are to come first; text compares by code point."""

    column: str
    descending: bool = False
    nulls_first: bool = False


class AggregateFunction(StrEnum):
    """What can be computed of a column over many rows; rows without a value take no part, of none it is null.

    COUNT and COUNT_DISTINCT are 0 of none. SUM is exact: whole for whole numbers, Decimal for money, of floats what
    `math.fsum` gives. MIN and MAX compare as an order does. Averages are sums over counts, divided by us.
    """

    COUNT = "count"
    COUNT_DISTINCT = "countDistinct"
    SUM = "sum"
    MIN = "min"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class AggregateCall:
    """An aggregate of a column over a group of rows; COUNT without a column counts the rows."""

    function: AggregateFunction
    column: str | None = None

    @property
    def name(self) -> str:
        """What an order or a `having` calls it, such as `sum(total)`."""
        return f"{self.function}({self.column or ''})"


COUNT_ROWS = AggregateCall(AggregateFunction.COUNT)


class TimeUnit(StrEnum):
    """A stretch of time; weeks begin on Monday, days and hours are those of UTC."""

    HOUR = "HOUR"
    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    QUARTER = "QUARTER"
    YEAR = "YEAR"


@dataclass(frozen=True, slots=True)
class TimeBucket:
    """A column of days or times grouped by where its unit begins: a date for dates, a time in UTC for times."""

    column: str
    unit: TimeUnit


@dataclass(frozen=True, slots=True)
class KeyFilter:
    """Only rows whose `columns`, as a tuple, are one of `values` (distinct, without nulls)."""

    columns: tuple[str, ...]
    values: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanRequest:
    """One read, in this order: keys and where, then measures, having, order and limit. Absence means no.

    With `measures`, `columns` are what is grouped by (none: one row for all rows), each of `cuts` cut to its unit
    first, and a row is columns then measures; `having` and `order` name them, measures by `Measure.name`.
    With `keys`, `limit` counts for each key anew.
    """

    collection: str
    columns: tuple[str, ...]
    keys: KeyFilter | None = None
    filter: Predicate = ALWAYS_TRUE
    aggregates: tuple[AggregateCall, ...] = ()
    time_buckets: tuple[TimeBucket, ...] = ()
    having: Predicate = ALWAYS_TRUE
    sort: tuple[SortKey, ...] = ()
    limit: int | None = None
