"""Each key is charged the processor time of its requests, in steps, tasks and threads, within any minute."""

import asyncio
from time import thread_time

import pytest

from onedoor.errors import HTTPError
from onedoor.runtime.concurrency import gather_or_cancel
from onedoor.runtime.loop_time import (
    FIRST_ESTIMATE_SECONDS,
    PACE_BURST_SECONDS,
    PACE_SHARE,
    LoopMeter,
    LoopSeconds,
    run_metered,
)
from onedoor.runtime.offload import Offload


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_key_that_used_up_its_seconds_may_come_again_when_they_are_a_minute_old() -> None:
    clock = Clock()
    account = LoopSeconds(10.0, clock)
    waits = []
    for moment in (0.0, 5.0, 30.0, 59.0, 60.0, 65.0):
        clock.now = moment
        waits.append(account.get_wait("ada"))
        if moment < 30:
            account.charge("ada", 6.0)
    assert (waits, account.get_wait("grace")) == ([None, None, 30.0, 1.0, None, None], None)


def spend(seconds: float) -> None:
    until = thread_time() + seconds
    while thread_time() < until:
        pass


async def spend_in_steps() -> None:
    for _ in range(2):
        spend(0.005)
        await asyncio.sleep(0)


async def spend_in_tasks() -> None:
    await gather_or_cancel(spend_in_steps() for _ in range(2))


async def spend_in_thread() -> None:
    await Offload().run(lambda: spend(0.02))
    await asyncio.sleep(0)


@pytest.mark.parametrize(("work", "seconds"), [
    pytest.param(spend_in_steps, 0.01, id="steps"),
    pytest.param(spend_in_tasks, 0.02, id="tasks"),
    pytest.param(spend_in_thread, 0.02, id="a thread"),
])  # fmt: skip
async def test_what_a_request_takes_is_charged(work, seconds: float) -> None:  # type: ignore[no-untyped-def]
    account = LoopSeconds(10.0)
    await run_metered(LoopMeter(account, "ada"), work())
    assert seconds <= account.by_key["ada"].total < 10 * seconds


async def test_what_comes_before_the_key_is_known_is_charged_once_it_is() -> None:
    account = LoopSeconds(10.0)
    meter = LoopMeter(account)

    async def authenticate() -> None:
        spend(0.005)
        await asyncio.sleep(0)
        meter.key_id = "ada"

    await run_metered(meter, authenticate())
    assert account.by_key["ada"].total >= 0.005


async def test_a_key_that_used_up_its_seconds_has_nothing_more_done_in_threads() -> None:
    account = LoopSeconds(0.001)
    account.charge("ada", 1.0)
    ran = list[int]()
    with pytest.raises(HTTPError, match=r"`loop_seconds_a_minute` of 0.001, come again in \d+ s") as refusal:
        await run_metered(LoopMeter(account, "ada"), Offload().run(lambda: ran.append(1)))
    assert (refusal.value.status, ran) == (429, [])


async def test_cancellation_and_failures_pass_through() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise ValueError("it")

    async def wait() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "cancelled"
        return "never"

    account = LoopSeconds(10.0)
    with pytest.raises(ValueError, match="it"):
        await run_metered(LoopMeter(account, "ada"), fail())
    waiting = asyncio.create_task(run_metered(LoopMeter(account, "ada"), wait()))
    await asyncio.sleep(0)
    waiting.cancel()
    assert await waiting == "cancelled"


def test_a_key_alone_does_not_wait() -> None:
    account = LoopSeconds(10.0)
    account.charge("ada", 5.0)
    asyncio.run(asyncio.wait_for(account.wait_for_turn("ada"), 0.1))


async def test_while_others_need_the_loop_a_key_waits_for_its_part_of_it() -> None:
    clock = Clock()
    account = LoopSeconds(10.0, clock)
    await account.wait_for_turn("grace")
    await account.wait_for_turn("ada")
    account.charge("ada", PACE_BURST_SECONDS + 0.001 * PACE_SHARE)
    waiting = [asyncio.create_task(account.wait_for_turn("ada")) for _ in range(3)]
    await asyncio.wait_for(account.wait_for_turn("grace"), 0.1)
    await asyncio.sleep(0.01)
    done = [task.done() for task in waiting]
    clock.now = 5.0
    await asyncio.wait_for(asyncio.gather(*waiting), 5)
    assert done == [False] * 3


async def test_requests_that_began_while_nobody_else_was_there_wait_before_they_use_threads() -> None:
    clock, began = Clock(), list[int]()
    account = LoopSeconds(10.0, clock)

    async def work(number: int) -> None:
        async with account.take_offload_turn("ada"):
            began.append(number)
        account.charge("ada", PACE_BURST_SECONDS + 0.001 * PACE_SHARE)

    for _ in range(3):
        await account.wait_for_turn("ada")
    await account.wait_for_turn("grace")
    working = [asyncio.create_task(work(number)) for number in range(3)]
    await asyncio.sleep(0.01)
    before = list(began)
    clock.now = 0.5
    await asyncio.sleep(0.01)
    clock.now = 5.0
    await asyncio.wait_for(asyncio.gather(*working), 5)
    assert (before, began) == ([0], [0, 1, 2])


async def test_a_key_owes_a_second_at_most_for_what_it_took_alone() -> None:
    clock = Clock()
    account = LoopSeconds(10.0, clock)
    account.charge("ada", 9.0)
    await account.wait_for_turn("grace")
    clock.now = (1.0 + 0.001) / PACE_SHARE
    await account.wait_for_turn("grace")
    await asyncio.wait_for(account.wait_for_turn("ada"), 0.1)


async def test_what_a_request_is_likely_to_take_is_taken_before_it_begins() -> None:
    account = LoopSeconds(10.0, Clock())
    taken = await account.wait_for_turn("ada")
    account.charge("ada", 0.5)
    account.end_turn("ada", taken, 0.5)
    assert taken == FIRST_ESTIMATE_SECONDS < await account.wait_for_turn("ada") < 0.5
