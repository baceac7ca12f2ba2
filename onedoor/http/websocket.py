"""Serve /graphql over WebSocket, by the protocol graphql-transport-ws."""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from functools import partial
from typing import Any

import orjson
from graphql import OperationType

from auth.authentication import Principal
from onedoor.audit.record import AuditOutcome, Surface
from onedoor.errors import HTTPError, RequestRejected
from onedoor.http.cors import DEFAULT_PORTS, normalize_origin
from onedoor.http.key_watch import KeyRevoked
from onedoor.http.lifecycle import admit, execute_request, record_response
from onedoor.http.negotiation import GRAPHQL_JSON
from onedoor.http.persisted_documents import resolve_document
from onedoor.http.rate_limit import ByteReservation, build_limit_conclusion
from onedoor.http.requests import (
    BYTE_ORDER_MARK,
    Receive,
    RequestContext,
    RequestHead,
    begin_request,
    is_subscription,
    parse_graphql_request,
    parse_head,
)
from onedoor.http.responses import HTTPResponse, Send, build_headers, encode_refusal, format_error
from onedoor.http.state import AppState
from onedoor.http.subscription_stream import ConnectionKey, Reauthenticate, SubscriptionStream
from onedoor.query.audited import Conclusion
from onedoor.storage.database import MetadataDatabaseUnavailable

SUBPROTOCOL = "graphql-transport-ws"

KEY_HEADERS = ("authorization", "x-api-key")
"""Headers that `connection_init` may carry, for browsers, which cannot send them with the handshake."""

CLOSE_REASON_BYTES_MAX = 123
"""The longest reason that a close frame can hold (RFC 6455, section 5.5)."""

ACK = '{"type":"connection_ack"}'

PONG = '{"type":"pong"}'


class MessageType(StrEnum):
    """The types of the messages that clients send."""

    INIT = "connection_init"
    PING = "ping"
    PONG = "pong"
    SUBSCRIBE = "subscribe"
    COMPLETE = "complete"


TYPES_WITH_ID = frozenset({MessageType.SUBSCRIBE, MessageType.COMPLETE})


class CloseCode(IntEnum):
    """Why the server closes a WebSocket; docs/live.md lists the codes.

    What passes by itself has a code below 2000 that graphql-ws reconnects after; it takes 44xx, but for 4403 and 4408,
    and 1011 for final.
    """

    GOING_AWAY = 1001
    TRY_AGAIN_LATER = 1013
    BAD_MESSAGE = 4400
    UNAUTHENTICATED = 4401
    REVOKED = 4403
    INIT_TIMEOUT = 4408
    SUBSCRIBER_EXISTS = 4409
    INIT_AGAIN = 4429


class WebSocketClosed(Exception):
    """The connection ends; `code` is None where the client went away."""

    def __init__(self, code: CloseCode | None, reason: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason.encode()[:CLOSE_REASON_BYTES_MAX].decode(errors="ignore")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientMessage:
    """A message of a client; `id` names the operation it belongs to, empty where it belongs to none."""

    type: MessageType
    id: str = ""
    payload: Mapping[str, Any]
    characters: int = 0
    """Its size."""


async def serve_websocket(app_state: AppState, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
    """Serve one connection until it ends; the operations that go on over it end with it."""
    await receive()
    try:
        check_subscriber(app_state, scope)
    except HTTPError as refusal:
        await reject_handshake(refusal, scope, send, app_state.allowed_origins)
        return
    await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
    connection = WebSocketConnection(
        app_state=app_state, scope=scope, receive=receive, send=send, head=parse_head_with_init(scope, {})
    )
    closed = await connection.run()
    if closed.code is not None:
        with suppress(OSError):
            await send({"type": "websocket.close", "code": int(closed.code), "reason": closed.reason})


def check_subscriber(app_state: AppState, scope: Mapping[str, Any]) -> None:
    """Raise HTTPError for a handshake that is rejected; its key is not looked at yet."""
    if rejection := app_state.rate_limiter.check_capacity():
        error = rejection.errors[0]
        raise HTTPError(rejection.status, error.message, rejection.headers, code=error.code)
    if SUBPROTOCOL not in scope["subprotocols"]:
        raise HTTPError(400, f"speak the subprotocol `{SUBPROTOCOL}`; the older `graphql-ws` is not spoken here")
    if not _is_allowed_origin(app_state, scope["headers"]):
        raise HTTPError(403, "this web page may not call in, its origin is not among `server.origins`")


def _is_allowed_origin(app_state: AppState, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether the page that opens a WebSocket may: browsers send no preflight request for one.

    Programs send no origin; our own pages, such as GraphiQL, come from the host they call.
    """
    header_values = {name.lower(): value.decode("latin-1") for name, value in headers}
    origin = header_values.get(b"origin")
    if origin is None or origin in app_state.allowed_origins:
        return True
    host = header_values.get(b"host", "").lower()
    scheme = origin.partition("://")[0]
    return scheme in DEFAULT_PORTS and origin == normalize_origin(f"{scheme}://{host}")


async def reject_handshake(
    refusal: HTTPError, scope: Mapping[str, Any], send: Send, allowed_origins: frozenset[str]
) -> None:
    """Reject a handshake with an HTTP response, as there is no WebSocket yet."""
    context = begin_request(parse_head({**scope, "method": "GET"}), Surface.WEBSOCKET)
    response = encode_refusal(refusal, context)
    headers = [*build_headers(response, context, allowed_origins), (b"connection", b"close")]
    await send({"type": "websocket.http.response.start", "status": response.status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": response.body})


def parse_head_with_init(scope: Mapping[str, Any], payload: Mapping[str, Any]) -> RequestHead:
    """Parse the head of the handshake together with a key in `connection_init`; two different keys are no key."""
    init_headers = [
        (name.lower().encode(), str(value).encode("latin-1", errors="replace"))
        for name, value in payload.items()
        if name.lower() in KEY_HEADERS
    ]
    headers = [(name, value) for name, value in scope["headers"] if name.lower() != b"accept"]
    accept = (b"accept", GRAPHQL_JSON.encode())
    return parse_head({**scope, "method": "GET", "headers": [*headers, *init_headers, accept]})


@dataclass(slots=True, kw_only=True)
class WebSocketConnection:
    """One connection: the operations under way by their ids, and the contexts of those that are subscriptions."""

    app_state: AppState
    scope: Mapping[str, Any]
    receive: Receive
    send: Send
    head: RequestHead
    operations: dict[str, "asyncio.Task[None]"] = field(default_factory=dict)
    subscriptions: dict[str, RequestContext] = field(default_factory=dict)

    async def run(self) -> WebSocketClosed:
        """Run to the end and return why it came."""
        closed = WebSocketClosed(None)
        try:
            async with asyncio.TaskGroup() as group:
                key = await self._wait_for_init()
                group.create_task(key.watch())
                await self._send_text(ACK)
                while True:
                    await self._handle_message(await self._receive_message(), key.reauthenticate, group)
        except* (WebSocketClosed, KeyRevoked, MetadataDatabaseUnavailable, OSError) as ended:
            closed = _map_to_close(ended.exceptions[0])
        return closed

    async def _receive_message(self) -> ClientMessage:
        return parse_message(await self.receive())

    async def _send_text(self, text: str) -> None:
        await self.send({"type": "websocket.send", "text": text})

    async def _wait_for_init(self) -> ConnectionKey:
        """Wait for `connection_init`, and for a valid key in the head or in it. Raises WebSocketClosed."""
        seconds = self.app_state.limits.connection_init_timeout
        try:
            async with asyncio.timeout(seconds):
                message = await self._receive_message()
                while message.type in (MessageType.PING, MessageType.PONG):
                    if message.type is MessageType.PING:
                        await self._send_text(PONG)
                    message = await self._receive_message()
        except TimeoutError:
            limit = f"the limit `connection_init_timeout` of {seconds:g}"
            reason = f"`connection_init` did not come within {limit}, send it first"
            raise WebSocketClosed(CloseCode.INIT_TIMEOUT, reason) from None
        if message.type is not MessageType.INIT:
            raise WebSocketClosed(CloseCode.UNAUTHENTICATED, "begin with `connection_init`")
        self.head = parse_head_with_init(self.scope, message.payload)
        await self._check_key(begin_request(self.head, Surface.WEBSOCKET))
        return ConnectionKey(
            app_state=self.app_state, api_key=self.head.api_key, on_failure=self._set_conclusion_if_cancelled
        )

    async def _check_key(self, context: RequestContext) -> None:
        """Record a connection that is turned away. Raises WebSocketClosed, MetadataDatabaseUnavailable."""
        refusal = await admit(self.app_state, context)
        if refusal is None:
            return
        await record_response(self.app_state, context, refusal)
        if refusal.outcome is AuditOutcome.LIMITED:
            raise WebSocketClosed(CloseCode.TRY_AGAIN_LATER, refusal.errors[0].message)
        raise WebSocketClosed(CloseCode.UNAUTHENTICATED, "no valid key came, in the head or in `connection_init`")

    def _set_conclusion_if_cancelled(self, conclusion: Conclusion) -> None:
        for context in self.subscriptions.values():
            context.conclusion_if_cancelled = conclusion

    async def _handle_message(
        self, message: ClientMessage, reauthenticate: Reauthenticate, group: asyncio.TaskGroup
    ) -> None:
        match message.type:
            case MessageType.INIT:
                raise WebSocketClosed(CloseCode.INIT_AGAIN, "`connection_init` came before, send it once")
            case MessageType.SUBSCRIBE if message.id in self.operations:
                reason = "a request with this `id` is under way, give each its own"
                raise WebSocketClosed(CloseCode.SUBSCRIBER_EXISTS, reason)
            case MessageType.SUBSCRIBE:
                self.operations[message.id] = group.create_task(
                    self.app_state.rate_limiter.meter(self._run_operation(message, reauthenticate))
                )
            case MessageType.COMPLETE if message.id in self.operations:
                self.operations[message.id].cancel()
                self._forget(message.id)
            case MessageType.PING:
                self._count_request(await reauthenticate())
                await self._send_text(PONG)

    def _count_request(self, principal: Principal) -> None:
        if rejection := self.app_state.rate_limiter.count_request(principal.key_id):
            raise WebSocketClosed(CloseCode.TRY_AGAIN_LATER, rejection.errors[0].message)

    async def _run_operation(self, message: ClientMessage, reauthenticate: Reauthenticate) -> None:
        """Run one operation to its end. Raises KeyRevoked, which ends the connection."""
        context = begin_request(self.head, Surface.WEBSOCKET)
        try:
            with self.app_state.rate_limiter.reserve_bytes() as reservation:
                handled = self._handle_operation(context, message, reservation)
                conclusion = await self.app_state.executor.conclude(context, handled)
                if conclusion is None:
                    await self._follow_subscription(context, message.id, reauthenticate)
                    return
            response = await record_response(self.app_state, context, conclusion)
            if conclusion.outcome is AuditOutcome.UNAUTHENTICATED:
                raise KeyRevoked
            is_too_frequent = conclusion.outcome is AuditOutcome.LIMITED and context.request is None
            if is_too_frequent and self._may_be_subscription(message):
                raise WebSocketClosed(CloseCode.TRY_AGAIN_LATER, conclusion.errors[0].message)
            self._forget(message.id)
            await self._send_result(message.id, response)
        finally:
            if self.subscriptions.get(message.id) is context:
                del self.subscriptions[message.id]

    async def _handle_operation(
        self, context: RequestContext, message: ClientMessage, reservation: ByteReservation
    ) -> Conclusion | None:
        """Return what the operation came to; None: it is a subscription, admitted and parsed."""
        app_state, limits = self.app_state, self.app_state.limits
        refusal = await admit(app_state, context, reservation, message.characters)
        if refusal is not None:
            return refusal
        context.request = parse_graphql_request(message.payload, limits.variables_depth, app_state.documents)
        if not is_subscription(context.request, limits):
            return await self._execute_query(context)
        if len(self.subscriptions) >= limits.subscriptions_max:
            what, limit = "subscriptions over this WebSocket", limits.subscriptions_max
            return build_limit_conclusion(what, "subscriptions_max", limit, "end one of them")
        self.subscriptions[message.id] = context
        return None

    def _may_be_subscription(self, message: ClientMessage) -> bool:
        """Whether to ask the client to come again, as it would take an error for the end of a subscription."""
        try:
            text, _ = resolve_document(self.app_state.documents, message.payload)
        except (HTTPError, RequestRejected):
            return False
        return OperationType.SUBSCRIPTION.value in text

    async def _execute_query(self, context: RequestContext) -> Conclusion:
        assert context.principal is not None
        rejection = self.app_state.rate_limiter.check_place(context.principal.key_id)
        if rejection is not None:
            return rejection
        with self.app_state.rate_limiter.hold_place(context.principal.key_id):
            return await execute_request(self.app_state, context)

    async def _follow_subscription(self, context: RequestContext, id: str, reauthenticate: Reauthenticate) -> None:
        stream = SubscriptionStream(
            app_state=self.app_state,
            context=context,
            reauthenticate=reauthenticate,
            deliver=partial(self._send_next, id),
        )
        errors = await stream.run()
        self._forget(id)
        if not errors:
            await self._send_text(encode_complete(id))
            return
        shown_errors = [format_error(error) for error in errors[: self.app_state.limits.errors_max]]
        await self._send_text(encode_error(id, orjson.dumps(shown_errors)))

    def _forget(self, id: str) -> None:
        """Free the id and the place of an operation: the client may use both again from now on."""
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


def _map_to_close(error: BaseException) -> WebSocketClosed:
    match error:
        case WebSocketClosed():
            return error
        case KeyRevoked():
            return WebSocketClosed(CloseCode.REVOKED, "the key opens no more")
        case MetadataDatabaseUnavailable():
            return WebSocketClosed(CloseCode.TRY_AGAIN_LATER, "keys cannot be checked now, come again")
    return WebSocketClosed(None)


def parse_message(event: Mapping[str, Any]) -> ClientMessage:
    """Parse a message of the protocol. Raises WebSocketClosed, also where the client went away."""
    if event["type"] == "websocket.disconnect":
        raise WebSocketClosed(None)
    message = _parse_text_frame(event.get("text"))
    if not isinstance(message, dict) or message.get("type") not in list(MessageType):
        raise build_bad_message("a message has one of the types of graphql-transport-ws")
    message_type, id, payload = MessageType(message["type"]), message.get("id", ""), message.get("payload")
    if not isinstance(id, str) or (message_type in TYPES_WITH_ID and not id):
        raise build_bad_message("`id` must be text")
    if not isinstance(payload, dict) and (payload is not None or message_type is MessageType.SUBSCRIBE):
        raise build_bad_message("`payload` must be an object")
    return ClientMessage(type=message_type, id=id, payload=payload or {}, characters=len(event["text"]))


def _parse_text_frame(text: str | None) -> Any:
    if text is None:
        raise build_bad_message("messages are text")
    try:
        return orjson.loads(text.removeprefix(BYTE_ORDER_MARK))
    except (orjson.JSONDecodeError, RecursionError):
        raise build_bad_message("a message is JSON") from None


def build_bad_message(reason: str) -> WebSocketClosed:
    return WebSocketClosed(CloseCode.BAD_MESSAGE, reason)


def encode_next(id: str, result: bytes) -> str:
    """Encode a `next` message; `result` is JSON."""
    return f'{{"id":{_quote(id)},"type":"next","payload":{result.decode()}}}'


def encode_error(id: str, errors: bytes) -> str:
    """Encode an `error` message, which ends the operation; `errors` is a JSON list."""
    return f'{{"id":{_quote(id)},"type":"error","payload":{errors.decode()}}}'


def encode_complete(id: str) -> str:
    return f'{{"id":{_quote(id)},"type":"complete"}}'


def _quote(id: str) -> str:
    return orjson.dumps(id).decode()
