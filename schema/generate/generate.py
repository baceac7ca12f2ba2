"""Shapes in, all types of the schema out: the written ones, and those made for them with their fields' rules."""

from collections import Counter
from collections.abc import Iterator

from graphql import DefinitionNode, FieldDefinitionNode, InputValueDefinitionNode

from schema.derived import derived
from schema.generate.aggregates import aggregates
from schema.generate.columns import columns
from schema.generate.filters import enum_filters, filters, scalar_filters
from schema.generate.groups import GROUPING, groups
from schema.generate.orders import DIRECTION, aggregate_orders, measure_orders, order
from schema.generate.pages import PAGE_INFO, connection, paging
from schema.generate.reach import Reach, reach
from schema.nodes import argument, constant, enum, field, input_object, interface, output, scalar
from schema.read import ROOTS, ArgumentShape, BadSchema, FieldShape, Leads, Shapes, TypeShape
from schema.scalars import DESCRIPTIONS


def definitions(shapes: Shapes) -> tuple[DefinitionNode, ...]:
    """All types of the schema, in a steady order.

    Raises BadSchema when two of them would have the same name.
    """
    reached = reach(shapes)
    objects = [shape for shape in shapes.types if shape.name not in ROOTS]
    made = (
        *(_written(shape) for shape in shapes.types),
        *(_input(shape) for shape in shapes.inputs),
        *(each for shape in objects for each in _made(shape, reached)),
        *_shared(shapes),
    )
    _named_once(made, {shape.name for shape in shapes.types})
    return made


def _made(shape: TypeShape, reached: Reach) -> Iterator[DefinitionNode]:
    if shape.name in reached.listed:
        yield from connection(shape)
    if shape.name in reached.filtered:
        yield from filters(shape, listed=shape.name in reached.linked)
        yield order(shape, reached)
    if shape.interface:
        return
    if shape.name in reached.linked:
        yield from aggregate_orders(shape)
    if shape.name in reached.listed:
        yield from measure_orders(shape)
        yield from aggregates(shape)
    yield from groups(shape, reached)


def _written(shape: TypeShape) -> DefinitionNode:
    fields = [_output(each) for each in shape.fields]
    if shape.interface:
        return interface(shape.name, shape.description, fields, shape.guards)
    return output(shape.name, shape.description, fields, shape.guards, implements=shape.implements)


def _output(shape: FieldShape) -> FieldDefinitionNode:
    if shape.leads is Leads.MANY:
        arguments = paging(shape.to)
        return field(shape.name, f"{shape.to}Connection", shape.description, arguments=arguments, guards=shape.guards)
    by_id = [argument("id", "ID!", "Which one.")] if shape.leads is Leads.BY_ID else []
    arguments = [*by_id, *map(_taken, shape.takes)]
    return field(shape.name, _type_text(shape), shape.description, arguments=arguments, guards=shape.guards)


def _taken(shape: ArgumentShape) -> InputValueDefinitionNode:
    named = f"[{shape.to}!]" if shape.many else shape.to
    default = None if shape.default is None else constant(shape.default)
    return argument(shape.name, f"{named}!" if shape.required else named, shape.description, default=default)


def _input(shape: TypeShape) -> DefinitionNode:
    fields = [argument(each.name, _type_text(each), each.description, each.guards) for each in shape.fields]
    return input_object(shape.name, shape.description, fields, shape.guards)


def _type_text(shape: FieldShape) -> str:
    named = f"[{shape.to}!]" if shape.many else shape.to
    return named if shape.nullable else f"{named}!"


def _shared(shapes: Shapes) -> Iterator[DefinitionNode]:
    yield PAGE_INFO
    yield DIRECTION
    yield from GROUPING
    for each in shapes.enums:
        yield enum(each.name, each.description, each.values, each.stored)
    held = {each.to for shape in shapes.types for each in columns(shape)}
    yield from enum_filters(each for each in shapes.enums if each.name in held)
    yield from scalar_filters()
    for name, description in DESCRIPTIONS.items():
        yield scalar(name, description)


def _named_once(made: tuple[DefinitionNode, ...], written: set[str]) -> None:
    counted = Counter(each.name.value for each in made)  # type: ignore[attr-defined]
    for name in (name for name, times in counted.items() if times > 1):
        found = derived(name, written)
        why = f", which is made for `{found.of}`: name yours otherwise" if found else ", name one of them otherwise"
        raise BadSchema(f"two types would be called `{name}`{why}")
