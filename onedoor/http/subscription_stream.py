"""Run a subscription: deliver the result of each event, and record its start, its events and its end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from auth.authentication import Principal
from auth.grants import GrantEnded, HeldGrant
from onedoor.audit.log import AuditLogUnavailable
from onedoor.audit.record import AuditOutcome, Surface
from onedoor.errors import ConnectorError, ErrorCode, GraphQLErrorInfo
from onedoor.http.key_watch import KeyRevoked
from onedoor.http.lifecycle import UNAUTHENTICATED, apply_request_extensions
from onedoor.http.requests import RequestContext, begin_request
from onedoor.http.responses import encode_conclusion
from onedoor.http.state import AppState
from onedoor.query.audited import KEYS_UNAVAILABLE, Conclusion, conclude_failure, conclude_unrecorded
from onedoor.query.context import GraphQLRequest, QueryEngine, get_partial_result
from onedoor.query.subscriptions import Subscription, SubscriptionEvent
from onedoor.runtime.call_context import build_call_context, use_call_context
from onedoor.runtime.concurrency import run_unless
from onedoor.runtime.pubsub import SlowConsumer
from onedoor.storage.database import MetadataDatabaseUnavailable

GRANT_RECHECK_SECONDS = 1.0
"""How often it is checked that the grants under which a subscription began are still held."""

STARTED = COMPLETED = Conclusion(outcome=AuditOutcome.ANSWERED, status=200)

EVENTS_LOST = Conclusion(
    outcome=AuditOutcome.LIMITED,
    status=429,
    errors=(
        GraphQLErrorInfo(
            code=ErrorCode.LIMIT_EXCEEDED,
            message="more happened than was taken in, so some would be missing: subscribe again",
        ),
    ),
)

Reauthenticate = Callable[[], Awaitable[Principal]]
"""Returns the principal as they are now. Raises KeyRevoked, MetadataDatabaseUnavailable."""

Deliver = Callable[[bytes], Awaitable[None]]


async def ignore_start() -> None:
    """Do nothing once the subscription is on record."""


@dataclass(slots=True, kw_only=True)
class SubscriptionStream:
    """One subscription under way; `on_start` is called once its start is on record."""

    app_state: AppState
    context: RequestContext
    reauthenticate: Reauthenticate
    deliver: Deliver
    on_start: Callable[[], Awaitable[None]] = ignore_start
    event_count: int | None = None
    """How many events were delivered; None: the subscription has not started."""

    async def run(self) -> Sequence[GraphQLErrorInfo]:
        """Run to the end and return the errors to end with. Raises KeyRevoked, or the OSError of `deliver`."""
        assert self.context.principal is not None
        rate_limiter, key_id = self.app_state.rate_limiter, self.context.principal.key_id
        refusal = rate_limiter.check_subscriptions(key_id) or await self.app_state.executor.check_budgets(self.context)
        if refusal is not None:
            return await self._record_end(refusal)
        with rate_limiter.hold_subscription(key_id):
            return await self._run_to_end()

    async def _run_to_end(self) -> Sequence[GraphQLErrorInfo]:
        try:
            await self._run()
        except asyncio.CancelledError:
            await asyncio.shield(self._record_end(self.context.conclusion_if_cancelled))
            raise
        except KeyRevoked:
            await self._record_end(UNAUTHENTICATED)
            raise
        except SlowConsumer:
            return await self._record_end(EVENTS_LOST)
        except GrantEnded as ended:
            return await self._record_end(conclude_refusal(ended))
        except OSError:
            await self._record_end(self.context.conclusion_if_cancelled)
            raise
        except Exception as error:
            return await self._record_end(conclude_failure(self.context, error))
        return await self._record_end(COMPLETED)

    async def _run(self) -> None:
        app_state, context = self.app_state, self.context
        assert context.request is not None
        context.surface, context.subscription_id = Surface.SUBSCRIPTION, context.id
        context.principal = await self.reauthenticate()
        grants = context.principal.grants
        async with self._subscribe(context.principal, context.request) as subscription:
            context.result = subscription.result
            apply_request_extensions(app_state, context)
            await app_state.executor.record(context, STARTED, 0)
            self.event_count = 0
            await self.on_start()
            delivering = self._deliver_events(subscription)
            await (run_unless(watch_grants(app_state.engine, grants), delivering) if grants else delivering)

    async def _deliver_events(self, subscription: Subscription) -> None:
        assert self.event_count is not None
        async for event in subscription.events:
            body = await self._execute_event(event)
            if body is not None:
                await self.deliver(body)
                self.event_count += 1

    @asynccontextmanager
    async def _subscribe(self, principal: Principal, request: GraphQLRequest) -> AsyncIterator[Subscription]:
        app_state = self.app_state
        try:
            async with app_state.subscribe(app_state.engine, app_state.pubsub, principal, request) as subscription:
                yield subscription
        except BaseException as error:
            if self.event_count is None:
                self.context.result = get_partial_result(error)
            raise

    async def _execute_event(self, event: SubscriptionEvent) -> bytes | None:
        """Execute an event for the principal as they are by now, record it, and return the body to deliver.

        None: it is about a row that they do not see.
        """
        app_state, context = self.app_state, self._build_event_context()
        assert self.context.principal is not None
        with use_call_context(build_call_context(self.context.principal.person_id)):
            async with app_state.active_streams.event_slots.hold():
                context.principal = self.context.principal = await self.reauthenticate()
                conclusion = await app_state.executor.execute(context, event)
        response = encode_conclusion(context, conclusion, app_state.limits.errors_max)
        context.digest = response.digest
        if context.result.is_hidden_event:
            context.digest = None
            await app_state.executor.record(context, conclusion, 0)
            return None
        await app_state.executor.record(context, conclusion, len(response.body))
        return response.body

    async def _record_end(self, conclusion: Conclusion) -> Sequence[GraphQLErrorInfo]:
        """Record the end and return the errors that say why it came."""
        context = self._build_end_context()
        try:
            await self.app_state.executor.record(context, conclusion, 0)
        except AuditLogUnavailable:
            return conclude_unrecorded(context).errors
        return conclusion.errors or (context.result.errors if context.result.rejected else ())

    def _build_end_context(self) -> RequestContext:
        """Build what the record of the end says; a subscription that never started has that record alone."""
        if self.event_count is None:
            return self.context
        context = self._build_event_context()
        context.principal, context.result = self.context.principal, self.context.result
        context.event_count = self.event_count
        return context

    def _build_event_context(self) -> RequestContext:
        context = begin_request(self.context.head, Surface.SUBSCRIPTION)
        context.request, context.subscription_id = self.context.request, self.context.subscription_id
        return context


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionKey:
    """The key with which a connection began.

    Before its methods raise, they call `on_failure` with what that makes of everything that goes on with the key.
    """

    app_state: AppState
    api_key: str | None
    on_failure: Callable[[Conclusion], object]

    async def reauthenticate(self) -> Principal:
        """Look the key up again. Raises KeyRevoked, MetadataDatabaseUnavailable."""
        with self._concluding_failures():
            principal = await self.app_state.authenticator.authenticate(self.api_key)
            if principal is None:
                raise KeyRevoked
        return principal

    async def watch(self) -> None:
        """Raise KeyRevoked within a second of the end of the key, though nothing happens.

        Raises MetadataDatabaseUnavailable.
        """
        principal = await self.reauthenticate()
        with self._concluding_failures():
            await self.app_state.key_watch.wait_until_revoked(principal)

    @contextmanager
    def _concluding_failures(self) -> Iterator[None]:
        try:
            yield
        except KeyRevoked:
            self.on_failure(UNAUTHENTICATED)
            raise
        except MetadataDatabaseUnavailable:
            self.on_failure(KEYS_UNAVAILABLE)
            raise


async def watch_grants(engine: QueryEngine, held: Sequence[HeldGrant]) -> None:
    """Raise GrantEnded soon after one of the grants has ended, and MetadataDatabaseUnavailable where nobody knows."""
    while True:
        await asyncio.sleep(GRANT_RECHECK_SECONDS)
        ended = await engine.find_ended_grants(held)
        if ended:
            raise GrantEnded(ended[0])


def conclude_refusal(refusal: ConnectorError) -> Conclusion:
    """Conclude a subscription that may not go on."""
    error = GraphQLErrorInfo(code=refusal.code, message=refusal.reason)
    return Conclusion(outcome=AuditOutcome.REFUSED, status=403, errors=(error,))
