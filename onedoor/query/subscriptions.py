"""Listen to what a subscription is about, and execute its operation for each event."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol, cast

from auth.authentication import Principal
from onedoor.errors import ConnectorError, ErrorCode, GraphQLErrorInfo, RequestRejected
from onedoor.model.catalog import PollingSubscription, Topic
from onedoor.model.parameters import substitute
from onedoor.query.context import ExecutionResult, GraphQLRequest, QueryEngine, attach_partial_result
from onedoor.query.document import SUBSCRIPTION_ONLY
from onedoor.query.engine import Execution, PreparedQuery, build_denial_errors
from onedoor.query.planner.cost import compute_cost
from onedoor.runtime.pubsub import PubSub
from onedoor.runtime.resilience import call_connector
from onedoor.spi.connector import ChangeFeed


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionEvent:
    """What to execute for one event: the subscription's request, and the id of the row that changed."""

    request: GraphQLRequest
    row_id: str | None


EventStream = AsyncIterator[SubscriptionEvent]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """A subscription that listens: how it was prepared, and its events in order.

    The iterator raises SlowConsumer where events come faster than they are taken.
    """

    result: ExecutionResult
    events: EventStream


class SubscribeFunction(Protocol):
    """Prepare a subscription and listen: nothing that happens after it is entered is lost, until it is left.

    Raises RequestRejected or MetadataDatabaseUnavailable; `get_partial_result` of them says how far the request came.
    """

    def __call__(
        self, engine: QueryEngine, pubsub: PubSub, principal: Principal, request: GraphQLRequest
    ) -> AbstractAsyncContextManager[Subscription]:
        """Listen for as long as the context is entered."""
        ...


@asynccontextmanager
async def subscribe(
    engine: QueryEngine, pubsub: PubSub, principal: Principal, request: GraphQLRequest
) -> AsyncIterator[Subscription]:
    """Listen to the source of the operation's one field; `AuditedExecutor.execute` takes each event."""
    execution = Execution(
        engine=engine, principal=principal, request=request, operation_types=SUBSCRIPTION_ONLY, keeps_values=True
    )
    try:
        query = await execution.prepare()
        arguments = _check_subscription(engine, query)
        source = engine.catalog.subscriptions[query.cached_plan.fields[0].name]
        (topic,) = topics = source.resolve_topics(arguments)
        listening = (
            _listen_to_poller(engine, source, topic)
            if isinstance(source, PollingSubscription)
            else pubsub.listen(topics)
        )
        async with listening as row_ids:
            yield Subscription(result=execution.result, events=_stream_events(request, row_ids))
    except ConnectorError as failure:
        rejection = RequestRejected(GraphQLErrorInfo(code=failure.code, message=failure.reason))
        attach_partial_result(rejection, execution.result)
        raise rejection from None
    except BaseException as error:
        attach_partial_result(error, execution.result)
        raise


def _check_subscription(engine: QueryEngine, query: PreparedQuery) -> Mapping[str, Any]:
    """Return the arguments of the one field. Raises RequestRejected, also where nothing could ever be shown."""
    compute_cost(engine.catalog, query.cached_plan.plan, query.variables)
    if not query.cached_plan.plan.roots:
        denials = build_denial_errors(query)
        message = "there is nothing to listen to in it"
        raise RequestRejected(*(denials or [GraphQLErrorInfo(code=ErrorCode.BAD_USER_INPUT, message=message)]))
    (root_field,) = query.cached_plan.fields
    return {name: substitute(value, query.variables) for name, value in root_field.arguments.items()}


def _listen_to_poller(
    engine: QueryEngine, subscription: PollingSubscription, topic: Topic
) -> AbstractAsyncContextManager[AsyncIterator[str]]:
    connector = engine.connectors[subscription.source]
    feed = cast(ChangeFeed, connector.inner)
    key = topic.key or ""
    return engine.pollers.listen(
        topic,
        lambda watermark: call_connector(
            connector, lambda: feed.read_new_keys(subscription.collection, key, watermark)
        ),
    )


async def _stream_events(request: GraphQLRequest, row_ids: AsyncIterator[str]) -> EventStream:
    async for row_id in row_ids:
        yield SubscriptionEvent(request=request, row_id=row_id)
