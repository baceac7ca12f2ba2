"""Record what is done without a request, such as a start on schedule: begun before it is done, and its end."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from secrets import token_bytes
from time import perf_counter
from typing import TypeAlias, TypeVar

from auth.authentication import Principal
from onedoor.audit.log import AuditLog, AuditLogUnavailable
from onedoor.audit.record import (
    RANDOM_BYTES,
    AuditedChange,
    AuditOutcome,
    AuditRecord,
    Surface,
    build_record_id,
    format_timestamp,
)

Result = TypeVar("Result")

Act: TypeAlias = Callable[[str], Awaitable[tuple[Result, Sequence[AuditedChange]]]]
"""Takes the id of its record; returns its result and what it changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActRecorder:
    """Carries out acts of one surface on record."""

    audit_log: AuditLog
    surface: Surface
    redaction_key: bytes = field(repr=False)
    """Keys the hashes that stand for values."""

    async def carry_out(
        self,
        principal: Principal,
        operation: str,
        act: Act[Result],
        *,
        client_request_id: str | None = None,
        reason: str | None = None,
        intended_changes: Sequence[AuditedChange] = (),
    ) -> Result:
        """Carry out an act in the name of a principal and return its result; its beginning names `intended_changes`.

        Raises what the act raises, and AuditLogUnavailable where it was not begun, as that could not be recorded. An
        end that cannot be recorded now is recorded as soon as the disk allows it.
        """
        now, started = datetime.now(UTC), perf_counter()
        begun = AuditRecord(
            id=build_record_id(now, token_bytes(RANDOM_BYTES)),
            time=format_timestamp(now),
            surface=self.surface,
            outcome=AuditOutcome.BEGUN,
            status=0,
            person=principal.person_id,
            key_id=principal.key_id or None,
            secret=principal.secret,
            groups=tuple(sorted(principal.groups)),
            grants=tuple(grant.id for grant in principal.grants),
            operation=operation,
            client_request_id=client_request_id,
            reason=reason,
            changes=tuple(intended_changes),
        )
        await self.audit_log.append(begun)
        outcome, changes = AuditOutcome.FAILED, tuple[AuditedChange, ...]()
        try:
            result, changed = await act(begun.id)
            outcome, changes = AuditOutcome.ANSWERED, tuple(changed)
        finally:
            milliseconds = round((perf_counter() - started) * 1000, 3)
            await self._record_end(replace(begun, outcome=outcome, changes=changes, ms=milliseconds))
        return result

    async def _record_end(self, record: AuditRecord) -> None:
        try:
            await self.audit_log.append(record)
        except AuditLogUnavailable:
            with suppress(AuditLogUnavailable):
                self.audit_log.append_nowait(record)
