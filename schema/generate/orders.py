"""A type in, what its rows can be ordered by out: columns, linked values, and what lists of linked rows come to."""

from collections.abc import Iterator

from graphql import DefinitionNode, InputValueDefinitionNode

from schema.generate.aggregates import COUNT, measured
from schema.generate.columns import allowed, columns, links
from schema.generate.reach import Reach
from schema.nodes import ONE_OF, argument, enum, input_object
from schema.read import FieldShape, Leads, TypeShape

DIRECTION = enum("Direction", "Rows without a value come last, either way.", ("ASC", "DESC"))
SUFFIXES = {Leads.ONE: "Order", Leads.MANY: "AggregateOrder"}


def order(shape: TypeShape, reached: Reach) -> DefinitionNode:
    """By its columns in the order they are written, then through its links; not through those to an interface."""
    fields = [
        *(_by(each, "Direction") for each in columns(shape)),
        *(
            _by(each, f"{each.to}{SUFFIXES[each.leads]}")
            for each in links(shape, *SUFFIXES)
            if each.to not in reached.interfaces
        ),
    ]
    return _one_of(shape, "Order", f"What to order `{shape.name}` rows by.", fields)


def aggregate_orders(shape: TypeShape) -> Iterator[DefinitionNode]:
    """By what a list of its rows comes to."""
    meaning = f"What of the linked `{shape.name}` rows to order by."
    yield _one_of(shape, "AggregateOrder", meaning, by_measure(shape))


def measure_orders(shape: TypeShape) -> Iterator[DefinitionNode]:
    for measure, taken in measured(shape):
        fields = [
            argument(each.name, "Direction", measure.column.format(each.name), allowed(each.guards))
            for each, _ in taken
        ]
        meaning = f"Which column's {measure.suffix} of `{shape.name}` rows to order by."
        yield _one_of(shape, f"{measure.suffix}Order", meaning, fields)


def by_measure(shape: TypeShape) -> list[InputValueDefinitionNode]:
    """One field a measure, their count first."""
    return [
        argument("count", "Direction", COUNT),
        *(
            argument(measure.name, f"{shape.name}{measure.suffix}Order", measure.meaning)
            for measure, _ in measured(shape)
        ),
    ]


def _by(shape: FieldShape, of: str) -> InputValueDefinitionNode:
    return argument(shape.name, of, shape.description, allowed(shape.guards))


def _one_of(shape: TypeShape, suffix: str, meaning: str, fields: list[InputValueDefinitionNode]) -> DefinitionNode:
    return input_object(f"{shape.name}{suffix}", meaning, fields, allowed(shape.guards), (ONE_OF,))
