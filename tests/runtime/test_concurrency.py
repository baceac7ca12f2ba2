"""Test the one periodic loop, and the one wait for an event."""

import asyncio

import pytest

from onedoor.runtime.concurrency import run_periodically, wait_for_event


class StepFailed(Exception):
    """A step that fails."""


async def test_steps_and_pauses_alternate_for_as_long_as_they_are_needed() -> None:
    events: list[str] = []

    async def step() -> None:
        events.append("step")

    async def pause() -> None:
        events.append("pause")

    await run_periodically(step, pause, while_needed=lambda: len(events) < 4)
    assert events == ["step", "pause", "step", "pause"]


async def test_a_step_that_fails_ends_the_loop() -> None:
    async def step() -> None:
        raise StepFailed

    with pytest.raises(StepFailed):
        await run_periodically(step, 0.0)


async def test_a_loop_that_is_cancelled_ends_at_once() -> None:
    begun = asyncio.Event()

    async def step() -> None:
        begun.set()

    loop = asyncio.create_task(run_periodically(step, 3600.0))
    await begun.wait()
    loop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loop


async def test_a_wait_says_whether_the_event_came() -> None:
    event = asyncio.Event()
    assert not await wait_for_event(event, 0.0)
    event.set()
    assert await wait_for_event(event, 3600.0)
