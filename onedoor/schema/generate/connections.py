"""Connections, filters."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from graphql import DefinitionNode, FieldDefinitionNode, InputValueDefinitionNode

from onedoor.schema.reader import AccessDirectives, EnumShape, FieldKind, FieldShape, SchemaShape, TypeShape
from onedoor.schema.sdl import (
    EQUALITY_OPERATORS,
    FILTER_OPERATORS,
    build_argument,
    build_field,
    build_input,
    build_object,
)

EVERYONE_ACCESS = AccessDirectives(allow=(("everyone",),), owned=())


def list_columns(shape: TypeShape) -> tuple[FieldShape, ...]:
    """What holds one value of a scalar or an enum, and is not computed."""
    return tuple(
        each for each in shape.fields if each.kind is FieldKind.COLUMN and not each.is_list and each.type_name != "JSON"
    )


def list_relationships(shape: TypeShape, *kinds: FieldKind) -> tuple[FieldShape, ...]:
    """What leads to other rows in one of these ways."""
    return tuple(each for each in shape.fields if each.kind in kinds)


def drop_owner(access: AccessDirectives) -> AccessDirectives:
    """The rule without the owner: what a derived position copies."""
    return AccessDirectives(allow=access.allow, owned=())


PAGE_INFO = build_object(
    "PageInfo",
    "Where a page stands.",
    [
        build_field("hasNextPage", "Boolean!", "Whether rows follow this page."),
        build_field("hasPreviousPage", "Boolean!", "Whether rows come before this page."),
        build_field("startCursor", "String", "The place of the first row of this page."),
        build_field("endCursor", "String", "The place of the last row of this page."),
    ],
    EVERYONE_ACCESS,
)


def build_paging_arguments(type_name: str) -> list[InputValueDefinitionNode]:
    return [
        build_argument("where", f"{type_name}Where", "Only rows that meet this."),
        build_argument(
            "orderBy", f"[{type_name}Order!]", "The first decides, the next break ties; the key comes last."
        ),
        build_argument("first", "Int", "At most so many, from the start."),
        build_argument("after", "String", "Only what comes after this cursor."),
        build_argument("last", "Int", "At most so many, from the end."),
        build_argument("before", "String", "Only what comes before this cursor."),
    ]


def build_connection(shape: TypeShape) -> tuple[DefinitionNode, DefinitionNode]:
    """Rows of an interface stand in several stores: they are counted, but not measured or grouped."""
    name, rule = shape.name, drop_owner(shape.access)
    page = [
        build_field("nodes", f"[{name}!]", "The rows of this page."),
        build_field("edges", f"[{name}Edge!]", "The rows of this page, each with its cursor."),
        build_field("pageInfo", "PageInfo", "Where this page stands."),
        build_field("totalCount", "Int", "How many rows there are on all pages."),
        *([] if shape.is_interface else _build_aggregate_connection_fields(name)),
    ]
    edge = [
        build_field("cursor", "String!", "Names the row's place, for `after` and `before`."),
        build_field("node", f"{name}!", "The row."),
    ]
    return (
        build_object(f"{name}Connection", f"A page of `{name}`.", page, rule),
        build_object(f"{name}Edge", f"One `{name}` and its place.", edge, rule),
    )


def _build_aggregate_connection_fields(type_name: str) -> list[FieldDefinitionNode]:
    return [
        build_field("aggregate", f"{type_name}Aggregate", "What the rows of all pages come to, taken together."),
        build_field(
            "groups",
            f"[{type_name}Group!]",
            "The rows of all pages in groups.",
            arguments=_build_grouping_arguments(type_name),
        ),
    ]


def _build_grouping_arguments(type_name: str) -> list[InputValueDefinitionNode]:
    ties = "The first decides, the next break ties; the key comes last, as `by` has it."
    return [
        build_argument("by", f"[{type_name}GroupBy!]!", "Rows that agree in all of these make a group."),
        build_argument("having", f"{type_name}Having", "Only groups that meet this."),
        build_argument("orderBy", f"[{type_name}GroupOrder!]", ties),
        build_argument("first", "Int", "At most so many groups, from the start."),
    ]


FILTER_SUFFIXES = {FieldKind.COLUMN: "Filter", FieldKind.ONE: "Where", FieldKind.MANY: "ListWhere"}


def build_filters(shape: TypeShape, *, listed: bool) -> Iterator[DefinitionNode]:
    """Of its rows; and, where other types have lists of it, of those."""
    name, rule = shape.name, drop_owner(shape.access)
    fields = [made for each in shape.fields for made in _build_filter_fields(each)]
    meaning = f"Which `{name}` rows are meant; all that is said must hold."
    yield build_input(f"{name}Where", meaning, [*fields, *build_boolean_fields(f"{name}Where")], rule)
    if listed:
        yield build_input(f"{name}ListWhere", f"How a list of `{name}` must be.", _build_quantifier_fields(name), rule)


def build_boolean_fields(type_name: str) -> list[InputValueDefinitionNode]:
    return [
        build_argument("and", f"[{type_name}!]", "All of these; of none: true."),
        build_argument("or", f"[{type_name}!]", "Any of these; of none: false."),
        build_argument("not", type_name, "Not this: null counts as false before it is turned."),
    ]


def _build_quantifier_fields(name: str) -> list[InputValueDefinitionNode]:
    return [
        build_argument("some", f"{name}Where", "At least one meets this."),
        build_argument("every", f"{name}Where", "None fails this; true of an empty list."),
        build_argument("none", f"{name}Where", "Not one meets this."),
    ]


def _build_filter_fields(shape: FieldShape) -> list[InputValueDefinitionNode]:
    if shape.kind in (FieldKind.COMPUTED, FieldKind.LOOKUP) or shape.is_list or shape.type_name == "JSON":
        return []
    of = f"{shape.type_name}{FILTER_SUFFIXES[shape.kind]}"
    return [build_argument(shape.name, of, shape.description, drop_owner(shape.access))]


OPERATOR_DESCRIPTIONS = {
    "eq": "Equal to this.",
    "ne": "Has a value other than this.",
    "in": "One of these.",
    "notIn": "Has a value that is none of these.",
    "isNull": "Whether there is no value.",
    "lt": "Less than this.",
    "lte": "Less than or equal to this.",
    "gt": "Greater than this.",
    "gte": "Greater than or equal to this.",
    "contains": "Contains this text.",
    "startsWith": "Starts with this text.",
    "endsWith": "Ends with this text.",
    "iContains": "Contains this text, whatever the case.",
    "iStartsWith": "Starts with this text, whatever the case.",
    "iEndsWith": "Ends with this text, whatever the case.",
}


def build_enum_filters(enums: Iterable[EnumShape]) -> Iterator[DefinitionNode]:
    return (_build_value_filter(each.name, EQUALITY_OPERATORS) for each in enums)


def build_scalar_filters() -> Iterator[DefinitionNode]:
    return (_build_value_filter(name, operators) for name, operators in FILTER_OPERATORS.items())


def _build_value_filter(name: str, operators: tuple[str, ...]) -> DefinitionNode:
    takes = {"in": f"[{name}!]", "notIn": f"[{name}!]", "isNull": "Boolean"}
    fields = [build_argument(each, takes.get(each, name), OPERATOR_DESCRIPTIONS[each]) for each in operators]
    return build_input(f"{name}Filter", f"Tests of a `{name}`; all that is said must hold.", fields, EVERYONE_ACCESS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachableTypes:
    listed: frozenset[str]
    """The types that some field gives a connection of."""
    linked: frozenset[str]
    """The types that those have lists of that a filter, an order or a key can reach."""
    filtered: frozenset[str]
    """The types that a filter, an order or a key can reach: listed ones, and those that their links lead to."""
    interfaces: frozenset[str]


def find_reachable_types(shapes: SchemaShape) -> ReachableTypes:
    listed = _find_listed(shapes.types)
    filtered = _follow_relationships(listed, shapes)
    return ReachableTypes(
        listed=listed,
        linked=_find_listed(shape for shape in shapes.types if shape.name in filtered),
        filtered=filtered,
        interfaces=frozenset(shape.name for shape in shapes.types if shape.is_interface),
    )


def _find_listed(types: Iterable[TypeShape]) -> frozenset[str]:
    return frozenset(each.type_name for shape in types for each in list_relationships(shape, FieldKind.MANY))


def _follow_relationships(start: frozenset[str], shapes: SchemaShape) -> frozenset[str]:
    leads = {
        shape.name: {each.type_name for each in list_relationships(shape, FieldKind.ONE, FieldKind.MANY)}
        for shape in shapes.types
    }
    found: set[str] = set()
    ahead = set(start)
    while ahead:
        found |= ahead
        ahead = {to for name in ahead for to in leads[name]} - found
    return frozenset(found)
