"""The words the stages share: what a source is asked, what it promises, and where a type's values live."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, TypeAlias

Value: TypeAlias = bool | int | float | str | Decimal | date | datetime | tuple[str, ...] | None
"""Times carry a zone, money is Decimal, a list is a tuple of text."""

Row: TypeAlias = tuple[Any, ...]
"""One row: its values stand in the order of `Ask.columns`, then of `Ask.measures`."""


class Kind(StrEnum):
    """What a column holds; the kind decides how values compare and how ids are read."""

    TEXT = "text"
    INTEGER = "integer"
    FLOAT = "float"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    TIME = "time"
    LIST = "list"


class Op(StrEnum):
    """A test's operator. All are two-valued: a test on null is false, `IS_NULL` alone asks for null."""

    EQ = "eq"
    NE = "ne"
    IN = "in"
    NOT_IN = "notIn"
    IS_NULL = "isNull"
    LT = "lt"
    LTE = "lte"
    GT = "gt"
    GTE = "gte"
    CONTAINS = "contains"
    STARTS_WITH = "startsWith"
    ENDS_WITH = "endsWith"
    I_CONTAINS = "iContains"
    I_STARTS_WITH = "iStartsWith"
    I_ENDS_WITH = "iEndsWith"


@dataclass(frozen=True, slots=True)
class Test:
    """`column op value`; IN and NOT_IN take a tuple, IS_NULL a bool, the i- forms compare `str.lower()`."""

    __test__: ClassVar[bool] = False
    """Not one of pytest's."""
    column: str
    op: Op
    value: Any


@dataclass(frozen=True, slots=True)
class All:
    """True when every part is; of no parts: true."""

    parts: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """True when any part is; of no parts: false."""

    parts: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The complement: true exactly when its part is not."""

    part: Any


@dataclass(frozen=True, slots=True)
class Exists:
    """True when some row of `collection`, in the same source, has `there` equal to this row's `here` and meets `where`.

    A null among the `here` values equals nothing.
    """

    collection: str
    here: tuple[str, ...]
    there: tuple[str, ...]
    where: Any


@dataclass(frozen=True, slots=True)
class Among:
    """True when the row's `columns`, as a tuple, are one of `keys`, none of which holds a null."""

    columns: tuple[str, ...]
    keys: frozenset[Row]


Where: TypeAlias = Test | All | Some | Not | Exists | Among
EVERY_ROW = All(())
NO_ROW = Some(())


@dataclass(frozen=True, slots=True)
class Order:
    """Rows without a value come last, either way, unless they are to come first; text compares by code point."""

    column: str
    descending: bool = False
    nulls_first: bool = False


class Aggregate(StrEnum):
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
class Measure:
    """An aggregate of a column over a group of rows; COUNT without a column counts the rows."""

    aggregate: Aggregate
    column: str | None = None

    @property
    def name(self) -> str:
        """What an order or a `having` calls it, such as `sum(total)`."""
        return f"{self.aggregate}({self.column or ''})"


COUNT = Measure(Aggregate.COUNT)


class Unit(StrEnum):
    """A stretch of time; weeks begin on Monday, days and hours are those of UTC."""

    HOUR = "HOUR"
    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    QUARTER = "QUARTER"
    YEAR = "YEAR"


@dataclass(frozen=True, slots=True)
class Cut:
    """A column of days or times grouped by where its unit begins: a date for dates, a time in UTC for times."""

    column: str
    unit: Unit


@dataclass(frozen=True, slots=True)
class Keys:
    """Only rows whose `columns`, as a tuple, are one of `values` (distinct, without nulls)."""

    columns: tuple[str, ...]
    values: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One read, in this order: keys and where, then measures, having, order and limit. Absence means no.

    With `measures`, `columns` are what is grouped by (none: one row for all rows), each of `cuts` cut to its unit
    first, and a row is columns then measures; `having` and `order` name them, measures by `Measure.name`.
    With `keys`, `limit` counts for each key anew.
    """

    collection: str
    columns: tuple[str, ...]
    keys: Keys | None = None
    where: Where = EVERY_ROW
    measures: tuple[Measure, ...] = ()
    cuts: tuple[Cut, ...] = ()
    having: Where = EVERY_ROW
    order: tuple[Order, ...] = ()
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a collection and what the source can do with it."""

    kind: Kind
    filters: frozenset[Op] = frozenset()
    orders: bool = False
    measures: frozenset[Aggregate] = frozenset()
    """What a grouped read computes of it. Where it takes EQ, it can be grouped by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Can:
    """What a source promises of one collection: nothing by default, and the engine finishes the work.

    The law of push-down: of keys, where, measures, having, order and limit, a source is asked for a step only if it
    takes every step before it.
    """

    columns: Mapping[str, Column]
    keys: int = 0
    """How many keys one read may carry; 0: it cannot be read by keys."""
    key_columns: frozenset[tuple[str, ...]] = frozenset()
    """The column tuples it can be read by, where not any will do (empty: any)."""
    requires: tuple[str, ...] = ()
    """Columns that every read must name: by its keys, or by a test EQ that the source takes."""
    logic: bool = False
    """Takes `Some` and `Not`; without it, only an `All` of tests."""
    related: bool = False
    """Takes `Exists` over another collection of the same source."""
    among: int = 0
    """How many keys an `Among` in a filter may carry; 0: it takes none."""
    limit: bool = False
    limit_per_key: bool = False
    weight: int = 1
    """What one of its rows adds to a question's cost."""
    measures: bool = False
    """Takes measures: counts rows, grouped or not, and computes what its columns say."""
    cuts: frozenset[Unit] = frozenset()
    arranges: bool = False
    """Takes `having`, an order and a limit of groups, where the read carries no keys."""
    rows: int | None = None
    """About how many rows there are; None: unknown."""
