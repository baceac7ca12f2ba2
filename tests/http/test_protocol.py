"""Bound what a connection costs before its request: the size of its head, its time, and the number of connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from onedoor.http.server import build_uvicorn_config
from onedoor.model.catalog import Limits

LIMITS = Limits(head_bytes=2_000, head_seconds=0.1, connections_an_address=5)
FEW = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def serve_uvicorn(limits: Limits) -> AsyncIterator[int]:
    uvicorn_config = build_uvicorn_config(hello, limits)
    uvicorn_config.lifespan = "off"
    uvicorn_config.port = 0
    server = uvicorn.Server(uvicorn_config)
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn tells in no other way
        await asyncio.sleep(0.005)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await running


async def exchange_bytes(port: int, *parts: bytes) -> bytes:
    """What comes back for these bytes, until the connection is shut."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
    async with asyncio.timeout(10):
        content = await reader.read()
    writer.close()
    return content


FLOODS = {
    "one header that never ends": [b"GET / HTTP/1.1\r\nx: " + b"a" * 5_000],
    "one long header": [b"GET / HTTP/1.1\r\nx: " + b"a" * 5_000 + b"\r\n\r\n"],
    "many short headers": [b"GET / HTTP/1.1\r\n" + b"x: a\r\n" * 2_000 + b"\r\n"],
    "a long address": [b"GET /" + b"a" * 5_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n"],
}


@pytest.mark.parametrize("parts", FLOODS.values(), ids=FLOODS)
async def test_a_head_over_the_limit_is_refused(parts: list[bytes]) -> None:
    async with serve_uvicorn(LIMITS) as port:
        reply = await exchange_bytes(port, *parts)
        assert reply.startswith(b"HTTP/1.1 431 ")
        assert b"`head_bytes` of 2000, send less of it" in reply
        assert (await exchange_bytes(port, FEW)).startswith(b"HTTP/1.1 200 ")


SLOW = {"nothing at all": b"", "half a line": b"GET / HT", "half a head": b"GET / HTTP/1.1\r\nhost: x\r\n"}


@pytest.mark.parametrize("part", SLOW.values(), ids=SLOW)
async def test_a_head_that_does_not_come_is_not_waited_for(part: bytes) -> None:
    async with serve_uvicorn(LIMITS) as port:
        reply = await exchange_bytes(port, part)
    assert reply.startswith(b"HTTP/1.1 408 ")
    assert b"`head_seconds` of 0.1, send it faster" in reply


async def test_connections_past_the_limit_of_an_address_are_refused_and_the_others_served() -> None:
    async with serve_uvicorn(Limits(connections_an_address=5)) as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
        reply = await exchange_bytes(port, FEW)
        reader, writer = held[0]
        writer.write(FEW)
        serve_app = await reader.read()
        for _, item in held:
            item.close()
    assert (reply[:13], serve_app[:13]) == (b"HTTP/1.1 429 ", b"HTTP/1.1 200 ")


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02\x00", b"hello\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\0" * 50])
async def test_what_is_no_http_is_a_400(garbage: bytes) -> None:
    async with serve_uvicorn(LIMITS) as port:
        assert (await exchange_bytes(port, garbage)).startswith(b"HTTP/1.1 400 ")


async def test_a_request_whose_head_came_is_not_cut_off_by_the_time_for_heads() -> None:
    async with serve_uvicorn(LIMITS) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            result = await reader.readuntil(b"ok")
            assert result.startswith(b"HTTP/1.1 200 ")
        writer.close()
