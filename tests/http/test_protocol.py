"""Bound what a connection costs before its request: the size of its head, its time, and the number of connections."""

import asyncio
import json

import pytest

from onedoor.model.catalog import Limits
from tests.http.raw import PAGE, exchange_bytes, list_statuses, serve_raw

LIMITS = Limits(head_bytes=2_000, head_seconds=0.1, connections_an_address=5)
FEW = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


LARGE_BODY = b"\r\ncontent-length: 1000000\r\n\r\n" + b"x" * 1_000_000
FLOODS = {
    "one header that never ends": [b"GET / HTTP/1.1\r\nx: " + b"a" * 5_000],
    "one long header": [b"GET / HTTP/1.1\r\nx: " + b"a" * 5_000 + b"\r\n\r\n"],
    "many short headers": [b"GET / HTTP/1.1\r\n" + b"x: a\r\n" * 2_000 + b"\r\n"],
    "a long address": [b"GET /" + b"a" * 5_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n"],
}


@pytest.mark.parametrize("parts", FLOODS.values(), ids=FLOODS)
async def test_a_head_over_the_limit_is_refused(parts: list[bytes]) -> None:
    async with serve_raw(LIMITS) as port:
        reply = await exchange_bytes(port, *parts)
        assert reply.startswith(b"HTTP/1.1 431 ")
        assert b"`head_bytes` of 2000, send less of it" in reply
        assert (await exchange_bytes(port, FEW)).startswith(b"HTTP/1.1 200 ")


SLOW = {"nothing at all": b"", "half a line": b"GET / HT", "half a head": b"GET / HTTP/1.1\r\nhost: x\r\n"}


@pytest.mark.parametrize("part", SLOW.values(), ids=SLOW)
async def test_a_head_that_does_not_come_is_not_waited_for(part: bytes) -> None:
    async with serve_raw(LIMITS) as port:
        reply = await exchange_bytes(port, part)
    assert reply.startswith(b"HTTP/1.1 408 ")
    assert b"`head_seconds` of 0.1, send it faster" in reply


async def test_connections_past_the_limit_of_an_address_are_refused_and_the_others_served() -> None:
    async with serve_raw(Limits(connections_an_address=5)) as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
        reply = await exchange_bytes(port, b"POST / HTTP/1.1\r\nhost: x\r\norigin: " + PAGE.encode() + LARGE_BODY)
        reader, writer = held[0]
        writer.write(FEW)
        served = await reader.read()
        for _, item in held:
            item.close()
    head, _, body = reply.partition(b"\r\n\r\n")
    lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    assert (list_statuses(reply), list_statuses(served)) == ([429], [200])
    assert json.loads(body)["errors"][0]["extensions"] == {"code": "LIMIT_EXCEEDED"}
    assert (lines["retry-after"], lines["access-control-allow-origin"], lines["connection"]) == ("1", PAGE, "close")
    assert len(lines["x-request-id"]) > 20


async def test_far_too_many_connections_are_refused_unread() -> None:
    async with serve_raw(Limits(connections_an_address=2)) as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
        assert list_statuses(await exchange_bytes(port)) == [429]
        for _, item in held:
            item.close()


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00",
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0" * 50,
        b"CONNECT x:1 HTTP/1.1\r\nhost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_a_400(garbage: bytes) -> None:
    async with serve_raw(LIMITS) as port:
        assert (await exchange_bytes(port, garbage)).startswith(b"HTTP/1.1 400 ")


async def test_a_request_whose_head_came_is_not_cut_off_by_the_time_for_heads() -> None:
    async with serve_raw(LIMITS) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            result = await reader.readuntil(b"GET / ")
            assert result.startswith(b"HTTP/1.1 200 ")
        writer.close()


HOSTS = {"none": (b"", 400), "two": (b"host: x\r\nHost: x\r\n", 400), "one": (b"host: x\r\n", 200)}


@pytest.mark.parametrize(("host", "status"), HOSTS.values(), ids=HOSTS)
async def test_a_request_names_one_host(host: bytes, status: int) -> None:
    async with serve_raw(LIMITS) as port:
        reply = await exchange_bytes(port, b"GET / HTTP/1.1\r\nconnection: close\r\n" + host + b"\r\n")
    assert list_statuses(reply) == [status]


async def test_http_1_0_needs_no_host() -> None:
    async with serve_raw(LIMITS) as port:
        assert list_statuses(await exchange_bytes(port, b"GET / HTTP/1.0\r\n\r\n")) == [200]


async def test_what_is_no_http_behind_a_request_is_refused_after_its_answer() -> None:
    async with serve_raw(LIMITS) as port:
        reply = await exchange_bytes(port, b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\nxhello\r\n\r\n")
    assert list_statuses(reply) == [200, 400]


async def test_a_refusal_leaves_no_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with serve_raw(LIMITS) as port:
        for octets in (
            b"hello\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        ):
            await exchange_bytes(port, octets)
    assert caplog.records == []
