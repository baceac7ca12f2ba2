"""Five rows with nulls and ties, all that could be promised of them, and what any ask of them comes to, obviously."""

from collections.abc import Iterator, Sequence
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

WHERES = (
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
TAILS = (
    ((COUNT_ROWS,), (), None),
    ((), (), None),
    ((), BY_ID, 2),
    ((), BY_SIZE, None),
    ((), BY_SIZE, 1),
    ((), BACKWARDS, 2),
    ((), BACKWARDS, 0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One read as the planner is asked for it."""

    keys: tuple[Row, ...] | None
    where: Any
    measures: tuple[AggregateCall, ...]
    order: tuple[SortKey, ...]
    limit: int | None

    @property
    def keyed(self) -> tuple[str, ...]:
        return () if self.keys is None else ("parent",)


WANTED = tuple(
    Wanted(keys=keys, where=where, measures=measures, order=order, limit=limit)
    for where, keys, (measures, order, limit) in product(WHERES, KEYS, TAILS)
)


def promises() -> Iterator[Capabilities]:
    """Every combination of a small set of capabilities."""
    none: frozenset[Op] = frozenset()
    yes = (False, True)
    for keys, tag, size, logic, related in product((0, 2), (none, ALL_OPS), (none, ALL_OPS), yes, yes):
        for orders, limit, limit_per_key, counts in product(yes, yes, yes, yes):
            yield Capabilities(
                columns={
                    "id": Column(ColumnType.INTEGER, ALL_OPS, True),
                    "tag": Column(ColumnType.TEXT, tag, True),
                    "size": Column(ColumnType.INTEGER, size, orders),
                    "parent": Column(ColumnType.INTEGER, ALL_OPS, True),
                },
                max_keys=keys,
                boolean_filters=logic,
                exists_filters=related,
                limit=limit,
                limit_per_key=limit_per_key,
                aggregates=counts,
            )


def memory(can: Capabilities) -> MemoryConnector:
    parent = Capabilities(columns={"id": Column(ColumnType.INTEGER), "open": Column(ColumnType.BOOLEAN, ALL_OPS)})
    return MemoryConnector(
        {
            "row": MemoryCollection(capabilities=can, rows=ROWS),
            "parent": MemoryCollection(capabilities=parent, rows=PARENTS),
        }
    )


def obvious(wanted: Wanted) -> list[Row]:
    """The rows as whole rows in order, or one (key, count) for each key that has any."""
    rows = [row for row in ROWS if meets(wanted.where, named(row))]
    if wanted.keys is None:
        return tail(wanted, rows, ())
    groups = [(key, [row for row in rows if row[3:] == key]) for key in wanted.keys]
    return [each for key, group in groups if group for each in tail(wanted, group, key)]


def tail(wanted: Wanted, rows: list[Row], key: Row) -> list[Row]:
    if wanted.measures:
        return [(*key, len(rows))]
    for each in reversed(wanted.order):
        at = COLUMNS.index(each.column)
        empty = [row for row in rows if row[at] is None]
        filled = sorted((row for row in rows if row[at] is not None), key=lambda row: row[at], reverse=each.descending)
        rows = empty + filled if each.nulls_first else filled + empty
    return rows[: wanted.limit]


def named(row: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(COLUMNS, row, strict=True))


def meets(where: Any, row: dict[str, Any]) -> bool:
    match where:
        case And():
            return all(meets(each, row) for each in where.parts)
        case Or():
            return any(meets(each, row) for each in where.parts)
        case Not():
            return not meets(where.part, row)
        case Exists():
            return any(row["parent"] == key and is_open is True for key, is_open in PARENTS)
        case Comparison(op=Op.IS_NULL):
            return (row[where.column] is None) == where.value
        case _:
            return row[where.column] is not None and OBVIOUS[where.op](row[where.column], where.value)


OBVIOUS = {
    Op.EQ: lambda found, given: found == given,
    Op.GT: lambda found, given: found > given,
    Op.NOT_IN: lambda found, given: found not in given,
    Op.I_STARTS_WITH: lambda found, given: found.lower().startswith(given.lower()),
}
