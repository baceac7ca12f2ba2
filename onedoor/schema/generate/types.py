"""Build all types of the schema from shapes: the written ones, and those derived from them with their rules."""

from collections import Counter
from collections.abc import Iterator

from graphql import DefinitionNode, FieldDefinitionNode, InputValueDefinitionNode

from onedoor.schema.generate.aggregates import (
    DIRECTION_ENUM,
    GROUP_BY_ENUMS,
    build_aggregate_field_orders,
    build_aggregate_order,
    build_aggregate_types,
    build_group_types,
    build_order,
)
from onedoor.schema.generate.connections import (
    PAGE_INFO,
    ReachableTypes,
    build_connection,
    build_enum_filters,
    build_filters,
    build_paging_arguments,
    build_scalar_filters,
    find_reachable_types,
    list_columns,
)
from onedoor.schema.reader import (
    ROOTS,
    ArgumentShape,
    FieldKind,
    FieldShape,
    SchemaError,
    SchemaShape,
    TypeShape,
    parse_derived_name,
)
from onedoor.schema.scalars import SCALAR_DESCRIPTIONS
from onedoor.schema.sdl import (
    build_argument,
    build_constant,
    build_enum,
    build_field,
    build_input,
    build_interface,
    build_object,
    build_scalar,
)


def build_definitions(shapes: SchemaShape) -> tuple[DefinitionNode, ...]:
    """Build all types of the schema, in a stable order.

    Raises SchemaError when two of them would have the same name.
    """
    reachable = find_reachable_types(shapes)
    objects = [shape for shape in shapes.types if shape.name not in ROOTS]
    definitions = (
        *(_build_written_type(shape) for shape in shapes.types),
        *(_build_input_type(shape) for shape in shapes.inputs),
        *(derived for shape in objects for derived in _build_derived_types(shape, reachable)),
        *_build_shared_types(shapes),
    )
    _require_unique_names(definitions, {shape.name for shape in shapes.types})
    return definitions


def _build_derived_types(shape: TypeShape, reachable: ReachableTypes) -> Iterator[DefinitionNode]:
    if shape.name in reachable.listed:
        yield from build_connection(shape)
    if shape.name in reachable.filtered:
        yield from build_filters(shape, listed=shape.name in reachable.linked)
        yield build_order(shape, reachable)
    if shape.is_interface:
        return
    if shape.name in reachable.linked:
        yield from build_aggregate_order(shape)
    if shape.name in reachable.listed:
        yield from build_aggregate_field_orders(shape)
        yield from build_aggregate_types(shape)
    yield from build_group_types(shape, reachable)


def _build_written_type(shape: TypeShape) -> DefinitionNode:
    fields = [_build_output_field(field) for field in shape.fields]
    if shape.is_interface:
        return build_interface(shape.name, shape.description, fields, shape.access)
    return build_object(shape.name, shape.description, fields, shape.access, implements=shape.implements)


def _build_output_field(shape: FieldShape) -> FieldDefinitionNode:
    if shape.kind is FieldKind.MANY:
        arguments = build_paging_arguments(shape.type_name)
        return build_field(
            shape.name, f"{shape.type_name}Connection", shape.description, arguments=arguments, access=shape.access
        )
    by_id = [build_argument("id", "ID!", "The id of the row.")] if shape.kind is FieldKind.BY_ID else []
    arguments = [*by_id, *map(_build_field_argument, shape.arguments)]
    return build_field(shape.name, _format_type(shape), shape.description, arguments=arguments, access=shape.access)


def _build_field_argument(shape: ArgumentShape) -> InputValueDefinitionNode:
    named = f"[{shape.type_name}!]" if shape.is_list else shape.type_name
    default = None if shape.default is None else build_constant(shape.default)
    return build_argument(shape.name, f"{named}!" if shape.required else named, shape.description, default=default)


def _build_input_type(shape: TypeShape) -> DefinitionNode:
    fields = [
        build_argument(field.name, _format_type(field), field.description, field.access) for field in shape.fields
    ]
    return build_input(shape.name, shape.description, fields, shape.access)


def _format_type(shape: FieldShape) -> str:
    item = shape.type_name if shape.items_nullable else f"{shape.type_name}!"
    named = f"[{item}]" if shape.is_list else shape.type_name
    return named if shape.nullable else f"{named}!"


def _build_shared_types(shapes: SchemaShape) -> Iterator[DefinitionNode]:
    yield PAGE_INFO
    yield DIRECTION_ENUM
    yield from GROUP_BY_ENUMS
    for enum in shapes.enums:
        yield build_enum(enum.name, enum.description, enum.values, enum.stored_values)
    used = {column.type_name for shape in shapes.types for column in list_columns(shape)}
    yield from build_enum_filters(enum for enum in shapes.enums if enum.name in used)
    yield from build_scalar_filters()
    for name, description in SCALAR_DESCRIPTIONS.items():
        yield build_scalar(name, description)


def _require_unique_names(definitions: tuple[DefinitionNode, ...], written: set[str]) -> None:
    counts = Counter(definition.name.value for definition in definitions)  # type: ignore[attr-defined]
    for name in (name for name, count in counts.items() if count > 1):
        derived = parse_derived_name(name, written)
        why = (
            f", which is made for `{derived.base}`: name yours otherwise" if derived else ", name one of them otherwise"
        )
        raise SchemaError(f"two types would be called `{name}`{why}")
