"""Many inputs go in, their results come out in the same order, a few at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Input = TypeVar("Input")
Result = TypeVar("Result")


async def fan_out(act: Callable[[Input], Awaitable[Result]], inputs: Iterable[Input], at_once: int) -> list[Result]:
    """`act` of every input, at most `at_once` under way; the first to fail cancels the others and is raised."""
    free = asyncio.Semaphore(at_once)

    async def turn(one: Input) -> Result:
        async with free:
            return await act(one)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(turn(one)) for one in inputs]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
