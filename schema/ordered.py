"""An SDL document in, the same sorted, and without what changes no answer, out."""

from typing import Any

from graphql import DirectiveDefinitionNode, DocumentNode

from schema.nodes import altered

FIRST = ("Query", "Mutation", "Subscription")
MEMBERS = ("interfaces", "fields", "arguments", "values")
OWNED = "owned"


def in_order(sdl: DocumentNode) -> DocumentNode:
    """Directives, the roots, then types by their names; and so the members of each."""
    return DocumentNode(definitions=tuple(map(_sorted, sorted(sdl.definitions, key=_place))))


def meaning(sdl: DocumentNode) -> DocumentNode:
    """Without descriptions, and without who answers for what."""
    kept = (each for each in sdl.definitions if not (_directive(each) and _says_owner(each)))
    return DocumentNode(definitions=tuple(map(_bare, kept)))


def _place(node: Any) -> tuple[bool, int, str]:
    name = node.name.value
    at = FIRST.index(name) if name in FIRST else len(FIRST)
    return not _directive(node), at, name


def _directive(node: Any) -> bool:
    return isinstance(node, DirectiveDefinitionNode)


def _sorted(node: Any) -> Any:
    held = {key: getattr(node, key) for key in MEMBERS if getattr(node, key, None)}
    return altered(node, **{key: tuple(map(_sorted, sorted(held[key], key=_name))) for key in held}) if held else node


def _bare(node: Any) -> Any:
    changed: dict[str, Any] = {key: tuple(map(_bare, getattr(node, key, None) or ())) for key in MEMBERS}
    changed["directives"] = tuple(each for each in getattr(node, "directives", None) or () if not _says_owner(each))
    changed["description"] = None
    return altered(node, **{key: value for key, value in changed.items() if key in node.keys})


def _says_owner(node: Any) -> bool:
    return bool(node.name.value == OWNED)


def _name(node: Any) -> str:
    return str(node.name.value)
