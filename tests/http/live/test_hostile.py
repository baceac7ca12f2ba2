"""Whatever a client does to a WebSocket or a stream costs nothing but its own connection."""

import asyncio
import json
import logging
import random
import resource
import socket as sockets
from typing import Any

import pytest

from onedoor.model.catalog import Limits
from tests.http.live.conftest import CHANGED, OpenServer, RunningServer, wait_until
from tests.http.live.frames import BINARY, PARTS, PING, TEXT, Wire, frame, open_websocket

CODES = {1002, 1007, 1009, 4400, 4401, 4409, 4429, None}
"""None: the client said goodbye, or the frame was no frame."""
HOSTILE = 500
WORDS: list[Any] = [
    None, True, 0, -1, 1e308, "", "x", "connection_init", "subscribe", "complete", "ping", "pong", "next", "error",
    "start", "stop", [], {}, [[[]]], {"query": "{"}, {"query": 1}, {"query": "{ me { id } }"}, {"query": CHANGED},
    {"query": "subscription" * 50}, {"query": "{" * 5000}, {"variables": [], "query": ""}, {"extensions": 1},
    "\ud800", "\x00", "a" * 5000, {"Authorization": []}, {"authorization": "Bearer \ud800"},
]  # fmt: skip


def message(draw: random.Random) -> bytes:
    draft = {name: draw.choice(WORDS) for name in ("type", "id", "payload", "query") if draw.random() < 0.7}
    if draw.random() < 0.7:
        draft["type"] = draw.choice(["subscribe", "complete", "ping", "pong", "connection_init"])
    return json.dumps(draft).encode()


def hostile(draw: random.Random) -> bytes:
    """One frame, or the beginning of one."""
    whole = message(draw)
    torn = whole[: draw.randrange(len(whole) + 1)]
    frames = [
        frame(TEXT, whole),
        frame(TEXT, torn),
        frame(TEXT, draw.randbytes(draw.randrange(200))),
        frame(BINARY, whole),
        frame(draw.randrange(16), torn),
        frame(TEXT, whole, masked=False),
        frame(TEXT, whole, reserved=draw.randrange(1, 8)),
        frame(PARTS, whole),
        frame(TEXT, torn, last=False) + frame(PARTS, whole[len(torn) :]),
        frame(PING, b"x" * draw.randrange(200)),
        frame(8, draw.randbytes(draw.randrange(4))),
        frame(TEXT, b"[" * 20_000),
        frame(TEXT, whole)[: draw.randrange(1, 6)],
        draw.randbytes(draw.randrange(1, 40)),
    ]
    return draw.choice(frames)


async def test_hostile_frames_crash_nothing_and_are_closed_with_the_codes_there_are(
    server: RunningServer, caplog: pytest.LogCaptureFixture
) -> None:
    draw = random.Random(20261121)
    key = server.key("sales").text
    sent, codes = 0, set()
    with caplog.at_level(logging.WARNING):
        while sent < HOSTILE:
            wire = await open_websocket(server.port)
            if draw.random() < 0.8:
                init = {"type": "connection_init", "payload": {"x-api-key": key}}
                await wire.send(frame(TEXT, json.dumps(init).encode()))
            try:
                for _ in range(8):
                    await wire.send(hostile(draw))
                    sent += 1
                await wire.send(frame(8, b"\x03\xe8"))
            except ConnectionError:
                pass
            if wire.writer.can_write_eof():
                wire.writer.write_eof()
            codes.add(await wire.wait_closed())
    assert codes - {1000, 1005} <= CODES, codes
    assert {4400, 1002} <= codes
    assert [record.getMessage()[:200] for record in caplog.records] == []
    assert {record["outcome"] for record in server.records()} <= {
        "answered", "refused", "unauthenticated", "cancelled", "partial",
    }  # fmt: skip
    await still_answers(server, key)


async def still_answers(server: RunningServer, key: str) -> None:
    websocket = await server.socket(key)
    await websocket.subscribe("1", '{ customer(id: "20") { name } }')
    assert (await websocket.receive())["type"] == "next"


async def authenticate(server: RunningServer, wire: Wire) -> None:
    init = {"type": "connection_init", "payload": {"x-api-key": server.key("sales").text}}
    await wire.send(frame(TEXT, json.dumps(init).encode()))
    opcode, payload = await wire.frame()
    while opcode == PING:
        opcode, payload = await wire.frame()
    assert json.loads(payload) == {"type": "connection_ack"}


ENDLESS = {
    "parts without end that hold nothing": (frame(TEXT, b"", last=False), frame(PARTS, b"", last=False), 1009),
    "parts without end": (frame(TEXT, b"a", last=False), frame(PARTS, b"a" * 5000, last=False), 1009),
    "bytes that are no text": (frame(TEXT, b"\xff"), b"", 1007),
}


@pytest.mark.parametrize(("first", "then", "code"), ENDLESS.values(), ids=ENDLESS)
async def test_a_message_that_has_no_end_has_one(
    server: RunningServer, first: bytes, then: bytes, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    wire = await open_websocket(server.port)
    await authenticate(server, wire)
    with caplog.at_level(logging.WARNING):
        try:
            await wire.send(first)
            for _ in range(20):
                await wire.send(then * 200)
        except ConnectionError:
            pass
        assert await wire.wait_closed() in (code, None)  # what is still being sent may push the goodbye aside
    assert caplog.records == []


async def test_a_hundred_sockets_hear_of_one_event_each(open_server: OpenServer) -> None:
    server: RunningServer = await open_server(limits=Limits(connections_an_address=200))
    keys = [server.key("sales").text for _ in range(10)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    talks = [await server.socket(keys[number % 10]) for number in range(100)]
    for talk in talks:
        await talk.subscribe("1", CHANGED)
    await wait_until(lambda: len(server.records()) == 100)
    for _ in range(3):
        await server.publish_change("20")
        results = await asyncio.gather(*(talk.receive() for talk in talks))
        assert {result["type"] for result in results} == {"next"}
        assert all(result["payload"]["data"]["customerChanged"]["name"] for result in results)
    assert len(server.records()) == 400
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000, "kilobytes for 100 sockets"
    await asyncio.gather(*(talk.socket.close() for talk in talks))
    await wait_until(lambda: len(server.records()) == 500)
    await wait_until(lambda: not server.uvicorn_server.server_state.connections)


async def test_who_does_not_return_a_sign_of_life_is_let_go(open_server: OpenServer) -> None:
    server: RunningServer = await open_server(limits=Limits(heartbeat_seconds=0.3))
    wire = await open_websocket(server.port)
    await authenticate(server, wire)
    await wire.send(frame(TEXT, json.dumps({"type": "subscribe", "id": "1", "payload": {"query": CHANGED}}).encode()))
    assert await wire.wait_closed() == 1013
    await wait_until(lambda: server.outcomes() == ["answered", "cancelled"])


WIDE = "subscription { customerChanged { " + " ".join(f"a{number}: name" for number in range(1000)) + " } }"
ROOM = Limits(
    stalled_seconds=0.3, aliases_max=10**6, fields_max=10**6, document_tokens=10**6, document_characters=10**6
)
"""For answers so large that few of them fill the buffers between the server and a client."""


@pytest.mark.parametrize("over", ["a socket", "a stream"])
async def test_who_takes_in_nothing_is_cut_off_and_the_others_hear_all(open_server: OpenServer, over: str) -> None:
    server: RunningServer = await open_server(limits=ROOM)
    other = await server.stream(server.key("sales").text, CHANGED)
    stalled = await _deaf(server, over)
    await wait_until(lambda: len(server.records("subscription")) == 2)
    store, subscriptions = server.app_state.pubsub.store, server.app_state.rate_limiter.subscriptions_by_key
    received = 0
    while len(subscriptions) == 2:
        await asyncio.to_thread(store.append, "customer", "20", "20")
        server.app_state.pubsub.wake()
        assert (await other.receive())[0] == "next"
        received += 1
        assert received < 5000
    stalled.close()
    await wait_until(lambda: server.outcomes("subscription").count("cancelled") == 1)


async def _deaf(server: RunningServer, over: str) -> sockets.socket:
    """A client that asks and never reads what it is told, with little room for it."""
    deaf = sockets.socket()
    deaf.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    deaf.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(deaf, ("127.0.0.1", server.port))
    key = server.key("sales").text
    ask = json.dumps({"query": WIDE})
    if over == "a stream":
        await loop.sock_sendall(
            deaf,
            f"POST /graphql HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\nx-api-key: {key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(ask)}\r\n\r\n{ask}".encode(),
        )
        return deaf
    await loop.sock_sendall(
        deaf,
        f"GET /graphql HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\nx-api-key: {key}\r\n"
        "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 13\r\n"
        "sec-websocket-protocol: graphql-transport-ws\r\n\r\n".encode(),
    )
    head = await loop.sock_recv(deaf, 4096)
    assert head.startswith(b"HTTP/1.1 101 ")
    draft = [{"type": "connection_init"}, {"type": "subscribe", "id": "1", "payload": json.loads(ask)}]
    await loop.sock_sendall(deaf, b"".join(frame(TEXT, json.dumps(item).encode()) for item in draft))
    return deaf
