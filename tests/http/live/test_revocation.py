"""A revoked key or a deactivated user ends what is under way with the key: requests, sockets and streams."""

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest

from auth import api_keys, users
from onedoor.model.catalog import Limits
from tests import acme
from tests.http.conftest import HookedConnector
from tests.http.live.conftest import CHANGED, OpenServer, RunningServer, wait_until

WITHIN = 15.0
"""A second, and what a busy machine may take on top."""


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


def rotate_and_use(server: RunningServer, email: str, key: api_keys.IssuedKey) -> None:
    issued = api_keys.rotate_key(server.state, email, grace=timedelta(0))
    use = api_keys.KeyUse(key_id=issued.id, secret=issued.secret, at=server.state.now())
    api_keys.record_key_use(server.state, use)


async def test_a_former_secret_ends_with_its_grace_and_the_new_one_goes_on(server: RunningServer) -> None:
    email = server.person("sales")
    key = api_keys.create_key(server.state, email)
    websocket = await server.socket(key.text)
    rotate_and_use(server, email, key)
    assert (await websocket.wait_closed())[0] == 4403


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_a_request_under_way_is_ended_down_to_its_source(open_server: OpenServer, accept: str) -> None:
    patient = Limits(request_seconds=60.0, source_seconds=60.0)
    source = HookedConnector(acme.sources()["internal"], lambda _: asyncio.Event().wait())
    server: RunningServer = await open_server(limits=patient, sources={"internal": source})
    key = server.key("sales")
    asking = asyncio.create_task(
        server.session.post(
            server.url,
            json={"query": "{ customers { nodes { name } } }"},
            headers={"authorization": f"Bearer {key.text}", "accept": accept},
        )
    )
    async with asyncio.timeout(WITHIN):
        await source.began.wait()
        api_keys.revoke_key(server.state, key.id)
        reply = await asking
        server.held.append(reply)
        body = await reply.text()
        await source.cancelled.wait()
    assert "the key was ended while this was under way, ask again with a valid one" in body
    assert server.outcomes() == ["unauthenticated"]


async def test_nothing_is_looked_at_while_nothing_is_under_way(server: RunningServer) -> None:
    watch = server.app_state.key_watch
    websocket = await server.socket(server.key().text)
    await wait_until(lambda: watch._polling is not None)
    await websocket.socket.close()
    await wait_until(lambda: watch._polling.done())


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
