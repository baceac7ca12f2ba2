"""The words the stages share: what a source is asked, what it promises, and where a type's values live."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, TypeAlias

Value: TypeAlias = bool | int | float | str | Decimal | date | datetime | tuple[str, ...] | None
"""Times carry a zone, money is Decimal, a list is a tuple of text."""

Row: TypeAlias = tuple[Any, ...]
"""One row: its values stand in the order of `Ask.columns`, then of `Ask.measures`."""


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
class Comparison:
    """`column op value`; IN and NOT_IN take a tuple, IS_NULL a bool, the i- forms compare `str.lower()`."""

    __test__: ClassVar[bool] = False
    """Not one of pytest's."""
    column: str
    op: Op
    value: Any


@dataclass(frozen=True, slots=True)
class And:
    """True when every part is; of no parts: true."""

    parts: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Or:
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
    outer_columns: tuple[str, ...]
    inner_columns: tuple[str, ...]
    filter: Any


@dataclass(frozen=True, slots=True)
class InKeys:
    """True when the row's `columns`, as a tuple, are one of `keys`, none of which holds a null."""

    columns: tuple[str, ...]
    keys: frozenset[Row]


Predicate: TypeAlias = Comparison | And | Or | Not | Exists | InKeys

ALWAYS_TRUE = And(())

ALWAYS_FALSE = Or(())
