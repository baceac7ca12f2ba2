"""Parse a printed schema into the model's types, members and rules."""

from typing import Any

from graphql import DocumentNode, print_ast

from onedoor.schema.masking import GuardedNode, read_own_requirements
from tests.security.permission.random_schema import Member, Rule, Schema, Type

KEYWORDS = {
    "object_type_definition": "type",
    "interface_type_definition": "interface",
    "input_object_type_definition": "input",
}


def parse_schema(document: DocumentNode) -> Schema:
    return {
        definition.name.value: kind(definition)
        for definition in document.definitions
        if isinstance(definition, GuardedNode)
    }


def kind(node: Any) -> Type:
    return Type(
        keyword=KEYWORDS[node.kind],
        rule=rule(node),
        members={field.name.value: member(field) for field in node.fields or ()},
        above=tuple(interface.name.value for interface in getattr(node, "interfaces", None) or ()),
    )


def member(node: Any) -> Member:
    taken = {argument.name.value: member(argument) for argument in getattr(node, "arguments", None) or ()}
    return Member(to=print_ast(node.type), rule=rule(node), arguments=taken)


def rule(node: Any) -> Rule:
    """The model knows of one directive, which is all that a schema may say."""
    (only,) = read_own_requirements(node) or (None,)
    return only
