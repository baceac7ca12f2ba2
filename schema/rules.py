"""An SDL document in, its rules out: what is printed is what is enforced."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from graphql import (
    DocumentNode,
    FieldDefinitionNode,
    InputObjectTypeDefinitionNode,
    InputValueDefinitionNode,
    InterfaceTypeDefinitionNode,
    ListTypeNode,
    NonNullTypeNode,
    ObjectTypeDefinitionNode,
    TypeNode,
    value_from_ast_untyped,
)

from auth.rules import Position, Requirement, Rules

Guarded: TypeAlias = ObjectTypeDefinitionNode | InterfaceTypeDefinitionNode | InputObjectTypeDefinitionNode
Member: TypeAlias = FieldDefinitionNode | InputValueDefinitionNode
Demand: TypeAlias = tuple[Requirement, ...]


def rules(document: DocumentNode) -> Rules:
    """The rule of every position: its own, its type's, its interfaces', and that of the type it leads to."""
    types = {node.name.value: node for node in document.definitions if isinstance(node, Guarded)}
    found: dict[Position, Demand] = {}
    for node in types.values():
        for member in node.fields or ():
            found[node.name.value, member.name.value] = demand(types, node, member)
            found.update(_arguments(node, member, found[node.name.value, member.name.value]))
    return Rules(found, dict(_owners(types)))


def demand(types: Mapping[str, Guarded], node: Guarded, member: Member) -> Demand:
    target = types.get(named(member.type))
    parts = [own(node), own(member), *inherited(types, node, member.name.value), own(target) if target else ()]
    return tuple(dict.fromkeys(each for part in parts for each in part))


def inherited(types: Mapping[str, Guarded], node: Guarded, name: str) -> Iterator[Demand]:
    """What each interface asks, of itself and of the field it declares."""
    for each in getattr(node, "interfaces", None) or ():
        above = types[each.name.value]
        yield own(above)
        yield from (own(member) for member in above.fields or () if member.name.value == name)


def own(node: Guarded | Member) -> Demand:
    """The requirements that the node's own `@allow` directives make."""
    return tuple(frozenset(_argument(each, "groups")) for each in node.directives or () if each.name.value == "allow")


def named(node: TypeNode) -> str:
    while isinstance(node, NonNullTypeNode | ListTypeNode):
        node = node.type
    return node.name.value  # type: ignore[attr-defined, no-any-return]


def _arguments(node: Guarded, member: Member, above: Demand) -> Iterator[tuple[Position, Demand]]:
    """An argument may only narrow: its own rule is added to its field's."""
    for each in getattr(member, "arguments", None) or ():
        yield (node.name.value, member.name.value, each.name.value), tuple(dict.fromkeys((*above, *own(each))))


def _owners(types: Mapping[str, Guarded]) -> Iterator[tuple[Position, str]]:
    """The nearest `@owned(by:)`: the field's, its type's, or that of the type it leads to."""
    for node in types.values():
        for member in node.fields or ():
            target = types.get(named(member.type))
            near: Iterable[Any] = (member, node, *((target,) if target else ()))
            owner = next((name for each in near for name in _owned(each)), None)
            if owner is not None:
                yield (node.name.value, member.name.value), owner


def _owned(node: Guarded | Member) -> Iterator[str]:
    return (_argument(each, "by") for each in node.directives or () if each.name.value == "owned")


def _argument(directive: Any, name: str) -> Any:
    return next(value_from_ast_untyped(each.value) for each in directive.arguments if each.name.value == name)
