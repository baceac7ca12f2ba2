"""The rate limiter admits callers in a fair order, on a clock that only the tests move."""

import random
from itertools import pairwise

import pytest

from onedoor.runtime.quota import MINUTE_SECONDS, ConnectorRateLimiters
from tests.runtime.quota.clock import Clock, calls, let_tasks_run


@pytest.mark.parametrize("a_minute", [1, 2, 4, 5, 9, 20, 50, 100])
async def test_no_minute_sees_more_than_the_quota(a_minute: int) -> None:
    run = calls(a_minute)
    dice = random.Random(a_minute)
    for _ in range(200):
        run.begin(dice.choice("abc"), dice.randrange(4))
        await run.clock.to(run.clock.now + dice.choice((0, 0.1, 1, 7, 61)))
    await run.clock.to(run.clock.now + 1e6)
    times = [when for _, when in run.went]
    most = max(sum(begin <= time_ < begin + MINUTE_SECONDS - 1e-6 for time_ in times) for begin in times)
    assert (most <= a_minute, run.quota.queue) == (True, [])


async def test_a_fifth_goes_at_once_and_the_rest_evenly() -> None:
    run = calls(50)
    run.begin("ada", 13)
    await run.clock.to(10)
    times = [when for _, when in run.went]
    apart = MINUTE_SECONDS / 41
    assert times == pytest.approx([0.0] * 10 + [apart, 2 * apart, 3 * apart])


async def test_people_who_wait_take_turns() -> None:
    run = calls(5)
    run.begin("ada", 5)
    await let_tasks_run()
    run.begin("bob", 2)
    run.begin("eve", 1)
    await run.clock.to(1000)
    assert [who for who, _ in run.went] == ["ada", "bob", "eve", "ada", "bob", "ada", "ada", "ada"]


async def test_who_asks_much_does_not_keep_out_who_asks_little() -> None:
    """However many calls someone has waiting, the first of another is the next to go."""
    waits = []
    for crowd in (1, 2, 4, 8, 16, 32):
        run = calls(50)
        run.begin("ada", 10 + crowd)
        await let_tasks_run()
        run.begin("bob")
        await run.clock.to(1e4)
        waits.append([who for who, _ in run.went].index("bob") - 10)
    assert waits == [0] * 6


async def test_who_would_wait_too_long_is_refused_at_once_and_takes_no_turn() -> None:
    run = calls(5)
    run.begin("ada", 4, patience=25.0)
    await let_tasks_run()
    message = (
        "the quota `sources.slack.quota.users.info` of 5 a minute is used up, the next turn is in 36 s: "
        "ask again then, or for less"
    )
    assert run.refused == [("ada", 0.0, message)]
    await run.clock.to(100)
    assert [when for _, when in run.went] == pytest.approx([0, 12, 24])


async def test_a_waiter_that_cannot_be_served_in_time_is_refused_at_once() -> None:
    run = calls(5)
    run.begin("ada", 3, patience=25.0)
    await let_tasks_run()
    run.begin("bob", patience=25.0)
    await let_tasks_run()
    assert [(who, when) for who, when, _ in run.refused] == [("ada", 0.0)]
    await run.clock.to(100)
    assert [who for who, _ in run.went] == ["ada", "bob", "ada"]


async def test_who_leaves_the_queue_takes_no_turn() -> None:
    run = calls(5)
    first, second, _ = run.begin("ada", 3)
    await let_tasks_run()
    second.cancel()
    await run.clock.to(100)
    assert (first.done(), [when for _, when in run.went]) == (True, pytest.approx([0, 12]))


@pytest.mark.parametrize("a_minute", [0, 5, 50])
async def test_a_pause_the_far_end_asks_for_holds_for_everybody(a_minute: int) -> None:
    run = calls(a_minute)
    run.quota.back_off(30)
    for who in ("ada", "bob", "eve"):
        run.begin(who)
    run.begin("kim", patience=10.0)
    await let_tasks_run()
    assert ([who for who, *_ in run.refused], run.went) == (["kim"], [])
    await run.clock.to(29.9)
    assert run.went == []
    await run.clock.to(1000)
    assert (run.went[0], {who for who, _ in run.went}) == (("ada", 30.0), {"ada", "bob", "eve"})


async def test_after_a_pause_calls_go_one_by_one() -> None:
    run = calls(50)
    run.quota.back_off(30)
    run.begin("ada", 20)
    await run.clock.to(1000)
    times = [when for _, when in run.went]
    assert min(later - earlier for earlier, later in pairwise(times)) == pytest.approx(MINUTE_SECONDS / 41)


async def test_what_has_no_quota_never_waits() -> None:
    run = calls(0)
    run.begin("ada", 1000)
    await let_tasks_run()
    assert (len(run.went), run.clock.waiting) == (1000, [])


async def test_each_thing_called_has_a_quota_of_its_own() -> None:
    quotas = ConnectorRateLimiters(source="slack", per_minute={"users.info": 5}, clock=Clock())
    named, other = quotas.get_limiter("users.info"), quotas.get_limiter("users.list")
    assert (named.per_minute, other.per_minute, quotas.get_limiter("users.info") is named) == (5, 0, True)
