"""A request for another protocol opens a WebSocket, is told why it cannot, or is answered as if it asked for none."""

import asyncio
import json
from itertools import product

import pytest

from onedoor.model.catalog import Limits
from tests.http.raw import SECONDS, exchange_bytes, list_statuses, serve_raw

KEY = b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
VERSION = b"sec-websocket-version: 13\r\n"
WEBSOCKET = b"connection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\n"
FRAME = b"\x81\x82\0\0\0\0hi"
"""A text message, masked with zeros."""
CLOSE = b"\x88\x80\0\0\0\0"
UPGRADES = {
    "h2c": b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n",
    "an unknown token": b"upgrade: gopher/1.0\r\nconnection: upgrade\r\n",
    "several tokens": b"connection: upgrade\r\nupgrade: TLS/1.3, h2c\r\nupgrade: other\r\n",
    "no token": b"connection: upgrade\r\nupgrade: \r\n",
}
BODIES = {
    "no body": b"\r\n",
    "a body": b"content-length: 2\r\n\r\n{}",
    "chunks": b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
}
LAST = b"GET /last HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


def build_request(method: str, upgrade: str, body: str) -> bytes:
    return b"%s /first HTTP/1.1\r\nhost: x\r\n%s%s" % (method.encode(), UPGRADES[upgrade], BODIES[body])


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("upgrade", UPGRADES)
async def test_an_upgrade_to_what_is_not_spoken_is_ignored(method: str, upgrade: str) -> None:
    async with serve_raw(Limits()) as port:
        for body, split in product(BODIES, (False, True)):
            request = build_request(method, upgrade, body)
            octets = [request + LAST]
            if split:
                middle = request.index(b"\r\n\r\n") + 4
                octets = [request[:20], request[20:middle], request[middle : middle + 1], request[middle + 1 :], LAST]
            reply = await exchange_bytes(port, *octets)
            sent = b"{}" if method == "POST" and body != "no body" else b""
            assert list_statuses(reply) == [200, 200], (body, split)
            assert b"\r\n\r\n%s /first %sHTTP/1.1 200" % (method.encode(), sent) in reply, (body, split)


async def test_a_websocket_in_http_1_0_is_ignored_too() -> None:
    async with serve_raw(Limits()) as port:
        reply = await exchange_bytes(port, b"POST /first HTTP/1.0\r\n" + WEBSOCKET + BODIES["a body"])
    assert list_statuses(reply) == [200]
    assert reply.endswith(b"POST /first {}")


async def test_many_upgrades_in_one_segment_are_all_answered() -> None:
    async with serve_raw(Limits()) as port:
        request = build_request("POST", "h2c", "a body")
        assert list_statuses(await exchange_bytes(port, request * 300 + LAST)) == [200] * 301


NO_HANDSHAKES = {
    "a POST": (b"POST", VERSION + KEY, b"content-length: 2\r\n\r\n{}", 405),
    "a POST without a key": (b"POST", b"", b"content-length: 2\r\n\r\n{}", 405),
    "a POST whose body never comes": (b"POST", VERSION + KEY, b"content-length: 2\r\n\r\n", 405),
    "a HEAD": (b"HEAD", VERSION + KEY, b"\r\n", 405),
    "a GET with a body": (b"GET", VERSION + KEY, b"content-length: 2\r\n\r\n{}", 400),
    "a GET with chunks": (b"GET", VERSION + KEY, BODIES["chunks"], 400),
    "no key": (b"GET", VERSION, b"\r\n", 400),
    "two keys": (b"GET", VERSION + KEY + KEY, b"\r\n", 400),
    "a short key": (b"GET", VERSION + b"sec-websocket-key: YWJj\r\n", b"\r\n", 400),
    "a key that is no base64": (b"GET", VERSION + b"sec-websocket-key: ????\r\n", b"\r\n", 400),
    "an older version": (b"GET", b"sec-websocket-version: 8\r\n" + KEY, b"\r\n", 426),
    "no version": (b"GET", KEY, b"\r\n", 426),
    "more headers than a handshake may have": (b"GET", VERSION + KEY + b"x: y\r\n" * 200, b"\r\n", 431),
    "a header longer than it may be": (b"GET", VERSION + KEY + b"x: %s\r\n" % (b"y" * 20_000), b"\r\n", 431),
}


@pytest.mark.parametrize(("method", "headers", "end", "status"), NO_HANDSHAKES.values(), ids=NO_HANDSHAKES)
async def test_what_is_no_handshake_is_refused_at_once(method: bytes, headers: bytes, end: bytes, status: int) -> None:
    async with serve_raw(Limits()) as port:
        reply = await exchange_bytes(port, method + b" /graphql HTTP/1.1\r\nhost: x\r\n" + WEBSOCKET + headers + end)
    assert list_statuses(reply) == [status]
    error = json.loads(reply.partition(b"\r\n\r\n")[2])["errors"][0]
    assert error["extensions"] == {"code": "BAD_REQUEST"}
    assert b"x-request-id" in reply


async def test_a_version_that_is_not_spoken_is_told_the_one_that_is() -> None:
    async with serve_raw(Limits()) as port:
        reply = await exchange_bytes(port, b"GET / HTTP/1.1\r\nhost: x\r\n" + WEBSOCKET + KEY + b"\r\n")
    assert b"\r\nsec-websocket-version: 13\r\n" in reply


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_a_handshake_without_its_upgrade_names_the_proxy(version: bytes) -> None:
    async with serve_raw(Limits()) as port:
        head = b"GET /graphql HTTP/%s\r\nhost: x\r\nconnection: close\r\n" % version
        reply = await exchange_bytes(port, head + VERSION + KEY + b"\r\n")
    assert list_statuses(reply) == [400]
    assert b"let the proxy pass both on" in reply


HANDSHAKE = b"GET /graphql HTTP/1.1\r\nhost: x\r\n" + WEBSOCKET + VERSION + KEY


@pytest.mark.parametrize(
    "more", [b"", b"content-length: 0\r\n", b"sec-websocket-extensions: ;\r\n", b"upgrade: h2c\r\n"]
)
async def test_a_handshake_opens_a_websocket_and_what_comes_right_behind_it_is_read(more: bytes) -> None:
    async with serve_raw(Limits()) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HANDSHAKE + more + b"\r\n" + FRAME)
        async with asyncio.timeout(SECONDS):
            reply = await reader.readuntil(b"\r\n\r\n\x81\x02hi")
            writer.write(CLOSE)
            assert await reader.read() == b"\x88\x00"
        writer.close()
    assert list_statuses(reply) == [101]


async def test_a_handshake_behind_a_request_under_way_is_refused_after_its_answer() -> None:
    async with serve_raw(Limits()) as port:
        request = b"POST /first HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"
        assert list_statuses(await exchange_bytes(port, request + HANDSHAKE + b"\r\n")) == [200, 400]
