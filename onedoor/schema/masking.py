"""Narrow what looks at a masked field's values to those who see them as they are: filters, orders, groups, sums.

The field itself stays open to whoever sees it masked; `@masked` says who that is.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from graphql import (
    ConstDirectiveNode,
    ConstListValueNode,
    DirectiveDefinitionNode,
    DocumentNode,
    FieldDefinitionNode,
    InputObjectTypeDefinitionNode,
    InputValueDefinitionNode,
    InterfaceTypeDefinitionNode,
    NamedTypeNode,
    NameNode,
    NonNullTypeNode,
    ObjectTypeDefinitionNode,
    StringValueNode,
)

from auth.policy import GroupRequirement
from onedoor.schema.reader import AccessDirectives, SchemaError, parse_derived_name
from onedoor.schema.sdl import build_access_directives, build_argument, build_directive_use, copy_node

GuardedNode: TypeAlias = ObjectTypeDefinitionNode | InterfaceTypeDefinitionNode | InputObjectTypeDefinitionNode

MemberNode: TypeAlias = FieldDefinitionNode | InputValueDefinitionNode

MaskingGroups: TypeAlias = Mapping[tuple[str, str], frozenset[str]]
"""By type and field, the groups that see a part of its values."""

NO_MASKS: MaskingGroups = {}

MASKED_DIRECTIVE, ALLOW_DIRECTIVE = "masked", "allow"

MUTATION_ROOT, CHANGE_SUFFIX = "Mutation", "Change"

MASKED_DEFINITION = DirectiveDefinitionNode(
    name=NameNode(value=MASKED_DIRECTIVE),
    description=StringValueNode(
        value="Whoever sees this by these groups alone sees a part of each value, and can do nothing else with it.",
        block=True,
    ),
    arguments=(build_argument("groups", "[String!]!", ""),),
    repeatable=False,
    locations=(NameNode(value="FIELD_DEFINITION"),),
)


def mask_document(document: DocumentNode, masking_groups: MaskingGroups) -> DocumentNode:
    """Mark the masked fields, and narrow each field of a generated type that looks at one.

    Raises SchemaError where there is no such field, or it cannot be masked.
    """
    types = {node.name.value: node for node in document.definitions if isinstance(node, GuardedNode)}
    for (type_name, field), groups in masking_groups.items():
        for problem in _find_problems(types, type_name, field, groups):
            raise SchemaError(problem)
    changed_types = dict(_iter_changed_types(types))
    definitions = (
        _mask_type(types, node, masking_groups, changed_types.get(node.name.value))
        if isinstance(node, GuardedNode)
        else node
        for node in document.definitions
    )
    return DocumentNode(definitions=(MASKED_DEFINITION, *definitions))


def _find_problems(
    types: Mapping[str, GuardedNode], type_name: str, field: str, groups: frozenset[str]
) -> Iterator[str]:
    coordinate, node = f"{type_name}.{field}", types.get(type_name)
    member = next((member for member in (node and node.fields) or () if member.name.value == field), None)
    if node is None or member is None:
        yield f"`{coordinate}` is masked, but there is no such field: name a field of the schema"
        return
    if not isinstance(member.type, NamedTypeNode) or member.type.name.value != "String":
        yield f"`{coordinate}` is masked, so it may hold a part of a value: make it a nullable String"
    for reference in getattr(node, "interfaces", None) or ():
        if any(shared.name.value == field for shared in types[reference.name.value].fields or ()):
            yield f"`{coordinate}` is masked, but `{reference.name.value}.{field}` shows it too: take it out there"
    admitted = _read_nearest_groups(node, member)
    for group in sorted(groups - admitted):
        yield f"`{coordinate}` is masked for `{group}`, which `@allow` does not admit: leave it out"
    if groups >= admitted:
        yield f"`{coordinate}` is masked for all who may see it: let one more group see it as it is"


def _mask_type(
    types: Mapping[str, GuardedNode], node: GuardedNode, masking_groups: MaskingGroups, changed_type: str | None
) -> GuardedNode:
    name = node.name.value
    base = changed_type or _find_base_name(types, name)
    if base is None:
        members = tuple(
            _mark_masked(member, masking_groups.get((name, member.name.value))) for member in node.fields or ()
        )
    else:
        members = tuple(
            narrow_member(node, member, masking_groups.get((base, member.name.value), frozenset()))
            for member in node.fields or ()
        )
    masked: GuardedNode = copy_node(node, fields=members)
    return masked


def _find_base_name(types: Mapping[str, GuardedNode], name: str) -> str | None:
    """Return the written type whose fields those of a generated type look at; None: they look at none."""
    derived = parse_derived_name(name, types)
    if derived is None or not derived.by_field:
        return None
    return _find_base_name(types, derived.base) or derived.base


def _iter_changed_types(types: Mapping[str, GuardedNode]) -> Iterator[tuple[str, str]]:
    """Yield each input of a mutation with the type that it changes: whoever sets a value learns about the old one."""
    mutations: Any = types[MUTATION_ROOT].fields if MUTATION_ROOT in types else ()
    for mutation in mutations:
        changed = getattr(mutation.type, "name", mutation.name).value.removesuffix(CHANGE_SUFFIX)
        for argument in mutation.arguments or ():
            named = argument.type.type if isinstance(argument.type, NonNullTypeNode) else argument.type
            if changed in types and isinstance(named, NamedTypeNode) and named.name.value in types:
                yield named.name.value, changed


def _mark_masked(member: MemberNode, groups: frozenset[str] | None) -> MemberNode:
    if not groups:
        return member
    values = ConstListValueNode(values=tuple(StringValueNode(value=group) for group in sorted(groups)))
    use = build_directive_use(MASKED_DIRECTIVE, "groups", values)
    marked: MemberNode = copy_node(member, directives=(*(member.directives or ()), use))
    return marked


def narrow_member(node: GuardedNode, member: MemberNode, groups: frozenset[str]) -> MemberNode:
    """Return the field with an `@allow` of its own that does not admit these groups."""
    if not groups:
        return member
    admitted = tuple(group for group in _iter_nearest_groups(node, member) if group not in groups)
    others = (directive for directive in member.directives or () if directive.name.value != ALLOW_DIRECTIVE)
    own = build_access_directives(AccessDirectives(allow=(admitted,), owned=()))
    narrowed: MemberNode = copy_node(member, directives=(*own, *others))
    return narrowed


def _read_nearest_groups(node: GuardedNode, member: MemberNode) -> frozenset[str]:
    return frozenset(_iter_nearest_groups(node, member))


def _iter_nearest_groups(node: GuardedNode, member: MemberNode) -> Iterator[str]:
    """Yield the groups of a field's own rule, or else of its type's."""
    for holder in (member, node):
        directives = [each for each in holder.directives or () if each.name.value == ALLOW_DIRECTIVE]
        if directives:
            yield from (group.value for each in directives for group in read_directive_argument(each, "groups").values)
            return


def read_masking_groups(member: MemberNode) -> frozenset[str]:
    """Return the groups that see a part of a field's values."""
    return frozenset(
        group.value
        for directive in member.directives or ()
        if directive.name.value == MASKED_DIRECTIVE
        for group in read_directive_argument(directive, "groups").values
    )


def read_own_requirements(node: GuardedNode | MemberNode) -> tuple[GroupRequirement, ...]:
    """Return the requirements that the node's own `@allow` directives make."""
    if not node.directives:
        return ()
    return tuple(
        frozenset(group.value for group in read_directive_argument(directive, "groups").values)
        for directive in node.directives
        if directive.name.value == ALLOW_DIRECTIVE
    )


def read_directive_argument(directive: ConstDirectiveNode, name: str) -> Any:
    """Return the node of an argument that a directive has."""
    return next(argument.value for argument in directive.arguments or () if argument.name.value == name)
