"""A type in, the filters of its rows and of lists of them out; a scalar or an enum in, its tests out."""

from collections.abc import Iterable, Iterator

from graphql import DefinitionNode, InputValueDefinitionNode

from schema.generate.columns import EVERYONE, allowed
from schema.nodes import argument, input_object
from schema.read import EnumShape, FieldShape, Leads, TypeShape
from schema.scalars import EQUALITY, OPERATORS

SUFFIXES = {Leads.COLUMN: "Filter", Leads.ONE: "Where", Leads.MANY: "ListWhere"}


def filters(shape: TypeShape, *, listed: bool) -> Iterator[DefinitionNode]:
    """Of its rows; and, where other types have lists of it, of those."""
    name, rule = shape.name, allowed(shape.guards)
    fields = [made for each in shape.fields for made in _test(each)]
    meaning = f"Which `{name}` rows are meant; all that is said must hold."
    yield input_object(f"{name}Where", meaning, [*fields, *logic(f"{name}Where")], rule)
    if listed:
        yield input_object(f"{name}ListWhere", f"How a list of `{name}` must be.", _quantified(name), rule)


def logic(of: str) -> list[InputValueDefinitionNode]:
    return [
        argument("and", f"[{of}!]", "All of these; of none: true."),
        argument("or", f"[{of}!]", "Any of these; of none: false."),
        argument("not", of, "Not this: null counts as false before it is turned."),
    ]


def _quantified(name: str) -> list[InputValueDefinitionNode]:
    return [
        argument("some", f"{name}Where", "At least one meets this."),
        argument("every", f"{name}Where", "None fails this; true of an empty list."),
        argument("none", f"{name}Where", "Not one meets this."),
    ]


def _test(shape: FieldShape) -> list[InputValueDefinitionNode]:
    if shape.leads in (Leads.COMPUTED, Leads.LOOKED) or shape.many or shape.to == "JSON":
        return []
    of = f"{shape.to}{SUFFIXES[shape.leads]}"
    return [argument(shape.name, of, shape.description, allowed(shape.guards))]


MEANINGS = {
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


def enum_filters(enums: Iterable[EnumShape]) -> Iterator[DefinitionNode]:
    return (_filter(each.name, EQUALITY) for each in enums)


def scalar_filters() -> Iterator[DefinitionNode]:
    return (_filter(name, operators) for name, operators in OPERATORS.items())


def _filter(name: str, operators: tuple[str, ...]) -> DefinitionNode:
    takes = {"in": f"[{name}!]", "notIn": f"[{name}!]", "isNull": "Boolean"}
    fields = [argument(each, takes.get(each, name), MEANINGS[each]) for each in operators]
    return input_object(f"{name}Filter", f"Tests of a `{name}`; all that is said must hold.", fields, EVERYONE)
