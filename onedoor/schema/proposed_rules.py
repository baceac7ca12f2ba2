"""Apply the `@allow` of an SDL text to a company's types, and derive the policy that they would have."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any, TypeAlias

from graphql import (
    DefinitionNode,
    GraphQLError,
    InputObjectTypeDefinitionNode,
    InputObjectTypeExtensionNode,
    InterfaceTypeDefinitionNode,
    InterfaceTypeExtensionNode,
    ObjectTypeDefinitionNode,
    ObjectTypeExtensionNode,
    parse,
)

from auth.groups import Groups
from auth.policy import AccessPolicy
from onedoor.errors import build_unknown_name_error
from onedoor.model.row_rules import RowRuleTexts
from onedoor.schema.builder import (
    build_document_of,
    check_groups,
    check_permissions,
    derive_policy,
)
from onedoor.schema.generate.mutations import add_change_types
from onedoor.schema.limiting import read_row_rules
from onedoor.schema.masking import NO_MASKS, MaskingGroups, read_masking_groups, read_own_requirements
from onedoor.schema.reader import AccessDirectives, SchemaError, SchemaShape, TypeShape, read_shapes

EXTENSIONS = (ObjectTypeExtensionNode, InterfaceTypeExtensionNode, InputObjectTypeExtensionNode)

DEFINITIONS = (ObjectTypeDefinitionNode, InterfaceTypeDefinitionNode, InputObjectTypeDefinitionNode)

AllowedGroups: TypeAlias = tuple[tuple[str, ...], ...]


def build_proposed_policy(
    modules: Iterable[ModuleType], groups: Groups, text: str, masking_groups: MaskingGroups = NO_MASKS
) -> AccessPolicy:
    """Build the policy of these modules' types, had they the rules of an SDL text.

    A field that the text names has its `@allow` and `@masked`, and no other rule of its own. A type that is defined has
    that of its definition; one that is extended keeps its own. What is not named stays. What is defined but is not
    there, as in the SDL of another version, is passed over. Types that are made for filters, orders and pages follow
    the types they are made for. Raises ConfigurationError.
    """
    shapes = read_shapes(modules)
    written = {shape.name: shape for shape in (*shapes.types, *shapes.inputs)}
    proposed, masks = dict(written), dict(masking_groups)
    for node in _parse_definitions(text):
        name = node.name.value
        if name in written:
            proposed[name] = _apply_rules(proposed[name], node)
            masks = _apply_masks(masks, proposed[name], node)
        elif isinstance(node, EXTENSIONS):
            raise build_unknown_name_error("type", name, written)
    document = build_document_of(add_change_types(_replace_types(shapes, proposed)), masks)
    check_permissions(document)
    policy = derive_policy(document)
    check_groups(policy, groups)
    return policy


def build_proposed_row_rules(row_rules: RowRuleTexts, text: str) -> RowRuleTexts:
    """Return the rules for rows that these types would have by an SDL text, which defines a type or names rules for it.

    Raises ConfigurationError.
    """
    proposed = dict(row_rules)
    for node in _parse_definitions(text) if text else ():
        rules, name = read_row_rules(node), node.name.value
        if rules or not isinstance(node, EXTENSIONS):
            proposed[name] = rules
    return {name: rules for name, rules in proposed.items() if rules}


def _replace_types(shapes: SchemaShape, proposed: Mapping[str, TypeShape]) -> SchemaShape:
    return replace(
        shapes,
        types=tuple(proposed[shape.name] for shape in shapes.types),
        inputs=tuple(proposed[shape.name] for shape in shapes.inputs),
    )


def _parse_definitions(text: str) -> list[Any]:
    try:
        definitions: Iterable[DefinitionNode] = parse(text, no_location=True).definitions
    except GraphQLError as error:
        raise SchemaError(f"the rules are not SDL: {error.message}") from None
    return [node for node in definitions if isinstance(node, (*EXTENSIONS, *DEFINITIONS))]


def _apply_rules(shape: TypeShape, node: Any) -> TypeShape:
    proposed = {field.name.value: _read_allow(field) for field in node.fields or ()}
    fields = {field.name: field for field in shape.fields}
    for name in proposed if isinstance(node, EXTENSIONS) else ():
        if name not in fields:
            raise build_unknown_name_error(f"field of `{shape.name}`", name, fields)
    is_extended = isinstance(node, EXTENSIONS) and not _read_allow(node)
    return replace(
        shape,
        access=shape.access if is_extended else _replace_allow(shape.access, _read_allow(node)),
        fields=tuple(
            replace(field, access=_replace_allow(field.access, proposed.get(field.name, field.access.allow)))
            for field in shape.fields
        ),
    )


def _apply_masks(masks: MaskingGroups, shape: TypeShape, node: Any) -> dict[tuple[str, str], frozenset[str]]:
    """Return the masks with those of the fields that a definition names in place of what they had."""
    fields = {field.name for field in shape.fields}
    named = {(shape.name, field.name.value): read_masking_groups(field) for field in node.fields or ()}
    replaced = {**masks, **{key: groups for key, groups in named.items() if key[1] in fields}}
    return {key: groups for key, groups in replaced.items() if groups}


def _replace_allow(access: AccessDirectives, allow: AllowedGroups) -> AccessDirectives:
    return replace(access, allow=allow)


def _read_allow(node: Any) -> AllowedGroups:
    return tuple(tuple(sorted(requirement)) for requirement in read_own_requirements(node))
