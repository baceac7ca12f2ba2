"""Subscriptions for tests: `customerChanged(id: ID)` over a house of queries, each event answered by a real question.

What `engine.live.subscribe` does for the roots of a schema, for one root that no schema has: the selection is asked of
`customer(id:)`, through every stage, for each event.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
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

from auth.authentication import Principal
from onedoor.errors import ErrorCode, GraphQLErrorInfo, RequestRejected
from onedoor.model.catalog import SubscriptionSource, Topic
from onedoor.query.context import ExecutionResult, GraphQLRequest, QueryEngine
from onedoor.query.document import convert_graphql_error, parse_document
from onedoor.query.subscriptions import EventStream, Subscription, SubscriptionEvent
from onedoor.runtime.pubsub import PubSub


class Customers:
    """One customer's changes, or everyone's."""

    def resolve_topics(self, arguments: Any) -> Sequence[Topic]:
        return [Topic(name="customer", key=arguments.get("id"))]


FEEDS: dict[str, tuple[SubscriptionSource, str]] = {"customerChanged": (Customers(), "customer")}
"""By root field: what to listen to, and the question that its rows are the answers to."""


@asynccontextmanager
async def subscribe(
    desk: QueryEngine, bus: PubSub, caller: Principal, question: GraphQLRequest
) -> AsyncIterator[Subscription]:
    told = ExecutionResult()
    field = _root(question)
    feed, _ = FEEDS[field.name.value]
    told.document = parse_document(desk.catalog.schema, _asked(field, "0"), desk.catalog.limits)
    told.operation = told.document.operations[0]
    arguments = {each.name.value: question_value(each, question) for each in field.arguments or ()}
    async with bus.listen(feed.resolve_topics(arguments)) as rows:
        yield Subscription(result=told, events=_happenings(field, rows))


def question_value(argument: ArgumentNode, question: GraphQLRequest) -> Any:
    value: Any = argument.value
    return question.variables.get(value.name.value) if value.kind == "variable" else value.value


def _root(question: GraphQLRequest) -> FieldNode:
    try:
        document = parse(question.query)
    except GraphQLSyntaxError as error:
        raise RequestRejected(convert_graphql_error(ErrorCode.GRAPHQL_PARSE_FAILED, error)) from None
    for each in document.definitions:
        if isinstance(each, OperationDefinitionNode):
            (field,) = each.selection_set.selections
            if isinstance(field, FieldNode) and field.name.value in FEEDS:
                return field
    raise RequestRejected(
        GraphQLErrorInfo(code=ErrorCode.GRAPHQL_VALIDATION_FAILED, message="there is no such subscription")
    )


async def _happenings(field: FieldNode, rows: AsyncIterator[str]) -> EventStream:
    async for row in rows:
        yield SubscriptionEvent(request=GraphQLRequest(query=_asked(field, row)), row_id=None)


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
