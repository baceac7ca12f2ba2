"""Subscriptions for tests: `customerChanged(id: ID)` over a house of queries, each event answered by a real question.

What `engine.live.subscribe` does for the roots of a schema, for one root that no schema has: the selection is asked of
`customer(id:)`, through every stage, for each event.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from graphql import (
    ArgumentNode,
    FieldNode,
    GraphQLSyntaxError,
    NameNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    StringValueNode,
    parse,
    print_ast,
)

from auth.caller import Caller
from engine.admit import admit, located
from engine.answer import answer
from engine.bus import Bus
from engine.desk import Answer, Desk, Question
from engine.errors import Code, Fault, Refused
from engine.feed import Feed
from engine.live import Happening, Happenings
from engine.topic import Topic


class Customers:
    """One customer's changes, or everyone's."""

    def topics(self, arguments: Any) -> Sequence[Topic]:
        return [Topic(name="customer", key=arguments.get("id"))]


FEEDS: dict[str, tuple[Feed, str]] = {"customerChanged": (Customers(), "customer")}
"""By root field: what to listen to, and the question that its rows are the answers to."""


@asynccontextmanager
async def subscribe(
    desk: Desk, bus: Bus, caller: Caller, question: Question, told: Answer
) -> AsyncIterator[Happenings]:
    field = _root(question)
    feed, _ = FEEDS[field.name.value]
    told.document = admit(desk.house.schema, _asked(field, "0"), desk.house.limits)
    told.operation = told.document.operations[0]
    arguments = {each.name.value: question_value(each, question) for each in field.arguments or ()}
    async with bus.listen(feed.topics(arguments)) as rows:
        yield _happenings(desk, field, rows)


def question_value(argument: ArgumentNode, question: Question) -> Any:
    value: Any = argument.value
    return question.variables.get(value.name.value) if value.kind == "variable" else value.value


def _root(question: Question) -> FieldNode:
    try:
        document = parse(question.text)
    except GraphQLSyntaxError as error:
        raise Refused(located(Code.GRAPHQL_PARSE_FAILED, error)) from None
    for each in document.definitions:
        if isinstance(each, OperationDefinitionNode):
            (field,) = each.selection_set.selections
            if isinstance(field, FieldNode) and field.name.value in FEEDS:
                return field
    raise Refused(Fault(code=Code.GRAPHQL_VALIDATION_FAILED, message="there is no such subscription"))


async def _happenings(desk: Desk, field: FieldNode, rows: AsyncIterator[str]) -> AsyncIterator[Happening]:
    async for row in rows:
        yield partial(_happened, desk, _asked(field, row))


async def _happened(desk: Desk, text: str, caller: Caller) -> Answer:
    told = Answer()
    await answer(desk, caller, Question(text=text), told)
    return told


def _asked(field: FieldNode, row: str) -> str:
    key = field.alias or field.name
    asked = FieldNode(
        alias=NameNode(value=key.value),
        name=NameNode(value=FEEDS[field.name.value][1]),
        arguments=(ArgumentNode(name=NameNode(value="id"), value=StringValueNode(value=row)),),
        directives=(),
        selection_set=field.selection_set,
    )
    selected = SelectionSetNode(selections=(asked,))
    return print_ast(
        OperationDefinitionNode(
            operation=OperationType.QUERY, selection_set=selected, variable_definitions=(), directives=()
        )
    )
