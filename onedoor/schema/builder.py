"""Build the GraphQL schema and the access policy from the modules that declare the types."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import chain
from types import ModuleType
from typing import TypeAlias

from graphql import (
    DirectiveDefinitionNode,
    DocumentNode,
    GraphQLSchema,
    InputObjectTypeDefinitionNode,
    InterfaceTypeDefinitionNode,
    ListTypeNode,
    NameNode,
    NonNullTypeNode,
    StringValueNode,
    TypeNode,
    build_ast_schema,
    print_ast,
)

from auth.groups import Groups
from auth.policy import AccessPolicy, GroupRequirement, SchemaCoordinate
from onedoor.model.row_rules import NO_ROW_RULES, RowRuleTexts
from onedoor.schema.annotations import Allow, Owned
from onedoor.schema.generate.mutations import add_change_types
from onedoor.schema.generate.types import build_definitions
from onedoor.schema.limiting import limit_document
from onedoor.schema.masking import (
    NO_MASKS,
    GuardedNode,
    MaskingGroups,
    MemberNode,
    mask_document,
    narrow_member,
    read_directive_argument,
    read_masking_groups,
    read_own_requirements,
)
from onedoor.schema.reader import SchemaError, SchemaShape, parse_derived_name, read_shapes
from onedoor.schema.scalars import install_scalars
from onedoor.schema.sdl import STORED_DIRECTIVE, build_argument, sort_document, strip_documentation

Requirements: TypeAlias = tuple[GroupRequirement, ...]


def build_schema_and_policy(
    modules: Iterable[ModuleType], masking_groups: MaskingGroups = NO_MASKS
) -> tuple[GraphQLSchema, AccessPolicy]:
    """Build the schema that validates and introspects, and the rules that every decision reads.

    Raises SchemaError when a field is open to nobody, or could not be denied.
    """
    return build_from_document(build_document(modules, masking_groups))


def build_from_document(document: DocumentNode) -> tuple[GraphQLSchema, AccessPolicy]:
    """Build the schema and the policy from an SDL document. Raises SchemaError."""
    check_permissions(document)
    return install_scalars(build_ast_schema(document, assume_valid_sdl=True)), derive_policy(document)


def build_document(modules: Iterable[ModuleType], masking_groups: MaskingGroups = NO_MASKS) -> DocumentNode:
    """Build the whole schema as one SDL document, permissions included. Raises SchemaError for an impossible mask."""
    return build_document_of(add_change_types(read_shapes(modules)), masking_groups)


def build_document_of(shapes: SchemaShape, masking_groups: MaskingGroups = NO_MASKS) -> DocumentNode:
    """Build the SDL document of shapes, the types of changes among them. Raises SchemaError for an impossible mask."""
    stored = (_build_stored_directive(),) if any(enum.stored_values for enum in shapes.enums) else ()
    document = DocumentNode(definitions=(*_build_directives(), *stored, *build_definitions(shapes)))
    return mask_document(document, masking_groups) if masking_groups else document


def print_sdl(
    modules: Iterable[ModuleType], masking_groups: MaskingGroups = NO_MASKS, row_rules: RowRuleTexts = NO_ROW_RULES
) -> str:
    """Print the text of schema/schema.graphql, sorted so that it does not depend on where a type is declared.

    Rules for rows are printed to be read and compared; what enforces them are the mappings.
    """
    document = limit_document(build_document(modules, masking_groups), row_rules)
    return print_ast(sort_document(document)) + "\n"


def compute_version(document: DocumentNode) -> str:
    """Hash what schema and policy mean: no cursor ends because a description is reworded or an owner changes."""
    meaning = print_ast(strip_documentation(sort_document(document)))
    return hashlib.sha256(meaning.encode()).hexdigest()[:16]


def _build_directives() -> tuple[DirectiveDefinitionNode, ...]:
    return (_build_directive(Allow, "allow", "groups", "[String!]!"), _build_directive(Owned, "owned", "by", "String!"))


def _build_stored_directive() -> DirectiveDefinitionNode:
    return DirectiveDefinitionNode(
        name=NameNode(value=STORED_DIRECTIVE),
        description=StringValueNode(value="The text that the source holds for this value.", block=True),
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
        locations=tuple(NameNode(value=location.name) for location in directive.locations),
    )


def derive_policy(document: DocumentNode) -> AccessPolicy:
    """Collect the rule of every coordinate: its own, its type's, its interfaces' and that of the type it leads to."""
    types = _index_guarded_nodes(document)
    requirements: dict[SchemaCoordinate, Requirements] = {}
    for node in types.values():
        if getattr(node, "interfaces", None):
            requirements[(node.name.value,)] = _collect_type_requirements(types, node)
        for member in node.fields or ():
            own = collect_member_requirements(types, node, member)
            requirements[node.name.value, member.name.value] = own
            requirements.update(_iter_argument_requirements(node, member, own))
    underlying = dict(_iter_underlying_fields(types))
    return AccessPolicy(
        requirements,
        dict(_iter_owners(types)),
        {coordinate: _follow_underlying_field(underlying, coordinate) for coordinate in underlying},
        dict(_iter_unmasked_requirements(types)),
    )


def _iter_unmasked_requirements(types: Mapping[str, GuardedNode]) -> Iterator[tuple[SchemaCoordinate, Requirements]]:
    """Yield what must be met to see a masked field as it is: its rule without the groups that see it masked."""
    for node in types.values():
        for member in node.fields or ():
            masking_groups = read_masking_groups(member)
            if masking_groups:
                narrowed = narrow_member(node, member, masking_groups)
                yield (node.name.value, member.name.value), collect_member_requirements(types, node, narrowed)


def collect_member_requirements(
    types: Mapping[str, GuardedNode], node: GuardedNode, member: MemberNode
) -> Requirements:
    """Return all that must be met to use a field or an input field, each requirement once."""
    target = types.get(unwrap_type_name(member.type))
    parts = (
        read_own_requirements(node),
        read_own_requirements(member),
        *iter_inherited_requirements(types, node, member.name.value),
        read_own_requirements(target) if target else (),
    )
    return tuple(dict.fromkeys(chain.from_iterable(parts)))


def iter_inherited_requirements(
    types: Mapping[str, GuardedNode], node: GuardedNode, name: str
) -> Iterator[Requirements]:
    """Yield what each interface requires on itself and on the field `name` it declares."""
    for reference in getattr(node, "interfaces", None) or ():
        interface = types[reference.name.value]
        yield read_own_requirements(interface)
        yield from (read_own_requirements(member) for member in interface.fields or () if member.name.value == name)


def _collect_type_requirements(types: Mapping[str, GuardedNode], node: GuardedNode) -> Requirements:
    """Return what must be met to learn that a row is of this type, where it could be of another."""
    parts = (read_own_requirements(node), *iter_inherited_requirements(types, node, ""))
    return tuple(dict.fromkeys(chain.from_iterable(parts)))


def unwrap_type_name(node: TypeNode) -> str:
    """Return the name of a type without its `!` and `[]`."""
    while isinstance(node, NonNullTypeNode | ListTypeNode):
        node = node.type
    return node.name.value  # type: ignore[attr-defined, no-any-return]


def _iter_argument_requirements(
    node: GuardedNode, member: MemberNode, field_requirements: Requirements
) -> Iterator[tuple[SchemaCoordinate, Requirements]]:
    """Require the rules of an argument beside those of its field: an argument may only narrow."""
    for argument in getattr(member, "arguments", None) or ():
        yield (
            (node.name.value, member.name.value, argument.name.value),
            tuple(dict.fromkeys((*field_requirements, *read_own_requirements(argument)))),
        )


def _iter_owners(types: Mapping[str, GuardedNode]) -> Iterator[tuple[SchemaCoordinate, str]]:
    """Yield the nearest `@owned(by:)`: the field's, its type's, or that of the field or type it stands for."""
    for node in types.values():
        base, base_fields = _find_base_type(types, node)
        if getattr(node, "interfaces", None) and (by := next(_iter_owner_names(node), None)) is not None:
            yield (node.name.value,), by
        for member in node.fields or ():
            nearest_first = chain(
                (member, node),
                base_fields.get(member.name.value, ()),
                base,
                _iter_target_types(types, node, member),
            )
            owner = next((name for candidate in nearest_first for name in _iter_owner_names(candidate)), None)
            if owner is not None:
                yield (node.name.value, member.name.value), owner


def _find_base_type(
    types: Mapping[str, GuardedNode], node: GuardedNode
) -> tuple[tuple[GuardedNode, ...], Mapping[str, tuple[MemberNode, ...]]]:
    """Return the type that a derived type is made for, and by name the fields that its own fields look at."""
    derived = parse_derived_name(node.name.value, types)
    if derived is None:
        return (), {}
    base = types[derived.base]
    return (base,), {field.name.value: (field,) for field in base.fields or ()} if derived.by_field else {}


def _iter_target_types(
    types: Mapping[str, GuardedNode], node: GuardedNode, member: MemberNode
) -> Iterator[GuardedNode]:
    """Yield the type of a field's value, and for a connection or an edge the type of its rows."""
    target = types.get(unwrap_type_name(member.type))
    for candidate in (target, node) if target is not None else (node,):
        yield candidate
        rows = (field for field in candidate.fields or () if field.name.value in ("nodes", "node"))
        yield from (types[unwrap_type_name(field.type)] for field in rows)


def _iter_underlying_fields(types: Mapping[str, GuardedNode]) -> Iterator[tuple[SchemaCoordinate, tuple[str, str]]]:
    """Yield each coordinate of a derived type that looks at a field of its base type, with that field."""
    for node in types.values():
        derived = parse_derived_name(node.name.value, types)
        if derived is not None and derived.by_field:
            base_fields = {field.name.value for field in types[derived.base].fields or ()}
            yield from (
                ((node.name.value, field.name.value), (derived.base, field.name.value))
                for field in node.fields or ()
                if field.name.value in base_fields
            )


def _follow_underlying_field(
    underlying_fields: Mapping[SchemaCoordinate, tuple[str, str]], coordinate: SchemaCoordinate
) -> tuple[str, str]:
    """Return the field of a written type: a filter by a value before a change looks at the changed row's field."""
    field = underlying_fields[coordinate]
    while field in underlying_fields:
        field = underlying_fields[field]
    return field


def _iter_owner_names(node: GuardedNode | MemberNode) -> Iterator[str]:
    return (
        read_directive_argument(directive, "by").value
        for directive in node.directives or ()
        if directive.name.value == "owned"
    )


def check_permissions(document: DocumentNode) -> None:
    """Raise SchemaError for the first rule that is broken."""
    types = _index_guarded_nodes(document)
    complaints = chain(
        _find_repeated_directives(types),
        _find_unopened(_collect_requirements(types)),
        _find_undescribed(types),
        _find_weaker_than_interface(types),
        _find_non_null_deniable(types),
    )
    for complaint in complaints:
        raise SchemaError(complaint)


def check_groups(policy: AccessPolicy, groups: Groups) -> None:
    """Raise SchemaError for the first rule that names a group nobody registered."""
    for coordinate, requirements in policy.requirements.items():
        for group in sorted(frozenset().union(*requirements) - groups.names):
            near = get_close_matches(group, groups.names, 1)
            hint = f"did you mean `{near[0]}`" if near else "register it in groups.toml"
            raise SchemaError(f"`{'.'.join(coordinate)}` allows `{group}`, which is not a registered group: {hint}")


def _index_guarded_nodes(document: DocumentNode) -> Mapping[str, GuardedNode]:
    return {node.name.value: node for node in document.definitions if isinstance(node, GuardedNode)}


def _collect_requirements(types: Mapping[str, GuardedNode]) -> Mapping[str, Requirements]:
    return {name: collect_member_requirements(types, node, member) for name, node, member in _iter_members(types)}


def _iter_members(types: Mapping[str, GuardedNode]) -> Iterator[tuple[str, GuardedNode, MemberNode]]:
    for node in types.values():
        for member in node.fields or ():
            yield f"{node.name.value}.{member.name.value}", node, member


def _find_repeated_directives(types: Mapping[str, GuardedNode]) -> Iterator[str]:
    """Complain of a directive that stands twice: nobody could parse the SDL that it prints."""
    members = ((name, member) for name, _, member in _iter_members(types))
    for name, node in chain(types.items(), members):
        directives = node.directives or ()
        if len(directives) < 2:
            continue
        counts = Counter(directive.name.value for directive in directives)
        repeated = next((directive for directive, count in counts.items() if count > 1), None)
        if repeated is not None:
            yield f"`{name}` has `@{repeated}` twice, join the two into one"


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
        own = (*read_own_requirements(node), *read_own_requirements(member))
        for inherited in chain.from_iterable(iter_inherited_requirements(types, node, member.name.value)):
            if not any(requirement <= inherited for requirement in own):
                yield f"`{name}` is open to more groups than its interface allows, narrow it to {sorted(inherited)}"


def _find_non_null_deniable(types: Mapping[str, GuardedNode]) -> Iterator[str]:
    """Complain of a field that may be denied and is never null: the denial would take its parent along."""
    for name, node, member in _iter_members(types):
        if isinstance(node, InputObjectTypeDefinitionNode | InterfaceTypeDefinitionNode):
            continue
        if not isinstance(member.type, NonNullTypeNode) or node.name.value == "PageInfo":
            continue
        target_name = unwrap_type_name(member.type)
        target = types.get(target_name) if target_name != "PageInfo" else None
        demanded = (*read_own_requirements(member), *(read_own_requirements(target) if target is not None else ()))
        by_type = read_own_requirements(node)
        if any(not any(outer <= requirement for outer in by_type) for requirement in demanded):
            yield f"`{name}` is never null but not all who see its type may see it, make it nullable"
