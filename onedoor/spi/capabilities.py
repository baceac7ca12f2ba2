"""Declare what a connector promises of its collections."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from onedoor.spi.predicates import Op
from onedoor.spi.scan import AggregateCall, AggregateFunction, TimeUnit
from onedoor.spi.text_types import TextType


class ColumnType(StrEnum):
    """What a column holds; it decides how values compare and how ids are parsed."""

    TEXT = "text"
    INTEGER = "integer"
    FLOAT = "float"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    TIME = "time"
    LIST = "list"


ValueType: TypeAlias = ColumnType | TextType
"""A ColumnType, or what says more about texts."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a collection, and what the source can do with it."""

    type: ColumnType
    filters: frozenset[Op] = frozenset()
    sortable: bool = False
    aggregates: frozenset[AggregateFunction] = frozenset()
    """The aggregates of this column that the source computes; rows can be grouped by it where `filters` has EQ."""
    text_type: TextType | None = None
    """Of texts, what they mean where that is not their code points."""
    unindexed_sort: str | None = None
    """Why no index of the source serves a sort by this column; None: one may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a source promises of one collection: nothing by default, and the engine does the rest.

    The law of push-down: of joins, keys, filter, aggregates, having, sort and limit, a source is asked for a step only
    if it takes every step before it. A promise changes the speed of an answer, never the answer.
    """

    columns: Mapping[str, Column]
    max_keys: int = 0
    """How many keys one scan may name; 0: the collection cannot be read by keys."""
    key_columns: frozenset[tuple[str, ...]] = frozenset()
    """The tuples of columns that keys may consist of; empty: any."""
    unkeyed_columns: frozenset[str] = frozenset()
    """The columns that no key may consist of."""
    required_columns: tuple[str, ...] = ()
    """Columns that every scan must name, in its keys or in a comparison EQ that the source takes."""
    boolean_filters: bool = False
    """Whether the source takes Or and Not; otherwise it takes only an And of comparisons."""
    exists_filters: bool = False
    """Whether the source takes Exists over another of its collections."""
    joins: bool = False
    """Whether the source joins its collections that have this capability, and computes aggregates of joined rows."""
    max_in_filter_keys: int = 0
    """How many keys an InKeys in a filter may hold; 0: the source takes no InKeys."""
    limit: bool = False
    """Whether the source takes a limit."""
    limit_per_key: bool = False
    """Whether the source takes a limit for each key."""
    row_cost: int = 1
    """What one row adds to the cost of an operation."""
    aggregates: bool = False
    """Whether the source counts rows, grouped or not, and computes the aggregates of its columns."""
    time_buckets: frozenset[TimeUnit] = frozenset()
    """The units by which the source can group a column of days or times."""
    group_ordering_and_limit: bool = False
    """Whether the source takes having, sort and limit of groups, where the scan has no keys."""
    row_count: int | None = None
    """About how many rows there are; None: unknown."""
    checks_values: bool = False
    """Whether the connector itself marks as flawed what its columns cannot hold; otherwise the engine checks all."""


COUNT_FUNCTIONS = frozenset({AggregateFunction.COUNT, AggregateFunction.COUNT_DISTINCT})


def find_aggregate_type(capabilities: Capabilities, aggregate: AggregateCall) -> ColumnType:
    if aggregate.column is None or aggregate.function in COUNT_FUNCTIONS:
        return ColumnType.INTEGER
    return capabilities.columns[aggregate.column].type
