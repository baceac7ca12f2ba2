"""Generate the types of connections and filters, and find the types that need them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from graphql import DefinitionNode, FieldDefinitionNode, InputValueDefinitionNode

from onedoor.schema.reader import AccessDirectives, EnumShape, FieldKind, FieldShape, SchemaShape, TypeShape
from onedoor.schema.sdl import build_argument, build_field, build_input, build_object

EVERYONE_ACCESS = AccessDirectives(allow=(("everyone",),), owned=())


def list_columns(shape: TypeShape) -> tuple[FieldShape, ...]:
    """Return the fields that hold one value of a scalar or an enum and are not computed."""
    return tuple(
        field
        for field in shape.fields
        if field.kind is FieldKind.COLUMN and not field.is_list and field.type_name != "JSON"
    )


def list_relationships(shape: TypeShape, *kinds: FieldKind) -> tuple[FieldShape, ...]:
    """Return the fields of these kinds that lead to other rows."""
    return tuple(field for field in shape.fields if field.kind in kinds)


def drop_owner(access: AccessDirectives) -> AccessDirectives:
    """Return the rule without the owner, which is what a derived field copies."""
    return AccessDirectives(allow=access.allow, owned=())


PAGE_INFO = build_object(
    "PageInfo",
    "The position of a page in its connection. Where a source of rows failed, no page follows it.",
    [
        build_field("hasNextPage", "Boolean!", "Whether rows follow this page."),
        build_field("hasPreviousPage", "Boolean!", "Whether rows come before this page."),
        build_field("startCursor", "String", "The cursor of the first row of this page."),
        build_field("endCursor", "String", "The cursor of the last row of this page."),
    ],
    EVERYONE_ACCESS,
)


def add_type_article(type_name: str) -> str:
    """Put the article before the name of a type: an `Order`, a `Customer`, an `S3File`."""
    return f"{'an' if type_name.startswith(('A', 'E', 'I', 'O', 'S3')) else 'a'} `{type_name}`"


def build_paging_arguments(type_name: str) -> list[InputValueDefinitionNode]:
    return [
        build_argument("where", f"{type_name}Where", "Only rows that meet this condition."),
        build_argument(
            "orderBy",
            f"[{type_name}Order!]",
            "The first sorts the rows, each next one breaks ties; the key comes last.",
        ),
        build_argument("first", "Int", "At most this many rows, from the start."),
        build_argument("after", "String", "Only rows after this cursor."),
        build_argument("last", "Int", "At most this many rows, from the end."),
        build_argument("before", "String", "Only rows before this cursor."),
    ]


def build_connection(shape: TypeShape) -> tuple[DefinitionNode, DefinitionNode]:
    """Build the connection and the edge of a type.

    Rows of an interface lie in several sources: they are counted, but not aggregated or grouped.
    """
    name, access = shape.name, drop_owner(shape.access)
    page = [
        build_field("nodes", f"[{name}]", "The rows of this page; one that cannot be shown is null."),
        build_field("edges", f"[{name}Edge!]", "The rows of this page, each with its cursor."),
        build_field("pageInfo", "PageInfo!", "The position of this page."),
        build_field("totalCount", "Int", "The number of rows on all pages."),
        *([] if shape.is_interface else _build_aggregate_connection_fields(name)),
    ]
    edge = [
        build_field("cursor", "String!", "The position of the row, for `after` and `before`."),
        build_field("node", name, "The row; null where it cannot be shown."),
    ]
    return (
        build_object(f"{name}Connection", f"A page of `{name}` rows.", page, access),
        build_object(f"{name}Edge", f"One `{name}` row and its cursor.", edge, access),
    )


def _build_aggregate_connection_fields(type_name: str) -> list[FieldDefinitionNode]:
    return [
        build_field("aggregate", f"{type_name}Aggregate", "Aggregates of the rows of all pages."),
        build_field(
            "groups",
            f"[{type_name}Group!]",
            "The rows of all pages, grouped.",
            arguments=_build_grouping_arguments(type_name),
        ),
    ]


def _build_grouping_arguments(type_name: str) -> list[InputValueDefinitionNode]:
    ties = "The first sorts the groups, each next one breaks ties; the key comes last, in the order of `by`."
    return [
        build_argument("by", f"[{type_name}GroupBy!]!", "Rows with the same values of all of these form a group."),
        build_argument("having", f"{type_name}Having", "Only groups that meet this condition."),
        build_argument("orderBy", f"[{type_name}GroupOrder!]", ties),
        build_argument("first", "Int", "At most this many groups, from the start."),
    ]


FILTER_SUFFIXES = {FieldKind.COLUMN: "Filter", FieldKind.ONE: "Where", FieldKind.MANY: "ListWhere"}


def build_filters(shape: TypeShape, *, listed: bool) -> Iterator[DefinitionNode]:
    """Yield the filter of a type's rows and, where other types have lists of it, the filter of such lists."""
    name, access = shape.name, drop_owner(shape.access)
    fields = [argument for field in shape.fields for argument in _build_filter_fields(field)]
    description = f"Conditions on `{name}` rows; all of them must hold."
    yield build_input(f"{name}Where", description, [*fields, *build_boolean_fields(f"{name}Where")], access)
    if listed:
        yield build_input(
            f"{name}ListWhere",
            f"Conditions on a list of `{name}` rows; all of them must hold.",
            _build_quantifier_fields(name),
            access,
        )


def build_boolean_fields(type_name: str) -> list[InputValueDefinitionNode]:
    return [
        build_argument("and", f"[{type_name}!]", "All of these hold; true if the list is empty."),
        build_argument("or", f"[{type_name}!]", "At least one of these holds; false if the list is empty."),
        build_argument("not", type_name, "This does not hold; a comparison with null is false before it is negated."),
    ]


def _build_quantifier_fields(name: str) -> list[InputValueDefinitionNode]:
    return [
        build_argument("some", f"{name}Where", "At least one row meets this."),
        build_argument("every", f"{name}Where", "Every row meets this; true if the list is empty."),
        build_argument("none", f"{name}Where", "No row meets this."),
    ]


def _build_filter_fields(shape: FieldShape) -> list[InputValueDefinitionNode]:
    if shape.kind in (FieldKind.COMPUTED, FieldKind.LOOKUP) or shape.is_list or shape.type_name == "JSON":
        return []
    filter_type = f"{shape.type_name}{FILTER_SUFFIXES[shape.kind]}"
    return [build_argument(shape.name, filter_type, shape.description, drop_owner(shape.access))]


EQUALITY_OPERATORS = ("eq", "ne", "in", "notIn", "isNull")

ORDER_OPERATORS = (*EQUALITY_OPERATORS, "lt", "lte", "gt", "gte")

TEXT_OPERATORS = (*ORDER_OPERATORS, "contains", "startsWith", "endsWith", "iContains", "iStartsWith", "iEndsWith")

FILTER_OPERATORS: Mapping[str, tuple[str, ...]] = {
    "ID": EQUALITY_OPERATORS,
    "Boolean": EQUALITY_OPERATORS,
    "String": TEXT_OPERATORS,
    "Int": ORDER_OPERATORS,
    "Float": ORDER_OPERATORS,
    "BigInt": ORDER_OPERATORS,
    "Decimal": ORDER_OPERATORS,
    "Date": ORDER_OPERATORS,
    "DateTime": ORDER_OPERATORS,
}
"""By scalar, the operators of its filter; an enum takes EQUALITY_OPERATORS."""

OPERATOR_DESCRIPTIONS = {
    "eq": "Equal to this.",
    "ne": "Not equal to this, and not null.",
    "in": "One of these.",
    "notIn": "None of these, and not null.",
    "isNull": "Null if true, not null if false.",
    "lt": "Less than this.",
    "lte": "Less than or equal to this.",
    "gt": "Greater than this.",
    "gte": "Greater than or equal to this.",
    "contains": "Contains this text.",
    "startsWith": "Starts with this text.",
    "endsWith": "Ends with this text.",
    "iContains": "Contains this text, ignoring case.",
    "iStartsWith": "Starts with this text, ignoring case.",
    "iEndsWith": "Ends with this text, ignoring case.",
}


def build_enum_filters(enums: Iterable[EnumShape]) -> Iterator[DefinitionNode]:
    return (_build_value_filter(enum.name, EQUALITY_OPERATORS) for enum in enums)


def build_scalar_filters() -> Iterator[DefinitionNode]:
    return (_build_value_filter(name, operators) for name, operators in FILTER_OPERATORS.items())


def _build_value_filter(name: str, operators: tuple[str, ...]) -> DefinitionNode:
    takes = {"in": f"[{name}!]", "notIn": f"[{name}!]", "isNull": "Boolean"}
    fields = [
        build_argument(operator, takes.get(operator, name), OPERATOR_DESCRIPTIONS[operator]) for operator in operators
    ]
    return build_input(
        f"{name}Filter", f"Conditions on a value of type `{name}`; all of them must hold.", fields, EVERYONE_ACCESS
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachableTypes:
    """The names of the types that need connections, filters, orders or group keys."""

    listed: frozenset[str]
    """The types that some field returns a connection of."""
    linked: frozenset[str]
    """The types in lists of a type that a filter, an order or a key can reach."""
    filtered: frozenset[str]
    """The types that a filter, an order or a key can reach: listed ones, and those their relationships lead to."""
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
    return frozenset(
        relationship.type_name for shape in types for relationship in list_relationships(shape, FieldKind.MANY)
    )


def _follow_relationships(start: frozenset[str], shapes: SchemaShape) -> frozenset[str]:
    targets = {
        shape.name: {
            relationship.type_name for relationship in list_relationships(shape, FieldKind.ONE, FieldKind.MANY)
        }
        for shape in shapes.types
    }
    reached: set[str] = set()
    frontier = set(start)
    while frontier:
        reached |= frontier
        frontier = {target for name in frontier for target in targets[name]} - reached
    return frozenset(reached)
