"""A revoked key or a deactivated user ends open subscriptions within 5 s, even without events."""

import time
from typing import Any

import pytest

from auth import api_keys, users
from tests.http.live.conftest import CHANGED, RunningServer, wait_until

WITHIN = 15.0
"""Five seconds, and what a busy machine may take on top."""


def revoke(server: RunningServer, email: str, key: api_keys.IssuedKey) -> None:
    api_keys.revoke_key(server.state, key.id)


def rotate(server: RunningServer, email: str, key: api_keys.IssuedKey) -> None:
    api_keys.rotate_key(server.state, email, grace=None)


def deactivate(server: RunningServer, email: str, key: api_keys.IssuedKey) -> None:
    users.deactivate_user(server.state, email)


ACTS = {"revoked": revoke, "rotated at once": rotate, "deactivated": deactivate}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
async def test_a_socket_is_closed_with_4403(server: RunningServer, act: Any) -> None:
    email = server.person("sales")
    key = api_keys.create_key(server.state, email)
    websocket = await server.socket(key.text)
    await websocket.subscribe("1", CHANGED)
    await wait_until(lambda: server.outcomes() == ["answered"])
    began = time.monotonic()
    act(server, email, key)
    assert await websocket.wait_closed() == (4403, "the key opens no more")
    assert time.monotonic() - began < WITHIN
    await wait_until(lambda: server.outcomes() == ["answered", "unauthenticated"])


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
async def test_a_stream_ends_with_an_error(server: RunningServer, act: Any) -> None:
    email = server.person("sales")
    key = api_keys.create_key(server.state, email)
    stream = await server.stream(key.text, CHANGED)
    began = time.monotonic()
    act(server, email, key)
    kind, result = await stream.receive()
    assert (kind, result["errors"][0]["extensions"]["code"]) == ("next", "UNAUTHENTICATED")
    assert await stream.receive() == ("complete", None)
    assert time.monotonic() - began < WITHIN
    assert server.outcomes() == ["answered", "unauthenticated"]


async def test_a_socket_without_questions_is_closed_too(server: RunningServer) -> None:
    key = server.key()
    websocket = await server.socket(key.text)
    api_keys.revoke_key(server.state, key.id)
    assert (await websocket.wait_closed())[0] == 4403


async def test_the_log_of_a_subscription_through_a_revocation(
    server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    key = server.key("sales")
    websocket, stream = await server.socket(key.text), await server.stream(key.text, CHANGED)
    began = time.monotonic()
    log: list[str] = []

    def noted(what: str) -> None:
        log.append(f"{time.monotonic() - began:6.2f} s  {what}")

    await websocket.subscribe("1", CHANGED)
    await wait_until(lambda: len(server.outcomes()) == 2)
    await server.publish_change("20")
    noted(f"socket: {await websocket.receive()}")
    noted(f"stream: {await stream.receive()}")
    api_keys.revoke_key(server.state, key.id)
    noted("the key is revoked")
    noted(f"socket: closed with {await websocket.wait_closed()}")
    noted(f"stream: {await stream.receive()}")
    noted(f"stream: {await stream.receive()}")
    await wait_until(lambda: len(server.records()) == 6)
    for record in server.records():
        noted(
            f"record: {record['id'][-6:]} of {record['subscription'][-6:]} {record['outcome']}, "
            f"events {record['events']}"
        )
    with capsys.disabled():
        print("", *log, sep="\n")
    result = [(record["outcome"], record["events"]) for record in server.records()]
    assert sorted(result, key=str) == [("answered", None)] * 4 + [("unauthenticated", 1)] * 2
    await server.publish_change("20")
    assert len(server.records()) == 6
