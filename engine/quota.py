"""Calls in, each in its turn out: no more a minute than a source takes, the people who wait served by turns.

A fifth of a quota may go at once and the rest is spread evenly, so that no minute, wherever it begins, sees more.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Protocol

from engine.errand import Errand, Waiter, current, resting
from engine.errors import Code, SourceFailed

MINUTE = 60.0
AT_ONCE = 5
"""A fifth."""
NOBODY = ""
READS = "reads"
"""The quota every source has: of its reads, whatever calls they take."""


class Timer(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    """What an event loop is to time."""

    def time(self) -> float: ...

    def call_later(self, delay: float, callback: Callable[[], None], /) -> Timer: ...


@dataclass(slots=True, kw_only=True, eq=False)
class Waiting:
    """One call that waits for its turn."""

    errand: Errand
    turn: asyncio.Future[None]


@dataclass(slots=True, kw_only=True)
class Quota:
    """`a_minute` calls; 0: as many as wished, but a far end that asks us to slow down is heard all the same."""

    source: str
    called: str
    a_minute: int
    clock: Clock
    opens: float = 0.0
    """When the next call may go at the earliest."""
    waiting: list[Waiting] = field(default_factory=list)
    served: dict[str, int] = field(default_factory=dict)
    """By person, the number of their last turn, since the quota was last whole."""
    timer: Timer | None = None

    async def turn(self, otherwise: float = MINUTE) -> None:
        """Returns when a call may go. SourceFailed at once where that would be after the last who waits has gone.

        On nobody's errand `otherwise` is how many seconds it is waited for at most.
        """
        if not self.a_minute and not self.waiting and self.opens <= self.clock.time():
            self.served.clear()
            return
        errand = current() or _nobodys(self.clock.time() + otherwise)
        entry = Waiting(errand=errand, turn=asyncio.get_running_loop().create_future())
        if not self.waiting and self.opens <= self.clock.time():
            self.served.clear()
        self.waiting.append(entry)
        self._settle()
        if entry.turn.done():
            entry.turn.result()
            return
        try:
            async with resting():
                await entry.turn
        finally:
            if entry in self.waiting:
                self.waiting.remove(entry)
                self._settle()

    def slow(self, seconds: float) -> None:
        """The far end asked for a pause: nobody calls before it is over, and then one by one."""
        self.opens = max(self.opens, self.clock.time() + seconds + self._early)
        self._settle()

    @property
    def _at_once(self) -> int:
        return max(1, self.a_minute // AT_ONCE)

    @property
    def _apart(self) -> float:
        """Seconds between two calls, in the long run."""
        return MINUTE / (self.a_minute - self._at_once + 1) if self.a_minute else 0.0

    @property
    def _early(self) -> float:
        """How far ahead of its even place a call may go."""
        return (self._at_once - 1) * self._apart

    def _settle(self) -> None:
        """Lets go who may, refuses who would wait in vain, and comes back when the next may go."""
        now = self.clock.time()
        opens, served = self.opens, dict(self.served)
        for entry in self._by_turns(served):
            at = max(now, opens - self._early)
            if at > entry.errand.until:
                self._done(entry, self._short(at - now))
                continue
            if at <= now:
                self._done(entry, None)
                self.opens = max(now, opens) + self._apart
            opens = max(at, opens) + self._apart
        self._come_back(now)

    def _by_turns(self, served: dict[str, int]) -> Sequence[Waiting]:
        """Those who wait, in the order they will go: who was served longest ago first, then who came first."""
        left, order = list(self.waiting), []
        while left:
            entry = min(left, key=lambda each: _rank(each, served))
            left.remove(entry)
            served[_first(entry, served)] = max(served.values(), default=0) + 1
            order.append(entry)
        return order

    def _done(self, entry: Waiting, failure: SourceFailed | None) -> None:
        self.waiting.remove(entry)
        if entry.turn.done():
            return
        if failure is not None:
            entry.turn.set_exception(failure)
            return
        self.served[_first(entry, self.served)] = max(self.served.values(), default=0) + 1
        entry.turn.set_result(None)

    def _come_back(self, now: float) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer = None
        if self.waiting:
            self.timer = self.clock.call_later(max(0.0, self.opens - self._early - now), self._settle)

    def _short(self, seconds: float) -> SourceFailed:
        what = f"the quota `sources.{self.source}.quota.{self.called}` of {self.a_minute} a minute is used up"
        if not self.a_minute:
            what = f"`{self.source}` takes no more `{self.called}` for now"
        return SourceFailed(
            f"{what}, the next turn is in {ceil(seconds)} s: ask again then, or for less", Code.RATE_LIMITED
        )


def _rank(entry: Waiting, served: Mapping[str, int]) -> int:
    """A call for several people goes when the first of them has a turn."""
    return min((served.get(each, 0) for each in entry.errand.people), default=0)


def _first(entry: Waiting, served: Mapping[str, int]) -> str:
    return min(entry.errand.people, key=lambda each: served.get(each, 0), default=NOBODY)


def _nobodys(until: float) -> Errand:
    return Errand(waiters=[Waiter(person=NOBODY, until=until)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """The quotas of one source, by what is called; what is not named has none, but slows down when asked to."""

    source: str
    a_minute: Mapping[str, int]
    clock: Clock
    made: dict[str, Quota] = field(default_factory=dict)

    def of(self, called: str) -> Quota:
        if called not in self.made:
            times = self.a_minute.get(called, 0)
            self.made[called] = Quota(source=self.source, called=called, a_minute=times, clock=self.clock)
        return self.made[called]
