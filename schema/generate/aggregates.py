"""A listed type in, what many of its rows come to out, and the tests of that."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from graphql import DefinitionNode, FieldDefinitionNode, InputValueDefinitionNode

from schema.generate.columns import allowed, columns
from schema.generate.filters import logic
from schema.nodes import argument, field, input_object, output
from schema.read import FieldShape, TypeShape

COUNT = "How many rows there are."
ITSELF = {each: each for each in ("Int", "BigInt", "Float", "Decimal", "Date", "DateTime", "String")}
"""What has an order that tells of the value: an id's or an enum's does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One kind of measure: the field that asks for it, and what it makes of a column."""

    name: str
    suffix: str
    meaning: str
    column: str
    """What it is of one column, whose name goes in the braces."""
    becomes: Mapping[str, str]
    """By the scalar of a column, that of its measure."""
    otherwise: str | None = None

    def of(self, column: FieldShape) -> str | None:
        """The scalar of the column's measure; None where it has none."""
        return self.becomes.get(column.to, self.otherwise)


MEASURED = (
    Measured(
        name="countDistinct",
        suffix="CountDistinct",
        meaning="How many different values there are.",
        column="How many different values `{}` has.",
        becomes={},
        otherwise="Int",
    ),
    Measured(
        name="sum",
        suffix="Sum",
        meaning="The values added up.",
        column="All of `{}` added up; null of no values.",
        becomes={"Int": "BigInt", "BigInt": "Decimal", "Decimal": "Decimal", "Float": "Float"},
    ),
    Measured(
        name="avg",
        suffix="Average",
        meaning="The values added up and shared out evenly.",
        column="The mean of the values of `{}`; null of no values.",
        becomes={"Int": "Float", "BigInt": "Float", "Decimal": "Decimal", "Float": "Float"},
    ),
    Measured(
        name="min",
        suffix="Minimum",
        meaning="The least values.",
        column="The least value of `{}`; null of no values.",
        becomes=ITSELF,
    ),
    Measured(
        name="max",
        suffix="Maximum",
        meaning="The greatest values.",
        column="The greatest value of `{}`; null of no values.",
        becomes=ITSELF,
    ),
)


def measured(shape: TypeShape) -> Iterator[tuple[Measured, list[tuple[FieldShape, str]]]]:
    """Each measure that the type has a column for, with those columns and the scalars they become."""
    for measure in MEASURED:
        taken = [(each, to) for each in columns(shape) if (to := measure.of(each)) is not None]
        if taken:
            yield measure, taken


def aggregates(shape: TypeShape) -> Iterator[DefinitionNode]:
    """The aggregate and the tests of it, each with a type for each measure."""
    name, rule = shape.name, allowed(shape.guards)
    outputs: list[FieldDefinitionNode] = [field("count", "Int", COUNT)]
    tests: list[InputValueDefinitionNode] = [argument("count", "IntFilter", COUNT)]
    for measure, taken in measured(shape):
        own = f"{name}{measure.suffix}"
        outputs.append(field(measure.name, own, measure.meaning))
        tests.append(argument(measure.name, f"{own}Having", measure.meaning))
        yield output(own, f"{measure.meaning[:-1]}, of `{name}` rows.", _outputs(measure, taken), rule)
        meaning = f"Tests of `{own}`; all that is said must hold."
        yield input_object(f"{own}Having", meaning, _tests(measure, taken), rule)
    yield output(f"{name}Aggregate", f"What `{name}` rows come to, taken together.", outputs, rule)
    meaning = f"Which groups of `{name}` are meant; all that is said must hold."
    yield input_object(f"{name}Having", meaning, [*tests, *logic(f"{name}Having")], rule)


def _outputs(measure: Measured, taken: list[tuple[FieldShape, str]]) -> list[FieldDefinitionNode]:
    return [field(each.name, to, measure.column.format(each.name), guards=allowed(each.guards)) for each, to in taken]


def _tests(measure: Measured, taken: list[tuple[FieldShape, str]]) -> list[InputValueDefinitionNode]:
    return [
        argument(each.name, f"{to}Filter", measure.column.format(each.name), allowed(each.guards)) for each, to in taken
    ]
