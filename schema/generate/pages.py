"""A listed type in, its connection and edge out."""

from graphql import DefinitionNode, FieldDefinitionNode, InputValueDefinitionNode

from schema.generate.columns import EVERYONE, allowed
from schema.nodes import argument, field, output
from schema.read import TypeShape

PAGE_INFO = output(
    "PageInfo",
    "Where a page stands.",
    [
        field("hasNextPage", "Boolean!", "Whether rows follow this page."),
        field("hasPreviousPage", "Boolean!", "Whether rows come before this page."),
        field("startCursor", "String", "The place of the first row of this page."),
        field("endCursor", "String", "The place of the last row of this page."),
    ],
    EVERYONE,
)


def paging(of: str) -> list[InputValueDefinitionNode]:
    return [
        argument("where", f"{of}Where", "Only rows that meet this."),
        argument("orderBy", f"[{of}Order!]", "The first decides, the next break ties; the key comes last."),
        argument("first", "Int", "At most so many, from the start."),
        argument("after", "String", "Only what comes after this cursor."),
        argument("last", "Int", "At most so many, from the end."),
        argument("before", "String", "Only what comes before this cursor."),
    ]


def connection(shape: TypeShape) -> tuple[DefinitionNode, DefinitionNode]:
    """Rows of an interface stand in several stores: they are counted, but not measured or grouped."""
    name, rule = shape.name, allowed(shape.guards)
    page = [
        field("nodes", f"[{name}!]", "The rows of this page."),
        field("edges", f"[{name}Edge!]", "The rows of this page, each with its cursor."),
        field("pageInfo", "PageInfo", "Where this page stands."),
        field("totalCount", "Int", "How many rows there are on all pages."),
        *([] if shape.interface else _measured(name)),
    ]
    edge = [
        field("cursor", "String!", "Names the row's place, for `after` and `before`."),
        field("node", f"{name}!", "The row."),
    ]
    return (
        output(f"{name}Connection", f"A page of `{name}`.", page, rule),
        output(f"{name}Edge", f"One `{name}` and its place.", edge, rule),
    )


def _measured(of: str) -> list[FieldDefinitionNode]:
    return [
        field("aggregate", f"{of}Aggregate", "What the rows of all pages come to, taken together."),
        field("groups", f"[{of}Group!]", "The rows of all pages in groups.", arguments=_grouping(of)),
    ]


def _grouping(of: str) -> list[InputValueDefinitionNode]:
    ties = "The first decides, the next break ties; the key comes last, as `by` has it."
    return [
        argument("by", f"[{of}GroupBy!]!", "Rows that agree in all of these make a group."),
        argument("having", f"{of}Having", "Only groups that meet this."),
        argument("orderBy", f"[{of}GroupOrder!]", ties),
        argument("first", "Int", "At most so many groups, from the start."),
    ]
