"""Decide whether a field may be shown by reading the directives of the SDL."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from graphql import InputObjectTypeDefinitionNode, ListTypeNode, NonNullTypeNode, parse


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
    def masking_groups(self) -> frozenset[str]:
        """Return the groups that see a part of its values."""
        directives = (each for each in self.node.directives or () if each.name.value == "masked")
        return frozenset(group.value for each in directives for group in each.arguments[0].value.values)

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


class Declarations:
    """The types of an SDL document, and what was found of each field for each set of groups."""

    def __init__(self, sdl: str) -> None:
        definitions: Any = parse(sdl).definitions
        self.types = {node.name.value: Declared(node) for node in definitions if hasattr(node, "fields")}
        self.found: dict[tuple[frozenset[str], str, str], bool] = {}

    def is_shown(self, groups: frozenset[str], kind: str, name: str, arguments: Mapping[str, Any]) -> bool:
        """The field is open, each argument given is, and all that the arguments name is."""
        field = self.types[kind].members[name]
        return self.is_open(groups, kind, name) and all(
            field.members[argument].is_met(groups) and self.is_value_open(groups, field.members[argument], value)
            for argument, value in arguments.items()
        )

    def is_masked(self, groups: frozenset[str], kind: str, name: str) -> bool:
        """No group of its own rule, or else of its type's, shows more than a part of it."""
        member = self.types[kind].members[name]
        own = member.allowed_groups or self.types[kind].allowed_groups
        return bool(member.masking_groups) and not all(groups & allowed - member.masking_groups for allowed in own)

    def is_value_open(self, groups: frozenset[str], member: Declared, value: Any) -> bool:
        outer = self.types.get(member.target)
        if outer is None or not isinstance(outer.node, InputObjectTypeDefinitionNode):
            return True
        return all(
            self.is_open(groups, member.target, name) and self.is_value_open(groups, outer.members[name], inner)
            for item in (value if isinstance(value, list) else [value or {}])
            for name, inner in item.items()
        )

    def is_open(self, groups: frozenset[str], kind: str, name: str) -> bool:
        """Its type, itself, what it leads to, and each interface with the field it declares: all must be met."""
        key = groups, kind, name
        if key not in self.found:
            places = list(self.list_places(kind, name))
            self.found[key] = any(place.allowed_groups for place in places) and all(
                place.is_met(groups) for place in places
            )
        return self.found[key]

    def list_places(self, kind: str, name: str) -> Iterator[Declared]:
        outer = self.types[kind]
        yield from (outer, outer.members[name])
        for reference in getattr(outer.node, "interfaces", None) or ():
            interface = self.types[reference.name.value]
            yield interface
            if name in interface.members:
                yield interface.members[name]
        if outer.members[name].target in self.types:
            yield self.types[outer.members[name].target]
