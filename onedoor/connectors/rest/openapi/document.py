"""Parse OpenAPI 3 documents and resolve the references within them."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias
from urllib.parse import unquote

from onedoor.errors import ConfigurationError

JsonNode: TypeAlias = Mapping[str, Any]

MAX_REFERENCES = 50

YAML_SCALARS = (
    ("null", re.compile(r"(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    ("bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    ("int", re.compile(r"[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789")),
    ("float", re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$"), list("-+.0123456789")),
    ("merge", re.compile(r"<<$"), ["<"]),
)
"""Which plain texts of YAML are values of JSON (YAML 1.2, section 10.3): their tag, form and first characters."""

ARRAY_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")

VALUE_KEYWORDS = frozenset({"example", "examples", "default", "enum", "const"})
"""Keywords whose values are data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenApiDocument:
    """A document as it was written. Nothing in it is trusted: a reference may lead to itself, or to nothing."""

    root: JsonNode

    def resolve(self, node: Any) -> JsonNode:
        """Follow references; an empty object when they lead in a ring, to another file or to nothing."""
        for _ in range(MAX_REFERENCES):
            if not isinstance(node, Mapping) or not isinstance(node.get("$ref"), str):
                return node if isinstance(node, Mapping) else {}
            node = self.look_up(node["$ref"])
        return {}

    def look_up(self, reference: str) -> Any:
        """Look up a JSON pointer (RFC 6901) in a URI fragment, where names are percent-encoded, though not by all."""
        if not is_internal_reference(reference):
            return None
        pointer = reference[1:]
        node = self._walk(unquote(pointer))
        return self._walk(pointer) if node is None else node

    def _walk(self, pointer: str) -> Any:
        node: Any = self.root
        for step in pointer.split("/")[1:]:
            node = _take_step(node, step.replace("~1", "/").replace("~0", "~"))
        return node


def is_internal_reference(reference: str) -> bool:
    return reference == "#" or reference.startswith("#/")


def _take_step(node: Any, step: str) -> Any:
    """Step into an object by a name, which YAML may have read as a number, or into a list by a place from 0 on."""
    is_place = ARRAY_INDEX.fullmatch(step) is not None
    if isinstance(node, Mapping):
        return node.get(int(step)) if is_place and step not in node else node.get(step)
    if isinstance(node, list) and is_place and int(step) < len(node):
        return node[int(step)]
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnresolvedReferences:
    """The references of a document that are not followed: those to other places, and those that lead nowhere."""

    external: tuple[str, ...]
    dangling: tuple[str, ...]


def find_unresolved_references(document: OpenApiDocument) -> UnresolvedReferences:
    references = sorted(set(_iterate_references(document.root)))
    return UnresolvedReferences(
        external=tuple(reference for reference in references if not is_internal_reference(reference)),
        dangling=tuple(
            reference
            for reference in references
            if is_internal_reference(reference) and document.look_up(reference) is None
        ),
    )


def _iterate_references(root: JsonNode) -> Iterator[str]:
    """Yield the references of a document but those within examples, which are values and not the document's own.

    YAML may hold one node in many places, and in itself: each is visited once.
    """
    pending: list[Any] = [root]
    visited: set[int] = set()
    while pending:
        node = pending.pop()
        if id(node) in visited or not isinstance(node, Mapping | list):
            continue
        visited.add(id(node))
        if isinstance(node, list):
            pending.extend(node)
            continue
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        pending.extend(child for name, child in node.items() if name not in VALUE_KEYWORDS)


def parse_openapi_document(text: bytes) -> OpenApiDocument:
    """Parse JSON or YAML. Raises ConfigurationError when it is no OpenAPI 3."""
    root = _parse_json_or_yaml(text)
    if not isinstance(root, Mapping) or not str(root.get("openapi", "")).startswith("3."):
        raise ConfigurationError("this is no OpenAPI 3 description: it has no `openapi: 3...` at its top")
    if not isinstance(root.get("paths"), Mapping):
        raise ConfigurationError("the description has no `paths`")
    return OpenApiDocument(root=root)


def _parse_json_or_yaml(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _parse_yaml(text)


def _parse_yaml(text: bytes) -> Any:
    import yaml

    class JsonSchemaLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """Read the values that JSON has, and every other as text: OpenAPI wants YAML 1.2, PyYAML is of 1.1."""

        yaml_implicit_resolvers: ClassVar[Mapping[str, Any]] = {}

    for tag, pattern, first_characters in YAML_SCALARS:
        JsonSchemaLoader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", pattern, first_characters)
    try:
        return yaml.load(text, Loader=JsonSchemaLoader)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ConfigurationError("the description is neither JSON nor YAML") from None
