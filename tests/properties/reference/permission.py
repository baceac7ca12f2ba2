"""Decide whether a field may be shown by reading the directives of the SDL."""

from collections.abc import Mapping
from typing import Any

from graphql import InputObjectTypeDefinitionNode, ListTypeNode, NonNullTypeNode, parse

Types = Mapping[str, Any]


def types_of(sdl: str) -> Types:
    return {node.name.value: node for node in parse(sdl).definitions if hasattr(node, "fields")}  # type: ignore[attr-defined]


def is_shown(types: Types, groups: frozenset[str], kind: str, name: str, arguments: Mapping[str, Any]) -> bool:
    """The field is open, each argument given is, and all that the arguments name is."""
    node = types[kind]
    member = named(node.fields, name)
    return is_open(types, groups, node, member) and all(
        said_open(groups, named(member.arguments, item))
        and named_open(types, groups, named(member.arguments, item), of)
        for item, of in arguments.items()
    )


def named_open(types: Types, groups: frozenset[str], member: Any, value: Any) -> bool:
    node = types.get(innermost(member.type))
    if not isinstance(node, InputObjectTypeDefinitionNode):
        return True
    return all(
        is_open(types, groups, node, named(node.fields, name))
        and named_open(types, groups, named(node.fields, name), of)
        for item in (value if isinstance(value, list) else [value or {}])
        for name, of in item.items()
    )


def is_open(types: Types, groups: frozenset[str], node: Any, member: Any) -> bool:
    """Its type, itself, what it leads to, and each interface with the field it declares: all must be met."""
    above = [types[interface.name.value] for interface in getattr(node, "interfaces", None) or ()]
    declared = [field for outer in above for field in outer.fields if field.name.value == member.name.value]
    target = types.get(innermost(member.type))
    places = [node, member, *above, *declared, *([target] if target else [])]
    return any(list_allowed_groups(place) for place in places) and all(said_open(groups, place) for place in places)


def said_open(groups: frozenset[str], place: Any) -> bool:
    return all(groups & allowed_group for allowed_group in list_allowed_groups(place))


def list_allowed_groups(place: Any) -> list[set[str]]:
    return [
        {group.value for group in directive.arguments[0].value.values}
        for directive in place.directives or ()
        if directive.name.value == "allow"
    ]


def named(nodes: Any, name: str) -> Any:
    return next(node for node in nodes if node.name.value == name)


def innermost(node: Any) -> str:
    while isinstance(node, NonNullTypeNode | ListTypeNode):
        node = node.type
    return node.name.value
