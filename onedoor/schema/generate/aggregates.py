"""Generate the types of aggregates, groups and orders."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from graphql import DefinitionNode, FieldDefinitionNode, InputValueDefinitionNode

from onedoor.schema.generate.connections import (
    ReachableTypes,
    build_boolean_fields,
    drop_owner,
    list_columns,
    list_relationships,
)
from onedoor.schema.reader import FieldKind, FieldShape, TypeShape
from onedoor.schema.sdl import ONE_OF_DIRECTIVE, build_argument, build_enum, build_field, build_input, build_object

COUNT_DESCRIPTION = "The number of rows."

SAME_SCALAR = {scalar: scalar for scalar in ("Int", "BigInt", "Float", "Decimal", "Date", "DateTime", "String")}
"""The scalars whose order means something: an id's or an enum's does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregateField:
    """One aggregate: the field that selects it, and the scalar it has for a column."""

    name: str
    suffix: str
    description: str
    column_description: str
    """The description for one column, whose name goes in the braces."""
    scalar_by_column_scalar: Mapping[str, str]
    """By the scalar of a column, that of its aggregate."""
    default_scalar: str | None = None

    def find_scalar(self, column: FieldShape) -> str | None:
        """Return the scalar of the column's aggregate; None if it has none."""
        return self.scalar_by_column_scalar.get(column.type_name, self.default_scalar)


AGGREGATE_FIELDS = (
    AggregateField(
        name="countDistinct",
        suffix="CountDistinct",
        description="The number of different values of each column.",
        column_description="The number of different values of `{}`.",
        scalar_by_column_scalar={},
        default_scalar="Int",
    ),
    AggregateField(
        name="sum",
        suffix="Sum",
        description="The sum of each column.",
        column_description="The sum of `{}`; null if there are no values.",
        scalar_by_column_scalar={"Int": "BigInt", "BigInt": "Decimal", "Decimal": "Decimal", "Float": "Float"},
    ),
    AggregateField(
        name="avg",
        suffix="Average",
        description="The mean of each column.",
        column_description="The mean of `{}`; null if there are no values.",
        scalar_by_column_scalar={"Int": "Float", "BigInt": "Float", "Decimal": "Decimal", "Float": "Float"},
    ),
    AggregateField(
        name="min",
        suffix="Minimum",
        description="The smallest value of each column.",
        column_description="The smallest value of `{}`; null if there are no values.",
        scalar_by_column_scalar=SAME_SCALAR,
    ),
    AggregateField(
        name="max",
        suffix="Maximum",
        description="The greatest value of each column.",
        column_description="The greatest value of `{}`; null if there are no values.",
        scalar_by_column_scalar=SAME_SCALAR,
    ),
)


def iter_aggregate_fields(shape: TypeShape) -> Iterator[tuple[AggregateField, list[tuple[FieldShape, str]]]]:
    """Yield each aggregate that the type has a column for, with those columns and the scalars they become."""
    for aggregate_field in AGGREGATE_FIELDS:
        typed_columns = [
            (column, scalar)
            for column in list_columns(shape)
            if (scalar := aggregate_field.find_scalar(column)) is not None
        ]
        if typed_columns:
            yield aggregate_field, typed_columns


def build_aggregate_types(shape: TypeShape) -> Iterator[DefinitionNode]:
    """Yield the aggregate and its having, each with a type for every aggregate function."""
    name, access = shape.name, drop_owner(shape.access)
    outputs: list[FieldDefinitionNode] = [build_field("count", "Int", COUNT_DESCRIPTION)]
    having: list[InputValueDefinitionNode] = [build_argument("count", "IntFilter", COUNT_DESCRIPTION)]
    for aggregate_field, typed_columns in iter_aggregate_fields(shape):
        own = f"{name}{aggregate_field.suffix}"
        outputs.append(build_field(aggregate_field.name, own, aggregate_field.description))
        having.append(build_argument(aggregate_field.name, f"{own}Having", aggregate_field.description))
        yield build_object(
            own,
            f"{aggregate_field.description[:-1]}, over `{name}` rows.",
            _build_aggregate_outputs(aggregate_field, typed_columns),
            access,
        )
        description = f"Conditions on `{own}`; all of them must hold."
        yield build_input(f"{own}Having", description, _build_having_fields(aggregate_field, typed_columns), access)
    yield build_object(f"{name}Aggregate", f"Aggregates of `{name}` rows.", outputs, access)
    description = f"Conditions on groups of `{name}` rows; all of them must hold."
    yield build_input(f"{name}Having", description, [*having, *build_boolean_fields(f"{name}Having")], access)


def _build_aggregate_outputs(
    aggregate_field: AggregateField, typed_columns: list[tuple[FieldShape, str]]
) -> list[FieldDefinitionNode]:
    return [
        build_field(
            column.name,
            scalar,
            aggregate_field.column_description.format(column.name),
            access=drop_owner(column.access),
        )
        for column, scalar in typed_columns
    ]


def _build_having_fields(
    aggregate_field: AggregateField, typed_columns: list[tuple[FieldShape, str]]
) -> list[InputValueDefinitionNode]:
    return [
        build_argument(
            column.name,
            f"{scalar}Filter",
            aggregate_field.column_description.format(column.name),
            drop_owner(column.access),
        )
        for column, scalar in typed_columns
    ]


DIRECTION_ENUM = build_enum(
    "Direction", "The direction of an order; in both, rows without a value come last.", ("ASC", "DESC")
)

ORDER_SUFFIXES = {FieldKind.ONE: "Order", FieldKind.MANY: "AggregateOrder"}


def build_order(shape: TypeShape, reachable: ReachableTypes) -> DefinitionNode:
    """Build an order by columns as they are written, then through relationships; not through one to an interface."""
    fields = [
        *(_build_order_field(column, "Direction") for column in list_columns(shape)),
        *(
            _build_order_field(relationship, f"{relationship.type_name}{ORDER_SUFFIXES[relationship.kind]}")
            for relationship in list_relationships(shape, *ORDER_SUFFIXES)
            if relationship.type_name not in reachable.interfaces
        ),
    ]
    return _build_one_of_input(shape, "Order", f"What to order `{shape.name}` rows by.", fields)


def build_aggregate_order(shape: TypeShape) -> Iterator[DefinitionNode]:
    """Yield the order by aggregates of a list of rows."""
    description = f"Which aggregate of the related `{shape.name}` rows to order by."
    yield _build_one_of_input(shape, "AggregateOrder", description, build_aggregate_order_fields(shape))


def build_aggregate_field_orders(shape: TypeShape) -> Iterator[DefinitionNode]:
    for aggregate_field, typed_columns in iter_aggregate_fields(shape):
        fields = [
            build_argument(
                column.name,
                "Direction",
                aggregate_field.column_description.format(column.name),
                drop_owner(column.access),
            )
            for column, _ in typed_columns
        ]
        description = f"Which column's `{aggregate_field.name}` to order `{shape.name}` rows by."
        yield _build_one_of_input(shape, f"{aggregate_field.suffix}Order", description, fields)


def build_aggregate_order_fields(shape: TypeShape) -> list[InputValueDefinitionNode]:
    """Build one field for each aggregate, the count first."""
    return [
        build_argument("count", "Direction", COUNT_DESCRIPTION),
        *(
            build_argument(
                aggregate_field.name, f"{shape.name}{aggregate_field.suffix}Order", aggregate_field.description
            )
            for aggregate_field, _ in iter_aggregate_fields(shape)
        ),
    ]


def _build_order_field(shape: FieldShape, type_name: str) -> InputValueDefinitionNode:
    return build_argument(shape.name, type_name, shape.description, drop_owner(shape.access))


def _build_one_of_input(
    shape: TypeShape, suffix: str, description: str, fields: list[InputValueDefinitionNode]
) -> DefinitionNode:
    return build_input(f"{shape.name}{suffix}", description, fields, drop_owner(shape.access), (ONE_OF_DIRECTIVE,))


GROUP_BY_ENUMS = (
    build_enum("GroupBy", "How to group by a value: as it is.", ("VALUE",)),
    build_enum(
        "TimeGroupBy",
        "How to group by a moment: as it is, or by the start of the unit it falls in, in UTC; weeks begin on Monday.",
        ("VALUE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR"),
    ),
    build_enum(
        "DateGroupBy",
        "How to group by a day: as it is, or by the start of the unit it falls in; weeks begin on Monday.",
        ("VALUE", "WEEK", "MONTH", "QUARTER", "YEAR"),
    ),
)

GROUP_BY_ENUM_NAMES = {"DateTime": "TimeGroupBy", "Date": "DateGroupBy"}


def build_group_types(shape: TypeShape, reachable: ReachableTypes) -> Iterator[DefinitionNode]:
    """Yield what a group key can hold wherever a key can lead, and the groups of what is listed."""
    if shape.name in reachable.filtered:
        yield _build_group_by(shape, reachable)
        yield _build_group_key(shape, reachable)
    if shape.name in reachable.listed:
        yield _build_group(shape)
        yield _build_group_order(shape)


def _build_group_by(shape: TypeShape, reachable: ReachableTypes) -> DefinitionNode:
    name = shape.name
    fields = [
        *((column, GROUP_BY_ENUM_NAMES.get(column.type_name, "GroupBy")) for column in list_columns(shape)),
        *(
            (relationship, f"{relationship.type_name}GroupBy")
            for relationship in list_relationships(shape, FieldKind.ONE)
            if relationship.type_name not in reachable.interfaces
        ),
    ]
    arguments = [
        build_argument(field.name, type_name, field.description, drop_owner(field.access))
        for field, type_name in fields
    ]
    return build_input(
        f"{name}GroupBy", f"What to group `{name}` rows by.", arguments, drop_owner(shape.access), (ONE_OF_DIRECTIVE,)
    )


def _build_group_key(shape: TypeShape, reachable: ReachableTypes) -> DefinitionNode:
    fields = [
        *((column, column.type_name) for column in list_columns(shape)),
        *(
            (relationship, f"{relationship.type_name}GroupKey")
            for relationship in list_relationships(shape, FieldKind.ONE)
            if relationship.type_name not in reachable.interfaces
        ),
    ]
    outputs = [
        build_field(field.name, type_name, field.description, access=drop_owner(field.access))
        for field, type_name in fields
    ]
    description = (
        f"The values that the `{shape.name}` rows of a group share; only those that `by` names can be selected."
    )
    return build_object(f"{shape.name}GroupKey", description, outputs, drop_owner(shape.access))


def _build_group(shape: TypeShape) -> DefinitionNode:
    fields = [
        build_field("key", f"{shape.name}GroupKey", "The values that its rows share."),
        build_field("aggregate", f"{shape.name}Aggregate", "Aggregates of its rows."),
    ]
    return build_object(
        f"{shape.name}Group", f"`{shape.name}` rows with the same key.", fields, drop_owner(shape.access)
    )


def _build_group_order(shape: TypeShape) -> DefinitionNode:
    by_key = build_argument("key", f"{shape.name}Order", "A value of the key; only one that `by` names.")
    description = f"What to order groups of `{shape.name}` rows by."
    fields = [by_key, *build_aggregate_order_fields(shape)]
    return build_input(f"{shape.name}GroupOrder", description, fields, drop_owner(shape.access), (ONE_OF_DIRECTIVE,))
