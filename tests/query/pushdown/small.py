"""Five rows with nulls and ties, all capabilities they could have, and the rows that each scan must return."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from onedoor.connectors.memory import MemoryCollection, MemoryConnector
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.predicates import ALWAYS_FALSE, ALWAYS_TRUE, And, Comparison, Exists, Not, Op, Or, Row
from onedoor.spi.scan import COUNT_ROWS, AggregateCall, SortKey

COLUMNS = ("id", "tag", "size", "parent")
ROWS = (
    (1, "a", 2, 10),
    (2, "b", None, 10),
    (3, None, 2, 20),
    (4, "a", 1, None),
    (5, "A", 2, 20),
)
PARENTS = ((10, True), (20, None), (30, True))

ALL_OPS = frozenset(Op)
TAGGED = Comparison("tag", Op.EQ, "a")
LARGE = Comparison("size", Op.GT, 1)
PARENTED = Exists("parent", ("parent",), ("id",), Comparison("open", Op.EQ, True))

FILTERS = (
    ALWAYS_TRUE,
    ALWAYS_FALSE,
    TAGGED,
    And((TAGGED, LARGE)),
    Or((TAGGED, LARGE)),
    Not(LARGE),
    Comparison("size", Op.IS_NULL, True),
    Comparison("tag", Op.NOT_IN, ("a", "b")),
    And((LARGE, Not(Or((TAGGED, Comparison("tag", Op.I_STARTS_WITH, "A")))))),
    PARENTED,
    And((TAGGED, Not(PARENTED))),
)
KEYS = (None, (), ((10,),), ((20,), (99,), (10,)))
BY_ID = (SortKey("id"),)
BY_SIZE = (SortKey("size"), SortKey("id"))
BACKWARDS = (SortKey("size", True, True), SortKey("tag", True, True), SortKey("id", True, True))
LATER_STEPS = (
    ((COUNT_ROWS,), (), None),
    ((), (), None),
    ((), BY_ID, 2),
    ((), BY_SIZE, None),
    ((), BY_SIZE, 1),
    ((), BACKWARDS, 2),
    ((), BACKWARDS, 0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallScan:
    """Describe one scan over the five rows."""

    keys: tuple[Row, ...] | None
    filter: Any
    aggregates: tuple[AggregateCall, ...]
    sort: tuple[SortKey, ...]
    limit: int | None

    @property
    def key_columns(self) -> tuple[str, ...]:
        return () if self.keys is None else ("parent",)


SMALL_SCANS = tuple(
    SmallScan(keys=keys, filter=predicate, aggregates=aggregates, sort=sort, limit=limit)
    for predicate, keys, (aggregates, sort, limit) in product(FILTERS, KEYS, LATER_STEPS)
)


def list_capabilities() -> Iterator[Capabilities]:
    """Yield every combination of a small set of capabilities."""
    none: frozenset[Op] = frozenset()
    yes = (False, True)
    for keys, tag, size, boolean, exists in product((0, 2), (none, ALL_OPS), (none, ALL_OPS), yes, yes):
        for sortable, limit, limit_per_key, aggregates in product(yes, yes, yes, yes):
            yield Capabilities(
                columns={
                    "id": Column(ColumnType.INTEGER, ALL_OPS, True),
                    "tag": Column(ColumnType.TEXT, tag, True),
                    "size": Column(ColumnType.INTEGER, size, sortable),
                    "parent": Column(ColumnType.INTEGER, ALL_OPS, True),
                },
                max_keys=keys,
                boolean_filters=boolean,
                exists_filters=exists,
                limit=limit,
                limit_per_key=limit_per_key,
                aggregates=aggregates,
            )


def build_memory_connector(capabilities: Capabilities) -> MemoryConnector:
    parent = Capabilities(columns={"id": Column(ColumnType.INTEGER), "open": Column(ColumnType.BOOLEAN, ALL_OPS)})
    return MemoryConnector(
        {
            "row": MemoryCollection(capabilities=capabilities, rows=ROWS),
            "parent": MemoryCollection(capabilities=parent, rows=PARENTS),
        }
    )


def compute_expected_rows(small_scan: SmallScan) -> list[Row]:
    """Compute whole rows in order, or one (key, count) for each key that has any."""
    rows = [row for row in ROWS if meets(small_scan.filter, dict(zip(COLUMNS, row, strict=True)))]
    if small_scan.keys is None:
        return apply_later_steps(small_scan, rows, ())
    groups = [(key, [row for row in rows if row[3:] == key]) for key in small_scan.keys]
    return [row for key, group in groups if group for row in apply_later_steps(small_scan, group, key)]


def apply_later_steps(small_scan: SmallScan, rows: list[Row], key: Row) -> list[Row]:
    if small_scan.aggregates:
        return [(*key, len(rows))]
    for sort_key in reversed(small_scan.sort):
        index = COLUMNS.index(sort_key.column)
        empty = [row for row in rows if row[index] is None]
        filled = [row for row in rows if row[index] is not None]
        filled.sort(key=lambda row: row[index], reverse=sort_key.descending)
        rows = empty + filled if sort_key.nulls_first else filled + empty
    return rows[: small_scan.limit]


def meets(predicate: Any, row: dict[str, Any]) -> bool:
    match predicate:
        case And():
            return all(meets(part, row) for part in predicate.parts)
        case Or():
            return any(meets(part, row) for part in predicate.parts)
        case Not():
            return not meets(predicate.part, row)
        case Exists():
            return any(row["parent"] == key and is_open is True for key, is_open in PARENTS)
        case Comparison(op=Op.IS_NULL):
            return (row[predicate.column] is None) is predicate.value
        case _:
            value = row[predicate.column]
            return value is not None and COMPARE[predicate.op](value, predicate.value)


COMPARE: dict[Op, Callable[[Any, Any], bool]] = {
    Op.EQ: lambda value, operand: bool(value == operand),
    Op.GT: lambda value, operand: bool(value > operand),
    Op.NOT_IN: lambda value, operand: value not in operand,
    Op.I_STARTS_WITH: lambda value, operand: bool(value.casefold().startswith(operand.casefold())),
}
