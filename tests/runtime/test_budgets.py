"""No minute sees more of a unit than a budget allows, but for what a request is found to have used after it."""

import logging
from collections.abc import Mapping
from dataclasses import replace

import pytest

from auth.authentication import Principal
from onedoor.errors import RequestRejected
from onedoor.runtime.budgets import (
    BudgetExceeded,
    BudgetLimits,
    Budgets,
    BudgetSettings,
    BudgetUnit,
    list_allowances,
)
from tests import acme
from tests.runtime.cache.cached_reader import Clock

THREE_REQUESTS = BudgetSettings(keys=BudgetLimits(requests=3))


def build_principal(*groups: str, key_id: str = "Key012345678", owner_group: str | None = None) -> Principal:
    return replace(acme.caller(*groups), key_id=key_id, owner_group=owner_group)


ADA = build_principal()


@pytest.mark.parametrize(("moments", "admitted"), [
    pytest.param([0, 1, 2, 3], [True, True, True, False], id="no more than its number"),
    pytest.param([0, 30, 59, 60, 61], [True, True, True, False, True], id="one more once the first is a minute old"),
    pytest.param([0, 59, 59, 61, 62], [True, True, True, True, False], id="wherever the minute begins"),
    pytest.param([0, 0, 0, 1, 2, 61], [True, True, True, False, False, True], id="one refused does not count"),
])  # fmt: skip
async def test_no_minute_sees_more_requests_than_the_budget(moments: list[float], admitted: list[bool]) -> None:
    clock = Clock()
    budgets, result = Budgets(THREE_REQUESTS, clock=clock), []
    for clock.seconds in moments:
        result.append(await budgets.admit(ADA) is None)
    assert result == admitted


async def test_a_refusal_says_which_budget_and_when_to_come_again() -> None:
    clock = Clock()
    budgets = Budgets(THREE_REQUESTS, clock=clock)
    for clock.seconds in (0, 10, 20, 20.5):
        refusal = await budgets.admit(ADA)
    assert refusal is not None
    message = "the budget `budgets.keys.requests` of 3 a minute is used up, come again in 41 s"
    assert (refusal.message, refusal.retry_after) == (message, 41)
    clock.seconds += refusal.seconds
    assert await budgets.admit(ADA) is None


@pytest.mark.parametrize(("unit", "used"), [
    (BudgetUnit.ROWS, 12), (BudgetUnit.BYTES, 10), (BudgetUnit.SECONDS, 10.0004), (BudgetUnit.COST, 10),
])  # fmt: skip
async def test_what_is_counted_afterwards_may_overrun_by_one_request(unit: BudgetUnit, used: float) -> None:
    clock = Clock()
    budgets = Budgets(BudgetSettings(keys=BudgetLimits(**{unit: 10})), clock=clock)
    result = []
    for amount in (9, used - 9, 0, 0):
        refusal = await budgets.admit(ADA)
        result.append(refusal and refusal.allowance.setting)
        await budgets.add(ADA, {unit: amount})
    clock.seconds = 61
    assert (result, await budgets.admit(ADA)) == ([None, None, *[f"budgets.keys.{unit}"] * 2], None)


async def test_the_cost_is_counted_before_the_request_is_carried_out() -> None:
    clock = Clock()
    budgets = Budgets(BudgetSettings(keys=BudgetLimits(cost=10)), clock=clock)
    await budgets.take_cost(ADA, 7)
    with pytest.raises(BudgetExceeded, match=r"`budgets.keys.cost` of 10 a minute is used up, come again in 61 s"):
        await budgets.take_cost(ADA, 4)
    await budgets.take_cost(ADA, 3)
    clock.seconds = 61
    with pytest.raises(RequestRejected, match=r"the request costs 11, more than the budget `budgets.keys.cost` of 10"):
        await budgets.take_cost(ADA, 11)
    await budgets.take_cost(ADA, 10)


GROUP_BUDGETS = BudgetSettings(
    keys=BudgetLimits(requests=50),
    services={"sales": BudgetLimits(requests=500)},
    groups={
        "everyone": BudgetLimits(requests=10, rows=100),
        "sales": BudgetLimits(requests=20),
        "finance": BudgetLimits(requests=15, rows=1000, seconds=1.5),
    },
)


@pytest.mark.parametrize(("principal", "limits"), [
    pytest.param(
        build_principal("sales", "finance"),
        {"budgets.keys.requests": 50, "budgets.groups.sales.requests": 20, "budgets.groups.finance.rows": 1000,
         "budgets.groups.finance.seconds": 1.5},
        id="the most generous of a person's groups, unit by unit",
    ),
    pytest.param(
        build_principal(), {"budgets.keys.requests": 50, "budgets.groups.everyone.requests": 10,
                            "budgets.groups.everyone.rows": 100}, id="no other group's",
    ),
    pytest.param(
        replace(build_principal(owner_group="sales"), groups=frozenset()), {"budgets.services.sales.requests": 500},
        id="those of the owner of a service",
    ),
])  # fmt: skip
def test_the_groups_open_and_the_key_narrows(principal: Principal, limits: Mapping[str, float]) -> None:
    assert {item.setting: item.limit for item in list_allowances(GROUP_BUDGETS, principal)} == limits


async def test_a_person_has_one_budget_with_all_keys_and_others_have_theirs() -> None:
    budgets = Budgets(BudgetSettings(groups={"everyone": BudgetLimits(requests=2)}), clock=Clock())
    laptop, phone = ADA, build_principal(key_id="Phone2345678")
    grace = replace(ADA, person_id="P2")
    assert [await budgets.admit(who) is None for who in (laptop, phone, laptop, phone, grace)] == [
        True, True, False, False, True,
    ]  # fmt: skip


async def test_what_is_measured_only_is_served_and_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    settings = replace(THREE_REQUESTS, measure_only=True, groups={"everyone": BudgetLimits(cost=1)})
    budgets = Budgets(settings, clock=clock)
    with caplog.at_level(logging.WARNING, "onedoor.budgets"):
        results = [await budgets.admit(ADA) for _ in range(6)]
        await budgets.take_cost(ADA, 5)
        uses = {item.allowance.setting: item.used for item in await budgets.list_uses(ADA)}
        clock.seconds = 61
        results += [await budgets.admit(ADA) for _ in range(4)]
    told = [record.getMessage().split(" is used up")[0] for record in caplog.records]
    assert (results, uses) == ([None] * 10, {"budgets.keys.requests": 6, "budgets.groups.everyone.cost": 5})
    assert told == [
        "measured only: key `Key012345678`: the budget `budgets.keys.requests` of 3 a minute",
        "measured only: person `P1`: the request costs 5, more than the budget "
        "`budgets.groups.everyone.cost` of 1 a minute: ask for less, or in parts",
        "measured only: key `Key012345678`: the budget `budgets.keys.requests` of 3 a minute",
    ]


async def test_each_process_grants_its_part() -> None:
    settings = BudgetSettings(processes=2, keys=BudgetLimits(requests=3, cost=10))
    replicas = [Budgets(settings, clock=Clock()) for _ in range(2)]
    admitted = [await replica.admit(ADA) is None for replica in replicas for _ in range(3)]
    await replicas[0].take_cost(ADA, 10)
    assert admitted == [True, False, False] * 2


async def test_a_job_waits_for_its_budget_and_is_looked_up_again() -> None:
    clock, loaded = Clock(), list[float]()

    async def load_principal() -> Principal:
        loaded.append(clock.seconds)
        return ADA

    async def sleep(seconds: float) -> None:
        clock.seconds += seconds

    budgets = Budgets(BudgetSettings(keys=BudgetLimits(requests=1)), clock=clock, sleep=sleep)
    assert [await budgets.wait(load_principal) for _ in range(2)] == [ADA, ADA]
    assert loaded == [0, *range(0, 61, 5), 61]


async def test_idle_counters_are_forgotten() -> None:
    clock = Clock()
    budgets = Budgets(THREE_REQUESTS, clock=clock)
    for clock.seconds in range(200):
        await budgets.admit(build_principal(key_id=f"Key{clock.seconds}"))
    assert len(budgets.counters.counters) < 130
