"""Modules -> schema + rules, checked."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import chain
from types import ModuleType
from typing import Any, TypeAlias

from graphql import (
    DirectiveDefinitionNode,
    DocumentNode,
    FieldDefinitionNode,
    GraphQLSchema,
    InputObjectTypeDefinitionNode,
    InputValueDefinitionNode,
    InterfaceTypeDefinitionNode,
    ListTypeNode,
    NameNode,
    NonNullTypeNode,
    ObjectTypeDefinitionNode,
    StringValueNode,
    TypeNode,
    build_ast_schema,
    print_ast,
    value_from_ast_untyped,
)

from auth.policy import AccessPolicy, GroupRequirement, Groups, SchemaCoordinate
from onedoor.schema.annotations import Allow, Owned
from onedoor.schema.generate.mutations import add_change_types
from onedoor.schema.generate.types import build_definitions
from onedoor.schema.reader import SchemaError, parse_derived_name, read_shapes
from onedoor.schema.sdl import STORED_DIRECTIVE, build_argument, in_order, install_scalars, meaning

GuardedNode: TypeAlias = ObjectTypeDefinitionNode | InterfaceTypeDefinitionNode | InputObjectTypeDefinitionNode

MemberNode: TypeAlias = FieldDefinitionNode | InputValueDefinitionNode

Requirements: TypeAlias = tuple[GroupRequirement, ...]


def derive_policy(document: DocumentNode) -> AccessPolicy:
    """The rule of every position: its own, its type's, its interfaces', and that of the type it leads to."""
    types = {node.name.value: node for node in document.definitions if isinstance(node, GuardedNode)}
    found: dict[SchemaCoordinate, Requirements] = {}
    for node in types.values():
        if getattr(node, "interfaces", None):
            found[(node.name.value,)] = _collect_type_requirements(types, node)
        for member in node.fields or ():
            found[node.name.value, member.name.value] = collect_member_requirements(types, node, member)
            found.update(_iter_argument_requirements(node, member, found[node.name.value, member.name.value]))
    looks = dict(_iter_underlying_fields(types))
    return AccessPolicy(
        found, dict(_iter_owners(types)), {each: _follow_underlying_field(looks, each) for each in looks}
    )


def collect_member_requirements(
    types: Mapping[str, GuardedNode], node: GuardedNode, member: MemberNode
) -> Requirements:
    target = types.get(unwrap_type_name(member.type))
    parts = [
        read_own_requirements(node),
        read_own_requirements(member),
        *iter_inherited_requirements(types, node, member.name.value),
        read_own_requirements(target) if target else (),
    ]
    return tuple(dict.fromkeys(each for part in parts for each in part))


def iter_inherited_requirements(
    types: Mapping[str, GuardedNode], node: GuardedNode, name: str
) -> Iterator[Requirements]:
    """What each interface asks, of itself and of the field it declares."""
    for each in getattr(node, "interfaces", None) or ():
        above = types[each.name.value]
        yield read_own_requirements(above)
        yield from (read_own_requirements(member) for member in above.fields or () if member.name.value == name)


def _collect_type_requirements(types: Mapping[str, GuardedNode], node: GuardedNode) -> Requirements:
    """What is asked of who may know that a row is of this type, where it could be of another."""
    return tuple(
        dict.fromkeys(
            each
            for part in (read_own_requirements(node), *iter_inherited_requirements(types, node, ""))
            for each in part
        )
    )


def read_own_requirements(node: GuardedNode | MemberNode) -> Requirements:
    """The requirements that the node's own `@allow` directives make."""
    if not node.directives:
        return ()
    return tuple(
        frozenset(_read_directive_argument(each, "groups")) for each in node.directives if each.name.value == "allow"
    )


def unwrap_type_name(node: TypeNode) -> str:
    while isinstance(node, NonNullTypeNode | ListTypeNode):
        node = node.type
    return node.name.value  # type: ignore[attr-defined, no-any-return]


def _iter_argument_requirements(
    node: GuardedNode, member: MemberNode, field_requirements: Requirements
) -> Iterator[tuple[SchemaCoordinate, Requirements]]:
    """An argument may only narrow: its own rule is added to its field's."""
    for each in getattr(member, "arguments", None) or ():
        yield (
            (node.name.value, member.name.value, each.name.value),
            tuple(dict.fromkeys((*field_requirements, *read_own_requirements(each)))),
        )


def _iter_owners(types: Mapping[str, GuardedNode]) -> Iterator[tuple[SchemaCoordinate, str]]:
    """The nearest `@owned(by:)`: the field's, its type's, or that of what it looks at or leads to."""
    for node in types.values():
        of, shown = _find_base_type(types, node)
        if getattr(node, "interfaces", None) and (by := next(_iter_owner_names(node), None)) is not None:
            yield (node.name.value,), by
        for member in node.fields or ():
            near = chain((member, node), shown.get(member.name.value, ()), of, _iter_target_types(types, node, member))
            owner = next((name for each in near for name in _iter_owner_names(each)), None)
            if owner is not None:
                yield (node.name.value, member.name.value), owner


def _find_base_type(
    types: Mapping[str, GuardedNode], node: GuardedNode
) -> tuple[tuple[GuardedNode, ...], Mapping[str, tuple[MemberNode, ...]]]:
    """Of a made type, the type it is made for; and by position, the field it looks at."""
    found = parse_derived_name(node.name.value, types)
    if found is None:
        return (), {}
    of = types[found.base]
    return (of,), {each.name.value: (each,) for each in of.fields or ()} if found.by_field else {}


def _iter_target_types(
    types: Mapping[str, GuardedNode], node: GuardedNode, member: MemberNode
) -> Iterator[GuardedNode]:
    """The type of a field's value, and what a page, or a field of one, is a page of."""
    target = types.get(unwrap_type_name(member.type))
    for each in (target, node) if target is not None else (node,):
        yield each
        rows = (inner for inner in each.fields or () if inner.name.value in ("nodes", "node"))
        yield from (types[unwrap_type_name(inner.type)] for inner in rows)


def _iter_underlying_fields(types: Mapping[str, GuardedNode]) -> Iterator[tuple[SchemaCoordinate, tuple[str, str]]]:
    for node in types.values():
        made = parse_derived_name(node.name.value, types)
        if made is not None and made.by_field:
            known = {each.name.value for each in types[made.base].fields or ()}
            yield from (
                ((node.name.value, each.name.value), (made.base, each.name.value))
                for each in node.fields or ()
                if each.name.value in known
            )


def _follow_underlying_field(
    underlying_fields: Mapping[SchemaCoordinate, tuple[str, str]], coordinate: SchemaCoordinate
) -> tuple[str, str]:
    """What a filter by a value before a change looks at is the field of the row that was changed."""
    at = underlying_fields[coordinate]
    while at in underlying_fields:
        at = underlying_fields[at]
    return at


def _iter_owner_names(node: GuardedNode | MemberNode) -> Iterator[str]:
    return (_read_directive_argument(each, "by") for each in node.directives or () if each.name.value == "owned")


def _read_directive_argument(directive: Any, name: str) -> Any:
    return next(value_from_ast_untyped(each.value) for each in directive.arguments if each.name.value == name)


def check_permissions(document: DocumentNode) -> None:
    """Raise SchemaError for the first rule broken."""
    types = _index_guarded_nodes(document)
    asked = _collect_requirements(types)
    complaints = (
        _find_repeated_directives(types),
        _find_unopened(asked),
        _find_undescribed(types),
        _find_weaker_than_interface(types),
        _find_non_null_deniable(types),
    )
    for complaint in chain(*complaints):
        raise SchemaError(complaint)


def check_groups(document: DocumentNode, groups: Groups) -> None:
    """Raise SchemaError for the first rule that names a group nobody registered."""
    for name, requirements in _collect_requirements(_index_guarded_nodes(document)).items():
        for group in sorted(frozenset().union(*requirements)):
            if group not in groups.names:
                near = get_close_matches(group, groups.names, 1)
                hint = f"did you mean `{near[0]}`" if near else "register it in groups.toml"
                raise SchemaError(f"`{name}` allows `{group}`, which is not a registered group: {hint}")


def _index_guarded_nodes(document: DocumentNode) -> Mapping[str, GuardedNode]:
    return {node.name.value: node for node in document.definitions if isinstance(node, GuardedNode)}


def _collect_requirements(types: Mapping[str, GuardedNode]) -> Mapping[str, Requirements]:
    return {name: collect_member_requirements(types, node, member) for name, node, member in _iter_members(types)}


def _iter_members(types: Mapping[str, GuardedNode]) -> Iterator[tuple[str, GuardedNode, MemberNode]]:
    for node in types.values():
        for member in node.fields or ():
            yield f"{node.name.value}.{member.name.value}", node, member


def _find_repeated_directives(types: Mapping[str, GuardedNode]) -> Iterator[str]:
    """The same directive twice prints an SDL that nobody can parse."""
    nodes = [(name, node) for name, node in types.items()] + [
        (name, member) for name, _, member in _iter_members(types)
    ]
    for name, node in (each for each in nodes if len(each[1].directives or ()) > 1):
        twice = [each for each, times in Counter(d.name.value for d in node.directives or ()).items() if times > 1]
        if twice:
            yield f"`{name}` has `@{twice[0]}` twice, join the two into one"


def _find_unopened(requirements: Mapping[str, Requirements]) -> Iterator[str]:
    for name, demanded in requirements.items():
        if not demanded or not all(demanded):
            yield f"`{name}` is open to nobody, give it or its type `@allow(groups: [...])`"


def _find_undescribed(types: Mapping[str, GuardedNode]) -> Iterator[str]:
    for name, _, member in _iter_members(types):
        if member.description is None:
            yield f"`{name}` has no description, say what the name does not"


def _find_weaker_than_interface(types: Mapping[str, GuardedNode]) -> Iterator[str]:
    for name, node, member in _iter_members(types):
        strict = (*read_own_requirements(node), *read_own_requirements(member))
        for wanted in (each for part in iter_inherited_requirements(types, node, member.name.value) for each in part):
            if not any(each <= wanted for each in strict):
                yield f"`{name}` is open to more groups than its interface allows, narrow it to {sorted(wanted)}"


def _find_non_null_deniable(types: Mapping[str, GuardedNode]) -> Iterator[str]:
    """A field that a group may be denied must be nullable, or the denial would take its parent along."""
    for name, node, member in _iter_members(types):
        if isinstance(node, InputObjectTypeDefinitionNode | InterfaceTypeDefinitionNode):
            continue
        if not isinstance(member.type, NonNullTypeNode) or node.name.value == "PageInfo":
            continue
        narrower = [
            each
            for each in read_own_requirements(member)
            if not any(outer <= each for outer in read_own_requirements(node))
        ]
        target = types.get(unwrap_type_name(member.type))
        if target is not None and unwrap_type_name(member.type) != "PageInfo":
            narrower += [
                each
                for each in read_own_requirements(target)
                if not any(outer <= each for outer in read_own_requirements(node))
            ]
        if narrower:
            yield f"`{name}` is never null but not all who see its type may see it, make it nullable"


def build_schema_and_policy(modules: Iterable[ModuleType]) -> tuple[GraphQLSchema, AccessPolicy]:
    """The schema that validates and introspects, and the rules that every decision reads.

    Raises SchemaError when a field is open to nobody, or could not be denied.
    """
    return build_from_document(build_document(modules))


def build_from_document(document: DocumentNode) -> tuple[GraphQLSchema, AccessPolicy]:
    check_permissions(document)
    return install_scalars(build_ast_schema(document, assume_valid_sdl=True)), derive_policy(document)


def build_document(modules: Iterable[ModuleType]) -> DocumentNode:
    """The whole schema as one SDL document, permissions included."""
    found = add_change_types(read_shapes(modules))
    held = (_build_stored_directive(),) if any(each.stored_values for each in found.enums) else ()
    return DocumentNode(definitions=(*_build_directives(), *held, *build_definitions(found)))


def print_sdl(modules: Iterable[ModuleType]) -> str:
    """The text of schema/schema.graphql: sorted, so that where something is declared moves nothing in it."""
    return print_ast(in_order(build_document(modules))) + "\n"


def compute_version(modules: Iterable[ModuleType]) -> str:
    """Of what schema and policy mean, so that a description said otherwise, or another owner, ends no cursor."""
    return hashlib.sha256(print_ast(meaning(in_order(build_document(modules)))).encode()).hexdigest()[:16]


def _build_directives() -> tuple[DirectiveDefinitionNode, ...]:
    return (_build_directive(Allow, "allow", "groups", "[String!]!"), _build_directive(Owned, "owned", "by", "String!"))


def _build_stored_directive() -> DirectiveDefinitionNode:
    return DirectiveDefinitionNode(
        name=NameNode(value=STORED_DIRECTIVE),
        description=StringValueNode(value="The text its source holds for this value.", block=True),
        arguments=(build_argument("as", "String!", ""),),
        repeatable=False,
        locations=(NameNode(value="ENUM_VALUE"),),
    )


def _build_directive(declared: type, name: str, argument_name: str, argument_type: str) -> DirectiveDefinitionNode:
    directive = declared.__strawberry_directive__  # type: ignore[attr-defined]
    return DirectiveDefinitionNode(
        name=NameNode(value=name),
        description=StringValueNode(value=directive.description, block=True),
        arguments=(build_argument(argument_name, argument_type, ""),),
        repeatable=False,
        locations=tuple(NameNode(value=each.name) for each in directive.locations),
    )
