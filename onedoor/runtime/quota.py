"""Limit the calls to a source to its quota, sharing it fairly among the people who wait.

A fifth of a quota may be used at once and the rest is spread evenly, so that no minute, wherever it begins, has more
calls than the quota.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from math import ceil
from typing import Protocol

from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.call_context import NO_DEADLINE, CallContext, build_call_context, get_call_context, yielding_slot
from onedoor.runtime.fair_slots import NO_PERSON

MINUTE_SECONDS = 60.0

BURST_DIVISOR = 5
"""A fifth of the quota may be used at once."""

READS_QUOTA = "reads"
"""The quota that every source has: its scans, however many calls they take."""


class TimerHandle(Protocol):
    """A call that is scheduled."""

    def cancel(self) -> None:
        """Do not make the call."""
        ...


class LoopClock(Protocol):
    """The clock and timers of an event loop, or of a test."""

    def time(self) -> float:
        """Return the time in seconds, never going back."""
        ...

    def call_later(self, delay: float, callback: Callable[[], None], /) -> TimerHandle:
        """Call after so many seconds."""
        ...


@dataclass(slots=True, kw_only=True, eq=False)
class QueuedCall:
    """A call that waits for its turn."""

    context: CallContext
    granted: asyncio.Future[None]
    wait_until: float
    """The time after which this call is given up, though nobody who waits for it has a deadline."""

    @property
    def deadline(self) -> float:
        """The time after which nobody waits for this call."""
        return min(self.context.deadline, self.wait_until)


@dataclass(slots=True, kw_only=True)
class ConnectorRateLimiter:
    """Grant so many calls a minute; 0: any number, but with the pauses that the far end asks for."""

    source: str
    name: str
    per_minute: int
    clock: LoopClock
    next_call_at: float = 0.0
    """When the next call is due, spread evenly."""
    queue: list[QueuedCall] = field(default_factory=list)
    last_turns: dict[str, int] = field(default_factory=dict)
    """By person, the number of their last turn, since the quota was last unused."""
    timer: TimerHandle | None = None

    async def acquire(self, max_wait: float = MINUTE_SECONDS) -> None:
        """Wait until a call may be made.

        Raises ConnectorError at once where that would be after everyone who waits for it has gone. Where none of them
        has a deadline, `max_wait` is the most seconds to wait.
        """
        if not self.per_minute and not self.queue and self.next_call_at <= self.clock.time():
            self.last_turns.clear()
            return
        context = get_call_context() or build_call_context(NO_PERSON)
        entry = QueuedCall(
            context=context,
            granted=asyncio.get_running_loop().create_future(),
            wait_until=self.clock.time() + max_wait if context.deadline == NO_DEADLINE else NO_DEADLINE,
        )
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
        """Make no calls for so many seconds, as the far end asks, and then one at a time."""
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
        """How many seconds a call may be ahead of its even place."""
        return (self._burst - 1) * self._interval

    def _process_queue(self) -> None:
        """Grant what may be granted, refuse what would wait in vain, and schedule the next."""
        now = self.clock.time()
        due = self.next_call_at
        for entry in self._order_fairly():
            start = max(now, due - self._burst_lead)
            if start > entry.deadline:
                self._resolve_call(entry, self._build_exhausted_error(start - now))
                continue
            if start <= now:
                self._resolve_call(entry, None)
                self.next_call_at = max(now, due) + self._interval
            due = max(start, due) + self._interval
        self._schedule_next(now)

    def _order_fairly(self) -> Sequence[QueuedCall]:
        """Return the calls in the order of their turns: those of who was served longest ago first, then by arrival.

        The calls of the same people stand in one line each, of which only the first may be next.
        """
        order = list[QueuedCall]()
        last_turns = dict(self.last_turns)
        last_turn = max(last_turns.values(), default=0)
        lines = defaultdict[frozenset[str], deque[tuple[int, QueuedCall]]](deque)
        for arrival, entry in enumerate(self.queue):
            lines[entry.context.people].append((arrival, entry))
        while lines:
            people = min(lines, key=lambda people: (_rank_fairly(people, last_turns), lines[people][0][0]))
            order.append(lines[people].popleft()[1])
            if not lines[people]:
                del lines[people]
            last_turn += 1
            last_turns[_choose_charged_person(people, last_turns)] = last_turn
        return order

    def _resolve_call(self, entry: QueuedCall, failure: ConnectorError | None) -> None:
        self.queue.remove(entry)
        if entry.granted.done():
            return
        if failure is not None:
            entry.granted.set_exception(failure)
            return
        person = _choose_charged_person(entry.context.people, self.last_turns)
        self.last_turns[person] = max(self.last_turns.values(), default=0) + 1
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
        reason = f"the quota `sources.{self.source}.quota.{self.name}` of {self.per_minute} a minute is used up"
        if not self.per_minute:
            reason = f"`{self.source}` takes no more `{self.name}` for now"
        return ConnectorError(
            f"{reason}, the next turn is in {ceil(seconds)} s: ask again then, or for less", ErrorCode.RATE_LIMITED
        )


def _rank_fairly(people: Set[str], last_turns: Mapping[str, int]) -> int:
    """Return the last turn of the person who is charged: a call for several people goes with the first of them."""
    return min((last_turns.get(person, 0) for person in people), default=0)


def _choose_charged_person(people: Set[str], last_turns: Mapping[str, int]) -> str:
    return min(people, key=lambda person: last_turns.get(person, 0), default=NO_PERSON)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorRateLimiters:
    """The limiters of one source, by what is called; without a quota they only pause when the far end asks."""

    source: str
    per_minute: Mapping[str, int]
    clock: LoopClock
    limiters: dict[str, ConnectorRateLimiter] = field(default_factory=dict)

    def get_limiter(self, name: str) -> ConnectorRateLimiter:
        """Return the one limiter of this name."""
        if name not in self.limiters:
            per_minute = self.per_minute.get(name, 0)
            self.limiters[name] = ConnectorRateLimiter(
                source=self.source, name=name, per_minute=per_minute, clock=self.clock
            )
        return self.limiters[name]
