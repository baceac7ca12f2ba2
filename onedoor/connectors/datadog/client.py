"""One call, errors."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from aiohttp import ClientConnectionError, ClientResponse, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from onedoor.connectors.http_client import PrivateAddressError, PublicAddressResolver, disable_retries
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.quota import ConnectorRateLimiters

UNAUTHORIZED, FORBIDDEN, TOO_MANY_REQUESTS, SERVER_ERROR = 401, 403, 429, 500


def map_datadog_error(error: BaseException, timeout: float) -> ConnectorError:
    """`timeout` in seconds."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, PrivateAddressError):
            return ConnectorError("datadog's name leads into this network, which its settings do not allow")
        cause = cause.__cause__
    match error:
        case ConnectorError():
            return error
        case TimeoutError():
            return ConnectorError(f"datadog did not answer within {timeout:g} s")
        case ClientConnectionError():
            return ConnectorError("datadog could not be reached", retryable=True)
    return build_invalid_datadog_response_error()


def map_datadog_status(status: int) -> ConnectorError:
    """Of any status but 200."""
    if status in (UNAUTHORIZED, FORBIDDEN):
        return ConnectorError("datadog refused the keys, or they may not read this")
    if status == TOO_MANY_REQUESTS:
        return ConnectorError("datadog takes no more calls for now, ask again later", ErrorCode.SOURCE_OVERLOADED)
    if status >= SERVER_ERROR:
        return ConnectorError(f"datadog failed with HTTP status {status}", retryable=True)
    return ConnectorError(f"datadog refused the call with HTTP status {status}", ErrorCode.SOURCE_INVALID)


def build_invalid_datadog_response_error() -> ConnectorError:
    return ConnectorError("datadog gave an answer that cannot be read", ErrorCode.SOURCE_INVALID)


def build_datadog_response_size_error(max_bytes: int) -> ConnectorError:
    limit = f"the limit `response_bytes` of {max_bytes}"
    return ConnectorError(f"an answer of datadog is over {limit}, ask for less", ErrorCode.LIMIT_EXCEEDED)


def build_datadog_item_limit_error(collection: str, max_items: int) -> ConnectorError:
    limit = f"the limit `items` of {max_items}"
    return ConnectorError(
        f"there are more {collection} than {limit}, bound `time` or name a service", ErrorCode.LIMIT_EXCEEDED
    )


OK, NOT_FOUND = 200, 404

MAX_RETRY_AFTER = 3600.0


class DatadogRateLimited(Exception):
    """Datadog says to come back after so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class DatadogClient:
    """One organisation's calls. `most`: bytes of an answer. `items`: rows of one search."""

    session: ClientSession
    base_url: str
    rate_limiters: ConnectorRateLimiters
    timeout: float
    at_once: int
    most: int
    items: int
    semaphore: asyncio.Semaphore

    async def get(self, limiter_name: str, path: str, parameters: Mapping[str, str]) -> Any:
        """None: there is nothing at this path. `called` names the quota. Raises SourceFailed."""
        return await self.send(limiter_name, "GET", path, {"params": dict(parameters)})

    async def post(self, limiter_name: str, path: str, body: Mapping[str, Any]) -> Any:
        return await self.send(limiter_name, "POST", path, {"json": body})

    async def send(self, limiter_name: str, method: str, path: str, request_options: Mapping[str, Any]) -> Any:
        """Asked to slow down, all who call the same wait, and this one asks once more."""
        quota = self.rate_limiters.get_limiter(limiter_name)
        try:
            await quota.acquire(self.timeout)
            try:
                return await self.send_once(method, path, request_options)
            except DatadogRateLimited as pause:
                quota.back_off(pause.seconds)
            await quota.acquire(self.timeout)
            return await self.send_once(method, path, request_options)
        except DatadogRateLimited:
            raise map_datadog_status(TOO_MANY_REQUESTS) from None
        except Exception as error:
            raise map_datadog_error(error, self.timeout) from error

    async def send_once(self, method: str, path: str, request_options: Mapping[str, Any]) -> Any:
        async with (
            self.semaphore,
            self.session.request(
                method, f"{self.base_url}{path}", allow_redirects=False, **request_options
            ) as response,
        ):
            if response.status == OK:
                return orjson.loads(await _read_datadog_body(response, self.most))
            if response.status == NOT_FOUND:
                return None
            wait = parse_rate_limit_reset(response)
            raise map_datadog_status(response.status) if wait is None else DatadogRateLimited(wait)


def build_datadog_client(
    keys: Mapping[str, str], base_url: str, rate_limiters: ConnectorRateLimiters, **bounds: Any
) -> DatadogClient:
    """`keys` are headers. `private_addresses`, and the bounds of Calls."""
    resolver = None if bounds.pop("private_addresses") else PublicAddressResolver()
    session = disable_retries(
        ClientSession(
            connector=TCPConnector(resolver=resolver, limit=bounds["at_once"]),
            headers={"accept": "application/json", "accept-encoding": "identity", **keys},
            timeout=ClientTimeout(total=bounds["timeout"]),
            cookie_jar=DummyCookieJar(),
            auto_decompress=False,
        )
    )
    free = asyncio.Semaphore(bounds["at_once"])
    return DatadogClient(session=session, base_url=base_url, rate_limiters=rate_limiters, semaphore=free, **bounds)


async def _read_datadog_body(response: ClientResponse, max_bytes: int) -> bytes:
    """Counted while it comes, and it does not come packed."""
    parts, size = [], 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > max_bytes:
            raise build_datadog_response_size_error(max_bytes)
    return b"".join(parts)


def parse_rate_limit_reset(response: ClientResponse) -> float | None:
    """The seconds until its quota is whole again; None when it does not say, or says more than an hour."""
    if response.status != TOO_MANY_REQUESTS:
        return None
    try:
        seconds = float(response.headers.get("X-RateLimit-Reset", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds <= MAX_RETRY_AFTER else None


def extract_list(answer: Any, *path: str) -> list[Any]:
    """The list at a place of an answer; SourceFailed where there is none."""
    found = answer
    for step in path:
        found = found.get(step) if isinstance(found, Mapping) else None
    if not isinstance(found, list):
        raise build_invalid_datadog_response_error()
    return found
