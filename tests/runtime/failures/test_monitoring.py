"""Monitoring behind the whole house: what the demo's Prometheus and Datadog say of Acme, and what one of them costs."""

import asyncio
import time
from statistics import mean
from typing import Any

from demo.data import activity
from demo.servers.run import Running, kill, restart
from tests import acme
from tests.runtime.failures.conftest import Ask, Door
from tests.runtime.failures.test_servers import BACK_SECONDS, MARGIN

RATES = "{ deployments(first: 50) { nodes { id status errorRate day: errorRate(window: ONE_DAY) } } }"
HEALTH = "{ customers(first: 20) { nodes { id health monitors { nodes { status } } } } }"
LOGS = """
{
  logs(where: {status: {eq: "error"}, customer: {id: {isNull: false}}}, first: 1000) { nodes { id service env } }
  deployments(first: 50) { nodes { service environment logs(where: {status: {eq: "error"}}) { totalCount } } }
}
"""
JUDGED = {"OK": "HEALTHY", "Warn": "AT_RISK", "Alert": "FAILING", "No Data": "UNKNOWN"}


async def whole(ask: Ask, text: str) -> Any:
    reply = await ask(text, "support")
    assert reply.errors == []
    return reply.data


async def test_requests_fail_after_a_failed_deployment(ask: Ask) -> None:
    found = (await whole(ask, RATES))["deployments"]["nodes"]
    rates = {
        status: [each["errorRate"] for each in found if each["status"] == status]
        for status in activity.MONITOR_STATUSES
    }
    assert all(0.24 < each < 0.26 for each in rates["FAILED"])
    assert mean(rates["SUCCEEDED"]) < 0.01


async def test_all_error_rates_of_one_window_are_one_read(door: Door, ask: Ask) -> None:
    before = door.calls("prometheus")
    await whole(ask, RATES)
    assert door.calls("prometheus") - before == 2


async def test_the_health_of_a_customer_is_that_of_its_monitors(ask: Ask) -> None:
    found = (await whole(ask, HEALTH))["customers"]["nodes"]
    of = {each.tags[0].removeprefix("customer_id:"): JUDGED[each.status] for each in activity.monitors(acme.SCALE)}
    assert {each["id"]: each["health"] for each in found} == {each["id"]: of.get(each["id"]) for each in found}
    assert {len(each["monitors"]["nodes"]) for each in found} == {1}


async def test_logs_are_joined_with_what_was_rolled_out(ask: Ask) -> None:
    found = await whole(ask, LOGS)
    errors = [each for each in activity.logs(acme.SCALE) if each.status == "error"]
    told = {each.id for each in errors if len(each.tags) == 2}
    assert {each["id"] for each in found["logs"]["nodes"]} == told
    for each in found["deployments"]["nodes"]:
        there = [log for log in errors if (log.service, log.tags[0]) == (each["service"], f"env:{each['environment']}")]
        assert each["logs"]["totalCount"] == len(there)


async def test_without_prometheus_error_rates_are_null_with_one_error_each(running: Running, ask: Ask) -> None:
    before = await whole(ask, RATES)
    kill(running, "prometheus")
    down = await ask(RATES, "support")
    restart(running, "prometheus")
    nodes = [{**each, "errorRate": None, "day": None} for each in before["deployments"]["nodes"]]
    assert (down.status, down.data) == (200, {"deployments": {"nodes": nodes}})
    assert [(each["extensions"]["code"], each["extensions"]["nulls"]) for each in down.errors] == [
        ("SOURCE_UNAVAILABLE", len(nodes))
    ] * 2
    assert await back(ask) == before


async def back(ask: Ask) -> Any:
    """Asks on and on, until nothing fails."""
    deadline = time.monotonic() + BACK_SECONDS + MARGIN
    while (reply := await ask(RATES, "support")).errors:
        assert time.monotonic() < deadline, reply.errors
        await asyncio.sleep(0.05)
    return reply.data
