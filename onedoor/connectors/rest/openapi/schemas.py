"""Resolve the schemas of an OpenAPI document: follow references, merge `allOf`, `anyOf` and `oneOf`, set null apart."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from onedoor.connectors.rest.openapi.document import JsonNode, OpenApiDocument

MAX_SCHEMA_DEPTH = 8

SCALAR_TYPES = frozenset({"string", "integer", "number", "boolean"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedSchema:
    """A schema without references. `name` is that of its component, if it is one; an empty `type` is any type."""

    type: str = ""
    name: str = ""
    format: str = ""
    nullable: bool = False
    comment: str = ""
    enum_values: tuple[str, ...] = ()
    properties: Mapping[str, Any] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    items: Any = None
    maximum: int | None = None
    default: Any = None


def resolve_schema(document: OpenApiDocument, schema: Any, depth: int = 0) -> ResolvedSchema:
    """Resolve a schema; one that contains itself is of any type at some depth."""
    node = document.resolve(schema)
    if depth > MAX_SCHEMA_DEPTH or not node:
        return ResolvedSchema()
    resolved = _resolve_own_keywords(node, _parse_reference_name(schema))
    for keyword, merge in (("allOf", _merge_all_of), ("anyOf", _merge_any_of), ("oneOf", _merge_any_of)):
        parts = node.get(keyword)
        if isinstance(parts, Sequence) and not isinstance(parts, str) and parts:
            not_null = [part for part in parts if not _is_null_schema(document.resolve(part))]
            nullable = resolved.nullable or len(not_null) < len(parts)
            resolved = merge(resolved, [resolve_schema(document, part, depth + 1) for part in not_null], nullable)
    return resolved


def _parse_reference_name(schema: Any) -> str:
    reference = schema.get("$ref", "") if isinstance(schema, Mapping) else ""
    return str(reference).rpartition("/")[2]


def _is_null_schema(node: JsonNode) -> bool:
    return node.get("type") == "null" or node.get("enum") == [None]


def _resolve_own_keywords(node: JsonNode, name: str) -> ResolvedSchema:
    properties, required = node.get("properties"), node.get("required")
    declared = node.get("type", "object" if isinstance(properties, Mapping) else "")
    types = [declared] if isinstance(declared, str) else [text for text in declared if isinstance(text, str)]
    types_but_null = [text for text in types if text != "null"]
    values = node.get("enum", [node["const"]] if "const" in node else [])
    values = values if isinstance(values, list) else []
    texts = tuple(value for value in values if isinstance(value, str) and value)
    return ResolvedSchema(
        type=types_but_null[0] if len(types_but_null) == 1 else "",
        name=name,
        format=str(node.get("format", "")),
        nullable=node.get("nullable") is True or "null" in types or None in values,
        comment=_extract_first_sentence(node.get("description")),
        enum_values=texts if len(texts) == len([value for value in values if value is not None]) else (),
        properties=properties if isinstance(properties, Mapping) else {},
        required=frozenset(text for text in required if isinstance(text, str))
        if isinstance(required, list)
        else frozenset(),
        items=node.get("items"),
        maximum=_parse_integer(node.get("maximum", node.get("maxItems"))),
        default=node.get("default"),
    )


def _extract_first_sentence(text: Any) -> str:
    line = str(text or "").strip().partition("\n\n")[0].replace("\n", " ").strip()
    sentence, stop, _ = line.partition(". ")
    return f"{sentence}." if stop else line


def _parse_integer(value: Any) -> int | None:
    return value if type(value) is int else None


def _merge_all_of(own: ResolvedSchema, parts: Sequence[ResolvedSchema], nullable: bool) -> ResolvedSchema:
    """Keep what any part says, and the type where no two parts differ in it."""
    schemas = [own, *parts]
    types = {schema.type for schema in schemas if schema.type}
    properties: dict[str, Any] = {}
    for schema in schemas:
        properties |= schema.properties
    return replace(
        next((schema for schema in schemas if schema.type), own),
        type=next(iter(types)) if len(types) == 1 else "",
        name=own.name or (parts[0].name if len(parts) == 1 else ""),
        comment=own.comment or next((part.comment for part in parts if part.comment), ""),
        nullable=nullable or any(part.nullable for part in parts),
        properties=properties,
        required=frozenset[str]().union(*(schema.required for schema in schemas)),
    )


def _merge_any_of(own: ResolvedSchema, parts: Sequence[ResolvedSchema], nullable: bool) -> ResolvedSchema:
    """Keep what all parts have in common."""
    nullable = nullable or any(part.nullable for part in parts)
    types = {part.type for part in parts}
    if len(parts) == 1:
        (part,) = parts
        return replace(part, name=own.name or part.name, comment=own.comment or part.comment, nullable=nullable)
    if types == {"object"}:
        first = parts[0]
        shared = set(first.properties).intersection(*(part.properties for part in parts))
        return replace(
            first,
            name=own.name,
            comment=own.comment,
            nullable=nullable,
            properties={name: schema for name, schema in first.properties.items() if name in shared},
            required=first.required.intersection(*(part.required for part in parts)),
        )
    if len(types) == 1 and types <= SCALAR_TYPES:
        common_format = _find_common_format(part.format for part in parts)
        return replace(own, type=parts[0].type, format=common_format, nullable=nullable)
    if types and types <= {"string", "integer"}:
        return replace(own, type="string", nullable=nullable)
    return replace(own, type="" if parts else own.type, nullable=nullable)


def _find_common_format(formats: Iterable[str]) -> str:
    distinct = set(formats)
    return distinct.pop() if len(distinct) == 1 else ""
