"""Charge each key the seconds for which its requests hold up the event loop, wherever they are spent."""

from collections import deque
from collections.abc import Callable, Coroutine, Generator
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


@dataclass(slots=True)
class SecondsOfKey:
    """What one key was charged within the last minute, by the second in which it was."""

    by_second: deque[tuple[int, float]] = field(default_factory=deque)
    total: float = 0.0

    def forget_old(self, now: int) -> None:
        """Forget what is more than a minute ago."""
        while self.by_second and self.by_second[0][0] <= now - WINDOW_SECONDS:
            self.total -= self.by_second.popleft()[1]
        if not self.by_second:
            self.total = 0.0


class LoopSeconds:
    """The seconds of processor time that each key took from the event loop, within any minute."""

    def __init__(self, limit: float, clock: Callable[[], float] = monotonic) -> None:
        self.limit, self.clock = limit, clock
        self.by_key: dict[str, SecondsOfKey] = {}

    def charge(self, key_id: str, seconds: float) -> None:
        """Charge a key."""
        now = int(self.clock())
        charged = self.by_key.get(key_id)
        if charged is None:
            charged = self.by_key[key_id] = SecondsOfKey()
        if charged.by_second and charged.by_second[-1][0] == now:
            charged.by_second[-1] = now, charged.by_second[-1][1] + seconds
        else:
            charged.forget_old(now)
            charged.by_second.append((now, seconds))
        charged.total += seconds

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


@dataclass(slots=True)
class LoopMeter:
    """Measures the steps of one request on the event loop, and what it does in threads that hold the loop up.

    Until its key is known, what it took is kept; a subscription is charged as it goes.
    """

    account: LoopSeconds
    key_id: str | None = None
    uncharged: float = 0.0

    def add(self, seconds: float) -> None:
        """Charge the key, once it is known."""
        if self.key_id is None:
            self.uncharged += seconds
            return
        self.account.charge(self.key_id, self.uncharged + seconds)
        self.uncharged = 0.0

    def get_wait(self) -> float | None:
        """Return the seconds until the key may come again; None: it may go on."""
        return None if self.key_id is None else self.account.get_wait(self.key_id)


_meter: ContextVar[LoopMeter | None] = ContextVar("loop_meter", default=None)


def get_meter() -> LoopMeter | None:
    """Return the meter of the request that runs here; None: nobody is charged."""
    return _meter.get()


def run_metered(meter: LoopMeter, work: Coroutine[Any, Any, Result]) -> Coroutine[Any, Any, Result]:
    """Return a coroutine that does what `work` does, each of whose steps counts."""
    return MeteredCoroutine(meter, work)


def meter_task(work: Coroutine[Any, Any, Result]) -> Coroutine[Any, Any, Result]:
    """Return a coroutine for a task of its own, each of whose steps counts for the request that starts it."""
    meter = get_meter()
    return work if meter is None else MeteredCoroutine(meter, work)


class MeteredCoroutine(Coroutine[Any, Any, Result]):
    """Measures the processor time of each step of a coroutine: 1 us a step, of the 100 us of a small request."""

    __slots__ = ("_meter", "_work")

    def __init__(self, meter: LoopMeter, work: Coroutine[Any, Any, Result]) -> None:
        self._meter, self._work = meter, work

    def send(self, value: Any) -> Any:
        """Make the next step."""
        token, started = _meter.set(self._meter), thread_time()
        try:
            return self._work.send(value)
        finally:
            self._meter.add(thread_time() - started)
            _meter.reset(token)

    def throw(self, *error: Any) -> Any:
        """Make the next step with an exception."""
        token, started = _meter.set(self._meter), thread_time()
        try:
            return self._work.throw(*error)
        finally:
            self._meter.add(thread_time() - started)
            _meter.reset(token)

    def close(self) -> None:
        """Make no further step."""
        self._work.close()

    def __await__(self) -> Generator[Any, Any, Result]:
        return self

    def __iter__(self) -> "MeteredCoroutine[Result]":
        return self

    def __next__(self) -> Any:
        return self.send(None)
