"""Replicas share their budgets through Redis, and while it is away each grants its part."""

import asyncio
import json
import logging
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from redis.asyncio import Redis

from onedoor.connectors.redis_budgets import RedisCounters, WeightedWindow, create_redis_counters
from onedoor.runtime.budgets import BudgetExceeded, BudgetLimits, Budgets, BudgetSettings, BudgetUnit
from onedoor.runtime.row_cache import CacheSettings
from tests import acme
from tests.runtime.cache.cached_reader import Clock
from tests.runtime.cache.redis import REAL, real

ADA = acme.caller("sales")
SECRET = b"the secret of all replicas"
SETTINGS = BudgetSettings(
    processes=2, keys=BudgetLimits(requests=100, cost=1000, rows=50), groups={"everyone": BudgetLimits(requests=10)}
)

pytestmark = pytest.mark.skipif(REAL is None, reason="redis-server: install redis")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("redis")
    with real(folder) as address:
        yield address


@pytest.fixture
async def replicas(url: str) -> AsyncIterator[list[Budgets]]:
    async with Redis.from_url(url) as client:
        await client.flushall()
    opened = [Budgets(SETTINGS, shared=open_counters(url), clock=Clock()) for _ in range(2)]
    yield opened
    for replica in opened:
        await replica.close()


def open_counters(url: str, clock: Clock | None = None, seconds: float = 5.0) -> RedisCounters:
    return create_redis_counters(CacheSettings(url=url, seconds=seconds), SECRET, clock or Clock())


async def test_replicas_share_a_budget(replicas: list[Budgets]) -> None:
    results = [await replicas[number % 2].admit(ADA) for number in range(14)]
    assert [item and item.allowance.setting for item in results] == [
        *[None] * 10,
        *["budgets.groups.everyone.requests"] * 4,
    ]
    assert [0 < item.seconds <= 120 for item in results if item is not None] == [True] * 4


async def test_what_one_has_used_another_refuses(replicas: list[Budgets]) -> None:
    here, there = replicas
    await here.take_cost(ADA, 999)
    await here.add(ADA, {BudgetUnit.ROWS: 70, BudgetUnit.BYTES: 5})
    with pytest.raises(BudgetExceeded, match=r"`budgets.keys.cost` of 1,000"):
        await there.take_cost(ADA, 2)
    await there.take_cost(ADA, 1)
    refusal = await there.admit(ADA)
    assert refusal is not None
    assert refusal.allowance.unit in (BudgetUnit.ROWS, BudgetUnit.COST)
    uses = {use.allowance.setting: use.used for use in await there.list_uses(ADA)}
    assert uses == {
        "budgets.keys.requests": 0, "budgets.groups.everyone.requests": 0, "budgets.keys.cost": 1000,
        "budgets.keys.rows": 70,
    }  # fmt: skip


async def test_a_request_that_one_of_two_budgets_refuses_counts_in_neither(replicas: list[Budgets]) -> None:
    for _ in range(12):
        await replicas[0].admit(ADA)
    uses = {use.allowance.setting: use.used for use in await replicas[1].list_uses(ADA)}
    assert (uses["budgets.keys.requests"], uses["budgets.groups.everyone.requests"]) == (10, 10)


async def test_nobody_who_reads_redis_learns_whose_counters_they_are(replicas: list[Budgets], url: str) -> None:
    await replicas[0].admit(ADA)
    async with Redis.from_url(url) as client:
        names = b" ".join(await client.keys())
    assert (b"onedoor:budget:" in names, ADA.key_id.encode() in names, ADA.person_id.encode() in names) == (
        True, False, False,
    )  # fmt: skip


OTHER_PROCESS = """
import asyncio, json, sys
from tests.runtime.test_redis_budgets import ADA, SETTINGS, Budgets, open_counters

async def main():
    budgets = Budgets(SETTINGS, shared=open_counters(sys.argv[1]))
    results = await asyncio.gather(*(budgets.admit(ADA) for _ in range(40)))
    print(json.dumps(sum(result is None for result in results)))
    await budgets.close()

asyncio.run(main())
"""


async def test_two_processes_at_once_grant_no_more_than_one_budget(replicas: list[Budgets], url: str) -> None:
    command = (sys.executable, "-c", OTHER_PROCESS, url)
    processes = [await asyncio.create_subprocess_exec(*command, stdout=PIPE) for _ in range(2)]
    printed = await asyncio.gather(*(process.communicate() for process in processes))
    assert sum(json.loads(output) for output, _ in printed) == 10


def find_closed_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port: int = free.getsockname()[1]
    return port


async def test_while_redis_is_away_each_process_grants_its_part_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    counters = open_counters(f"redis://127.0.0.1:{find_closed_port()}/0", clock, seconds=0.05)
    budgets = Budgets(SETTINGS, shared=counters, clock=clock)
    with caplog.at_level(logging.WARNING, "onedoor.redis"):
        results = []
        for clock.seconds in range(0, 24, 2):
            results.append(await budgets.admit(ADA) is None)
    await budgets.close()
    assert results == [True] * 5 + [False] * 7
    assert [record.getMessage() for record in caplog.records] == [
        "redis does not answer: each process counts budgets for itself and grants its part of them "
        "(`budgets.processes`)"
    ]


async def test_what_was_counted_before_redis_went_away_still_counts(url: str, tmp_path: Path) -> None:
    with real(tmp_path) as short_lived:
        counters = open_counters(short_lived)
        budgets = Budgets(SETTINGS, shared=counters, clock=Clock())
        before = [await budgets.admit(ADA) is None for _ in range(4)]
    after = [await budgets.admit(ADA) is None for _ in range(3)]
    await budgets.close()
    assert (before, after) == ([True] * 4, [True, False, False])


async def test_a_flood_over_a_budget_asks_redis_once(replicas: list[Budgets]) -> None:
    budgets = replicas[0]
    for _ in range(11):
        await budgets.admit(ADA)
    shared, budgets.shared = budgets.shared, None
    assert [await budgets.admit(ADA) is None for _ in range(100)] == [False] * 100
    budgets.shared = shared


@pytest.mark.parametrize(("window", "room", "wait"), [
    pytest.param(WeightedWindow(previous=0, previous_seconds=0, current=9, current_seconds=100), 9, 0.0, id="room"),
    pytest.param(WeightedWindow(previous=60, previous_seconds=30, current=0, current_seconds=90), 19, 10.0,
                 id="once the last minute weighs less"),
    pytest.param(WeightedWindow(previous=0, previous_seconds=0, current=10, current_seconds=90), 9, 30.0,
                 id="once this minute is over"),
    pytest.param(WeightedWindow(previous=0, previous_seconds=0, current=60, current_seconds=90), 29, 60.0,
                 id="once this minute weighs less, too"),
])  # fmt: skip
def test_the_wait_is_until_the_weight_fits(window: WeightedWindow, room: int, wait: float) -> None:
    assert window.get_wait(room) == pytest.approx(wait)


async def test_many_requests_at_once_are_not_taken_for_a_redis_that_is_away(replicas: list[Budgets]) -> None:
    budgets = replicas[0]
    results = await asyncio.gather(*(budgets.admit(ADA) for _ in range(200)))
    assert sum(result is None for result in results) == 10
