"""The state as the event loop uses it: each call in a thread of ours, so that jobs keep nobody out of the door."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar

from auth.state import State

Result = TypeVar("Result")
Given = ParamSpec("Given")
THREADS = 4


def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="onedoor-jobs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """Where jobs are kept."""

    state: State
    pool: ThreadPoolExecutor = field(default_factory=_pool)

    async def do(
        self, call: Callable[Concatenate[State, Given], Result], *given: Given.args, **named: Given.kwargs
    ) -> Result:
        """What the call gives; once begun it runs to its end, even if nobody waits for it any more."""
        work = partial(call, self.state, *given, **named)
        return await asyncio.get_running_loop().run_in_executor(self.pool, work)

    def close(self) -> None:
        """Gives the threads back, once what they do is done."""
        self.pool.shutdown(wait=True)
