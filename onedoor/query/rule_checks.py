"""Check at start-up that the rules for rows and the masks of a mapping can hold, and leave no group out."""

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from auth.policy import AccessPolicy, get_value_requirements
from onedoor.model.catalog import Catalog
from onedoor.model.mapping import TypeMapping
from onedoor.model.names import get_capabilities, get_value_type, list_member_mappings, map_field_to_columns
from onedoor.model.row_rules import AllRows, Attribute, Compared, RowConditions, is_conditions, list_alternatives
from onedoor.spi.capabilities import Column, ColumnType
from onedoor.spi.predicates import Op
from onedoor.spi.text_types import InvalidText, TextType

CONSTANT_TYPES: Mapping[ColumnType, tuple[type, ...]] = {
    ColumnType.TEXT: (str,),
    ColumnType.INTEGER: (int,),
    ColumnType.FLOAT: (int, float),
    ColumnType.DECIMAL: (int, Decimal),
    ColumnType.BOOLEAN: (bool,),
    ColumnType.DATE: (date,),
    ColumnType.TIME: (datetime,),
}
"""What a column is compared with; a column of lists is compared with nothing."""

COMPARED_OPS = frozenset(Op) - {Op.IN, Op.NOT_IN, Op.IS_NULL}
"""The operators that take one constant."""

TEXT_OPS = COMPARED_OPS - {Op.EQ, Op.NE, Op.LT, Op.LTE, Op.GT, Op.GTE}


def check_row_rules(catalog: Catalog, mapping: TypeMapping) -> Iterator[str]:
    """Yield what is wrong with the rules for a type's rows."""
    if mapping.rows is None:
        yield from _check_shared_collection(catalog, mapping)
        return
    admitted = list_admitted_groups(catalog.policy, mapping.type)
    for group in sorted(admitted - mapping.rows.keys()):
        yield (
            f"`{mapping.type}` has rules for rows but none for `{group}`, whom `@allow` admits: "
            "name its rows, or `ALL_ROWS`"
        )
    for group in sorted(mapping.rows.keys() - admitted):
        yield f"`{mapping.type}` has a rule for the rows of `{group}`, whom `@allow` does not admit: leave it out"
    if mapping.change_of is not None:
        return  # the conditions are those of the type that is changed
    for rule in mapping.rows.values():
        if not isinstance(rule, AllRows):
            yield from _check_conditions(catalog, mapping, mapping.type, rule)


def list_admitted_groups(policy: AccessPolicy, type_name: str) -> frozenset[str]:
    """Return the groups of the rule that all fields of a type have in common, or else of the rules of its fields."""
    rules = [
        frozenset(requirements)
        for coordinate, requirements in policy.requirements.items()
        if len(coordinate) == 2 and coordinate[0] == type_name
    ]
    common = frozenset[frozenset[str]]().union(*rules).intersection(*rules)
    if common:
        first, *others = common
        return first.intersection(*others)
    return frozenset().union(*(requirement for rule in rules for requirement in rule))


def _check_shared_collection(catalog: Catalog, mapping: TypeMapping) -> Iterator[str]:
    """Check that no type shows all rows of a collection that another type hides some of."""
    for other in catalog.mappings.values():
        if other.rows is not None and (other.source, other.collection) == (mapping.source, mapping.collection):
            yield f"`{mapping.type}` shows rows that `{other.type}` has rules for: give it rules, too"


def _check_conditions(catalog: Catalog, mapping: TypeMapping, owner: str, conditions: RowConditions) -> Iterator[str]:
    for alternative in list_alternatives(conditions):
        for name, condition in alternative.items():
            place = f"the rule for rows of `{owner}`"
            if is_conditions(condition):
                yield from _check_related(catalog, mapping, owner, name, condition)
                continue
            column = get_capabilities(catalog, mapping).columns.get(name)
            if column is None:
                yield f"{place} names the column `{name}`, which `{mapping.collection}` does not have"
                return
            yield from _check_condition(f"{place} compares `{name}`", column, condition)


def _check_related(
    catalog: Catalog, mapping: TypeMapping, owner: str, name: str, conditions: RowConditions
) -> Iterator[str]:
    relationship = mapping.relationships.get(name)
    if relationship is None:
        yield f"the rule for rows of `{owner}` names the link `{name}`, which `{mapping.type}` does not have"
        return
    for target in list_member_mappings(catalog, relationship.to):
        yield from _check_conditions(catalog, target, owner, conditions)


def _check_condition(place: str, column: Column, condition: Any) -> Iterator[str]:
    if isinstance(condition, Attribute):
        if column.type is ColumnType.LIST:
            yield f"{place} with an attribute, but it holds lists: take another column"
        return
    if isinstance(condition, Compared):
        if condition.op not in COMPARED_OPS or (condition.op in TEXT_OPS and column.type is not ColumnType.TEXT):
            yield f"{place} by `{condition.op}`, which is none of its operators: take another"
        condition = condition.value
    for constant in condition if isinstance(condition, tuple) else (condition,):
        yield from _check_constant(place, column, constant)


def _check_constant(place: str, column: Column, constant: Any) -> Iterator[str]:
    value_type, types = get_value_type(column), CONSTANT_TYPES.get(column.type, ())
    is_other_kind = isinstance(constant, bool) is not (column.type is ColumnType.BOOLEAN)
    is_time = isinstance(constant, datetime) is not (column.type is ColumnType.TIME)
    if is_other_kind or is_time or not isinstance(constant, types):
        yield f"{place}, which holds {column.type}, with another kind of value: give one of that kind"
    elif isinstance(constant, datetime) and constant.tzinfo is None:
        yield f"{place} with a time without a zone: give it one"
    elif isinstance(value_type, TextType) and isinstance(constant, str):
        try:
            value_type.parse(constant)
        except InvalidText as error:
            yield f"{place} with what cannot be there: {error}"


def check_masks(catalog: Catalog, mapping: TypeMapping) -> Iterator[str]:
    """Yield what is wrong with the masks of a type's fields."""
    for field, masks in mapping.mask.items():
        coordinate = f"{mapping.type}.{field}"
        if field in {*mapping.relationships, *mapping.lookups, *mapping.computed_fields}:
            yield f"`{coordinate}` is masked, but it is no column: mask what it is made of"
            continue
        columns = map_field_to_columns(mapping, field)
        if len(columns) > 1 or not {*columns}.isdisjoint(mapping.key):
            yield f"`{coordinate}` is masked, but ids show it: mask no part of a key"
            continue
        if (mapping.type, field) not in catalog.policy.unmasked_requirements:
            yield f"`{coordinate}` is masked, but its schema was built without masks: build it with them"
            continue
        column = get_capabilities(catalog, mapping).columns.get(columns[0])
        if column is None:
            continue  # the check of fields says so
        yield from _check_mask_column(catalog, mapping, field, column)
        for mask in masks.values():
            if column.type not in mask.column_types:
                yield f"`{coordinate}` is masked by {mask.label}, but its column holds {column.type}: take another mask"


def _check_mask_column(catalog: Catalog, mapping: TypeMapping, field: str, column: Column) -> Iterator[str]:
    """Check that a masked column can be compared as text or not at all, and shows nothing more in another field."""
    (name,) = map_field_to_columns(mapping, field)
    is_compared = (mapping.type, field) in catalog.policy.underlying_fields.values()
    if column.type is not ColumnType.TEXT and is_compared:
        yield (
            f"`{mapping.type}.{field}` shows `{name}`, which holds {column.type}, as text: "
            "declare it as `Computed[str | None]`, so that nothing compares it"
        )
    unmasked = get_value_requirements(catalog.policy, (mapping.type, field))
    for other in catalog.mappings.values():
        if (other.source, other.collection) == (mapping.source, mapping.collection):
            yield from _check_shown_elsewhere(catalog, other, name, f"{mapping.type}.{field}", unmasked)


def _check_shown_elsewhere(
    catalog: Catalog, other: TypeMapping, column: str, masked: str, unmasked: tuple[frozenset[str], ...]
) -> Iterator[str]:
    output: Any = catalog.schema.type_map[other.type]
    for name in output.fields:
        shown, links = f"{other.type}.{name}", {*other.relationships, *other.lookups, *other.computed_fields}
        if shown == masked or name in links or map_field_to_columns(other, name) != (column,):
            continue
        own = get_value_requirements(catalog.policy, (other.type, name))
        for requirement in unmasked:
            if not any(narrower <= requirement for narrower in own):
                yield f"`{shown}` shows what `{masked}` masks, narrow it to {sorted(requirement)}, or mask it, too"
