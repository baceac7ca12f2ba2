"""Compute a page the naive way: sort all rows, compare them one by one with the cursors, and take the page."""

from collections.abc import Mapping, Sequence
from functools import cmp_to_key
from typing import Any

from graphql import GraphQLError

from onedoor.errors import RequestRejected
from onedoor.query import cursors
from onedoor.spi.scan import SortKey
from tests.properties.reference.filters import meets, refuse
from tests.properties.reference.world import Dict, World, column, kinds


def page(world: World, kind: str, coordinate: str, arguments: Mapping[str, Any], rows: Sequence[Dict]) -> Dict:
    """A connection, as dicts; every row that meets the filter is looked at, whatever is asked."""
    order = ordering(world, kind, arguments.get("orderBy") or ())
    where = arguments.get("where") or {}
    results = sorted((row for row in rows if meets(world, kind, where, row)), key=cmp_to_key(comparing(order)))
    later, earlier = placed(world, kind, coordinate, arguments)
    inside = [row for row in results if later(row) and earlier(row)]
    first, last = arguments.get("first"), arguments.get("last")
    if first is None and last is None:
        first = world.catalog.limits.first_default
    page_rows = inside[:first] if last is None else inside[max(0, len(inside) - last) :]
    cut = len(page_rows) < len(inside)
    edges = [{"cursor": encode_row_cursor(world, kind, coordinate, arguments, row), "node": row} for row in page_rows]
    return {
        "nodes": page_rows,
        "edges": edges,
        "totalCount": len(results),
        "pageInfo": {
            "hasNextPage": not all(map(earlier, results)) or (cut and last is None),
            "hasPreviousPage": not all(map(later, results)) or (cut and last is not None),
            "startCursor": edges[0]["cursor"] if edges else None,
            "endCursor": edges[-1]["cursor"] if edges else None,
        },
    }


def judge(world: World, kind: str, coordinate: str, arguments: Mapping[str, Any]) -> None:
    """Raises GraphQLError for arguments no page can be made of."""
    refuse(world, kind, arguments.get("where") or {})
    given = [arguments[name] for name in ("first", "last") if arguments.get(name) is not None]
    if len(given) > 1 or any(item < 0 for item in given):
        raise GraphQLError("a size that cannot be", extensions={"code": "BAD_USER_INPUT"})
    if any(item > world.catalog.limits.first_max for item in given):
        raise GraphQLError("over the limit", extensions={"code": "LIMIT_EXCEEDED"})
    try:
        placed(world, kind, coordinate, arguments)
    except RequestRejected as refused:
        raise GraphQLError("no cursor of this list", extensions={"code": refused.errors[0].code}) from None


def ordering(world: World, kind: str, given: Sequence[Mapping[str, str]]) -> list[SortKey]:
    """Each column once, as first asked; the key last, so that no two rows tie."""
    binding = world.binding(kind)
    terms = [(name, direction == "DESC") for item in given for name, direction in item.items()]
    order: dict[str, SortKey] = {}
    for name, descending in terms:
        for item in binding.key if name == "id" else (column(binding, name),):
            order.setdefault(item, SortKey(item, descending))
    for item in binding.key:
        order.setdefault(item, SortKey(item))
    return list(order.values())


def comparing(order: Sequence[SortKey]) -> Any:
    """Negative when the first row comes before the second; a null comes last, either way."""

    def compare(one: Dict, other: Dict) -> int:
        for sort_key in order:
            here, there = one[sort_key.column], other[sort_key.column]
            if here == there:
                continue
            if here is None or there is None:
                return 1 if here is None else -1
            return (-1 if here < there else 1) * (-1 if sort_key.descending else 1)
        return 0

    return compare


def placed(world: World, kind: str, coordinate: str, arguments: Mapping[str, Any]) -> tuple[Any, Any]:
    """Two predicates: whether a row comes after `after`, and whether it comes before `before`."""
    order = ordering(world, kind, arguments.get("orderBy") or ())
    compare = comparing(order)
    places: list[Dict | None] = []
    for text in (arguments.get("after"), arguments.get("before")):
        if text is None:
            places.append(None)
            continue
        held = [kinds(world, kind)[sort_key.column] for sort_key in order]
        values = cursors.decode_cursor(text, held, sealed(world, kind, coordinate, order, arguments))
        places.append(dict(zip((sort_key.column for sort_key in order), values, strict=True)))
    after, before = places
    return (
        lambda row: after is None or compare(row, after) > 0,
        lambda row: before is None or compare(row, before) < 0,
    )


def encode_row_cursor(world: World, kind: str, coordinate: str, arguments: Mapping[str, Any], row: Dict) -> str:
    order = ordering(world, kind, arguments.get("orderBy") or ())
    return cursors.encode_cursor(
        [row[sort_key.column] for sort_key in order], sealed(world, kind, coordinate, order, arguments)
    )


def sealed(world: World, kind: str, coordinate: str, order: Sequence[SortKey], arguments: Mapping[str, Any]) -> bytes:
    reader = {kind: world.readers[kind]} if kind in world.readers else {}
    secret = cursors.derive_reader_secret(world.catalog.cursor_secret, reader)
    return cursors.derive_cursor_key(secret, world.catalog.version, coordinate, order, arguments.get("where"))
