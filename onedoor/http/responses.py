"""Encode results and errors as HTTP responses, and send them."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import orjson
from starlette.responses import Response

from onedoor.audit.receipts import hash_answer
from onedoor.audit.record import AuditOutcome, check_client_request_id
from onedoor.errors import GraphQLErrorInfo, HTTPError
from onedoor.http.cors import Header, build_cors_headers
from onedoor.http.negotiation import GRAPHQL_JSON, JSON, accepts_gzip, choose_media_type
from onedoor.http.requests import RequestContext
from onedoor.query.audited import Conclusion
from onedoor.query.context import ExecutionResult
from onedoor.runtime.offload import charge_call

MESSAGE_CHARACTERS_MAX = 500

ALL_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
"""For routes that answer every method themselves."""

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

COMPRESS_FROM_BYTES = 8 * 1024
"""A body of this size or more is compressed."""

COMPRESS_IN_THREAD_FROM_BYTES = 256 * 1024
"""A body of this size or more is compressed in a thread, as that takes some milliseconds."""

GZIP_LEVEL = 1

GZIP_WINDOW_BITS = 16 + zlib.MAX_WBITS

COMMON_HEADERS = (
    (b"cache-control", b"private, no-store"),
    (b"vary", b"Authorization, X-API-Key, Accept, Accept-Encoding, Origin"),
    (b"x-content-type-options", b"nosniff"),
)

# apart from the default executor, so that a source that fills that one cannot hold responses back
_gzip_threads = ThreadPoolExecutor(2, thread_name_prefix="onedoor-gzip")


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTPResponse:
    """A response that is encoded but not sent."""

    status: int
    body: bytes
    media_type: str
    headers: Mapping[str, str] = field(default_factory=dict)
    digest: str | None = None
    """The digest of the exact text of `data` in the body, if there is any."""


def encode_conclusion(context: RequestContext, conclusion: Conclusion, errors_max: int) -> HTTPResponse:
    """Encode what a request came to, in the media type its client accepts."""
    media_type = choose_media_type(context.head.accept) or JSON
    if conclusion.outcome is AuditOutcome.CANCELLED:
        return HTTPResponse(status=conclusion.status, body=b"", media_type=media_type)
    if not conclusion.errors:
        return encode_result(context.result, media_type, errors_max)
    return encode_response(conclusion.status, media_type, conclusion.errors, errors_max, headers=conclusion.headers)


def encode_result(result: ExecutionResult, media_type: str, errors_max: int) -> HTTPResponse:
    """Encode the result of a GraphQL request: 200, or 400 where it was rejected.

    In plain JSON a rejection is 200 too: there, any other status may come from something between client and server.
    """
    status = 400 if result.rejected and media_type == GRAPHQL_JSON else 200
    return encode_response(
        status,
        media_type,
        result.errors,
        errors_max,
        data=result.data,
        rejected=result.rejected,
        extensions=result.extensions,
    )


def encode_response(
    status: int,
    media_type: str,
    errors: Sequence[GraphQLErrorInfo],
    errors_max: int,
    *,
    data: Any = None,
    rejected: bool = True,
    extensions: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> HTTPResponse:
    """Encode a GraphQL response; one that is rejected has no `data`."""
    body: dict[str, Any] = {}
    digest = None
    if errors:
        body["errors"] = [format_error(error) for error in errors[:errors_max]]
    if not rejected:
        text = orjson.dumps(data, option=orjson.OPT_UTC_Z)
        body["data"], digest = orjson.Fragment(text), None if data is None else hash_answer(text)
    if extensions:
        receipt = {"receipt": {**extensions["receipt"], "digest": digest}} if "receipt" in extensions else {}
        body["extensions"] = {"onedoor": {**extensions, **receipt}}
    return HTTPResponse(
        status=status,
        body=orjson.dumps(body, option=orjson.OPT_UTC_Z),
        media_type=media_type,
        headers=headers or {},
        digest=digest,
    )


def encode_refusal(refusal: HTTPError, context: RequestContext) -> HTTPResponse:
    """Encode the response to a request that no route is asked to answer."""
    media_type = choose_media_type(context.head.accept) or JSON
    return encode_response(refusal.status, media_type, [refusal.error], 1, headers=refusal.headers)


def format_error(error: GraphQLErrorInfo) -> dict[str, Any]:
    """Format an error as clients see it; text that is not valid Unicode is replaced."""
    formatted: dict[str, Any] = {"message": error.message[:MESSAGE_CHARACTERS_MAX].encode(errors="replace").decode()}
    if error.locations:
        formatted["locations"] = list(error.locations)
    if error.path is not None:
        formatted["path"] = list(error.path)
    formatted["extensions"] = {"code": error.code, **(error.extensions or {})}
    return formatted


async def send_response(
    response: HTTPResponse, send: Send, context: RequestContext, allowed_origins: frozenset[str]
) -> None:
    """Send a response, compressed where it is large and the client accepts that."""
    if len(response.body) >= COMPRESS_FROM_BYTES and accepts_gzip(context.head.accept_encoding):
        compressed = replace(response, body=await _compress(response.body))
        headers = [*build_headers(compressed, context, allowed_origins), (b"content-encoding", b"gzip")]
        response = compressed
    else:
        headers = build_headers(response, context, allowed_origins)
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


def build_headers(response: HTTPResponse, context: RequestContext, allowed_origins: frozenset[str]) -> list[Header]:
    """Build the headers of a response; pages of `allowed_origins` may read it."""
    return [
        (b"content-type", f"{response.media_type}; charset=utf-8".encode()),
        (b"content-length", str(len(response.body)).encode()),
        *build_common_headers(context, allowed_origins),
        *((name.encode(), value.encode()) for name, value in response.headers.items()),
    ]


def build_common_headers(context: RequestContext, allowed_origins: frozenset[str]) -> list[Header]:
    """Build the headers that every response to a recorded request has."""
    headers = [
        (b"x-request-id", context.id.encode()),
        *COMMON_HEADERS,
        *build_cors_headers(context.head.origin, allowed_origins),
    ]
    client_request_id = check_client_request_id(context.head.request_id)
    if client_request_id is not None:
        headers.append((b"x-client-request-id", client_request_id.encode()))
    return headers


def build_raw_response(status: int, headers: Iterable[Header], body: bytes = b"") -> Response:
    """Build a response of the FastAPI app with exactly these headers: Starlette adds none of its own."""
    response = Response(body, status)
    response.raw_headers = list(headers)
    return response


async def _compress(body: bytes) -> bytes:
    if len(body) < COMPRESS_IN_THREAD_FROM_BYTES:
        return zlib.compress(body, GZIP_LEVEL, GZIP_WINDOW_BITS)
    return await asyncio.get_running_loop().run_in_executor(
        _gzip_threads, charge_call(partial(zlib.compress, body, GZIP_LEVEL, GZIP_WINDOW_BITS))
    )
