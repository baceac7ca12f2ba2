"""Servers that are killed, hang and come back, behind the whole house: what fails, and what is served all the same."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from demo.servers.run import Running, kill, restart, start, wait_ready
from onedoor.model.catalog import Limits
from onedoor.runtime.resilience import BREAKER_FAILURES, PROBE_SECONDS, QUEUE_SECONDS
from tests.runtime.failures.conftest import Ask, Door, Reply, hanging

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
MARGIN = 3.0
"""What a busy machine may take on top."""
NAMES = tuple(BRANCHES)


@pytest.fixture
async def whole(ask: Ask) -> Reply:
    """What is answered while everything is well."""
    return await until_whole(ask, MARGIN)


async def until_whole(ask: Ask, seconds: float) -> Reply:
    """Asks on and on, until nothing fails."""
    deadline = time.monotonic() + seconds
    while (answer := await ask(EVERYTHING)).errors:
        assert time.monotonic() < deadline, f"not right again within {seconds:g} s: {answer.errors}"
        await asyncio.sleep(0.05)
    return answer


def without(whole: Reply, name: str) -> Any:
    """The same answer, one branch of it null."""
    nodes = [{**node, FIELDS[name]: None} for node in whole.data["customers"]["nodes"]]
    return {**whole.data, "customers": {**whole.data["customers"], "nodes": nodes}}


@pytest.mark.parametrize("name", NAMES)
async def test_a_killed_server_costs_its_branch_alone_and_is_back_within_two_seconds(
    running: Running, ask: Ask, whole: Reply, name: str
) -> None:
    kill(running, name)
    async with asyncio.timeout(TIMEOUT + MARGIN):
        answer = await ask(EVERYTHING)
    restart(running, name)
    again = await until_whole(ask, BACK_SECONDS)

    path = f"customers/nodes/0/{FIELDS[name]}"
    assert {each: code for each, (code, _) in answer.failed().items()} == {path: "SOURCE_UNAVAILABLE"}
    assert (answer.status, answer.data) == (200, without(whole, name))
    assert again.data == whole.data


@pytest.mark.parametrize("name", NAMES)
async def test_a_hanging_server_holds_up_nobody_else(running: Running, ask: Ask, whole: Reply, name: str) -> None:
    others = question(*(each for each in NAMES if each != name))
    with hanging(running, name):
        waiting = asyncio.create_task(ask(EVERYTHING))
        await until(lambda: not waiting.done())
        meanwhile = await asyncio.gather(*(ask(others) for _ in range(5)))
        done = waiting.done()
        async with asyncio.timeout(TIMEOUT + MARGIN):
            answer = await waiting
    again = await until_whole(ask, BACK_SECONDS)

    assert [each.errors for each in meanwhile] == [[]] * 5
    assert not done
    assert list(answer.failed()) == [f"customers/nodes/0/{FIELDS[name]}"]
    assert (answer.data, again.data) == (without(whole, name), whole.data)


async def test_a_killed_store_is_missed_by_name_and_the_others_files_are_served(
    running: Running, ask: Ask, whole: Reply
) -> None:
    text = "{ files(first: 1000) { totalCount nodes { store } } }"
    before = await ask(text)
    kill(running, "s3")
    answer = await ask(text)
    restart(running, "s3")
    await until_whole(ask, BACK_SECONDS)

    kept = [each for each in before.data["files"]["nodes"] if each["store"] != "S3"]
    assert 0 < len(kept) < before.data["files"]["totalCount"]
    assert answer.data == {"files": {"totalCount": None, "nodes": kept}}
    assert {path: code for path, (code, _) in answer.failed().items()} == {"files": "SOURCE_UNAVAILABLE"}


async def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + MARGIN
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_a_dead_server_is_left_alone(running: Running, door: Door, ask: Ask, whole: Reply) -> None:
    kill(running, "slack")
    calls, began = door.calls("slack"), time.monotonic()
    answers = [await ask(SLACK) for _ in range(60)]
    probes = (time.monotonic() - began) / PROBE_SECONDS + 1
    made = door.calls("slack") - calls
    restart(running, "slack")
    again = await until_whole(ask, BACK_SECONDS)

    assert BREAKER_FAILURES <= made <= BREAKER_FAILURES + probes
    assert answers[0].failed() == {"channels": ("SOURCE_UNAVAILABLE", "slack could not be reached")}
    assert answers[-1].failed()["channels"][0] == "SOURCE_UNAVAILABLE"
    assert again.data == whole.data


async def test_health_tells_which_server_is_down(running: Running, door: Door, ask: Ask, whole: Reply) -> None:
    kill(running, "s3")
    down = await health(door, "down")
    restart(running, "s3")
    await until_whole(ask, BACK_SECONDS)
    up = await health(door, "up")

    assert down == {**dict.fromkeys(up, "up"), "s3": "down"}
    assert up == dict.fromkeys(down, "up")


async def health(door: Door, wanted: str) -> dict[str, str]:
    """What is said of the sources once S3 is as wanted: it is not asked anew at every call."""
    deadline = time.monotonic() + BACK_SECONDS
    async with aiohttp.ClientSession(f"http://127.0.0.1:{door.port}") as session:
        while True:
            async with session.get("/health") as response:
                states: dict[str, str] = (await response.json())["sources"]
            if states["s3"] == wanted:
                return states
            assert time.monotonic() < deadline, f"not {wanted} within {BACK_SECONDS:g} s"
            await asyncio.sleep(0.05)


async def test_all_of_them_at_once(running: Running, ask: Ask, whole: Reply) -> None:
    for name in NAMES:
        kill(running, name)
    async with asyncio.timeout(TIMEOUT + MARGIN):
        answer = await ask(EVERYTHING)
    for name in NAMES:
        start(running, name)
    wait_ready(running, NAMES)
    again = await until_whole(ask, BACK_SECONDS)

    assert sorted(answer.failed()) == sorted(f"customers/nodes/0/{field}" for field in FIELDS.values())
    nodes = [{**node, **dict.fromkeys(FIELDS.values())} for node in whole.data["customers"]["nodes"]]
    assert answer.data == {**whole.data, "customers": {**whole.data["customers"], "nodes": nodes}}
    assert again.data == whole.data
