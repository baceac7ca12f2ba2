"""A list's picks in, a function from a parent's key to its connection out: nodes, edges, page, and what all come to."""

from collections.abc import Callable
from typing import Any

from graphql import get_named_type

from engine import cursor
from engine.faults import Path
from engine.fetch.words import Fetched
from engine.finish import key_of
from engine.permit import withheld
from engine.plan.words import Branch
from engine.render.tallies import aggregate, groups, total
from engine.render.words import NULL, Rendering, Slice, Value, noting
from engine.select import Pick
from engine.slots import filled
from engine.words import Row

Objects = Callable[[Pick], Value]
"""Makes the function that renders one row of the list, as the pick that holds it asks."""


def connection(run: Rendering, branch: Branch, result: Fetched, objects: Objects) -> Value:
    assert branch.page is not None
    page = branch.page
    backward = page.last is not None
    size = filled(page.last if backward else page.first, run.values.variables)
    members = [(pick.key, _of_connection(run, branch, result, pick, objects)) for pick in branch.pick.below]

    def value(key: Row, path: Path) -> Any:
        rows = result.by_key().get(key, ())
        missing(run, branch, result, path)
        kept = rows[:size]
        cut = Slice(key=key, rows=kept[::-1] if backward else kept, overflow=len(rows) > size)
        return {name: member(cut, path) for name, member in members}

    return value


def missing(run: Rendering, branch: Branch, result: Fetched, path: Path) -> None:
    """Notes, where the list or the row stands, the concrete types whose rows may not or could not be shown."""
    for kind in result.lost:
        run.faults.lose(branch.pick, kind, path)
    for each in result.shut:
        run.faults.shut_out(branch.pick, each.type, path)


def _of_connection(run: Rendering, branch: Branch, result: Fetched, pick: Pick, objects: Objects) -> Value:
    if withheld(pick, run.verdicts):
        return noting(run.faults.withhold, pick)
    match pick.field:
        case "nodes":
            return _listing(pick, objects(pick))
        case "edges":
            return _listing(pick, _edge(run, branch, result, pick, objects))
        case _:
            return beside(run, branch, result, pick)


def beside(run: Rendering, branch: Branch, result: Fetched, pick: Pick) -> Value:
    """What a connection tells beside its rows."""
    match pick.field:
        case "__typename":
            return lambda cut, path: pick.type
        case "pageInfo":
            return _page_info(run, branch, result, pick)
        case "totalCount":
            return total(run, result, pick)
        case "aggregate":
            return aggregate(run, branch, result, pick)
        case _:
            return groups(run, branch, result, pick)


def _listing(pick: Pick, each: Value) -> Value:
    """The list, or null if one of its items, which are never null, came to nothing."""

    def value(cut: Slice, path: Path) -> Any:
        place = (path, pick.key)
        made = []
        for index, row in enumerate(cut.rows):
            found = each(row, (place, index))
            if found is NULL:
                return None
            made.append(found)
        return made

    return value


def _edge(run: Rendering, branch: Branch, result: Fetched, pick: Pick, objects: Objects) -> Value:
    members: list[tuple[str, Value]] = []
    for each in pick.below:
        if each.field == "node":
            members.append((each.key, _node(each, objects)))
        elif each.field == "cursor":
            members.append((each.key, cursor_of(run, branch, result)))
        else:
            members.append((each.key, lambda row, path: pick.below[0].type))

    def value(row: Row, path: Path) -> Any:
        made = {}
        for key, member in members:
            made[key] = found = member(row, path)
            if found is NULL:
                return NULL
        return made

    return value


def _node(pick: Pick, objects: Objects) -> Value:
    inner = objects(pick)
    return lambda row, path: inner(row, (path, pick.key))


def cursor_of(run: Rendering, branch: Branch, result: Fetched) -> Value:
    assert branch.page is not None
    place = key_of([each.column for each in branch.page.order], result.columns)
    seal = run.values.sealing[id(branch.page)]
    return lambda row, path: cursor.written(place(row), seal)


def _page_info(run: Rendering, branch: Branch, result: Fetched, pick: Pick) -> Value:
    """Of rows of which some are lost, null: nobody knows what follows."""
    assert branch.page is not None
    if result.lost:
        return lambda cut, path: None
    place = cursor_of(run, branch, result)
    backward = branch.page.last is not None
    facts: dict[str, Callable[[Slice], Any]] = {
        "hasNextPage": lambda cut: cut.key in result.ahead or (cut.overflow and not backward),
        "hasPreviousPage": lambda cut: cut.key in result.passed or (cut.overflow and backward),
        "startCursor": lambda cut: place(cut.rows[0], None) if cut.rows else None,
        "endCursor": lambda cut: place(cut.rows[-1], None) if cut.rows else None,
        "__typename": lambda cut: get_named_type(pick.returns).name,
    }
    return lambda cut, path: {each.key: facts[each.field](cut) for each in pick.below}
