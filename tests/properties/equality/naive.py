"""Compute the `data` of a query the naive way: each rule of the language as a loop over dicts.

With rows, filters and measures beside it, this is what the language means; nothing of the engine helps it.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from tests.properties.equality.filters import grouped, meets
from tests.properties.equality.measures import cut, measured, result, sought
from tests.properties.equality.model import MODEL, ROOTS, SINGLES
from tests.properties.equality.question import Field, leaf, path
from tests.properties.equality.rows import Term, held, identity, key, linked, ordered, scalar, written
from tests.properties.equality.world import FIRST_DEFAULT, Dict, World


def data(world: World, fields: Sequence[Field]) -> dict[str, Any]:
    return {each.key: root(world, each) for each in fields}


def root(world: World, field: Field) -> Any:
    if field.name in ROOTS:
        kind = ROOTS[field.name]
        return connection(world, kind, world.rows[kind], field)
    kind = SINGLES[field.name]
    found = [row for row in world.rows[kind] if identity(kind, row) == field.arguments["id"]]
    return shown(world, kind, found[0], field.below) if found else None


def shown(world: World, kind: str, row: Dict, fields: Sequence[Field]) -> dict[str, Any]:
    return {each.key: member(world, kind, row, each) for each in fields}


def member(world: World, kind: str, row: Dict, field: Field) -> Any:
    if field.name == "__typename":
        return kind
    if field.name not in MODEL[kind].links:
        return written(scalar(kind, field.name), held(kind, row, field.name))
    link, found = MODEL[kind].links[field.name], linked(world, kind, row, field.name)
    if link.many:
        return connection(world, link.to, found, field)
    return shown(world, link.to, found[0], field.below) if found else None


def connection(world: World, kind: str, rows: Sequence[Dict], field: Field) -> dict[str, Any]:
    arguments = field.arguments
    asked = [(partial(sought, world, kind, term), leaf(term) == "DESC") for term in arguments.get("orderBy", ())]
    terms: Sequence[Term] = [*asked, (partial(key, kind), False)]
    kept = [row for row in rows if meets(world, kind, row, arguments.get("where", {}))]
    found = ordered(kept, terms)
    start, end = bounds(world, kind, found, terms, arguments)
    parts: Mapping[str, Callable[[Field], Any]] = {
        "nodes": lambda each: [shown(world, kind, row, each.below) for row in found[start:end]],
        "edges": lambda each: [edge(world, kind, row, each) for row in found[start:end]],
        "totalCount": lambda each: len(found),
        "pageInfo": lambda each: page_info(len(found), start, end, each),
        "aggregate": lambda each: aggregate(kind, found, each),
        "groups": lambda each: groups(world, kind, found, each),
    }
    return {each.key: parts[each.name](each) for each in field.below}


def bounds(
    world: World, kind: str, found: Sequence[Dict], terms: Sequence[Term], arguments: Mapping[str, Any]
) -> tuple[int, int]:
    """Where in all rows the page begins, and where it ends: after one row and before another, then so many of them."""
    places = [identity(kind, row) for row in ordered(world.rows[kind], terms)]
    at = [places.index(identity(kind, row)) for row in found]
    start = sum(each <= places.index(arguments["after"].id) for each in at) if "after" in arguments else 0
    end = sum(each < places.index(arguments["before"].id) for each in at) if "before" in arguments else len(at)
    if "last" in arguments:
        return max(start, end - arguments["last"]), end
    return start, min(end, start + arguments.get("first", FIRST_DEFAULT))


def page_info(total: int, start: int, end: int, field: Field) -> dict[str, bool]:
    said = {"hasNextPage": end < total, "hasPreviousPage": start > 0}
    return {each.key: said[each.name] for each in field.below}


def edge(world: World, kind: str, row: Dict, field: Field) -> dict[str, Any]:
    return {each.key: shown(world, kind, row, each.below) for each in field.below}


def groups(world: World, kind: str, rows: Sequence[Dict], field: Field) -> list[dict[str, Any]]:
    """By key where no order is asked, and where it ties."""
    arguments, by = field.arguments, field.arguments["by"]
    found: dict[tuple[Any, ...], list[Dict]] = {}
    for row in rows:
        found.setdefault(tuple(cut(sought(world, kind, term, row), leaf(term)) for term in by), []).append(row)
    paths = [path(term) for term in by]
    kept = [each for each in found.items() if grouped(kind, each[1], arguments.get("having", {}))]
    asked = [(arranging(kind, paths, term), leaf(term) == "DESC") for term in arguments.get("orderBy", ())]
    keys = [(partial(standing, at), False) for at in range(len(by))]
    return [
        group(kind, dict(zip(paths, values, strict=True)), members, field)
        for values, members in ordered(kept, [*asked, *keys])[: arguments.get("first")]
    ]


def arranging(kind: str, paths: Sequence[tuple[str, ...]], term: Mapping[str, Any]) -> Callable[[Any], Any]:
    """The value a group is ordered by."""
    if "key" in term:
        return partial(standing, paths.index(path(term["key"])))
    return lambda each: measured(kind, each[1], term)


def standing(at: int, group: tuple[Sequence[Any], Any]) -> Any:
    return group[0][at]


def group(kind: str, values: Mapping[tuple[str, ...], Any], rows: Sequence[Dict], field: Field) -> dict[str, Any]:
    parts: Mapping[str, Callable[[Field], Any]] = {
        "key": lambda each: group_key(kind, values, (), each.below),
        "aggregate": lambda each: aggregate(kind, rows, each),
    }
    return {each.key: parts[each.name](each) for each in field.below}


def group_key(
    kind: str, values: Mapping[tuple[str, ...], Any], above: tuple[str, ...], fields: Sequence[Field]
) -> dict[str, Any]:
    """What is grouped by, as the row shows it: a linked column under its link."""
    return {
        each.key: group_key(MODEL[kind].links[each.name].to, values, (*above, each.name), each.below)
        if each.name in MODEL[kind].links
        else written(scalar(kind, each.name), values[(*above, each.name)])
        for each in fields
    }


def aggregate(kind: str, rows: Sequence[Dict], field: Field) -> dict[str, Any]:
    return {
        each.key: len(rows)
        if each.name == "count"
        else {
            one.key: written(result(kind, each.name, one.name), measured(kind, rows, {each.name: {one.name: None}}))
            for one in each.below
        }
        for each in field.below
    }
