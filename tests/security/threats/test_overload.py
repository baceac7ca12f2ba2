"""Callers who send too much or guess keys, and requests over the capacity, are refused; honest others are served."""

import asyncio
import re
from collections import defaultdict
from collections.abc import Mapping

import pytest

from onedoor.http.turned_away import SINGLE_RECORDS, get_site
from onedoor.model.catalog import Limits
from tests import acme
from tests.http.conftest import GRAPHQL, HookedConnector, OpenServer, Response, RunningServer, hang, wait_until

ME = "{ me { email } }"


async def guess(server: RunningServer, key: str, **headers: str) -> Response:
    return await server.send(
        json={"query": ME}, headers={"accept": GRAPHQL, "authorization": f"Bearer {key}", **headers}
    )


def turned_away(told: Response, status: int, limit: str) -> bool:
    """Whether the reply names the limit and says when to come again."""
    named = re.search(f"`{limit}` of [0-9]+, come again in [0-9]+ s", told.body["errors"][0]["message"])
    after = int(told.headers["retry-after"])
    return (told.status, told.code, bool(named), 1 <= after <= 60) == (status, "LIMIT_EXCEEDED", True, True)


async def test_whoever_guesses_keys_is_turned_away_and_an_honest_key_of_the_same_address_is_served(
    open_server: OpenServer,
) -> None:
    server: RunningServer = await open_server(rate_limits=Limits(failed_keys_a_minute=4))
    guesses = [await guess(server, key) for key in ("x", "", server.keys.expired, server.keys.revoked)]
    result = await guess(server, "x")
    assert [item.status for item in guesses] == [401] * 4
    assert turned_away(result, 429, "failed_keys_a_minute")
    assert (await server.ask(ME)).status == 200
    assert [record["outcome"] for record in server.records()] == ["unauthenticated"] * 4 + ["limited", "answered"]


async def test_every_failed_key_gets_the_same_bytes_once_it_is_one_too_many(open_server: OpenServer) -> None:
    server: RunningServer = await open_server(rate_limits=Limits(failed_keys_a_minute=1))
    await guess(server, "x")
    result = [await guess(server, key) for key in ("x", "od_a_b", server.keys.expired, server.keys.revoked)]
    assert {re.sub(rb"in \d+ s", b"", item.raw) for item in result} == {re.sub(rb"in \d+ s", b"", result[0].raw)}
    assert {item.status for item in result} == {429}


async def test_another_address_in_a_header_is_no_other_address(open_server: OpenServer) -> None:
    server: RunningServer = await open_server(rate_limits=Limits(failed_keys_a_minute=2))
    claims = ("x-forwarded-for", "x-real-ip", "forwarded", "cf-connecting-ip")
    result = [await guess(server, "x", **{name: f"10.0.0.{number}"}) for number, name in enumerate(claims)]
    assert [item.status for item in result] == [401, 401, 429, 429]


async def test_a_key_that_asks_too_often_is_turned_away_and_others_are_served(open_server: OpenServer) -> None:
    server: RunningServer = await open_server(rate_limits=Limits(requests_a_minute=3))
    results = [await server.ask(ME) for _ in range(4)]
    assert [result.status for result in results[:3]] == [200] * 3
    assert turned_away(results[3], 429, "requests_a_minute")
    assert (await server.ask(ME, "finance")).status == 200
    last = server.records()[3]
    assert (last["outcome"], last["status"], last["key_id"]) == ("limited", 429, server.keys.of["sales"].split("_")[1])


async def test_a_refused_request_counts_towards_the_rate_limit(open_server: OpenServer) -> None:
    server: RunningServer = await open_server(rate_limits=Limits(requests_a_minute=2))
    result = [
        await server.ask("{"),
        await server.send(data=b"[]", headers=server.bearer("sales")),
        await server.ask(ME),
    ]
    assert [item.status for item in result] == [400, 415, 429]


async def test_a_server_at_capacity_refuses_before_it_reads_a_key(open_server: OpenServer) -> None:
    odd = HookedConnector(acme.sources()["internal"], hang)
    server: RunningServer = await open_server({"internal": odd}, rate_limits=Limits(concurrency_max=1))
    asking = asyncio.create_task(server.ask("{ customer(id: 1) { name } }"))
    async with asyncio.timeout(30):
        await odd.began.wait()
        result = await server.ask(ME)
        nobody = await server.ask(ME, None)
        asking.cancel()
        await odd.cancelled.wait()
        while (again := await server.ask(ME)).status == 503:
            pass
    assert turned_away(result, 503, "concurrency_max")
    assert (nobody.status, again.status) == (503, 200)
    assert [record["outcome"] for record in server.records()][:2] == ["limited", "limited"]


@pytest.mark.parametrize("who", [None, "sales"])
async def test_a_flood_is_not_kept_waiting_for_its_records(open_server: OpenServer, who: str | None) -> None:
    """A disk that fails keeps every other reply back; one who is turned away needs none of it."""
    server: RunningServer = await open_server(rate_limits=Limits(failed_keys_a_minute=1, requests_a_minute=1))
    first = await server.ask(ME, who)
    server.disk.broken = True
    second = await server.ask(ME, who)
    server.disk.broken = False
    assert (first.status, second.status) == (200 if who else 401, 429)


async def count_written(server: RunningServer, expected: int) -> Mapping[tuple[str, int], list[int]]:
    """Return the counts of the records of each outcome and status, once they stand for so many requests."""
    server.app_state.turned_away.flush()

    def collect() -> dict[tuple[str, int], list[int]]:
        counts = defaultdict[tuple[str, int], list[int]](list)
        for record in server.records():
            counts[record["outcome"], record["status"]].append(record.get("count", 1))
        return counts

    await wait_until(lambda: sum(map(sum, collect().values())) == expected)
    return collect()


@pytest.mark.parametrize(("limits", "who", "refused"), [
    pytest.param(Limits(failed_keys_a_minute=10**6), None, [("unauthenticated", 401)], id="no key"),
    pytest.param(Limits(failed_keys_a_minute=1), None, [("unauthenticated", 401), ("limited", 429)], id="guesses"),
    pytest.param(Limits(requests_a_minute=1), "sales", [("answered", 200), ("limited", 429)], id="too often"),
])  # fmt: skip
async def test_a_flood_that_is_turned_away_leaves_a_record_a_second_that_counts_it(
    open_server: OpenServer, limits: Limits, who: str | None, refused: list[tuple[str, int]]
) -> None:
    server: RunningServer = await open_server(rate_limits=limits)
    began = asyncio.get_running_loop().time()
    await asyncio.gather(*(server.ask(ME, who) for _ in range(100)))
    seconds = asyncio.get_running_loop().time() - began
    counts = await count_written(server, 100)
    assert set(counts) == set(refused)
    assert all(len(of_outcome) <= SINGLE_RECORDS + 1 + seconds for of_outcome in counts.values())


@pytest.mark.parametrize(("address", "site"), [
    ("10.0.0.1", "10.0.0.1"),
    ("::ffff:10.0.0.1", "10.0.0.1"),
    ("2001:db8::1:2", "2001:db8::/64"),
    ("", ""),
    ("a socket", "a socket"),
])  # fmt: skip
def test_whoever_has_many_addresses_of_one_network_is_one_caller(address: str, site: str) -> None:
    assert get_site(address) == site
