"""An action per declared mutation; idempotency; leases."""

import asyncio
from asyncio import get_running_loop
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.catalog import Action, ActionCall, ActionResult
from onedoor.mutations import intents
from onedoor.mutations import saga as mutations_saga
from onedoor.mutations.context import MutationContext, build_partial_error, build_unsettled_error, find_leading_step
from onedoor.mutations.declarations import Saga, parse_mutation_input
from onedoor.mutations.execution import IntentExecution, format_change_id
from onedoor.mutations.intents import Intent, IntentState
from onedoor.mutations.ledger import Ledger, LedgerUnavailable
from onedoor.mutations.ledger_sql import LeaseLost
from onedoor.mutations.saga import begin_first_group, dry_run_saga

POLL_SECONDS = 0.05

MAX_POLL_SECONDS = 0.4

WAIT_MARGIN_SECONDS = 0.2
"""Before a request's end: to say that the same change is under way."""


async def begin_intent(execution: IntentExecution, until: float) -> ActionResult | None:
    """None: it is on record with its first step, and this process's to make. Raises SourceFailed."""
    while True:
        begin_first_group(execution)
        earlier = await _put_on_record(execution)
        if earlier is None:
            return None
        if earlier.body != execution.intent.body:
            reason = "the `idempotencyKey` was used before with another input, take a new one"
            raise ConnectorError(reason, ErrorCode.IDEMPOTENCY_KEY_REUSED)
        if earlier.state is IntentState.DONE:
            return ActionResult(row_id=earlier.leads)
        if earlier.state is IntentState.PARTIALLY_APPLIED:
            raise build_partial_error(earlier.id, earlier.stands or "")
        await _wait_until_closed(execution.context, earlier, until)


async def _wait_until_closed(shop: MutationContext, earlier: Intent, until: float) -> None:
    """Returns when it is open no more, here or in another process; raises ChangeFailed where that takes too long."""
    pause = POLL_SECONDS
    while get_running_loop().time() < until - WAIT_MARGIN_SECONDS:
        with suppress(LedgerUnavailable):
            known = await shop.ledger.find_intent(earlier.id)
            if known is None or known.state is not IntentState.OPEN:
                return
        await asyncio.sleep(pause)
        pause = min(2 * pause, MAX_POLL_SECONDS)
    raise build_unsettled_error(earlier.id, "the same change is under way")


async def _put_on_record(doing: IntentExecution) -> Intent | None:
    try:
        return await doing.context.ledger.begin_intent(doing.intent, doing.list_attempts())
    except (LedgerUnavailable, LeaseLost):
        raise ConnectorError("changes cannot be put on record now, so nothing was changed: ask again") from None


RENEWALS_PER_LEASE = 4
"""How often a lease is renewed before it would be over."""


@asynccontextmanager
async def hold_lease(ledger: Ledger, intent_id: str) -> AsyncIterator[None]:
    beating = asyncio.create_task(_keep_renewing(ledger, intent_id))
    ledger.at_work.add(intent_id)
    try:
        yield
    finally:
        ledger.at_work.discard(intent_id)
        beating.cancel()
        await asyncio.wait([beating])


async def _keep_renewing(ledger: Ledger, intent_id: str) -> None:
    """Ends where the intent is over, or another's: whoever writes next will hear of it."""
    while True:
        await asyncio.sleep(ledger.lease_seconds / RENEWALS_PER_LEASE)
        try:
            await ledger.renew_lease(intent_id)
        except LedgerUnavailable:
            continue
        except LeaseLost:
            return


REPLY_MARGIN_SECONDS = 0.1
"""Before a request's end: to say that its change is still under way."""


def build_mutation_actions(context: MutationContext) -> Mapping[str, Action]:
    """By root field of `Mutation`."""
    return {field: MutationAction(context=context, saga=saga) for field, saga in context.sagas.items()}


async def wait_for_changes(context: MutationContext) -> None:
    """Returns when no change is under way, for a process that is about to stop."""
    while context.tasks:
        await asyncio.wait(context.tasks)


@dataclass(frozen=True, slots=True, kw_only=True)
class MutationAction:
    """An `Action`."""

    context: MutationContext
    saga: Saga

    async def __call__(self, act: ActionCall) -> ActionResult:
        """Raises SourceFailed; ChangeFailed where something was begun."""
        given = intents.decode_value(intents.encode_value(act.arguments["input"]))  # as whoever settles it will have it
        stamps = _build_timestamps(self.context, self.saga, given)
        asked = parse_mutation_input({**given, **stamps})
        saga = self.saga.for_input(asked.fields)
        intent = _build_intent(self.context, saga, act, given, stamps)
        begun = IntentExecution(context=self.context, saga=saga, input=asked, intent=intent)
        if asked.dry_run:
            return await dry_run_saga(begun)
        task = asyncio.create_task(_execute_mutation(begun, act.deadline))
        self.context.tasks.add(task)
        task.add_done_callback(self.context.tasks.discard)
        task.add_done_callback(_consume_exception)
        await asyncio.wait([task], timeout=max(0.0, act.deadline - REPLY_MARGIN_SECONDS - get_running_loop().time()))
        if not task.done():
            raise build_unsettled_error(begun.intent.id, "the change takes longer than this answer may")
        return task.result()


def _consume_exception(task: "asyncio.Task[ActionResult]") -> None:
    """Of a change whose caller went away, nobody else takes the failure."""
    if not task.cancelled():
        task.exception()


def _build_timestamps(shop: MutationContext, saga: Saga, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is now; it is no part of what one sends again with an idempotency key."""
    return {name: shop.ledger.now() for name in saga.timestamp_fields if given.get(name) is None}


def _build_intent(
    shop: MutationContext, saga: Saga, act: ActionCall, given: Mapping[str, Any], stamps: Mapping[str, Any]
) -> Intent:
    ledger, number = shop.ledger, find_leading_step(shop.catalog, saga)
    assert number is not None
    asked = {name: each for name, each in given.items() if name != "idempotencyKey"}
    new = ledger.new_id()
    return Intent(
        id=new,
        person=act.principal.person_id,
        key_id=act.principal.key_id,
        groups=tuple(sorted(act.principal.groups)),
        mutation=saga.field,
        idempotency_key=given.get("idempotencyKey"),
        body=ledger.digest(f"{saga.field} {intents.encode_value(asked)}"),
        input=intents.encode_value({**asked, **stamps}),
        reason=given.get("reason"),
        record=act.record_id,
        steps=len(saga.steps),
        leads=format_change_id(new, number),
        begun_at=ledger.now(),
    )


async def _execute_mutation(doing: IntentExecution, until: float) -> ActionResult:
    earlier = await begin_intent(doing, until)
    if earlier is not None:
        return earlier
    async with hold_lease(doing.context.ledger, doing.intent.id):
        return await mutations_saga.run_saga(doing)
