"""ExecutionResult -> HTTP status, body, compression."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import orjson

from onedoor.audit.record import check_client_request_id
from onedoor.errors import ErrorCode, GraphQLErrorInfo
from onedoor.http.cors import build_cors_headers
from onedoor.http.negotiation import GRAPHQL_JSON, accepts_gzip
from onedoor.http.requests import RequestHead
from onedoor.query.context import ExecutionResult

MESSAGE_CHARACTERS_MAX = 500

UNAUTHENTICATED = GraphQLErrorInfo(
    code=ErrorCode.UNAUTHENTICATED, message="no valid key came with the request, send `Authorization: Bearer <key>`"
)

AUDIT_UNAVAILABLE = GraphQLErrorInfo(
    code=ErrorCode.AUDIT_UNAVAILABLE, message="the request could not be recorded, so it is not answered; ask again"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTPResponse:
    status: int
    body: bytes
    media_type: str
    headers: Mapping[str, str]


def encode_result(result: ExecutionResult, media_type: str, errors_max: int) -> HTTPResponse:
    """Of a whole GraphQL request: 200, or 400 for one that was refused.

    In plain JSON a refusal too is 200: there, any other status may come from something between door and client.
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
    body: dict[str, Any] = {}
    if errors:
        body["errors"] = [format_error(each) for each in errors[:errors_max]]
    if not rejected:
        body["data"] = data
    if extensions:
        body["extensions"] = {"onedoor": extensions}
    return HTTPResponse(
        status=status, body=orjson.dumps(body, option=orjson.OPT_UTC_Z), media_type=media_type, headers=headers or {}
    )


def format_error(error: GraphQLErrorInfo) -> dict[str, Any]:
    """An error as clients see it; text that is no valid Unicode is replaced."""
    made: dict[str, Any] = {"message": error.message[:MESSAGE_CHARACTERS_MAX].encode(errors="replace").decode()}
    if error.locations:
        made["locations"] = list(error.locations)
    if error.path is not None:
        made["path"] = list(error.path)
    made["extensions"] = {"code": error.code, **(error.extensions or {})}
    return made


Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

COMPRESS_FROM_BYTES = 8 * 1024
"""From here on a body is compressed."""

COMPRESS_IN_THREAD_FROM_BYTES = 256 * 1024
"""From here on it is compressed in a thread, for it takes some milliseconds."""

GZIP_LEVEL = 1

GZIP_WINDOW_BITS = 16 + zlib.MAX_WBITS

COMMON_HEADERS = (
    (b"cache-control", b"private, no-store"),
    (b"vary", b"Authorization, X-API-Key, Accept, Accept-Encoding, Origin"),
    (b"x-content-type-options", b"nosniff"),
)

# its own, so that a source that fills the default one cannot hold replies back
_gzip_threads = ThreadPoolExecutor(2, thread_name_prefix="onedoor-gzip")


async def send_response(
    response: HTTPResponse, send: Send, *, id: str, head: RequestHead, allowed_origins: frozenset[str]
) -> None:
    """`id` is the record's; `allowed` are the origins whose pages may read the reply."""
    body, gzipped = response.body, len(response.body) >= COMPRESS_FROM_BYTES and accepts_gzip(head.accept_encoding)
    if gzipped:
        body = await _compress(body)
    headers = [
        (b"content-type", f"{response.media_type}; charset=utf-8".encode()),
        (b"content-length", str(len(body)).encode()),
        (b"x-request-id", id.encode()),
        *COMMON_HEADERS,
        *build_cors_headers(head.origin, allowed_origins),
        *((name.encode(), value.encode()) for name, value in response.headers.items()),
    ]
    if gzipped:
        headers.append((b"content-encoding", b"gzip"))
    if (theirs := check_client_request_id(head.request_id)) is not None:
        headers.append((b"x-client-request-id", theirs.encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _compress(body: bytes) -> bytes:
    if len(body) < COMPRESS_IN_THREAD_FROM_BYTES:
        return zlib.compress(body, GZIP_LEVEL, GZIP_WINDOW_BITS)
    return await asyncio.get_running_loop().run_in_executor(
        _gzip_threads, zlib.compress, body, GZIP_LEVEL, GZIP_WINDOW_BITS
    )
