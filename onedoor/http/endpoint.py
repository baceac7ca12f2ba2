"""Serve /graphql over HTTP, and hand requests that ask for an event stream to `event_stream`."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from onedoor.http.cors import build_preflight_headers
from onedoor.http.event_stream import serve_event_stream
from onedoor.http.key_watch import KeyRevoked
from onedoor.http.lifecycle import REVOKED, admit, execute_request, record_response
from onedoor.http.negotiation import accepts_event_stream, choose_media_type
from onedoor.http.rate_limit import ByteReservation
from onedoor.http.requests import (
    Receive,
    RequestContext,
    begin_request,
    check_get_is_query,
    is_subscription,
    parse_head,
    parse_http_request,
    read_body,
    until_interrupted,
)
from onedoor.http.responses import HTTPResponse, Send, send_response
from onedoor.http.state import AppState
from onedoor.model.catalog import Limits
from onedoor.query.audited import Conclusion


async def serve_graphql(app_state: AppState, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
    """Answer one request as GraphQL over HTTP says; its record is durable before the response begins."""
    await app_state.rate_limiter.meter(_serve(app_state, scope, receive, send))


async def _serve(app_state: AppState, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
    context = begin_request(parse_head(scope))
    if context.head.method == "OPTIONS":
        headers = build_preflight_headers(scope["headers"], app_state.allowed_origins)
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return
    rejection = app_state.rate_limiter.check_capacity()
    if rejection is not None:
        await _respond(app_state, context, rejection, send)
        return
    with app_state.rate_limiter.reserve_bytes() as reservation:
        received = _receive_request(app_state, context, receive, reservation)
        conclusion = await app_state.executor.conclude(context, received)
        if conclusion is not None:
            await _respond(app_state, context, conclusion, send)
        elif _wants_event_stream(context, app_state.limits):
            await serve_event_stream(app_state, context, receive, send)
        else:
            response = await _execute_in_place(app_state, context, receive)
            await send_response(response, send, context, app_state.allowed_origins)


async def _respond(app_state: AppState, context: RequestContext, conclusion: Conclusion, send: Send) -> None:
    response = await record_response(app_state, context, conclusion)
    await send_response(response, send, context, app_state.allowed_origins)


async def _receive_request(
    app_state: AppState, context: RequestContext, receive: Receive, reservation: ByteReservation
) -> Conclusion | None:
    """Admit a request, then read and parse it; it holds no place meanwhile, as it waits for its client.

    Returns a conclusion where it goes no further.
    """
    expected_bytes = context.head.content_length or 0
    refusal = await admit(app_state, context, reservation, expected_bytes)
    if refusal is not None:
        return refusal
    assert context.principal is not None
    limits = app_state.limits
    refusal = app_state.rate_limiter.check_bodies(context.principal.key_id)
    if refusal is not None:
        return refusal
    with app_state.rate_limiter.receive_body(context.principal.key_id):
        body = await read_body(context.head, receive, limits)
    refusal = reservation.take(context.principal.key_id, max(0, len(body) - expected_bytes))
    if refusal is not None:
        return refusal
    context.request = parse_http_request(context.head, body, limits, app_state.documents)
    check_get_is_query(context.head.method, context.request, limits)
    return None


async def _execute_in_place(app_state: AppState, context: RequestContext, receive: Receive) -> HTTPResponse:
    """Execute and record a request that was received; its place is free again before its client is sent anything."""
    assert context.principal is not None
    key_id = context.principal.key_id
    rejection = app_state.rate_limiter.check_place(key_id)
    if rejection is not None:
        return await record_response(app_state, context, rejection)
    with app_state.rate_limiter.hold_place(key_id):
        work = _execute_until_interrupted(app_state, context, receive)
        return await record_response(app_state, context, await app_state.executor.conclude(context, work))


async def _execute_until_interrupted(app_state: AppState, context: RequestContext, receive: Receive) -> Conclusion:
    """Execute a request unless its client leaves or its key is ended. Raises ClientDisconnected."""
    assert context.principal is not None
    watch = partial(app_state.key_watch.wait_until_revoked, context.principal)
    try:
        return await until_interrupted(execute_request(app_state, context), receive, watch)
    except KeyRevoked:
        return REVOKED


def _wants_event_stream(context: RequestContext, limits: Limits) -> bool:
    """Whether to answer with an event stream: a subscription where that is accepted, anything where nothing else is."""
    assert context.request is not None
    accept = context.head.accept
    if context.head.method == "HEAD":
        return False
    return accepts_event_stream(accept) and (
        choose_media_type(accept) is None or is_subscription(context.request, limits)
    )
