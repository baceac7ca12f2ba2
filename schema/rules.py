"""An SDL document in, its rules out: what is printed is what is enforced."""

from collections.abc import Iterator, Mapping
from itertools import chain
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
from schema.derived import derived

Guarded: TypeAlias = ObjectTypeDefinitionNode | InterfaceTypeDefinitionNode | InputObjectTypeDefinitionNode
Member: TypeAlias = FieldDefinitionNode | InputValueDefinitionNode
Demand: TypeAlias = tuple[Requirement, ...]


def rules(document: DocumentNode) -> Rules:
    """The rule of every position: its own, its type's, its interfaces', and that of the type it leads to."""
    types = {node.name.value: node for node in document.definitions if isinstance(node, Guarded)}
    found: dict[Position, Demand] = {}
    for node in types.values():
        if getattr(node, "interfaces", None):
            found[(node.name.value,)] = _of_rows(types, node)
        for member in node.fields or ():
            found[node.name.value, member.name.value] = demand(types, node, member)
            found.update(_arguments(node, member, found[node.name.value, member.name.value]))
    looks = dict(_looks_at(types))
    return Rules(found, dict(_owners(types)), {each: _in_the_end(looks, each) for each in looks})


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


def _of_rows(types: Mapping[str, Guarded], node: Guarded) -> Demand:
    """What is asked of who may know that a row is of this type, where it could be of another."""
    return tuple(dict.fromkeys(each for part in (own(node), *inherited(types, node, "")) for each in part))


def own(node: Guarded | Member) -> Demand:
    """The requirements that the node's own `@allow` directives make."""
    if not node.directives:
        return ()
    return tuple(frozenset(_argument(each, "groups")) for each in node.directives if each.name.value == "allow")


def named(node: TypeNode) -> str:
    while isinstance(node, NonNullTypeNode | ListTypeNode):
        node = node.type
    return node.name.value  # type: ignore[attr-defined, no-any-return]


def _arguments(node: Guarded, member: Member, above: Demand) -> Iterator[tuple[Position, Demand]]:
    """An argument may only narrow: its own rule is added to its field's."""
    for each in getattr(member, "arguments", None) or ():
        yield (node.name.value, member.name.value, each.name.value), tuple(dict.fromkeys((*above, *own(each))))


def _owners(types: Mapping[str, Guarded]) -> Iterator[tuple[Position, str]]:
    """The nearest `@owned(by:)`: the field's, its type's, or that of what it looks at or leads to."""
    for node in types.values():
        of, shown = _spoken_for(types, node)
        if getattr(node, "interfaces", None) and (by := next(_owned(node), None)) is not None:
            yield (node.name.value,), by
        for member in node.fields or ():
            near = chain((member, node), shown.get(member.name.value, ()), of, _led_to(types, node, member))
            owner = next((name for each in near for name in _owned(each)), None)
            if owner is not None:
                yield (node.name.value, member.name.value), owner


def _spoken_for(
    types: Mapping[str, Guarded], node: Guarded
) -> tuple[tuple[Guarded, ...], Mapping[str, tuple[Member, ...]]]:
    """Of a made type, the type it is made for; and by position, the field it looks at."""
    found = derived(node.name.value, types)
    if found is None:
        return (), {}
    of = types[found.of]
    return (of,), {each.name.value: (each,) for each in of.fields or ()} if found.by_field else {}


def _led_to(types: Mapping[str, Guarded], node: Guarded, member: Member) -> Iterator[Guarded]:
    """The type of a field's value, and what a page, or a field of one, is a page of."""
    target = types.get(named(member.type))
    for each in (target, node) if target is not None else (node,):
        yield each
        rows = (inner for inner in each.fields or () if inner.name.value in ("nodes", "node"))
        yield from (types[named(inner.type)] for inner in rows)


def _looks_at(types: Mapping[str, Guarded]) -> Iterator[tuple[Position, tuple[str, str]]]:
    for node in types.values():
        made = derived(node.name.value, types)
        if made is not None and made.by_field:
            known = {each.name.value for each in types[made.of].fields or ()}
            yield from (
                ((node.name.value, each.name.value), (made.of, each.name.value))
                for each in node.fields or ()
                if each.name.value in known
            )


def _in_the_end(looks: Mapping[Position, tuple[str, str]], position: Position) -> tuple[str, str]:
    """What a filter by a value before a change looks at is the field of the row that was changed."""
    at = looks[position]
    while at in looks:
        at = looks[at]
    return at


def _owned(node: Guarded | Member) -> Iterator[str]:
    return (_argument(each, "by") for each in node.directives or () if each.name.value == "owned")


def _argument(directive: Any, name: str) -> Any:
    return next(value_from_ast_untyped(each.value) for each in directive.arguments if each.name.value == name)
