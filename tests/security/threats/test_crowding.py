"""Who asks too often, guesses keys or finds the house full is told so over HTTP, and honest others are served."""

import asyncio
import re

import pytest

from onedoor.model.catalog import Limits
from tests import acme
from tests.http.conftest import GRAPHQL, Door, Odd, Opening, Told, hang

ME = "{ me { email } }"


async def guess(door: Door, key: str, **headers: str) -> Told:
    return await door.send(json={"query": ME}, headers={"accept": GRAPHQL, "authorization": f"Bearer {key}", **headers})


def turned_away(told: Told, status: int, limit: str) -> bool:
    """Whether the reply names the limit and says when to come again."""
    named = re.search(f"`{limit}` of [0-9]+, come again in [0-9]+ s", told.body["errors"][0]["message"])
    after = int(told.headers["retry-after"])
    return (told.status, told.code, bool(named), 1 <= after <= 60) == (status, "LIMIT_EXCEEDED", True, True)


async def test_whoever_guesses_keys_is_turned_away_and_an_honest_key_of_the_same_address_is_served(
    opening: Opening,
) -> None:
    door: Door = await opening(counted=Limits(failed_keys_a_minute=4))
    guesses = [await guess(door, key) for key in ("x", "", door.keys.expired, door.keys.revoked)]
    told = await guess(door, "x")
    assert [each.status for each in guesses] == [401] * 4
    assert turned_away(told, 429, "failed_keys_a_minute")
    assert (await door.ask(ME)).status == 200
    assert [each["outcome"] for each in door.records()] == ["unauthenticated"] * 4 + ["limited", "answered"]


async def test_every_failed_key_gets_the_same_bytes_once_it_is_one_too_many(opening: Opening) -> None:
    door: Door = await opening(counted=Limits(failed_keys_a_minute=1))
    await guess(door, "x")
    told = [await guess(door, key) for key in ("x", "od_a_b", door.keys.expired, door.keys.revoked)]
    assert {re.sub(rb"in \d+ s", b"", each.raw) for each in told} == {re.sub(rb"in \d+ s", b"", told[0].raw)}
    assert {each.status for each in told} == {429}


async def test_another_address_in_a_header_is_no_other_address(opening: Opening) -> None:
    door: Door = await opening(counted=Limits(failed_keys_a_minute=2))
    claims = ("x-forwarded-for", "x-real-ip", "forwarded", "cf-connecting-ip")
    told = [await guess(door, "x", **{name: f"10.0.0.{number}"}) for number, name in enumerate(claims)]
    assert [each.status for each in told] == [401, 401, 429, 429]


async def test_a_key_that_asks_too_often_is_turned_away_and_others_are_served(opening: Opening) -> None:
    door: Door = await opening(counted=Limits(requests_a_minute=3))
    told = [await door.ask(ME) for _ in range(4)]
    assert [each.status for each in told[:3]] == [200] * 3
    assert turned_away(told[3], 429, "requests_a_minute")
    assert (await door.ask(ME, "finance")).status == 200
    last = door.records()[3]
    assert (last["outcome"], last["status"], last["key_id"]) == ("limited", 429, door.keys.of["sales"].split("_")[1])


async def test_what_is_refused_counts_as_asked(opening: Opening) -> None:
    door: Door = await opening(counted=Limits(requests_a_minute=2))
    told = [await door.ask("{"), await door.send(data=b"[]", headers=door.bearer("sales")), await door.ask(ME)]
    assert [each.status for each in told] == [400, 415, 429]


async def test_a_full_house_sheds_load_before_it_reads_a_key_and_has_room_again(opening: Opening) -> None:
    odd = Odd(acme.sources()["internal"], hang)
    door: Door = await opening({"internal": odd}, counted=Limits(concurrency_max=1))
    asking = asyncio.create_task(door.ask("{ customer(id: 1) { name } }"))
    async with asyncio.timeout(5):
        await odd.began.wait()
        told = await door.ask(ME)
        nobody = await door.ask(ME, None)
        asking.cancel()
        await odd.cancelled.wait()
        while (again := await door.ask(ME)).status == 503:
            pass
    assert turned_away(told, 503, "concurrency_max")
    assert (nobody.status, again.status) == (503, 200)
    assert [each["outcome"] for each in door.records()][:2] == ["limited", "limited"]


@pytest.mark.parametrize("who", [None, "sales"])
async def test_a_flood_is_not_kept_waiting_for_its_records(opening: Opening, who: str | None) -> None:
    """A disk that fails keeps every other reply back; one who is turned away needs none of it."""
    door: Door = await opening(counted=Limits(failed_keys_a_minute=1, requests_a_minute=1))
    first = await door.ask(ME, who)
    door.disk.broken = True
    second = await door.ask(ME, who)
    door.disk.broken = False
    assert (first.status, second.status) == (200 if who else 401, 429)
