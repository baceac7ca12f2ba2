"""Parse OpenAPI 3 documents and resolve the references within them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from onedoor.errors import ConfigurationError

JsonNode: TypeAlias = Mapping[str, Any]

MAX_REFERENCES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenApiDocument:
    """A document as it was written. Nothing in it is trusted: a reference may lead to itself, or to nothing."""

    root: JsonNode

    def resolve(self, node: Any) -> JsonNode:
        """Follow references; an empty object when they lead in a ring. Raises ConfigurationError for another file."""
        for _ in range(MAX_REFERENCES):
            if not isinstance(node, Mapping) or not isinstance(node.get("$ref"), str):
                return node if isinstance(node, Mapping) else {}
            node = self._look_up(node["$ref"])
        return {}

    def _look_up(self, reference: str) -> Any:
        """Look up a JSON pointer (RFC 6901)."""
        if not reference.startswith("#/"):
            raise ConfigurationError("the description refers to another file: put it together to one file first")
        node: Any = self.root
        for step in reference[2:].split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            node = node.get(name) if isinstance(node, Mapping) else None
        return node


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

    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ConfigurationError("the description is neither JSON nor YAML") from None
