"""In every state in which the server waits for a client, a client that keeps silent is let go."""

import asyncio
import socket
from typing import Any

import pytest

from onedoor.http.connection import StallTimer
from onedoor.model.catalog import Limits
from tests.http.raw import SECONDS, exchange_bytes, list_statuses, open_raw_server
from tests.http.test_upgrade import FRAME, HANDSHAKE

SOON = 0.05
INTERVALS = {"keep_alive_seconds": SOON, "closing_seconds": SOON}
LIMITS = Limits(head_seconds=SOON, body_seconds=SOON, heartbeat_seconds=SOON, stalled_seconds=SOON)
WHOLE = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
UNREAD = b"POST /unread HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n"
SILENT = {
    "before a request": b"",
    "in a line": b"GET / HT",
    "in a head": b"GET / HTTP/1.1\r\nhost: x\r\n",
    "in a body that is not read": UNREAD,
    "in a body that is not read, after a part of it": UNREAD + b"x" * 10,
    "in a chunk": b"POST /unread HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
    "between requests": WHOLE,
    "after an empty line between requests": WHOLE + b"\r\n",
    "in a second head": WHOLE + b"GET /",
    "in a head behind an upgrade that is ignored": WHOLE[:-2] + b"upgrade: h2c\r\nconnection: upgrade\r\n\r\nGET",
    "in a handshake": HANDSHAKE,
    "after a handshake that is refused": b"POST" + HANDSHAKE[3:] + b"\r\n",
    "after what is no HTTP": b"hello\r\n\r\n",
    "over a WebSocket": HANDSHAKE + b"\r\n",
    "in a frame": HANDSHAKE + b"\r\n" + FRAME[:4],
    "in the closing handshake": HANDSHAKE + b"\r\n" + b"\x83\x80\0\0\0\0",
}


@pytest.mark.parametrize("octets", SILENT.values(), ids=SILENT)
async def test_a_client_that_keeps_silent_is_let_go(octets: bytes) -> None:
    async with open_raw_server(LIMITS, **INTERVALS) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(octets)
        await server.wait_until_served()
        await server.wait_until_alone()
        writer.close()


async def test_a_client_that_drips_a_body_nobody_reads_is_let_go() -> None:
    async with open_raw_server(LIMITS, **INTERVALS) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(UNREAD)
        await server.wait_until_served()
        async with asyncio.timeout(SECONDS):
            while server.connections:
                writer.write(b"x")
                await asyncio.sleep(SOON / 10)
        writer.close()


async def test_a_client_that_does_not_close_its_side_is_let_go() -> None:
    async def close(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4400})

    async with open_raw_server(Limits(), close, **INTERVALS) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(HANDSHAKE + b"\r\n")
        await reader.readuntil(b"\x88\x02\x11\x30")
        await server.wait_until_alone()
        writer.close()


async def test_a_client_that_is_slow_with_a_second_request_waits_for_no_408_in_place_of_its_answer() -> None:
    answer = asyncio.Event()

    async def wait(scope: Any, receive: Any, send: Any) -> None:
        await answer.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async with open_raw_server(LIMITS, wait, **INTERVALS) as server:
        asyncio.get_running_loop().call_later(4 * SOON, answer.set)
        assert list_statuses(await exchange_bytes(server.port, WHOLE + b"GET /")) == [200, 408]


async def test_a_client_that_takes_in_less_than_a_buffer_is_let_go() -> None:
    class Writer(asyncio.Protocol):
        stall_timer: StallTimer

        def __init__(self) -> None:
            self.lost = asyncio.Event()

        def connection_made(self, transport: Any) -> None:
            self.stall_timer = StallTimer(transport, SOON)

        def pause_writing(self) -> None:
            self.stall_timer.start()

        def connection_lost(self, exc: Exception | None) -> None:
            self.lost.set()

    ours, theirs = socket.socketpair()
    transport, protocol = await asyncio.get_running_loop().create_connection(Writer, sock=ours)
    while not transport.get_write_buffer_size():
        transport.write(b"x" * 1024)
    transport.close()
    async with asyncio.timeout(SECONDS):
        await protocol.lost.wait()
    theirs.close()
