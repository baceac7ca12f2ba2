"""Build the syntax nodes of random queries."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from graphql import (
    ArgumentNode,
    DirectiveNode,
    FieldNode,
    GraphQLEnumType,
    GraphQLWrappingType,
    NameNode,
    SelectionSetNode,
    ValueNode,
    VariableDefinitionNode,
    VariableNode,
    get_nullable_type,
    parse_type,
    parse_value,
)


def field(
    name: str,
    below: Iterable[Any] | None = None,
    *,
    alias: str | None = None,
    arguments: Sequence[ArgumentNode] = (),
    directives: Sequence[DirectiveNode] = (),
) -> FieldNode:
    return FieldNode(
        name=NameNode(value=name),
        alias=NameNode(value=alias) if alias else None,
        arguments=tuple(arguments),
        directives=tuple(directives),
        selection_set=None if below is None else SelectionSetNode(selections=tuple(below)),
    )


def children(node: FieldNode) -> Sequence[FieldNode]:
    return (
        [selection for selection in node.selection_set.selections if isinstance(selection, FieldNode)]
        if node.selection_set
        else []
    )


def definition(name: str, of: str) -> VariableDefinitionNode:
    return VariableDefinitionNode(variable=VariableNode(name=NameNode(value=name)), type=parse_type(of), directives=())


def literal(of: Any, value: Any) -> ValueNode:
    """JSON as GraphQL writes it: enums and the names of members without quotes."""
    return parse_value(spelled(of, value))


def spelled(of: Any, value: Any) -> str:
    if isinstance(value, list):
        inner = get_nullable_type(of).of_type
        return "[" + ", ".join(spelled(inner, item) for item in value) + "]"
    while isinstance(of, GraphQLWrappingType):
        of = of.of_type
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {spelled(of.fields[name].type, item)}" for name, item in value.items()) + "}"
    return value if isinstance(of, GraphQLEnumType) and value is not None else json.dumps(value, ensure_ascii=False)
