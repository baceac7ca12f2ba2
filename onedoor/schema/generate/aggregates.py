"""Aggregates, group-by, orderings."""

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

COUNT_DESCRIPTION = "How many rows there are."

SAME_SCALAR = {each: each for each in ("Int", "BigInt", "Float", "Decimal", "Date", "DateTime", "String")}
"""What has an order that tells of the value: an id's or an enum's does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AggregateField:
    """One kind of measure: the field that asks for it, and what it makes of a column."""

    name: str
    suffix: str
    description: str
    column_description: str
    """What it is of one column, whose name goes in the braces."""
    scalar_by_column_scalar: Mapping[str, str]
    """By the scalar of a column, that of its measure."""
    default_scalar: str | None = None

    def find_scalar(self, column: FieldShape) -> str | None:
        """The scalar of the column's measure; None where it has none."""
        return self.scalar_by_column_scalar.get(column.type_name, self.default_scalar)


AGGREGATE_FIELDS = (
    AggregateField(
        name="countDistinct",
        suffix="CountDistinct",
        description="How many different values there are.",
        column_description="How many different values `{}` has.",
        scalar_by_column_scalar={},
        default_scalar="Int",
    ),
    AggregateField(
        name="sum",
        suffix="Sum",
        description="The values added up.",
        column_description="All of `{}` added up; null of no values.",
        scalar_by_column_scalar={"Int": "BigInt", "BigInt": "Decimal", "Decimal": "Decimal", "Float": "Float"},
    ),
    AggregateField(
        name="avg",
        suffix="Average",
        description="The values added up and shared out evenly.",
        column_description="The mean of the values of `{}`; null of no values.",
        scalar_by_column_scalar={"Int": "Float", "BigInt": "Float", "Decimal": "Decimal", "Float": "Float"},
    ),
    AggregateField(
        name="min",
        suffix="Minimum",
        description="The least values.",
        column_description="The least value of `{}`; null of no values.",
        scalar_by_column_scalar=SAME_SCALAR,
    ),
    AggregateField(
        name="max",
        suffix="Maximum",
        description="The greatest values.",
        column_description="The greatest value of `{}`; null of no values.",
        scalar_by_column_scalar=SAME_SCALAR,
    ),
)


def iter_aggregate_fields(shape: TypeShape) -> Iterator[tuple[AggregateField, list[tuple[FieldShape, str]]]]:
    """Each measure that the type has a column for, with those columns and the scalars they become."""
    for measure in AGGREGATE_FIELDS:
        taken = [(each, to) for each in list_columns(shape) if (to := measure.find_scalar(each)) is not None]
        if taken:
            yield measure, taken


def build_aggregate_types(shape: TypeShape) -> Iterator[DefinitionNode]:
    """The aggregate and the tests of it, each with a type for each measure."""
    name, rule = shape.name, drop_owner(shape.access)
    outputs: list[FieldDefinitionNode] = [build_field("count", "Int", COUNT_DESCRIPTION)]
    tests: list[InputValueDefinitionNode] = [build_argument("count", "IntFilter", COUNT_DESCRIPTION)]
    for measure, taken in iter_aggregate_fields(shape):
        own = f"{name}{measure.suffix}"
        outputs.append(build_field(measure.name, own, measure.description))
        tests.append(build_argument(measure.name, f"{own}Having", measure.description))
        yield build_object(
            own, f"{measure.description[:-1]}, of `{name}` rows.", _build_aggregate_outputs(measure, taken), rule
        )
        meaning = f"Tests of `{own}`; all that is said must hold."
        yield build_input(f"{own}Having", meaning, _build_having_fields(measure, taken), rule)
    yield build_object(f"{name}Aggregate", f"What `{name}` rows come to, taken together.", outputs, rule)
    meaning = f"Which groups of `{name}` are meant; all that is said must hold."
    yield build_input(f"{name}Having", meaning, [*tests, *build_boolean_fields(f"{name}Having")], rule)


def _build_aggregate_outputs(
    aggregate_field: AggregateField, typed_columns: list[tuple[FieldShape, str]]
) -> list[FieldDefinitionNode]:
    return [
        build_field(each.name, to, aggregate_field.column_description.format(each.name), access=drop_owner(each.access))
        for each, to in typed_columns
    ]


def _build_having_fields(
    aggregate_field: AggregateField, typed_columns: list[tuple[FieldShape, str]]
) -> list[InputValueDefinitionNode]:
    return [
        build_argument(
            each.name, f"{to}Filter", aggregate_field.column_description.format(each.name), drop_owner(each.access)
        )
        for each, to in typed_columns
    ]


DIRECTION_ENUM = build_enum("Direction", "Rows without a value come last, either way.", ("ASC", "DESC"))

ORDER_SUFFIXES = {FieldKind.ONE: "Order", FieldKind.MANY: "AggregateOrder"}


def build_order(shape: TypeShape, reachable: ReachableTypes) -> DefinitionNode:
    """By its columns in the order they are written, then through its links; not through those to an interface."""
    fields = [
        *(_build_order_field(each, "Direction") for each in list_columns(shape)),
        *(
            _build_order_field(each, f"{each.type_name}{ORDER_SUFFIXES[each.kind]}")
            for each in list_relationships(shape, *ORDER_SUFFIXES)
            if each.type_name not in reachable.interfaces
        ),
    ]
    return _build_one_of_input(shape, "Order", f"What to order `{shape.name}` rows by.", fields)


def build_aggregate_order(shape: TypeShape) -> Iterator[DefinitionNode]:
    """By what a list of its rows comes to."""
    meaning = f"What of the linked `{shape.name}` rows to order by."
    yield _build_one_of_input(shape, "AggregateOrder", meaning, build_aggregate_order_fields(shape))


def build_aggregate_field_orders(shape: TypeShape) -> Iterator[DefinitionNode]:
    for measure, taken in iter_aggregate_fields(shape):
        fields = [
            build_argument(
                each.name, "Direction", measure.column_description.format(each.name), drop_owner(each.access)
            )
            for each, _ in taken
        ]
        meaning = f"Which column's {measure.suffix} of `{shape.name}` rows to order by."
        yield _build_one_of_input(shape, f"{measure.suffix}Order", meaning, fields)


def build_aggregate_order_fields(shape: TypeShape) -> list[InputValueDefinitionNode]:
    """One field a measure, their count first."""
    return [
        build_argument("count", "Direction", COUNT_DESCRIPTION),
        *(
            build_argument(measure.name, f"{shape.name}{measure.suffix}Order", measure.description)
            for measure, _ in iter_aggregate_fields(shape)
        ),
    ]


def _build_order_field(shape: FieldShape, type_name: str) -> InputValueDefinitionNode:
    return build_argument(shape.name, type_name, shape.description, drop_owner(shape.access))


def _build_one_of_input(
    shape: TypeShape, suffix: str, meaning: str, fields: list[InputValueDefinitionNode]
) -> DefinitionNode:
    return build_input(f"{shape.name}{suffix}", meaning, fields, drop_owner(shape.access), (ONE_OF_DIRECTIVE,))


GROUP_BY_ENUMS = (
    build_enum("GroupBy", "How a value makes a group: as it is.", ("VALUE",)),
    build_enum(
        "TimeGroupBy",
        "How a moment makes a group: as it is, or by where the unit it falls in begins, in UTC; weeks begin on Monday.",
        ("VALUE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR"),
    ),
    build_enum(
        "DateGroupBy",
        "How a day makes a group: as it is, or by where the unit it falls in begins; weeks begin on Monday.",
        ("VALUE", "WEEK", "MONTH", "QUARTER", "YEAR"),
    ),
)

GROUP_BY_ENUM_NAMES = {"DateTime": "TimeGroupBy", "Date": "DateGroupBy"}


def build_group_types(shape: TypeShape, reachable: ReachableTypes) -> Iterator[DefinitionNode]:
    """What keys can be made of wherever a key can lead, and the groups of what is listed."""
    if shape.name in reachable.filtered:
        yield _build_group_by(shape, reachable)
        yield _build_group_key(shape, reachable)
    if shape.name in reachable.listed:
        yield _build_group(shape)
        yield _build_group_order(shape)


def _build_group_by(shape: TypeShape, reachable: ReachableTypes) -> DefinitionNode:
    name = shape.name
    fields = [
        *((each, GROUP_BY_ENUM_NAMES.get(each.type_name, "GroupBy")) for each in list_columns(shape)),
        *(
            (each, f"{each.type_name}GroupBy")
            for each in list_relationships(shape, FieldKind.ONE)
            if each.type_name not in reachable.interfaces
        ),
    ]
    made = [build_argument(each.name, to, each.description, drop_owner(each.access)) for each, to in fields]
    return build_input(
        f"{name}GroupBy", f"What to group `{name}` rows by.", made, drop_owner(shape.access), (ONE_OF_DIRECTIVE,)
    )


def _build_group_key(shape: TypeShape, reachable: ReachableTypes) -> DefinitionNode:
    fields = [
        *((each, each.type_name) for each in list_columns(shape)),
        *(
            (each, f"{each.type_name}GroupKey")
            for each in list_relationships(shape, FieldKind.ONE)
            if each.type_name not in reachable.interfaces
        ),
    ]
    made = [build_field(each.name, to, each.description, access=drop_owner(each.access)) for each, to in fields]
    meaning = f"What the `{shape.name}` rows of a group agree in; only what `by` names can be asked."
    return build_object(f"{shape.name}GroupKey", meaning, made, drop_owner(shape.access))


def _build_group(shape: TypeShape) -> DefinitionNode:
    fields = [
        build_field("key", f"{shape.name}GroupKey", "What its rows agree in."),
        build_field("aggregate", f"{shape.name}Aggregate", "What its rows come to, taken together."),
    ]
    return build_object(
        f"{shape.name}Group", f"`{shape.name}` rows that belong together.", fields, drop_owner(shape.access)
    )


def _build_group_order(shape: TypeShape) -> DefinitionNode:
    by_key = build_argument("key", f"{shape.name}Order", "What its rows agree in; only what `by` names.")
    meaning = f"What to order groups of `{shape.name}` by."
    fields = [by_key, *build_aggregate_order_fields(shape)]
    return build_input(f"{shape.name}GroupOrder", meaning, fields, drop_owner(shape.access), (ONE_OF_DIRECTIVE,))
