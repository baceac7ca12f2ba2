"""Select rows within a file: a number of rows, columns, and comparisons of cells as text or as numbers."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from operator import eq, ge, gt, le, lt, ne
from typing import Any

NUMBER_PATTERN = re.compile(r"[+-]?[0-9]{1,28}(\.[0-9]{1,12})?", re.ASCII)

COMPARISON_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": eq,
    "ne": ne,
    "lt": lt,
    "lte": le,
    "gt": gt,
    "gte": ge,
}

TEXT_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "contains": lambda cell, value: value in cell,
    "startsWith": str.startswith,
    "endsWith": str.endswith,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CellComparison:
    """Compare the cell of one column with a text. A cell and a text that are both plain numbers compare as numbers."""

    column: str
    op: str
    value: Any

    def matches(self, row: Mapping[str, Any]) -> bool:
        """Return whether the row passes; a column that the row lacks is null, and a comparison with null is false."""
        cell = row.get(self.column)
        if self.op == "isNull":
            return (cell is None) is self.value
        if cell is None:
            return False
        if self.op in TEXT_OPERATORS:
            return TEXT_OPERATORS[self.op](format_cell(cell), self.value)
        cell_number, value_number = parse_number(cell), parse_number(self.value)
        if cell_number is None or value_number is None:
            return COMPARISON_OPERATORS[self.op](format_cell(cell), self.value)
        return COMPARISON_OPERATORS[self.op](cell_number, value_number)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRows:
    """Rows as JSON texts; `flaws` say what the file holds, and where, that its rows show as null."""

    rows: tuple[str, ...]
    flaws: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSelection:
    """The first `max_rows` rows that pass all comparisons; `columns` is None for all columns."""

    max_rows: int
    columns: tuple[str, ...] | None
    comparisons: tuple[CellComparison, ...]

    def matches(self, row: Mapping[str, Any]) -> bool:
        return all(comparison.matches(row) for comparison in self.comparisons)

    def project(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        return row if self.columns is None else {name: row.get(name) for name in self.columns}

    def needs_column(self, name: str) -> bool:
        return (
            self.columns is None
            or name in self.columns
            or any(comparison.column == name for comparison in self.comparisons)
        )


def parse_row_selection(max_rows: int, columns: Sequence[str] | None, filter_json: str) -> RowSelection:
    """Read a filter: a JSON list of objects, each with a column and any number of operators and their values."""
    comparisons = (
        CellComparison(column=conditions["column"], op=op, value=value)
        for conditions in json.loads(filter_json)
        for op, value in conditions.items()
        if op != "column" and value is not None
    )
    return RowSelection(
        max_rows=max_rows, columns=None if columns is None else tuple(columns), comparisons=tuple(comparisons)
    )


def rename_duplicates(names: Sequence[str]) -> list[str]:
    """Return names without two alike: the second `a` is `a_1`, the third `a_2`, but for names that there are."""
    counts, taken = dict[str, int](), set(names)
    unique_names = list[str]()
    for name in names:
        unique_name, count = name, counts.get(name, 0)
        while count and unique_name in taken:
            unique_name, count = f"{name}_{count}", count + 1
        counts[name] = max(count, 1)
        taken.add(unique_name)
        unique_names.append(unique_name)
    return unique_names


def parse_number(value: Any) -> Decimal | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | Decimal):
        return Decimal(value)
    text = repr(value) if isinstance(value, float) else value
    return Decimal(text) if isinstance(text, str) and NUMBER_PATTERN.fullmatch(text) else None


def format_cell(cell: Any) -> str:
    """Return a cell as its row shows it. Raises RecursionError if it is nested too deeply."""
    return cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False, default=lambda _: None)
