"""Narrow a catalog to what people of certain groups see: the rows of each type, and the values of each field."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from auth.authentication import Principal
from auth.policy import AccessPolicy, GroupRequirement, SchemaCoordinate, decide, deny_masked_values
from onedoor.model.catalog import Catalog
from onedoor.model.mapping import ComputedField, TypeMapping
from onedoor.model.masks import compile_mask, derive_mask_key, select_mask, spell_value
from onedoor.model.names import get_capabilities, map_field_to_columns
from onedoor.model.parameters import Parameter
from onedoor.model.row_rules import (
    ALL_ROWS,
    ATTRIBUTES_VARIABLE,
    AllRows,
    RowRuleTexts,
    describe_rule,
    iterate_attributes,
    select_rules,
)
from onedoor.spi.capabilities import ColumnType

ReaderTraits: TypeAlias = Mapping[str, Mapping[str, Any]]
"""By type with rows that a reader does not see, the groups and the attributes that decide which those are."""


def list_masking_groups(mappings: Mapping[str, TypeMapping]) -> Mapping[tuple[str, str], frozenset[str]]:
    """Return the groups that see a part of a field's values, by type and field."""
    return {
        (mapping.type, field): frozenset(masks)
        for mapping in mappings.values()
        for field, masks in mapping.mask.items()
    }


def list_row_rules(mappings: Mapping[str, TypeMapping]) -> RowRuleTexts:
    """Return the rules for rows of each type that has any."""
    return {
        mapping.type: {group: describe_rule(rule) for group, rule in mapping.rows.items()}
        for mapping in mappings.values()
        if mapping.rows is not None
    }


def build_all_rows_coordinate(type_name: str) -> SchemaCoordinate:
    """Return the coordinate that whoever sees all rows of a type is allowed; it is that of no field."""
    return type_name, "rows", "all"


def allow_all_rows(policy: AccessPolicy, mappings: Mapping[str, TypeMapping]) -> AccessPolicy:
    """Return the policy that allows all rows of each type with rules to the groups that see them."""
    requirements: dict[SchemaCoordinate, tuple[GroupRequirement, ...]] = {
        build_all_rows_coordinate(mapping.type): (
            frozenset(group for group, rule in mapping.rows.items() if rule is ALL_ROWS),
        )
        for mapping in mappings.values()
        if mapping.rows is not None
    }
    return replace(policy, requirements={**policy.requirements, **requirements}) if requirements else policy


def narrow_catalog(catalog: Catalog, groups: frozenset[str], *, keeps_values: bool = False) -> Catalog:
    """Return the catalog as people in these groups see it; itself where no type has rules for rows or masks.

    With `keeps_values`, as for an export, a field that they see masked is denied.
    """
    ruled = [mapping for mapping in catalog.mappings.values() if mapping.rows is not None or mapping.mask]
    if not ruled:
        return catalog
    narrowed = {mapping.type: _mask_fields(catalog, mapping, groups) for mapping in ruled}
    return replace(
        catalog,
        mappings={**catalog.mappings, **narrowed},
        policy=deny_masked_values(catalog.policy) if keeps_values else catalog.policy,
        reader_groups=groups,
    )


def _mask_fields(catalog: Catalog, mapping: TypeMapping, groups: frozenset[str]) -> TypeMapping:
    """Return the mapping with its masked fields computed from their values, for all rows at once."""
    unmasked_policy = deny_masked_values(catalog.policy)
    columns = get_capabilities(catalog, mapping).columns
    computed: dict[str, ComputedField] = {}
    for field, masks in mapping.mask.items():
        sees_all = decide(unmasked_policy, (mapping.type, field), groups).allowed
        (column,) = map_field_to_columns(mapping, field)
        if sees_all and columns[column].type is ColumnType.TEXT:
            continue
        key = derive_mask_key(catalog.cursor_secret, mapping.type, field)
        show = spell_value if sees_all else select_mask(masks, groups).build(key)
        computed[field] = ComputedField(needs=(field,), compute=compile_mask(show))
    return replace(mapping, computed_fields={**mapping.computed_fields, **computed}) if computed else mapping


def list_told_apart(catalog: Catalog, groups: frozenset[str]) -> frozenset[GroupRequirement]:
    """Return, each by itself, the groups among these that rules for rows and masks name: they decide what is seen."""
    named = {
        group
        for mapping in catalog.mappings.values()
        for rules in (mapping.rows or {}, *mapping.mask.values())
        for group in rules
    }
    return frozenset(frozenset({group}) for group in groups & named)


def list_compared_attributes(catalog: Catalog, groups: frozenset[str]) -> frozenset[str]:
    """Return the attributes of a person that the rules of these groups compare."""
    return frozenset(_iterate_compared_attributes(catalog, groups))


def describe_reader(catalog: Catalog, type_names: Iterable[str]) -> ReaderTraits:
    """Return what decides which rows of these types the catalog's reader sees, its attributes as parameters.

    Nothing is said of a type all of whose rows they see.
    """
    traits: dict[str, Mapping[str, Any]] = {}
    groups = catalog.reader_groups or frozenset()
    ruled = {name: rows for name in type_names if (rows := catalog.mappings[name].rows) is not None}
    for name, named in sorted(ruled.items()):
        rules = select_rules(named, groups)
        if not isinstance(rules, AllRows):
            attributes = sorted({attribute for rule in rules for attribute in iterate_attributes(rule)})
            traits[name] = {
                "groups": sorted(groups & named.keys()),
                "attributes": {each: Parameter((ATTRIBUTES_VARIABLE, each), sorted) for each in attributes},
            }
    return traits


def bind_attributes(names: frozenset[str], principal: Principal) -> Mapping[str, Any]:
    """Return the variable that holds what a principal has of these attributes; none where no rule compares any."""
    return {ATTRIBUTES_VARIABLE: {name: principal.attributes.get(name, ()) for name in names}} if names else {}


def _iterate_compared_attributes(catalog: Catalog, groups: frozenset[str]) -> Iterator[str]:
    for mapping in catalog.mappings.values():
        rules = select_rules(mapping.rows or {}, groups)
        if not isinstance(rules, AllRows):
            yield from (name for rule in rules for name in iterate_attributes(rule))
