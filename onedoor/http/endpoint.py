"""/graphql over HTTP: JSON replies and event streams (graphql-sse)."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping, Sequence
from contextlib import suppress
from typing import Any

import orjson

from onedoor.audit.record import AuditOutcome, check_client_request_id
from onedoor.errors import ErrorCode, GraphQLErrorInfo
from onedoor.http.cors import build_cors_headers, send_preflight_response
from onedoor.http.execution import (
    KEYS_UNAVAILABLE,
    AppState,
    RequestContext,
    StreamRequested,
    begin_http_request,
    execute_request,
    record_response,
    resolve_response,
    respond_rate_limited,
    respond_with_errors,
)
from onedoor.http.negotiation import EVENT_STREAM, accepts_event_stream, choose_media_type
from onedoor.http.rate_limit import LimitRejection, RateLimited, raise_if_rejected
from onedoor.http.requests import check_get_is_query, is_subscription, parse_http_request, read_body, until_disconnect
from onedoor.http.responses import COMMON_HEADERS, UNAUTHENTICATED, HTTPResponse, format_error, send_response
from onedoor.http.subscription_stream import KeyRevoked, SubscriptionStream, build_reauthenticate, watch_key
from onedoor.model.catalog import Limits
from onedoor.query.context import GraphQLRequest
from onedoor.storage.database import MetadataDatabaseUnavailable

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

COMPLETE_EVENT = b"event: complete\ndata: \n\n"

HEARTBEAT_COMMENT = b":\n\n"
"""A comment, which clients pass over."""


def wants_event_stream(accept: str, request: GraphQLRequest, limits: Limits) -> bool:
    """Whether the answer comes as a stream: that of a subscription where it is taken, any where nothing else is."""
    return accepts_event_stream(accept) and (choose_media_type(accept) is None or is_subscription(request, limits))


class SubscriberLeft(Exception):
    """The client went away, or the door is closing."""


async def serve_event_stream(app_state: AppState, context: RequestContext, receive: Receive, send: Send) -> None:
    """The caller is known and the question read; nothing is on record yet."""
    assert context.request is not None
    assert context.principal is not None
    events = EventStream(app_state, context, send)
    if not is_subscription(context.request, app_state.engine.catalog.limits):
        await _send_single_result(app_state, context, events)
        return
    key, streams = context.principal.key_id, app_state.active_streams.count_by_key
    most = app_state.engine.catalog.limits.subscriptions_max
    if streams[key] >= most:
        found = respond_rate_limited(app_state, context, _build_stream_limit_rejection(most))
        await send_response(found, send, id=context.id, head=context.head, allowed_origins=app_state.allowed_origins)
        return
    streams[key] += 1
    try:
        await _follow_subscription(app_state, context, events, receive)
    finally:
        streams[key] -= 1
        if not streams[key]:
            del streams[key]


def _build_stream_limit_rejection(limit: int) -> LimitRejection:
    message = f"there are more event streams of this key than the limit `subscriptions_max` of {limit}, end one of them"
    return LimitRejection(GraphQLErrorInfo(code=ErrorCode.LIMIT_EXCEEDED, message=message), 429, 1)


async def _send_single_result(app_state: AppState, context: RequestContext, events: "EventStream") -> None:
    """A question with one answer."""
    with app_state.rate_limiter:
        found, outcome = await resolve_response(app_state, context, execute_request(app_state, context))
        final = await record_response(app_state, context, found, outcome)
    await events.send_next(final.body)
    await events.send_end(())


async def _follow_subscription(
    app_state: AppState, context: RequestContext, events: "EventStream", receive: Receive
) -> None:
    """Until its end, whoever makes it."""
    who = build_reauthenticate(
        app_state, context.head.api_key, lambda came: setattr(context, "outcome_if_cancelled", came)
    )
    stream = SubscriptionStream(
        app_state=app_state, context=context, reauthenticate=who, deliver=events.send_next, on_start=events.start
    )
    heartbeat = app_state.engine.catalog.limits.heartbeat_seconds
    beside = (
        watch_key(who),
        events.send_heartbeats(heartbeat),
        _wait_for_disconnect(receive),
        _wait_for_shutdown(app_state.active_streams.shutting_down),
    )
    with suppress(SubscriberLeft):
        await events.send_end(await _run_until_end(stream, *beside))


async def _run_until_end(
    stream: SubscriptionStream, *watchers: Coroutine[Any, Any, None]
) -> Sequence[GraphQLErrorInfo]:
    """What there is to say of the end; what runs beside the stream ends with it, or ends it. Raises Left."""
    faults: Sequence[GraphQLErrorInfo] = ()
    left = False
    try:
        async with asyncio.TaskGroup() as group:
            watches = [group.create_task(each) for each in watchers]
            faults = await stream.run()
            for each in watches:
                each.cancel()
    except* KeyRevoked:
        faults = (UNAUTHENTICATED,)
    except* MetadataDatabaseUnavailable:
        faults = (KEYS_UNAVAILABLE,)
    except* ServerStopping:
        faults = ()
    except* (SubscriberLeft, OSError):
        left = True
    if left:
        raise SubscriberLeft
    return faults


class ServerStopping(Exception):
    """The door is closing."""


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    raise SubscriberLeft


async def _wait_for_shutdown(shutting_down: asyncio.Event) -> None:
    await shutting_down.wait()
    raise ServerStopping


class EventStream:
    """The stream as it is sent; its head with the first of it."""

    def __init__(self, app_state: AppState, context: RequestContext, send: Send) -> None:
        self.app_state, self.context, self.send = app_state, context, send
        self.started = False

    async def start(self) -> None:
        if not self.started:
            self.started = True
            await self.send({"type": "http.response.start", "status": 200, "headers": self._build_headers()})
            await self._send_chunk(HEARTBEAT_COMMENT)

    async def send_next(self, body: bytes) -> None:
        """`body` is JSON, so all on one line."""
        await self.start()
        await self._send_chunk(b"event: next\ndata: " + body + b"\n\n")

    async def send_end(self, errors: Sequence[GraphQLErrorInfo]) -> None:
        if errors:
            most = self.app_state.engine.catalog.limits.errors_max
            await self.send_next(orjson.dumps({"errors": [format_error(each) for each in errors[:most]]}))
        await self.start()
        await self.send({"type": "http.response.body", "body": COMPLETE_EVENT})

    async def send_heartbeats(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            if self.started:
                await self._send_chunk(HEARTBEAT_COMMENT)

    async def _send_chunk(self, body: bytes) -> None:
        await self.send({"type": "http.response.body", "body": body, "more_body": True})

    def _build_headers(self) -> list[tuple[bytes, bytes]]:
        headers = [
            (b"content-type", f"{EVENT_STREAM}; charset=utf-8".encode()),
            (b"x-accel-buffering", b"no"),
            (b"x-request-id", self.context.id.encode()),
            *COMMON_HEADERS,
            *build_cors_headers(self.context.head.origin, self.app_state.allowed_origins),
        ]
        if (theirs := check_client_request_id(self.context.head.request_id)) is not None:
            headers.append((b"x-client-request-id", theirs.encode()))
        return headers


ASGIMessage = MutableMapping[str, Any]

ASGIReceive = Callable[[], Awaitable[ASGIMessage]]

ASGISend = Callable[[ASGIMessage], Awaitable[None]]


async def serve_graphql(app_state: AppState, scope: Any, receive: ASGIReceive, send: ASGISend) -> None:
    coming = begin_http_request(scope)
    if coming.head.method == "OPTIONS":
        await send_preflight_response(coming.head.origin, app_state.allowed_origins, send)
        return
    if away := app_state.rate_limiter.check_capacity():
        found = respond_rate_limited(app_state, coming, away)
        await send_response(found, send, id=coming.id, head=coming.head, allowed_origins=app_state.allowed_origins)
        return
    with app_state.rate_limiter:
        final = await _respond_recorded(app_state, coming, receive)
        if final is not None:
            await send_response(final, send, id=coming.id, head=coming.head, allowed_origins=app_state.allowed_origins)
            return
    await serve_event_stream(app_state, coming, receive, send)


async def _respond_recorded(app_state: AppState, context: RequestContext, receive: ASGIReceive) -> HTTPResponse | None:
    """The reply, its record durable; None: it comes as a stream."""
    try:
        found, outcome = await resolve_response(app_state, context, _handle_request(app_state, context, receive))
    except StreamRequested:
        return None
    except RateLimited as away:
        return respond_rate_limited(app_state, context, away.rejection)
    except asyncio.CancelledError:
        await asyncio.shield(
            record_response(
                app_state, context, respond_with_errors(app_state, context, 499, ()), AuditOutcome.CANCELLED
            )
        )
        raise
    return await record_response(app_state, context, found, outcome)


async def _handle_request(
    app_state: AppState, context: RequestContext, receive: ASGIReceive
) -> tuple[HTTPResponse, AuditOutcome]:
    context.principal = await app_state.authenticator.authenticate(context.head.api_key)
    if context.principal is None:
        raise_if_rejected(app_state.rate_limiter.count_failed_key(context.address))
        found = respond_with_errors(app_state, context, 401, (UNAUTHENTICATED,), {"www-authenticate": "Bearer"})
        return found, AuditOutcome.UNAUTHENTICATED
    raise_if_rejected(app_state.rate_limiter.count_request(context.principal.key_id))
    limits = app_state.engine.catalog.limits
    context.request = parse_http_request(
        context.head, await read_body(context.head, receive, limits), limits, app_state.documents
    )
    check_get_is_query(context.head.method, context.request, limits)
    if wants_event_stream(context.head.accept, context.request, limits):
        raise StreamRequested
    return await until_disconnect(execute_request(app_state, context), receive)
