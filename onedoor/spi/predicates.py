"""Define the filters that engine and connectors share, and the one way to walk them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from functools import partial
from typing import Any, TypeAlias, TypeVar

Value: TypeAlias = bool | int | float | str | Decimal | date | datetime | tuple[str, ...] | None
"""Times have a zone, money is Decimal, a list is a tuple of text."""

Row: TypeAlias = tuple[Any, ...]
"""The values of one row, in the order of `ScanRequest.columns`, then of `ScanRequest.aggregates`."""


class Op(StrEnum):
    """An operator of a comparison.

    All are two-valued: a comparison with null is false, and only `IS_NULL` finds null.
    """

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
    """Compare a column with a value: IN and NOT_IN take a tuple, IS_NULL a bool; I_ forms compare casefolded texts."""

    column: str
    op: Op
    value: Any


@dataclass(frozen=True, slots=True)
class And:
    """Hold when every part holds; without parts, always."""

    parts: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Hold when any part holds; without parts, never."""

    parts: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Hold exactly when the part does not."""

    part: Any


@dataclass(frozen=True, slots=True)
class Exists:
    """Hold when a row of `collection`, in the same source, matches this row and meets `filter`.

    It matches when its `inner_columns` equal this row's `outer_columns`; a null equals nothing.
    """

    collection: str
    outer_columns: tuple[str, ...]
    inner_columns: tuple[str, ...]
    filter: Any


@dataclass(frozen=True, slots=True)
class InKeys:
    """Hold when the row's `columns`, as a tuple, are one of `keys`, none of which contains a null."""

    columns: tuple[str, ...]
    keys: frozenset[Row]


Predicate: TypeAlias = Comparison | And | Or | Not | Exists | InKeys

ALWAYS_TRUE = And(())

ALWAYS_FALSE = Or(())


Folded = TypeVar("Folded")


def fold_predicate(
    predicate: Any,
    leaf: Callable[[Any], Folded],
    *,
    conjunction: Callable[[list[Folded]], Folded],
    disjunction: Callable[[list[Folded]], Folded],
    negation: Callable[[Folded], Folded],
    negated_leaf: Callable[[Any], Folded] | None = None,
) -> Folded:
    """Compute a value of a filter from the values of its leaves, which `leaf` gives in their order.

    Everything but And, Or and Not is a leaf, the planner's own filters included. The filter inside an Exists belongs
    to another collection: a `leaf` that needs it folds it anew. `negated_leaf` gives the value of a Not over a leaf,
    where that is more than the negation of the leaf's value.
    """
    kind = type(predicate)
    if kind not in CONNECTIVES:
        return leaf(predicate)
    if kind is Not and negated_leaf is not None and is_leaf(predicate.part):
        return negated_leaf(predicate.part)
    fold = partial(
        fold_predicate, leaf=leaf, conjunction=conjunction, disjunction=disjunction, negation=negation,
        negated_leaf=negated_leaf,
    )  # fmt: skip
    if kind is Not:
        return negation(fold(predicate.part))
    return (conjunction if kind is And else disjunction)([fold(part) for part in predicate.parts])


def is_leaf(predicate: Any) -> bool:
    """Whether a filter is none of And, Or and Not."""
    return type(predicate) not in CONNECTIVES


CONNECTIVES = frozenset({And, Or, Not})


def transform_predicate(predicate: Any, leaf: Callable[[Any], Any]) -> Any:
    """Replace each leaf of a filter with what `leaf` gives for it, in their order."""
    return fold_predicate(
        predicate,
        leaf,
        conjunction=lambda parts: And(tuple(parts)),
        disjunction=lambda parts: Or(tuple(parts)),
        negation=Not,
    )


def iterate_leaves(predicate: Any) -> Iterator[Any]:
    """Yield the leaves of a filter in their order."""
    pending = [predicate]
    while pending:
        node = pending.pop()
        if is_leaf(node):
            yield node
        else:
            pending.extend((node.part,) if type(node) is Not else reversed(node.parts))


def split_conjuncts(predicate: Any) -> Iterator[Any]:
    """Yield the filters that must all hold, none of them an And."""
    pending = [predicate]
    while pending:
        node = pending.pop()
        if type(node) is And:
            pending.extend(reversed(node.parts))
        else:
            yield node


def combine_conjuncts(conjuncts: Sequence[Any]) -> Any:
    """Return the filter that holds when all of these do."""
    return conjuncts[0] if len(conjuncts) == 1 else And(tuple(conjuncts))


def push_negations_down(predicate: Any) -> Any:
    """Rewrite a filter by De Morgan's laws, so that every Not stands over a leaf."""
    positive, _ = fold_predicate(
        predicate,
        lambda leaf: (leaf, Not(leaf)),
        conjunction=lambda pairs: (And(tuple(yes for yes, _ in pairs)), Or(tuple(no for _, no in pairs))),
        disjunction=lambda pairs: (Or(tuple(yes for yes, _ in pairs)), And(tuple(no for _, no in pairs))),
        negation=lambda pair: (pair[1], pair[0]),
    )
    return positive
