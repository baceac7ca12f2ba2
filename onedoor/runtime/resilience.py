"""Protect every call to a source with a timeout, a bulkhead, a circuit breaker and a retry budget."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar, cast

from onedoor.errors import ConnectorError, ErrorCode, SourceChanged
from onedoor.model.catalog import Limits
from onedoor.runtime.breaker import CircuitBreaker, Clock
from onedoor.runtime.call_context import check_access, use_slot_yielding
from onedoor.runtime.concurrency import NEVER, Deadline
from onedoor.runtime.fair_slots import FairSlots, SlotQueueFull
from onedoor.runtime.quota import ConnectorRateLimiter
from onedoor.spi.capabilities import Capabilities, ColumnType, find_aggregate_type
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
from onedoor.spi.flaws import check_rows
from onedoor.spi.predicates import Row
from onedoor.spi.scan import Join, ScanRequest
from onedoor.spi.spill import SpillInput, closing_batches

LOG = logging.getLogger("onedoor.sources")

HEALTHY_CODES = frozenset({ErrorCode.LIMIT_EXCEEDED, ErrorCode.CANNOT_ANSWER})
"""Failures of a request, not of the source, which answered."""

RETRY_CREDIT_EARNED = 0.1

RETRY_CREDIT_MAX = 5.0

QUEUE_SECONDS = 1.0

RowCheck = Callable[[Sequence[Row]], Sequence[Row]]
"""Returns a batch of rows with nulls in place of what their columns cannot hold."""


@dataclass(slots=True, kw_only=True)
class ResilientConnector:
    """A connector, with the slots, failures and retries of its calls."""

    name: str
    inner: Connector
    limits: Limits
    breaker: CircuitBreaker
    slots: FairSlots
    build_row_check: Callable[[Connector, ScanRequest], RowCheck]
    """Builds the check of a scan's rows, which enter the engine here."""
    read_limiter: ConnectorRateLimiter | None = None
    """Limits its scans to their quota."""
    retry_credit: float = RETRY_CREDIT_MAX
    counters: dict[str, int] = field(default_factory=lambda: {"calls": 0, "retries": 0})
    logged_losses: set[str] = field(default_factory=set)
    """What its collections have lost, each of which is logged once."""


@dataclass(slots=True, kw_only=True)
class Permit:
    """The slot and the time of one call, both suspended while it waits for something other than its source."""

    connector: ResilientConnector
    deadline: float
    """When the source must have answered, on the loop's clock."""
    person: str | None
    """Who is charged for the slot; None: it is not held."""
    yielded: int = 0
    timer: Deadline | None = None

    @asynccontextmanager
    async def yield_slot(self) -> AsyncIterator[None]:
        """Give up the slot for a wait; of several at once in one call, the first to end takes it back.

        The last to end has the clock of the call run again.
        """
        self.yielded += 1
        self._pause()
        try:
            yield
        finally:
            self.yielded -= 1
        await self._resume()

    def release(self) -> None:
        """Give up the slot, if it is held."""
        if self.person is not None:
            self.connector.slots.release(self.person)
        self.person = None

    def _pause(self) -> None:
        self.release()
        if self.timer is not None:
            self.timer.move(NEVER)

    async def _resume(self) -> None:
        if self.person is None:  # INVARIANT: a call that holds a slot never waits for another
            person = await self.connector.slots.acquire()
            self.release()
            self.person = person
        self.deadline = asyncio.get_running_loop().time() + self.connector.limits.source_seconds
        if self.timer is not None and self.yielded == 0:
            self.timer.move(self.deadline)


def accept_rows(_: Connector, __: ScanRequest) -> RowCheck:
    """Take rows as they are, from a connector that gives nothing but what its columns can hold."""
    return lambda batch: batch


def build_row_check(connector: Connector, request: ScanRequest) -> RowCheck:
    """Check each value by the type of its column, unless the connector does so itself."""
    capabilities = connector.capabilities(request.collection)
    if capabilities.checks_values:
        return accept_rows(connector, request)
    column_types = {name: column.type for name, column in capabilities.columns.items()}
    for join in request.joins:
        column_types |= find_joined_types(connector.capabilities(join.collection), join)
    types = [column_types[name] for name in request.columns]
    types += [find_aggregate_type(capabilities, aggregate) for aggregate in request.aggregates]
    return lambda batch: check_rows(batch, types)


def find_joined_types(capabilities: Capabilities, join: Join) -> Mapping[str, ColumnType]:
    """Return the types of the columns that a join to a collection with these capabilities adds."""
    types = [capabilities.columns[name].type for name in join.columns]
    types += [find_aggregate_type(capabilities, call) for call in join.aggregates]
    return dict(zip(join.output_columns, types, strict=True))


def wrap_connector(
    name: str,
    connector: Connector,
    limits: Limits,
    clock: Clock,
    read_limiter: ConnectorRateLimiter | None = None,
    build_row_check: Callable[[Connector, ScanRequest], RowCheck] = accept_rows,
) -> ResilientConnector:
    """Wrap a connector, with as many slots as `limits.source_calls`."""
    return ResilientConnector(
        name=name,
        inner=connector,
        limits=limits,
        breaker=CircuitBreaker(
            source=name, ping=lambda: connector.ping(), probe_timeout=limits.source_seconds, clock=clock
        ),
        slots=FairSlots(limits.source_calls, queue_max=limits.source_queue),
        build_row_check=build_row_check,
        read_limiter=read_limiter,
    )


class _SpillFailed(Exception):
    """The spill database failed, not the source that is read."""

    def __init__(self, failure: ConnectorError) -> None:
        self.failure = failure


async def read_rows(
    connector: ResilientConnector, request: ScanRequest, spill_input: SpillInput | None = None
) -> list[Row]:
    """Return all rows of one scan, except those that were spilled. Raises ConnectorError, in time."""
    permit = await _acquire_permit(connector)
    try:
        with use_slot_yielding(permit.yield_slot):
            return await _read_with_retry(permit, request, spill_input)
    except _SpillFailed as error:
        raise error.failure from None
    finally:
        permit.release()


async def _acquire_permit(connector: ResilientConnector) -> Permit:
    """Wait for a turn and a slot. Raises ConnectorError where too many calls wait, or too long."""
    if connector.read_limiter is not None:
        await connector.read_limiter.acquire()
    person = connector.slots.try_acquire()
    if person is None:
        person = await _wait_for_slot(connector)
    deadline = asyncio.get_running_loop().time() + connector.limits.source_seconds
    return Permit(connector=connector, deadline=deadline, person=person)


async def _wait_for_slot(connector: ResilientConnector) -> str:
    try:
        connector.slots.check_queue()
        with Deadline(asyncio.get_running_loop().time() + QUEUE_SECONDS):
            return await connector.slots.acquire()
    except (SlotQueueFull, TimeoutError):
        raise _build_overloaded_error(connector) from None


async def _read_with_retry(permit: Permit, request: ScanRequest, spill_input: SpillInput | None) -> list[Row]:
    """Read, and once more where that may help; both within the same time, so that nobody waits twice."""
    connector = permit.connector
    try:
        return await _read_once(permit, request, spill_input)
    except ConnectorError as failure:
        if spill_input is not None and spill_input.spilled:
            raise ConnectorError(failure.reason, failure.code, retryable=False) from None
        if failure.code is not ErrorCode.SOURCE_UNAVAILABLE or not failure.retryable or connector.retry_credit < 1:
            raise
        connector.retry_credit -= 1
        connector.counters["retries"] += 1
        return await _read_once(permit, request, spill_input)


async def _read_once(permit: Permit, request: ScanRequest, spill_input: SpillInput | None) -> list[Row]:
    connector = permit.connector
    await connector.breaker.check()
    await check_access()
    connector.counters["calls"] += 1
    try:
        rows = await (
            _read_batches(permit, request) if spill_input is None else _read_into_spill(permit, request, spill_input)
        )
    except TimeoutError:
        connector.breaker.record_failure()
        raise ConnectorError(
            f"`{connector.name}` did not answer within {connector.limits.source_seconds:g} s (limit `source_seconds`)"
        ) from None
    except SourceChanged as changed:
        connector.breaker.record_success()
        raise _log_and_name_source(connector, changed) from None
    except ConnectorError as failure:
        if failure.code is ErrorCode.SOURCE_UNAVAILABLE:
            connector.breaker.record_failure()
        elif failure.code in HEALTHY_CODES:
            connector.breaker.record_success()
        raise
    connector.breaker.record_success()
    connector.retry_credit = min(RETRY_CREDIT_MAX, connector.retry_credit + RETRY_CREDIT_EARNED)
    return rows


async def _read_batches(permit: Permit, request: ScanRequest) -> list[Row]:
    """Return all batches; each must come within `source_seconds` of the one before, as a long read is not slow."""
    connector, rows = permit.connector, list[Row]()
    seconds, check = connector.limits.source_seconds, connector.build_row_check(connector.inner, request)
    with Deadline(permit.deadline) as permit.timer:
        async for batch in connector.inner.scan(request):
            rows.extend(check(batch))
            if len(rows) > connector.limits.rows_read:
                raise _build_too_many_rows_error(connector)
            permit.timer.move(asyncio.get_running_loop().time() + seconds)
    return rows


async def _read_into_spill(permit: Permit, request: ScanRequest, spill_input: SpillInput) -> list[Row]:
    """Return all batches except those that are spilled; spilling takes none of the source's time."""
    connector, rows, count = permit.connector, list[Row](), 0
    check = connector.build_row_check(connector.inner, request)
    with Deadline(permit.deadline) as permit.timer:
        async with closing_batches(connector.inner.scan(request)) as batches:
            async for batch in batches:
                rows.extend(check(batch))
                count += len(batch)
                if count > connector.limits.rows_read:
                    raise _build_too_many_rows_error(connector)
                permit.timer.move(NEVER)
                await _offer_batch(rows, spill_input)
                permit.timer.move(asyncio.get_running_loop().time() + connector.limits.source_seconds)
    return rows


async def _offer_batch(rows: list[Row], spill_input: SpillInput) -> None:
    try:
        await spill_input.offer(rows)
    except ConnectorError as failure:
        raise _SpillFailed(failure) from None


def _build_too_many_rows_error(connector: ResilientConnector) -> ConnectorError:
    limit = f"the limit `rows_read` of {connector.limits.rows_read}"
    return ConnectorError(f"a read of `{connector.name}` is over {limit}, filter it", ErrorCode.LIMIT_EXCEEDED)


def _log_and_name_source(connector: ResilientConnector, changed: SourceChanged) -> SourceChanged:
    """Return the same error with the name of the source, and log it the first time."""
    named = SourceChanged(changed.collection, changed.columns, source=connector.name)
    if named.reason not in connector.logged_losses:
        connector.logged_losses.add(named.reason)
        LOG.error("a source has changed since the server started: %s", named.reason)
    return named


def _build_overloaded_error(connector: ResilientConnector) -> ConnectorError:
    return ConnectorError(
        f"`{connector.name}` has too many requests under way and waiting, try again later", ErrorCode.SOURCE_OVERLOADED
    )


Result = TypeVar("Result")


def get_write_capabilities(connector: ResilientConnector, collection: str) -> WriteCapabilities | None:
    """Return what the source promises of changes to a collection; None: it cannot be changed."""
    write_capabilities = getattr(connector.inner, "write_capabilities", None)
    return None if write_capabilities is None else cast(WriteCapabilities | None, write_capabilities(collection))


async def apply_to_connector(
    connector: ResilientConnector, changes: Sequence[RowChange], *, dry_run: bool = False
) -> Sequence[ChangeResult]:
    """Apply changes as the connector does; a call that is refused before it is made is ChangeRejected too."""
    try:
        permit = await _begin_call(connector)
    except ConnectorError as refusal:
        raise ChangeRejected(refusal.reason, refusal.code) from None
    try:
        return await _call_with_permit(permit, _as_writable(connector).apply(changes, dry_run=dry_run))
    except SourceChanged as changed:
        named_columns = {column for change in changes for column in (*change.key, *change.values)}
        raise ChangeRejected(changed.describe_known(named_columns), changed.code) from None


async def find_change_in_connector(connector: ResilientConnector, change: RowChange) -> ChangeResult | None:
    """Find the result of a change as the connector does."""
    permit = await _begin_call(connector)
    return await _call_with_permit(permit, _as_writable(connector).find_change(change))


async def call_connector(connector: ResilientConnector, work: Callable[[], Awaitable[Result]]) -> Result:
    """Make any other call to the source. Raises ConnectorError."""
    permit = await _begin_call(connector)
    return await _call_with_permit(permit, work())


async def request_upload_address(connector: ResilientConnector, request: UploadRequest) -> UploadAddress | None:
    """Return an address to upload to; None also where the source is no UploadTarget."""
    upload_address = getattr(connector.inner, "upload_address", None)
    if upload_address is None:
        return None
    permit = await _begin_call(connector)
    return cast(UploadAddress | None, await _call_with_permit(permit, upload_address(request)))


def _as_writable(connector: ResilientConnector) -> WritableConnector:
    """Cast to the protocol: a wrapped connector has its methods, which `isinstance` may not see."""
    return cast(WritableConnector, connector.inner)


async def _begin_call(connector: ResilientConnector) -> Permit:
    """Wait for a permit to make a call other than a scan. Raises ConnectorError."""
    permit = await _acquire_permit(connector)
    try:
        await connector.breaker.check()
        await check_access()
    except BaseException:
        permit.release()
        raise
    return permit


async def _call_with_permit(permit: Permit, work: Awaitable[Result]) -> Result:
    connector = permit.connector
    connector.counters["calls"] += 1
    try:
        with use_slot_yielding(permit.yield_slot), Deadline(permit.deadline) as permit.timer:
            result = await work
    except TimeoutError:
        connector.breaker.record_failure()
        raise ConnectorError(
            f"`{connector.name}` did not answer within {connector.limits.source_seconds:g} s (limit `source_seconds`)"
        ) from None
    except ChangeRejected:
        connector.breaker.record_success()
        raise
    except SourceChanged as changed:
        connector.breaker.record_success()
        raise _log_and_name_source(connector, changed) from None
    except ConnectorError as failure:
        if failure.code in HEALTHY_CODES:
            connector.breaker.record_success()
        else:
            connector.breaker.record_failure()
        raise
    finally:
        permit.release()
    connector.breaker.record_success()
    return result
