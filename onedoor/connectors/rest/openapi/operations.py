"""Find the operations of an OpenAPI document that read: their paths, parameters, responses and paging."""

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
"""The largest page that is requested, whatever an API would give."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenApiParameter:
    """A parameter; `comma_separated`: several values are joined by a comma, and the parameter is not repeated."""

    name: str
    location: str
    schema: ResolvedSchema
    comment: str
    required: bool
    comma_separated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenApiResponse:
    """A successful response: the schema of its JSON, None where it has none, and what else it may be."""

    schema: ResolvedSchema | None
    is_text: bool
    has_link_header: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenApiOperation:
    """An operation that reads. `path` has its parameters in braces, and the constants already in their places.

    `original_path` is that of the document, `static_segments` are its segments without parameters, and `path_shape`
    all its segments, a parameter as an empty text.
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


def count_operations(document: OpenApiDocument) -> int:
    """Count the operations of every method."""
    items = [item for item in document.root["paths"].values() if isinstance(item, Mapping)]
    return sum(method in item for item in items for method in HTTP_METHODS)


def find_read_operations(document: OpenApiDocument, path_values: Mapping[str, str]) -> Iterator[OpenApiOperation]:
    """Yield the operations that read. `path_values`: by parameter of a path, the one value that it is to have."""
    for path, item in document.root["paths"].items():
        item = document.resolve(item)
        get_operation = item.get("get")
        if isinstance(path, str) and path.startswith("/") and isinstance(get_operation, Mapping):
            yield _parse_operation(document, path, item, get_operation, path_values)


def _parse_operation(
    document: OpenApiDocument, path: str, item: JsonNode, get_operation: JsonNode, path_values: Mapping[str, str]
) -> OpenApiOperation:
    parameters = {
        (parameter.name, parameter.location): parameter
        for parameter in _parse_parameters(document, item, get_operation)
    }
    segments = [segment for segment in path.split("/") if segment]
    by_name = {parameter.name: parameter for parameter in parameters.values() if parameter.location == "path"}
    path_parameters = [
        by_name.get(segment[1:-1]) or _build_text_parameter(segment[1:-1])
        for segment in segments
        if _is_path_parameter(segment)
    ]
    filled_path = path
    for name, value in path_values.items():
        filled_path = filled_path.replace(f"{{{name}}}", quote(value, safe=""))
    response = _parse_response(document, get_operation)
    return OpenApiOperation(
        path=filled_path,
        original_path=path,
        static_segments=tuple(to_snake_case(split_words(segment)) for segment in segments if "{" not in segment),
        path_parameters=tuple(parameter for parameter in path_parameters if parameter.name not in path_values),
        query_parameters=tuple(parameter for parameter in parameters.values() if parameter.location == "query"),
        tags=tuple(tag for tag in get_operation.get("tags", ()) if isinstance(tag, str)),
        comment=str(get_operation.get("summary") or "").strip(),
        response=response.schema,
        returns_text=response.is_text,
        has_link_header=response.has_link_header,
        path_shape=tuple(
            path_values.get(segment[1:-1], "") if _is_path_parameter(segment) else segment for segment in segments
        ),
    )


def _is_path_parameter(segment: str) -> bool:
    return segment.startswith("{") and segment.endswith("}")


def _build_text_parameter(name: str) -> OpenApiParameter:
    return OpenApiParameter(name=name, location="path", schema=ResolvedSchema(type="string"), comment="", required=True)


def _parse_parameters(document: OpenApiDocument, *owners: JsonNode) -> Iterator[OpenApiParameter]:
    for owner in owners:
        nodes = owner.get("parameters", ())
        for node in map(document.resolve, nodes if isinstance(nodes, Sequence) else ()):
            if isinstance(node.get("name"), str):
                yield OpenApiParameter(
                    name=node["name"],
                    location=str(node.get("in")),
                    schema=resolve_schema(document, node.get("schema", {})),
                    comment=str(node.get("description") or ""),
                    required=node.get("required") is True,
                    comma_separated=node.get("explode") is False,
                )


def _parse_response(document: OpenApiDocument, get_operation: JsonNode) -> OpenApiResponse:
    responses: Any = get_operation.get("responses")
    responses = responses if isinstance(responses, Mapping) else {}
    successful: Any = next((responses[status] for status in ("200", 200, "2XX", "default") if status in responses), {})
    response = document.resolve(successful)
    has_link_header = any(str(header).lower() == "link" for header in response.get("headers") or ())
    content = response.get("content") or {}
    media_types = {str(name).partition(";")[0].strip(): media for name, media in content.items()}
    for name, media in media_types.items():
        if name.endswith(("/json", "+json", "*/*")) and isinstance(media, Mapping):
            schema = resolve_schema(document, media.get("schema", {}))
            return OpenApiResponse(schema=schema, is_text=False, has_link_header=has_link_header)
    is_text = all(name.startswith("text/") and name != "text/html" for name in media_types)
    return OpenApiResponse(schema=None, is_text=bool(media_types) and is_text, has_link_header=has_link_header)


def is_selected(operation: OpenApiOperation, patterns: Sequence[str]) -> bool:
    """Tell whether patterns select an operation by a tag or its path.

    One that begins with `!` excludes; without any other, all operations are selected.
    """
    excluded = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    included = [pattern for pattern in patterns if not pattern.startswith("!")]
    texts = [*operation.tags, operation.original_path]
    return (not included or _matches_any(texts, included)) and not _matches_any(texts, excluded)


def _matches_any(texts: Sequence[str], patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(text, pattern) for text in texts for pattern in patterns)


def find_paging(
    document: OpenApiDocument, operation: OpenApiOperation, response: ResolvedSchema
) -> Mapping[str, Any] | None:
    """Return the setting `paging`; None where there are no pages, or they follow each other in no known way."""
    parameters = {parameter.name: parameter for parameter in operation.query_parameters}
    size = _find_page_size(parameters)
    if operation.has_link_header:
        return {"by": "link", **size}
    cursor = _find_first_parameter(parameters, CURSOR_NAMES)
    if cursor and (next_path := _find_next_cursor(document, response)):
        return {"by": "cursor", "parameter": cursor.name, "next": next_path, **size}
    if page := _find_first_parameter(parameters, PAGE_NUMBER_NAMES):
        first = {"first": 0} if page.schema.default == 0 else {}
        return {"by": "page", "parameter": page.name, **first, **size}
    if offset := _find_first_parameter(parameters, OFFSET_NAMES):
        return {"by": "offset", "parameter": offset.name, **size}
    return None


def _find_first_parameter(
    parameters: Mapping[str, OpenApiParameter], names: tuple[str, ...]
) -> OpenApiParameter | None:
    return next((parameters[name] for name in names if name in parameters), None)


def _find_page_size(parameters: Mapping[str, OpenApiParameter]) -> Mapping[str, Any]:
    """Return the largest page that the document promises; nothing where it says nothing."""
    parameter = _find_first_parameter(parameters, PAGE_SIZE_NAMES)
    if parameter is None:
        return {}
    match = MAXIMUM_PATTERN.search(parameter.comment)
    size = parameter.schema.maximum or (int(match[1]) if match else None) or parameter.schema.default
    if type(size) is not int or size <= 0:
        return {}
    return {"size_parameter": parameter.name, "size": min(size, MAX_PAGE_SIZE)}


def _find_next_cursor(document: OpenApiDocument, response: ResolvedSchema, place: tuple[str, ...] = ()) -> str:
    """Return the path of the next cursor in a response, two steps at most; empty where there is none."""
    objects = []
    for name, node in response.properties.items():
        schema = resolve_schema(document, node)
        is_cursor = schema.type in ("string", "integer") and schema.format not in ("uri", "url")
        if is_cursor and name.lower() in NEXT_CURSOR_NAMES:
            return ".".join((*place, name))
        if schema.type == "object" and not place:
            objects.append((name, schema))
    paths = (_find_next_cursor(document, schema, (name,)) for name, schema in objects)
    return next(filter(None, paths), "")
