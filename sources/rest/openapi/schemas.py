"""A schema in, what it comes to out: references followed, parts put together, null taken apart from the rest."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sources.rest.openapi.document import Document, Node

DEEP = 8
SCALARS = frozenset({"string", "integer", "number", "boolean"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """`name` is what the document calls it, if it does. An empty `type` is anything, or one of several things."""

    type: str = ""
    name: str = ""
    format: str = ""
    nullable: bool = False
    comment: str = ""
    values: tuple[str, ...] = ()
    properties: Mapping[str, Any] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    items: Any = None
    most: int | None = None
    default: Any = None


def known(document: Document, schema: Any, deep: int = 0) -> Known:
    """A ring of schemas ends in anything."""
    node = document.found(schema)
    if deep > DEEP or not node:
        return Known()
    own = _own(node, _name(schema))
    for word, together in (("allOf", _all), ("anyOf", _any), ("oneOf", _any)):
        parts = node.get(word)
        if isinstance(parts, Sequence) and not isinstance(parts, str) and parts:
            found = [known(document, each, deep + 1) for each in parts]
            nullable = own.nullable or any(_null(document.found(each)) for each in parts)
            meant = [one for one, each in zip(found, parts, strict=True) if not _null(document.found(each))]
            own = together(own, meant, nullable)
    return own


def _name(schema: Any) -> str:
    reference = schema.get("$ref", "") if isinstance(schema, Mapping) else ""
    return str(reference).rpartition("/")[2]


def _null(node: Node) -> bool:
    return node.get("type") == "null" or node.get("enum") == [None]


def _own(node: Node, name: str) -> Known:
    types = node.get("type", "object" if isinstance(node.get("properties"), Mapping) else "")
    listed = [types] if isinstance(types, str) else [each for each in types if isinstance(each, str)]
    said = [each for each in listed if each != "null"]
    values = node.get("enum", [node["const"]] if "const" in node else [])
    values = values if isinstance(values, list) else []
    texts = tuple(each for each in values if isinstance(each, str) and each)
    properties = node.get("properties")
    return Known(
        type=said[0] if len(said) == 1 else "",
        name=name,
        format=str(node.get("format", "")),
        nullable=node.get("nullable") is True or "null" in listed or None in values,
        comment=_told(node.get("description")),
        values=texts if len(texts) == len([each for each in values if each is not None]) else (),
        properties=properties if isinstance(properties, Mapping) else {},
        required=frozenset(each for each in node.get("required", ()) if isinstance(each, str))
        if isinstance(node.get("required"), list)
        else frozenset(),
        items=node.get("items"),
        most=_whole(node.get("maximum", node.get("maxItems"))),
        default=node.get("default"),
    )


def _told(text: Any) -> str:
    """The first sentence of a description."""
    line = str(text or "").strip().partition("\n\n")[0].replace("\n", " ").strip()
    head, point, _ = line.partition(". ")
    return f"{head}." if point else line


def _whole(value: Any) -> int | None:
    return value if type(value) is int else None


def _all(own: Known, parts: Sequence[Known], nullable: bool) -> Known:
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


def _any(own: Known, parts: Sequence[Known], nullable: bool) -> Known:
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
    if len(types) == 1 and types <= SCALARS:
        return replace(own, type=parts[0].type, format=_same(each.format for each in parts), nullable=nullable)
    if types and types <= {"string", "integer"}:
        return replace(own, type="string", nullable=nullable)
    return replace(own, type="" if parts else own.type, nullable=nullable)


def _same(formats: Iterable[str]) -> str:
    found = set(formats)
    return found.pop() if len(found) == 1 else ""
