"""Timeout, bulkhead, circuit breaker, retry budget: reads and writes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar, cast

from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.catalog import Limits
from onedoor.runtime.call_context import use_slot_yielding
from onedoor.runtime.concurrency import NEVER, Deadline
from onedoor.runtime.quota import ConnectorRateLimiter
from onedoor.spi.connector import (
    ChangeRejected,
    ChangeResult,
    Connector,
    RowChange,
    UploadAddress,
    UploadRequest,
    WritableConnector,
    WriteCapabilities,
)
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest
from onedoor.spi.spill import SpillInput, closing_batches

BREAKER_FAILURES = 5

PROBE_SECONDS = 0.5

HEALTHY_CODES = frozenset({ErrorCode.LIMIT_EXCEEDED, ErrorCode.CANNOT_ANSWER})
"""Failures of an ask, not of the source: it answered."""

RETRY_CREDIT_EARNED = 0.1

RETRY_CREDIT_MAX = 5.0

QUEUE_SECONDS = 1.0

Clock = Callable[[], float]


@dataclass(slots=True, kw_only=True)
class ResilientConnector:
    """What one source has earned and used up so far."""

    name: str
    inner: Connector
    limits: Limits
    clock: Clock
    semaphore: asyncio.Semaphore
    read_limiter: ConnectorRateLimiter | None = None
    """How many reads a minute it takes."""
    queued: int = 0
    failures: int = 0
    probe_at: float = 0.0
    retry_credit: float = RETRY_CREDIT_MAX
    counters: dict[str, int] = field(default_factory=lambda: {"calls": 0, "retries": 0})


@dataclass(slots=True, kw_only=True)
class Permit:
    """One read's slot and its time, both given up while all it does is wait for its source's quota."""

    connector: ResilientConnector
    deadline: float
    """When it is to have answered, on the loop's clock."""
    held: bool = True
    yielded: int = 0
    timer: Deadline | None = None

    @asynccontextmanager
    async def yield_slot(self) -> AsyncIterator[None]:
        """Several calls of one read may rest at once; it goes on when the first of them does."""
        self.yielded += 1
        self._pause()
        try:
            yield
        finally:
            self.yielded -= 1
        await self._resume()

    def release(self) -> None:
        if self.held:
            self.connector.semaphore.release()
        self.held = False

    def _pause(self) -> None:
        self.release()
        if self.timer is not None:
            self.timer.move(NEVER)

    async def _resume(self) -> None:
        if not self.held:  # INVARIANT: who holds a slot never waits for another
            await self.connector.semaphore.acquire()
            self.release()
            self.held = True
        self.deadline = asyncio.get_running_loop().time() + self.connector.limits.source_seconds
        if self.timer is not None:
            self.timer.move(self.deadline)


def wrap_connector(
    name: str, connector: Connector, limits: Limits, clock: Clock, read_limiter: ConnectorRateLimiter | None = None
) -> ResilientConnector:
    slots = asyncio.Semaphore(limits.source_calls)
    return ResilientConnector(
        name=name, inner=connector, limits=limits, clock=clock, semaphore=slots, read_limiter=read_limiter
    )


class _SpillFailed(Exception):
    """It is the scratch database that failed, not the source that is read."""

    def __init__(self, failure: ConnectorError) -> None:
        self.failure = failure


async def read_rows(
    connector: ResilientConnector, request: ScanRequest, spill_input: SpillInput | None = None
) -> list[Row]:
    """All rows of one read, but for those that `inflow` poured; raises SourceFailed, and within the limits' time."""
    if connector.read_limiter is not None:
        await connector.read_limiter.acquire()
    await acquire_slot(connector)
    seat = Permit(connector=connector, deadline=asyncio.get_running_loop().time() + connector.limits.source_seconds)
    try:
        with use_slot_yielding(seat.yield_slot):
            return await _read_with_retry(seat, request, spill_input)
    except _SpillFailed as instead:
        raise instead.failure from None
    finally:
        seat.release()


async def acquire_slot(connector: ResilientConnector) -> None:
    """A slot of the source's, which whoever waited for it gives back; SourceFailed where too many wait."""
    if connector.semaphore.locked():
        if connector.queued >= connector.limits.source_queue:
            raise _build_overloaded_error(connector)
        connector.queued += 1
        try:
            await _await_within(connector.semaphore.acquire(), QUEUE_SECONDS)
        except TimeoutError:
            raise _build_overloaded_error(connector) from None
        finally:
            connector.queued -= 1
    else:
        await connector.semaphore.acquire()


async def _await_within(work: Awaitable[object], seconds: float) -> None:
    with Deadline(asyncio.get_running_loop().time() + seconds):
        await work


async def _read_with_retry(permit: Permit, request: ScanRequest, spill_input: SpillInput | None) -> list[Row]:
    """A call and its retry share one time: nobody waits twice."""
    guarded = permit.connector
    try:
        return await _read_once(permit, request, spill_input)
    except ConnectorError as failure:
        if spill_input is not None and spill_input.spilled:
            raise ConnectorError(failure.reason, failure.code, retryable=False) from None
        if failure.code is not ErrorCode.SOURCE_UNAVAILABLE or not failure.retryable or guarded.retry_credit < 1:
            raise
        guarded.retry_credit -= 1
        guarded.counters["retries"] += 1
        return await _read_once(permit, request, spill_input)


async def _read_once(permit: Permit, request: ScanRequest, spill_input: SpillInput | None) -> list[Row]:
    guarded = permit.connector
    check_breaker(guarded)
    guarded.counters["calls"] += 1
    try:
        found = await (
            _read_batches(permit, request) if spill_input is None else _read_into_spill(permit, request, spill_input)
        )
    except TimeoutError:
        record_failure(guarded)
        raise ConnectorError(f"`{guarded.name}` did not answer within {guarded.limits.source_seconds:g} s") from None
    except ConnectorError as failure:
        if failure.code is ErrorCode.SOURCE_UNAVAILABLE:
            record_failure(guarded)
        elif failure.code in HEALTHY_CODES:
            guarded.failures = 0
        raise
    guarded.failures = 0
    guarded.retry_credit = min(RETRY_CREDIT_MAX, guarded.retry_credit + RETRY_CREDIT_EARNED)
    return found


async def _read_batches(permit: Permit, request: ScanRequest) -> list[Row]:
    """All batches, the first `by` a time of the loop's clock.

    Each other must come within `source_seconds` of the one before, as a long read is no slow source.
    """
    guarded, found = permit.connector, list[Row]()
    seconds = guarded.limits.source_seconds
    with Deadline(permit.deadline) as permit.timer:
        async for batch in guarded.inner.scan(request):
            found.extend(batch)
            if len(found) > guarded.limits.rows_read:
                raise _build_too_many_rows_error(guarded)
            permit.timer.move(asyncio.get_running_loop().time() + seconds)
    return found


async def _read_into_spill(permit: Permit, request: ScanRequest, spill_input: SpillInput) -> list[Row]:
    """As `_read`, each batch offered to `inflow`, which takes none of the source's time."""
    guarded, found, count = permit.connector, list[Row](), 0
    with Deadline(permit.deadline) as permit.timer:
        async with closing_batches(guarded.inner.scan(request)) as batches:
            async for batch in batches:
                found.extend(batch)
                count += len(batch)
                if count > guarded.limits.rows_read:
                    raise _build_too_many_rows_error(guarded)
                permit.timer.move(NEVER)
                await _offer_batch(found, spill_input)
                permit.timer.move(asyncio.get_running_loop().time() + guarded.limits.source_seconds)
    return found


async def _offer_batch(found: list[Row], spill_input: SpillInput) -> None:
    try:
        await spill_input.offer(found)
    except ConnectorError as failure:
        raise _SpillFailed(failure) from None


def _build_too_many_rows_error(connector: ResilientConnector) -> ConnectorError:
    limit = f"the limit `rows_read` of {connector.limits.rows_read}"
    return ConnectorError(f"a read of `{connector.name}` is over {limit}, filter it", ErrorCode.LIMIT_EXCEEDED)


def check_breaker(connector: ResilientConnector) -> None:
    """Passes while the breaker is closed, and once every PROBE_SECONDS while it is open."""
    if connector.failures < BREAKER_FAILURES:
        return
    if connector.clock() < connector.probe_at:
        raise ConnectorError(f"`{connector.name}` has not answered of late, it is tried again within a second")
    connector.probe_at = connector.clock() + PROBE_SECONDS


def record_failure(connector: ResilientConnector) -> None:
    """One more in a row."""
    connector.failures += 1
    connector.probe_at = connector.clock() + PROBE_SECONDS


def _build_overloaded_error(connector: ResilientConnector) -> ConnectorError:
    return ConnectorError(
        f"`{connector.name}` has too many questions to answer now, ask again", ErrorCode.SOURCE_OVERLOADED
    )


Result = TypeVar("Result")


def get_write_capabilities(connector: ResilientConnector, collection: str) -> WriteCapabilities | None:
    """What the source promises to change there; None: nothing, or it is none that can be changed."""
    promises = getattr(connector.inner, "write_capabilities", None)
    return None if promises is None else cast(WriteCapabilities | None, promises(collection))


async def apply_to_connector(
    connector: ResilientConnector, changes: Sequence[RowChange], *, dry_run: bool = False
) -> Sequence[ChangeResult]:
    """As `Writable.write`. What is turned away before the source is called is Unmade, too."""
    try:
        seat = await _acquire_permit(connector)
    except ConnectorError as refusal:
        raise ChangeRejected(refusal.reason, refusal.code) from None
    return await _call_with_permit(seat, _as_writable(connector).apply(changes, dry_run=dry_run))


async def find_change_in_connector(connector: ResilientConnector, change: RowChange) -> ChangeResult | None:
    """As `Writable.made`."""
    seat = await _acquire_permit(connector)
    return await _call_with_permit(seat, _as_writable(connector).find_change(change))


async def call_connector(connector: ResilientConnector, work: Callable[[], Awaitable[Result]]) -> Result:
    """Any other call that its source takes. Raises SourceFailed."""
    seat = await _acquire_permit(connector)
    return await _call_with_permit(seat, work())


async def request_upload_address(connector: ResilientConnector, request: UploadRequest) -> UploadAddress | None:
    """As `Addresses.upload_address`; None, too, where the source has none to give."""
    asked = getattr(connector.inner, "upload_address", None)
    if asked is None:
        return None
    seat = await _acquire_permit(connector)
    return cast(UploadAddress | None, await _call_with_permit(seat, asked(request)))


def _as_writable(guarded: ResilientConnector) -> WritableConnector:
    """A source in another dress still has its methods, which `isinstance` may not see."""
    return cast(WritableConnector, guarded.inner)


async def _acquire_permit(guarded: ResilientConnector) -> Permit:
    if guarded.read_limiter is not None:
        await guarded.read_limiter.acquire()
    await acquire_slot(guarded)
    seat = Permit(connector=guarded, deadline=asyncio.get_running_loop().time() + guarded.limits.source_seconds)
    try:
        check_breaker(guarded)
    except BaseException:
        seat.release()
        raise
    return seat


async def _call_with_permit(seat: Permit, work: Awaitable[Result]) -> Result:
    guarded = seat.connector
    guarded.counters["calls"] += 1
    try:
        with use_slot_yielding(seat.yield_slot), Deadline(seat.deadline) as seat.timer:
            done = await work
    except TimeoutError:
        record_failure(guarded)
        raise ConnectorError(f"`{guarded.name}` did not answer within {guarded.limits.source_seconds:g} s") from None
    except ChangeRejected:
        guarded.failures = 0
        raise
    except ConnectorError as failure:
        if failure.code in HEALTHY_CODES:
            guarded.failures = 0
        else:
            record_failure(guarded)
        raise
    finally:
        seat.release()
    guarded.failures = 0
    return done
