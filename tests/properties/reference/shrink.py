"""Shrink a failing query: take parts away one by one as long as it fails."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from graphql import (
    REMOVE,
    ArgumentNode,
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLSyntaxError,
    InlineFragmentNode,
    ObjectFieldNode,
    VariableDefinitionNode,
    VariableNode,
    Visitor,
    parse,
    print_ast,
    validate,
    visit,
)

from tests.properties.reference.questions import DrawnQuestion

REMOVABLE = (FieldNode, InlineFragmentNode, FragmentSpreadNode, ArgumentNode, DirectiveNode, ObjectFieldNode)
TRIES = 600

Fails = Callable[[DrawnQuestion], Awaitable[bool]]


async def shrink(question: DrawnQuestion, fails: Fails) -> DrawnQuestion:
    """Bounded: at most TRIES questions are asked."""
    tries = TRIES
    index = 0
    while tries and index < removable(question.document):
        smaller = without(question, index)
        tries -= 1
        if smaller is not None and await fails(smaller):
            question = smaller
        else:
            index += 1
    return question


def removable(document: DocumentNode) -> int:
    counting = Removing(-1)
    visit(document, counting)
    return counting.seen


class Removing(Visitor):
    """Takes away the part of this number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.seen = 0

    def enter(self, node: Any, *_: Any) -> Any:
        if not isinstance(node, REMOVABLE):
            return None
        self.seen += 1
        return REMOVE if self.seen - 1 == self.number else None


def without(question: DrawnQuestion, number: int) -> DrawnQuestion | None:
    """The question without one of its parts; None when that is no question."""
    try:
        document = parse(print_ast(used(visit(question.document, Removing(number)))))
    except GraphQLSyntaxError:
        return None
    if validate(question.world.schema, document) or "{}" in print_ast(document).replace("where: {}", ""):
        return None
    names = {
        variable_definition.variable.name.value
        for variable_definition in document.definitions[0].variable_definitions or ()  # type: ignore[attr-defined]
    }
    return replace(
        question, document=document, variables=[variable for variable in question.variables if variable.name in names]
    )


def used(document: DocumentNode) -> DocumentNode:
    """The document without definitions that nothing names any more."""
    while True:
        names = Names()
        visit(document, names)
        result = visit(document, Unused(names))
        if print_ast(result) == print_ast(document):
            return result
        document = result


class Names(Visitor):
    """The fragments and variables that something names."""

    def __init__(self) -> None:
        super().__init__()
        self.fragments: set[str] = set()
        self.variables: set[str] = set()

    def enter_fragment_spread(self, node: FragmentSpreadNode, *_: Any) -> None:
        self.fragments.add(node.name.value)

    def enter_variable(self, node: VariableNode, _: Any, parent: Any, *__: Any) -> None:
        if not isinstance(parent, VariableDefinitionNode):
            self.variables.add(node.name.value)


class Unused(Visitor):
    def __init__(self, names: Names) -> None:
        super().__init__()
        self.names = names

    def enter_fragment_definition(self, node: FragmentDefinitionNode, *_: Any) -> Any:
        return None if node.name.value in self.names.fragments else REMOVE

    def enter_variable_definition(self, node: VariableDefinitionNode, *_: Any) -> Any:
        return None if node.variable.name.value in self.names.variables else REMOVE
