"""Call the HTTP API of a Datadog organisation, in the turn that its quotas give each kind of call."""

from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import ClientResponse

from onedoor.connectors.http_client import (
    BoundedHttpClient,
    HttpLimits,
    HttpService,
    RetryAfter,
    StatusError,
    build_unreadable_response_error,
    parse_seconds_header,
)
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.quota import ConnectorRateLimiters

OK, NOT_FOUND, TOO_MANY_REQUESTS = 200, 404, 429

MAX_RETRY_SECONDS = 3600.0
"""A longer wait than this is a mistake of the far end."""

KEYS_REFUSED = StatusError(message="refused the keys, or they may not read this")

DATADOG = HttpService(
    name="datadog",
    status_errors={401: KEYS_REFUSED, 403: KEYS_REFUSED},
    too_long_code=ErrorCode.LIMIT_EXCEEDED,
    too_long_advice=", ask for less",
)


class DatadogClient:
    """Call one organisation's API. `keys` are headers, `max_items` the rows of one search."""

    def __init__(
        self,
        base_url: str,
        keys: Mapping[str, str],
        rate_limiters: ConnectorRateLimiters,
        limits: HttpLimits,
        *,
        max_items: int,
    ) -> None:
        headers = {"accept": "application/json", "accept-encoding": "identity", **keys}
        self.http = BoundedHttpClient(limits, DATADOG, headers=headers)
        self.limits = limits
        self.base_url = base_url
        self.rate_limiters = rate_limiters
        self.max_items = max_items

    async def get(self, limiter_name: str, path: str, parameters: Mapping[str, str]) -> Any:
        """Return the parsed response, None when there is nothing at this path. Raises ConnectorError."""
        return await self._send(limiter_name, "GET", path, {"params": dict(parameters)})

    async def post(self, limiter_name: str, path: str, body: Mapping[str, Any]) -> Any:
        """Post JSON. Returns and raises as `get`."""
        return await self._send(limiter_name, "POST", path, {"json": body})

    async def _send(self, limiter_name: str, method: str, path: str, options: Mapping[str, Any]) -> Any:
        """Send once more where Datadog asks to slow down; all calls of the limiter wait then."""
        limiter = self.rate_limiters.get_limiter(limiter_name)
        await limiter.acquire(self.limits.timeout)
        response = await self._send_once(method, path, options)
        if isinstance(response, RetryAfter):
            limiter.back_off(response.seconds)
            await limiter.acquire(self.limits.timeout)
            response = await self._send_once(method, path, options)
        if isinstance(response, RetryAfter):
            raise self.http.map_status(TOO_MANY_REQUESTS)
        return response

    async def _send_once(self, method: str, path: str, options: Mapping[str, Any]) -> Any:
        async with self.http.open_response(method, f"{self.base_url}{path}", **options) as response:
            if response.status == OK:
                return orjson.loads(await self.http.read_body(response))
            if response.status == NOT_FOUND:
                return None
            seconds = _parse_rate_limit_reset(response)
            if seconds is None:
                raise self.http.map_status(response.status)
            return RetryAfter(seconds)

    async def close(self) -> None:
        await self.http.close()


def _parse_rate_limit_reset(response: ClientResponse) -> float | None:
    """Return the seconds until the quota is whole again; None when it does not say, or says more than an hour."""
    if response.status != TOO_MANY_REQUESTS:
        return None
    seconds = parse_seconds_header(response.headers, "X-RateLimit-Reset")
    return seconds if seconds is not None and seconds <= MAX_RETRY_SECONDS else None


def extract_list(response: Any, *path: str) -> list[Any]:
    """Return the list at a path of a parsed response. Raises ConnectorError when there is none."""
    value = response
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    if not isinstance(value, list):
        raise build_unreadable_response_error(DATADOG)
    return value


def build_item_limit_error(collection: str, max_items: int) -> ConnectorError:
    limit = f"the limit `items` of {max_items}"
    return ConnectorError(
        f"there are more {collection} than {limit}, bound `time` or name a service", ErrorCode.LIMIT_EXCEEDED
    )
