"""Text in, an OpenAPI 3 document out, whose references are followed within it and nowhere else."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from onedoor.errors import ConfigurationError

JsonNode: TypeAlias = Mapping[str, Any]

MAX_REFERENCES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenApiDocument:
    """`root` as it was written. Nothing in it is trusted: it may refer to itself, or to what is not there."""

    root: JsonNode

    def resolve(self, node: Any) -> JsonNode:
        """The node, or what it refers to; nothing where that leads in a ring. Raises Mistake."""
        for _ in range(MAX_REFERENCES):
            if not isinstance(node, Mapping) or not isinstance(node.get("$ref"), str):
                return node if isinstance(node, Mapping) else {}
            node = self.lookup(node["$ref"])
        return {}

    def lookup(self, reference: str) -> Any:
        if not reference.startswith("#/"):
            raise ConfigurationError("the description refers to another file: put it together to one file first")
        node: Any = self.root
        for step in reference[2:].split("/"):
            step = step.replace("~1", "/").replace("~0", "~")
            node = node.get(step) if isinstance(node, Mapping) else None
        return node


def parse_openapi_document(text: bytes) -> OpenApiDocument:
    """JSON, or YAML. Raises Mistake where it is no OpenAPI 3."""
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
