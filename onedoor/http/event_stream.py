"""Serve /graphql as an event stream: server-sent events, in the distinct connections mode of graphql-sse."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import orjson

from onedoor.errors import GraphQLErrorInfo
from onedoor.http.key_watch import KeyRevoked
from onedoor.http.lifecycle import REVOKED, UNAUTHENTICATED, execute_request, record_response
from onedoor.http.negotiation import EVENT_STREAM
from onedoor.http.rate_limit import build_limit_conclusion
from onedoor.http.requests import Receive, RequestContext, is_subscription
from onedoor.http.responses import Send, build_common_headers, format_error, send_response
from onedoor.http.state import AppState
from onedoor.http.subscription_stream import ConnectionKey, SubscriptionStream
from onedoor.query.audited import KEYS_UNAVAILABLE, Conclusion
from onedoor.runtime.concurrency import run_unless
from onedoor.storage.database import MetadataDatabaseUnavailable

COMPLETE_EVENT = b"event: complete\ndata: \n\n"

HEARTBEAT_COMMENT = b":\n\n"
"""A comment, which clients skip."""


class SubscriberLeft(Exception):
    """The client went away."""


class ServerStopping(Exception):
    """The server is stopping, so that the subscription is interrupted and not complete."""


async def serve_event_stream(app_state: AppState, context: RequestContext, receive: Receive, send: Send) -> None:
    """Answer an admitted and parsed request, which is not recorded yet, with an event stream."""
    assert context.request is not None
    assert context.principal is not None
    events = EventStreamResponse(app_state, context, send)
    if not is_subscription(context.request, app_state.limits):
        await _send_single_result(app_state, context, events)
        return
    key_id, count_by_key = context.principal.key_id, app_state.active_streams.count_by_key
    limit = app_state.limits.subscriptions_max
    if count_by_key[key_id] >= limit:
        conclusion = build_limit_conclusion("event streams of this key", "subscriptions_max", limit, "end one of them")
        response = await record_response(app_state, context, conclusion)
        await send_response(response, send, context, app_state.allowed_origins)
        return
    count_by_key[key_id] += 1
    try:
        await _follow_subscription(app_state, context, events, receive)
    finally:
        count_by_key[key_id] -= 1
        if not count_by_key[key_id]:
            del count_by_key[key_id]


async def _send_single_result(app_state: AppState, context: RequestContext, events: "EventStreamResponse") -> None:
    assert context.principal is not None
    rejection = app_state.rate_limiter.check_place(context.principal.key_id)
    if rejection is not None:
        response = await record_response(app_state, context, rejection)
        await send_response(response, events.send, context, app_state.allowed_origins)
        return
    with app_state.rate_limiter.hold_place(context.principal.key_id):
        conclusion = await app_state.executor.conclude(context, _execute_until_revoked(app_state, context))
        response = await record_response(app_state, context, conclusion)
    await events.send_next(response.body)
    await events.send_end(())


async def _execute_until_revoked(app_state: AppState, context: RequestContext) -> Conclusion:
    assert context.principal is not None
    try:
        return await run_unless(
            app_state.key_watch.wait_until_revoked(context.principal), execute_request(app_state, context)
        )
    except KeyRevoked:
        return REVOKED


async def _follow_subscription(
    app_state: AppState, context: RequestContext, events: "EventStreamResponse", receive: Receive
) -> None:
    def set_conclusion_if_cancelled(conclusion: Conclusion) -> None:
        context.conclusion_if_cancelled = conclusion

    key = ConnectionKey(app_state=app_state, api_key=context.head.api_key, on_failure=set_conclusion_if_cancelled)
    stream = SubscriptionStream(
        app_state=app_state,
        context=context,
        reauthenticate=key.reauthenticate,
        deliver=events.send_next,
        on_start=events.start,
    )
    watchers = (
        key.watch(),
        events.send_heartbeats(app_state.limits.heartbeat_seconds),
        _wait_for_disconnect(receive),
        _wait_for_shutdown(app_state.active_streams.shutting_down),
    )
    try:
        await events.send_end(await _run_until_end(stream, *watchers))
    except ServerStopping:
        await events.interrupt()
    except SubscriberLeft:
        pass


async def _run_until_end(
    stream: SubscriptionStream, *watchers: Coroutine[Any, Any, None]
) -> Sequence[GraphQLErrorInfo]:
    """Run the stream with its watchers, until it ends or one of them raises, and return the errors to end with.

    Raises SubscriberLeft, ServerStopping.
    """
    errors: Sequence[GraphQLErrorInfo] = ()
    interruption: Exception | None = None
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(watcher) for watcher in watchers]
            errors = await stream.run()
            for task in tasks:
                task.cancel()
    except* KeyRevoked:
        errors = UNAUTHENTICATED.errors
    except* MetadataDatabaseUnavailable:
        errors = KEYS_UNAVAILABLE.errors
    except* ServerStopping:
        interruption = ServerStopping()
    except* (SubscriberLeft, OSError):
        interruption = SubscriberLeft()
    if interruption is not None:
        raise interruption
    return errors


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    raise SubscriberLeft


async def _wait_for_shutdown(shutting_down: asyncio.Event) -> None:
    await shutting_down.wait()
    raise ServerStopping


class EventStreamResponse:
    """A response that is sent event by event; its head goes out with the first."""

    def __init__(self, app_state: AppState, context: RequestContext, send: Send) -> None:
        self.app_state, self.context, self.send = app_state, context, send
        self.started = False

    async def start(self) -> None:
        if not self.started:
            self.started = True
            await self.send({"type": "http.response.start", "status": 200, "headers": self._build_headers()})
            await self._send_chunk(HEARTBEAT_COMMENT)

    async def send_next(self, body: bytes) -> None:
        """Send a `next` event; `body` is JSON, so it is one line."""
        await self.start()
        await self._send_chunk(b"event: next\ndata: " + body + b"\n\n")

    async def send_end(self, errors: Sequence[GraphQLErrorInfo]) -> None:
        """Send the errors, if any, and a `complete` event."""
        if errors:
            shown_errors = [format_error(error) for error in errors[: self.app_state.limits.errors_max]]
            await self.send_next(orjson.dumps({"errors": shown_errors}))
        await self.start()
        await self.send({"type": "http.response.body", "body": COMPLETE_EVENT})

    async def interrupt(self) -> None:
        """End the response without a `complete` event, so that the client subscribes again."""
        await self.start()
        await self.send({"type": "http.response.body", "body": b""})

    async def send_heartbeats(self, seconds: float) -> None:
        """Send a comment every so many seconds, until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            if self.started:
                await self._send_chunk(HEARTBEAT_COMMENT)

    async def _send_chunk(self, body: bytes) -> None:
        await self.send({"type": "http.response.body", "body": body, "more_body": True})

    def _build_headers(self) -> list[tuple[bytes, bytes]]:
        return [
            (b"content-type", f"{EVENT_STREAM}; charset=utf-8".encode()),
            (b"x-accel-buffering", b"no"),
            *build_common_headers(self.context, self.app_state.allowed_origins),
        ]
