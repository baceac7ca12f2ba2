"""Find how the pages of an OpenAPI operation follow each other, in its parameters and in its responses."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from onedoor.codegen.naming import split_words, to_snake_case
from onedoor.connectors.json_rows import LAST_ITEM, JsonPath, build_json_path_setting
from onedoor.connectors.rest.openapi.document import OpenApiDocument
from onedoor.connectors.rest.openapi.envelopes import LINK_WORDS, PAGING_EVIDENCE
from onedoor.connectors.rest.openapi.operations import OpenApiOperation, OpenApiParameter
from onedoor.connectors.rest.openapi.schemas import ResolvedSchema, resolve_schema

MAX_PAGING_DEPTH = 3

PAGE_SIZE_NAMES = (
    "per_page", "page_size", "pagesize", "limit", "count", "size", "max_results", "first", "top", "max_page_size",
)  # fmt: skip

PAGE_NUMBER_NAMES = ("page", "page_number", "page_no", "page_index")

OFFSET_NAMES = ("offset", "start", "skip", "start_at", "page_offset", "start_index")

CURSOR_NAMES = (
    "cursor", "after", "page_token", "next_token", "continuation_token", "marker", "continue", "page_cursor",
    "page_after", "starting_after", "next_page_token", "next_cursor", "pagination_token", "next_marker",
)  # fmt: skip

NEXT_CURSOR_NAMES = frozenset(
    {
        "next_cursor", "nextcursor", "next", "next_page_token", "nextpagetoken", "next_token", "nexttoken", "cursor",
        "after", "end_cursor", "continuation_token", "marker", "continue", "next_page", "next_marker", "last_id",
        "metadata_continue", "next_page_cursor", "pagination_token",
    }
)  # fmt: skip

LAST_ROW_CURSOR_NAMES = frozenset({"starting_after", "after", "after_id"})
"""Cursors that are the id of the last row, where the response names no other."""

MORE_NAMES = frozenset({"more", "has_more", "has_next", "has_next_page", "is_truncated", "more_results", "more_items"})

LAST_PAGE_NAMES = frozenset({"is_last", "last", "last_page", "is_last_page"})

MAXIMUM_PATTERN = re.compile(r"max(?:imum)?\D{0,20}(\d+)", re.IGNORECASE)

MAX_PAGE_SIZE = 1000
"""The largest page that is requested, whatever an API would give."""

Parameters = Mapping[str, OpenApiParameter]
"""Parameters by their names in snake_case."""


def has_page_parameters(operation: OpenApiOperation) -> bool:
    """Tell whether an operation takes the number, the offset, the cursor or the size of a page."""
    names = (*PAGE_NUMBER_NAMES, *OFFSET_NAMES, *CURSOR_NAMES, *PAGE_SIZE_NAMES)
    return not _index_parameters(operation).keys().isdisjoint(names)


def has_unknown_pages(document: OpenApiDocument, operation: OpenApiOperation) -> bool:
    """Tell whether an operation for which no paging is found seems to answer with one page of several."""
    names = (*PAGE_NUMBER_NAMES, *OFFSET_NAMES, *CURSOR_NAMES)
    if not _index_parameters(operation).keys().isdisjoint(names):
        return True
    leaves = _iterate_leaves(document, operation.response or ResolvedSchema(), ())
    return any(not {"next", "more", "cursor"}.isdisjoint(split_words(path[-1])) for path, _ in leaves)


def find_paging(
    document: OpenApiDocument, operation: OpenApiOperation, rows_path: JsonPath, key_path: JsonPath
) -> Mapping[str, Any] | None:
    """Return the setting `paging`; None where there are no pages, or they follow each other in no known way.

    `key_path`: where in a row its key lies; empty when it has none.
    """
    parameters = _index_parameters(operation)
    leaves = list(_iterate_leaves(document, operation.response or ResolvedSchema(), ()))
    size = _find_page_size(parameters)
    if operation.has_link_header:
        return {"by": "link", **size}
    if next_link := _find_next_link(leaves):
        return {"by": "link", "next": build_json_path_setting(next_link), **size}
    more = _find_more(leaves)
    if cursor := _find_first_parameter(parameters, CURSOR_NAMES):
        next_path = _find_next_cursor(leaves)
        if not next_path and more and key_path and to_snake_case(split_words(cursor.name)) in LAST_ROW_CURSOR_NAMES:
            next_path = (*rows_path, LAST_ITEM, *key_path)
        if next_path:
            place = build_json_path_setting(next_path)
            return {"by": "cursor", "parameter": cursor.name, "next": place, **more, **size}
    if page := _find_first_parameter(parameters, PAGE_NUMBER_NAMES):
        first = {"first": 0} if page.schema.default == 0 else {}
        return {"by": "page", "parameter": page.name, **first, **more, **size}
    if offset := _find_first_parameter(parameters, OFFSET_NAMES):
        first = {"first": 1} if offset.schema.default == 1 else {}
        return {"by": "offset", "parameter": offset.name, **first, **more, **size}
    return None


def _index_parameters(operation: OpenApiOperation) -> Parameters:
    return {to_snake_case(split_words(parameter.name)): parameter for parameter in operation.query_parameters}


def _find_first_parameter(parameters: Parameters, names: tuple[str, ...]) -> OpenApiParameter | None:
    return next((parameters[name] for name in names if name in parameters), None)


def _find_page_size(parameters: Parameters) -> Mapping[str, Any]:
    """Return the largest page that the document promises; nothing where it says nothing."""
    parameter = _find_first_parameter(parameters, PAGE_SIZE_NAMES)
    if parameter is None:
        return {}
    match = MAXIMUM_PATTERN.search(parameter.comment)
    size = parameter.schema.maximum or (int(match[1]) if match else None) or parameter.schema.default
    if type(size) is not int or size <= 0:
        return {}
    return {"size_parameter": parameter.name, "size": min(size, MAX_PAGE_SIZE)}


Leaf = tuple[JsonPath, ResolvedSchema]
"""A value in an envelope, and its path."""


def _iterate_leaves(document: OpenApiDocument, envelope: ResolvedSchema, place: JsonPath) -> Iterator[Leaf]:
    """Yield the values of an envelope before those of the objects in it, which are not the rows."""
    objects = []
    for name, node in envelope.properties.items():
        schema, path = resolve_schema(document, node), (*place, name)
        if schema.type == "object" and len(path) < MAX_PAGING_DEPTH:
            objects.append((path, schema))
        elif schema.type in ("string", "integer", "boolean"):
            yield path, schema
    for path, schema in objects:
        yield from _iterate_leaves(document, schema, path)


def _find_next_cursor(leaves: list[Leaf]) -> JsonPath:
    """Return the path of the next cursor in a response, two steps at most; empty where there is none."""
    paths = (
        path
        for path, schema in leaves
        if len(path) <= 2
        and schema.type in ("string", "integer")
        and schema.format not in ("uri", "url")
        and to_snake_case(split_words(path[-1])) in NEXT_CURSOR_NAMES
    )
    return next(paths, ())


def _find_next_link(leaves: list[Leaf]) -> JsonPath:
    """Return the path of the URL of the next page; empty where none says that it is a URL."""
    for path, schema in leaves:
        words = [set(split_words(step)) for step in path]
        is_next = "next" in words[-1] or (len(path) > 1 and "next" in words[-2] and bool(words[-1] & LINK_WORDS))
        is_link = schema.format in ("uri", "url") or any(step & LINK_WORDS for step in words)
        if schema.type == "string" and is_next and is_link:
            return path
    return ()


def _find_more(leaves: list[Leaf]) -> Mapping[str, Any]:
    """Return the setting for the place of the boolean that says whether another page follows."""
    for path, schema in leaves:
        name = to_snake_case(split_words(path[-1]))
        is_beside_rows = len(path) == 1 or not PAGING_EVIDENCE.isdisjoint(split_words(path[-2]))
        if schema.type != "boolean" or not (is_beside_rows or name in MORE_NAMES):
            continue
        if name in MORE_NAMES or name == "next_page":
            return {"more": build_json_path_setting(path)}
        if name in LAST_PAGE_NAMES:
            return {"last": build_json_path_setting(path)}
    return {}
