"""Shapes in, the types nobody writes by hand out: connections, edges, filters and orders, with their fields' rules."""

from collections.abc import Iterable

from graphql import DefinitionNode, FieldDefinitionNode, InputValueDefinitionNode

from schema.nodes import ONE_OF, argument, enum, field, input_object, interface, output, scalar
from schema.read import FieldShape, Guards, Leads, Shapes, TypeShape
from schema.scalars import DESCRIPTIONS, EQUALITY, OPERATORS

EVERYONE = Guards(allow=(("everyone",),), owned=())


def definitions(shapes: Shapes) -> tuple[DefinitionNode, ...]:
    """All types of the schema, written and generated, in a steady order."""
    objects = [shape for shape in shapes.types if shape.name != "Query" and not shape.interface]
    listed = _listed(shapes)
    return (
        *(_written(shape) for shape in shapes.types),
        *(made for shape in objects if shape.name in listed for made in _connection(shape)),
        *(made for shape in objects if shape.name in _filtered(shapes) for made in _where(shape, _linked(shapes))),
        *(_order(shape) for shape in objects if shape.name in listed),
        *_shared(shapes),
    )


def _listed(shapes: Shapes) -> frozenset[str]:
    """The types that some field gives a connection of."""
    return frozenset(each.to for shape in shapes.types for each in shape.fields if each.leads is Leads.MANY)


def _linked(shapes: Shapes) -> frozenset[str]:
    """The types that other types have lists of."""
    types = (shape for shape in shapes.types if shape.name != "Query")
    return frozenset(each.to for shape in types for each in shape.fields if each.leads is Leads.MANY)


def _filtered(shapes: Shapes) -> frozenset[str]:
    """The types that a filter can reach: listed ones, and those that their links lead to."""
    links = {shape.name: {each.to for each in shape.fields if each.leads in LINKS} for shape in shapes.types}
    found: set[str] = set()
    ahead = set(_listed(shapes))
    while ahead:
        found |= ahead
        ahead = {to for name in ahead for to in links[name]} - found
    return frozenset(found)


LINKS = frozenset({Leads.ONE, Leads.MANY})


def _written(shape: TypeShape) -> DefinitionNode:
    fields = [_output(each) for each in shape.fields]
    if shape.interface:
        return interface(shape.name, shape.description, fields, shape.guards)
    return output(shape.name, shape.description, fields, shape.guards, implements=shape.implements)


def _output(shape: FieldShape) -> FieldDefinitionNode:
    if shape.leads is Leads.MANY:
        return field(
            shape.name,
            f"{shape.to}Connection",
            shape.description,
            arguments=_paging(shape.to),
            guards=shape.guards,
        )
    arguments = [argument("id", "ID!", "Which one.")] if shape.leads is Leads.BY_ID else []
    return field(shape.name, _type_text(shape), shape.description, arguments=arguments, guards=shape.guards)


def _type_text(shape: FieldShape) -> str:
    named = f"[{shape.to}!]" if shape.many else shape.to
    return named if shape.nullable else f"{named}!"


def _paging(of: str) -> list[InputValueDefinitionNode]:
    return [
        argument("where", f"{of}Where", "Only rows that meet this."),
        argument("orderBy", f"[{of}Order!]", "The first decides, the next break ties; the key comes last."),
        argument("first", "Int", "At most so many, from the start."),
        argument("after", "String", "Only what comes after this cursor."),
        argument("last", "Int", "At most so many, from the end."),
        argument("before", "String", "Only what comes before this cursor."),
    ]


def _connection(shape: TypeShape) -> tuple[DefinitionNode, DefinitionNode]:
    name, rule = shape.name, _allowed(shape.guards)
    connection = [
        field("nodes", f"[{name}!]", "The rows of this page."),
        field("edges", f"[{name}Edge!]", "The rows of this page, each with its cursor."),
        field("pageInfo", "PageInfo", "Where this page stands."),
        field("totalCount", "Int", "How many rows there are on all pages."),
    ]
    edge = [
        field("cursor", "String!", "Names the row's place, for `after` and `before`."),
        field("node", f"{name}!", "The row."),
    ]
    return (
        output(f"{name}Connection", f"A page of `{name}`.", connection, rule),
        output(f"{name}Edge", f"One `{name}` and its place.", edge, rule),
    )


def _where(shape: TypeShape, linked: frozenset[str]) -> Iterable[DefinitionNode]:
    name, rule = shape.name, _allowed(shape.guards)
    fields = [made for each in shape.fields for made in _test(each)]
    logic = [
        argument("and", f"[{name}Where!]", "All of these; of none: true."),
        argument("or", f"[{name}Where!]", "Any of these; of none: false."),
        argument("not", f"{name}Where", "Not this: null counts as false before it is turned."),
    ]
    yield input_object(
        f"{name}Where", f"Which `{name}` rows are meant; all that is said must hold.", fields + logic, rule
    )
    if name in linked:
        yield input_object(f"{name}ListWhere", f"How a list of `{name}` must be.", _quantified(name), rule)


def _quantified(name: str) -> list[InputValueDefinitionNode]:
    return [
        argument("some", f"{name}Where", "At least one meets this."),
        argument("every", f"{name}Where", "None fails this; true of an empty list."),
        argument("none", f"{name}Where", "Not one meets this."),
    ]


def _test(shape: FieldShape) -> list[InputValueDefinitionNode]:
    if shape.leads is Leads.COMPUTED or shape.many:
        return []
    of = {Leads.COLUMN: "Filter", Leads.ONE: "Where", Leads.MANY: "ListWhere"}[shape.leads]
    return [argument(shape.name, f"{shape.to}{of}", shape.description, _allowed(shape.guards))]


def _order(shape: TypeShape) -> DefinitionNode:
    fields = [
        argument(each.name, "Direction", each.description, _allowed(each.guards))
        for each in shape.fields
        if each.leads is Leads.COLUMN and not each.many
    ]
    return input_object(
        f"{shape.name}Order", f"What to order `{shape.name}` rows by.", fields, _allowed(shape.guards), (ONE_OF,)
    )


def _shared(shapes: Shapes) -> Iterable[DefinitionNode]:
    page = [
        field("hasNextPage", "Boolean!", "Whether rows follow this page."),
        field("hasPreviousPage", "Boolean!", "Whether rows come before this page."),
        field("startCursor", "String", "The place of the first row of this page."),
        field("endCursor", "String", "The place of the last row of this page."),
    ]
    yield output("PageInfo", "Where a page stands.", page, EVERYONE)
    yield enum("Direction", "Rows without a value come last, either way.", ("ASC", "DESC"))
    for each in shapes.enums:
        yield enum(each.name, each.description, each.values)
        yield _filter(each.name, EQUALITY)
    for name, operators in OPERATORS.items():
        yield _filter(name, operators)
    for name, description in DESCRIPTIONS.items():
        yield scalar(name, description)


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


def _filter(name: str, operators: tuple[str, ...]) -> DefinitionNode:
    takes = {"in": f"[{name}!]", "notIn": f"[{name}!]", "isNull": "Boolean"}
    fields = [argument(each, takes.get(each, name), MEANINGS[each]) for each in operators]
    return input_object(f"{name}Filter", f"Tests of a `{name}`; all that is said must hold.", fields, EVERYONE)


def _allowed(guards: Guards) -> Guards:
    """The rule without the owner: what a derived position copies."""
    return Guards(allow=guards.allow, owned=())
