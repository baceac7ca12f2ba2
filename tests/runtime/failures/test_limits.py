"""Test what a client gets when a source is too slow, too busy or returns too much, and past its deadline."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from onedoor.connectors.memory import MemoryConnector
from onedoor.model.catalog import Catalog, Limits
from onedoor.query.context import QueryEngine
from onedoor.spi.capabilities import Capabilities
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest
from tests import acme

PATIENCE = 5.0
BOTH = "{ customers(first: 2) { nodes { id } } channels(first: 2) { nodes { id } } }"
SLACK = "{ channels(first: 2) { nodes { id } } }"
CUSTOMERS = "{ customers(first: 2) { nodes { id } } }"


class HeldConnector:
    """A source that answers once it is let go."""

    def __init__(self, source: MemoryConnector) -> None:
        self.source = source
        self.go = asyncio.Event()
        self.running = self.most = 0

    def capabilities(self, collection: str) -> Capabilities:
        return self.source.capabilities(collection)

    async def scan(self, ask: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.go.wait()
        finally:
            self.running -= 1
        async for batch in self.source.scan(ask):
            yield batch

    async def ping(self) -> None: ...

    async def close(self) -> None: ...


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return acme.build_catalog()


@pytest.fixture
def slack() -> HeldConnector:
    return HeldConnector(acme.sources()["slack"])


def open_engine(catalog: Catalog, slack: Any = None, **limits: Any) -> QueryEngine:
    sources = catalog.connectors if slack is None else {**catalog.connectors, "slack": slack}
    return acme.open_engine(replace(catalog, connectors=sources, limits=Limits(**limits)))


def failed(answer: Any) -> list[tuple[str, str, tuple[str | int, ...] | None]]:
    return [(error.code, error.message, error.path) for error in answer.errors]


async def test_a_slow_branch_is_null_and_the_rest_is_served(catalog: Catalog, slack: HeldConnector) -> None:
    answer = await acme.ask(open_engine(catalog, slack, source_seconds=0.05), BOTH, "sales")
    assert failed(answer) == [
        ("SOURCE_UNAVAILABLE", "`slack` did not answer within 0.05 s (limit `source_seconds`)", ("channels",))
    ]
    assert answer.data == {"customers": {"nodes": [{"id": "1"}, {"id": "2"}]}, "channels": None}
    assert slack.running == 0


async def test_a_full_source_refuses_who_comes_too_much(catalog: Catalog, slack: HeldConnector) -> None:
    engine = open_engine(catalog, slack, source_calls=4, source_queue=6)
    waiting = [asyncio.create_task(acme.ask(engine, SLACK, "sales")) for _ in range(5)]
    await until_waiting(engine, 3)
    answer = await acme.ask(engine, BOTH, "sales")
    slack.go.set()
    served = await asyncio.gather(*waiting)

    message = "`slack` has too many requests under way and waiting, try again later"
    assert failed(answer) == [("SOURCE_OVERLOADED", message, ("channels",))]
    assert answer.data["customers"] is not None
    assert [failed(item) for item in served] == [[]] * 5
    assert slack.most == 2


async def until_waiting(engine: QueryEngine, count: int) -> None:
    await wait_until(lambda: len(engine.connectors["slack"].slots.queue) >= count)


async def wait_until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(0)


async def test_a_branch_of_too_many_rows_is_null_and_names_the_limit(catalog: Catalog) -> None:
    """A source that filters nothing gives all it has."""
    plain = acme.promising_nothing(acme.sources()["internal"])
    engine = acme.open_engine(
        replace(catalog, connectors={**catalog.connectors, "internal": plain}, limits=Limits(rows_read=50))
    )
    answer = await acme.ask(engine, BOTH, "sales")
    message = "a read of `internal` is over the limit `rows_read` of 50, filter it"
    assert failed(answer) == [("LIMIT_EXCEEDED", message, ("customers",))]
    assert answer.data["channels"]["nodes"] is not None


async def test_a_request_ends_at_its_deadline(catalog: Catalog, slack: HeldConnector) -> None:
    engine = open_engine(catalog, slack, source_seconds=PATIENCE, request_seconds=0.05)
    async with asyncio.timeout(PATIENCE):
        answer = await acme.ask(engine, BOTH, "sales")
    message = "the answer took longer than the limit `request_seconds` of 0.05, ask for less"
    assert (failed(answer), answer.data) == ([("LIMIT_EXCEEDED", message, None)], None)
    assert slack.running == 0


async def test_a_request_that_is_left_stops_its_calls(catalog: Catalog, slack: HeldConnector) -> None:
    engine = open_engine(catalog, slack)
    asking = asyncio.create_task(acme.ask(engine, BOTH, "sales"))
    await wait_until(lambda: slack.running > 0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert (slack.running, engine.connectors["slack"].slots.free) == (0, Limits().source_calls)


async def test_others_are_answered_while_one_waits(catalog: Catalog, slack: HeldConnector) -> None:
    engine = open_engine(catalog, slack)
    waiting = asyncio.create_task(acme.ask(engine, BOTH, "sales"))
    async with asyncio.timeout(PATIENCE):
        answers = [await acme.ask(engine, CUSTOMERS, "sales") for _ in range(20)]
    done = waiting.done()
    slack.go.set()

    assert [failed(answer) for answer in answers] == [[]] * 20
    assert not done
    assert failed(await waiting) == []
