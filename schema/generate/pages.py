"""A listed type in, its connection and edge out."""

from graphql import DefinitionNode, InputValueDefinitionNode

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
    name, rule = shape.name, allowed(shape.guards)
    page = [
        field("nodes", f"[{name}!]", "The rows of this page."),
        field("edges", f"[{name}Edge!]", "The rows of this page, each with its cursor."),
        field("pageInfo", "PageInfo", "Where this page stands."),
        field("totalCount", "Int", "How many rows there are on all pages."),
        field("aggregate", f"{name}Aggregate", "What the rows of all pages come to, taken together."),
        field("groups", f"[{name}Group!]", "The rows of all pages in groups.", arguments=_grouping(name)),
    ]
    edge = [
        field("cursor", "String!", "Names the row's place, for `after` and `before`."),
        field("node", f"{name}!", "The row."),
    ]
    return (
        output(f"{name}Connection", f"A page of `{name}`.", page, rule),
        output(f"{name}Edge", f"One `{name}` and its place.", edge, rule),
    )


def _grouping(of: str) -> list[InputValueDefinitionNode]:
    ties = "The first decides, the next break ties; the key comes last, as `by` has it."
    return [
        argument("by", f"[{of}GroupBy!]!", "Rows that agree in all of these make a group."),
        argument("having", f"{of}Having", "Only groups that meet this."),
        argument("orderBy", f"[{of}GroupOrder!]", ties),
        argument("first", "Int", "At most so many groups, from the start."),
    ]
