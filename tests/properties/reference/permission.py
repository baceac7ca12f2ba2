"""Decide whether a field may be shown by reading the directives of the SDL."""

from collections.abc import Mapping
from typing import Any

from graphql import InputObjectTypeDefinitionNode, ListTypeNode, NonNullTypeNode, parse

Types = Mapping[str, Any]


def types_of(sdl: str) -> Types:
    return {node.name.value: node for node in parse(sdl).definitions if hasattr(node, "fields")}


def shown(types: Types, groups: frozenset[str], kind: str, name: str, arguments: Mapping[str, Any]) -> bool:
    """The field is open, each argument given is, and all that the arguments name is."""
    node = types[kind]
    member = named(node.fields, name)
    return opened(types, groups, node, member) and all(
        said_open(groups, named(member.arguments, each))
        and named_open(types, groups, named(member.arguments, each), of)
        for each, of in arguments.items()
    )


def named_open(types: Types, groups: frozenset[str], member: Any, value: Any) -> bool:
    node = types.get(innermost(member.type))
    if not isinstance(node, InputObjectTypeDefinitionNode):
        return True
    return all(
        opened(types, groups, node, named(node.fields, name))
        and named_open(types, groups, named(node.fields, name), of)
        for each in (value if isinstance(value, list) else [value or {}])
        for name, of in each.items()
    )


def opened(types: Types, groups: frozenset[str], node: Any, member: Any) -> bool:
    """Its type, itself, what it leads to, and each interface with the field it declares: all must be met."""
    above = [types[each.name.value] for each in getattr(node, "interfaces", None) or ()]
    declared = [each for outer in above for each in outer.fields if each.name.value == member.name.value]
    target = types.get(innermost(member.type))
    places = [node, member, *above, *declared, *([target] if target else [])]
    return any(said(each) for each in places) and all(said_open(groups, each) for each in places)


def said_open(groups: frozenset[str], place: Any) -> bool:
    return all(groups & each for each in said(place))


def said(place: Any) -> list[set[str]]:
    return [
        {group.value for group in each.arguments[0].value.values}
        for each in place.directives or ()
        if each.name.value == "allow"
    ]


def named(nodes: Any, name: str) -> Any:
    return next(each for each in nodes if each.name.value == name)


def innermost(node: Any) -> str:
    while isinstance(node, NonNullTypeNode | ListTypeNode):
        node = node.type
    return node.name.value
