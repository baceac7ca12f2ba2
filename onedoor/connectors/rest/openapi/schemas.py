"""Resolve the schemas of an OpenAPI document: follow references, merge `allOf`, `anyOf` and `oneOf`, set null apart."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

from onedoor.connectors.rest.openapi.document import JsonNode, OpenApiDocument

MAX_SCHEMA_DEPTH = 8

SCALAR_TYPES = frozenset({"string", "integer", "number", "boolean"})

JOINED_TYPES = {"string": frozenset({"string", "integer"}), "number": frozenset({"integer", "number"})}
"""By type, those whose values a column of it can hold."""

JSON_TYPE_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object"}


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
    write_only: bool = False
    read_only: bool = False


def resolve_schema(document: OpenApiDocument, schema: Any, ancestors: tuple[JsonNode, ...] = ()) -> ResolvedSchema:
    """Resolve a schema; where it is a part of itself, that part is of any type.

    What stands beside a `$ref` holds as well, as OpenAPI 3.1 has it.
    """
    node = document.resolve(schema)
    if not node or len(ancestors) > MAX_SCHEMA_DEPTH or any(node is ancestor for ancestor in ancestors):
        return ResolvedSchema()
    resolved = _resolve_own_keywords(node, _parse_reference_name(schema))
    for keyword, merge in (("allOf", _merge_all_of), ("anyOf", _merge_any_of), ("oneOf", _merge_any_of)):
        parts = node.get(keyword)
        if isinstance(parts, Sequence) and not isinstance(parts, str) and parts:
            not_null = [part for part in parts if not _is_null_schema(document.resolve(part))]
            nullable = resolved.nullable or len(not_null) < len(parts)
            inner = [resolve_schema(document, part, (*ancestors, node)) for part in not_null]
            resolved = merge(resolved, inner, nullable)
    if isinstance(schema, Mapping) and node is not schema and len(schema) > 1:
        beside = _resolve_own_keywords({**schema, "$ref": None}, resolved.name)
        return _merge_all_of(beside, [resolved], beside.nullable or resolved.nullable)
    return resolved


def _parse_reference_name(schema: Any) -> str:
    reference = schema.get("$ref", "") if isinstance(schema, Mapping) else ""
    return str(reference).rpartition("/")[2]


def _is_null_schema(node: JsonNode) -> bool:
    return node.get("type") == "null" or node.get("enum") == [None]


def _resolve_own_keywords(node: JsonNode, name: str) -> ResolvedSchema:
    properties, required = node.get("properties"), node.get("required")
    values = node.get("enum", [node["const"]] if "const" in node else [])
    values = values if isinstance(values, list) else []
    declared = node.get("type", _infer_types(node, values))
    types = [declared] if isinstance(declared, str) else [text for text in declared or () if isinstance(text, str)]
    texts = tuple(value for value in values if isinstance(value, str) and value)
    return ResolvedSchema(
        type=_join_types({text for text in types if text != "null"}),
        name=name,
        format=str(node.get("format", "")),
        nullable=node.get("nullable") is True or "null" in types or None in values,
        comment=_extract_first_sentence(node.get("description")),
        enum_values=texts if len(texts) == len([value for value in values if value is not None]) else (),
        properties={str(key): value for key, value in properties.items()} if isinstance(properties, Mapping) else {},
        required=frozenset(text for text in required if isinstance(text, str))
        if isinstance(required, list)
        else frozenset(),
        items=node.get("items"),
        maximum=_parse_integer(node.get("maximum", node.get("maxItems"))),
        default=node.get("default"),
        write_only=node.get("writeOnly") is True,
        read_only=node.get("readOnly") is True,
    )


def _infer_types(node: JsonNode, values: Sequence[Any]) -> Sequence[str]:
    """Infer the types of a schema that names none from its other keywords."""
    if isinstance(node.get("properties"), Mapping):
        return ("object",)
    if "items" in node:
        return ("array",)
    types = {JSON_TYPE_NAMES.get(type(value), "") for value in values if value is not None}
    return tuple(types)


def _join_types(types: Set[str]) -> str:
    """Return the one type that holds the values of all; empty when there is none."""
    if len(types) == 1:
        return next(iter(types))
    return next((joined for joined, parts in JOINED_TYPES.items() if types and types <= parts), "")


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
    return replace(
        next((schema for schema in schemas if schema.type), own),
        type=next(iter(types)) if len(types) == 1 else "",
        name=own.name or (parts[0].name if len(parts) == 1 else ""),
        comment=own.comment or next((part.comment for part in parts if part.comment), ""),
        nullable=nullable or any(part.nullable for part in parts),
        properties=_merge_properties(schemas, "allOf"),
        required=frozenset[str]().union(*(schema.required for schema in schemas)),
        items=next((schema.items for schema in schemas if schema.items is not None), None),
        write_only=any(schema.write_only for schema in schemas),
        read_only=any(schema.read_only for schema in schemas),
    )


def _merge_properties(schemas: Sequence[ResolvedSchema], keyword: str) -> Mapping[str, Any]:
    """Join by the keyword what several schemas say of one property."""
    nodes: dict[str, list[Any]] = {}
    for schema in schemas:
        for name, node in schema.properties.items():
            known = nodes.setdefault(name, [])
            if not any(_is_same_schema(node, other) for other in known):
                known.append(node)
    return {
        name: alternatives[0] if len(alternatives) == 1 else {keyword: alternatives}
        for name, alternatives in nodes.items()
    }


def _is_same_schema(node: Any, other: Any) -> bool:
    """Tell whether two nodes are one, or nothing but the same reference; YAML's may hold themselves."""
    if node is other:
        return True
    references = [each for each in (node, other) if isinstance(each, Mapping) and [*each] == ["$ref"]]
    return len(references) == 2 and node["$ref"] == other["$ref"]


def _merge_any_of(own: ResolvedSchema, parts: Sequence[ResolvedSchema], nullable: bool) -> ResolvedSchema:
    """Keep what any part has, required where all have it; a part without a type has that of the whole."""
    nullable = nullable or any(part.nullable for part in parts)
    if len(parts) == 1:
        return _merge_all_of(own, parts, nullable)
    types = {part.type or own.type for part in parts}
    joined = _join_types(types)
    merged = replace(own, type=joined, nullable=nullable)
    if joined == "object":
        shared = frozenset.intersection(*(part.required for part in parts))
        alternatives = ResolvedSchema(properties=_merge_properties(parts, "anyOf"))
        properties = _merge_properties([own, alternatives], "allOf")
        return replace(merged, properties=properties, required=own.required | shared)
    if joined == "array":
        items = [part.items for part in parts if part.items is not None]
        return replace(merged, items=own.items if not items else items[0] if len(items) == 1 else {"anyOf": items})
    if joined and parts:
        values = tuple(dict.fromkeys(value for part in parts for value in part.enum_values))
        common_format = _find_common_format(part.format for part in parts) or own.format
        has_values = all(part.enum_values for part in parts)
        return replace(merged, format=common_format, enum_values=values if has_values else own.enum_values)
    return replace(merged, type="" if parts else own.type)


def _find_common_format(formats: Iterable[str]) -> str:
    distinct = set(formats)
    return distinct.pop() if len(distinct) == 1 else ""
