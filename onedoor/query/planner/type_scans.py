"""Begin every read of a type's rows, with what hides the rows that its reader may not see.

Nothing else in the planner makes a LogicalScan or an Exists, so no path can forget a rule. A rule is part of the
filter: it is pushed down, estimated and finished like any other, before keys are joined, counted, sorted or limited.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from onedoor.model.catalog import Catalog
from onedoor.model.constant_columns import may_match, simplify_parts
from onedoor.model.mapping import (
    CHANGE_SIDES,
    Lookup,
    Relationship,
    TypeMapping,
    name_side_column,
    name_side_id,
)
from onedoor.model.names import (
    NoSuchId,
    get_capabilities,
    get_relationship_columns,
    get_value_type,
    list_member_mappings,
    parse_id_part,
)
from onedoor.model.parameters import Parameter
from onedoor.model.row_rules import (
    ATTRIBUTES_VARIABLE,
    AllRows,
    Attribute,
    Compared,
    RowConditions,
    is_conditions,
    list_alternatives,
    select_rules,
)
from onedoor.query.planner.nodes import (
    LogicalScan,
    PlannedPredicate,
    RuleComparison,
    SemiJoinFilter,
    build_distinct_scan,
)
from onedoor.spi.capabilities import ValueType
from onedoor.spi.predicates import ALWAYS_FALSE, ALWAYS_TRUE, And, Comparison, Exists, Op, Or, transform_predicate
from onedoor.spi.text_types import TextType


def build_type_scan(
    catalog: Catalog,
    mapping: TypeMapping,
    *,
    columns: tuple[str, ...],
    key_columns: tuple[str, ...] = (),
    filter: PlannedPredicate = ALWAYS_TRUE,
) -> LogicalScan:
    """Begin a read of the rows of a type that the catalog's reader may see and that meet a filter."""
    return LogicalScan(
        source=mapping.source,
        collection=mapping.collection,
        columns=columns,
        key_columns=key_columns,
        filter=_hide_rows(build_row_filter(catalog, mapping), filter),
    )


def build_unruled_scan(mapping: TypeMapping, *, columns: tuple[str, ...], key_columns: tuple[str, ...]) -> LogicalScan:
    """Begin a read of rows that the reader may not see, of which nothing is shown but whether they are there.

    So the change that they have just made is read, too: they could see its row before, and can after it.
    """
    return LogicalScan(source=mapping.source, collection=mapping.collection, columns=columns, key_columns=key_columns)


def build_lookup_scan(
    catalog: Catalog, lookup: Lookup, columns: tuple[str, ...], filter: PlannedPredicate
) -> LogicalScan:
    """Begin a read of a collection that need not be that of a type; where it is, its rules hold."""
    rules = [
        build_row_filter(catalog, mapping)
        for mapping in catalog.mappings.values()
        if (mapping.source, mapping.collection) == (lookup.source, lookup.collection)
    ]
    return LogicalScan(
        source=lookup.source,
        collection=lookup.collection,
        columns=columns,
        key_columns=get_relationship_columns(lookup)[1],
        filter=_hide_rows(simplify_parts(And, rules), filter),
    )


def build_visible_exists(
    catalog: Catalog,
    mapping: TypeMapping,
    relationship: Relationship,
    target: TypeMapping,
    inner_filter: PlannedPredicate,
) -> PlannedPredicate:
    """Return the filter that holds where some related row which the catalog's reader may see meets the inner filter."""
    visible = _hide_rows(build_row_filter(catalog, target), inner_filter)
    return _build_exists(mapping, relationship, target, visible)


def _build_exists(
    mapping: TypeMapping, relationship: Relationship, target: TypeMapping, inner_filter: PlannedPredicate
) -> Exists | SemiJoinFilter:
    """Return an Exists within a source, and a semi-join across two."""
    outer_columns, inner_columns = get_relationship_columns(relationship)
    if target.source == mapping.source:
        return Exists(target.collection, outer_columns, inner_columns, inner_filter)
    return SemiJoinFilter(
        outer_columns, build_distinct_scan(target.source, target.collection, inner_columns, inner_filter)
    )


def _hide_rows(row_filter: PlannedPredicate, filter: PlannedPredicate) -> PlannedPredicate:
    if row_filter == ALWAYS_TRUE:
        return filter
    hidden: PlannedPredicate = simplify_parts(And, [row_filter, filter])
    return hidden


def build_row_filter(catalog: Catalog, mapping: TypeMapping) -> PlannedPredicate:
    """Return the filter that the rows of a type meet which the catalog's reader may see.

    Raises LookupError where the catalog is narrowed to no reader: rows are never read without their rule.
    """
    if mapping.rows is None:
        return ALWAYS_TRUE
    if catalog.reader_groups is None:
        raise LookupError(f"the rows of `{mapping.type}` are read for nobody")
    rules = select_rules(mapping.rows, catalog.reader_groups)
    if isinstance(rules, AllRows):
        return ALWAYS_TRUE
    if mapping.change_of is not None:
        return _build_change_filter(catalog, mapping, catalog.mappings[mapping.change_of])
    return _combine(Or, [_compile_conditions(catalog, mapping, rule) for rule in rules])


def _build_change_filter(catalog: Catalog, mapping: TypeMapping, changed: TypeMapping) -> PlannedPredicate:
    """Return the filter that holds for changes of rows that are seen now, and were before and after each change.

    The row before or after may be that of a former row with the same id. What a rule looks at through links is as it
    is now.
    """
    rule = build_row_filter(catalog, changed)
    links = [link for link in mapping.relationships.values() if link.to == changed.type]
    now = [_build_exists(mapping, link, changed, rule) for link in links if rule != ALWAYS_FALSE]
    sides = [
        Or((Comparison(name_side_id(side), Op.IS_NULL, True), relate_by_keys(rule, changed.source, side)))
        for side in CHANGE_SIDES
    ]
    return _combine(And, [*now, *sides]) if now else ALWAYS_FALSE


def relate_by_keys(rule: PlannedPredicate, source: str, side: str | None = None) -> PlannedPredicate:
    """Return a rule for rows that are in no source: each Exists is a semi-join, whose keys can be looked up.

    With a side, it is one for changes, by what their rows held there.
    """

    def name_columns(columns: tuple[str, ...]) -> tuple[str, ...]:
        return columns if side is None else tuple(name_side_column(side, column) for column in columns)

    def relate(leaf: PlannedPredicate) -> PlannedPredicate:
        match leaf:
            case Exists():
                inner_scan = build_distinct_scan(source, leaf.collection, leaf.inner_columns, leaf.filter)
                return SemiJoinFilter(name_columns(leaf.outer_columns), inner_scan)
            case SemiJoinFilter():
                return SemiJoinFilter(name_columns(leaf.outer_columns), leaf.inner_scan) if side else leaf
            case Comparison():
                return replace(leaf, column=name_columns((leaf.column,))[0])
            case _:
                return leaf

    related: PlannedPredicate = transform_predicate(rule, relate)
    return related


def _combine(connective: type[And] | type[Or], parts: Sequence[PlannedPredicate]) -> PlannedPredicate:
    """Combine parts; of none, nothing meets them, whatever the connective."""
    if not parts:
        return ALWAYS_FALSE
    combined: PlannedPredicate = simplify_parts(connective, parts)
    return combined


def _compile_conditions(catalog: Catalog, mapping: TypeMapping, conditions: RowConditions) -> PlannedPredicate:
    alternatives = [
        _combine(And, [_compile_condition(catalog, mapping, name, part) for name, part in alternative.items()])
        for alternative in list_alternatives(conditions)
    ]
    return _combine(Or, alternatives)


def _compile_condition(catalog: Catalog, mapping: TypeMapping, name: str, condition: Any) -> PlannedPredicate:
    if is_conditions(condition):
        return _compile_related(catalog, mapping, mapping.relationships[name], condition)
    value_type = get_value_type(get_capabilities(catalog, mapping).columns[name])
    match condition:
        case Attribute():
            parse = AttributeParser(value_type)
            return RuleComparison(name, Op.IN, Parameter((ATTRIBUTES_VARIABLE, condition.name), parse))
        case Compared():
            return RuleComparison(name, condition.op, _spell_constant(value_type, condition.value))
        case tuple():
            values = tuple(_spell_constant(value_type, value) for value in condition)
            return RuleComparison(name, Op.IN, values) if values else ALWAYS_FALSE
        case _:
            return RuleComparison(name, Op.EQ, _spell_constant(value_type, condition))


def _spell_constant(value_type: ValueType, constant: Any) -> Any:
    """Return a constant as rows hold it, whose texts have one spelling where they mean more than their code points."""
    return value_type.parse(constant) if isinstance(value_type, TextType) else constant


def _compile_related(
    catalog: Catalog, mapping: TypeMapping, relationship: Relationship, conditions: RowConditions
) -> PlannedPredicate:
    """Return the filter that holds where some related row meets conditions, whatever rules that row has itself."""
    alternatives = [
        _build_exists(mapping, relationship, target, inner_filter)
        for target in list_member_mappings(catalog, relationship.to)
        if (inner_filter := _compile_conditions(catalog, target, conditions)) != ALWAYS_FALSE
        and may_match(inner_filter, target.constants, None) is not False
    ]
    return _combine(Or, alternatives)


@dataclass(frozen=True, slots=True)
class AttributeParser:
    """Parse the values of a person's attribute for the column that they are compared with."""

    value_type: ValueType

    def __call__(self, texts: Sequence[str]) -> tuple[Any, ...]:
        """Return the values that a row can have; a text that is not of the column's type equals none."""
        return tuple(_iterate_parsed(self.value_type, texts))


def _iterate_parsed(value_type: ValueType, texts: Sequence[str]) -> Any:
    for text in texts:
        try:
            yield parse_id_part(value_type, text)
        except NoSuchId:
            continue
