"""What is asked of the rows of a file in, a test of each of them out."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from operator import eq, ge, gt, le, lt, ne
from typing import Any

NUMBER = re.compile(r"[+-]?[0-9]{1,28}(\.[0-9]{1,12})?", re.ASCII)
COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {"eq": eq, "ne": ne, "lt": lt, "lte": le, "gt": gt, "gte": ge}
TEXT: Mapping[str, Callable[[str, str], bool]] = {
    "contains": lambda cell, value: value in cell,
    "startsWith": str.startswith,
    "endsWith": str.endswith,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CellTest:
    """`column op value`, the value as text. A cell and a value that are both plain numbers compare as such."""

    column: str
    op: str
    value: Any

    def holds(self, row: Mapping[str, Any]) -> bool:
        """A column that the row does not have is null, and a test on null is false."""
        cell = row.get(self.column)
        if self.op == "isNull":
            return (cell is None) is self.value
        if cell is None:
            return False
        if self.op in TEXT:
            return TEXT[self.op](as_text(cell), self.value)
        ours, theirs = number(cell), number(self.value)
        if ours is None or theirs is None:
            return COMPARE[self.op](as_text(cell), self.value)
        return COMPARE[self.op](ours, theirs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The first so many rows that pass all tests; `columns` None: all of them."""

    first: int
    columns: tuple[str, ...] | None
    tests: tuple[CellTest, ...]

    def passes(self, row: Mapping[str, Any]) -> bool:
        return all(each.holds(row) for each in self.tests)

    def shown(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        return row if self.columns is None else {name: row.get(name) for name in self.columns}


def wanted(first: int, columns: Sequence[str] | None, where: str) -> Wanted:
    """`where`: a JSON list of objects, each a column and any number of operators with their values."""
    given = json.loads(where)
    tests = (
        CellTest(column=each["column"], op=op, value=value)
        for each in given
        for op, value in each.items()
        if op != "column" and value is not None
    )
    return Wanted(first=first, columns=None if columns is None else tuple(columns), tests=tuple(tests))


def number(value: Any) -> Decimal | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | Decimal):
        return Decimal(value)
    text = repr(value) if isinstance(value, float) else value
    return Decimal(text) if isinstance(text, str) and NUMBER.fullmatch(text) else None


def as_text(cell: Any) -> str:
    """As the row shows it. RecursionError: it is nested too deep to be shown."""
    return cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False, default=str)
