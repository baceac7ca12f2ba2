"""A type in, how its rows are grouped out: by what, the keys, the groups and their order."""

from collections.abc import Iterator

from graphql import DefinitionNode

from schema.generate.columns import allowed, columns, links
from schema.generate.orders import by_measure
from schema.generate.reach import Reach
from schema.nodes import ONE_OF, argument, enum, field, input_object, output
from schema.read import Leads, TypeShape

GROUPING = (
    enum("GroupBy", "How a value makes a group: as it is.", ("VALUE",)),
    enum(
        "TimeGroupBy",
        "How a moment makes a group: as it is, or by where the unit it falls in begins, in UTC; weeks begin on Monday.",
        ("VALUE", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR"),
    ),
    enum(
        "DateGroupBy",
        "How a day makes a group: as it is, or by where the unit it falls in begins; weeks begin on Monday.",
        ("VALUE", "WEEK", "MONTH", "QUARTER", "YEAR"),
    ),
)
GROUPED = {"DateTime": "TimeGroupBy", "Date": "DateGroupBy"}


def groups(shape: TypeShape, reached: Reach) -> Iterator[DefinitionNode]:
    """What keys can be made of wherever a key can lead, and the groups of what is listed."""
    if shape.name in reached.filtered:
        yield _by(shape, reached)
        yield _key(shape, reached)
    if shape.name in reached.listed:
        yield _group(shape)
        yield _order(shape)


def _by(shape: TypeShape, reached: Reach) -> DefinitionNode:
    name = shape.name
    fields = [
        *((each, GROUPED.get(each.to, "GroupBy")) for each in columns(shape)),
        *((each, f"{each.to}GroupBy") for each in links(shape, Leads.ONE) if each.to not in reached.interfaces),
    ]
    made = [argument(each.name, to, each.description, allowed(each.guards)) for each, to in fields]
    return input_object(f"{name}GroupBy", f"What to group `{name}` rows by.", made, allowed(shape.guards), (ONE_OF,))


def _key(shape: TypeShape, reached: Reach) -> DefinitionNode:
    fields = [
        *((each, each.to) for each in columns(shape)),
        *((each, f"{each.to}GroupKey") for each in links(shape, Leads.ONE) if each.to not in reached.interfaces),
    ]
    made = [field(each.name, to, each.description, guards=allowed(each.guards)) for each, to in fields]
    meaning = f"What the `{shape.name}` rows of a group agree in; only what `by` names can be asked."
    return output(f"{shape.name}GroupKey", meaning, made, allowed(shape.guards))


def _group(shape: TypeShape) -> DefinitionNode:
    fields = [
        field("key", f"{shape.name}GroupKey", "What its rows agree in."),
        field("aggregate", f"{shape.name}Aggregate", "What its rows come to, taken together."),
    ]
    return output(f"{shape.name}Group", f"`{shape.name}` rows that belong together.", fields, allowed(shape.guards))


def _order(shape: TypeShape) -> DefinitionNode:
    by_key = argument("key", f"{shape.name}Order", "What its rows agree in; only what `by` names.")
    meaning = f"What to order groups of `{shape.name}` by."
    fields = [by_key, *by_measure(shape)]
    return input_object(f"{shape.name}GroupOrder", meaning, fields, allowed(shape.guards), (ONE_OF,))
