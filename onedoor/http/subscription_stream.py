"""A subscription in, its answers out as things happen; each is on record before it is given, as are start and end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from auth.authentication import Principal
from onedoor.audit.log import AuditLogUnavailable
from onedoor.audit.record import AuditOutcome
from onedoor.errors import ErrorCode, GraphQLErrorInfo, RequestRejected
from onedoor.http.execution import (
    KEYS_UNAVAILABLE,
    AppState,
    RequestContext,
    apply_request_extensions,
    begin_request,
    record_request,
    report_crash,
    respond_with_result,
)
from onedoor.http.responses import AUDIT_UNAVAILABLE, HTTPResponse
from onedoor.query.audited import classify_outcome
from onedoor.query.context import GraphQLRequest, get_partial_result
from onedoor.query.subscriptions import EventExecutor, Subscription
from onedoor.runtime.pubsub import SlowConsumer
from onedoor.storage.database import MetadataDatabaseUnavailable

SURFACE = "subscription"

KEY_RECHECK_SECONDS = 2.0
"""How often a key is looked up again while nothing happens; what is found is believed for another second."""

EMPTY_RESPONSE = HTTPResponse(status=200, body=b"", media_type="", headers={})

EVENTS_LOST = GraphQLErrorInfo(
    code=ErrorCode.LIMIT_EXCEEDED, message="more happened than was taken in, so some would be missing: subscribe again"
)

Reauthenticate = Callable[[], Awaitable[Principal]]
"""The caller as they are now. Raises Revoked, StateUnavailable."""

Deliver = Callable[[bytes], Awaitable[None]]

Errors = Sequence[GraphQLErrorInfo]


class KeyRevoked(Exception):
    """The key that it began with opens no more."""


async def ignore_start() -> None:
    """Is told that it has begun."""


@dataclass(slots=True, kw_only=True)
class SubscriptionStream:
    """One subscription under way. `begun` is told once it is on record."""

    app_state: AppState
    context: RequestContext
    reauthenticate: Reauthenticate
    deliver: Deliver
    on_start: Callable[[], Awaitable[None]] = ignore_start
    event_count: int | None = None
    """How many were given; None: it has not begun."""

    async def run(self) -> Errors:
        """What there is to say of its end; nothing where it came to its own. Raises Revoked, or OSError of `give`."""
        try:
            await self._run()
        except asyncio.CancelledError:
            await asyncio.shield(self._record_cancelled())
            raise
        except KeyRevoked:
            await self._record_end(AuditOutcome.UNAUTHENTICATED, ())
            raise
        except RequestRejected as refusal:
            self.context.result.errors, self.context.result.rejected = refusal.errors, True
            return await self._record_end(AuditOutcome.REFUSED, refusal.errors)
        except SlowConsumer:
            return await self._record_end(AuditOutcome.LIMITED, (EVENTS_LOST,))
        except MetadataDatabaseUnavailable:
            return await self._record_end(AuditOutcome.FAILED, (KEYS_UNAVAILABLE,))
        except AuditLogUnavailable:
            return await self._record_end(AuditOutcome.FAILED, (AUDIT_UNAVAILABLE,))
        except OSError:
            await self._record_cancelled()
            raise
        except Exception as error:
            return await self._record_end(AuditOutcome.CRASHED, (report_crash(self.context, error),))
        return await self._record_end(AuditOutcome.ANSWERED, ())

    async def _run(self) -> None:
        counter, coming = self.app_state, self.context
        assert coming.request is not None
        coming.surface, coming.subscription_id, coming.principal = SURFACE, coming.id, await self.reauthenticate()
        async with self._subscribe(coming.principal, coming.request) as subscription:
            coming.result = subscription.result
            apply_request_extensions(counter, coming)
            await record_request(counter, coming, EMPTY_RESPONSE, AuditOutcome.ANSWERED)
            self.event_count = 0
            await self.on_start()
            async for each in subscription.events:
                await self.deliver(await self._execute_event(each))
                self.event_count += 1

    @asynccontextmanager
    async def _subscribe(self, principal: Principal, request: GraphQLRequest) -> AsyncIterator[Subscription]:
        try:
            subscribing = self.app_state.subscribe(self.app_state.engine, self.app_state.pubsub, principal, request)
            async with subscribing as subscription:
                yield subscription
        except BaseException as error:
            if self.event_count is None:
                self.context.result = get_partial_result(error)
            raise

    async def _execute_event(self, happening: EventExecutor) -> bytes:
        """For who they are by now; on record."""
        one = self._build_event_context()
        async with self.app_state.active_streams.event_slots:
            one.principal = self.context.principal = await self.reauthenticate()
            one.result = await happening(one.principal)
        found = respond_with_result(self.app_state, one)
        await record_request(self.app_state, one, found, classify_outcome(one.result))
        return found.body

    async def _record_end(self, final_outcome: AuditOutcome, errors: Errors) -> Errors:
        try:
            await record_request(self.app_state, self._build_end_context(), EMPTY_RESPONSE, final_outcome)
        except AuditLogUnavailable:
            return (AUDIT_UNAVAILABLE,)
        return errors

    async def _record_cancelled(self) -> None:
        with suppress(AuditLogUnavailable):
            await record_request(
                self.app_state, self._build_end_context(), EMPTY_RESPONSE, self.context.outcome_if_cancelled
            )

    def _build_end_context(self) -> RequestContext:
        """What the record of the end is of: what never began has but one."""
        if self.event_count is None:
            return self.context
        last = self._build_event_context()
        last.principal, last.result, last.event_count = self.context.principal, self.context.result, self.event_count
        return last

    def _build_event_context(self) -> RequestContext:
        known = self.context
        return begin_request(
            known.head, known.address, question=known.request, surface=SURFACE, subscription=known.subscription_id
        )


def build_reauthenticate(
    app_state: AppState, key: str | None, on_failure: Callable[[AuditOutcome], object]
) -> Reauthenticate:
    """Looks a key up again; before it raises, `stopping` is told what that makes of all that goes on with it."""

    async def who() -> Principal:
        try:
            caller = await app_state.authenticator.authenticate(key)
        except MetadataDatabaseUnavailable:
            on_failure(AuditOutcome.FAILED)
            raise
        if caller is None:
            on_failure(AuditOutcome.UNAUTHENTICATED)
            raise KeyRevoked
        return caller

    return who


async def watch_key(reauthenticate: Reauthenticate) -> None:
    """Raises Revoked soon after the key opens no more, though nothing happens."""
    while True:
        await asyncio.sleep(KEY_RECHECK_SECONDS)
        await reauthenticate()
