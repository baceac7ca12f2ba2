"""What was left open in, by a process that died or a source that did not say, each intent at its end out.

Each source is asked what it made. All of it: done. Nothing: not made, and the same idempotency key may make it. A part:
undone as far as it can be, and what stands is said.
"""

import asyncio
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

MAX_INTENTS_PER_PASS = 20
"""Intents of one pass."""

PASS_INTERVAL_SECONDS = 3.0

LOG = logging.getLogger("onedoor.changes")

REQUEST_OUTCOMES = {IntentState.DONE: AuditOutcome.ANSWERED, IntentState.PARTIALLY_APPLIED: AuditOutcome.PARTIAL}

AppendRecord: TypeAlias = Callable[[AuditRecord], Awaitable[None]]


async def run_recovery(context: MutationContext, append_record: AppendRecord) -> None:
    """Settles now and every EVERY_SECONDS, until it is cancelled."""
    while True:
        with suppress(LedgerUnavailable):  # the next pass may do better
            await recover_intents(context, append_record)
        await asyncio.sleep(PASS_INTERVAL_SECONDS)


async def recover_intents(context: MutationContext, append_record: AppendRecord) -> int:
    """One pass: how many intents it ended. `journal` keeps a record of each, before its end is committed."""
    count = 0
    for each in await context.ledger.find_overdue(MAX_INTENTS_PER_PASS):
        try:
            count += await _recover_intent(context, append_record, each)
        except Exception:  # no intent keeps the others open
            LOG.exception("change `%s` could not be settled", each)
    return count


async def _recover_intent(shop: MutationContext, journal: AppendRecord, intent_id: str) -> bool:
    if not await shop.ledger.take_over(intent_id):
        return False
    async with hold_lease(shop.ledger, intent_id):
        try:
            return await _finish_recovery(shop, journal, await _load_execution(shop, intent_id))
        except LeaseLost:
            return False


async def _load_execution(shop: MutationContext, intent_id: str) -> IntentExecution:
    intent, steps = await shop.ledger.find_intent(intent_id), await shop.ledger.load_attempts(intent_id)
    assert intent is not None
    asked = parse_mutation_input(intents.decode_value(intent.input))
    return IntentExecution(
        context=shop,
        saga=shop.sagas.get(intent.mutation, _build_undeclared_saga(shop, intent)).for_input(asked.fields),
        input=asked,
        intent=intent,
        attempts={(each.number, each.attempt): each for each in steps},
    )


def _build_undeclared_saga(shop: MutationContext, intent: Intent) -> Saga:
    """A mutation that is declared no more: what it made can be told, and not be undone."""
    return Saga(field=intent.mutation, type=next(iter(shop.catalog.mappings)), steps=())


async def _finish_recovery(shop: MutationContext, journal: AppendRecord, doing: IntentExecution) -> bool:
    try:
        await _resolve_outcomes(doing)
        if doing.compute_state() is IntentState.PARTIALLY_APPLIED:
            await compensate(doing)
    except OutcomeUnknown:
        if shop.ledger.now() - doing.intent.begun_at < timedelta(seconds=shop.give_up_seconds):
            await shop.ledger.keep_attempts(doing.intent.id, doing.list_attempts())
            await shop.ledger.release_lease(doing.intent.id, PASS_INTERVAL_SECONDS)
            return False
    over = build_intent_outcome(doing)
    await journal(_build_audit_record(doing, over))
    await shop.ledger.end_intent(over)
    publish_changes(shop, over)
    return True


async def _resolve_outcomes(doing: IntentExecution) -> None:
    """What came of the steps nobody heard of; those of one transaction are asked for together. Raises Unknown."""
    for unheard in _group_unresolved(doing):
        numbers = [each.number for each in unheard]
        try:
            changes = [load_change(each) for each in unheard]
            made = await resolve_changes(doing.context, unheard[0].source, changes, unheard[0].begun_at)
        except OutcomeUnknown as unknown:
            doing.end_steps(numbers, StepOutcome.UNKNOWN, unknown.reason)
            raise
        if made is None:
            doing.end_steps(numbers, StepOutcome.NOT_APPLIED)
        for number, each in zip(numbers, made or (), strict=made is not None):
            doing.keep_result(number, each)


def _group_unresolved(doing: IntentExecution) -> Sequence[Sequence[StepAttempt]]:
    """By transaction."""
    place = {
        number: at for at, group in enumerate(group_by_transaction(doing.context, doing.saga)) for number, _ in group
    }
    open_steps = [
        each for each in doing.list_first_attempts() if each.outcome in (StepOutcome.BEGUN, StepOutcome.UNKNOWN)
    ]
    grouped = groupby(open_steps, key=lambda each: place.get(each.number, -each.number))
    return [list(each) for _, each in grouped]


def _build_audit_record(doing: IntentExecution, over: IntentOutcome) -> AuditRecord:
    """In the name of whoever asked for the change, under an id of its own."""
    shop, intent = doing.context, doing.intent
    return AuditRecord(
        id=shop.ledger.new_id(),
        time=format_timestamp(shop.ledger.now()),
        surface="settling",
        outcome=REQUEST_OUTCOMES.get(over.state, AuditOutcome.FAILED),
        status=0,
        person=intent.person,
        key_id=intent.key_id,
        groups=intent.groups,
        operation=intent.mutation,
        text=json.dumps({"intent": intent.id, "record": intent.record, "state": over.state, "stands": over.stands}),
        changes=tuple(redact_history_row(each, shop.redaction_key) for each in over.history),
    )
