"""Full garbage collections look at what is new; at all objects they look once in a while. Requests leave nothing."""

import asyncio
import gc
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

import pytest

from onedoor.http.server import WHOLE_COLLECTION_SECONDS, SurvivorFreezer
from tests.http.conftest import RunningServer

FRAGMENTS = " ".join(f"fragment F{number} on Employee {{ manager {{ id }} }}" for number in range(9))

REQUESTS = {
    "answered": {"query": "{ employees(first: 1, where: {or: [{id: {eq: 1}}, {not: {id: {eq: 2}}}]}) { totalCount } }"},
    "fragments": {"query": f"{{ employees {{ nodes {{ {' '.join(f'...F{n}' for n in range(9))} }} }} }} {FRAGMENTS}"},
    "too many to compare": {"query": "{ employees { nodes { " + "id " * 4_900 + "} } }"},
    "invalid": {"query": "{ employees { nodes { id }"},
    "unknown field": {"query": "{ employees { nodes { id nothing } } }"},
    "too many values": {
        "query": "query($ids: [ID!]) { employees(where: {id: {in: $ids}}) { totalCount } }",
        "variables": {"ids": ["1"] * 2_000},
    },
    "denied": {"query": "{ employees(first: 1) { nodes { salary } } }"},
}

PRINTED = {"PrintBuffer"}
"""graphql-core's printer makes a chain of texts, once for a document; each link of it leads to itself."""


@pytest.fixture
def garbage() -> Iterator[list[Any]]:
    gc.collect()
    gc.disable()
    try:
        yield gc.garbage
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_request_leaves_nothing_to_the_garbage_collector(
    name: str, server: RunningServer, garbage: list[Any]
) -> None:
    await server.send(json={"query": "{ me { id } }"}, headers=server.bearer("sales"))
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    await server.send(json=REQUESTS[name], headers=server.bearer("sales"))
    await asyncio.sleep(0)
    gc.collect()
    assert [
        value
        for value in garbage
        if isinstance(value, FrameType | TracebackType)
        or (type(value).__module__.startswith(("onedoor", "auth", "graphql")) and type(value).__name__ not in PRINTED)
    ] == []


def test_what_is_in_use_is_set_apart_and_after_a_while_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    calls, clock = list[str](), [0.0]
    monkeypatch.setattr(gc, "freeze", lambda: calls.append("freeze"))
    monkeypatch.setattr(gc, "unfreeze", lambda: calls.append("unfreeze"))
    freezer = SurvivorFreezer(lambda: clock[0])
    for seconds in (0.0, WHOLE_COLLECTION_SECONDS, WHOLE_COLLECTION_SECONDS + 1):
        clock[0] = seconds
        freezer("start", {"generation": 2})
        freezer("stop", {"generation": 1})
        freezer("stop", {"generation": 2})
    assert calls == ["freeze", "unfreeze", "freeze"]
