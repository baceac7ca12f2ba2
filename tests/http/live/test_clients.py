"""Unmodified clients subscribe: graphql-ws and graphql-sse on node, and gql over websockets."""

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

from auth import api_keys
from tests.e2e.clients.conftest import HERE, NODE, ROOT
from tests.http.live.conftest import CHANGED, NAMES, SECONDS, RunningServer, wait_until

OVER = ("socket", "stream")


async def start_program(server: RunningServer, key: str, *arguments: str) -> Process:
    given = {"PATH": os.environ["PATH"], "ONEDOOR_URL": server.url, "ONEDOOR_KEY": key}
    command = (NODE, "--import", HERE / "vendored.mjs", HERE / "live.mjs", *arguments)
    return await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=given, stdout=PIPE, stderr=PIPE)


async def read_output(process: Process) -> list[Any]:
    """All it printed, once it has ended by itself."""
    async with asyncio.timeout(SECONDS):
        out, complaints = await process.communicate()
    assert (process.returncode, complaints) == (0, b"")
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.parametrize("over", OVER)
async def test_a_client_hears_of_each_event(server: RunningServer, over: str) -> None:
    process = await start_program(server, server.key("sales").text, over, NAMES, "3")
    await wait_until(lambda: server.outcomes() == ["answered"])
    for id in ("3", "1", "2"):
        await server.publish_change(id)
    results = [item for item in await read_output(process) if item != {"closed": 1000}]
    assert [result["data"]["customerChanged"]["id"] for result in results[:-1]] == ["3", "1", "2"]
    assert results[-1] == "complete"
    await wait_until(lambda: len(server.records()) == 5)
    assert [record["events"] for record in server.records()][-1] == 3


@pytest.mark.parametrize("over", OVER)
async def test_a_client_gets_the_reply_to_a_query(server: RunningServer, over: str) -> None:
    output = await read_output(
        await start_program(server, server.key("sales").text, over, '{ customer(id: "20") { id } }', "9")
    )
    assert [item for item in output if item != {"closed": 1000}] == [{"data": {"customer": {"id": "20"}}}, "complete"]


@pytest.mark.parametrize("over", OVER)
async def test_a_client_gets_the_error_of_a_wrong_query(server: RunningServer, over: str) -> None:
    output = await read_output(
        await start_program(server, server.key("sales").text, over, "subscription { nothing }", "9")
    )
    wrong = [item for item in output if item not in ("complete", {"closed": 1000})]
    code = "GRAPHQL_VALIDATION_FAILED"
    assert wrong == [{"failed": code}] or [failure["errors"][0]["extensions"]["code"] for failure in wrong] == [code]


@pytest.mark.parametrize("over", OVER)
async def test_a_client_without_a_key_gets_an_error(server: RunningServer, over: str) -> None:
    output = await read_output(await start_program(server, "nonsense", over, CHANGED, "9"))
    assert {"closed": 4401} in output if over == "socket" else "failed" in output[0], output
    assert server.outcomes() == ["unauthenticated"]


@pytest.mark.parametrize("over", OVER)
async def test_a_client_whose_key_is_revoked_gets_an_error(server: RunningServer, over: str) -> None:
    key = server.key("sales")
    process = await start_program(server, key.text, over, CHANGED, "9")
    await wait_until(lambda: server.outcomes() == ["answered"])
    api_keys.revoke_key(server.state, key.id)
    output = await read_output(process)
    if over == "socket":
        assert {"closed": 4403} in output
    else:
        assert [output[0]["errors"][0]["extensions"]["code"], output[1]] == ["UNAUTHENTICATED", "complete"]


async def test_gql_hears_of_each_event(server: RunningServer) -> None:
    transport = WebsocketsTransport(
        url=server.url.replace("http", "ws"),
        headers={"authorization": f"Bearer {server.key('sales').text}"},
        subprotocols=["graphql-transport-ws"],
    )
    async with Client(transport=transport) as session, asyncio.timeout(SECONDS):
        assert await session.execute(gql('{ customer(id: "20") { id } }')) == {"customer": {"id": "20"}}
        events = session.subscribe(gql(CHANGED))
        first = asyncio.ensure_future(anext(events))
        await wait_until(lambda: server.outcomes("subscription") == ["answered"])
        await server.publish_change("20")
        assert (await first)["customerChanged"]["name"]
        with pytest.raises(TransportQueryError, match="has no field"):
            await session.execute(gql("{ nothing }"))
        await events.aclose()
    await wait_until(lambda: "cancelled" in server.outcomes("subscription"))
    assert print_ast(gql(CHANGED).document).startswith("subscription")
