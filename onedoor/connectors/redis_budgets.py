"""Count budgets in Redis for all replicas, in the sliding windows of `limits`."""

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from limits.aio.storage.redis.bridge import RedisBridge
from redis.asyncio import Redis

from onedoor.connectors.redis_client import RedisCalls, open_redis
from onedoor.runtime.budgets import WINDOW_SECONDS, CounterReading, Draw
from onedoor.runtime.row_cache import CacheSettings

KEY_PREFIX = "onedoor:budget:"

WHILE_AWAY = "each process counts budgets for itself and grants its part of them (`budgets.processes`)"

UNBOUNDED = 2**53
"""More than any counter holds, and the most that a number of Redis' scripts can be."""


@dataclass(frozen=True, slots=True)
class ScriptCall:
    """A script of `limits` for one counter, with its arguments."""

    script: bytes
    counter: str
    arguments: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedWindow:
    """A counter as `limits` has it: this minute's count, and the last one's, which weighs less as it goes by.

    `previous_seconds` are those until the last minute weighs nothing and the next one begins.
    """

    previous: int
    previous_seconds: float
    current: int
    current_seconds: float

    @property
    def used(self) -> int:
        return int(self.previous * self.previous_seconds / WINDOW_SECONDS) + self.current

    def get_wait(self, room: int) -> float:
        """Return the seconds until no more than `room` weighs; 0: no more does now."""
        if self.used <= room:
            return 0.0
        free_at = max(0, room) + 1  # the weight is rounded down
        if self.current <= room:
            return self.previous_seconds - (free_at - self.current) * WINDOW_SECONDS / self.previous
        shift = max(0.0, self.current_seconds - WINDOW_SECONDS)
        return shift + max(0.0, WINDOW_SECONDS - free_at * WINDOW_SECONDS / self.current)


class RedisCounters:
    """SharedCounters in Redis: one round trip for all counters of a request, under digests of their names.

    The scripts are run as they stand in `limits`, together, which its storage would do one by one.
    """

    def __init__(self, client: Redis, calls: RedisCalls, secret: bytes) -> None:
        self.client, self.calls, self.secret = client, calls, secret

    async def read(self, draws: Sequence[Draw]) -> Sequence[CounterReading] | None:
        calls = [ScriptCall(RedisBridge.SCRIPT_SLIDING_WINDOW, draw.counter, (WINDOW_SECONDS,)) for draw in draws]
        answers = await self._run(calls)
        if answers is None:
            return None
        windows = [_read_window(answer) for answer in answers]
        return [
            CounterReading(used=window.used, wait=window.get_wait(draw.limit - draw.amount))
            for draw, window in zip(draws, windows, strict=True)
        ]

    async def take(self, draws: Sequence[Draw]) -> Sequence[CounterReading] | None:
        taken = await self._run([_build_take(draw.counter, draw.amount, draw.limit) for draw in draws])
        if taken is None:
            return None
        if all(taken):
            return [CounterReading(used=0) for _ in draws]
        given_back = {draw.counter: -draw.amount for draw, was_taken in zip(draws, taken, strict=True) if was_taken}
        if given_back:
            await self.add(given_back)
        readings = await self.read(draws)
        return readings and [
            reading if was_taken else CounterReading(used=reading.used, wait=max(reading.wait, 0.001))
            for reading, was_taken in zip(readings, taken, strict=True)
        ]

    async def add(self, amounts: Mapping[str, int]) -> Sequence[Any] | None:
        calls = [_build_take(counter, amount, UNBOUNDED) for counter, amount in amounts.items()]
        return await self._run(calls)

    async def close(self) -> None:
        await self.client.aclose()

    async def _run(self, calls: Sequence[ScriptCall]) -> Sequence[Any] | None:
        pipeline = self.client.pipeline(transaction=False)
        for call in calls:
            name = KEY_PREFIX + hmac.digest(self.secret, call.counter.encode(), "sha256").hex()
            pipeline.eval(call.script.decode(), 2, f"{{{name}}}/-1", f"{{{name}}}", *call.arguments)
        answers: Sequence[Any] | None = await self.calls.call_or_none(pipeline.execute)
        return answers


def create_redis_counters(settings: CacheSettings, secret: bytes, clock: Callable[[], float]) -> RedisCounters:
    """Create the counters without calling Redis. Raises ValueError where the URL is not one."""
    calls = RedisCalls(settings.seconds, clock, WHILE_AWAY)
    return RedisCounters(open_redis(settings.url or "", settings.seconds), calls, secret)


def _build_take(counter: str, amount: int, limit: int) -> ScriptCall:
    return ScriptCall(RedisBridge.SCRIPT_ACQUIRE_SLIDING_WINDOW, counter, (limit, WINDOW_SECONDS, amount))


def _read_window(answer: Sequence[Any]) -> WeightedWindow:
    """Read what the script of a sliding window gives; times that are below 0 are those of a key that is not there."""
    previous, previous_milliseconds, current, current_milliseconds = answer
    return WeightedWindow(
        previous=int(previous or 0),
        previous_seconds=max(0, previous_milliseconds) / 1000,
        current=int(current or 0),
        current_seconds=max(0, current_milliseconds) / 1000,
    )
