"""Servers are killed, hang and come back behind a whole server: one branch fails, and the rest is served."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from demo.servers.run import RunningServers, kill, restart, start, wait_ready
from onedoor.model.catalog import Limits
from onedoor.runtime.breaker import BREAKER_FAILURES, PROBE_SECONDS
from onedoor.runtime.resilience import QUEUE_SECONDS
from tests.runtime.failures.conftest import Ask, Reply, RunningServer, suspend_server

BRANCHES = {
    "snowflake": "usage(first: 2) { nodes { day } }",
    "s3": "files(first: 2, where: {store: {in: [S3]}}) { nodes { name } }",
    "slack": "channel { name }",
    "azure": "azureFiles(first: 2) { nodes { name } }",
    "datadog": "monitors(first: 2) { nodes { name } }",
}
OWN = "id orders(first: 1) { nodes { id } }"
FIELDS = {"snowflake": "usage", "s3": "files", "slack": "channel", "azure": "azureFiles", "datadog": "monitors"}


def question(*names: str) -> str:
    nodes = " ".join([OWN, *(BRANCHES[name] for name in names)])
    return f"{{ customers(first: 2) {{ totalCount nodes {{ {nodes} }} }} products(first: 1) {{ nodes {{ id }} }} }}"


EVERYTHING = question(*BRANCHES)
TIMEOUT = QUEUE_SECONDS + Limits().source_seconds
SLACK = "{ channels(first: 1) { nodes { id } } }"
BACK_SECONDS = 2.0
MARGIN = 15.0
"""What a busy machine may take on top."""
NAMES = tuple(BRANCHES)


@pytest.fixture
async def complete_reply(ask: Ask) -> Reply:
    """What is answered while everything is well."""
    return await wait_until_whole(ask, MARGIN)


async def wait_until_whole(ask: Ask, seconds: float) -> Reply:
    """Asks on and on, until nothing fails."""
    deadline = time.monotonic() + seconds
    while (answer := await ask(EVERYTHING)).errors:
        assert time.monotonic() < deadline, f"not right again within {seconds:g} s: {answer.errors}"
        await asyncio.sleep(0.05)
    return answer


def without(complete_reply: Reply, name: str) -> Any:
    """The same answer, one branch of it null."""
    nodes = [{**node, FIELDS[name]: None} for node in complete_reply.data["customers"]["nodes"]]
    return {**complete_reply.data, "customers": {**complete_reply.data["customers"], "nodes": nodes}}


@pytest.mark.parametrize("name", NAMES)
async def test_a_killed_server_costs_its_branch_alone_and_is_back_within_two_seconds(
    killable_servers: RunningServers, ask: Ask, complete_reply: Reply, name: str
) -> None:
    kill(killable_servers, name)
    async with asyncio.timeout(TIMEOUT + MARGIN):
        answer = await ask(EVERYTHING)
    restart(killable_servers, name)
    again = await wait_until_whole(ask, BACK_SECONDS + MARGIN)

    path = f"customers/nodes/0/{FIELDS[name]}"
    assert {item: code for item, (code, _) in answer.errors_by_path().items()} == {path: "SOURCE_UNAVAILABLE"}
    assert (answer.status, answer.data) == (200, without(complete_reply, name))
    assert again.data == complete_reply.data


@pytest.mark.parametrize("name", NAMES)
async def test_a_hanging_server_holds_up_nobody_else(
    killable_servers: RunningServers, ask: Ask, complete_reply: Reply, name: str
) -> None:
    others = question(*(item for item in NAMES if item != name))
    with suspend_server(killable_servers, name):
        waiting = asyncio.create_task(ask(EVERYTHING))
        await wait_until(lambda: not waiting.done())
        meanwhile = await asyncio.gather(*(ask(others) for _ in range(5)))
        done = waiting.done()
        async with asyncio.timeout(TIMEOUT + MARGIN):
            answer = await waiting
    again = await wait_until_whole(ask, BACK_SECONDS + MARGIN)

    assert [item.errors for item in meanwhile] == [[]] * 5
    assert not done
    assert list(answer.errors_by_path()) == [f"customers/nodes/0/{FIELDS[name]}"]
    assert (answer.data, again.data) == (without(complete_reply, name), complete_reply.data)


async def test_a_killed_store_is_missed_by_name_and_the_others_files_are_served(
    killable_servers: RunningServers, ask: Ask, complete_reply: Reply
) -> None:
    text = "{ files(first: 1000) { totalCount nodes { store } } }"
    before = await ask(text)
    kill(killable_servers, "s3")
    answer = await ask(text)
    restart(killable_servers, "s3")
    await wait_until_whole(ask, BACK_SECONDS + MARGIN)

    nodes = [node for node in before.data["files"]["nodes"] if node["store"] != "S3"]
    assert 0 < len(nodes) < before.data["files"]["totalCount"]
    assert answer.data == {"files": {"totalCount": None, "nodes": nodes}}
    assert {path: code for path, (code, _) in answer.errors_by_path().items()} == {"files": "SOURCE_UNAVAILABLE"}


async def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + MARGIN
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_a_dead_server_is_left_alone(
    killable_servers: RunningServers, server: RunningServer, ask: Ask, complete_reply: Reply
) -> None:
    kill(killable_servers, "slack")
    calls, began = server.calls("slack"), time.monotonic()
    answers = [await ask(SLACK) for _ in range(60)]
    probes = (time.monotonic() - began) / PROBE_SECONDS + 1
    call_count = server.calls("slack") - calls
    restart(killable_servers, "slack")
    again = await wait_until_whole(ask, BACK_SECONDS + MARGIN)

    assert 0 < call_count <= BREAKER_FAILURES + probes, "failures of the last seconds count, too"
    assert answers[0].errors_by_path() == {"channels": ("SOURCE_UNAVAILABLE", "slack could not be reached")}
    assert answers[-1].errors_by_path()["channels"][0] == "SOURCE_UNAVAILABLE"
    assert again.data == complete_reply.data


async def test_health_tells_which_server_is_down(
    killable_servers: RunningServers, server: RunningServer, ask: Ask, complete_reply: Reply
) -> None:
    kill(killable_servers, "s3")
    down = await health(server, "down")
    restart(killable_servers, "s3")
    await wait_until_whole(ask, BACK_SECONDS + MARGIN)
    up = await health(server, "up")

    assert down == {**dict.fromkeys(up, "up"), "s3": "down"}
    assert up == dict.fromkeys(down, "up")


async def health(server: RunningServer, wanted: str) -> dict[str, str]:
    """What is said of the sources once S3 is as wanted: it is not asked anew at every call."""
    deadline = time.monotonic() + BACK_SECONDS + MARGIN
    async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session:
        while True:
            async with session.get("/health") as response:
                states: dict[str, str] = (await response.json())["sources"]
            if states["s3"] == wanted:
                return states
            assert time.monotonic() < deadline, f"not {wanted} within {BACK_SECONDS + MARGIN:g} s"
            await asyncio.sleep(0.05)


async def test_all_of_them_at_once(killable_servers: RunningServers, ask: Ask, complete_reply: Reply) -> None:
    for name in NAMES:
        kill(killable_servers, name)
    async with asyncio.timeout(TIMEOUT + MARGIN):
        answer = await ask(EVERYTHING)
    for name in NAMES:
        start(killable_servers, name)
    wait_ready(killable_servers, NAMES)
    again = await wait_until_whole(ask, BACK_SECONDS + MARGIN)

    assert sorted(answer.errors_by_path()) == sorted(f"customers/nodes/0/{field}" for field in FIELDS.values())
    nodes = [{**node, **dict.fromkeys(FIELDS.values())} for node in complete_reply.data["customers"]["nodes"]]
    assert answer.data == {**complete_reply.data, "customers": {**complete_reply.data["customers"], "nodes": nodes}}
    assert again.data == complete_reply.data
