"""Reduce an SDL document to the schema that a principal with certain groups may know.

A hidden name is answered like a name that does not exist: the schema that validates the request does not have it.
"""

from collections.abc import Sequence
from typing import Any

from graphql import (
    DefinitionNode,
    DirectiveDefinitionNode,
    DocumentNode,
    GraphQLSchema,
    InputObjectTypeDefinitionNode,
    InterfaceTypeDefinitionNode,
    NonNullTypeNode,
    ObjectTypeDefinitionNode,
    build_ast_schema,
)

from auth.policy import AccessPolicy, decide
from onedoor.schema.builder import unwrap_type_name
from onedoor.schema.reader import ROOTS
from onedoor.schema.scalars import install_scalars
from onedoor.schema.sdl import copy_node

FieldHolder = ObjectTypeDefinitionNode | InterfaceTypeDefinitionNode | InputObjectTypeDefinitionNode


def build_visible_schema(document: DocumentNode, policy: AccessPolicy, groups: frozenset[str]) -> GraphQLSchema:
    """Build the schema that these groups may see, ready to validate and introspect."""
    return install_scalars(build_ast_schema(filter_document(document, policy, groups), assume_valid_sdl=True))


def filter_document(document: DocumentNode, policy: AccessPolicy, groups: frozenset[str]) -> DocumentNode:
    """Keep only what these groups may see, and what that leads to."""
    definitions = [_filter_definition(definition, policy, groups) for definition in document.definitions]
    return _keep_reachable(_drop_empty_types(definitions))


def _filter_definition(node: DefinitionNode, policy: AccessPolicy, groups: frozenset[str]) -> DefinitionNode:
    if not isinstance(node, FieldHolder):
        return node
    visible = [field for field in node.fields or () if _is_visible(node, field.name.value, policy, groups)]
    fields = [
        _filter_arguments(node, field, policy, groups)
        for field in visible
        if _may_give_arguments(node, field, policy, groups)
    ]
    filtered: DefinitionNode = copy_node(node, fields=tuple(_drop_incomplete_input(node, fields)))
    return filtered


def _is_visible(node: FieldHolder, name: str, policy: AccessPolicy, groups: frozenset[str]) -> bool:
    """Say whether these groups may see a field: also one that an interface of the type shows them already.

    A type without it would not be of that interface.
    """
    if decide(policy, (node.name.value, name), groups).allowed:
        return True
    interfaces = [interface.name.value for interface in getattr(node, "interfaces", None) or ()]
    is_shown_by_interface = any(decide(policy, (interface, name), groups).allowed for interface in interfaces)
    return is_shown_by_interface and decide(policy, (node.name.value,), groups).allowed


def _may_give_arguments(node: FieldHolder, field: Any, policy: AccessPolicy, groups: frozenset[str]) -> bool:
    """Say whether these groups may give every argument that must be given."""
    coordinate: tuple[str, str] = (node.name.value, field.name.value)
    required = (argument.name.value for argument in getattr(field, "arguments", None) or () if _is_required(argument))
    return all(decide(policy, (*coordinate, name), groups).allowed for name in required)


def _filter_arguments(node: FieldHolder, field: Any, policy: AccessPolicy, groups: frozenset[str]) -> Any:
    arguments = getattr(field, "arguments", None)
    if not arguments:
        return field
    coordinate: tuple[str, str] = (node.name.value, field.name.value)
    allowed = (argument for argument in arguments if decide(policy, (*coordinate, argument.name.value), groups).allowed)
    return copy_node(field, arguments=tuple(allowed))


def _drop_incomplete_input(node: FieldHolder, fields: Sequence[Any]) -> Sequence[Any]:
    """Return no field of an input that lacks one that must be given: nobody could give the input whole."""
    if not isinstance(node, InputObjectTypeDefinitionNode):
        return fields
    names = {field.name.value for field in fields}
    return fields if all(field.name.value in names for field in node.fields or () if _is_required(field)) else ()


def _is_required(node: Any) -> bool:
    return isinstance(node.type, NonNullTypeNode) and node.default_value is None


def _drop_empty_types(nodes: Sequence[DefinitionNode]) -> list[DefinitionNode]:
    """Drop types without a field, and what names them, until nothing changes."""
    remaining = list(nodes)
    while True:
        empty = {node.name.value for node in remaining if isinstance(node, FieldHolder) and not node.fields}
        if not empty:
            return remaining
        remaining = [
            _drop_references(node, empty)
            for node in remaining
            if not (isinstance(node, FieldHolder) and node.name.value in empty)
        ]


def _drop_references(node: DefinitionNode, removed: set[str]) -> DefinitionNode:
    if not isinstance(node, FieldHolder):
        return node
    fields = [
        _drop_argument_references(field, removed)
        for field in node.fields or ()
        if unwrap_type_name(field.type) not in removed and not _requires_removed_type(field, removed)
    ]
    more = {} if isinstance(node, InputObjectTypeDefinitionNode) else {"interfaces": _keep_interfaces(node, removed)}
    reduced: DefinitionNode = copy_node(node, fields=tuple(_drop_incomplete_input(node, fields)), **more)
    return reduced


def _drop_argument_references(field: Any, removed: set[str]) -> Any:
    if not hasattr(field, "arguments"):
        return field
    arguments = (argument for argument in field.arguments or () if unwrap_type_name(argument.type) not in removed)
    return copy_node(field, arguments=tuple(arguments))


def _requires_removed_type(field: Any, removed: set[str]) -> bool:
    """Say whether the field cannot be selected any more, because nobody can give an argument it requires."""
    arguments = getattr(field, "arguments", None) or ()
    return any(
        isinstance(argument.type, NonNullTypeNode) and unwrap_type_name(argument.type) in removed
        for argument in arguments
    )


def _keep_interfaces(node: Any, removed: set[str]) -> tuple[Any, ...]:
    return tuple(interface for interface in node.interfaces or () if interface.name.value not in removed)


def _keep_reachable(nodes: Sequence[DefinitionNode]) -> DocumentNode:
    """Keep only what the roots lead to, so that no enum or filter of a hidden field stays."""
    by_name: dict[str, Any] = {
        node.name.value: node for node in nodes if hasattr(node, "name") and _is_type_definition(node)
    }
    reachable: set[str] = set()
    frontier = set(ROOTS) & by_name.keys()
    while frontier:
        reachable |= frontier
        referenced = {name for source in frontier for name in _list_referenced_types(by_name[source], by_name)}
        frontier = referenced & by_name.keys() - reachable
    definitions = (node for node in nodes if not _is_type_definition(node) or node.name.value in reachable)  # type: ignore[attr-defined]
    return DocumentNode(definitions=tuple(definitions))


def _is_type_definition(node: DefinitionNode) -> bool:
    return not isinstance(node, DirectiveDefinitionNode)


def _list_referenced_types(node: Any, by_name: dict[str, Any]) -> set[str]:
    fields = getattr(node, "fields", None) or ()
    names = {unwrap_type_name(field.type) for field in fields}
    names |= {
        unwrap_type_name(argument.type) for field in fields for argument in getattr(field, "arguments", None) or ()
    }
    names |= _list_interfaces(node)
    if isinstance(node, InterfaceTypeDefinitionNode):
        names |= {name for name, other in by_name.items() if node.name.value in _list_interfaces(other)}
    return names


def _list_interfaces(node: Any) -> set[str]:
    return {interface.name.value for interface in getattr(node, "interfaces", None) or ()}
