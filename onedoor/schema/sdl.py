"""Build, sort and strip the nodes of an SDL document."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from json import dumps
from typing import Any

from graphql import (
    ConstArgumentNode,
    ConstDirectiveNode,
    ConstListValueNode,
    ConstValueNode,
    DirectiveDefinitionNode,
    DocumentNode,
    EnumTypeDefinitionNode,
    EnumValueDefinitionNode,
    EnumValueNode,
    FieldDefinitionNode,
    InputObjectTypeDefinitionNode,
    InputValueDefinitionNode,
    InterfaceTypeDefinitionNode,
    ListTypeNode,
    NamedTypeNode,
    NameNode,
    NonNullTypeNode,
    ObjectTypeDefinitionNode,
    ScalarTypeDefinitionNode,
    StringValueNode,
    TypeNode,
    parse_const_value,
)

from onedoor.schema.reader import AccessDirectives


def parse_type_node(text: str) -> TypeNode:
    """Return the type that a text such as `[Order!]!` names."""
    if text.endswith("!"):
        inner = parse_type_node(text[:-1])
        assert isinstance(inner, NamedTypeNode | ListTypeNode)
        return NonNullTypeNode(type=inner)
    if text.startswith("["):
        return ListTypeNode(type=parse_type_node(text[1:-1]))
    return NamedTypeNode(name=NameNode(value=text))


def build_access_directives(access: AccessDirectives) -> tuple[ConstDirectiveNode, ...]:
    """Return `@allow` and `@owned` as they are printed."""
    return (
        *(
            build_directive_use("allow", "groups", ConstListValueNode(values=tuple(map(_build_string, groups))))
            for groups in access.allow
        ),
        *(build_directive_use("owned", "by", _build_string(owner)) for owner in access.owned),
    )


ONE_OF_DIRECTIVE = ConstDirectiveNode(name=NameNode(value="oneOf"), arguments=())


def build_field(
    name: str,
    type_text: str,
    description: str,
    *,
    arguments: Sequence[InputValueDefinitionNode] = (),
    access: AccessDirectives | None = None,
) -> FieldDefinitionNode:
    return FieldDefinitionNode(
        name=NameNode(value=name),
        type=parse_type_node(type_text),
        description=_build_description(description),
        arguments=tuple(arguments),
        directives=build_access_directives(access) if access else (),
    )


def build_argument(
    name: str,
    type_text: str,
    description: str,
    access: AccessDirectives | None = None,
    default: ConstValueNode | None = None,
) -> InputValueDefinitionNode:
    """Build an argument of a field, or a field of an input type."""
    return InputValueDefinitionNode(
        name=NameNode(value=name),
        type=parse_type_node(type_text),
        description=_build_description(description),
        default_value=default,
        directives=build_access_directives(access) if access else (),
    )


def build_constant(value: Any) -> ConstValueNode:
    """Return a default value as SDL writes it: an enum's value by its name, everything else as in JSON."""
    if isinstance(value, StrEnum):
        return EnumValueNode(value=value.name)
    if isinstance(value, list | tuple):
        return ConstListValueNode(values=tuple(map(build_constant, value)))
    return parse_const_value(dumps(value))


def build_object(
    name: str,
    description: str,
    fields: Iterable[FieldDefinitionNode],
    access: AccessDirectives,
    *,
    implements: Iterable[str] = (),
) -> ObjectTypeDefinitionNode:
    return ObjectTypeDefinitionNode(
        name=NameNode(value=name),
        description=_build_description(description),
        fields=tuple(fields),
        directives=build_access_directives(access),
        interfaces=tuple(NamedTypeNode(name=NameNode(value=interface)) for interface in implements),
    )


def build_interface(
    name: str, description: str, fields: Iterable[FieldDefinitionNode], access: AccessDirectives
) -> InterfaceTypeDefinitionNode:
    return InterfaceTypeDefinitionNode(
        name=NameNode(value=name),
        description=_build_description(description),
        fields=tuple(fields),
        directives=build_access_directives(access),
        interfaces=(),
    )


def build_input(
    name: str,
    description: str,
    fields: Iterable[InputValueDefinitionNode],
    access: AccessDirectives,
    extra: tuple[ConstDirectiveNode, ...] = (),
) -> InputObjectTypeDefinitionNode:
    return InputObjectTypeDefinitionNode(
        name=NameNode(value=name),
        description=_build_description(description),
        fields=tuple(fields),
        directives=(*extra, *build_access_directives(access)),
    )


STORED_DIRECTIVE = "stored"
"""The directive of an enum value that its source holds as another text than its name."""

NO_STORED_VALUES: Mapping[str, str] = {}


def build_enum(
    name: str, description: str, values: Iterable[str], stored_values: Mapping[str, str] = NO_STORED_VALUES
) -> EnumTypeDefinitionNode:
    return EnumTypeDefinitionNode(
        name=NameNode(value=name),
        description=_build_description(description),
        values=tuple(
            EnumValueDefinitionNode(
                name=NameNode(value=value),
                directives=(build_directive_use(STORED_DIRECTIVE, "as", _build_string(stored_values[value])),)
                if value in stored_values
                else (),
            )
            for value in values
        ),
        directives=(),
    )


def build_scalar(name: str, description: str) -> ScalarTypeDefinitionNode:
    return ScalarTypeDefinitionNode(
        name=NameNode(value=name), description=_build_description(description), directives=()
    )


def build_directive_use(
    name: str, argument_name: str, value: ConstListValueNode | StringValueNode
) -> ConstDirectiveNode:
    return ConstDirectiveNode(
        name=NameNode(value=name), arguments=(ConstArgumentNode(name=NameNode(value=argument_name), value=value),)
    )


def _build_string(value: str) -> StringValueNode:
    return StringValueNode(value=value)


def copy_node(node: Any, **changes: Any) -> Any:
    """Return the node with some of its members replaced."""
    return replace(node, **changes)


def _build_description(text: str) -> StringValueNode | None:
    return StringValueNode(value=text, block=True) if text else None


ROOTS = ("Query", "Mutation", "Subscription")

MEMBER_KEYS = ("interfaces", "fields", "arguments", "values")

OWNED_DIRECTIVE = "owned"


def sort_document(document: DocumentNode) -> DocumentNode:
    """Sort an SDL document: directives, the roots, then types by name, and the members of each by name."""
    return DocumentNode(definitions=tuple(map(_sort_members, sorted(document.definitions, key=_sort_key))))


def strip_documentation(document: DocumentNode) -> DocumentNode:
    """Drop descriptions and `@owned`: what stays is what decides an answer."""
    definitions = (
        node for node in document.definitions if not (_is_directive_definition(node) and _is_named_owned(node))
    )
    return DocumentNode(definitions=tuple(map(_strip_node, definitions)))


def add_owner_contacts(document: DocumentNode, contacts: Mapping[str, str]) -> DocumentNode:
    """Say in the description of what is `@owned` which team that is, and where it is reached: for introspection.

    `contacts` has the contact of a team by its name; of any other nothing is said.
    """
    return DocumentNode(definitions=tuple(_add_owner(definition, contacts) for definition in document.definitions))


def _add_owner(node: Any, contacts: Mapping[str, str]) -> Any:
    fields = getattr(node, "fields", None)
    changes: dict[str, Any] = {"fields": tuple(_add_owner(member, contacts) for member in fields)} if fields else {}
    for owner in _list_owners(node):
        if owner in contacts and node.description is not None:
            text = f"{node.description.value}\n\nOwner: {owner}, {contacts[owner]}."
            changes["description"] = _build_description(text)
    return copy_node(node, **changes) if changes else node


def _list_owners(node: Any) -> list[str]:
    owned = (directive for directive in getattr(node, "directives", None) or () if _is_named_owned(directive))
    return [argument.value.value for directive in owned for argument in directive.arguments]


def _sort_key(node: Any) -> tuple[bool, int, str]:
    name = _read_name(node)
    root_position = ROOTS.index(name) if name in ROOTS else len(ROOTS)
    return not _is_directive_definition(node), root_position, name


def _sort_members(node: Any) -> Any:
    members = {key: getattr(node, key) for key in MEMBER_KEYS if getattr(node, key, None)}
    if not members:
        return node
    return copy_node(node, **{key: tuple(map(_sort_members, sorted(members[key], key=_read_name))) for key in members})


def _strip_node(node: Any) -> Any:
    changes: dict[str, Any] = {
        key: tuple(map(_strip_node, getattr(node, key) or ())) for key in MEMBER_KEYS if hasattr(node, key)
    }
    if hasattr(node, "directives"):
        changes["directives"] = tuple(
            directive for directive in node.directives or () if not _is_named_owned(directive)
        )
    if hasattr(node, "description"):
        changes["description"] = None
    return copy_node(node, **changes)


def _is_directive_definition(node: Any) -> bool:
    return isinstance(node, DirectiveDefinitionNode)


def _is_named_owned(node: Any) -> bool:
    return _read_name(node) == OWNED_DIRECTIVE


def _read_name(node: Any) -> str:
    return str(node.name.value)
