"""A printed schema in, the same as the model has it out: types, members, and the one rule of each."""

from typing import Any

from graphql import DocumentNode, print_ast

from onedoor.schema.builder import GuardedNode, read_own_requirements
from tests.security.permission.drawn import Member, Rule, Schema, Type

KEYWORDS = {
    "object_type_definition": "type",
    "interface_type_definition": "interface",
    "input_object_type_definition": "input",
}


def printed(document: DocumentNode) -> Schema:
    return {each.name.value: kind(each) for each in document.definitions if isinstance(each, GuardedNode)}


def kind(node: Any) -> Type:
    return Type(
        keyword=KEYWORDS[node.kind],
        rule=rule(node),
        members={each.name.value: member(each) for each in node.fields or ()},
        above=tuple(each.name.value for each in getattr(node, "interfaces", None) or ()),
    )


def member(node: Any) -> Member:
    taken = {each.name.value: member(each) for each in getattr(node, "arguments", None) or ()}
    return Member(to=print_ast(node.type), rule=rule(node), arguments=taken)


def rule(node: Any) -> Rule:
    """The model knows of one directive, which is all that a schema may say."""
    (only,) = read_own_requirements(node) or (None,)
    return only
