"""Items in, the rows of an ask out: those its keys and its filter mean, exactly."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from engine.finish import key_of, predicate
from engine.words import All, Ask, Row, Test, Value
from sources.drive.calls import Item
from sources.drive.columns import PATH, Columns
from sources.drive.tree import Tree
from sources.patterns import Pattern


def needed(ask: Ask) -> tuple[str, ...]:
    """The columns that are looked at, those of the answer first."""
    keys = () if ask.keys is None else ask.keys.columns
    more = dict.fromkeys((*keys, *looked_at(ask.where)))
    return (*ask.columns, *(name for name in more if name not in ask.columns))


def looked_at(where: object) -> Iterable[str]:
    match where:
        case Test():
            return (where.column,)
        case All():
            return tuple(name for part in where.parts for name in looked_at(part))
    raise TypeError(f"drive does not take {type(where).__name__}")


def placed(names: Iterable[str], columns: Columns) -> bool:
    """Whether where an item lies is looked at."""
    return any(name not in columns for name in names)


def rows(items: Sequence[Item], tree: Tree | None, ask: Ask, columns: Columns, pattern: Pattern | None) -> list[Row]:
    names = needed(ask)
    opened = items if tree is None else [item for item in items if tree.opens(item)]
    reading = [reader(name, columns, tree, pattern) for name in names]
    found = [tuple(read(item) for read in reading) for item in opened]
    meets, width = meaning(ask, names), len(ask.columns)
    return [row[:width] for row in found if meets(row)]


def meaning(ask: Ask, names: Sequence[str]) -> Callable[[Row], bool]:
    """Whether a row has one of the keys, and meets the filter."""
    meets = predicate(ask.where, names)
    if ask.keys is None:
        return meets
    key, wanted = key_of(ask.keys.columns, names), frozenset(ask.keys.values)
    return lambda row: key(row) in wanted and meets(row)


def reader(name: str, columns: Columns, tree: Tree | None, pattern: Pattern | None) -> Callable[[Item], Value]:
    if name in columns:
        return columns[name].read
    assert tree is not None  # INVARIANT: asked for wherever it is looked at
    if name == PATH:
        return tree.path
    return lambda item: parted(tree.path(item), pattern).get(name)


def parted(path: str | None, pattern: Pattern | None) -> Mapping[str, Value]:
    """The pattern's columns of a path."""
    return {} if path is None or pattern is None else pattern.match(path) or {}


def fresh(items: Sequence[Item], seen: set[str]) -> list[Item]:
    """Each once: what is moved meanwhile moves the pages."""
    found = {item["id"]: item for item in items if item["id"] not in seen}
    seen |= found.keys()
    return list(found.values())
