"""Compute the `data` of a query the naive way: each rule of the language as a loop over dicts.

With rows, filters and measures beside it, this is what the language means; nothing of the engine helps it.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from tests.properties.equality.filters import meets, meets_having
from tests.properties.equality.measures import compute_aggregate, cut, evaluate_term, result
from tests.properties.equality.model import MODEL, ROOTS, SINGLES
from tests.properties.equality.question import Field, leaf, path
from tests.properties.equality.rows import Term, field_value, identity, key, linked_rows, scalar, sort_rows, to_json
from tests.properties.equality.world import FIRST_DEFAULT, Dict, World


def data(world: World, fields: Sequence[Field]) -> dict[str, Any]:
    return {field.key: root(world, field) for field in fields}


def root(world: World, field: Field) -> Any:
    if field.name in ROOTS:
        kind = ROOTS[field.name]
        return connection(world, kind, world.rows[kind], field)
    kind = SINGLES[field.name]
    rows = [row for row in world.rows[kind] if identity(kind, row) == field.arguments["id"]]
    return build_object(world, kind, rows[0], field.below) if rows else None


def build_object(world: World, kind: str, row: Dict, fields: Sequence[Field]) -> dict[str, Any]:
    return {field.key: member(world, kind, row, field) for field in fields}


def member(world: World, kind: str, row: Dict, field: Field) -> Any:
    if field.name == "__typename":
        return kind
    if field.name not in MODEL[kind].links:
        return to_json(scalar(kind, field.name), field_value(kind, row, field.name))
    link, linked = MODEL[kind].links[field.name], linked_rows(world, kind, row, field.name)
    if link.many:
        return connection(world, link.to, linked, field)
    return build_object(world, link.to, linked[0], field.below) if linked else None


def connection(world: World, kind: str, rows: Sequence[Dict], field: Field) -> dict[str, Any]:
    arguments = field.arguments
    asked = [(partial(evaluate_term, world, kind, term), leaf(term) == "DESC") for term in arguments.get("orderBy", ())]
    terms: Sequence[Term] = [*asked, (partial(key, kind), False)]
    matching = [row for row in rows if meets(world, kind, row, arguments.get("where", {}))]
    result = sort_rows(matching, terms)
    start, end = bounds(world, kind, result, terms, arguments)
    parts: Mapping[str, Callable[[Field], Any]] = {
        "nodes": lambda each: [build_object(world, kind, row, each.below) for row in result[start:end]],
        "edges": lambda each: [edge(world, kind, row, each) for row in result[start:end]],
        "totalCount": lambda each: len(result),
        "pageInfo": lambda item: page_info(len(result), start, end, item),
        "aggregate": lambda each: aggregate(kind, result, each),
        "groups": lambda each: groups(world, kind, result, each),
    }
    return {child.key: parts[child.name](child) for child in field.below}


def bounds(
    world: World, kind: str, rows: Sequence[Dict], terms: Sequence[Term], arguments: Mapping[str, Any]
) -> tuple[int, int]:
    """Where in all rows the page begins, and where it ends: after one row and before another, then so many of them."""
    places = [identity(kind, row) for row in sort_rows(world.rows[kind], terms)]
    at = [places.index(identity(kind, row)) for row in rows]
    start = sum(item <= places.index(arguments["after"].id) for item in at) if "after" in arguments else 0
    end = sum(item < places.index(arguments["before"].id) for item in at) if "before" in arguments else len(at)
    if "last" in arguments:
        return max(start, end - arguments["last"]), end
    return start, min(end, start + arguments.get("first", FIRST_DEFAULT))


def page_info(total: int, start: int, end: int, field: Field) -> dict[str, bool]:
    info = {"hasNextPage": end < total, "hasPreviousPage": start > 0}
    return {child.key: info[child.name] for child in field.below}


def edge(world: World, kind: str, row: Dict, field: Field) -> dict[str, Any]:
    return {child.key: build_object(world, kind, row, child.below) for child in field.below}


def groups(world: World, kind: str, rows: Sequence[Dict], field: Field) -> list[dict[str, Any]]:
    """By key where no order is asked, and where it ties."""
    arguments, by = field.arguments, field.arguments["by"]
    results: dict[tuple[Any, ...], list[Dict]] = {}
    for row in rows:
        results.setdefault(tuple(cut(evaluate_term(world, kind, term, row), leaf(term)) for term in by), []).append(row)
    paths = [path(term) for term in by]
    matching = [result for result in results.items() if meets_having(kind, result[1], arguments.get("having", {}))]
    asked = [(arranging(kind, paths, term), leaf(term) == "DESC") for term in arguments.get("orderBy", ())]
    keys = [(partial(get_value, index), False) for index in range(len(by))]
    return [
        group(kind, dict(zip(paths, values, strict=True)), members, field)
        for values, members in sort_rows(matching, [*asked, *keys])[: arguments.get("first")]
    ]


def arranging(kind: str, paths: Sequence[tuple[str, ...]], term: Mapping[str, Any]) -> Callable[[Any], Any]:
    """The value a group is ordered by."""
    if "key" in term:
        return partial(get_value, paths.index(path(term["key"])))
    return lambda item: compute_aggregate(kind, item[1], term)


def get_value(at: int, group: tuple[Sequence[Any], Any]) -> Any:
    return group[0][at]


def group(kind: str, values: Mapping[tuple[str, ...], Any], rows: Sequence[Dict], field: Field) -> dict[str, Any]:
    parts: Mapping[str, Callable[[Field], Any]] = {
        "key": lambda item: group_key(kind, values, (), item.below),
        "aggregate": lambda each: aggregate(kind, rows, each),
    }
    return {child.key: parts[child.name](child) for child in field.below}


def group_key(
    kind: str, values: Mapping[tuple[str, ...], Any], above: tuple[str, ...], fields: Sequence[Field]
) -> dict[str, Any]:
    """What is grouped by, as the row shows it: a linked column under its link."""
    return {
        field.key: group_key(MODEL[kind].links[field.name].to, values, (*above, field.name), field.below)
        if field.name in MODEL[kind].links
        else to_json(scalar(kind, field.name), values[(*above, field.name)])
        for field in fields
    }


def aggregate(kind: str, rows: Sequence[Dict], field: Field) -> dict[str, Any]:
    return {
        child.key: len(rows)
        if child.name == "count"
        else {
            column.key: to_json(
                result(kind, child.name, column.name), compute_aggregate(kind, rows, {child.name: {column.name: None}})
            )
            for column in child.below
        }
        for child in field.below
    }
