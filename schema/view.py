"""An SDL document, its rules and a caller's groups in, the schema as that caller may know it out.

A name that is hidden answers as one that does not exist: it is not in the schema the question is judged by.
"""

from collections.abc import Sequence
from typing import Any

from graphql import (
    DefinitionNode,
    DocumentNode,
    GraphQLSchema,
    InputObjectTypeDefinitionNode,
    InterfaceTypeDefinitionNode,
    NonNullTypeNode,
    ObjectTypeDefinitionNode,
    build_ast_schema,
)

from auth.decide import decide
from auth.rules import Position, Rules
from schema.nodes import altered
from schema.read import ROOTS
from schema.rules import named
from schema.scalars import taught

Holder = ObjectTypeDefinitionNode | InterfaceTypeDefinitionNode | InputObjectTypeDefinitionNode


def view(document: DocumentNode, rules: Rules, groups: frozenset[str]) -> GraphQLSchema:
    """As a schema that validates and introspects."""
    return taught(build_ast_schema(seen(document, rules, groups), assume_valid_sdl=True))


def seen(document: DocumentNode, rules: Rules, groups: frozenset[str]) -> DocumentNode:
    """Only what these groups may see, and what that leads to."""
    return _reached(_whole([_opened(each, rules, groups) for each in document.definitions]))


def _opened(node: DefinitionNode, rules: Rules, groups: frozenset[str]) -> DefinitionNode:
    if not isinstance(node, Holder):
        return node
    known = [each for each in node.fields or () if _known(node, each.name.value, rules, groups)]
    members = [_narrowed(node, each, rules, groups) for each in known if _askable(node, each, rules, groups)]
    kept: DefinitionNode = altered(node, fields=tuple(_givable(node, members)))
    return kept


def _askable(node: Holder, member: Any, rules: Rules, groups: frozenset[str]) -> bool:
    """Whether these groups may give every argument that must be given."""
    where: tuple[str, str] = (node.name.value, member.name.value)
    needed = (each.name.value for each in getattr(member, "arguments", None) or () if _needed(each))
    return all(decide(rules, (*where, each), groups).allowed for each in needed)


def _givable(node: Holder, members: Sequence[Any]) -> Sequence[Any]:
    """None of an input's fields where one that must be given is not among them: nobody could give it whole."""
    if not isinstance(node, InputObjectTypeDefinitionNode):
        return members
    names = {each.name.value for each in members}
    return members if all(each.name.value in names for each in node.fields or () if _needed(each)) else ()


def _needed(given: Any) -> bool:
    return isinstance(given.type, NonNullTypeNode) and given.default_value is None


def _known(node: Holder, name: str, rules: Rules, groups: frozenset[str]) -> bool:
    """Also what an interface of the type tells of already: a type without it would be none of that interface."""
    if decide(rules, (node.name.value, name), groups).allowed:
        return True
    above = [each.name.value for each in getattr(node, "interfaces", None) or ()]
    told = any(decide(rules, (each, name), groups).allowed for each in above)
    return told and decide(rules, (node.name.value,), groups).allowed


def _narrowed(node: Holder, member: Any, rules: Rules, groups: frozenset[str]) -> Any:
    arguments = getattr(member, "arguments", None)
    if not arguments:
        return member
    where: tuple[str, str] = (node.name.value, member.name.value)
    positions: list[Position] = [(*where, each.name.value) for each in arguments]
    open_to = [each for each, at in zip(arguments, positions, strict=True) if decide(rules, at, groups).allowed]
    return altered(member, arguments=tuple(open_to))


def _whole(nodes: Sequence[DefinitionNode]) -> list[DefinitionNode]:
    """Without types that have no field left, and without what names them, until nothing changes."""
    kept = list(nodes)
    while True:
        empty = {each.name.value for each in kept if isinstance(each, Holder) and not each.fields}
        if not empty:
            return kept
        kept = [_without(each, empty) for each in kept if not (isinstance(each, Holder) and each.name.value in empty)]


def _without(node: DefinitionNode, gone: set[str]) -> DefinitionNode:
    if not isinstance(node, Holder):
        return node
    members = [
        altered(each, arguments=tuple(a for a in each.arguments or () if named(a.type) not in gone))
        if hasattr(each, "arguments")
        else each
        for each in node.fields or ()
        if named(each.type) not in gone and not _must_name(each, gone)
    ]
    more = {} if isinstance(node, InputObjectTypeDefinitionNode) else {"interfaces": _above(node, gone)}
    kept: DefinitionNode = altered(node, fields=tuple(_givable(node, members)), **more)
    return kept


def _must_name(member: Any, gone: set[str]) -> bool:
    """Whether the field takes an argument that nobody can give any more: it cannot be asked at all."""
    taken = getattr(member, "arguments", None) or ()
    return any(isinstance(each.type, NonNullTypeNode) and named(each.type) in gone for each in taken)


def _above(node: Any, gone: set[str]) -> tuple[Any, ...]:
    return tuple(each for each in node.interfaces or () if each.name.value not in gone)


def _reached(nodes: Sequence[DefinitionNode]) -> DocumentNode:
    """Only what can be come to from the roots, so that no enum or filter of a hidden field is left lying about."""
    by_name: dict[str, Any] = {each.name.value: each for each in nodes if hasattr(each, "name") and _is_type(each)}
    found: set[str] = set()
    ahead = set(ROOTS) & by_name.keys()
    while ahead:
        found |= ahead
        ahead = {name for each in ahead for name in _named_by(by_name[each], by_name)} & by_name.keys() - found
    kept = [each for each in nodes if not _is_type(each) or each.name.value in found]  # type: ignore[attr-defined]
    return DocumentNode(definitions=tuple(kept))


def _is_type(node: DefinitionNode) -> bool:
    return node.kind != "directive_definition"


def _named_by(node: Any, by_name: dict[str, Any]) -> set[str]:
    members = getattr(node, "fields", None) or ()
    names = {named(each.type) for each in members}
    names |= {named(a.type) for each in members for a in getattr(each, "arguments", None) or ()}
    names |= {each.name.value for each in getattr(node, "interfaces", None) or ()}
    if isinstance(node, InterfaceTypeDefinitionNode):
        own = node.name.value
        names |= {
            name
            for name, each in by_name.items()
            if own in (i.name.value for i in getattr(each, "interfaces", None) or ())
        }
    return names
