"""Apply the rules of retention to the audit log and to the ledger of changes."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, false, func, or_, select

from onedoor.audit.checkpointer import Sealing
from onedoor.audit.log import AuditLog
from onedoor.audit.record import format_timestamp
from onedoor.audit.retention import LegalHold, LogKeeper, RetentionRules, parse_hold, state_deletion
from onedoor.audit.settings import RecordsSettings
from onedoor.errors import ConfigurationError
from onedoor.mutations.ledger_sql import change_table, intent_step_table, intent_table
from onedoor.runtime.concurrency import run_periodically
from onedoor.storage.database import MetadataDatabase

LOG = logging.getLogger("onedoor.audit")

FIRST_SWEEP_SECONDS = 600.0

SWEEP_SECONDS = 3_600.0

INTENTS_PER_TRANSACTION = 500


def build_retention_sweep(
    records: RecordsSettings, sealing: Sealing | None, audit_log: AuditLog, database: MetadataDatabase
) -> Callable[[], None]:
    """Return what compresses and deletes old records and changes; it blocks.

    Raises ConfigurationError where nothing could sign what is deleted.
    """
    if records.keep_days is not None and sealing is None:
        raise ConfigurationError(
            "`records.keep_days` needs a key that signs what is deleted: set `records.checkpoints.private_key`"
        )
    rules = RetentionRules(
        keep=None if records.keep_days is None else timedelta(days=records.keep_days),
        holds=tuple(parse_hold(text) for text in records.holds),
        compress=records.compress,
        waits_for_second_place=sealing is not None and bool(sealing.stores),
    )
    state = partial(state_deletion, audit_log)
    keeper = LogKeeper(folder=records.folder, rules=rules, state_deletion=state)

    def sweep() -> None:
        now = database.now()
        keeper.sweep(now)
        try:
            if rules.keep is not None:
                delete_old_changes(database, now - rules.keep, rules.holds, state)
        except Exception as error:
            LOG.error("old changes could not be deleted: %s", type(error).__name__)

    return sweep


async def run_retention(sweep: Callable[[], None]) -> None:
    """Sweep every SWEEP_SECONDS, until cancelled."""
    await run_periodically(partial(asyncio.to_thread, sweep), SWEEP_SECONDS, delay=FIRST_SWEEP_SECONDS)


def delete_old_changes(
    database: MetadataDatabase,
    before: datetime,
    holds: Sequence[LegalHold],
    state_deletion: Callable[[Mapping[str, Any]], None],
) -> None:
    """Delete what was begun before a time and has ended, once that is stated. Blocks."""
    due = _build_due_condition(before, holds)
    with database.read_connection() as connection:
        intents = connection.scalar(select(func.count()).select_from(intent_table).where(due))
        of_due = change_table.c.intent_id.in_(select(intent_table.c.id).where(due))
        changes = connection.scalar(select(func.count()).select_from(change_table).where(of_due))
    if not intents:
        return
    times = {"before": format_timestamp(before), "time": format_timestamp(database.now())}
    state_deletion({"ledger": {"intents": intents, "changes": changes}, **times})
    while _delete_some(database, due):
        pass


def _build_due_condition(before: datetime, holds: Sequence[LegalHold]) -> ColumnElement[bool]:
    begun_at, person = intent_table.c.begun_at, intent_table.c.person
    held = [
        person == hold.person
        if hold.person is not None
        else and_(
            begun_at >= hold.since if hold.since is not None else ~false(),
            begun_at <= hold.until if hold.until is not None else ~false(),
        )
        for hold in holds
    ]
    return and_(intent_table.c.state != "OPEN", begun_at < before, ~or_(false(), *held))


def _delete_some(database: MetadataDatabase, due: ColumnElement[bool]) -> bool:
    """Delete some intents with all that belongs to them; return whether there were any."""
    some = select(intent_table.c.id).where(due).limit(INTENTS_PER_TRANSACTION)
    with database.write_transaction() as connection:
        ids = list(connection.scalars(some))
        for table in (change_table, intent_step_table):
            connection.execute(delete(table).where(table.c.intent_id.in_(ids)))
        connection.execute(delete(intent_table).where(intent_table.c.id.in_(ids)))
    return bool(ids)
