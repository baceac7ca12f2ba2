"""Text in, an OpenAPI 3 document out, whose references are followed within it and nowhere else."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from auth.mistake import Mistake

Node: TypeAlias = Mapping[str, Any]
REFERENCES_MOST = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """`root` as it was written. Nothing in it is trusted: it may refer to itself, or to what is not there."""

    root: Node

    def found(self, node: Any) -> Node:
        """The node, or what it refers to; nothing where that leads in a ring. Raises Mistake."""
        for _ in range(REFERENCES_MOST):
            if not isinstance(node, Mapping) or not isinstance(node.get("$ref"), str):
                return node if isinstance(node, Mapping) else {}
            node = self.at(node["$ref"])
        return {}

    def at(self, reference: str) -> Any:
        if not reference.startswith("#/"):
            raise Mistake("the description refers to another file: put it together to one file first")
        node: Any = self.root
        for step in reference[2:].split("/"):
            step = step.replace("~1", "/").replace("~0", "~")
            node = node.get(step) if isinstance(node, Mapping) else None
        return node


def document(text: bytes) -> Document:
    """JSON, or YAML. Raises Mistake where it is no OpenAPI 3."""
    root = _read(text)
    if not isinstance(root, Mapping) or not str(root.get("openapi", "")).startswith("3."):
        raise Mistake("this is no OpenAPI 3 description: it has no `openapi: 3...` at its top")
    if not isinstance(root.get("paths"), Mapping):
        raise Mistake("the description has no `paths`")
    return Document(root=root)


def _read(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _yaml(text)


def _yaml(text: bytes) -> Any:
    import yaml

    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError):
        raise Mistake("the description is neither JSON nor YAML") from None
