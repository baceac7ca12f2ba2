"""Call an HTTP API whose responses are JSON or text, waiting once where it asks to slow down."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import urlencode

import orjson
from aiohttp import ClientResponse
from yarl import URL

from onedoor.connectors.http_client import (
    REDIRECT_STATUSES,
    BoundedHttpClient,
    HttpLimits,
    RetryAfter,
    parse_seconds_header,
)
from onedoor.connectors.public_addresses import check_base_url
from onedoor.connectors.shared_responses import share_response

QueryParameters: TypeAlias = Sequence[tuple[str, str]]

OK, MOVED, FORBIDDEN, NOT_FOUND, TOO_MANY_REQUESTS, SERVER_ERROR = 200, 302, 403, 404, 429, 500

JSON_ENCODING = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class RestResponse:
    """The parsed body, the URL that a Link header names as the next page, and how many bytes came."""

    body: Any
    next_url: str | None = None
    size: int = 0


class RestClient:
    """Call one API; `redirect_hosts` may hold its texts, and are not sent its headers."""

    def __init__(
        self, base_url: str, headers: Mapping[str, str], limits: HttpLimits, redirect_hosts: Sequence[str] = ()
    ) -> None:
        self.http = BoundedHttpClient(limits, headers={"accept-encoding": "gzip"})
        self.limits = limits
        self.base_url = base_url
        self.headers = {"accept": "application/json", **headers}
        self.redirect_hosts = redirect_hosts

    async def get(self, path: str, parameters: QueryParameters = ()) -> RestResponse | None:
        """Return None when there is nothing at this path. Raises ConnectorError."""
        return await self.get_url(self.build_url(path, parameters))

    def build_url(self, path: str, parameters: QueryParameters = ()) -> URL:
        query = f"?{urlencode(parameters, safe=',')}" if parameters else ""
        return URL(f"{self.base_url}{path}{query}", encoded=True)

    async def get_url(self, url: URL) -> RestResponse | None:
        """Return what the API gave to the same request already, if it did. Returns and raises as `get`."""
        send = partial(self._send_with_retry, partial(self._send_once, "GET", url))
        return await share_response(self, str(url).encode(), send)

    async def post(self, url: URL, body: bytes) -> RestResponse | None:
        """Post JSON. Returns and raises as `get`."""
        return await self._send_with_retry(partial(self._send_once, "POST", url, body))

    async def get_text(self, path: str) -> RestResponse | None:
        """Read a text, which may lie at one of the redirect hosts. Returns and raises as `get`."""
        return await self._send_with_retry(partial(self._get_text_once, URL(f"{self.base_url}{path}", encoded=True)))

    async def ping(self) -> None:
        """Check that something answers, whatever it says of this path. Raises ConnectorError."""
        async with self.http.open_response(
            "HEAD", URL(f"{self.base_url}/", encoded=True), headers=self.headers
        ) as response:
            if response.status >= SERVER_ERROR:
                raise self.http.map_status(response.status)

    async def close(self) -> None:
        await self.http.close()

    async def _send_with_retry(
        self, send: Callable[[], Awaitable[RestResponse | RetryAfter | None]]
    ) -> RestResponse | None:
        """Send once more after the wait that the API asks for, if that is shorter than a call may take."""
        response = await send()
        if isinstance(response, RetryAfter):
            await asyncio.sleep(response.seconds)
            response = await send()
        if isinstance(response, RetryAfter):
            raise self.http.map_status(TOO_MANY_REQUESTS)
        return response

    async def _send_once(self, method: str, url: URL, body: bytes | None = None) -> RestResponse | RetryAfter | None:
        headers = self.headers if body is None else {**self.headers, **JSON_ENCODING}
        async with self.http.open_response(method, url, data=body, headers=headers) as response:
            if response.status != OK:
                return self._handle_status(response)
            text = await self.http.read_body(response)
            return RestResponse(body=orjson.loads(text), next_url=_parse_next_link(response), size=len(text))

    async def _get_text_once(self, url: URL) -> RestResponse | RetryAfter | None:
        async with self.http.open_response("GET", url, headers=self.headers) as response:
            if response.status not in REDIRECT_STATUSES:
                return await self._read_text(response)
            location = self._resolve_redirect(url, response.headers.get("location", ""))
        async with self.http.open_response("GET", location) as response:
            return await self._read_text(response)

    async def _read_text(self, response: ClientResponse) -> RestResponse | RetryAfter | None:
        if response.status != OK:
            return self._handle_status(response)
        return RestResponse(body=(await self.http.read_body(response)).decode("utf-8", "replace"))

    def _handle_status(self, response: ClientResponse) -> RetryAfter | None:
        """Return None when there is nothing, or the wait that the API asks for. Raises ConnectorError."""
        if response.status == NOT_FOUND:
            return None
        seconds = parse_retry_after(response)
        if seconds is not None and seconds <= self.limits.timeout:
            return RetryAfter(seconds)
        if seconds is not None or is_rate_limited(response):
            raise self.http.map_status(TOO_MANY_REQUESTS)
        raise self.http.map_status(response.status)

    def _resolve_redirect(self, url: URL, location: str) -> URL:
        """Return the place of a text, if its host is listed; its address is checked as the API's own is."""
        place = url.join(URL(location))
        if place.host not in self.redirect_hosts:
            raise self.http.map_status(MOVED)
        check_base_url(str(place.origin()), private_addresses=self.limits.private_addresses)
        return place


def parse_retry_after(response: ClientResponse) -> float | None:
    """Return the seconds that a refusal asks to wait; None when it does not ask."""
    refused = response.status in (TOO_MANY_REQUESTS, FORBIDDEN)
    return parse_seconds_header(response.headers) if refused else None


def is_rate_limited(response: ClientResponse) -> bool:
    """Tell whether a refusal means too many calls, for which some APIs use 403."""
    return response.status == FORBIDDEN and response.headers.get("x-ratelimit-remaining") == "0"


def _parse_next_link(response: ClientResponse) -> str | None:
    if "link" not in response.headers:
        return None
    link = response.links.get("next")
    return None if link is None else str(link["url"])
