"""The clients there are: graphql-ws and graphql-sse on node, and gql over websockets, as their makers made them."""

import asyncio
import json
import os
from asyncio.subprocess import PIPE, Process
from typing import Any

import pytest
from gql import Client, gql
from gql.transport.exceptions import TransportQueryError
from gql.transport.websockets import WebsocketsTransport
from graphql import print_ast

from auth import users
from tests.e2e.clients.conftest import HERE, NODE, ROOT
from tests.http.live.conftest import CHANGED, NAMES, SECONDS, Door, until

OVER = ("socket", "stream")


async def started(door: Door, key: str, *arguments: str) -> Process:
    given = {"PATH": os.environ["PATH"], "ONEDOOR_URL": door.url, "ONEDOOR_KEY": key}
    command = (NODE, "--import", HERE / "vendored.mjs", HERE / "live.mjs", *arguments)
    return await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=given, stdout=PIPE, stderr=PIPE)


async def told(process: Process) -> list[Any]:
    """All it printed, once it has ended by itself."""
    async with asyncio.timeout(SECONDS):
        out, complaints = await process.communicate()
    assert (process.returncode, complaints) == (0, b"")
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.parametrize("over", OVER)
async def test_a_client_hears_of_each_event(door: Door, over: str) -> None:
    process = await started(door, door.key("sales").text, over, NAMES, "3")
    await until(lambda: door.outcomes() == ["answered"])
    for id in ("3", "1", "2"):
        await door.changed(id)
    found = [each for each in await told(process) if each != {"closed": 1000}]
    assert [each["data"]["customerChanged"]["id"] for each in found[:-1]] == ["3", "1", "2"]
    assert found[-1] == "complete"
    await until(lambda: len(door.records()) == 5)
    assert [each["events"] for each in door.records()][-1] == 3


@pytest.mark.parametrize("over", OVER)
async def test_a_client_is_told_of_a_query(door: Door, over: str) -> None:
    found = await told(await started(door, door.key("sales").text, over, '{ customer(id: "20") { id } }', "9"))
    assert [each for each in found if each != {"closed": 1000}] == [{"data": {"customer": {"id": "20"}}}, "complete"]


@pytest.mark.parametrize("over", OVER)
async def test_a_client_is_told_what_was_wrong(door: Door, over: str) -> None:
    found = await told(await started(door, door.key("sales").text, over, "subscription { nothing }", "9"))
    wrong = [each for each in found if each not in ("complete", {"closed": 1000})]
    code = "GRAPHQL_VALIDATION_FAILED"
    assert wrong == [{"failed": code}] or [each["errors"][0]["extensions"]["code"] for each in wrong] == [code]


@pytest.mark.parametrize("over", OVER)
async def test_a_client_without_a_key_is_told_so(door: Door, over: str) -> None:
    found = await told(await started(door, "nonsense", over, CHANGED, "9"))
    assert {"closed": 4401} in found if over == "socket" else "failed" in found[0], found
    assert door.outcomes() == ["unauthenticated"]


@pytest.mark.parametrize("over", OVER)
async def test_a_client_whose_key_is_revoked_is_told_so(door: Door, over: str) -> None:
    key = door.key("sales")
    process = await started(door, key.text, over, CHANGED, "9")
    await until(lambda: door.outcomes() == ["answered"])
    users.revoke_key(door.state, key.id)
    found = await told(process)
    if over == "socket":
        assert {"closed": 4403} in found
    else:
        assert [found[0]["errors"][0]["extensions"]["code"], found[1]] == ["UNAUTHENTICATED", "complete"]


async def test_gql_hears_of_each_event(door: Door) -> None:
    transport = WebsocketsTransport(
        url=door.url.replace("http", "ws"),
        headers={"authorization": f"Bearer {door.key('sales').text}"},
        subprotocols=["graphql-transport-ws"],
    )
    async with Client(transport=transport) as session, asyncio.timeout(SECONDS):
        assert await session.execute(gql('{ customer(id: "20") { id } }')) == {"customer": {"id": "20"}}
        events = session.subscribe(gql(CHANGED))
        first = asyncio.ensure_future(anext(events))
        await until(lambda: door.outcomes("subscription") == ["answered"])
        await door.changed("20")
        assert (await first)["customerChanged"]["name"]
        with pytest.raises(TransportQueryError, match="has no field"):
            await session.execute(gql("{ nothing }"))
        await events.aclose()
    await until(lambda: "cancelled" in door.outcomes("subscription"))
    assert print_ast(gql(CHANGED).document).startswith("subscription")
