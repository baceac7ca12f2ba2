"""One source in, the same source out, safe to ask: every call has a timeout, a bulkhead, a breaker, a cap and a retry.

Set here and nowhere else. A breaker opens after FAILURES in a row and lets one probe through every PROBE_SECONDS, so
that a source is right again within 2 s of its return.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from engine.errors import Code, SourceFailed
from engine.house import Limits
from engine.words import Ask, Row, Source

FAILURES = 5
PROBE_SECONDS = 0.5
ALIVE = frozenset({Code.LIMIT_EXCEEDED, Code.CANNOT_ANSWER})
"""Failures of an ask, not of the source: it answered."""
RETRY_EARNED = 0.1
RETRY_MOST = 5.0
QUEUE_SECONDS = 1.0

Clock = Callable[[], float]


@dataclass(slots=True, kw_only=True)
class Guard:
    """What one source has earned and used up so far."""

    name: str
    source: Source
    limits: Limits
    clock: Clock
    slots: asyncio.Semaphore
    waiting: int = 0
    failures: int = 0
    probe_at: float = 0.0
    retries: float = RETRY_MOST
    tally: dict[str, int] = field(default_factory=lambda: {"calls": 0, "retries": 0})


def guard(name: str, source: Source, limits: Limits, clock: Clock) -> Guard:
    return Guard(name=name, source=source, limits=limits, clock=clock, slots=asyncio.Semaphore(limits.source_calls))


async def rows(guarded: Guard, ask: Ask) -> list[Row]:
    """All rows of one read; raises SourceFailed, and within the limits' time."""
    await _queue(guarded)
    try:
        return await _tried(guarded, ask)
    finally:
        guarded.slots.release()


async def _queue(guarded: Guard) -> None:
    if guarded.slots.locked():
        if guarded.waiting >= guarded.limits.source_queue:
            raise _overloaded(guarded)
        guarded.waiting += 1
        try:
            await _within(guarded.slots.acquire(), QUEUE_SECONDS)
        except TimeoutError:
            raise _overloaded(guarded) from None
        finally:
            guarded.waiting -= 1
    else:
        await guarded.slots.acquire()


async def _within(work: Awaitable[object], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        await work


async def _tried(guarded: Guard, ask: Ask) -> list[Row]:
    """A call and its retry share one time: nobody waits twice."""
    by = asyncio.get_running_loop().time() + guarded.limits.source_seconds
    try:
        return await _called(guarded, ask, by)
    except SourceFailed as failure:
        if failure.code is not Code.SOURCE_UNAVAILABLE or not failure.again or guarded.retries < 1:
            raise
        guarded.retries -= 1
        guarded.tally["retries"] += 1
        return await _called(guarded, ask, by)


async def _called(guarded: Guard, ask: Ask, by: float) -> list[Row]:
    _closed(guarded)
    guarded.tally["calls"] += 1
    try:
        found = await _read(guarded, ask, by)
    except TimeoutError:
        _failed(guarded)
        raise SourceFailed(f"`{guarded.name}` did not answer within {guarded.limits.source_seconds:g} s") from None
    except SourceFailed as failure:
        if failure.code is Code.SOURCE_UNAVAILABLE:
            _failed(guarded)
        elif failure.code in ALIVE:
            guarded.failures = 0
        raise
    guarded.failures = 0
    guarded.retries = min(RETRY_MOST, guarded.retries + RETRY_EARNED)
    return found


async def _read(guarded: Guard, ask: Ask, by: float) -> list[Row]:
    """All batches, the first `by` a time of the loop's clock.

    Each other must come within `source_seconds` of the one before, as a long read is no slow source.
    """
    found: list[Row] = []
    seconds = guarded.limits.source_seconds
    async with asyncio.timeout_at(by) as waiting:
        async for batch in guarded.source.read(ask):
            found.extend(batch)
            if len(found) > guarded.limits.rows_read:
                limit = f"the limit `rows_read` of {guarded.limits.rows_read}"
                raise SourceFailed(f"a read of `{guarded.name}` is over {limit}, filter it", Code.LIMIT_EXCEEDED)
            waiting.reschedule(asyncio.get_running_loop().time() + seconds)
    return found


def _closed(guarded: Guard) -> None:
    """Passes while the breaker is closed, and once every PROBE_SECONDS while it is open."""
    if guarded.failures < FAILURES:
        return
    if guarded.clock() < guarded.probe_at:
        raise SourceFailed(f"`{guarded.name}` has not answered of late, it is tried again within a second")
    guarded.probe_at = guarded.clock() + PROBE_SECONDS


def _failed(guarded: Guard) -> None:
    guarded.failures += 1
    guarded.probe_at = guarded.clock() + PROBE_SECONDS


def _overloaded(guarded: Guard) -> SourceFailed:
    return SourceFailed(f"`{guarded.name}` has too many questions to answer now, ask again", Code.SOURCE_OVERLOADED)
