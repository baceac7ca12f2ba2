"""Subscribe to `customerChanged(id: ID)` over a catalog of queries; a real query answers each event.

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
    engine: QueryEngine, bus: PubSub, caller: Principal, question: GraphQLRequest
) -> AsyncIterator[Subscription]:
    result = ExecutionResult()
    field = _root(question)
    feed, _ = FEEDS[field.name.value]
    result.document = parse_document(engine.catalog.schema, _build_query_field(field, "0"), engine.catalog.limits)
    result.operation = result.document.operations[0]
    arguments = {argument.name.value: question_value(argument, question) for argument in field.arguments or ()}
    async with bus.listen(feed.resolve_topics(arguments)) as rows:
        yield Subscription(result=result, events=_happenings(field, rows))


def question_value(argument: ArgumentNode, question: GraphQLRequest) -> Any:
    value: Any = argument.value
    return question.variables.get(value.name.value) if value.kind == "variable" else value.value


def _root(question: GraphQLRequest) -> FieldNode:
    try:
        document = parse(question.query)
    except GraphQLSyntaxError as error:
        raise RequestRejected(convert_graphql_error(ErrorCode.GRAPHQL_PARSE_FAILED, error)) from None
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            (field,) = definition.selection_set.selections
            if isinstance(field, FieldNode) and field.name.value in FEEDS:
                return field
    raise RequestRejected(
        GraphQLErrorInfo(code=ErrorCode.GRAPHQL_VALIDATION_FAILED, message="there is no such subscription")
    )


async def _happenings(field: FieldNode, rows: AsyncIterator[str]) -> EventStream:
    async for row in rows:
        yield SubscriptionEvent(request=GraphQLRequest(query=_build_query_field(field, row)), row_id=None)


def _build_query_field(field: FieldNode, row: str) -> str:
    key = field.alias or field.name
    node = FieldNode(
        alias=NameNode(value=key.value),
        name=NameNode(value=FEEDS[field.name.value][1]),
        arguments=(ArgumentNode(name=NameNode(value="id"), value=StringValueNode(value=row)),),
        directives=(),
        selection_set=field.selection_set,
    )
    selected = SelectionSetNode(selections=(node,))
    return print_ast(
        OperationDefinitionNode(
            operation=OperationType.QUERY, selection_set=selected, variable_definitions=(), directives=()
        )
    )
