"""Print the rules for rows in the SDL, as `@limited`, and read them from it: what is compared when rules change."""

from collections.abc import Mapping
from typing import Any

from graphql import (
    ConstArgumentNode,
    ConstDirectiveNode,
    DirectiveDefinitionNode,
    DocumentNode,
    NameNode,
    ObjectTypeDefinitionNode,
    StringValueNode,
)

from onedoor.model.row_rules import RowRuleTexts
from onedoor.schema.masking import read_directive_argument
from onedoor.schema.sdl import build_argument, copy_node

LIMITED_DIRECTIVE = "limited"

LIMITED_DEFINITION = DirectiveDefinitionNode(
    name=NameNode(value=LIMITED_DIRECTIVE),
    description=StringValueNode(
        value="Which rows the members of a group see; a person sees those of all their groups.", block=True
    ),
    arguments=(build_argument("group", "String!", ""), build_argument("rows", "String!", "")),
    repeatable=True,
    locations=(NameNode(value="OBJECT"),),
)


def limit_document(document: DocumentNode, row_rules: RowRuleTexts) -> DocumentNode:
    """Mark the types that have rules for rows."""
    if not row_rules:
        return document
    definitions = (
        copy_node(node, directives=(*(node.directives or ()), *map(_build_use, sorted(row_rules[name].items()))))
        if isinstance(node, ObjectTypeDefinitionNode) and (name := node.name.value) in row_rules
        else node
        for node in document.definitions
    )
    return DocumentNode(definitions=(LIMITED_DEFINITION, *definitions))


def _build_use(rule: tuple[str, str]) -> ConstDirectiveNode:
    arguments = zip(("group", "rows"), rule, strict=True)
    return ConstDirectiveNode(
        name=NameNode(value=LIMITED_DIRECTIVE),
        arguments=tuple(
            ConstArgumentNode(name=NameNode(value=name), value=StringValueNode(value=text)) for name, text in arguments
        ),
    )


def read_row_rules(node: Any) -> Mapping[str, str]:
    """Return the rules for rows that a type has, by group."""
    return {
        read_directive_argument(use, "group").value: read_directive_argument(use, "rows").value
        for use in node.directives or ()
        if use.name.value == LIMITED_DIRECTIVE
    }
