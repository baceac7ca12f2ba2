"""The parameters and the answer of an operation in, how its pages are turned out: the ways that are in common use."""

import re
from collections.abc import Mapping
from typing import Any

from sources.rest.openapi.document import Document
from sources.rest.openapi.operations import Operation, Parameter
from sources.rest.openapi.schemas import Known, known

SIZES = (
    "per_page", "perPage", "page_size", "pageSize", "pagesize", "limit", "count", "size", "max_results", "maxResults",
    "page[size]", "first", "top",
)  # fmt: skip
PAGES = ("page", "page_number", "pageNumber", "page[number]")
OFFSETS = ("offset", "start", "skip", "startAt", "page[offset]")
CURSORS = (
    "cursor", "after", "page_token", "pageToken", "next_token", "nextToken", "continuation_token", "marker", "continue",
    "page[cursor]", "page[after]", "starting_after",
)  # fmt: skip
NEXT = frozenset(
    {
        "next_cursor", "nextcursor", "next", "next_page_token", "nextpagetoken", "next_token", "nexttoken", "cursor",
        "after", "end_cursor", "continuation_token", "marker", "continue", "next_page",
    }
)  # fmt: skip
MOST = re.compile(r"max(?:imum)?\D{0,20}(\d+)", re.IGNORECASE)
MOST_ROWS = 1000
"""The largest page that is asked for, whatever an API would give."""


def paging(document: Document, of: Operation, answer: Known) -> Mapping[str, Any] | None:
    """As it stands in the settings; None where it has no pages, or they are turned in no way that is known."""
    named = {each.name: each for each in of.queries}
    size = _size(named)
    if of.links:
        return {"by": "link", **size}
    if (cursor := _first(named, CURSORS)) and (at := _next(document, answer)):
        return {"by": "cursor", "parameter": cursor.name, "next": at, **size}
    if page := _first(named, PAGES):
        first = page.of.default if page.of.default == 0 else 1
        return {"by": "page", "parameter": page.name, **({"first": 0} if first == 0 else {}), **size}
    if offset := _first(named, OFFSETS):
        return {"by": "offset", "parameter": offset.name, **size}
    return None


def _first(named: Mapping[str, Parameter], names: tuple[str, ...]) -> Parameter | None:
    return next((named[each] for each in names if each in named), None)


def _size(named: Mapping[str, Parameter]) -> Mapping[str, Any]:
    """The largest page it is said to give; where nothing is said, pages keep their own size."""
    found = _first(named, SIZES)
    if found is None:
        return {}
    said = MOST.search(found.comment)
    most = found.of.most or (int(said[1]) if said else None) or found.of.default
    return {"size_parameter": found.name, "size": min(most, MOST_ROWS)} if type(most) is int and most > 0 else {}


def _next(document: Document, answer: Known, place: tuple[str, ...] = ()) -> str:
    """Where in an answer the next cursor lies, two steps deep at most."""
    inner = []
    for name, schema in answer.properties.items():
        each = known(document, schema)
        if name.lower() in NEXT and each.type in ("string", "integer") and each.format not in ("uri", "url"):
            return ".".join((*place, name))
        if each.type == "object" and not place:
            inner.append((name, each))
    return next((at for name, each in inner if (at := _next(document, each, (name,)))), "")
