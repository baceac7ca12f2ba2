"""A request over a budget is a 429 that says which and when, on every route, and on record."""

import pytest

from onedoor.runtime.budgets import BudgetLimits, Budgets, BudgetSettings
from tests.http.conftest import OpenServer, RunningServer
from tests.runtime.cache.cached_reader import Clock

NAMES = "{ customers(first: 5) { nodes { name } } }"
USES = "{ me { budgets { nodes { name unit perMinute used left enforced } } } }"


async def open_with(open_server: OpenServer, clock: Clock, **settings: BudgetLimits) -> RunningServer:
    budgets = Budgets(BudgetSettings(**settings), clock=clock)  # type: ignore[arg-type]
    server: RunningServer = await open_server(budgets=budgets)
    return server


async def test_a_request_over_a_budget_is_a_429_until_the_minute_is_over(open_server: OpenServer) -> None:
    clock = Clock()
    server = await open_with(open_server, clock, keys=BudgetLimits(requests=2))
    statuses = [(await server.ask(NAMES)).status for _ in range(2)]
    refused, other = await server.ask(NAMES), await server.ask(NAMES, "finance")
    clock.seconds = 61
    again = await server.ask(NAMES)
    assert (statuses, refused.status, other.status, again.status) == ([200, 200], 429, 200, 200)
    assert refused.headers["retry-after"] == "61"
    assert refused.body == {
        "errors": [
            {
                "message": "the budget `budgets.keys.requests` of 2 a minute is used up, come again in 61 s",
                "extensions": {"code": "LIMIT_EXCEEDED", "budget": "budgets.keys.requests", "retryAfter": 61},
            }
        ]
    }
    outcomes = [(record["outcome"], record["status"], record["rows"]) for record in server.records()]
    assert ("limited", 429, 0) in outcomes


@pytest.mark.parametrize("unit", ["rows", "bytes", "seconds", "cost"])
async def test_the_request_after_the_one_that_used_a_budget_up_is_refused(open_server: OpenServer, unit: str) -> None:
    limit = {"rows": 3, "bytes": 50, "seconds": 0.0015, "cost": 6}[unit]
    server = await open_with(open_server, Clock(), keys=BudgetLimits(**{unit: limit}))
    first, second = await server.ask(NAMES), await server.ask(NAMES)
    assert (first.status, second.status) == (200, 429)
    assert second.body["errors"][0]["extensions"]["budget"] == f"budgets.keys.{unit}"


async def test_a_request_that_costs_more_than_a_budget_is_told_to_ask_for_less(open_server: OpenServer) -> None:
    server = await open_with(open_server, Clock(), groups={"sales": BudgetLimits(cost=2)})
    reply = await server.ask(NAMES)
    message = "more than the budget `budgets.groups.sales.cost` of 2 a minute: ask for less, or in parts"
    assert (reply.status, message in reply.body["errors"][0]["message"]) == (400, True)


async def test_a_person_sees_what_is_left_of_their_own_budgets(open_server: OpenServer) -> None:
    groups = {"everyone": BudgetLimits(requests=10), "finance": BudgetLimits(rows=1)}
    server = await open_with(open_server, Clock(), keys=BudgetLimits(rows=100), groups=groups)
    await server.ask(NAMES)
    await server.ask(NAMES, "nobody")
    reply = await server.ask(USES)
    nodes = reply.body["data"]["me"]["budgets"]["nodes"]
    assert sorted(nodes, key=lambda node: node["name"]) == [
        {"name": "budgets.groups.everyone.requests", "unit": "requests", "perMinute": 10.0, "used": 2.0, "left": 8.0,
         "enforced": True},
        {"name": "budgets.keys.rows", "unit": "rows", "perMinute": 100.0, "used": 5.0, "left": 95.0,
         "enforced": True},
    ]  # fmt: skip


async def test_other_routes_have_the_same_budgets(open_server: OpenServer) -> None:
    server = await open_with(open_server, Clock(), keys=BudgetLimits(requests=1))
    await server.ask(NAMES)
    reply = await server.send("GET", "/exports/x/y.csv", headers=server.bearer("sales"))
    assert (reply.status, "`budgets.keys.requests`" in reply.body["errors"][0]["message"]) == (429, True)
