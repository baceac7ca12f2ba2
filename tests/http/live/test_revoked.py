"""A key that is revoked, or whose person leaves, ends what goes on with it within 5 s, though nothing happens."""

import time
from typing import Any

import pytest

from auth import users
from tests.http.live.conftest import CHANGED, Door, until

WITHIN = 5.0


def revoke(door: Door, email: str, key: users.IssuedKey) -> None:
    users.revoke_key(door.state, key.id)


def rotate(door: Door, email: str, key: users.IssuedKey) -> None:
    users.rotate_key(door.state, email)


def deactivate(door: Door, email: str, key: users.IssuedKey) -> None:
    users.deactivate_user(door.state, email)


ACTS = {"revoked": revoke, "rotated": rotate, "deactivated": deactivate}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
async def test_a_socket_is_closed_with_4403(door: Door, act: Any) -> None:
    email = door.person("sales")
    key = users.create_key(door.state, email)
    talk = await door.socket(key.text)
    await talk.subscribe("1", CHANGED)
    await until(lambda: door.outcomes() == ["answered"])
    began = time.monotonic()
    act(door, email, key)
    assert await talk.closed() == (4403, "the key opens no more")
    assert time.monotonic() - began < WITHIN
    await until(lambda: door.outcomes() == ["answered", "unauthenticated"])


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
async def test_a_stream_ends_with_an_error(door: Door, act: Any) -> None:
    email = door.person("sales")
    key = users.create_key(door.state, email)
    stream = await door.stream(key.text, CHANGED)
    began = time.monotonic()
    act(door, email, key)
    kind, told = await stream.heard()
    assert (kind, told["errors"][0]["extensions"]["code"]) == ("next", "UNAUTHENTICATED")
    assert await stream.heard() == ("complete", None)
    assert time.monotonic() - began < WITHIN
    assert door.outcomes() == ["answered", "unauthenticated"]


async def test_a_socket_without_questions_is_closed_too(door: Door) -> None:
    key = door.key()
    talk = await door.socket(key.text)
    users.revoke_key(door.state, key.id)
    assert (await talk.closed())[0] == 4403


async def test_the_log_of_a_subscription_through_a_revocation(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    key = door.key("sales")
    talk, stream = await door.socket(key.text), await door.stream(key.text, CHANGED)
    began = time.monotonic()
    log: list[str] = []

    def noted(what: str) -> None:
        log.append(f"{time.monotonic() - began:6.2f} s  {what}")

    await talk.subscribe("1", CHANGED)
    await until(lambda: len(door.outcomes()) == 2)
    await door.changed("20")
    noted(f"socket: {await talk.heard()}")
    noted(f"stream: {await stream.heard()}")
    users.revoke_key(door.state, key.id)
    noted("the key is revoked")
    noted(f"socket: closed with {await talk.closed()}")
    noted(f"stream: {await stream.heard()}")
    noted(f"stream: {await stream.heard()}")
    await until(lambda: len(door.records()) == 6)
    for each in door.records():
        noted(f"record: {each['id'][-6:]} of {each['subscription'][-6:]} {each['outcome']}, events {each['events']}")
    with capsys.disabled():
        print("", *log, sep="\n")
    told = [(each["outcome"], each["events"]) for each in door.records()]
    assert sorted(told, key=str) == [("answered", None)] * 4 + [("unauthenticated", 1)] * 2
    await door.changed("20")
    assert len(door.records()) == 6
