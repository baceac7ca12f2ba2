"""Find the operations of an OpenAPI document that read: their paths, parameters and responses."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import takewhile
from typing import Any
from urllib.parse import quote

from onedoor.codegen.naming import Words, split_words, to_snake_case
from onedoor.connectors.rest.openapi.document import JsonNode, OpenApiDocument
from onedoor.connectors.rest.openapi.schemas import ResolvedSchema, resolve_schema
from onedoor.connectors.rest.openapi.servers import HTTP_METHODS, find_main_server, is_served_elsewhere

READ_STATUSES = ("200", 200, "2XX", "default")

PARAMETER_SEGMENT = re.compile(r"\{([^{}]+)\}(?P<suffix>[^{}]*)")
"""A segment that is a parameter, with an extension or a verb after it: `{id}.json`, `{id}:cancel`."""

FORMAT_EXTENSION = re.compile(r"\.(?:json|xml)$", re.IGNORECASE)
"""What a path ends in to say the format of its response."""

PREFIX_SEGMENT = re.compile(r"api|rest|v\d+(?:[._-]?\w+)?|\d[\d._-]*", re.IGNORECASE)
"""A segment before the nouns of a path, such as a version."""


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

    `original_path` is that of the document, `prefix` the names of the segments before its nouns, such as a version,
    `static_segments` those of the others that are no parameters, and `path_shape` all its segments, a parameter as an
    empty text; none has the extension at the path's end. `has_other_server`: it is served from another base URL.
    """

    path: str
    original_path: str
    prefix: str
    static_segments: tuple[str, ...]
    path_parameters: tuple[OpenApiParameter, ...]
    query_parameters: tuple[OpenApiParameter, ...]
    tags: tuple[str, ...]
    comment: str
    response: ResolvedSchema | None
    returns_text: bool
    has_link_header: bool
    path_shape: tuple[str, ...]
    has_other_server: bool = False

    @property
    def segment_words(self) -> tuple[Words, ...]:
        return tuple(split_words(segment) for segment in self.static_segments)


def count_operations(document: OpenApiDocument) -> int:
    """Count the operations of every method."""
    items = [item for item in document.root["paths"].values() if isinstance(item, Mapping)]
    return sum(method in item for item in items for method in HTTP_METHODS)


def find_read_operations(
    document: OpenApiDocument, path_values: Mapping[str, str], base_url: str = ""
) -> Iterator[OpenApiOperation]:
    """Yield the operations that read. `path_values`: by parameter of a path, the one value that it is to have."""
    main_server = find_main_server(document, base_url)
    for path, item in document.root["paths"].items():
        item = document.resolve(item)
        get_operation = item.get("get")
        if isinstance(path, str) and path.startswith("/") and isinstance(get_operation, Mapping):
            operation = _parse_operation(document, path, item, get_operation, path_values)
            elsewhere = is_served_elsewhere((get_operation, item, document.root), main_server)
            yield replace(operation, has_other_server=elsewhere)


def _parse_operation(
    document: OpenApiDocument, path: str, item: JsonNode, get_operation: JsonNode, path_values: Mapping[str, str]
) -> OpenApiOperation:
    parameters = {
        (parameter.name, parameter.location): parameter for parameter in parse_parameters(document, item, get_operation)
    }
    segments = split_path(path)
    by_name = {parameter.name: parameter for parameter in parameters.values() if parameter.location == "path"}
    names = [match[1] for match in map(PARAMETER_SEGMENT.fullmatch, segments) if match]
    path_parameters = [by_name.get(name) or _build_text_parameter(name) for name in names]
    filled_path = path
    for name, value in path_values.items():
        filled_path = filled_path.replace(f"{{{name}}}", quote(value, safe=""))
    response = parse_success_response(document, get_operation, READ_STATUSES)
    static_segments = [segment for segment in segments if "{" not in segment]
    prefix = [*takewhile(PREFIX_SEGMENT.fullmatch, static_segments[:-1])]
    return OpenApiOperation(
        path=filled_path,
        original_path=path,
        prefix=".".join(map(_name_segment, prefix)),
        static_segments=tuple(map(_name_segment, static_segments[len(prefix) :])),
        path_parameters=tuple(parameter for parameter in path_parameters if parameter.name not in path_values),
        query_parameters=tuple(parameter for parameter in parameters.values() if parameter.location == "query"),
        tags=get_tags(get_operation),
        comment=str(get_operation.get("summary") or "").strip(),
        response=response.schema,
        returns_text=response.is_text,
        has_link_header=response.has_link_header,
        path_shape=build_path_shape(segments, path_values),
    )


def get_tags(operation: JsonNode) -> tuple[str, ...]:
    return tuple(tag for tag in operation.get("tags") or () if isinstance(tag, str))


def split_path(path: str) -> list[str]:
    """Split a path into its segments, without the extension of a format at its end."""
    return [segment for segment in FORMAT_EXTENSION.sub("", path).split("/") if segment]


def build_path_shape(segments: Sequence[str], path_values: Mapping[str, str]) -> tuple[str, ...]:
    """Return all segments with a parameter as an empty text, or its constant; what follows it is a segment apart."""
    shape: list[str] = []
    for segment in segments:
        match = PARAMETER_SEGMENT.fullmatch(segment)
        shape += [segment] if match is None else [path_values.get(match[1], ""), *filter(None, [match["suffix"]])]
    return tuple(shape)


def _name_segment(segment: str) -> str:
    return to_snake_case(split_words(segment))


def _build_text_parameter(name: str) -> OpenApiParameter:
    return OpenApiParameter(name=name, location="path", schema=ResolvedSchema(type="string"), comment="", required=True)


def parse_parameters(document: OpenApiDocument, *owners: JsonNode) -> Iterator[OpenApiParameter]:
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


def parse_success_response(
    document: OpenApiDocument, operation: JsonNode, statuses: Sequence[str | int]
) -> OpenApiResponse:
    """Parse the response of the first of the statuses that an operation has."""
    responses: Any = operation.get("responses")
    responses = responses if isinstance(responses, Mapping) else {}
    successful: Any = next((responses[status] for status in statuses if status in responses), {})
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


def is_selected(names: Sequence[str], patterns: Sequence[str]) -> bool:
    """Tell whether patterns select an operation by its path or a tag, which are `names`.

    One that begins with `!` excludes; without any other, all operations are selected.
    """
    excluded = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    included = [pattern for pattern in patterns if not pattern.startswith("!")]
    return (not included or _matches_any(names, included)) and not _matches_any(names, excluded)


def _matches_any(texts: Sequence[str], patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(text, pattern) for text in texts for pattern in patterns)
