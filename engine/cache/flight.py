"""Equal reads at the same time in, one read out: whoever comes while it is under way waits for it too."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from engine.errand import Errand, Waiter, on

Result = TypeVar("Result")


@dataclass(slots=True, kw_only=True, eq=False)
class Flight(Generic[Result]):
    """One read under way, and those who wait for it."""

    task: asyncio.Task[Result]
    errand: Errand


@dataclass(frozen=True, slots=True)
class Flights(Generic[Result]):
    """By key. A read runs as long as anyone waits for it, whoever began it."""

    under_way: dict[bytes, Flight[Result]] = field(default_factory=dict)

    async def share(self, key: bytes, waiter: Waiter, work: Callable[[], Awaitable[Result]]) -> tuple[Result, bool]:
        """The result, or the failure, of one `work` for all who ask meanwhile; and whether another's was joined."""
        flight = self.under_way.get(key)
        joined = flight is not None
        if flight is None:
            flight = self._begun(key, work)
        flight.errand.waiters.append(waiter)
        try:
            return await asyncio.shield(flight.task), joined
        finally:
            flight.errand.waiters.remove(waiter)
            if not flight.errand.waiters:
                self._ended(key, flight)

    def _begun(self, key: bytes, work: Callable[[], Awaitable[Result]]) -> Flight[Result]:
        errand = Errand()

        async def fly() -> Result:
            return await work()

        with on(errand):
            flight = Flight(task=asyncio.get_running_loop().create_task(fly()), errand=errand)
        self.under_way[key] = flight
        flight.task.add_done_callback(lambda _: self._ended(key, flight))
        return flight

    def _ended(self, key: bytes, flight: Flight[Any]) -> None:
        """Nobody joins what is over, and what nobody waits for is cancelled."""
        if self.under_way.get(key) is flight:
            del self.under_way[key]
        flight.task.cancel()
