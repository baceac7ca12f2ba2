"""The words the stages share: what a source is asked, what it promises, and where a type's values live."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from onedoor.spi.predicates import Op
from onedoor.spi.scan import AggregateFunction, TimeUnit


class ColumnType(StrEnum):
    """What a column holds; the kind decides how values compare and how ids are read."""

    TEXT = "text"
    INTEGER = "integer"
    FLOAT = "float"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    TIME = "time"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a collection and what the source can do with it."""

    type: ColumnType
    filters: frozenset[Op] = frozenset()
    sortable: bool = False
    aggregates: frozenset[AggregateFunction] = frozenset()
    """What a grouped read computes of it. Where it takes EQ, it can be grouped by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a source promises of one collection: nothing by default, and the engine finishes the work.

    The law of push-down: of keys, where, measures, having, order and limit, a source is asked for a step only if it
    takes every step before it.
    """

    columns: Mapping[str, Column]
    max_keys: int = 0
    """How many keys one read may carry; 0: it cannot be read by keys."""
    key_columns: frozenset[tuple[str, ...]] = frozenset()
    """The column tuples it can be read by, where not any will do (empty: any)."""
    required_columns: tuple[str, ...] = ()
    """Columns that every read must name: by its keys, or by a test EQ that the source takes."""
    boolean_filters: bool = False
    """Takes `Some` and `Not`; without it, only an `All` of tests."""
    exists_filters: bool = False
    """Takes `Exists` over another collection of the same source."""
    max_in_filter_keys: int = 0
    """How many keys an `Among` in a filter may carry; 0: it takes none."""
    limit: bool = False
    limit_per_key: bool = False
    row_cost: int = 1
    """What one of its rows adds to a question's cost."""
    aggregates: bool = False
    """Takes measures: counts rows, grouped or not, and computes what its columns say."""
    time_buckets: frozenset[TimeUnit] = frozenset()
    group_ordering_and_limit: bool = False
    """Takes `having`, an order and a limit of groups, where the read carries no keys."""
    row_count: int | None = None
    """About how many rows there are; None: unknown."""
