"""Picks of a row in, a function from the row to an object out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphql import GraphQLNonNull

from engine.entities import ENTITIES
from engine.errors import Code, SourceFailed
from engine.faults import Path
from engine.fetch.words import Fetched
from engine.finish import key_of
from engine.leaves import BadValue, leaf
from engine.names import columns_of, written
from engine.permit import withheld
from engine.plan.words import Branch
from engine.render.entities import entities
from engine.render.lists import connection, missing
from engine.render.lookups import looked_up
from engine.render.words import NULL, Rendering, Value, noting
from engine.select import Pick
from engine.words import Row


def object_(run: Rendering, picks: Sequence[Pick], branches: Mapping[int, Branch], columns: tuple[str, ...]) -> Value:
    """A dict in the order of the picks."""
    members = [(pick.key, _member(run, pick, branches, columns)) for pick in picks]

    def value(row: Any, path: Path) -> Any:
        made = {}
        for key, member in members:
            made[key] = found = member(row, path)
            if found is NULL:
                return NULL
        return made

    return value


def _member(run: Rendering, pick: Pick, branches: Mapping[int, Branch], columns: tuple[str, ...]) -> Value:
    if pick.field == "__typename":
        return lambda row, path: pick.type
    if pick.field == ENTITIES:
        return entities(run, pick, lambda one, result: _object(run, branches[one.number], result))
    if withheld(pick, run.verdicts):
        return noting(run.faults.withhold, pick)
    branch = branches.get(pick.number)
    if branch is not None:
        return _branch(run, branch, columns) if branch.column is None else _lookup(run, branch, columns)
    return _leaf(run, pick, _taking(run, pick, columns))


def _leaf(run: Rendering, pick: Pick, take: Callable[[Row], Any]) -> Value:
    """A column's value as its scalar is written; a null or a value that cannot be is a fault of its source."""
    convert = leaf(pick.returns)
    never_null = isinstance(pick.returns, GraphQLNonNull)

    def value(row: Any, path: Path) -> Any:
        found = take(row)
        if found is not None:
            try:
                return convert(found)
            except BadValue as bad:
                run.faults.broke(pick, path, Code.SOURCE_INVALID, f"`{pick.type}.{pick.field}` holds {bad}")
                return NULL if never_null else None
        if never_null:
            run.faults.broke(pick, path, Code.NULL_VALUE, f"`{pick.type}.{pick.field}` is never null, but has no value")
            return NULL
        return None

    return value


def _taking(run: Rendering, pick: Pick, columns: tuple[str, ...]) -> Callable[[Row], Any]:
    binding = run.house.bindings[pick.type]
    if pick.field in binding.batches:
        needs = binding.batches[pick.field].needs
        key = key_of([column for field in needs for column in columns_of(binding, field)], columns)
        found = (each for each in run.results.values() if isinstance(each, Fetched))
        parts = (part for each in found for part in (each, *each.parts.values()))
        computed = next(each.computed[pick.number] for each in parts if pick.number in each.computed)
        return lambda row: computed[key(row)]
    of = columns_of(binding, pick.field)
    if len(of) > 1:
        key = key_of(of, columns)
        return lambda row: written(key(row))
    at = columns.index(of[0])
    return lambda row: row[at]


def _branch(run: Rendering, branch: Branch, columns: tuple[str, ...]) -> Value:
    result = run.results.get(branch.pick.number)
    if result is None:
        return lambda row, path: None
    if isinstance(result, SourceFailed):
        return noting(run.faults.fail, branch.pick)
    if result.shut and not result.parts:
        return _shut(run, branch, result)
    key = key_of(branch.here, columns) if branch.here else _root_key(branch, result)
    below = _many(run, branch, result) if branch.many else _single(run, branch, result)

    def value(row: Any, path: Path) -> Any:
        found = below(key(row), (path, branch.pick.key))
        return None if found is NULL else found

    return value


def _lookup(run: Rendering, branch: Branch, columns: tuple[str, ...]) -> Value:
    """The value that was found for the row; a failed read is one fault of all rows."""
    result = run.results.get(branch.pick.number)
    if isinstance(result, SourceFailed):
        return noting(run.faults.fail, branch.pick)
    found = looked_up(branch, result) if result is not None else {}
    key = key_of(branch.here, columns)
    return _leaf(run, branch.pick, lambda row: found.get(key(row)))


def _root_key(branch: Branch, result: Fetched) -> Callable[[Any], Row]:
    only = next(iter(result.by_key()), ()) if branch.there else ()
    return lambda row: only


def _shut(run: Rendering, branch: Branch, result: Fetched) -> Value:
    """Null where no row of any concrete type may be shown."""

    def value(row: Any, path: Path) -> Any:
        missing(run, branch, result, (path, branch.pick.key))
        return None

    return value


def _single(run: Rendering, branch: Branch, result: Fetched) -> Value:
    inner = _objects(run, branch, result, branch.pick)

    def value(key: Row, path: Path) -> Any:
        rows = result.by_key().get(key)
        if not rows:
            missing(run, branch, result, path)
            return None
        return inner(rows[0], path)

    return value


def _object(run: Rendering, branch: Branch, result: Fetched) -> Value:
    return object_(run, branch.pick.picks[branch.type], _branches(branch), result.columns)


def _many(run: Rendering, branch: Branch, result: Fetched) -> Value:
    return connection(run, branch, result, lambda holder: _objects(run, branch, result, holder))


def _objects(run: Rendering, branch: Branch, result: Fetched, holder: Pick) -> Value:
    """Renders a row; of an interface, as what it is."""
    if not branch.meant:
        return object_(run, holder.picks[branch.type], _branches(branch), result.columns)
    made = {
        each.type: object_(run, holder.picks[each.type], _branches(each), result.parts[each.type].columns)
        for each in branch.members
        if each.type in result.parts and result.parts[each.type].rows
    }
    return lambda row, path: made[row[-2]](row[-1], path)


def _branches(branch: Branch) -> dict[int, Branch]:
    return {each.pick.number: each for each in branch.branches}
