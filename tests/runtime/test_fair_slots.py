"""Slots go to people by turns, none is lost, and one person holds at most half of them."""

import asyncio
import random
from collections import Counter

import pytest

from onedoor.runtime.call_context import CallContext, Waiter, build_call_context, use_call_context
from onedoor.runtime.fair_slots import FairSlots, get_share


@pytest.mark.parametrize(("count", "share"), [(1, 1), (2, 1), (3, 1), (4, 2), (16, 8)])
def test_a_share_is_half_and_one_at_least(count: int, share: int) -> None:
    assert get_share(count) == share


async def acquire_for(slots: FairSlots, *people: str) -> str:
    with use_call_context(CallContext(waiters=[Waiter(person=person, deadline=1e9) for person in people])):
        return await slots.acquire()


async def test_a_free_slot_goes_to_whoever_holds_the_fewest() -> None:
    slots = FairSlots(4)
    held = [await acquire_for(slots, "ada") for _ in range(2)]
    waiting = [asyncio.create_task(acquire_for(slots, "ada")) for _ in range(3)]
    held += [await acquire_for(slots, "grace"), await acquire_for(slots, "joan")]
    waiting.append(asyncio.create_task(acquire_for(slots, "grace")))
    await asyncio.sleep(0)
    slots.release("joan")
    await asyncio.sleep(0)
    assert [task.done() for task in waiting] == [False, False, False, True]
    for task in waiting:
        task.cancel()


async def test_a_call_for_several_is_charged_to_one_who_has_room() -> None:
    slots = FairSlots(4)
    for _ in range(2):
        await acquire_for(slots, "ada")
    assert await acquire_for(slots, "ada", "grace") == "grace"


async def test_a_probe_takes_no_slot() -> None:
    slots = FairSlots(1)
    await acquire_for(slots, "ada")
    with use_call_context(CallContext(is_probe=True)):
        async with slots.hold():
            assert slots.free == 0
    assert slots.free == 0


async def test_random_steps_lose_no_slot_and_keep_the_shares() -> None:
    """People come, are cancelled and leave, in any order."""
    dice, slots = random.Random(0), FairSlots(6)
    holding, most = Counter[str](), Counter[str]()

    async def stay(person: str) -> None:
        with use_call_context(build_call_context(person)):
            async with slots.hold():
                holding[person] += 1
                most[person] = max(most[person], holding[person])
                try:
                    for _ in range(dice.randrange(5)):
                        await asyncio.sleep(0)
                finally:
                    holding[person] -= 1

    tasks = list[asyncio.Task[None]]()
    for _ in range(2_000):
        tasks.append(asyncio.create_task(stay(dice.choice(("ada", "grace", "joan", "mary")))))
        if dice.random() < 0.3:
            dice.choice(tasks).cancel()
        if dice.random() < 0.5:
            await asyncio.sleep(0)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (slots.free, slots.held, slots.queue, set(most.values())) == (6, Counter(), [], {3})
