"""Call HTTP services within bounds of time, size and concurrency, and map their failures to connector errors."""

import time
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from aiohttp import (
    BasicAuth,
    ClientConnectionError,
    ClientHandlerType,
    ClientPayloadError,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from yarl import URL

from onedoor.connectors.public_addresses import PrivateAddressError, PublicAddressResolver
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.fair_slots import FairSlots

REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})

RESPONSE_MAX_BYTES = 16 * 2**20
"""The limit of one decompressed response, for services whose settings have none."""

CLOCK_SKEW_MAX_SECONDS = 300.0
"""Azure and S3 accept a difference of 15 minutes, Google less."""

CLOCK_SKEW_MESSAGE = "the clock of this machine is minutes off its own, set it right"

GZIP_WINDOW_BITS = 31
"""zlib's code for a stream with a gzip header."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusError:
    """What an HTTP status means to a client: what the service did, the error code, and whether a retry may help.

    `message` follows the name of the service; `{cause}` is the service's own name for the error, or the status.
    """

    message: str
    code: ErrorCode = ErrorCode.SOURCE_UNAVAILABLE
    retryable: bool = False


CALL_REFUSED = StatusError(message="refused the call with {cause}", code=ErrorCode.SOURCE_INVALID)

CREDENTIALS_REFUSED = StatusError(message="refused the credentials")

OVERLOADED = StatusError(message="takes no more calls for now, ask again later", code=ErrorCode.SOURCE_OVERLOADED)

SERVER_FAILED = StatusError(message="failed with HTTP status {status}", retryable=True)

UNREADABLE = StatusError(message="gave an answer that cannot be read", code=ErrorCode.SOURCE_INVALID)

STATUS_ERRORS: Mapping[int, StatusError] = {
    401: CREDENTIALS_REFUSED,
    403: CREDENTIALS_REFUSED,
    429: OVERLOADED,
    5: SERVER_FAILED,
}
"""By status, or by its first digit; every other status is CALL_REFUSED."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpService:
    """How errors speak of one HTTP service: its name in a sentence, and where it differs from STATUS_ERRORS."""

    name: str = "the API"
    status_errors: Mapping[int, StatusError] = field(default_factory=dict)
    too_long_code: ErrorCode = ErrorCode.SOURCE_INVALID
    too_long_advice: str = ""
    """What would help where a response is over the limit `response_bytes`."""


API = HttpService(
    status_errors={3: StatusError(message="has moved: redirects are not followed", code=ErrorCode.SOURCE_INVALID)}
)
"""A service whose name nobody knows, such as the one that the settings of a `rest` source declare."""


def map_http_error(status: int, service: HttpService, *, error_name: str | None = None) -> ConnectorError:
    """Map a status that is no success. `error_name` is the service's own name for the error, which clients may see."""
    errors = {**STATUS_ERRORS, **service.status_errors}
    error = errors.get(status) or errors.get(status // 100) or CALL_REFUSED
    cause = f"`{error_name}`" if error_name else f"HTTP status {status}"
    return build_service_error(error, service, status=status, cause=cause)


def map_call_error(error: BaseException, service: HttpService, timeout: float) -> ConnectorError:
    """Map an exception that was raised by a call, or by reading its response. `timeout` is in seconds.

    Texts of libraries name addresses, so none of them is passed on.
    """
    if isinstance(error, ConnectorError):
        return error
    if _is_caused_by_private_address(error):
        return ConnectorError(f"the name of {service.name} leads into this network, which its settings do not allow")
    match error:
        case TimeoutError():
            return ConnectorError(f"{service.name} did not answer within {timeout:g} s")
        case ClientConnectionError():
            return ConnectorError(f"{service.name} could not be reached", retryable=True)
    return build_unreadable_response_error(service)


def build_unreadable_response_error(service: HttpService) -> ConnectorError:
    return build_service_error(UNREADABLE, service)


def build_response_too_long_error(service: HttpService, max_bytes: int) -> ConnectorError:
    reason = f"an answer of {service.name} is over the limit `response_bytes` of {max_bytes}{service.too_long_advice}"
    return ConnectorError(reason, service.too_long_code)


def build_service_error(error: StatusError, service: HttpService, **values: Any) -> ConnectorError:
    """Fill the placeholders of an error's message."""
    reason = f"{service.name} {error.message.format(**values)}"
    return ConnectorError(reason, error.code, retryable=error.retryable)


def _is_caused_by_private_address(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PrivateAddressError):
            return True
        cause = cause.__cause__
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """The bounds of one service's calls.

    `timeout`: seconds of one call. `max_concurrency`: calls at a time. `max_response_bytes`: of one response, after
    decompression. `private_addresses`: the service may be in this network.
    """

    timeout: float
    max_concurrency: int
    max_response_bytes: int = RESPONSE_MAX_BYTES
    private_addresses: bool = False


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """A service asks to be called again after so many seconds."""

    seconds: float


class BoundedHttpClient:
    """Call one service: a bounded number of calls at a time, each bounded in seconds and in bytes.

    It follows no redirects, keeps no cookies and retries nothing: retries are the engine's to spend.
    """

    def __init__(
        self,
        limits: HttpLimits,
        service: HttpService = API,
        *,
        headers: Mapping[str, str] | None = None,
        auth: BasicAuth | None = None,
    ) -> None:
        self.limits = limits
        self.service = service
        self.slots = FairSlots(limits.max_concurrency)
        self.session = ClientSession(
            connector=_build_tcp_connector(limits),
            headers=headers,
            auth=auth,
            timeout=ClientTimeout(total=limits.timeout),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
        )
        _disable_retries(self.session)

    @asynccontextmanager
    async def open_response(self, method: str, url: str | URL, **options: Any) -> AsyncIterator[ClientResponse]:
        """Send a request once and open its response; `options` are those of aiohttp.

        Raises ConnectorError, and nothing else, for whatever goes wrong before the response is closed.
        """
        try:
            async with self.open_raw_response(method, url, **options) as response:
                yield response
        except ConnectorError:
            raise
        except Exception as error:
            raise self.map_error(error) from error

    @asynccontextmanager
    async def open_raw_response(self, method: str, url: str | URL, **options: Any) -> AsyncIterator[ClientResponse]:
        """Send and open as `open_response`, but let aiohttp's exceptions through, for callers that tell them apart."""
        async with (
            self.slots.hold(),
            self.session.request(method, url, allow_redirects=False, **options) as response,
        ):
            yield response

    async def read_body(self, response: ClientResponse) -> bytes:
        """Read and decompress a whole response. Raises ConnectorError when it is over the limit."""
        return await read_body(response, self.limits.max_response_bytes, self.service)

    def map_status(self, status: int) -> ConnectorError:
        return map_http_error(status, self.service)

    def map_error(self, error: BaseException) -> ConnectorError:
        return map_call_error(error, self.service, self.limits.timeout)

    def build_unreadable_error(self) -> ConnectorError:
        return build_unreadable_response_error(self.service)

    async def close(self) -> None:
        await self.session.close()


async def read_body(response: ClientResponse, max_bytes: int, service: HttpService = API) -> bytes:
    """Read a response to its end, counting it as it comes, packed and unpacked.

    Raises ConnectorError when it is over `max_bytes`, or has an encoding other than gzip.
    """
    encoding = response.headers.get("content-encoding", "identity").lower()
    if encoding not in ("identity", "gzip"):
        raise build_unreadable_response_error(service)
    chunks, size = [], 0
    async for chunk in response.content.iter_any():
        chunks.append(chunk)
        size += len(chunk)
        if size > max_bytes:
            raise build_response_too_long_error(service, max_bytes)
    body = b"".join(chunks)
    return body if encoding == "identity" else _decompress_gzip(body, max_bytes, service)


def _decompress_gzip(compressed: bytes, max_bytes: int, service: HttpService) -> bytes:
    stream = zlib.decompressobj(GZIP_WINDOW_BITS)
    body = stream.decompress(compressed, max_bytes + 1)
    if len(body) > max_bytes:
        raise build_response_too_long_error(service, max_bytes)
    if not stream.eof:
        raise build_unreadable_response_error(service)
    return body


async def read_prefix(response: ClientResponse, max_bytes: int) -> bytes:
    """Read the first `max_bytes` of a response; what follows is not read."""
    chunks, missing = [], max_bytes
    while missing and (chunk := await response.content.read(missing)):
        chunks.append(chunk)
        missing -= len(chunk)
    return b"".join(chunks)


def parse_seconds_header(headers: Mapping[str, str], name: str = "Retry-After") -> float | None:
    """Parse a header that counts seconds; None when it is missing, negative or a date."""
    try:
        seconds = float(headers.get(name, ""))
    except ValueError:
        return None
    return seconds if seconds >= 0 else None


def is_clock_skewed(date: str | None) -> bool:
    """Tell whether the `Date` header of a response that has just come is minutes off; an unreadable one is not."""
    try:
        remote_time = parsedate_to_datetime(date or "").timestamp()
    except (ValueError, OverflowError):
        return False
    return abs(remote_time - time.time()) > CLOCK_SKEW_MAX_SECONDS


def build_library_session(limits: HttpLimits) -> ClientSession:
    """Build an aiohttp session for a vendor's library, which reads whole responses: it has the same bounds.

    The library would not say whether it follows redirects, so one raises ClientPayloadError.
    """
    session = ClientSession(
        connector=_build_tcp_connector(limits),
        timeout=ClientTimeout(total=limits.timeout),
        cookie_jar=DummyCookieJar(),
        response_class=_build_bounded_response_class(limits.max_response_bytes),
        middlewares=(_refuse_redirect,),
    )
    _disable_retries(session)
    return session


def _build_tcp_connector(limits: HttpLimits) -> TCPConnector:
    resolver = None if limits.private_addresses else PublicAddressResolver()
    return TCPConnector(resolver=resolver, limit=limits.max_concurrency)


def _disable_retries(session: ClientSession) -> None:
    """Stop aiohttp from calling again where a kept connection broke, for which it has no setting."""
    session._retry_connection = False


async def _refuse_redirect(request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
    response = await send(request)
    if response.status in REDIRECT_STATUSES:
        response.close()
        raise ClientPayloadError("moved")
    return response


def _build_bounded_response_class(max_bytes: int) -> type[ClientResponse]:
    class BoundedResponse(ClientResponse):
        async def read(self) -> bytes:
            if self._body is None:
                chunks, size = [], 0
                async for chunk in self.content.iter_any():
                    chunks.append(chunk)
                    size += len(chunk)
                    if size > max_bytes:
                        self.close()
                        raise ClientPayloadError("too long")
                self._body = b"".join(chunks)
            return self._body

    return BoundedResponse


class ResponseTooLong(Exception):
    """A response that a thread reads is over its limit of bytes or of seconds."""


def read_bounded(chunks: Iterable[bytes], *, max_bytes: int, seconds: float) -> bytes:
    """Read all chunks of a response in a thread; each read has its own timeout besides. Raises ResponseTooLong."""
    deadline, parts, size = time.monotonic() + seconds, list[bytes](), 0
    for chunk in chunks:
        parts.append(chunk)
        size += len(chunk)
        if size > max_bytes or time.monotonic() > deadline:
            raise ResponseTooLong
    return b"".join(parts)
