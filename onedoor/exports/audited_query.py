"""A question asked on someone's behalf in, its answer out: the same plan, permission and limits as at the door.

Each leaves one record, of the surface `export`, and no answer is used before it is durable.
"""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import TypeAlias

from auth.authentication import Principal
from onedoor.audit.log import AuditLog
from onedoor.audit.record import RANDOM_BYTES, AuditOutcome, build_record_id
from onedoor.exports.models import ExportState, ExportStopped
from onedoor.query.audited import RequestFacts, classify_outcome, serialize_audit_record
from onedoor.query.context import ExecutionResult, GraphQLRequest, QueryEngine, get_partial_result
from onedoor.query.engine import execute

EXPORT_SURFACE = "export"

STATUS_BY_OUTCOME = {AuditOutcome.REFUSED: 400, AuditOutcome.CRASHED: 500, AuditOutcome.CANCELLED: 499}


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedExecutor:
    """What asking takes."""

    engine: QueryEngine
    audit_log: AuditLog
    redaction_key: bytes


CountServedBytes: TypeAlias = Callable[[ExecutionResult], int | None]
"""Of a question that was only planned, how many bytes its caller reads in place of an answer; None: they may not."""


async def execute_audited(
    executor: AuditedExecutor,
    principal: Principal,
    request: GraphQLRequest,
    count_served_bytes: CountServedBytes | None = None,
) -> ExecutionResult:
    """Raises JournalUnavailable where no record can be made."""
    at, began, told = datetime.now(UTC), perf_counter(), ExecutionResult()
    size = 0
    id = build_record_id(at, secrets.token_bytes(RANDOM_BYTES))

    async def recorded(came: AuditOutcome) -> None:
        visit = RequestFacts(
            id=id,
            received_at=at,
            principal=principal,
            request=request,
            client_request_id=None,
            status=STATUS_BY_OUTCOME.get(came, 200),
            bytes=size,
            ms=(perf_counter() - began) * 1000,
            surface=EXPORT_SURFACE,
        )
        await executor.audit_log.append_line(
            serialize_audit_record(executor.engine, executor.redaction_key, visit, told, came)
        )

    try:
        told = await execute(executor.engine, principal, request)
    except asyncio.CancelledError as error:
        told = get_partial_result(error)
        await asyncio.shield(recorded(AuditOutcome.CANCELLED))
        raise
    except Exception as error:
        told = get_partial_result(error)
        await recorded(AuditOutcome.CRASHED)
        raise ExportStopped(ExportState.FAILED, f"something went wrong here; it is on record as {id}") from None
    if count_served_bytes is not None and not told.rejected:
        may = count_served_bytes(told)
        size, told.rejected = may or 0, may is None
        told.data = None if may is None else {}  # what the file holds is served
    await recorded(classify_outcome(told))
    return told
