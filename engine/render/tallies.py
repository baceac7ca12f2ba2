"""What is told of all rows of a list in, functions from a parent's `Slice` to it out: counts, aggregates, groups."""

from collections.abc import Callable, Sequence
from typing import Any

from engine.errors import Code, SourceFailed
from engine.faults import Path
from engine.fetch.words import Fetched
from engine.finish import key_of
from engine.leaves import BadValue, leaf
from engine.names import written
from engine.permit import withheld
from engine.plan import words
from engine.plan.reach import absent_row, measured_name
from engine.plan.words import Branch
from engine.render.words import Rendering, Slice, Value, noting
from engine.select import Pick
from engine.words import COUNT, Row

Member = Callable[[Row, Path], Any]


def total(run: Rendering, result: Fetched, pick: Pick) -> Value:
    if isinstance(result.tally, SourceFailed):
        return noting(run.faults.fail, pick)
    tally = result.tally
    if result.lost:
        return lambda cut, path: None
    if tally is None:
        return lambda cut, path: 0
    at = tally.names.index(COUNT.name)
    return lambda cut, path: row[at] if (row := tally.rows.get(cut.key)) is not None else 0


def aggregate(run: Rendering, branch: Branch, result: Fetched, pick: Pick) -> Value:
    """Of all rows that meet the filter, whatever the page."""
    if isinstance(result.tally, SourceFailed):
        return noting(run.faults.fail, pick)
    if result.tally is None:
        known: tuple[str, ...] = ()
        rows: Any = {}
    else:
        known, rows = result.tally.names, result.tally.rows
    none = absent_row(known, branch.tally.wanted.measures if branch.tally else ())
    made = _aggregate(run, branch.type, pick, known)
    return lambda cut, path: made(rows.get(cut.key, none), (path, pick.key))


def groups(run: Rendering, branch: Branch, result: Fetched, pick: Pick) -> Value:
    known = result.groupings[pick.number]
    if isinstance(known, SourceFailed):
        return noting(run.faults.fail, pick)
    keys = next(each.keys for each in branch.groupings if each.pick.number == pick.number)
    made = _members(run, pick.below, lambda each: _of_group(run, branch.type, each, known.names, keys))

    def value(cut: Slice, path: Path) -> Any:
        place = (path, pick.key)
        return [made(row, (place, index)) for index, row in enumerate(known.rows.get(cut.key, ()))]

    return value


def _members(run: Rendering, picks: Sequence[Pick], make: Callable[[Pick], Member]) -> Member:
    """An object, its members in the order of the picks; what is withheld is null and noted."""
    members = [(each.key, _member(run, each, make)) for each in picks]
    return lambda row, path: {key: member(row, path) for key, member in members}


def _member(run: Rendering, pick: Pick, make: Callable[[Pick], Member]) -> Member:
    if pick.field == "__typename":
        return lambda row, path: pick.type
    return noting(run.faults.withhold, pick) if withheld(pick, run.verdicts) else make(pick)


def _of_group(run: Rendering, type_name: str, pick: Pick, names: Sequence[str], keys: Any) -> Member:
    if pick.field == "key":
        return _nested(pick, _key(run, pick, names, keys, ()))
    return _nested(pick, _aggregate(run, type_name, pick, names))


def _nested(pick: Pick, made: Member) -> Member:
    return lambda row, path: made(row, (path, pick.key))


def _key(run: Rendering, pick: Pick, names: Sequence[str], keys: Any, above: words.Path) -> Member:
    def make(each: Pick) -> Member:
        path = (*above, each.field)
        if each.below:
            return _nested(each, _key(run, each, names, keys, path))
        return _leaf(run, each, names, keys[path])

    return _members(run, pick.below, make)


def _aggregate(run: Rendering, type_name: str, pick: Pick, names: Sequence[str]) -> Member:
    def make(each: Pick) -> Member:
        if each.field == "count":
            return _leaf(run, each, names, (COUNT.name,))
        return _nested(each, _members(run, each.below, lambda inner: measure(each, inner)))

    def measure(of: Pick, each: Pick) -> Member:
        return _leaf(run, each, names, (measured_name(run.house, type_name, of.field, each.field),))

    return _members(run, pick.below, make)


def _leaf(run: Rendering, pick: Pick, names: Sequence[str], held: Sequence[str]) -> Member:
    """One value as its scalar is written; a composite id as all of its parts."""
    convert, take = leaf(pick.returns), key_of(held, names)

    def value(row: Row, path: Path) -> Any:
        found = take(row)
        if None in found:
            return None
        try:
            return convert(found[0] if len(found) == 1 else written(found))
        except BadValue as bad:
            run.faults.broke(pick, path, Code.SOURCE_INVALID, f"`{pick.type}.{pick.field}` holds {bad}")
            return None

    return value
