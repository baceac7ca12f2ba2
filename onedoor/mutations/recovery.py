"""Recover open intents that a process left behind or whose source did not answer, and record how they ended.

Recovery asks each source what it applied. All of it: the intent is done. Nothing: it was not applied, and the same
idempotency key may apply it. A part: that is undone as far as it can be, and the rest is reported as standing.
"""

import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import groupby
from typing import TypeAlias

from onedoor.audit.record import AuditOutcome, AuditRecord, format_timestamp
from onedoor.mutations import intents
from onedoor.mutations.context import MutationContext, group_by_transaction
from onedoor.mutations.declarations import Saga, parse_mutation_input
from onedoor.mutations.execution import (
    UNHEARD_OUTCOMES,
    IntentExecution,
    build_intent_outcome,
    load_change,
    publish_changes,
    redact_history_row,
)
from onedoor.mutations.intents import Intent, IntentOutcome, IntentState, StepAttempt, StepOutcome
from onedoor.mutations.ledger import LedgerUnavailable
from onedoor.mutations.ledger_sql import LeaseLost
from onedoor.mutations.saga import OutcomeUnknown, compensate, resolve_changes
from onedoor.mutations.service import hold_lease
from onedoor.runtime.concurrency import run_periodically

MAX_INTENTS_PER_PASS = 20

PASS_INTERVAL_SECONDS = 3.0

RECOVERY_SURFACE = "settling"

LOG = logging.getLogger("onedoor.changes")

AppendRecord: TypeAlias = Callable[[AuditRecord], Awaitable[None]]


async def run_recovery(context: MutationContext, append_record: AppendRecord) -> None:
    """Recover now and every PASS_INTERVAL_SECONDS, until cancelled."""

    async def make_pass() -> None:
        with suppress(LedgerUnavailable):  # the next pass may do better
            await recover_intents(context, append_record)

    await run_periodically(make_pass, PASS_INTERVAL_SECONDS)


async def recover_intents(context: MutationContext, append_record: AppendRecord) -> int:
    """Make one pass and return how many intents it ended. Each end is audited before it is committed."""
    ended = 0
    for intent_id in await context.ledger.find_overdue(MAX_INTENTS_PER_PASS):
        try:
            ended += await _recover_intent(context, append_record, intent_id)
        except Exception:  # one intent must not keep the others open
            LOG.exception("change `%s` could not be settled", intent_id)
    return ended


async def _recover_intent(context: MutationContext, append_record: AppendRecord, intent_id: str) -> bool:
    if not await context.ledger.take_over(intent_id):
        return False
    async with hold_lease(context.ledger, intent_id):
        try:
            return await _finish_recovery(await _load_execution(context, intent_id), append_record)
        except LeaseLost:
            return False


async def _load_execution(context: MutationContext, intent_id: str) -> IntentExecution:
    intent = await context.ledger.find_intent(intent_id)
    assert intent is not None
    attempts = await context.ledger.load_attempts(intent_id)
    mutation_input = parse_mutation_input(intents.decode_value(intent.input))
    saga = context.sagas.get(intent.mutation) or _build_undeclared_saga(context, intent)
    return IntentExecution(
        context=context,
        saga=saga.for_input(mutation_input.fields),
        input=mutation_input,
        intent=intent,
        attempts={(attempt.number, attempt.attempt): attempt for attempt in attempts},
    )


def _build_undeclared_saga(context: MutationContext, intent: Intent) -> Saga:
    """Stand in for a mutation that is not declared any more: its outcome can be found out, and not be undone."""
    return Saga(field=intent.mutation, type=next(iter(context.catalog.mappings)), steps=())


async def _finish_recovery(execution: IntentExecution, append_record: AppendRecord) -> bool:
    context, intent = execution.context, execution.intent
    try:
        await _resolve_outcomes(execution)
        if execution.compute_state() is IntentState.PARTIALLY_APPLIED:
            await compensate(execution)
    except OutcomeUnknown:
        if context.ledger.now() - intent.begun_at < timedelta(seconds=context.give_up_seconds):
            await context.ledger.put_attempts(intent.id, execution.list_attempts())
            await context.ledger.release_lease(intent.id, PASS_INTERVAL_SECONDS)
            return False
    outcome = build_intent_outcome(execution)
    await append_record(_build_audit_record(execution, outcome))
    await context.ledger.end_intent(outcome)
    publish_changes(context, outcome)
    return True


async def _resolve_outcomes(execution: IntentExecution) -> None:
    """Find out what came of the unheard steps, transaction by transaction. Raises OutcomeUnknown."""
    for unheard in _group_unheard(execution):
        numbers = [attempt.number for attempt in unheard]
        changes = [load_change(attempt) for attempt in unheard]
        try:
            results = await resolve_changes(execution.context, unheard[0].source, changes, unheard[0].begun_at)
        except OutcomeUnknown as unknown:
            execution.end_steps(numbers, StepOutcome.UNKNOWN, unknown.reason)
            raise
        if results is None:
            execution.end_steps(numbers, StepOutcome.NOT_APPLIED)
            continue
        for number, result in zip(numbers, results, strict=True):
            execution.put_result(number, result)


def _group_unheard(execution: IntentExecution) -> Sequence[Sequence[StepAttempt]]:
    """Group the unheard steps by transaction."""
    groups = group_by_transaction(execution.context, execution.saga)
    transactions = {number: index for index, group in enumerate(groups) for number, _ in group}
    unheard = [first for first in execution.list_first_attempts() if first.outcome in UNHEARD_OUTCOMES]
    grouped = groupby(unheard, key=lambda first: transactions.get(first.number, -first.number))
    return [list(attempts) for _, attempts in grouped]


def _build_audit_record(execution: IntentExecution, outcome: IntentOutcome) -> AuditRecord:
    """Build a line of the record of the request that the change was made for."""
    context, intent = execution.context, execution.intent
    facts = {"intent": intent.id, "state": outcome.state, "stands": outcome.stands}
    return AuditRecord(
        id=intent.record or context.ledger.new_id(),  # intents of earlier releases name no record
        time=format_timestamp(context.ledger.now()),
        surface=RECOVERY_SURFACE,
        outcome=AuditOutcome.LOST,
        status=0,
        person=intent.person,
        key_id=intent.key_id,
        groups=intent.groups,
        operation=intent.mutation,
        text=json.dumps(facts),
        changes=tuple(redact_history_row(row, context.redaction_key) for row in outcome.history),
    )
