"""Behind nginx and Caddy, configured as docs/operating.md has it, everything works as without them."""

import asyncio
import re
from collections.abc import Iterator

import aiohttp
import pytest

from tests.http.live.conftest import (
    CHANGED,
    PROTOCOL,
    EventStreamClient,
    RunningServer,
    WebSocketClient,
    wait_until,
)
from tests.servers.proxies import PROGRAMS, run_proxy, trust_any

TRUST = trust_any()
SCRIPT = re.compile(r'src="([^"]+\.js)"')
NAMES = "{ customers(first: 300) { nodes { id name } } }"


@pytest.fixture(params=PROGRAMS)
def proxy(request: pytest.FixtureRequest, server: RunningServer) -> Iterator[str]:
    if PROGRAMS[request.param] is None:
        pytest.skip(f"{request.param} before Onedoor: install {request.param}")
    with run_proxy(request.param, server.port) as address:
        yield address


async def test_a_query_comes_through_with_what_belongs_to_it(server: RunningServer, proxy: str) -> None:
    headers = {"x-api-key": server.key("sales").text, "x-request-id": "theirs", "accept-encoding": "gzip"}
    headers |= {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2-settings": "AAMAAABkAAQAAP__"}
    async with server.session.post(f"{proxy}/graphql", json={"query": NAMES}, headers=headers, ssl=TRUST) as reply:
        body = await reply.json()
    assert (reply.status, "errors" in body) == (200, False)
    assert reply.headers["x-client-request-id"] == "theirs"
    assert reply.headers["x-request-id"] == server.records()[0]["id"]


async def test_a_browser_is_led_to_the_page_on_the_proxy_s_own_host(server: RunningServer, proxy: str) -> None:
    async with server.session.get(proxy, headers={"accept": "text/html"}, ssl=TRUST) as reply:
        page = await reply.text()
    assert str(reply.url) == f"{proxy}/graphiql"
    async with server.session.get(f"{proxy}{SCRIPT.findall(page)[0]}", ssl=TRUST) as reply:
        await reply.read()
    assert reply.headers["content-encoding"] == "gzip"


async def test_a_page_of_the_proxy_opens_a_websocket_and_hears_of_each_event(server: RunningServer, proxy: str) -> None:
    socket = await server.session.ws_connect(
        f"{proxy}/graphql", protocols=(PROTOCOL,), headers={"origin": proxy}, ssl=TRUST
    )
    server.held.append(socket)
    websocket = WebSocketClient(socket)
    await websocket.send("connection_init", payload={"x-api-key": server.key("sales").text})
    assert await websocket.receive() == {"type": "connection_ack"}
    await websocket.subscribe("1", CHANGED)
    await wait_until(lambda: server.outcomes() == ["answered"])
    await server.publish_change("20")
    assert (await websocket.receive())["type"] == "next"
    with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
        await server.session.ws_connect(
            f"{proxy}/graphql", protocols=(PROTOCOL,), headers={"origin": "https://evil.example"}, ssl=TRUST
        )
    stopping = asyncio.create_task(server.uvicorn_server.shutdown())
    assert (await websocket.wait_closed())[0] == 1001
    await socket.close()
    await stopping


async def test_events_of_a_stream_pass_at_once(server: RunningServer, proxy: str) -> None:
    headers = {"accept": "text/event-stream", "x-api-key": server.key("sales").text, "accept-encoding": "gzip"}
    reply = await server.session.post(f"{proxy}/graphql", json={"query": CHANGED}, headers=headers, ssl=TRUST)
    server.held.append(reply)
    stream = EventStreamClient(reply)
    await stream.comment()
    for _ in range(2):
        await server.publish_change("20")
        kind, data = await stream.receive()
        assert (kind, "errors" in data) == ("next", False)
