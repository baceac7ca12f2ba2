"""Every limit is a setting, and an error past it gives its name, its value and what would do."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import pytest

from onedoor.connectors.spill.factory import SpillTableFactory
from onedoor.model.catalog import Limits
from tests import acme
from tests.http.conftest import HookedConnector, OpenServer, RunningServer, hang, keys, open_server, server, state
from tests.http.raw import exchange_bytes, serve_raw
from tests.http.test_protocol import FEW

__all__ = ["keys", "open_server", "server", "state"]

ME = "{ me { id } }"
INNER = "{ __schema { types { fields { type { fields { name } } } } } }"
TWICE = 'mutation { a: cancelJob(input: {id: "1"}) { id } b: cancelJob(input: {id: "2"}) { id } }'
PAIR = '{ customers(where: {name: {eq: "a"}, email: {eq: "b"}}) { totalCount } }'
NESTED = '{ customers(where: {not: {not: {name: {eq: "a"}}}}) { totalCount } }'

OPERATIONS: dict[str, tuple[int, str, str]] = {
    "field_comparisons_max": (20, "{ me { " + "email " * 20 + "} }", "ask in parts"),
    "first_max": (2, "{ customers(first: 3) { totalCount } }", "read on with a cursor"),
    "in_max": (2, '{ customers(where: {id: {in: ["1", "2", "3"]}}) { totalCount } }', "ask in parts"),
    "document_characters": (5, ME, "ask in parts"),
    "document_tokens": (5, ME, "ask in parts"),
    "fields_max": (1, ME, "ask in parts"),
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
    "cross_source_keys_max": (
        1,
        '{ usageDays(where: {customer: {name: {ne: ""}}}) { totalCount } }',
        "narrow the filter",
    ),
    "rows_read": (1, "{ customers(first: 3) { nodes { id } } }", "filter it"),
    "scratch_bytes": (1, "{ customers(first: 3) { nodes { id } } }", "filter it or ask again later"),
    "scratch_disk_bytes": (1, "{ customers(first: 3) { nodes { name email } } }", "filter it or ask again later"),
}
"""A small limit, an operation past it, and what its error says would do."""

OTHER_LIMITS: dict[str, Mapping[str, Any]] = {
    "scratch_bytes": {"rows_in_memory": 1},
    "scratch_disk_bytes": {"rows_in_memory": 1, "scratch_bytes": 2**20},
}
"""Further limits that let an operation reach this one."""

WITHOUT_PUSHDOWN = {"rows_read", *OTHER_LIMITS}
"""Reached where the source takes no step."""

BODIES: dict[str, tuple[Any, Mapping[str, Any], str]] = {
    "body_bytes": (20, {}, "ask for less at once"),
    "body_seconds": (0.02, {"content-length": "99"}, "send it faster"),
    "variables_depth": (2, {}, "flatten them"),
    "request_seconds": (0.02, {}, "ask for less"),
}
"""The same for the body of a request and the time of its response."""

RATES = {
    "requests_a_minute": (1, 429),
    "failed_keys_a_minute": (1, 429),
    "concurrency_max": (1, 503),
    "concurrency_a_key": (1, 429),
    "loop_seconds_a_minute": (0.00001, 429),
}

HEADS: dict[str, tuple[Any, bytes, str]] = {
    "head_bytes": (100, b"GET / HTTP/1.1\r\nx: " + b"a" * 200, "send less of it"),
    "head_seconds": (0.1, b"GET /", "send it faster"),
    "connections_an_address": (1, FEW, "use one for many requests"),
}

ELSEWHERE = {
    "subscriptions_max",
    "subscriptions_a_key",
    "record_bytes_a_minute",
    "connection_init_timeout",
    "bodies_a_key",
    "request_bytes_a_key",
}
"""Reached in tests/http/live and tests/security/threats/test_fair_shares.py."""

NOT_REFUSED = {"first_default", "source_seconds", "source_calls", "source_queue", "rows_in_memory", "errors_max"}
NOT_REFUSED |= {"heartbeat_seconds", "stalled_seconds"}
"""No request is refused for these: a default, the bounds of a source, the start of spilling, the length of a list of
errors, and the times of a connection."""


def test_every_limit_is_reached_here() -> None:
    assert {limit.name for limit in fields(Limits)} == {*OPERATIONS, *BODIES, *RATES, *HEADS, *ELSEWHERE, *NOT_REFUSED}


@pytest.fixture(scope="module")
def catalog() -> Any:
    return acme.build_catalog()


@pytest.mark.parametrize("name", OPERATIONS)
async def test_an_operation_past_a_limit_names_it_and_what_would_do(catalog: Any, name: str) -> None:
    value, text, remedy = OPERATIONS[name]
    connectors = catalog.connectors if name not in WITHOUT_PUSHDOWN else promising_nothing(catalog)
    limits = replace(Limits(), **{name: value}, **OTHER_LIMITS.get(name, {}))
    catalog = replace(catalog, connectors=connectors, limits=limits, open_spill_table=SpillTableFactory(limits))
    result = await acme.ask(acme.open_engine(catalog), text, "sales")
    assert [names(error.message, name, value, remedy) for error in result.errors] == [True]
    assert {error.code for error in result.errors} == {"LIMIT_EXCEEDED"}


def promising_nothing(catalog: Any) -> Any:
    return {**catalog.connectors, "internal": acme.promising_nothing(catalog.connectors["internal"])}


def names(message: str, name: str, value: float, remedy: str) -> bool:
    return f"`{name}` of {value:g}" in message and message.endswith(remedy)


@pytest.mark.parametrize("name", BODIES)
async def test_a_request_past_a_limit_names_it_and_what_would_do(open_server: OpenServer, name: str) -> None:
    value, headers, remedy = BODIES[name]
    odd = HookedConnector(acme.sources()["internal"], hang)
    server: RunningServer = await open_server({"internal": odd}, limits=replace(Limits(), **{name: value}))
    body = json.dumps({"query": "{ customer(id: 1) { name } }", "variables": {"x": {"y": {"z": 1}}}})
    response = await server.send(data=slowly(body), headers={**server.bearer("sales"), **JSON, **headers})
    assert names(response.body["errors"][0]["message"], name, value, remedy), response.body


JSON = {"content-type": "application/json"}


async def slowly(body: str) -> Any:
    yield body.encode()
    await asyncio.sleep(0.1)


@pytest.mark.parametrize("name", RATES)
async def test_one_too_many_names_the_limit_and_when_to_come_again(open_server: OpenServer, name: str) -> None:
    value, status = RATES[name]
    odd = HookedConnector(acme.sources()["internal"], hang)
    server: RunningServer = await open_server(
        {"internal": odd}, rate_limits=replace(acme.UNLIMITED_RATES, **{name: value})
    )
    if name.startswith("concurrency"):
        first = asyncio.create_task(server.ask("{ customer(id: 1) { name } }"))
        await odd.began.wait()
        result = await server.ask(ME)
        first.cancel()
    else:
        result = [await server.ask(ME, None if name == "failed_keys_a_minute" else "sales") for _ in range(2)][1]
    assert result.status == status
    assert names(result.body["errors"][0]["message"], name, value, f"come again in {result.headers['retry-after']} s")


@pytest.mark.parametrize("name", HEADS)
async def test_a_connection_past_a_limit_names_it_and_what_would_do(name: str) -> None:
    value, octets, remedy = HEADS[name]
    async with serve_raw(replace(Limits(), **{name: value})) as port:
        _, held = await asyncio.open_connection("127.0.0.1", port)
        if name != "connections_an_address":
            held.close()
        reply = await exchange_bytes(port, octets)
        held.close()
    (error,) = json.loads(reply.partition(b"\r\n\r\n")[2])["errors"]
    assert names(error["message"], name, value, remedy), error
