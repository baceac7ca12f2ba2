"""Every limit is a setting, and who goes over one is told its name, its value and what would do."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import pytest

from onedoor.connectors.spill.factory import SpillTableFactory
from onedoor.model.catalog import Limits
from tests import acme
from tests.http.conftest import Door, Odd, Opening, door, hang, keys, opening, state
from tests.http.test_protocol import FEW, said, serving

__all__ = ["door", "keys", "opening", "state"]

ME = "{ me { id } }"
INNER = "{ __schema { types { fields { type { fields { name } } } } } }"
TWICE = 'mutation { a: cancelJob(input: {id: "1"}) { id } b: cancelJob(input: {id: "2"}) { id } }'
PAIR = '{ customers(where: {name: {eq: "a"}, email: {eq: "b"}}) { totalCount } }'
NESTED = '{ customers(where: {not: {not: {name: {eq: "a"}}}}) { totalCount } }'

ASKED: dict[str, tuple[int, str, str]] = {
    "first_max": (2, "{ customers(first: 3) { totalCount } }", "read on with a cursor"),
    "in_max": (2, '{ customers(where: {id: {in: ["1", "2", "3"]}}) { totalCount } }', "ask in parts"),
    "document_characters": (5, ME, "ask in parts"),
    "document_tokens": (5, ME, "ask in parts"),
    "picks_max": (1, ME, "ask in parts"),
    "depth_max": (1, ME, "ask for less at once"),
    "aliases_max": (1, "{ a: me { id } b: me { id } }", "ask in parts"),
    "directives_max": (1, "{ me @skip(if: false) { id @skip(if: false) } }", "leave some out"),
    "root_fields_max": (1, "{ a: me { id } b: me { id } }", "ask in parts"),
    "mutations_max": (1, TWICE, "ask in parts"),
    "introspection_times": (1, INNER, "ask for each once"),
    "introspection_depth": (1, INNER, "ask flatter"),
    "tests_max": (1, PAIR, "ask in parts"),
    "filter_depth_max": (1, NESTED, "ask in parts"),
    "cost_max": (2, "{ customers(first: 3) { nodes { id } } }", "ask for fewer with `first`, or in parts"),
    "keys_carried": (1, '{ usageDays(where: {customer: {name: {ne: ""}}}) { totalCount } }', "filter it more"),
    "rows_read": (1, "{ customers(first: 3) { nodes { id } } }", "filter it"),
    "scratch_bytes": (1, "{ customers(first: 3) { nodes { id } } }", "filter it or ask again later"),
    "scratch_disk_bytes": (1, "{ customers(first: 3) { nodes { name email } } }", "filter it or ask again later"),
}
"""A small limit, a question over it, and what its refusal says would do."""
BESIDE: dict[str, Mapping[str, Any]] = {
    "scratch_bytes": {"rows_in_memory": 1},
    "scratch_disk_bytes": {"rows_in_memory": 1, "scratch_bytes": 2**20},
}
"""Other limits that bring a question to this one."""
BARE = {"rows_read", *BESIDE}
"""Gone over where the source takes no step."""
SENT: dict[str, tuple[Any, Mapping[str, Any], str]] = {
    "body_bytes": (20, {}, "ask for less at once"),
    "body_seconds": (0.02, {"content-length": "99"}, "send it faster"),
    "variables_depth": (2, {}, "flatten them"),
    "request_seconds": (0.02, {}, "ask for less"),
}
"""The same for what a body may be and an answer may take."""
COUNTED = {"requests_a_minute": (1, 429), "failed_keys_a_minute": (1, 429), "concurrency_max": (1, 503)}
HEADS: dict[str, tuple[Any, bytes, str]] = {
    "head_bytes": (100, b"GET / HTTP/1.1\r\nx: " + b"a" * 200, "send less of it"),
    "head_seconds": (0.1, b"GET /", "send it faster"),
    "connections_an_address": (1, FEW, "use one for many requests"),
}
LIVE = {"subscriptions_max", "init_seconds"}
"""Gone over in tests/live."""
PACES = {"first_default", "source_seconds", "source_calls", "source_queue", "rows_in_memory", "errors_max"}
PACES |= {"heartbeat_seconds", "stalled_seconds"}
"""Nobody is refused for these: a default, what one source may do before it counts as failed, rows that then go through
the scratch database, a list cut short, a client that gives no sign of life."""


def test_every_limit_is_gone_over_here() -> None:
    assert {each.name for each in fields(Limits)} == {*ASKED, *SENT, *COUNTED, *HEADS, *LIVE, *PACES}


@pytest.fixture(scope="module")
def house() -> Any:
    return acme.house()


@pytest.mark.parametrize("name", ASKED)
async def test_a_question_over_a_limit_is_told_which_and_what_would_do(house: Any, name: str) -> None:
    value, text, remedy = ASKED[name]
    inside = house if name not in BARE else replace(house, sources=promising_nothing(house))
    limits = replace(Limits(), **{name: value}, **BESIDE.get(name, {}))
    told = await acme.ask(acme.opened(replace(inside, limits=limits, scratch=SpillTableFactory(limits))), text, "sales")
    assert [names(each.message, name, value, remedy) for each in told.errors] == [True]
    assert {each.code for each in told.errors} == {"LIMIT_EXCEEDED"}


def promising_nothing(house: Any) -> Any:
    return {**house.sources, "internal": acme.promising_nothing(house.sources["internal"])}


def names(message: str, name: str, value: float, remedy: str) -> bool:
    return f"`{name}` of {value:g}" in message and message.endswith(remedy)


@pytest.mark.parametrize("name", SENT)
async def test_a_request_over_a_limit_is_told_which_and_what_would_do(opening: Opening, name: str) -> None:
    value, headers, remedy = SENT[name]
    odd = Odd(acme.sources()["internal"], hang)
    door: Door = await opening({"internal": odd}, limits=replace(Limits(), **{name: value}))
    body = json.dumps({"query": "{ customer(id: 1) { name } }", "variables": {"x": {"y": {"z": 1}}}})
    told = await door.send(data=slowly(body), headers={**door.bearer("sales"), **JSON, **headers})
    assert names(told.body["errors"][0]["message"], name, value, remedy), told.body


JSON = {"content-type": "application/json"}


async def slowly(body: str) -> Any:
    yield body.encode()
    await asyncio.sleep(0.1)


@pytest.mark.parametrize("name", COUNTED)
async def test_one_too_many_is_told_which_limit_and_when_to_come_again(opening: Opening, name: str) -> None:
    value, status = COUNTED[name]
    odd = Odd(acme.sources()["internal"], hang)
    door: Door = await opening({"internal": odd}, counted=replace(acme.UNCOUNTED, **{name: value}))
    if name == "concurrency_max":
        first = asyncio.create_task(door.ask("{ customer(id: 1) { name } }"))
        await odd.began.wait()
        told = await door.ask(ME)
        first.cancel()
    else:
        told = [await door.ask(ME, "sales" if name == "requests_a_minute" else None) for _ in range(2)][1]
    assert told.status == status
    assert names(told.body["errors"][0]["message"], name, value, f"come again in {told.headers['retry-after']} s")


@pytest.mark.parametrize("name", HEADS)
async def test_a_connection_over_a_limit_is_told_which_and_what_would_do(name: str) -> None:
    value, octets, remedy = HEADS[name]
    async with serving(replace(Limits(), **{name: value})) as port:
        _, held = await asyncio.open_connection("127.0.0.1", port)
        if name != "connections_an_address":
            held.close()
        told = await said(port, octets)
        held.close()
    (error,) = json.loads(told.partition(b"\r\n\r\n")[2])["errors"]
    assert names(error["message"], name, value, remedy), error
