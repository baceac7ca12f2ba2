"""Serve /graphql over HTTP, and hand requests that ask for an event stream to `event_stream`."""

from collections.abc import Mapping
from typing import Any

from onedoor.http.cors import send_preflight_response
from onedoor.http.event_stream import serve_event_stream
from onedoor.http.lifecycle import admit, execute_request, record_response
from onedoor.http.negotiation import accepts_event_stream, choose_media_type
from onedoor.http.requests import (
    Receive,
    RequestContext,
    begin_request,
    check_get_is_query,
    is_subscription,
    parse_head,
    parse_http_request,
    read_body,
    until_disconnect,
)
from onedoor.http.responses import Send, send_response
from onedoor.http.state import AppState
from onedoor.model.catalog import Limits
from onedoor.query.audited import Conclusion
from onedoor.query.context import GraphQLRequest


async def serve_graphql(app_state: AppState, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
    """Answer one request as GraphQL over HTTP says; its record is durable before the response begins."""
    context = begin_request(parse_head(scope))
    if context.head.method == "OPTIONS":
        await send_preflight_response(context.head.origin, app_state.allowed_origins, send)
        return
    rejection = app_state.rate_limiter.check_capacity()
    if rejection is not None:
        await _respond(app_state, context, rejection, send)
        return
    with app_state.rate_limiter:
        conclusion = await app_state.executor.conclude(context, _handle_request(app_state, context, receive))
        if conclusion is not None:
            await _respond(app_state, context, conclusion, send)
            return
    await serve_event_stream(app_state, context, receive, send)


async def _respond(app_state: AppState, context: RequestContext, conclusion: Conclusion, send: Send) -> None:
    response = await record_response(app_state, context, conclusion)
    await send_response(response, send, context, app_state.allowed_origins)


async def _handle_request(app_state: AppState, context: RequestContext, receive: Receive) -> Conclusion | None:
    """Return what the request came to; None: it is admitted and parsed, and asks for an event stream."""
    refusal = await admit(app_state, context)
    if refusal is not None:
        return refusal
    limits = app_state.limits
    body = await read_body(context.head, receive, limits)
    context.request = parse_http_request(context.head, body, limits, app_state.documents)
    check_get_is_query(context.head.method, context.request, limits)
    if _wants_event_stream(context.head.accept, context.request, limits):
        return None
    return await until_disconnect(execute_request(app_state, context), receive)


def _wants_event_stream(accept: str, request: GraphQLRequest, limits: Limits) -> bool:
    """Whether to answer with an event stream: a subscription where that is accepted, anything where nothing else is."""
    return accepts_event_stream(accept) and (choose_media_type(accept) is None or is_subscription(request, limits))
