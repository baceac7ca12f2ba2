"""A schema in, what it comes to out: references followed, parts put together, null taken apart from the rest."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from onedoor.connectors.rest.openapi.document import JsonNode, OpenApiDocument

MAX_SCHEMA_DEPTH = 8

SCALAR_TYPES = frozenset({"string", "integer", "number", "boolean"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedSchema:
    """`name` is what the document calls it, if it does. An empty `type` is anything, or one of several things."""

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
    """A ring of schemas ends in anything."""
    node = document.resolve(schema)
    if depth > MAX_SCHEMA_DEPTH or not node:
        return ResolvedSchema()
    own = _resolve_own_keywords(node, _parse_reference_name(schema))
    for word, together in (("allOf", _merge_all_of), ("anyOf", _merge_any_of), ("oneOf", _merge_any_of)):
        parts = node.get(word)
        if isinstance(parts, Sequence) and not isinstance(parts, str) and parts:
            found = [resolve_schema(document, each, depth + 1) for each in parts]
            nullable = own.nullable or any(_is_null_schema(document.resolve(each)) for each in parts)
            meant = [one for one, each in zip(found, parts, strict=True) if not _is_null_schema(document.resolve(each))]
            own = together(own, meant, nullable)
    return own


def _parse_reference_name(schema: Any) -> str:
    reference = schema.get("$ref", "") if isinstance(schema, Mapping) else ""
    return str(reference).rpartition("/")[2]


def _is_null_schema(node: JsonNode) -> bool:
    return node.get("type") == "null" or node.get("enum") == [None]


def _resolve_own_keywords(node: JsonNode, name: str) -> ResolvedSchema:
    types = node.get("type", "object" if isinstance(node.get("properties"), Mapping) else "")
    listed = [types] if isinstance(types, str) else [each for each in types if isinstance(each, str)]
    said = [each for each in listed if each != "null"]
    values = node.get("enum", [node["const"]] if "const" in node else [])
    values = values if isinstance(values, list) else []
    texts = tuple(each for each in values if isinstance(each, str) and each)
    properties = node.get("properties")
    return ResolvedSchema(
        type=said[0] if len(said) == 1 else "",
        name=name,
        format=str(node.get("format", "")),
        nullable=node.get("nullable") is True or "null" in listed or None in values,
        comment=_extract_first_sentence(node.get("description")),
        enum_values=texts if len(texts) == len([each for each in values if each is not None]) else (),
        properties=properties if isinstance(properties, Mapping) else {},
        required=frozenset(each for each in node.get("required", ()) if isinstance(each, str))
        if isinstance(node.get("required"), list)
        else frozenset(),
        items=node.get("items"),
        maximum=_parse_integer(node.get("maximum", node.get("maxItems"))),
        default=node.get("default"),
    )


def _extract_first_sentence(text: Any) -> str:
    """The first sentence of a description."""
    line = str(text or "").strip().partition("\n\n")[0].replace("\n", " ").strip()
    head, point, _ = line.partition(". ")
    return f"{head}." if point else line


def _parse_integer(value: Any) -> int | None:
    return value if type(value) is int else None


def _merge_all_of(own: ResolvedSchema, parts: Sequence[ResolvedSchema], nullable: bool) -> ResolvedSchema:
    """What holds of every part holds; of a type that one of them says, and the rest do not deny."""
    whole = [own, *parts]
    types = {each.type for each in whole if each.type}
    properties: dict[str, Any] = {}
    for each in whole:
        properties |= each.properties
    return replace(
        next((each for each in (own, *parts) if each.type), own),
        type=next(iter(types)) if len(types) == 1 else "",
        name=own.name or (parts[0].name if len(parts) == 1 else ""),
        comment=own.comment or next((each.comment for each in parts if each.comment), ""),
        nullable=nullable or any(each.nullable for each in parts),
        properties=properties,
        required=frozenset[str]().union(*(each.required for each in whole)),
    )


def _merge_any_of(own: ResolvedSchema, parts: Sequence[ResolvedSchema], nullable: bool) -> ResolvedSchema:
    """Of several things, what they have in common."""
    nullable = nullable or any(each.nullable for each in parts)
    types = {each.type for each in parts}
    if len(parts) == 1:
        return replace(parts[0], name=own.name or parts[0].name, comment=own.comment or parts[0].comment,
                       nullable=nullable)  # fmt: skip
    if types == {"object"}:
        shared = set(parts[0].properties).intersection(*(each.properties for each in parts))
        return replace(
            parts[0], name=own.name, comment=own.comment, nullable=nullable,
            properties={name: each for name, each in parts[0].properties.items() if name in shared},
            required=parts[0].required.intersection(*(each.required for each in parts)),
        )  # fmt: skip
    if len(types) == 1 and types <= SCALAR_TYPES:
        return replace(
            own, type=parts[0].type, format=_find_common_format(each.format for each in parts), nullable=nullable
        )
    if types and types <= {"string", "integer"}:
        return replace(own, type="string", nullable=nullable)
    return replace(own, type="" if parts else own.type, nullable=nullable)


def _find_common_format(formats: Iterable[str]) -> str:
    found = set(formats)
    return found.pop() if len(found) == 1 else ""
