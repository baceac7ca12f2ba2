"""Run GraphQL requests and record each: the one path from every surface to the query engine.

A surface (HTTP, WebSocket, event stream, export, job) begins an `AuditedRequest`, has an `AuditedExecutor` execute it,
and shows nothing of the result before its record is durable. Outcome, status, log line and what a client is shown of a
failure are decided here, so they are the same on every surface.
"""

import asyncio
import logging
import secrets
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TypeAlias, TypeVar

import orjson

from auth.authentication import Principal, drop_grants
from onedoor.audit.log import AuditLog, AuditLogUnavailable, ByteBudget
from onedoor.audit.record import (
    RANDOM_BYTES,
    SALT_BYTES,
    AuditedChange,
    AuditOutcome,
    Surface,
    build_record_id,
)
from onedoor.errors import ClientDisconnected, ConnectorError, ErrorCode, GraphQLErrorInfo, HTTPError, RequestRejected
from onedoor.model.catalog import ActionResult, ActionUnfinished
from onedoor.query import engine as query_engine
from onedoor.query.context import ExecutionResult, GraphQLRequest, QueryEngine, get_partial_result
from onedoor.query.engine import RecordBeginning
from onedoor.query.request_record import RequestFacts, build_audit_record, serialize_audit_record
from onedoor.query.subscriptions import SubscriptionEvent
from onedoor.runtime.budgets import BudgetExceeded, BudgetRefusal, Budgets, BudgetUnit
from onedoor.storage.database import MetadataDatabaseUnavailable

log = logging.getLogger("onedoor.query")

TRACEBACK_FRAMES_MAX = 12

LOG_CHARACTERS_MAX = 1_500

KEEPING_SURFACES = frozenset({Surface.EXPORT, Surface.JOB})
"""The surfaces whose results are kept or passed on: a field is denied there to whoever sees it masked."""

Result = TypeVar("Result")

CountServedBytes: TypeAlias = Callable[[ExecutionResult], int | None]
"""Counts, for a request that was only planned, the bytes its principal reads in place of data; None: they may not."""


@dataclass(slots=True, kw_only=True)
class AuditedRequest:
    """One request under way, as far as it has come: what its record will say, whatever stops it."""

    surface: Surface
    principal: Principal | None = None
    request: GraphQLRequest | None = None
    client_request_id: str | None = None
    operation: str | None = None
    """What is done, where no GraphQL operation says so."""
    subscription_id: str | None = None
    """The id of the record with which the subscription began that this belongs to."""
    event_count: int | None = None
    """How many events a subscription delivered, once it has ended."""
    count: int = 1
    """How many requests its record stands for, where a caller is turned away again and again."""
    result: ExecutionResult = field(default_factory=ExecutionResult)
    received_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started: float = field(default_factory=perf_counter)
    id: str = ""
    """The id of its record."""
    salt: str = ""
    """What makes its record unlike any that could be guessed."""
    digest: str | None = None
    """The digest of the `data` that its client is sent."""
    has_begun: bool = False
    """Whether its beginning is on record, as it is before anything is changed."""
    is_admitted: bool = False
    """Whether the budgets of its principal have admitted it."""

    def __post_init__(self) -> None:
        random = secrets.token_bytes(RANDOM_BYTES + SALT_BYTES)
        self.id = build_record_id(self.received_at, random[:RANDOM_BYTES])
        self.salt = random[RANDOM_BYTES:].hex()

    def measure_seconds(self) -> float:
        """Return the seconds since it was received."""
        return perf_counter() - self.started


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """What a request came to, and the errors shown in place of its result; none where the result is shown."""

    outcome: AuditOutcome
    status: int
    errors: Sequence[GraphQLErrorInfo] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    """HTTP headers that the errors call for, such as `retry-after`."""


BEGUN = Conclusion(outcome=AuditOutcome.BEGUN, status=0)

CANCELLED = Conclusion(outcome=AuditOutcome.CANCELLED, status=499)

KEYS_UNAVAILABLE = Conclusion(
    outcome=AuditOutcome.FAILED,
    status=503,
    errors=(GraphQLErrorInfo(code=ErrorCode.INTERNAL, message="keys cannot be checked now, ask again"),),
    headers={"retry-after": "1"},
)

NOTHING_CHANGED = "the request could not be recorded, so it is not answered and changed nothing; ask again"

MAYBE_CHANGED = (
    "what came of the request could not be recorded, so it is not answered; its changes may stand: ask again with the "
    "same `idempotencyKey`, and without one read first"
)


def conclude_unrecorded(audited: AuditedRequest) -> Conclusion:
    """Conclude a request whose record could not be made durable; nothing of its result is shown."""
    message = MAYBE_CHANGED if audited.has_begun else NOTHING_CHANGED
    error = GraphQLErrorInfo(code=ErrorCode.AUDIT_UNAVAILABLE, message=message)
    return Conclusion(outcome=AuditOutcome.FAILED, status=503, errors=(error,), headers={"retry-after": "1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedExecutor:
    """Executes and records requests, whatever surface they come from; nothing else calls the engine."""

    engine: QueryEngine
    audit_log: AuditLog
    redaction_key: bytes
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    """What waits for the actions of requests that have ended."""
    record_bytes: ByteBudget = field(default_factory=ByteBudget)
    """What the requests of each key have written to the audit log."""
    budgets: Budgets = field(default_factory=Budgets)
    """What each key and each person may use."""

    async def run(
        self,
        principal: Principal,
        request: GraphQLRequest,
        *,
        surface: Surface,
        client_request_id: str | None = None,
        count_served_bytes: CountServedBytes | None = None,
    ) -> ExecutionResult:
        """Execute a request of a surface that has no wire and return its result, once its record is durable.

        Its principal was admitted, by `wait_for_budgets` or with the request that it is a part of. A crash is a result
        with one error. With `count_served_bytes` the request is only planned, and its record says that so many bytes
        were served. Raises AuditLogUnavailable.
        """
        audited = AuditedRequest(
            surface=surface,
            principal=principal,
            request=request,
            client_request_id=client_request_id,
            is_admitted=True,
        )
        conclusion = await self.conclude(audited, self.execute(audited))
        result = audited.result
        if conclusion.errors:
            result.data, result.errors, result.rejected = None, conclusion.errors, True
        byte_count = 0
        if result.data is not None:
            body = orjson.dumps(result.data, option=orjson.OPT_UTC_Z)
            byte_count = len(body)
            if result.cached_plan is not None and result.cached_plan.introspection_key is not None:
                result.data = orjson.loads(body)  # what it says of the schema was JSON already
        if count_served_bytes is not None and not result.rejected:
            served = count_served_bytes(result)
            byte_count, result.rejected = served or 0, served is None
            result.data = None if served is None else {}
            conclusion = conclude_result(result)
        await self.record(audited, conclusion, byte_count)
        return result

    async def execute(self, audited: AuditedRequest, event: SubscriptionEvent | None = None) -> Conclusion:
        """Execute a request, or a subscription's request for one event; `audited` keeps the result, however it ends."""
        request = audited.request if event is None else event.request
        assert audited.principal is not None
        assert request is not None
        row_id = None if event is None else event.row_id
        principal = audited.principal = await self._drop_ended_grants(audited.principal)
        refusal = None if event is not None else await self.check_budgets(audited)
        if refusal is not None:
            return refusal
        counts_cost = event is None and not self.budgets.is_empty
        try:
            audited.result = await query_engine.execute(
                self.engine,
                principal,
                request,
                event=row_id,
                record=self._build_beginning(audited),
                keeps_values=audited.surface in KEEPING_SURFACES,
                admit_cost=partial(self._count_cost, audited) if counts_cost else None,
            )
        except BaseException as error:
            audited.result = get_partial_result(error)
            raise
        return conclude_result(audited.result) if event is None else await self._conclude_event(audited)

    async def _conclude_event(self, audited: AuditedRequest) -> Conclusion:
        """Count an event once it is known to be shown: of one about a hidden row no budget tells anything.

        Raises BudgetExceeded where its cost does not fit.
        """
        result = audited.result
        if result.is_hidden_event or self.budgets.is_empty:
            return conclude_result(result)
        refusal = await self.check_budgets(audited)
        try:
            if refusal is None:
                await self._count_cost(audited, result.cost)
        except RequestRejected as rejection:
            refusal = conclude_failure(audited, rejection)
        if refusal is not None:
            result.data, result.row_count = None, 0
        return refusal or conclude_result(result)

    async def check_budgets(self, audited: AuditedRequest) -> Conclusion | None:
        """Count a request in the budgets of its principal; conclude one that is over them, which does not count."""
        if audited.is_admitted or audited.principal is None:
            return None
        refusal = await self.budgets.admit(audited.principal)
        audited.is_admitted = refusal is None
        return None if refusal is None else conclude_over_budget(refusal)

    async def wait_for_budgets(self, load_principal: Callable[[], Awaitable[Principal]]) -> Principal:
        """Return the principal of a job or an export once their budgets allow one more request, which counts.

        Raises what `load_principal` does.
        """
        return await self.budgets.wait(load_principal)

    async def _count_cost(self, audited: AuditedRequest, cost: int) -> None:
        """Raise BudgetExceeded, or RequestRejected, for a request with a wire whose cost does not fit."""
        assert audited.principal is not None
        if audited.surface in KEEPING_SURFACES:
            await self.budgets.add(audited.principal, {BudgetUnit.COST: cost})
        else:
            await self.budgets.take_cost(audited.principal, cost)

    async def _count_usage(self, audited: AuditedRequest, conclusion: Conclusion, byte_count: int) -> None:
        is_counted = conclusion.outcome is not AuditOutcome.LIMITED and not audited.result.is_hidden_event
        if audited.principal is None or not is_counted or self.budgets.is_empty:
            return
        usage = {
            BudgetUnit.ROWS: audited.result.row_count,
            BudgetUnit.BYTES: byte_count,
            BudgetUnit.SECONDS: audited.measure_seconds(),
        }
        await self.budgets.add(audited.principal, usage)

    async def _drop_ended_grants(self, principal: Principal) -> Principal:
        """Return a principal as they are now: a grant may have ended since their key was looked up."""
        if not principal.grants:
            return principal
        return drop_grants(principal, await self.engine.find_ended_grants(principal.grants))

    async def conclude(self, audited: AuditedRequest, work: Awaitable[Result]) -> Result | Conclusion:
        """Await `work`; whatever stops it is a conclusion too.

        A request that is cancelled is recorded before the cancellation goes on.
        """
        try:
            return await work
        except asyncio.CancelledError:
            with suppress(AuditLogUnavailable):
                await asyncio.shield(self.record(audited, CANCELLED, 0))
            raise
        except Exception as error:
            return conclude_failure(audited, error)

    async def begin(self, audited: AuditedRequest, changes: Sequence[AuditedChange]) -> None:
        """Return when the record of a request has begun, with what is about to be changed. Raises AuditLogUnavailable.

        For requests that the engine does not execute.
        """
        await self._build_beginning(audited).append(ExecutionResult(changes=list(changes)))

    def _build_beginning(self, audited: AuditedRequest) -> RecordBeginning:
        async def append(result: ExecutionResult) -> None:
            await self.audit_log.append_line(self._serialize(audited, BEGUN, 0, result))
            audited.has_begun = True

        return RecordBeginning(id=audited.id, append=append)

    async def record(self, audited: AuditedRequest, conclusion: Conclusion, byte_count: int) -> None:
        """Return when the record of a request is durable. Raises AuditLogUnavailable: show nothing of its result.

        Of a request that may have changed something the record is then written as soon as the disk allows it, and a
        record that names the changes follows where they are made after this.
        """
        try:
            await self._append(audited, self._serialize(audited, conclusion, byte_count, audited.result))
            await self._count_usage(audited, conclusion, byte_count)
        finally:
            if audited.result.unfinished_actions:
                task = asyncio.create_task(self._record_late_changes(audited, conclusion, byte_count))
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)

    async def _record_late_changes(self, audited: AuditedRequest, conclusion: Conclusion, byte_count: int) -> None:
        """Record a request once more when its actions have ended, with what they changed."""
        late_changes = [
            change for action in audited.result.unfinished_actions for change in await _await_changes(action)
        ]
        if late_changes:
            audited.result.changes.extend(late_changes)
            with suppress(AuditLogUnavailable):
                await self._append(audited, self._serialize(audited, conclusion, byte_count, audited.result))

    async def _append(self, audited: AuditedRequest, line: bytes) -> None:
        if audited.principal is not None:
            self.record_bytes.add(audited.principal.key_id, len(line))
        try:
            await self.audit_log.append_line(line)
        except AuditLogUnavailable:
            if audited.has_begun:
                self.audit_log.append_line_nowait(line)
            raise

    def _serialize(
        self, audited: AuditedRequest, conclusion: Conclusion, byte_count: int, result: ExecutionResult
    ) -> bytes:
        facts = _collect_facts(audited, conclusion, byte_count)
        return serialize_audit_record(self.engine, self.redaction_key, facts, result, conclusion.outcome)

    async def drain(self) -> None:
        """Return when every action that outlived its request is on record."""
        while self.tasks:
            await asyncio.wait(self.tasks)

    def record_nowait(self, audited: AuditedRequest, conclusion: Conclusion, byte_count: int) -> None:
        """Record a request that a limit turned away, without waiting: a flood would be waited for too."""
        facts = _collect_facts(audited, conclusion, byte_count)
        self.audit_log.append_nowait(
            build_audit_record(self.engine, self.redaction_key, facts, audited.result, conclusion.outcome)
        )


def conclude_result(result: ExecutionResult) -> Conclusion:
    """Conclude a request that the engine executed or rejected; its result is shown."""
    return Conclusion(outcome=classify_outcome(result), status=400 if result.rejected else 200)


def conclude_failure(audited: AuditedRequest, error: Exception) -> Conclusion:
    """Conclude a request that an exception stopped. What nobody expected is masked; the log says where it happened."""
    match error:
        case RequestRejected():
            audited.result.errors, audited.result.rejected = error.errors, True
            return conclude_result(audited.result)
        case HTTPError():
            return Conclusion(
                outcome=AuditOutcome.REFUSED, status=error.status, errors=(error.error,), headers=error.headers
            )
        case ClientDisconnected():
            return CANCELLED
        case BudgetExceeded():
            return conclude_over_budget(error.refusal)
        case MetadataDatabaseUnavailable():
            return KEYS_UNAVAILABLE
        case AuditLogUnavailable():
            return conclude_unrecorded(audited)
    log.error("request %s crashed: %s", audited.id, locate_error(error))
    message = f"something went wrong here; it is on record as {audited.id}"
    return Conclusion(
        outcome=AuditOutcome.CRASHED, status=500, errors=(GraphQLErrorInfo(code=ErrorCode.INTERNAL, message=message),)
    )


def conclude_over_budget(refusal: BudgetRefusal) -> Conclusion:
    """Conclude a request of a principal who has used up a budget; the error says when to come again, too."""
    extensions = {"budget": refusal.allowance.setting, "retryAfter": refusal.retry_after}
    error = GraphQLErrorInfo(code=ErrorCode.LIMIT_EXCEEDED, message=refusal.message, extensions=extensions)
    headers = {"retry-after": str(refusal.retry_after)}
    return Conclusion(outcome=AuditOutcome.LIMITED, status=429, errors=(error,), headers=headers)


async def _await_changes(action: Awaitable[ActionResult]) -> Sequence[AuditedChange]:
    """Wait for an action that outlived its request and return what it changed; why it failed nobody asks any more."""
    while True:
        try:
            return query_engine.collect_changes((await action).audit_facts)
        except ActionUnfinished as failure:
            action = failure.remainder
        except ConnectorError as failure:
            return query_engine.collect_changes(getattr(failure, "audit_facts", {}))
        except Exception as error:
            log.error("an action crashed after its request had ended: %s", locate_error(error))
            return ()


def classify_outcome(result: ExecutionResult) -> AuditOutcome:
    """Classify what the engine made of a request."""
    if result.rejected:
        return AuditOutcome.REFUSED
    if result.data is None and not result.plan_only:
        return AuditOutcome.FAILED
    return AuditOutcome.PARTIAL if result.errors else AuditOutcome.ANSWERED


def locate_error(error: BaseException) -> str:
    """Describe an exception in one line for the log: its class and where it was raised.

    Its message may hold values, so it is left out.
    """
    frames = traceback.extract_tb(error.__traceback__)[-TRACEBACK_FRAMES_MAX:]
    places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    return f"{type(error).__name__} at {places}"[:LOG_CHARACTERS_MAX]


def _collect_facts(audited: AuditedRequest, conclusion: Conclusion, byte_count: int) -> RequestFacts:
    return RequestFacts(
        id=audited.id,
        received_at=audited.received_at,
        principal=audited.principal,
        request=audited.request,
        client_request_id=audited.client_request_id,
        status=conclusion.status,
        bytes=byte_count,
        ms=audited.measure_seconds() * 1000,
        surface=audited.surface,
        operation=audited.operation,
        subscription=audited.subscription_id,
        events=audited.event_count,
        count=audited.count,
        digest=audited.digest,
        salt=None if audited.digest is None else audited.salt,
    )
