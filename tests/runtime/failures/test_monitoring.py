"""Query monitoring through a whole server: what Prometheus and Datadog say about Acme, and what an outage costs."""

import asyncio
import time
from statistics import mean
from typing import Any

from demo.data import activity
from demo.servers.run import RunningServers, kill, restart
from tests import acme
from tests.runtime.failures.conftest import Ask, RunningServer
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


async def fetch_data(ask: Ask, text: str) -> Any:
    reply = await ask(text, "support")
    assert reply.errors == []
    return reply.data


async def test_requests_fail_after_a_failed_deployment(ask: Ask) -> None:
    nodes = (await fetch_data(ask, RATES))["deployments"]["nodes"]
    rates = {
        status: [node["errorRate"] for node in nodes if node["status"] == status]
        for status in activity.MONITOR_STATUSES
    }
    assert all(0.24 < item < 0.26 for item in rates["FAILED"])
    assert mean(rates["SUCCEEDED"]) < 0.01


async def test_all_error_rates_of_one_window_are_one_read(server: RunningServer, ask: Ask) -> None:
    before = server.calls("prometheus")
    await fetch_data(ask, RATES)
    assert server.calls("prometheus") - before == 2


async def test_the_health_of_a_customer_is_that_of_its_monitors(ask: Ask) -> None:
    nodes = (await fetch_data(ask, HEALTH))["customers"]["nodes"]
    of = {
        monitor.tags[0].removeprefix("customer_id:"): JUDGED[monitor.status]
        for monitor in activity.monitors(acme.SCALE)
    }
    assert {node["id"]: node["health"] for node in nodes} == {node["id"]: of.get(node["id"]) for node in nodes}
    assert {len(node["monitors"]["nodes"]) for node in nodes} == {1}


async def test_logs_are_joined_with_what_was_rolled_out(ask: Ask) -> None:
    data = await fetch_data(ask, LOGS)
    errors = [item for item in activity.logs(acme.SCALE) if item.status == "error"]
    ids = {error.id for error in errors if len(error.tags) == 2}
    assert {node["id"] for node in data["logs"]["nodes"]} == ids
    for node in data["deployments"]["nodes"]:
        there = [log for log in errors if (log.service, log.tags[0]) == (node["service"], f"env:{node['environment']}")]
        assert node["logs"]["totalCount"] == len(there)


async def test_without_prometheus_error_rates_are_null_with_one_error_each(
    killable_servers: RunningServers, ask: Ask
) -> None:
    before = await fetch_data(ask, RATES)
    kill(killable_servers, "prometheus")
    down = await ask(RATES, "support")
    restart(killable_servers, "prometheus")
    nodes = [{**node, "errorRate": None, "day": None} for node in before["deployments"]["nodes"]]
    assert (down.status, down.data) == (200, {"deployments": {"nodes": nodes}})
    assert [(error["extensions"]["code"], error["extensions"]["nulls"]) for error in down.errors] == [
        ("SOURCE_UNAVAILABLE", len(nodes))
    ] * 2
    assert await wait_until_back(ask) == before


async def wait_until_back(ask: Ask) -> Any:
    """Asks on and on, until nothing fails."""
    deadline = time.monotonic() + BACK_SECONDS + MARGIN
    while (reply := await ask(RATES, "support")).errors:
        assert time.monotonic() < deadline, reply.errors
        await asyncio.sleep(0.05)
    return reply.data
