"""What a subscription listens to; a question that is answered each time something happens."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, Protocol, cast

from auth.authentication import Principal
from onedoor.errors import ConnectorError, ErrorCode, GraphQLErrorInfo, RequestRejected
from onedoor.model.catalog import PollingSubscription, Topic
from onedoor.model.parameters import substitute
from onedoor.query.context import ExecutionResult, GraphQLRequest, QueryEngine
from onedoor.query.document import SUBSCRIPTION_ONLY
from onedoor.query.engine import build_denial_errors, execute, prepare_query
from onedoor.query.planner.cost import compute_cost
from onedoor.runtime.pubsub import PubSub
from onedoor.runtime.resilience import call_connector
from onedoor.spi.connector import ChangeFeed

EventExecutor = Callable[[Principal], Awaitable[ExecutionResult]]
"""One event: who is asking, as they are by then, in; their answer, judged anew, out. It raises nothing of its own."""

EventStream = AsyncIterator[EventExecutor]


class SubscribeFunction(Protocol):
    """Entered: the question is judged and listened for, so that nothing that happens from then on is lost.

    Raises Refused, with `told` saying how far it came, or StateUnavailable. The iterator gives the events in order, and
    raises TooSlow. Left: nobody listens any more.
    """

    def __call__(
        self,
        engine: QueryEngine,
        pubsub: PubSub,
        principal: Principal,
        request: GraphQLRequest,
        result: ExecutionResult,
    ) -> AbstractAsyncContextManager[EventStream]: ...


@asynccontextmanager
async def subscribe(
    engine: QueryEngine, pubsub: PubSub, principal: Principal, request: GraphQLRequest, result: ExecutionResult
) -> AsyncIterator[EventStream]:
    """Each event is answered as a question is, by the stages of `engine.answer`."""
    arguments = _prepare_subscription(engine, principal, request, result)
    assert result.cached_plan is not None
    (pick,) = result.cached_plan.fields
    feed = engine.catalog.subscriptions[pick.name]
    (topic,) = topics = feed.resolve_topics(arguments)
    heard = _listen_to_poller(engine, feed, topic) if isinstance(feed, PollingSubscription) else pubsub.listen(topics)
    try:
        async with heard as rows:
            yield _stream_events(engine, request, rows)
    except ConnectorError as failure:
        raise RequestRejected(GraphQLErrorInfo(code=failure.code, message=failure.reason)) from None


def _prepare_subscription(
    engine: QueryEngine, principal: Principal, request: GraphQLRequest, result: ExecutionResult
) -> Mapping[str, Any]:
    """The arguments of its one field. Raises Refused, also where nothing of it could ever be shown."""
    house = engine.catalog
    prepared = prepare_query(engine, principal, request, result, SUBSCRIPTION_ONLY)
    result.cached_plan = compiled = prepared.cached_plan
    compute_cost(house, compiled.plan, prepared.variables)
    if not compiled.plan.roots:
        denied = build_denial_errors(house, compiled, prepared.variables)
        message = "there is nothing to listen to in it"
        raise RequestRejected(*(denied or [GraphQLErrorInfo(code=ErrorCode.BAD_USER_INPUT, message=message)]))
    return {name: substitute(value, prepared.variables) for name, value in compiled.fields[0].arguments.items()}


def _listen_to_poller(
    engine: QueryEngine, subscription: PollingSubscription, topic: Topic
) -> AbstractAsyncContextManager[AsyncIterator[str]]:
    guarded = engine.connectors[subscription.source]
    source = cast(ChangeFeed, guarded.inner)
    key = topic.key or ""
    return engine.pollers.listen(
        topic, lambda mark: call_connector(guarded, lambda: source.read_new_keys(subscription.collection, key, mark))
    )


async def _stream_events(
    engine: QueryEngine, request: GraphQLRequest, rows: AsyncIterator[str]
) -> AsyncIterator[EventExecutor]:
    async for row in rows:
        yield partial(_execute_event, engine, request, row)


async def _execute_event(
    engine: QueryEngine, request: GraphQLRequest, row: str, principal: Principal
) -> ExecutionResult:
    told = ExecutionResult()
    await execute(engine, principal, request, told, row)
    return told
