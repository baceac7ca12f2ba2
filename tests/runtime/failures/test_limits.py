"""What the engine tells a client when a source is too slow, too full or gives too much, and of its own deadline."""

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


class Held:
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
def house() -> Catalog:
    return acme.house()


@pytest.fixture
def slack() -> Held:
    return Held(acme.sources()["slack"])


def opened(house: Catalog, slack: Any = None, **limits: Any) -> QueryEngine:
    sources = house.connectors if slack is None else {**house.connectors, "slack": slack}
    return acme.opened(replace(house, connectors=sources, limits=Limits(**limits)))


def failed(answer: Any) -> list[tuple[str, str, tuple[str | int, ...] | None]]:
    return [(each.code, each.message, each.path) for each in answer.errors]


async def test_a_slow_branch_is_null_and_the_rest_is_served(house: Catalog, slack: Held) -> None:
    answer = await acme.ask(opened(house, slack, source_seconds=0.05), BOTH, "sales")
    assert failed(answer) == [("SOURCE_UNAVAILABLE", "`slack` did not answer within 0.05 s", ("channels",))]
    assert answer.data == {"customers": {"nodes": [{"id": "1"}, {"id": "2"}]}, "channels": None}
    assert slack.running == 0


async def test_a_full_source_refuses_who_comes_too_much(house: Catalog, slack: Held) -> None:
    desk = opened(house, slack, source_calls=2, source_queue=3)
    waiting = [asyncio.create_task(acme.ask(desk, SLACK, "sales")) for _ in range(5)]
    await until_waiting(desk, 3)
    answer = await acme.ask(desk, BOTH, "sales")
    slack.go.set()
    served = await asyncio.gather(*waiting)

    message = "`slack` has too many requests under way and waiting, try again later"
    assert failed(answer) == [("SOURCE_OVERLOADED", message, ("channels",))]
    assert answer.data["customers"] is not None
    assert [failed(each) for each in served] == [[]] * 5
    assert slack.most == 2


async def until_waiting(desk: QueryEngine, count: int) -> None:
    await until(lambda: desk.connectors["slack"].queued >= count)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(0)


async def test_a_branch_of_too_many_rows_is_null_and_names_the_limit(house: Catalog) -> None:
    """A source that filters nothing gives all it has."""
    plain = acme.promising_nothing(acme.sources()["internal"])
    desk = acme.opened(replace(house, connectors={**house.connectors, "internal": plain}, limits=Limits(rows_read=50)))
    answer = await acme.ask(desk, BOTH, "sales")
    message = "a read of `internal` is over the limit `rows_read` of 50, filter it"
    assert failed(answer) == [("LIMIT_EXCEEDED", message, ("customers",))]
    assert answer.data["channels"]["nodes"] is not None


async def test_a_request_ends_at_its_deadline(house: Catalog, slack: Held) -> None:
    desk = opened(house, slack, source_seconds=PATIENCE, request_seconds=0.05)
    async with asyncio.timeout(PATIENCE):
        answer = await acme.ask(desk, BOTH, "sales")
    message = "the answer took longer than the limit `request_seconds` of 0.05, ask for less"
    assert (failed(answer), answer.data) == ([("LIMIT_EXCEEDED", message, None)], None)
    assert slack.running == 0


async def test_a_request_that_is_left_stops_its_calls(house: Catalog, slack: Held) -> None:
    desk = opened(house, slack)
    asking = asyncio.create_task(acme.ask(desk, BOTH, "sales"))
    await until(lambda: slack.running > 0)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert (slack.running, desk.connectors["slack"].semaphore._value) == (0, Limits().source_calls)


async def test_others_are_answered_while_one_waits(house: Catalog, slack: Held) -> None:
    desk = opened(house, slack)
    waiting = asyncio.create_task(acme.ask(desk, BOTH, "sales"))
    async with asyncio.timeout(PATIENCE):
        answers = [await acme.ask(desk, CUSTOMERS, "sales") for _ in range(20)]
    done = waiting.done()
    slack.go.set()

    assert [failed(each) for each in answers] == [[]] * 20
    assert not done
    assert failed(await waiting) == []
