"""A document in, the operations that read out: their paths, their parameters and what they answer."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import quote

from onedoor.codegen.naming import split_words, to_snake_case
from onedoor.connectors.rest.openapi.document import JsonNode, OpenApiDocument
from onedoor.connectors.rest.openapi.schemas import ResolvedSchema, resolve_schema

HTTP_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenApiParameter:
    """`form`: several values are joined by a comma, and not repeated."""

    name: str
    location: str
    schema: ResolvedSchema
    comment: str
    required: bool
    comma_separated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenApiOperation:
    """`path` with the parameters it takes in braces, `steps` its other parts; constants are already in place.

    `written` is the path as the document has it.
    `answer` is None where it gives no JSON, `text` says that it gives a plain text. `links`: it has a Link header.
    """

    path: str
    original_path: str
    static_segments: tuple[str, ...]
    path_parameters: tuple[OpenApiParameter, ...]
    query_parameters: tuple[OpenApiParameter, ...]
    tags: tuple[str, ...]
    comment: str
    response: ResolvedSchema | None
    returns_text: bool
    has_link_header: bool
    path_shape: tuple[str, ...]
    """The parts of its path, a parameter as nothing."""


def count_operations(document: OpenApiDocument) -> int:
    """How many operations there are, of any verb."""
    items = [each for each in document.root["paths"].values() if isinstance(each, Mapping)]
    return sum(verb in each for each in items for verb in HTTP_METHODS)


def find_read_operations(document: OpenApiDocument, path_values: Mapping[str, str]) -> Iterator[OpenApiOperation]:
    """Those that read. `given`: by parameter of a path, the one value it is to have."""
    for path, item in document.root["paths"].items():
        item = document.resolve(item)
        reading = item.get("get")
        if isinstance(path, str) and path.startswith("/") and isinstance(reading, Mapping):
            yield _parse_operation(document, path, item, reading, path_values)


def _parse_operation(
    document: OpenApiDocument, path: str, item: JsonNode, get_operation: JsonNode, path_values: Mapping[str, str]
) -> OpenApiOperation:
    taken = {(each.name, each.location): each for each in _parse_parameters(document, item, get_operation)}
    parts = [each for each in path.split("/") if each]
    named = {each.name: each for each in taken.values() if each.location == "path"}
    places = [named.get(part[1:-1]) or _build_text_parameter(part[1:-1]) for part in parts if _is_path_parameter(part)]
    whole = path
    for name, value in path_values.items():
        whole = whole.replace(f"{{{name}}}", quote(value, safe=""))
    left = tuple(each for each in places if each.name not in path_values)
    shape = (path_values.get(part[1:-1], "") if _is_path_parameter(part) else part for part in parts)
    answer, links, text = _parse_response(document, get_operation)
    return OpenApiOperation(
        path=whole,
        original_path=path,
        static_segments=tuple(to_snake_case(split_words(part)) for part in parts if "{" not in part),
        path_parameters=left,
        query_parameters=tuple(each for each in taken.values() if each.location == "query"),
        tags=tuple(str(each) for each in get_operation.get("tags", ()) if isinstance(each, str)),
        comment=str(get_operation.get("summary") or "").strip(),
        response=answer,
        returns_text=text,
        has_link_header=links,
        path_shape=tuple(shape),
    )


def _is_path_parameter(part: str) -> bool:
    return part.startswith("{") and part.endswith("}")


def _build_text_parameter(name: str) -> OpenApiParameter:
    return OpenApiParameter(name=name, location="path", schema=ResolvedSchema(type="string"), comment="", required=True)


def _parse_parameters(document: OpenApiDocument, *of: JsonNode) -> Iterator[OpenApiParameter]:
    for listed in (each.get("parameters", ()) for each in of):
        for each in map(document.resolve, listed if isinstance(listed, Sequence) else ()):
            if isinstance(each.get("name"), str):
                yield OpenApiParameter(
                    name=each["name"],
                    location=str(each.get("in")),
                    schema=resolve_schema(document, each.get("schema", {})),
                    comment=str(each.get("description") or ""),
                    required=each.get("required") is True,
                    comma_separated=each.get("explode") is False,
                )


def _parse_response(document: OpenApiDocument, get_operation: JsonNode) -> tuple[ResolvedSchema | None, bool, bool]:
    """What it says where all is well, whether with a Link header, and whether it is a plain text."""
    said: Any = get_operation.get("responses")
    good = [each for each in ("200", 200, "2XX", "default") if isinstance(said, Mapping) and each in said]
    response = document.resolve(said[good[0]]) if good else {}
    content = response.get("content")
    media = {str(each).partition(";")[0].strip(): one for each, one in content.items()} if content else {}
    links = any(str(each).lower() == "link" for each in response.get("headers") or ())
    for name, each in media.items():
        if name.endswith(("/json", "+json", "*/*")) and isinstance(each, Mapping):
            return resolve_schema(document, each.get("schema", {})), links, False
    return None, links, bool(media) and all(each.startswith("text/") and each != "text/html" for each in media)


def is_selected(operation: OpenApiOperation, patterns: Sequence[str]) -> bool:
    """Whether any pattern means it, a tag or a path, and none that begins with `!`; of no patterns: all."""
    out = [each[1:] for each in patterns if each.startswith("!")]
    kept = [each for each in patterns if not each.startswith("!")]
    meant = [*operation.tags, operation.original_path]
    return (not kept or any(fnmatchcase(one, each) for one in meant for each in kept)) and not any(
        fnmatchcase(one, each) for one in meant for each in out
    )


PAGE_SIZE_NAMES = (
    "per_page", "perPage", "page_size", "pageSize", "pagesize", "limit", "count", "size", "max_results", "maxResults",
    "page[size]", "first", "top",
)  # fmt: skip

PAGE_NUMBER_NAMES = ("page", "page_number", "pageNumber", "page[number]")

OFFSET_NAMES = ("offset", "start", "skip", "startAt", "page[offset]")

CURSOR_NAMES = (
    "cursor", "after", "page_token", "pageToken", "next_token", "nextToken", "continuation_token", "marker", "continue",
    "page[cursor]", "page[after]", "starting_after",
)  # fmt: skip

NEXT_CURSOR_NAMES = frozenset(
    {
        "next_cursor", "nextcursor", "next", "next_page_token", "nextpagetoken", "next_token", "nexttoken", "cursor",
        "after", "end_cursor", "continuation_token", "marker", "continue", "next_page",
    }
)  # fmt: skip

MAXIMUM_PATTERN = re.compile(r"max(?:imum)?\D{0,20}(\d+)", re.IGNORECASE)

MAX_PAGE_SIZE = 1000
"""The largest page that is asked for, whatever an API would give."""


def find_paging(
    document: OpenApiDocument, operation: OpenApiOperation, response: ResolvedSchema
) -> Mapping[str, Any] | None:
    """As it stands in the settings; None where it has no pages, or they are turned in no way that is known."""
    named = {each.name: each for each in operation.query_parameters}
    size = _find_page_size(named)
    if operation.has_link_header:
        return {"by": "link", **size}
    if (cursor := _find_first_parameter(named, CURSOR_NAMES)) and (at := _find_next_cursor(document, response)):
        return {"by": "cursor", "parameter": cursor.name, "next": at, **size}
    if page := _find_first_parameter(named, PAGE_NUMBER_NAMES):
        first = page.schema.default if page.schema.default == 0 else 1
        return {"by": "page", "parameter": page.name, **({"first": 0} if first == 0 else {}), **size}
    if offset := _find_first_parameter(named, OFFSET_NAMES):
        return {"by": "offset", "parameter": offset.name, **size}
    return None


def _find_first_parameter(named: Mapping[str, OpenApiParameter], names: tuple[str, ...]) -> OpenApiParameter | None:
    return next((named[each] for each in names if each in named), None)


def _find_page_size(named: Mapping[str, OpenApiParameter]) -> Mapping[str, Any]:
    """The largest page it is said to give; where nothing is said, pages keep their own size."""
    found = _find_first_parameter(named, PAGE_SIZE_NAMES)
    if found is None:
        return {}
    said = MAXIMUM_PATTERN.search(found.comment)
    most = found.schema.maximum or (int(said[1]) if said else None) or found.schema.default
    return {"size_parameter": found.name, "size": min(most, MAX_PAGE_SIZE)} if type(most) is int and most > 0 else {}


def _find_next_cursor(document: OpenApiDocument, response: ResolvedSchema, place: tuple[str, ...] = ()) -> str:
    """Where in an answer the next cursor lies, two steps deep at most."""
    inner = []
    for name, schema in response.properties.items():
        each = resolve_schema(document, schema)
        if (
            name.lower() in NEXT_CURSOR_NAMES
            and each.type in ("string", "integer")
            and each.format not in ("uri", "url")
        ):
            return ".".join((*place, name))
        if each.type == "object" and not place:
            inner.append((name, each))
    return next((at for name, each in inner if (at := _find_next_cursor(document, each, (name,)))), "")
