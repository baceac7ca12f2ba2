"""Move a clock by hand, and count the calls of several people against one quota."""

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from onedoor.runtime import call_context
from onedoor.runtime.call_context import CallContext, Waiter
from onedoor.runtime.quota import ConnectorRateLimiter


@dataclass(slots=True, eq=False)
class Timer:
    callback: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


@dataclass(slots=True)
class Clock:
    now: float = 0.0
    waiting: list[tuple[float, int, Timer]] = field(default_factory=list)
    numbers: "count[int]" = field(default_factory=count)

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Callable[[], None], /) -> Timer:
        timer = Timer(callback)
        heapq.heappush(self.waiting, (self.now + delay, next(self.numbers), timer))
        return timer

    async def to(self, moment: float) -> None:
        """Moves on, ringing what was to ring; whoever it wakes runs."""
        await let_tasks_run()
        while self.waiting and self.waiting[0][0] <= moment:
            self.now, _, timer = heapq.heappop(self.waiting)
            if not timer.cancelled:
                timer.callback()
            await let_tasks_run()
        self.now = moment


async def let_tasks_run() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


@dataclass(slots=True)
class Calls:
    """What went out, as (who, when); and what was refused, as (who, when, why)."""

    quota: ConnectorRateLimiter
    clock: Clock
    went: list[tuple[str, float]] = field(default_factory=list)
    refused: list[tuple[str, float, str]] = field(default_factory=list)

    async def call(self, person: str, patience: float = 1e9) -> None:
        with call_context.use_call_context(
            CallContext(waiters=[Waiter(person=person, deadline=self.clock.now + patience)])
        ):
            try:
                await self.quota.acquire()
            except Exception as failure:
                self.refused.append((person, self.clock.now, str(failure)))
                return
        self.went.append((person, self.clock.now))

    def begin(self, person: str, times: int = 1, patience: float = 1e9) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self.call(person, patience)) for _ in range(times)]


def calls(a_minute: int) -> Calls:
    clock = Clock()
    return Calls(
        quota=ConnectorRateLimiter(source="slack", name="users.info", per_minute=a_minute, clock=clock), clock=clock
    )
