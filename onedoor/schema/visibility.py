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

from auth.policy import AccessPolicy, SchemaCoordinate, decide
from onedoor.schema.builder import unwrap_type_name
from onedoor.schema.reader import ROOTS
from onedoor.schema.sdl import copy_node, install_scalars

FieldHolder = ObjectTypeDefinitionNode | InterfaceTypeDefinitionNode | InputObjectTypeDefinitionNode


def build_visible_schema(document: DocumentNode, policy: AccessPolicy, groups: frozenset[str]) -> GraphQLSchema:
    """As a schema that validates and introspects."""
    return install_scalars(build_ast_schema(filter_document(document, policy, groups), assume_valid_sdl=True))


def filter_document(document: DocumentNode, policy: AccessPolicy, groups: frozenset[str]) -> DocumentNode:
    """Only what these groups may see, and what that leads to."""
    return _keep_reachable(
        _drop_empty_types([_filter_definition(each, policy, groups) for each in document.definitions])
    )


def _filter_definition(node: DefinitionNode, policy: AccessPolicy, groups: frozenset[str]) -> DefinitionNode:
    if not isinstance(node, FieldHolder):
        return node
    known = [each for each in node.fields or () if _is_visible(node, each.name.value, policy, groups)]
    members = [
        _filter_arguments(node, each, policy, groups)
        for each in known
        if _may_give_arguments(node, each, policy, groups)
    ]
    kept: DefinitionNode = copy_node(node, fields=tuple(_drop_incomplete_inputs(node, members)))
    return kept


def _may_give_arguments(node: FieldHolder, member: Any, policy: AccessPolicy, groups: frozenset[str]) -> bool:
    """Whether these groups may give every argument that must be given."""
    where: tuple[str, str] = (node.name.value, member.name.value)
    needed = (each.name.value for each in getattr(member, "arguments", None) or () if _is_required(each))
    return all(decide(policy, (*where, each), groups).allowed for each in needed)


def _drop_incomplete_inputs(node: FieldHolder, members: Sequence[Any]) -> Sequence[Any]:
    """None of an input's fields where one that must be given is not among them: nobody could give it whole."""
    if not isinstance(node, InputObjectTypeDefinitionNode):
        return members
    names = {each.name.value for each in members}
    return members if all(each.name.value in names for each in node.fields or () if _is_required(each)) else ()


def _is_required(given: Any) -> bool:
    return isinstance(given.type, NonNullTypeNode) and given.default_value is None


def _is_visible(node: FieldHolder, name: str, policy: AccessPolicy, groups: frozenset[str]) -> bool:
    """Also what an interface of the type tells of already: a type without it would be none of that interface."""
    if decide(policy, (node.name.value, name), groups).allowed:
        return True
    above = [each.name.value for each in getattr(node, "interfaces", None) or ()]
    told = any(decide(policy, (each, name), groups).allowed for each in above)
    return told and decide(policy, (node.name.value,), groups).allowed


def _filter_arguments(node: FieldHolder, member: Any, policy: AccessPolicy, groups: frozenset[str]) -> Any:
    arguments = getattr(member, "arguments", None)
    if not arguments:
        return member
    where: tuple[str, str] = (node.name.value, member.name.value)
    positions: list[SchemaCoordinate] = [(*where, each.name.value) for each in arguments]
    open_to = [each for each, at in zip(arguments, positions, strict=True) if decide(policy, at, groups).allowed]
    return copy_node(member, arguments=tuple(open_to))


def _drop_empty_types(nodes: Sequence[DefinitionNode]) -> list[DefinitionNode]:
    """Without types that have no field left, and without what names them, until nothing changes."""
    kept = list(nodes)
    while True:
        empty = {each.name.value for each in kept if isinstance(each, FieldHolder) and not each.fields}
        if not empty:
            return kept
        kept = [
            _drop_references(each, empty)
            for each in kept
            if not (isinstance(each, FieldHolder) and each.name.value in empty)
        ]


def _drop_references(node: DefinitionNode, removed: set[str]) -> DefinitionNode:
    if not isinstance(node, FieldHolder):
        return node
    members = [
        copy_node(each, arguments=tuple(a for a in each.arguments or () if unwrap_type_name(a.type) not in removed))
        if hasattr(each, "arguments")
        else each
        for each in node.fields or ()
        if unwrap_type_name(each.type) not in removed and not _requires_removed_type(each, removed)
    ]
    more = {} if isinstance(node, InputObjectTypeDefinitionNode) else {"interfaces": _keep_interfaces(node, removed)}
    kept: DefinitionNode = copy_node(node, fields=tuple(_drop_incomplete_inputs(node, members)), **more)
    return kept


def _requires_removed_type(member: Any, removed: set[str]) -> bool:
    """Whether the field takes an argument that nobody can give any more: it cannot be asked at all."""
    taken = getattr(member, "arguments", None) or ()
    return any(isinstance(each.type, NonNullTypeNode) and unwrap_type_name(each.type) in removed for each in taken)


def _keep_interfaces(node: Any, removed: set[str]) -> tuple[Any, ...]:
    return tuple(each for each in node.interfaces or () if each.name.value not in removed)


def _keep_reachable(nodes: Sequence[DefinitionNode]) -> DocumentNode:
    """Only what can be come to from the roots, so that no enum or filter of a hidden field is left lying about."""
    by_name: dict[str, Any] = {
        each.name.value: each for each in nodes if hasattr(each, "name") and _is_type_definition(each)
    }
    found: set[str] = set()
    ahead = set(ROOTS) & by_name.keys()
    while ahead:
        found |= ahead
        ahead = {
            name for each in ahead for name in _list_referenced_types(by_name[each], by_name)
        } & by_name.keys() - found
    kept = [each for each in nodes if not _is_type_definition(each) or each.name.value in found]  # type: ignore[attr-defined]
    return DocumentNode(definitions=tuple(kept))


def _is_type_definition(node: DefinitionNode) -> bool:
    return node.kind != "directive_definition"


def _list_referenced_types(node: Any, by_name: dict[str, Any]) -> set[str]:
    members = getattr(node, "fields", None) or ()
    names = {unwrap_type_name(each.type) for each in members}
    names |= {unwrap_type_name(a.type) for each in members for a in getattr(each, "arguments", None) or ()}
    names |= {each.name.value for each in getattr(node, "interfaces", None) or ()}
    if isinstance(node, InterfaceTypeDefinitionNode):
        own = node.name.value
        names |= {
            name
            for name, each in by_name.items()
            if own in (i.name.value for i in getattr(each, "interfaces", None) or ())
        }
    return names
