"""End the records that a process began before it changed something, and did not live to end.

What was changed for a request stands in the metadata database under the id of its record; here the record comes to
name it, whoever made the change and whenever the process stopped.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TypeAlias

from onedoor.audit.interrupted import (
    BegunRecord,
    LinesById,
    collect_unended_lines,
    hold_abandoned_files,
    mark_closed,
    read_begun_records,
)
from onedoor.audit.record import AuditedChange, AuditOutcome, AuditRecord, Surface, format_timestamp
from onedoor.jobs import store
from onedoor.jobs.service import describe_job_change
from onedoor.jobs.tables import JobDatabase
from onedoor.mutations.execution import redact_history_row
from onedoor.mutations.ledger import Ledger
from onedoor.mutations.recovery import PASS_INTERVAL_SECONDS
from onedoor.runtime.concurrency import run_periodically

LOG = logging.getLogger("onedoor.changes")

MAX_IDS_PER_QUERY = 500


class RecordedChange(NamedTuple):
    """A change and the id of the record that it was made under."""

    record_id: str
    change: AuditedChange


FindChanges: TypeAlias = Callable[[Sequence[str]], Awaitable[Sequence[RecordedChange]]]
"""Takes ids of records; returns what was changed under them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRecovery:
    """Ends the interrupted records of the audit logs in one folder."""

    folder: Path
    append: Callable[[AuditRecord], Awaitable[None]]
    find_changes: Sequence[FindChanges]

    async def run_pass(self) -> None:
        """End what ended processes left. What fails now is left to the next pass, which finds it again."""
        try:
            with ExitStack() as stack:
                paths = await asyncio.to_thread(stack.enter_context, hold_abandoned_files(self.folder))
                unended = await asyncio.to_thread(collect_unended_lines, self.folder, paths)
                for path in paths:
                    await self._close_file(path, unended)
        except Exception as error:
            LOG.error("records could not be ended: %s", type(error).__name__)

    async def _close_file(self, path: Path, unended: LinesById) -> None:
        begun = await asyncio.to_thread(read_begun_records, path, unended)
        for start in range(0, len(begun), MAX_IDS_PER_QUERY):
            await self._end_records(begun[start : start + MAX_IDS_PER_QUERY])
        await asyncio.to_thread(mark_closed, path)

    async def _end_records(self, records: Sequence[BegunRecord]) -> None:
        ids = [record.id for record in records]
        found = [change for find in self.find_changes for change in await find(ids)]
        for record in records:
            unnamed = tuple(change for id, change in found if id == record.id and change.id not in record.changes)
            if unnamed or not record.has_end:
                await self.append(_build_lost_record(record, unnamed))


async def run_record_recovery(records: RecordRecovery) -> None:
    """Make a pass now and every PASS_INTERVAL_SECONDS, until cancelled."""
    await run_periodically(records.run_pass, PASS_INTERVAL_SECONDS)


def _build_lost_record(record: BegunRecord, changes: tuple[AuditedChange, ...]) -> AuditRecord:
    return AuditRecord(
        id=record.id,
        time=format_timestamp(datetime.now(UTC)),
        surface=Surface.SETTLING,
        outcome=AuditOutcome.LOST,
        status=0,
        person=record.person,
        key_id=record.key_id,
        groups=record.groups,
        operation=record.operation,
        changes=changes,
    )


def build_ledger_search(ledger: Ledger, redaction_key: bytes) -> FindChanges:
    """Search the changes of rows."""

    async def find_changes(record_ids: Sequence[str]) -> Sequence[RecordedChange]:
        history = await ledger.load_recorded_changes(record_ids)
        return [RecordedChange(row.record, redact_history_row(row, redaction_key)) for row in history]

    return find_changes


def build_job_search(database: JobDatabase, redaction_key: bytes) -> FindChanges:
    """Search the starts of jobs."""

    async def find_starts(record_ids: Sequence[str]) -> Sequence[RecordedChange]:
        starts = await database.run_in_db_thread(store.load_recorded_starts, record_ids)
        return [RecordedChange(record_id, describe_job_change(id, "start", redaction_key)) for record_id, id in starts]

    return find_starts
