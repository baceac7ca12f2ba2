"""Graphql-transport-ws endpoint."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from functools import partial
from typing import Any

import orjson

from onedoor.audit.record import AuditOutcome
from onedoor.errors import ErrorCode, GraphQLErrorInfo
from onedoor.http.execution import (
    AppState,
    RequestContext,
    StreamRequested,
    begin_request,
    execute_request,
    read_client_address,
    record_response,
    resolve_response,
    respond_rate_limited,
    respond_with_errors,
)
from onedoor.http.negotiation import GRAPHQL_JSON
from onedoor.http.rate_limit import LimitRejection, RateLimited, raise_if_rejected
from onedoor.http.requests import RequestHead, is_subscription, parse_graphql_request, parse_head
from onedoor.http.responses import UNAUTHENTICATED, HTTPResponse, format_error
from onedoor.http.subscription_stream import (
    KeyRevoked,
    Reauthenticate,
    SubscriptionStream,
    build_reauthenticate,
    watch_key,
)
from onedoor.storage.database import MetadataDatabaseUnavailable

SUBPROTOCOL = "graphql-transport-ws"

KEY_HEADERS = ("authorization", "x-api-key")
"""What a `connection_init` may bring, for browsers, which cannot send them in the head."""


def check_handshake(app_state: AppState, scope: Mapping[str, Any]) -> tuple[int, str] | None:
    """The status and the sentence it is turned away with; nothing is read of it yet, and no key judged."""
    if away := app_state.rate_limiter.check_capacity():
        return away.status, away.error.message
    if SUBPROTOCOL not in scope["subprotocols"]:
        return 400, f"speak the subprotocol `{SUBPROTOCOL}`; the older `graphql-ws` is not spoken here"
    if not _is_allowed_origin(app_state, scope["headers"]):
        return 403, "this web page may not call in, its origin is not among `server.origins`"
    return None


def _is_allowed_origin(app_state: AppState, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Browsers ask nobody before they open a WebSocket, so the door looks where the page came from.

    Programs send no origin; pages of the door itself, GraphiQL, come from its own host.
    """
    known = {name.lower(): value.decode("latin-1") for name, value in headers}
    origin = known.get(b"origin")
    if origin is None or origin in app_state.allowed_origins:
        return True
    return origin.partition("://")[2] == known.get(b"host")


async def reject_handshake(send: Any, status: int, message: str) -> None:
    """Before there is a WebSocket, so by HTTP."""
    body = orjson.dumps({"errors": [format_error(GraphQLErrorInfo(code=ErrorCode.BAD_REQUEST, message=message))]})
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


def parse_head_with_init(scope: Mapping[str, Any], payload: Mapping[str, Any]) -> RequestHead:
    """What the head says, and a key that came after it; different ones are none, as they are in one head."""
    brought = [(name.lower().encode(), value) for name, value in payload.items() if name.lower() in KEY_HEADERS]
    late = [(name, str(value).encode("latin-1", errors="replace")) for name, value in brought]
    kept = [(name, value) for name, value in scope["headers"] if name.lower() != b"accept"]
    return parse_head({**scope, "method": "GET", "headers": [*kept, *late, (b"accept", GRAPHQL_JSON.encode())]})


CLOSE_REASON_BYTES_MAX = 123
"""What a WebSocket lets one say as it closes."""


class MessageType(StrEnum):
    """What clients say."""

    INIT = "connection_init"
    PING = "ping"
    PONG = "pong"
    SUBSCRIBE = "subscribe"
    COMPLETE = "complete"


class CloseCode(IntEnum):
    """Why the door closes a WebSocket; docs/live.md lists them."""

    GOING_AWAY = 1001
    TRY_AGAIN_LATER = 1013
    BAD_MESSAGE = 4400
    UNAUTHENTICATED = 4401
    REVOKED = 4403
    INIT_TIMEOUT = 4408
    SUBSCRIBER_EXISTS = 4409
    TOO_MANY_REQUESTS = 4429


class WebSocketClosed(Exception):
    """The WebSocket is at its end; `close` is None where the client went away."""

    def __init__(self, code: CloseCode | None, reason: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason.encode()[:CLOSE_REASON_BYTES_MAX].decode(errors="ignore")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientMessage:
    """What a client says; `id` names a question, where one is meant."""

    type: MessageType
    id: str = ""
    payload: Mapping[str, Any]


ACK = '{"type":"connection_ack"}'

PONG = '{"type":"pong"}'

TYPES_WITH_ID = frozenset({MessageType.SUBSCRIBE, MessageType.COMPLETE})


def parse_message(event: Mapping[str, Any]) -> ClientMessage:
    """Raises Closed for what is none, and where the client went away."""
    if event["type"] == "websocket.disconnect":
        raise WebSocketClosed(None)
    said = _parse_text_frame(event.get("text"))
    if not isinstance(said, dict) or said.get("type") not in list(MessageType):
        raise build_bad_message("a message has one of the types of graphql-transport-ws")
    kind, id, payload = MessageType(said["type"]), said.get("id", ""), said.get("payload")
    if not isinstance(id, str) or (kind in TYPES_WITH_ID and not id):
        raise build_bad_message("`id` must be text")
    if not isinstance(payload, dict) and (payload is not None or kind is MessageType.SUBSCRIBE):
        raise build_bad_message("`payload` must be an object")
    return ClientMessage(type=kind, id=id, payload=payload or {})


def build_bad_message(reason: str) -> WebSocketClosed:
    return WebSocketClosed(CloseCode.BAD_MESSAGE, reason)


def _parse_text_frame(text: str | None) -> Any:
    if text is None:
        raise build_bad_message("messages are text")
    try:
        return orjson.loads(text)
    except (orjson.JSONDecodeError, RecursionError):
        raise build_bad_message("a message is JSON") from None


def encode_next(id: str, result: bytes) -> str:
    """`answer` is JSON."""
    return f'{{"id":{_quote(id)},"type":"next","payload":{result.decode()}}}'


def encode_error(id: str, errors: bytes) -> str:
    """`errors` is a list of them as JSON; with it the question is over."""
    return f'{{"id":{_quote(id)},"type":"error","payload":{errors.decode()}}}'


def encode_complete(id: str) -> str:
    return f'{{"id":{_quote(id)},"type":"complete"}}'


def _quote(id: str) -> str:
    return orjson.dumps(id).decode()


Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

SURFACE = "websocket"


async def serve_websocket(app_state: AppState, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
    """Until its end; whatever goes on over it ends with it."""
    await receive()
    if refusal := check_handshake(app_state, scope):
        await reject_handshake(send, *refusal)
        return
    await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
    made = WebSocketConnection(
        app_state=app_state, scope=scope, receive=receive, send=send, head=parse_head_with_init(scope, {})
    )
    closed = await made.run()
    if closed.code is not None:
        with suppress(OSError):
            await send({"type": "websocket.close", "code": int(closed.code), "reason": closed.reason})


def _map_to_close(error: BaseException) -> WebSocketClosed:
    match error:
        case WebSocketClosed():
            return error
        case KeyRevoked():
            return WebSocketClosed(CloseCode.REVOKED, "the key opens no more")
        case MetadataDatabaseUnavailable():
            return WebSocketClosed(CloseCode.TRY_AGAIN_LATER, "keys cannot be checked now, come again")
    return WebSocketClosed(None)


@dataclass(slots=True, kw_only=True)
class WebSocketConnection:
    """One WebSocket. `running` are its questions under way, `following` those of them that go on."""

    app_state: AppState
    scope: Mapping[str, Any]
    receive: Receive
    send: Send
    head: RequestHead
    operations: dict[str, "asyncio.Task[None]"] = field(default_factory=dict)
    subscriptions: dict[str, RequestContext] = field(default_factory=dict)

    async def run(self) -> WebSocketClosed:
        """Why it is at its end."""
        closed = WebSocketClosed(None)
        try:
            async with asyncio.TaskGroup() as group:
                who = await self._wait_for_init()
                group.create_task(watch_key(who))
                await self._send_text(ACK)
                while True:
                    await self._handle_message(await self._receive_message(), who, group)
        except* (WebSocketClosed, KeyRevoked, MetadataDatabaseUnavailable, OSError) as ended:
            closed = _map_to_close(ended.exceptions[0])
        return closed

    async def _receive_message(self) -> ClientMessage:
        return parse_message(await self.receive())

    async def _send_text(self, text: str) -> None:
        await self.send({"type": "websocket.send", "text": text})

    async def _wait_for_init(self) -> Reauthenticate:
        """Raises Closed unless a key that opens the door comes in time, in the head or in `connection_init`."""
        seconds = self.app_state.engine.catalog.limits.connection_init_timeout
        try:
            async with asyncio.timeout(seconds):
                said = await self._receive_message()
                while said.type is MessageType.PING or said.type is MessageType.PONG:
                    said = await self._receive_message()
        except TimeoutError:
            limit = f"the limit `init_seconds` of {seconds:g}"
            raise WebSocketClosed(
                CloseCode.INIT_TIMEOUT, f"`connection_init` did not come within {limit}, send it first"
            ) from None
        if said.type is not MessageType.INIT:
            raise WebSocketClosed(CloseCode.UNAUTHENTICATED, "begin with `connection_init`")
        self.head = parse_head_with_init(self.scope, said.payload)
        await self._check_key(begin_request(self.head, read_client_address(self.scope), surface=SURFACE))
        return build_reauthenticate(self.app_state, self.head.api_key, self._set_outcome_if_cancelled)

    async def _check_key(self, context: RequestContext) -> None:
        """What is turned away here is on record."""
        context.principal = await self.app_state.authenticator.authenticate(self.head.api_key)
        away = (
            self.app_state.rate_limiter.count_request(context.principal.key_id)
            if context.principal
            else self._count_failed_key(context)
        )
        if away is not None:
            respond_rate_limited(self.app_state, context, away)
            raise WebSocketClosed(CloseCode.TOO_MANY_REQUESTS, away.error.message)
        if context.principal is None:
            found = respond_with_errors(self.app_state, context, 401, (UNAUTHENTICATED,))
            await record_response(self.app_state, context, found, AuditOutcome.UNAUTHENTICATED)
            raise WebSocketClosed(CloseCode.UNAUTHENTICATED, "no valid key came, in the head or in `connection_init`")

    def _count_failed_key(self, context: RequestContext) -> LimitRejection | None:
        return self.app_state.rate_limiter.count_failed_key(context.address)

    def _set_outcome_if_cancelled(self, final_outcome: AuditOutcome) -> None:
        for each in self.subscriptions.values():
            each.outcome_if_cancelled = final_outcome

    async def _handle_message(
        self, message: ClientMessage, reauthenticate: Reauthenticate, group: asyncio.TaskGroup
    ) -> None:
        match message.type:
            case MessageType.INIT:
                raise WebSocketClosed(CloseCode.TOO_MANY_REQUESTS, "`connection_init` came before, send it once")
            case MessageType.SUBSCRIBE if message.id in self.operations:
                raise WebSocketClosed(
                    CloseCode.SUBSCRIBER_EXISTS, "a question with this `id` is under way, give each its own"
                )
            case MessageType.SUBSCRIBE:
                self.operations[message.id] = group.create_task(self._run_operation(message, reauthenticate))
            case MessageType.COMPLETE if message.id in self.operations:
                self.operations.pop(message.id).cancel()
            case MessageType.PING:
                self._count_request(await reauthenticate())
                await self._send_text(PONG)

    def _count_request(self, principal: Any) -> None:
        if away := self.app_state.rate_limiter.count_request(principal.key_id):
            raise WebSocketClosed(CloseCode.TOO_MANY_REQUESTS, away.error.message)

    async def _run_operation(self, message: ClientMessage, reauthenticate: Reauthenticate) -> None:
        """One question, whatever comes of it."""
        one = begin_request(self.head, read_client_address(self.scope), surface=SURFACE)
        try:
            found = await self._execute_recorded(one, message)
            self._forget(message.id)
            await self._send_result(message.id, found)
        except StreamRequested:
            await self._follow_subscription(one, message.id, reauthenticate)
        finally:
            self.subscriptions.pop(message.id, None)

    async def _execute_recorded(self, context: RequestContext, message: ClientMessage) -> HTTPResponse:
        """The reply to a question with one answer, on record. Raises Streams; Revoked."""
        try:
            with self.app_state.rate_limiter:
                found, outcome = await resolve_response(self.app_state, context, self._execute(context, message))
        except RateLimited as away:
            return respond_rate_limited(self.app_state, context, away.rejection)
        except asyncio.CancelledError:
            gone = respond_with_errors(self.app_state, context, 499, ())
            await asyncio.shield(record_response(self.app_state, context, gone, AuditOutcome.CANCELLED))
            raise
        final = await record_response(self.app_state, context, found, outcome)
        if context.principal is None and outcome is AuditOutcome.UNAUTHENTICATED:
            raise KeyRevoked
        return final

    async def _execute(self, context: RequestContext, message: ClientMessage) -> tuple[HTTPResponse, AuditOutcome]:
        counter, limits = self.app_state, self.app_state.engine.catalog.limits
        context.principal = await counter.authenticator.authenticate(self.head.api_key)
        if context.principal is None:
            return respond_with_errors(counter, context, 401, (UNAUTHENTICATED,)), AuditOutcome.UNAUTHENTICATED
        raise_if_rejected(counter.rate_limiter.count_request(context.principal.key_id))
        context.request = parse_graphql_request(message.payload, limits.variables_depth, counter.documents)
        if not is_subscription(context.request, limits):
            raise_if_rejected(counter.rate_limiter.check_capacity())
            return await execute_request(counter, context)
        raise_if_rejected(_check_subscription_count(len(self.subscriptions), limits.subscriptions_max))
        self.subscriptions[message.id] = context
        raise StreamRequested

    async def _follow_subscription(self, context: RequestContext, id: str, reauthenticate: Reauthenticate) -> None:
        stream = SubscriptionStream(
            app_state=self.app_state,
            context=context,
            reauthenticate=reauthenticate,
            deliver=partial(self._send_next, id),
        )
        faults = await stream.run()
        self._forget(id)
        shown_faults = [format_error(each) for each in faults[: self.app_state.engine.catalog.limits.errors_max]]
        await self._send_text(encode_error(id, orjson.dumps(shown_faults)) if faults else encode_complete(id))

    def _forget(self, id: str) -> None:
        """From now on the client may call another question so."""
        self.operations.pop(id, None)
        self.subscriptions.pop(id, None)

    async def _send_next(self, id: str, body: bytes) -> None:
        await self._send_text(encode_next(id, body))

    async def _send_result(self, id: str, response: HTTPResponse) -> None:
        if response.status != 200:
            await self._send_text(encode_error(id, orjson.dumps(orjson.loads(response.body)["errors"])))
            return
        await self._send_next(id, response.body)
        await self._send_text(encode_complete(id))


def _check_subscription_count(count: int, maximum: int) -> LimitRejection | None:
    """Why there may not be one more than now."""
    if count < maximum:
        return None
    limit = f"the limit `subscriptions_max` of {maximum}"
    message = f"there are more subscriptions over this WebSocket than {limit}, end one of them"
    return LimitRejection(GraphQLErrorInfo(code=ErrorCode.LIMIT_EXCEEDED, message=message), 429, 1)
