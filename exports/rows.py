"""The rows of an answer in, the values of each column out, as the door shows them."""

from collections.abc import Mapping, Sequence
from typing import Any

from exports.columns import Rows
from exports.words import Column

Values = Sequence[Any]


def found(data: Mapping[str, Any], of: Rows) -> list[dict[str, Any]]:
    """The rows of one answer's data."""
    listed: Any = data
    for key in of.path:
        listed = listed[key]
    return listed if of.node is None else [each[of.node] for each in listed]


def values(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> list[Values]:
    """By column, a value for each row: of lists of rows, a list of objects by the names of its inner columns."""
    levels: dict[tuple[str, ...], Values] = {(): rows}
    return [_shown(_at(levels, each.path), each) for each in columns]


def objects(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> list[dict[str, Any]]:
    names = [each.name for each in columns]
    return [dict(zip(names, each, strict=True)) for each in zip(*values(rows, columns), strict=True)]


def _at(levels: dict[tuple[str, ...], Values], path: tuple[str, ...]) -> Values:
    """What stands at a path in each row; below a null, and in rows of a type that has no such field, null."""
    known = levels.get(path)
    if known is None:
        above, key = _at(levels, path[:-1]), path[-1]
        try:
            known = [each[key] for each in above]
        except (KeyError, TypeError):
            known = [None if each is None else each.get(key) for each in above]
        levels[path] = known
    return known


def _shown(column: Values, of: Column) -> Values:
    if not of.inner:
        return column
    return [None if each is None else objects([row for row in each if row is not None], of.inner) for each in column]
