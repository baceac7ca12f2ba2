"""One source in, the same source out, safe to ask: every call has a timeout, a bulkhead, a breaker, a cap and a retry.

Set here and nowhere else. A breaker opens after FAILURES in a row and lets one probe through every PROBE_SECONDS, so
that a source is right again within 2 s of its return.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from engine.deadline import NEVER, Deadline
from engine.errand import rests
from engine.errors import Code, SourceFailed
from engine.house import Limits
from engine.overflow import Inflow, closing
from engine.quota import Quota
from engine.source import Source
from engine.words import Ask, Row

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
    reads: Quota | None = None
    """How many reads a minute it takes."""
    waiting: int = 0
    failures: int = 0
    probe_at: float = 0.0
    retries: float = RETRY_MOST
    tally: dict[str, int] = field(default_factory=lambda: {"calls": 0, "retries": 0})


@dataclass(slots=True, kw_only=True)
class Seat:
    """One read's slot and its time, both given up while all it does is wait for its source's quota."""

    guard: Guard
    by: float
    """When it is to have answered, on the loop's clock."""
    held: bool = True
    resting: int = 0
    waiting: Deadline | None = None

    @asynccontextmanager
    async def rest(self) -> AsyncIterator[None]:
        """Several calls of one read may rest at once; it goes on when the first of them does."""
        self.resting += 1
        self._leave()
        try:
            yield
        finally:
            self.resting -= 1
        await self._return()

    def leave(self) -> None:
        if self.held:
            self.guard.slots.release()
        self.held = False

    def _leave(self) -> None:
        self.leave()
        if self.waiting is not None:
            self.waiting.move(NEVER)

    async def _return(self) -> None:
        if not self.held:  # INVARIANT: who holds a slot never waits for another
            await self.guard.slots.acquire()
            self.leave()
            self.held = True
        self.by = asyncio.get_running_loop().time() + self.guard.limits.source_seconds
        if self.waiting is not None:
            self.waiting.move(self.by)


def guard(name: str, source: Source, limits: Limits, clock: Clock, reads: Quota | None = None) -> Guard:
    slots = asyncio.Semaphore(limits.source_calls)
    return Guard(name=name, source=source, limits=limits, clock=clock, slots=slots, reads=reads)


class _NotPoured(Exception):
    """It is the scratch database that failed, not the source that is read."""

    def __init__(self, failure: SourceFailed) -> None:
        self.failure = failure


async def rows(guarded: Guard, ask: Ask, inflow: Inflow | None = None) -> list[Row]:
    """All rows of one read, but for those that `inflow` poured; raises SourceFailed, and within the limits' time."""
    if guarded.reads is not None:
        await guarded.reads.turn()
    await queue(guarded)
    seat = Seat(guard=guarded, by=asyncio.get_running_loop().time() + guarded.limits.source_seconds)
    try:
        with rests(seat.rest):
            return await _tried(seat, ask, inflow)
    except _NotPoured as instead:
        raise instead.failure from None
    finally:
        seat.leave()


async def queue(guarded: Guard) -> None:
    """A slot of the source's, which whoever waited for it gives back; SourceFailed where too many wait."""
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
    with Deadline(asyncio.get_running_loop().time() + seconds):
        await work


async def _tried(seat: Seat, ask: Ask, inflow: Inflow | None) -> list[Row]:
    """A call and its retry share one time: nobody waits twice."""
    guarded = seat.guard
    try:
        return await _called(seat, ask, inflow)
    except SourceFailed as failure:
        if inflow is not None and inflow.poured:
            raise SourceFailed(failure.reason, failure.code, again=False) from None
        if failure.code is not Code.SOURCE_UNAVAILABLE or not failure.again or guarded.retries < 1:
            raise
        guarded.retries -= 1
        guarded.tally["retries"] += 1
        return await _called(seat, ask, inflow)


async def _called(seat: Seat, ask: Ask, inflow: Inflow | None) -> list[Row]:
    guarded = seat.guard
    closed(guarded)
    guarded.tally["calls"] += 1
    try:
        found = await (_read(seat, ask) if inflow is None else _flowed(seat, ask, inflow))
    except TimeoutError:
        failed(guarded)
        raise SourceFailed(f"`{guarded.name}` did not answer within {guarded.limits.source_seconds:g} s") from None
    except SourceFailed as failure:
        if failure.code is Code.SOURCE_UNAVAILABLE:
            failed(guarded)
        elif failure.code in ALIVE:
            guarded.failures = 0
        raise
    guarded.failures = 0
    guarded.retries = min(RETRY_MOST, guarded.retries + RETRY_EARNED)
    return found


async def _read(seat: Seat, ask: Ask) -> list[Row]:
    """All batches, the first `by` a time of the loop's clock.

    Each other must come within `source_seconds` of the one before, as a long read is no slow source.
    """
    guarded, found = seat.guard, list[Row]()
    seconds = guarded.limits.source_seconds
    with Deadline(seat.by) as seat.waiting:
        async for batch in guarded.source.read(ask):
            found.extend(batch)
            if len(found) > guarded.limits.rows_read:
                raise _too_many(guarded)
            seat.waiting.move(asyncio.get_running_loop().time() + seconds)
    return found


async def _flowed(seat: Seat, ask: Ask, inflow: Inflow) -> list[Row]:
    """As `_read`, each batch offered to `inflow`, which takes none of the source's time."""
    guarded, found, count = seat.guard, list[Row](), 0
    with Deadline(seat.by) as seat.waiting:
        async with closing(guarded.source.read(ask)) as batches:
            async for batch in batches:
                found.extend(batch)
                count += len(batch)
                if count > guarded.limits.rows_read:
                    raise _too_many(guarded)
                seat.waiting.move(NEVER)
                await _offered(found, inflow)
                seat.waiting.move(asyncio.get_running_loop().time() + guarded.limits.source_seconds)
    return found


async def _offered(found: list[Row], inflow: Inflow) -> None:
    try:
        await inflow.take(found)
    except SourceFailed as failure:
        raise _NotPoured(failure) from None


def _too_many(guarded: Guard) -> SourceFailed:
    limit = f"the limit `rows_read` of {guarded.limits.rows_read}"
    return SourceFailed(f"a read of `{guarded.name}` is over {limit}, filter it", Code.LIMIT_EXCEEDED)


def closed(guarded: Guard) -> None:
    """Passes while the breaker is closed, and once every PROBE_SECONDS while it is open."""
    if guarded.failures < FAILURES:
        return
    if guarded.clock() < guarded.probe_at:
        raise SourceFailed(f"`{guarded.name}` has not answered of late, it is tried again within a second")
    guarded.probe_at = guarded.clock() + PROBE_SECONDS


def failed(guarded: Guard) -> None:
    """One more in a row."""
    guarded.failures += 1
    guarded.probe_at = guarded.clock() + PROBE_SECONDS


def _overloaded(guarded: Guard) -> SourceFailed:
    return SourceFailed(f"`{guarded.name}` has too many questions to answer now, ask again", Code.SOURCE_OVERLOADED)
