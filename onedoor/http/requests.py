"""HTTP -> GraphQLRequest; body limits, GET safety, disconnects."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import orjson
from graphql import DocumentNode, GraphQLSyntaxError, OperationDefinitionNode, OperationType, parse

from onedoor.audit.record import Surface
from onedoor.errors import ClientDisconnected, ErrorCode, GraphQLErrorInfo, HTTPError, RequestRejected
from onedoor.http.negotiation import (
    EVENT_STREAM,
    GRAPHQL_JSON,
    JSON,
    accepts_event_stream,
    choose_media_type,
)
from onedoor.http.persisted_documents import PersistedDocuments, resolve_document
from onedoor.model.catalog import Limits
from onedoor.query.audited import CANCELLED, AuditedRequest, Conclusion
from onedoor.query.context import GraphQLRequest
from onedoor.runtime.concurrency import Deadline, EagerTask, ScheduledCall

UTF_8_CHARSETS = ("", "utf-8", "utf8")


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHead:
    """What the headers say."""

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
    """Two different keys are no key: the request is then judged as one without."""
    headers: dict[bytes, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.lower(), []).append(value.decode("latin-1"))
    one = {name: values[0] for name, values in headers.items()}
    length = one.get(b"content-length", "")
    media, _, parameters = one.get(b"content-type", "").lower().partition(";")
    return RequestHead(
        method=scope["method"],
        query_string=scope["query_string"],
        api_key=_parse_api_key(headers),
        media_type=media.strip(),
        charset=_parse_charset(parameters),
        accept=", ".join(headers.get(b"accept", ())),
        accept_encoding=", ".join(headers.get(b"accept-encoding", ())),
        content_length=int(length) if length.isascii() and length.isdigit() and len(length) < 16 else None,
        content_encoding=one.get(b"content-encoding", "").strip().lower(),
        request_id=one.get(b"x-request-id"),
        origin=one.get(b"origin"),
        address=(scope.get("client") or ("",))[0],
    )


def _parse_charset(parameters: str) -> str:
    each = (part.partition("=") for part in parameters.split(";"))
    return next((value.strip(' "') for name, _, value in each if name.strip() == "charset"), "")


def _parse_api_key(headers: Mapping[bytes, list[str]]) -> str | None:
    given = {value.strip() for value in headers.get(b"x-api-key", ())}
    for value in headers.get(b"authorization", ()):
        scheme, _, rest = value.strip().partition(" ")
        given.add(rest.strip() if scheme.lower() == "bearer" else value)
    return given.pop() if len(given) == 1 else None


def parse_http_request(head: RequestHead, body: bytes, limits: Limits, documents: PersistedDocuments) -> GraphQLRequest:
    """Raises Shut for what is no GraphQL request over HTTP, Refused for what is one, but not a whole one."""
    if head.method not in ("GET", "POST"):
        raise HTTPError(405, "ask with GET or POST", {"allow": "GET, POST, OPTIONS"})
    if choose_media_type(head.accept) is None and not accepts_event_stream(head.accept):
        raise HTTPError(406, f"replies come as `{GRAPHQL_JSON}`, `{JSON}` or `{EVENT_STREAM}`, accept one of them")
    if head.method == "GET":
        return parse_graphql_request(_parse_query_string(head.query_string), limits.variables_depth, documents)
    if head.media_type != JSON or head.charset not in UTF_8_CHARSETS:
        raise HTTPError(415, f"send the question as `{JSON}`, in UTF-8")
    if head.content_encoding not in ("", "identity"):
        raise HTTPError(415, "send the question uncompressed")
    return parse_graphql_request(_parse_json(body, "the body"), limits.variables_depth, documents)


def _parse_query_string(query: bytes) -> dict[str, Any]:
    try:
        given: dict[str, Any] = dict(parse_qsl(query.decode("ascii"), keep_blank_values=True, max_num_fields=20))
    except ValueError:
        raise HTTPError(400, "the address holds what is no query string") from None
    for name in ("variables", "extensions"):
        if name in given:
            given[name] = _parse_json(given[name].encode(errors="surrogatepass"), f"`{name}`") if given[name] else None
    return given


def _parse_json(text: bytes, what: str) -> Any:
    try:
        return orjson.loads(text)
    except (orjson.JSONDecodeError, RecursionError):
        raise HTTPError(400, f"{what} is not JSON") from None


def parse_graphql_request(parameters: Any, max_depth: int, documents: PersistedDocuments) -> GraphQLRequest:
    """The question that a JSON object asks, wherever it came."""
    if not isinstance(parameters, dict):
        raise HTTPError(400, "send one question, as a JSON object with `query`")
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
    """How deep the value nests; stops counting past enough, and needs no stack of calls."""
    deepest = 0
    waiting = [(value, 1)]
    while waiting and deepest <= max_depth:
        here, level = waiting.pop()
        deepest = max(deepest, level)
        inner = here.values() if isinstance(here, dict) else here if isinstance(here, list) else ()
        waiting.extend((each, level + 1) for each in inner)
    return deepest


Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

Result = TypeVar("Result")

DISCONNECT_CHECK_SECONDS = 0.02
"""From then on somebody looks whether the client is still there; most answers do not take so long."""


async def read_body(head: RequestHead, receive: Receive, limits: Limits) -> bytes:
    """The whole body. Raises Shut where it is too large or too slow, Gone where it stops coming."""
    if (head.content_length or 0) > limits.body_bytes:
        raise _build_body_too_large(limits)
    begun = EagerTask(receive())
    come = bytearray()
    if begun.done and _append_chunk(begun.result, come, limits):
        return bytes(come)
    try:
        with Deadline(asyncio.get_running_loop().time() + limits.body_seconds):
            last = not begun.done and _append_chunk(await begun.wait(), come, limits)
            while not last:
                last = _append_chunk(await receive(), come, limits)
            return bytes(come)
    except TimeoutError:
        limit = f"the limit `body_seconds` of {limits.body_seconds:g}"
        raise HTTPError(408, f"the body did not come within {limit}, send it faster") from None


def _append_chunk(message: MutableMapping[str, Any], received: bytearray, limits: Limits) -> bool:
    """Whether this part of the body, now behind the others, is its last."""
    if message["type"] == "http.disconnect":
        raise ClientDisconnected
    received += message.get("body", b"")
    if len(received) > limits.body_bytes:
        raise _build_body_too_large(limits)
    return not message.get("more_body")


def _build_body_too_large(limits: Limits) -> HTTPError:
    return HTTPError(413, f"the body is over the limit `body_bytes` of {limits.body_bytes}, ask for less at once")


async def until_disconnect(work: Coroutine[Any, Any, Result], receive: Receive) -> Result:
    """The work's result; it is cancelled, down to the sources, when the client goes away."""
    begun = EagerTask(work)
    if begun.done:
        return await begun.wait()
    with _DisconnectWatcher(receive):
        return await begun.wait()


class _DisconnectWatcher:
    """Cancels the task it was entered in when the client goes away, and raises Gone then."""

    __slots__ = ("_before", "_later", "_looks", "_over", "_receive", "_task", "gone")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._looks: asyncio.Future[None] | None = None
        self.gone = self._over = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._before = task, task.cancelling()
        self._later = ScheduledCall(asyncio.get_running_loop().time() + DISCONNECT_CHECK_SECONDS, self._start_watching)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._later.cancel()
        self._over = True
        if self._looks is not None:
            self._looks.cancel()
        if self.gone and self._task.uncancel() <= self._before and kind is asyncio.CancelledError:
            raise ClientDisconnected from error

    def _start_watching(self) -> None:
        self._looks = asyncio.ensure_future(_wait_for_disconnect(self._receive))
        self._looks.add_done_callback(self._on_disconnect)

    def _on_disconnect(self, looks: "asyncio.Future[None]") -> None:
        """Its client may go away while the work ends; what comes after is no longer ours to cancel."""
        if not self._over and not looks.cancelled() and looks.exception() is None:
            self.gone = True
            self._task.cancel()


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def check_get_is_query(method: str, request: GraphQLRequest, limits: Limits) -> None:
    """Raises Shut for a mutation by GET. A document that cannot be parsed changes nothing, and is refused later."""
    if method == "GET" and _may_be_operation(OperationType.MUTATION, request, limits):
        raise HTTPError(405, "a mutation changes something, send it with POST", {"allow": "POST"})


def is_subscription(request: GraphQLRequest, limits: Limits) -> bool:
    """Whether the question goes on."""
    return _may_be_operation(OperationType.SUBSCRIPTION, request, limits)


def _may_be_operation(kind: OperationType, request: GraphQLRequest, limits: Limits) -> bool:
    if kind.value not in request.query:
        return False
    try:
        document = parse(request.query, no_location=True, max_tokens=limits.document_tokens)
    except (GraphQLSyntaxError, RecursionError):
        return False
    return kind in _list_operation_types(document, request.operation_name)


def _list_operation_types(document: DocumentNode, name: str | None) -> list[OperationType]:
    """The kinds of the operations that the name, or its absence, may mean."""
    operations = (each for each in document.definitions if isinstance(each, OperationDefinitionNode))
    return [each.operation for each in operations if name is None or (each.name and each.name.value == name)]
