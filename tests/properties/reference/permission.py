"""Decide whether a field may be shown by reading the directives of the SDL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from graphql import InputObjectTypeDefinitionNode, ListTypeNode, NonNullTypeNode, parse

Types = Mapping[str, "Declared"]


@dataclass(frozen=True)
class Declared:
    """A type, field or argument as the SDL declares it. What it says is read from its node once."""

    node: Any

    @cached_property
    def allowed_groups(self) -> Sequence[frozenset[str]]:
        return [
            frozenset(group.value for group in directive.arguments[0].value.values)
            for directive in self.node.directives or ()
            if directive.name.value == "allow"
        ]

    @cached_property
    def members(self) -> Mapping[str, "Declared"]:
        """Return its fields or arguments by name."""
        members = getattr(self.node, "fields", None) or getattr(self.node, "arguments", None) or ()
        return {member.name.value: Declared(member) for member in members}

    @cached_property
    def target(self) -> str:
        """Return the name of the type that a field or argument leads to."""
        node = self.node.type
        while isinstance(node, NonNullTypeNode | ListTypeNode):
            node = node.type
        return str(node.name.value)

    def is_met(self, groups: frozenset[str]) -> bool:
        return all(groups & allowed for allowed in self.allowed_groups)


def types_of(sdl: str) -> Types:
    definitions: Any = parse(sdl).definitions
    return {node.name.value: Declared(node) for node in definitions if hasattr(node, "fields")}


def is_shown(types: Types, groups: frozenset[str], kind: str, name: str, arguments: Mapping[str, Any]) -> bool:
    """The field is open, each argument given is, and all that the arguments name is."""
    outer = types[kind]
    field = outer.members[name]
    return is_open(types, groups, outer, field) and all(
        field.members[argument].is_met(groups) and is_value_open(types, groups, field.members[argument], value)
        for argument, value in arguments.items()
    )


def is_value_open(types: Types, groups: frozenset[str], member: Declared, value: Any) -> bool:
    outer = types.get(member.target)
    if outer is None or not isinstance(outer.node, InputObjectTypeDefinitionNode):
        return True
    return all(
        is_open(types, groups, outer, outer.members[name]) and is_value_open(types, groups, outer.members[name], inner)
        for item in (value if isinstance(value, list) else [value or {}])
        for name, inner in item.items()
    )


def is_open(types: Types, groups: frozenset[str], outer: Declared, member: Declared) -> bool:
    """Its type, itself, what it leads to, and each interface with the field it declares: all must be met."""
    name = member.node.name.value
    above = [types[interface.name.value] for interface in getattr(outer.node, "interfaces", None) or ()]
    declared = [interface.members[name] for interface in above if name in interface.members]
    target = types.get(member.target)
    places = [outer, member, *above, *declared, *([target] if target else [])]
    return any(place.allowed_groups for place in places) and all(place.is_met(groups) for place in places)
