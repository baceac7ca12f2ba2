"""Calls in, each in its turn out: no more a minute than a source takes, the people who wait served by turns.

A fifth of a quota may go at once and the rest is spread evenly, so that no minute, wherever it begins, sees more.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Protocol

from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.call_context import CallContext, Waiter, get_call_context, yielding_slot

MINUTE_SECONDS = 60.0

BURST_DIVISOR = 5
"""A fifth."""

NO_PERSON = ""

READS_QUOTA = "reads"
"""The quota every source has: of its reads, whatever calls they take."""


class TimerHandle(Protocol):
    def cancel(self) -> None: ...


class LoopClock(Protocol):
    """What an event loop is to time."""

    def time(self) -> float: ...

    def call_later(self, delay: float, callback: Callable[[], None], /) -> TimerHandle: ...


@dataclass(slots=True, kw_only=True, eq=False)
class QueuedCall:
    """One call that waits for its turn."""

    context: CallContext
    granted: asyncio.Future[None]


@dataclass(slots=True, kw_only=True)
class ConnectorRateLimiter:
    """`a_minute` calls; 0: as many as wished, but a far end that asks us to slow down is heard all the same."""

    source: str
    name: str
    per_minute: int
    clock: LoopClock
    next_call_at: float = 0.0
    """When the next call may go at the earliest."""
    queue: list[QueuedCall] = field(default_factory=list)
    last_turns: dict[str, int] = field(default_factory=dict)
    """By person, the number of their last turn, since the quota was last whole."""
    timer: TimerHandle | None = None

    async def acquire(self, max_wait: float = MINUTE_SECONDS) -> None:
        """Returns when a call may go. SourceFailed at once where that would be after the last who waits has gone.

        On nobody's errand `otherwise` is how many seconds it is waited for at most.
        """
        if not self.per_minute and not self.queue and self.next_call_at <= self.clock.time():
            self.last_turns.clear()
            return
        errand = get_call_context() or _build_anonymous_context(self.clock.time() + max_wait)
        entry = QueuedCall(context=errand, granted=asyncio.get_running_loop().create_future())
        if not self.queue and self.next_call_at <= self.clock.time():
            self.last_turns.clear()
        self.queue.append(entry)
        self._process_queue()
        if entry.granted.done():
            entry.granted.result()
            return
        try:
            async with yielding_slot():
                await entry.granted
        finally:
            if entry in self.queue:
                self.queue.remove(entry)
                self._process_queue()

    def back_off(self, seconds: float) -> None:
        """The far end asked for a pause: nobody calls before it is over, and then one by one."""
        self.next_call_at = max(self.next_call_at, self.clock.time() + seconds + self._burst_lead)
        self._process_queue()

    @property
    def _burst(self) -> int:
        return max(1, self.per_minute // BURST_DIVISOR)

    @property
    def _interval(self) -> float:
        """Seconds between two calls, in the long run."""
        return MINUTE_SECONDS / (self.per_minute - self._burst + 1) if self.per_minute else 0.0

    @property
    def _burst_lead(self) -> float:
        """How far ahead of its even place a call may go."""
        return (self._burst - 1) * self._interval

    def _process_queue(self) -> None:
        """Lets go who may, refuses who would wait in vain, and comes back when the next may go."""
        now = self.clock.time()
        opens, served = self.next_call_at, dict(self.last_turns)
        for entry in self._order_fairly(served):
            at = max(now, opens - self._burst_lead)
            if at > entry.context.deadline:
                self._resolve_call(entry, self._build_exhausted_error(at - now))
                continue
            if at <= now:
                self._resolve_call(entry, None)
                self.next_call_at = max(now, opens) + self._interval
            opens = max(at, opens) + self._interval
        self._schedule_next(now)

    def _order_fairly(self, served: dict[str, int]) -> Sequence[QueuedCall]:
        """Those who wait, in the order they will go: who was served longest ago first, then who came first."""
        left, order = list(self.queue), []
        while left:
            entry = min(left, key=lambda each: _rank_fairly(each, served))
            left.remove(entry)
            served[_choose_charged_person(entry, served)] = max(served.values(), default=0) + 1
            order.append(entry)
        return order

    def _resolve_call(self, entry: QueuedCall, failure: ConnectorError | None) -> None:
        self.queue.remove(entry)
        if entry.granted.done():
            return
        if failure is not None:
            entry.granted.set_exception(failure)
            return
        self.last_turns[_choose_charged_person(entry, self.last_turns)] = max(self.last_turns.values(), default=0) + 1
        entry.granted.set_result(None)

    def _schedule_next(self, now: float) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer = None
        if self.queue:
            self.timer = self.clock.call_later(
                max(0.0, self.next_call_at - self._burst_lead - now), self._process_queue
            )

    def _build_exhausted_error(self, seconds: float) -> ConnectorError:
        what = f"the quota `sources.{self.source}.quota.{self.name}` of {self.per_minute} a minute is used up"
        if not self.per_minute:
            what = f"`{self.source}` takes no more `{self.name}` for now"
        return ConnectorError(
            f"{what}, the next turn is in {ceil(seconds)} s: ask again then, or for less", ErrorCode.RATE_LIMITED
        )


def _rank_fairly(entry: QueuedCall, served: Mapping[str, int]) -> int:
    """A call for several people goes when the first of them has a turn."""
    return min((served.get(each, 0) for each in entry.context.people), default=0)


def _choose_charged_person(entry: QueuedCall, served: Mapping[str, int]) -> str:
    return min(entry.context.people, key=lambda each: served.get(each, 0), default=NO_PERSON)


def _build_anonymous_context(until: float) -> CallContext:
    return CallContext(waiters=[Waiter(person=NO_PERSON, deadline=until)])


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorRateLimiters:
    """The quotas of one source, by what is called; what is not named has none, but slows down when asked to."""

    source: str
    per_minute: Mapping[str, int]
    clock: LoopClock
    limiters: dict[str, ConnectorRateLimiter] = field(default_factory=dict)

    def get_limiter(self, name: str) -> ConnectorRateLimiter:
        if name not in self.limiters:
            times = self.per_minute.get(name, 0)
            self.limiters[name] = ConnectorRateLimiter(
                source=self.source, name=name, per_minute=times, clock=self.clock
            )
        return self.limiters[name]
