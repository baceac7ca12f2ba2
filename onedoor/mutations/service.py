"""Execute declared mutations: parse the input, record the intent, hold its lease and apply its saga.

A mutation with an idempotency key that was used before returns what came of the earlier one.
"""

import asyncio
from asyncio import get_running_loop
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.catalog import Action, ActionCall, ActionResult, ActionUnfinished
from onedoor.mutations import intents
from onedoor.mutations.context import (
    MutationContext,
    build_partial_error,
    build_unsettled_error,
    describe_unsettled,
    find_leading_step,
)
from onedoor.mutations.declarations import Saga, parse_mutation_input
from onedoor.mutations.execution import IntentExecution, format_change_id
from onedoor.mutations.history import UNREADABLE_MESSAGE
from onedoor.mutations.intents import Intent, IntentState
from onedoor.mutations.ledger import Ledger, LedgerUnavailable, retrieve_exception
from onedoor.mutations.ledger_sql import LeaseLost, StaleFencingToken
from onedoor.mutations.row_access import is_change_seen
from onedoor.mutations.saga import begin_first_group, dry_run_saga, run_saga
from onedoor.runtime.concurrency import run_periodically

POLL_SECONDS = 0.05

MAX_POLL_SECONDS = 0.4

WAIT_MARGIN_SECONDS = 0.2
"""The time before a request's deadline that it takes to answer that the same change is under way."""

REPLY_MARGIN_SECONDS = 0.1
"""The time before a request's deadline that it takes to answer that its change is still under way."""

RENEWALS_PER_LEASE = 4


def build_mutation_actions(context: MutationContext) -> Mapping[str, Action]:
    """Return the actions by root field of `Mutation`."""
    return {field: MutationAction(context=context, saga=saga) for field, saga in context.sagas.items()}


async def wait_for_changes(context: MutationContext) -> None:
    """Return when no mutation is under way in this process, which is then free to stop."""
    while context.tasks:
        await asyncio.wait(context.tasks)


@dataclass(frozen=True, slots=True, kw_only=True)
class MutationAction:
    """The `Action` of one declared mutation."""

    context: MutationContext
    saga: Saga

    async def __call__(self, call: ActionCall, /) -> ActionResult:
        """Apply the mutation, or try it out in a dry run.

        Raises ConnectorError; MutationError where a change was begun, ActionUnfinished where it goes on.
        """
        # recovery decodes the input from the ledger, so both execute what decoding gives
        arguments = intents.decode_value(intents.encode_value(call.arguments["input"]))
        timestamps = _build_timestamps(self.context, self.saga, arguments)
        mutation_input = parse_mutation_input({**arguments, **timestamps})
        saga = self.saga.for_input(mutation_input.fields)
        intent = _build_intent(self.context, saga, call, arguments, timestamps)
        execution = IntentExecution(
            context=self.context, saga=saga, input=mutation_input, intent=intent, principal=call.principal
        )
        if mutation_input.dry_run:
            return await dry_run_saga(execution)
        task = asyncio.create_task(_execute_mutation(execution, call.deadline))
        self.context.tasks.add(task)
        task.add_done_callback(self.context.tasks.discard)
        task.add_done_callback(retrieve_exception)
        patience = call.deadline - REPLY_MARGIN_SECONDS - get_running_loop().time()
        await asyncio.wait([task], timeout=max(0.0, patience))
        if not task.done():
            raise ActionUnfinished(describe_unsettled(intent.id, "the change takes longer than this answer may"), task)
        return task.result()


def _build_timestamps(context: MutationContext, saga: Saga, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the present time for the fields that default to it. It is no part of what the idempotency key covers."""
    return {name: context.ledger.now() for name in saga.timestamp_fields if arguments.get(name) is None}


def _build_intent(
    context: MutationContext,
    saga: Saga,
    call: ActionCall,
    arguments: Mapping[str, Any],
    timestamps: Mapping[str, Any],
) -> Intent:
    ledger, leading = context.ledger, find_leading_step(context.catalog, saga)
    assert leading is not None
    covered = {name: value for name, value in arguments.items() if name != "idempotencyKey"}
    intent_id = ledger.new_id()
    return Intent(
        id=intent_id,
        person=call.principal.person_id,
        key_id=call.principal.key_id,
        groups=tuple(sorted(call.principal.groups)),
        mutation=saga.field,
        idempotency_key=arguments.get("idempotencyKey"),
        body=ledger.digest(f"{saga.field} {intents.encode_value(covered)}"),
        input=intents.encode_value({**covered, **timestamps}),
        reason=arguments.get("reason"),
        record=call.record_id,
        steps=len(saga.steps),
        leads=format_change_id(intent_id, leading),
        begun_at=ledger.now(),
        fencing_tokens={grant.id: grant.fencing_token for grant in call.principal.grants},
    )


async def _execute_mutation(execution: IntentExecution, deadline: float) -> ActionResult:
    earlier = await begin_intent(execution, deadline)
    if earlier is not None:
        return earlier
    async with hold_lease(execution.context.ledger, execution.intent.id):
        return await run_saga(execution)


async def begin_intent(execution: IntentExecution, deadline: float) -> ActionResult | None:
    """Record the intent with its first steps, or return what came of the same change requested before.

    Raises ConnectorError. None: the intent is recorded, and this process is to apply it.
    """
    while True:
        begin_first_group(execution)
        earlier = await _record_intent(execution)
        if earlier is None:
            return None
        if earlier.body != execution.intent.body:
            reason = "the `idempotencyKey` was used before with another input, take a new one"
            raise ConnectorError(reason, ErrorCode.IDEMPOTENCY_KEY_REUSED)
        if earlier.state is IntentState.DONE:
            return ActionResult(row_id=await _find_seen_change(execution, earlier))
        if earlier.state is IntentState.PARTIALLY_APPLIED:
            raise build_partial_error(earlier.id, earlier.stands or "")
        await _wait_until_closed(execution.context, earlier, deadline)


async def _find_seen_change(execution: IntentExecution, earlier: Intent) -> str | None:
    """Return the id of the change that an earlier intent led to; None: its row has left the sight of the person."""
    try:
        return earlier.leads if await is_change_seen(execution, earlier.leads) else None
    except LedgerUnavailable:
        raise ConnectorError(UNREADABLE_MESSAGE) from None


async def _record_intent(execution: IntentExecution) -> Intent | None:
    try:
        return await execution.context.ledger.begin_intent(execution.intent, execution.list_attempts())
    except StaleFencingToken:
        reason = "your grant has ended, so nothing was changed: ask for access again with `requestAccess`"
        raise ConnectorError(reason, ErrorCode.FORBIDDEN) from None
    except (LedgerUnavailable, LeaseLost):
        raise ConnectorError("changes cannot be put on record now, so nothing was changed: ask again") from None


async def _wait_until_closed(context: MutationContext, earlier: Intent, deadline: float) -> None:
    """Return when the earlier intent has ended, in this process or another. Raises MutationError at the deadline."""
    pause = POLL_SECONDS
    while get_running_loop().time() < deadline - WAIT_MARGIN_SECONDS:
        with suppress(LedgerUnavailable):
            intent = await context.ledger.find_intent(earlier.id)
            if intent is None or intent.state is not IntentState.OPEN:
                return
        await asyncio.sleep(pause)
        pause = min(2 * pause, MAX_POLL_SECONDS)
    raise build_unsettled_error(earlier.id, "the same change is under way")


@asynccontextmanager
async def hold_lease(ledger: Ledger, intent_id: str) -> AsyncIterator[None]:
    """Renew the lease until the block ends; meanwhile this process does not recover the intent itself."""
    renewing = asyncio.create_task(_renew_lease(ledger, intent_id))
    ledger.active_intents.add(intent_id)
    try:
        yield
    finally:
        ledger.active_intents.discard(intent_id)
        renewing.cancel()
        await asyncio.wait([renewing])


async def _renew_lease(ledger: Ledger, intent_id: str) -> None:
    """Return when the lease is lost: the next write to the intent raises LeaseLost as well."""
    interval = ledger.lease_seconds / RENEWALS_PER_LEASE

    async def renew() -> None:
        with suppress(LedgerUnavailable):
            await ledger.renew_lease(intent_id)

    with suppress(LeaseLost):
        await run_periodically(renew, interval, delay=interval)
