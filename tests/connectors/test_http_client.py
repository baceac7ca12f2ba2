"""Test the bounded HTTP client over a real wire, and the table that maps its failures."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import ClientConnectionError, ClientPayloadError
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from onedoor.connectors.http_client import (
    BoundedHttpClient,
    HttpLimits,
    HttpService,
    StatusError,
    map_call_error,
    map_http_error,
    parse_seconds_header,
)
from onedoor.connectors.public_addresses import PrivateAddressError
from onedoor.errors import ConnectorError, ErrorCode
from tests.servers.rest import serve_app
from tests.servers.scripted import ScriptedServer

LIMITS = HttpLimits(timeout=5.0, max_concurrency=2, max_response_bytes=1000, private_addresses=True)
SHOP = HttpService(
    name="the shop",
    status_errors={404: StatusError(message="has no {cause}"), 3: StatusError(message="has moved", retryable=True)},
)
SECRET = "https://user:word@inner.example"


@asynccontextmanager
async def open_client(app: Any, limits: HttpLimits = LIMITS) -> AsyncIterator[tuple[BoundedHttpClient, str]]:
    async with serve_app(app) as url:
        client = BoundedHttpClient(limits, SHOP, headers={"accept-encoding": "gzip"})
        try:
            yield client, url
        finally:
            await client.close()


async def read_status_and_body(client: BoundedHttpClient, url: str) -> tuple[int, bytes]:
    async with client.open_response("GET", url) as response:
        return response.status, await client.read_body(response)


@pytest.mark.parametrize(
    ("status", "error_name", "reason", "code", "retryable"),
    [
        (401, None, "the shop refused the credentials", ErrorCode.SOURCE_UNAVAILABLE, False),
        (403, "denied", "the shop refused the credentials", ErrorCode.SOURCE_UNAVAILABLE, False),
        (429, None, "the shop takes no more calls for now, ask again later", ErrorCode.SOURCE_OVERLOADED, False),
        (503, None, "the shop failed with HTTP status 503", ErrorCode.SOURCE_UNAVAILABLE, True),
        (418, None, "the shop refused the call with HTTP status 418", ErrorCode.SOURCE_INVALID, False),
        (418, "teapot", "the shop refused the call with `teapot`", ErrorCode.SOURCE_INVALID, False),
        (404, "shelf", "the shop has no `shelf`", ErrorCode.SOURCE_UNAVAILABLE, False),
        (302, None, "the shop has moved", ErrorCode.SOURCE_UNAVAILABLE, True),
    ],
)
def test_a_status_means_what_the_service_or_the_table_says(
    status: int, error_name: str | None, reason: str, code: ErrorCode, retryable: bool
) -> None:
    error = map_http_error(status, SHOP, error_name=error_name)
    assert (error.reason, error.code, error.retryable) == (reason, code, retryable)


@pytest.mark.parametrize(
    ("error", "reason", "retryable"),
    [
        (TimeoutError(SECRET), "the shop did not answer within 0.5 s", False),
        (ClientConnectionError(SECRET), "the shop could not be reached", True),
        (ClientPayloadError(SECRET), "the shop gave an answer that cannot be read", False),
        (ValueError(SECRET), "the shop gave an answer that cannot be read", False),
    ],
)
def test_no_text_of_a_library_is_passed_on(error: Exception, reason: str, retryable: bool) -> None:
    mapped = map_call_error(error, SHOP, 0.5)
    assert (mapped.reason, mapped.retryable) == (reason, retryable)


def test_a_private_address_is_named_as_the_cause() -> None:
    error = ClientConnectionError(SECRET)
    error.__cause__ = PrivateAddressError()
    reason = "the name of the shop leads into this network, which its settings do not allow"
    assert map_call_error(error, SHOP, 0.5).reason == reason


def test_an_error_that_is_mapped_already_stays() -> None:
    error = ConnectorError("the shop is closed")
    assert map_call_error(error, SHOP, 0.5) is error


@pytest.mark.parametrize(
    ("response", "code"),
    [
        pytest.param(Response(b"x" * 1001), ErrorCode.SOURCE_INVALID, id="plain"),
        pytest.param(
            Response(gzip.compress(b"x" * 100_000), headers={"content-encoding": "gzip"}),
            ErrorCode.LIMIT_EXCEEDED,
            id="compressed, with a code of the service",
        ),
    ],
)
async def test_a_response_over_the_limit_is_an_error(response: Response, code: ErrorCode) -> None:
    async with open_client(ScriptedServer(response)) as (client, url):
        client.service = replace(SHOP, too_long_code=code, too_long_advice=", ask for less")
        with pytest.raises(ConnectorError) as raised:
            await read_status_and_body(client, url)
    reason = "an answer of the shop is over the limit `response_bytes` of 1000, ask for less"
    assert (raised.value.reason, raised.value.code) == (reason, code)


async def test_a_compressed_response_within_the_limit_is_decompressed() -> None:
    compressed = Response(gzip.compress(b"x" * 1000), headers={"content-encoding": "gzip"})
    async with open_client(ScriptedServer(compressed)) as (client, url):
        assert await read_status_and_body(client, url) == (200, b"x" * 1000)


async def test_a_redirect_is_a_response_and_is_not_followed() -> None:
    server = ScriptedServer(Response(status_code=302, headers={"location": "/elsewhere"}))
    async with open_client(server) as (client, url):
        assert await read_status_and_body(client, url) == (302, b"")
    assert [request.url.path for request in server.requests] == ["/"]


async def test_no_more_calls_run_at_a_time_than_the_limit_allows() -> None:
    running, most, two_run, may_end = 0, 0, asyncio.Event(), asyncio.Event()

    async def server(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == LIMITS.max_concurrency:
            two_run.set()
        await may_end.wait()
        running -= 1
        await Response(b"")(scope, receive, send)

    async with open_client(server) as (client, url):
        calls = [asyncio.create_task(read_status_and_body(client, url)) for _ in range(5)]
        async with asyncio.timeout(30):
            await two_run.wait()
            may_end.set()
            assert await asyncio.gather(*calls) == [(200, b"")] * 5
    assert most == LIMITS.max_concurrency


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0.0), ("1.5", 1.5), ("-1", None), ("", None), ("Sun, 06 Nov 1994 08:49:37 GMT", None)]
)
def test_a_wait_is_read_from_a_header_that_counts_seconds(text: str, seconds: float | None) -> None:
    assert parse_seconds_header({"Retry-After": text}) == seconds
