"""Parse HTTP requests into GraphQL requests, within limits of size and time, and notice clients that disconnect."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeAlias, TypeVar
from urllib.parse import parse_qsl

import orjson
from graphql import DocumentNode, GraphQLSyntaxError, OperationDefinitionNode, OperationType, parse

from onedoor.audit.record import Surface
from onedoor.errors import ClientDisconnected, ErrorCode, GraphQLErrorInfo, HTTPError, RequestRejected
from onedoor.http.key_watch import KeyRevoked
from onedoor.http.negotiation import (
    EVENT_STREAM,
    GRAPHQL_JSON,
    JSON,
    UTF_8_CHARSETS,
    accepts_event_stream,
    choose_media_type,
)
from onedoor.http.persisted_documents import PersistedDocuments, resolve_document
from onedoor.model.catalog import Limits
from onedoor.query.audited import CANCELLED, AuditedRequest, Conclusion
from onedoor.query.context import GraphQLRequest
from onedoor.runtime.concurrency import Deadline, EagerTask, ScheduledCall

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

Result = TypeVar("Result")

READ_METHODS = ("GET", "HEAD")

BYTE_ORDER_MARK = "\ufeff"
"""What some programs write before a JSON text, and RFC 8259, section 8.1, lets us ignore."""

DISCONNECT_CHECK_SECONDS = 0.02
"""How long work goes on before the connection is watched; most responses do not take so long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHead:
    """What the headers of a request say."""

    method: str
    query_string: bytes
    api_key: str | None
    media_type: str
    charset: str
    accept: str
    accept_encoding: str
    content_length: int | None
    content_encoding: str
    request_id: str | None
    origin: str | None
    address: str
    """The client's IP address; empty where the server does not say."""


@dataclass(slots=True, kw_only=True)
class RequestContext(AuditedRequest):
    """A request over HTTP or WebSocket under way, or one event of a subscription."""

    head: RequestHead
    conclusion_if_cancelled: Conclusion = CANCELLED
    """What it comes to if it is cancelled now."""


def begin_request(head: RequestHead, surface: Surface = Surface.GRAPHQL) -> RequestContext:
    return RequestContext(surface=surface, head=head, client_request_id=head.request_id)


def parse_head(scope: Mapping[str, Any]) -> RequestHead:
    """Parse the headers of an ASGI scope; two different keys count as no key."""
    headers: dict[bytes, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.lower(), []).append(value.decode("latin-1"))
    first_values = {name: values[0] for name, values in headers.items()}
    length = first_values.get(b"content-length", "")
    media_type, _, parameters = first_values.get(b"content-type", "").lower().partition(";")
    return RequestHead(
        method=scope["method"],
        query_string=scope["query_string"],
        api_key=_parse_api_key(headers),
        media_type=media_type.strip(),
        charset=_parse_charset(parameters),
        accept=", ".join(headers.get(b"accept", ())),
        accept_encoding=", ".join(headers.get(b"accept-encoding", ())),
        content_length=int(length) if length.isascii() and length.isdigit() and len(length) < 16 else None,
        content_encoding=first_values.get(b"content-encoding", "").strip().lower(),
        request_id=first_values.get(b"x-request-id"),
        origin=first_values.get(b"origin"),
        address=(scope.get("client") or ("",))[0],
    )


def _parse_charset(parameters: str) -> str:
    pairs = (parameter.partition("=") for parameter in parameters.split(";"))
    return next((value.strip(' "') for name, _, value in pairs if name.strip() == "charset"), "")


def _parse_api_key(headers: Mapping[bytes, list[str]]) -> str | None:
    keys = {value.strip() for value in headers.get(b"x-api-key", ())}
    for value in headers.get(b"authorization", ()):
        scheme, _, credentials = value.strip().partition(" ")
        keys.add(credentials.strip() if scheme.lower() == "bearer" else value)
    return keys.pop() if len(keys) == 1 else None


def parse_http_request(head: RequestHead, body: bytes, limits: Limits, documents: PersistedDocuments) -> GraphQLRequest:
    """Parse a request as GraphQL over HTTP says. Raises HTTPError, RequestRejected."""
    if head.method not in (*READ_METHODS, "POST"):
        raise HTTPError(405, "ask with GET or POST", {"allow": "GET, POST, HEAD, OPTIONS"})
    if choose_media_type(head.accept) is None and not accepts_event_stream(head.accept):
        raise HTTPError(406, f"replies come as `{GRAPHQL_JSON}`, `{JSON}` or `{EVENT_STREAM}`, accept one of them")
    if head.method in READ_METHODS:
        return parse_graphql_request(_parse_query_string(head.query_string), limits.variables_depth, documents)
    if head.media_type != JSON or head.charset not in UTF_8_CHARSETS:
        raise HTTPError(415, f"send the request as `{JSON}`, in UTF-8")
    if head.content_encoding not in ("", "identity"):
        raise HTTPError(415, "send the request uncompressed")
    return parse_graphql_request(_parse_json(body, "the body"), limits.variables_depth, documents)


def parse_parameters(query: bytes) -> dict[str, str]:
    """Parse the query string of an address. Raises HTTPError."""
    try:
        return dict(parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=20))
    except ValueError:
        raise HTTPError(400, "the address holds what is no query string") from None


def _parse_query_string(query: bytes) -> dict[str, Any]:
    parameters: dict[str, Any] = dict(parse_parameters(query))
    for name in ("variables", "extensions"):
        if name in parameters:
            text = parameters[name]
            parameters[name] = _parse_json(text.encode(errors="surrogatepass"), f"`{name}`") if text else None
    return parameters


def _parse_json(text: bytes, what: str) -> Any:
    try:
        return orjson.loads(text.removeprefix(BYTE_ORDER_MARK.encode()))
    except (orjson.JSONDecodeError, RecursionError):
        raise HTTPError(400, f"{what} is not JSON") from None


def parse_graphql_request(parameters: Any, max_depth: int, documents: PersistedDocuments) -> GraphQLRequest:
    """Parse a GraphQL request from a JSON object, whatever carried it. Raises HTTPError, RequestRejected."""
    if not isinstance(parameters, dict):
        raise HTTPError(400, "send one request, as a JSON object with `query`")
    variables, name, extensions = (
        parameters.get("variables"),
        parameters.get("operationName"),
        parameters.get("extensions"),
    )
    if variables is not None and not isinstance(variables, dict):
        raise HTTPError(400, "`variables` must be an object")
    if name is not None and not isinstance(name, str):
        raise HTTPError(400, "`operationName` must be text")
    if extensions is not None and not isinstance(extensions, dict):
        raise HTTPError(400, "`extensions` must be an object")
    options = (extensions or {}).get("onedoor") or {}
    if not isinstance(options, dict):
        raise HTTPError(400, "`extensions.onedoor` must be an object")
    if _measure_depth(variables or {}, max_depth) > max_depth:
        limit = f"the limit `variables_depth` of {max_depth}"
        raise RequestRejected(
            GraphQLErrorInfo(
                code=ErrorCode.LIMIT_EXCEEDED, message=f"`variables` nest deeper than {limit}, flatten them"
            )
        )
    text, document = resolve_document(documents, parameters)
    return GraphQLRequest(
        query=text, variables=variables or {}, operation_name=name or None, extensions=options, document_id=document
    )


def _measure_depth(value: Any, max_depth: int) -> int:
    """Return how deep a value nests; stop past `max_depth`, and recurse into nothing.

    Level by level, of which only what holds values is kept: 80,000 values cost 3 ms so, and 100 ms one by one.
    """
    depth, containers = 1, [value]
    while containers and depth <= max_depth:
        members = [list(container.values()) if isinstance(container, dict) else container for container in containers]
        depth += any(members)
        containers = [member for group in members for member in group if type(member) is dict or type(member) is list]
    return depth


async def read_body(head: RequestHead, receive: Receive, limits: Limits) -> bytes:
    """Read the whole body. Raises HTTPError where it is too large or too slow, ClientDisconnected."""
    if (head.content_length or 0) > limits.body_bytes:
        raise _build_body_too_large(limits)
    first_message = EagerTask(receive())
    body = bytearray()
    if first_message.done and _append_chunk(first_message.result, body, limits):
        return bytes(body)
    try:
        with Deadline(asyncio.get_running_loop().time() + limits.body_seconds):
            is_whole = not first_message.done and _append_chunk(await first_message.wait(), body, limits)
            while not is_whole:
                is_whole = _append_chunk(await receive(), body, limits)
            return bytes(body)
    except TimeoutError:
        limit = f"the limit `body_seconds` of {limits.body_seconds:g}"
        raise HTTPError(408, f"the body did not come within {limit}, send it faster") from None


def _append_chunk(message: MutableMapping[str, Any], body: bytearray, limits: Limits) -> bool:
    """Append the chunk of an ASGI message to the body, and return whether it was the last."""
    if message["type"] == "http.disconnect":
        raise ClientDisconnected
    body += message.get("body", b"")
    if len(body) > limits.body_bytes:
        raise _build_body_too_large(limits)
    return not message.get("more_body")


def _build_body_too_large(limits: Limits) -> HTTPError:
    return HTTPError(413, f"the body is over the limit `body_bytes` of {limits.body_bytes}, ask for less at once")


Watch: TypeAlias = Callable[[], Awaitable[object]]
"""Waits until the key of the work is ended, and raises KeyRevoked."""


async def never_stop() -> None:
    """Wait for ever."""
    await asyncio.get_running_loop().create_future()


async def until_interrupted(work: Coroutine[Any, Any, Result], receive: Receive, watch: Watch = never_stop) -> Result:
    """Run `work`, cancelling it, down to the connectors, when the client disconnects or `watch` raises KeyRevoked.

    Raises ClientDisconnected, KeyRevoked. Cancellation that arrives after `work` has finished belongs to the next
    request.
    """
    task = EagerTask(work)
    if task.done:
        return await task.wait()
    with _Interrupter(receive, watch):
        return await task.wait()


class _Interrupter:
    """Cancels the task it was entered in when there is a reason to, and raises that reason then."""

    __slots__ = (
        "_cancelling_before",
        "_delayed_start",
        "_is_over",
        "_reason",
        "_receive",
        "_task",
        "_watch",
        "_watches",
    )

    def __init__(self, receive: Receive, watch: Watch) -> None:
        self._receive, self._watch = receive, watch
        self._watches: tuple[asyncio.Future[object], ...] = ()
        self._reason: BaseException | None = None
        self._is_over = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._cancelling_before = task, task.cancelling()
        watch_at = asyncio.get_running_loop().time() + DISCONNECT_CHECK_SECONDS
        self._delayed_start = ScheduledCall(watch_at, self._start_watching)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._delayed_start.cancel()
        self._is_over = True
        for watch in self._watches:
            watch.cancel()
        if self._reason is None:
            return
        if self._task.uncancel() <= self._cancelling_before and kind is asyncio.CancelledError:
            raise self._reason from error

    def _start_watching(self) -> None:
        self._watches = tuple(map(asyncio.ensure_future, (_wait_for_disconnect(self._receive), self._watch())))
        for watch in self._watches:
            watch.add_done_callback(self._interrupt)

    def _interrupt(self, watch: "asyncio.Future[object]") -> None:
        """Cancel the work, unless it ended meanwhile: what comes after it is not ours to cancel."""
        reason = None if watch.cancelled() else watch.exception()
        if isinstance(reason, ClientDisconnected | KeyRevoked) and not self._is_over and self._reason is None:
            self._reason = reason
            self._task.cancel()


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    raise ClientDisconnected


def check_get_is_query(method: str, request: GraphQLRequest, limits: Limits) -> None:
    """Raise HTTPError for a mutation by GET or HEAD; a document that does not parse is rejected later."""
    if method in READ_METHODS and _may_be_operation(OperationType.MUTATION, request, limits):
        raise HTTPError(405, "a mutation changes something, send it with POST", {"allow": "POST"})


def is_subscription(request: GraphQLRequest, limits: Limits) -> bool:
    """Whether the request may be a subscription, which has more than one result."""
    return _may_be_operation(OperationType.SUBSCRIPTION, request, limits)


def _may_be_operation(operation_type: OperationType, request: GraphQLRequest, limits: Limits) -> bool:
    if operation_type.value not in request.query:
        return False
    try:
        document = parse(request.query, no_location=True, max_tokens=limits.document_tokens)
    except (GraphQLSyntaxError, RecursionError):
        return False
    return operation_type in _list_operation_types(document, request.operation_name)


def _list_operation_types(document: DocumentNode, name: str | None) -> list[OperationType]:
    """List the types of the operations that the name, or its absence, may mean."""
    return [
        definition.operation
        for definition in document.definitions
        if isinstance(definition, OperationDefinitionNode)
        and (name is None or (definition.name is not None and definition.name.value == name))
    ]
