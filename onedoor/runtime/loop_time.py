"""Charge each key the seconds for which its requests hold up the event loop, wherever they are spent."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from math import ceil
from time import monotonic, thread_time
from typing import Any, TypeVar

Result = TypeVar("Result")

WINDOW_SECONDS = 60


def describe_used_up(limit: float, wait: float) -> tuple[str, int]:
    """Return the message for a key that has used up its seconds, and after how many whole ones it may come again."""
    retry_after = max(1, ceil(wait))
    message = (
        "there are more seconds of the event loop of this key than the limit `loop_seconds_a_minute` "
        f"of {limit:g}, come again in {retry_after} s"
    )
    return message, retry_after


CONTENDED_SECONDS = 1.0
"""How long after its last request another key counts as one that needs the loop, too."""

PACE_SHARE = 0.25
"""The part of the loop that one key may take while others need it, in the long run."""

PACE_BURST_SECONDS = 0.25
"""What it may take at once, and then has to wait for."""

PACE_DEBT_SECONDS = 1.0
"""The most that it owes for what it took while nobody else needed the loop."""

SHORTEST_WAIT_SECONDS = 0.001

ESTIMATE_WEIGHT = 0.2
"""How much the last request of a key counts in the estimate of its next one."""


SECONDS_A_BYTE = 4e-7
"""What a request is taken for by its size until it has ended: 0.15 s a megabyte for the coercion of variables, and the
rest so that one key has but one or two of the largest under way, whose values take fifteen times their bytes."""

FIRST_ESTIMATE_SECONDS = 0.1
"""What a request of a key is taken for before any has ended: where others need the loop, the first few wait for it."""


@dataclass(slots=True)
class SecondsOfKey:
    """What one key was charged within the last minute, by the second in which it was, and the pace of its requests."""

    by_second: deque[tuple[int, float]] = field(default_factory=deque)
    total: float = 0.0
    credit: float = PACE_BURST_SECONDS
    """The seconds that it may take now; below zero it waits."""
    reserved: float = 0.0
    """What its requests under way are taken for."""
    credited_at: float = 0.0
    estimate: float = FIRST_ESTIMATE_SECONDS
    """What a request takes, as far as is known."""
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by the request that waits for credit; the others wait for it."""
    offload_turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by the request that waits for credit, and then for a thread."""

    def forget_old(self, now: int) -> None:
        """Forget what is more than a minute ago."""
        while self.by_second and self.by_second[0][0] <= now - WINDOW_SECONDS:
            self.total -= self.by_second.popleft()[1]
        if not self.by_second:
            self.total = 0.0

    def add_credit(self, now: float) -> None:
        """Add what the time since the last time gives."""
        self.credit = min(PACE_BURST_SECONDS, self.credit + PACE_SHARE * (now - self.credited_at))
        self.credited_at = now


class LoopSeconds:
    """The seconds of processor time that each key took from the event loop, within any minute.

    While others need the loop, too, the requests of a key wait for their turns, so that it takes no more than a part of
    it at any moment.
    """

    def __init__(self, limit: float, clock: Callable[[], float] = monotonic) -> None:
        self.limit, self.clock = limit, clock
        self.by_key: dict[str, SecondsOfKey] = {}
        self.last_keys: dict[str, float] = {}
        """When each key sent its last request, the last ones last."""

    def charge(self, key_id: str, seconds: float) -> None:
        """Charge a key."""
        now = int(self.clock())
        charged = self._get(key_id)
        if charged.by_second and charged.by_second[-1][0] == now:
            charged.by_second[-1] = now, charged.by_second[-1][1] + seconds
        else:
            charged.forget_old(now)
            charged.by_second.append((now, seconds))
        charged.total += seconds
        charged.credit = max(charged.credit - seconds, -PACE_DEBT_SECONDS)

    def get_wait(self, key_id: str) -> float | None:
        """Return the seconds until a key that has used up its own may come again; None: it has not."""
        charged = self.by_key.get(key_id)
        if charged is None or charged.total < self.limit:
            return None
        now = self.clock()
        charged.forget_old(int(now))
        left = charged.total
        for second, seconds in charged.by_second:
            if left < self.limit:
                return None
            left -= seconds
            if left < self.limit:
                return second + WINDOW_SECONDS - now
        return None

    async def wait_for_turn(self, key_id: str, byte_count: int = 0) -> float:
        """Wait until a key has credit for one more request of so many bytes, and take what that is likely to need.

        Returns the seconds that were taken.
        """
        charged = self._get(key_id)
        self._note_request(key_id)
        charged.add_credit(self.clock())
        if charged.turn.locked() or (charged.credit <= charged.reserved and self._is_contended(key_id)):
            async with charged.turn:
                while (lacking := charged.reserved - charged.credit) >= 0 and self._is_contended(key_id):
                    await self._wait_for_credit(charged, lacking)
        taken = max(charged.estimate, byte_count * SECONDS_A_BYTE)
        charged.reserved += taken
        return taken

    @asynccontextmanager
    async def take_offload_turn(self, key_id: str) -> AsyncIterator[None]:
        """Wait until a key whose request is under way has credit for work in a thread; the block waits for the thread.

        Many requests may have begun while nobody else needed the loop.
        """
        charged = self._get(key_id)
        async with charged.offload_turn:
            charged.add_credit(self.clock())
            while charged.credit <= 0 and self._is_contended(key_id):
                await self._wait_for_credit(charged, -charged.credit)
            yield

    async def _wait_for_credit(self, charged: SecondsOfKey, seconds: float) -> None:
        await asyncio.sleep(seconds / PACE_SHARE + SHORTEST_WAIT_SECONDS)
        charged.add_credit(self.clock())

    def end_turn(self, key_id: str, taken: float, seconds: float) -> None:
        """Give back what was taken for a request that has ended, and learn from the seconds that it took."""
        charged = self._get(key_id)
        charged.reserved -= taken
        charged.estimate += ESTIMATE_WEIGHT * (seconds - charged.estimate)

    def _get(self, key_id: str) -> SecondsOfKey:
        charged = self.by_key.get(key_id)
        if charged is None:
            charged = self.by_key[key_id] = SecondsOfKey(credited_at=self.clock())
        return charged

    def _note_request(self, key_id: str) -> None:
        self.last_keys.pop(key_id, None)
        self.last_keys[key_id] = self.clock()
        oldest = next(iter(self.last_keys))
        if self.last_keys[oldest] < self.clock() - CONTENDED_SECONDS:
            del self.last_keys[oldest]

    def _is_contended(self, key_id: str) -> bool:
        oldest = self.clock() - CONTENDED_SECONDS
        return any(key != key_id and at > oldest for key, at in reversed(self.last_keys.items()))


@dataclass(slots=True)
class LoopMeter:
    """Measures the steps of one request on the event loop, and what it does in threads that hold the loop up.

    Until its key is known, what it took is kept; a subscription is charged as it goes.
    """

    account: LoopSeconds
    key_id: str | None = None
    uncharged: float = 0.0
    total: float = 0.0
    taken: float = 0.0
    """What was taken from the key's credit for it."""

    def add(self, seconds: float) -> None:
        """Charge the key, once it is known."""
        self.total += seconds
        if self.key_id is None:
            self.uncharged += seconds
            return
        self.account.charge(self.key_id, self.uncharged + seconds)
        self.uncharged = 0.0

    def get_wait(self) -> float | None:
        """Return the seconds until the key may come again; None: it may go on."""
        return None if self.key_id is None else self.account.get_wait(self.key_id)

    async def wait_for_turn(self, byte_count: int) -> None:
        """Wait until it is the turn of the key's request, whose body has so many bytes."""
        assert self.key_id is not None
        self.taken = await self.account.wait_for_turn(self.key_id, byte_count)

    def take_offload_turn(self) -> AbstractAsyncContextManager[None]:
        """Wait until it is the turn of the key's work in a thread; the block waits for the thread."""
        return nullcontext() if self.key_id is None else self.account.take_offload_turn(self.key_id)

    def end(self) -> None:
        """Let the next requests of the key have what this one has left."""
        if self.key_id is not None:
            self.account.end_turn(self.key_id, self.taken, self.total)


_meter: ContextVar[LoopMeter | None] = ContextVar("loop_meter", default=None)


def get_meter() -> LoopMeter | None:
    """Return the meter of the request that runs here; None: nobody is charged."""
    return _meter.get()


def run_metered(meter: LoopMeter, work: Coroutine[Any, Any, Result]) -> Coroutine[Any, Any, Result]:
    """Return a coroutine that does what `work` does, each of whose steps counts, and then ends the meter."""
    return MeteredCoroutine(meter, work, meter.end)


def meter_task(work: Coroutine[Any, Any, Result]) -> Coroutine[Any, Any, Result]:
    """Return a coroutine for a task of its own, each of whose steps counts for the request that starts it."""
    meter = get_meter()
    return work if meter is None else MeteredCoroutine(meter, work, lambda: None)


class MeteredCoroutine(Coroutine[Any, Any, Result]):
    """Measures the processor time of each step of a coroutine: 1 us a step, of the 100 us of a small request."""

    __slots__ = ("_meter", "_on_end", "_work")

    def __init__(self, meter: LoopMeter, work: Coroutine[Any, Any, Result], on_end: Callable[[], None]) -> None:
        self._meter, self._work, self._on_end = meter, work, on_end

    def send(self, value: Any) -> Any:
        """Make the next step."""
        return self._step(self._work.send, value)

    def throw(self, *error: Any) -> Any:
        """Make the next step with an exception."""
        return self._step(self._work.throw, *error)

    def _step(self, step: Callable[..., Any], *arguments: Any) -> Any:
        token, started = _meter.set(self._meter), thread_time()
        try:
            awaited = step(*arguments)
        except BaseException:
            self._meter.add(thread_time() - started)
            self._on_end()
            raise
        finally:
            _meter.reset(token)
        self._meter.add(thread_time() - started)
        return awaited

    def close(self) -> None:
        """Make no further step."""
        self._work.close()

    def __await__(self) -> Generator[Any, Any, Result]:
        return self

    def __iter__(self) -> "MeteredCoroutine[Result]":
        return self

    def __next__(self) -> Any:
        return self.send(None)
