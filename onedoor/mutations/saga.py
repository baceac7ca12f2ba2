"""Apply steps, probe unknown outcomes, compensate, dry-run."""

import logging
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import datetime, timedelta

from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.catalog import ActionResult
from onedoor.mutations.context import (
    MutationContext,
    MutationError,
    NumberedStep,
    build_partial_error,
    build_unsettled_error,
    find_mapping,
    group_by_transaction,
)
from onedoor.mutations.declarations import Compensation, Step
from onedoor.mutations.execution import (
    IntentExecution,
    build_attempt,
    build_audit_facts,
    build_history_row,
    finish_intent,
    format_change_id,
    load_change,
    load_result,
    merge_known_key,
    read_row_version,
)
from onedoor.mutations.history import HISTORY_CONNECTOR, DryRunHistory, HistoryConnector
from onedoor.mutations.intents import HistoryRow, IntentState, StepAttempt, StepOutcome
from onedoor.mutations.ledger import LedgerUnavailable
from onedoor.mutations.ledger_sql import LeaseLost
from onedoor.mutations.mapping import list_id_columns
from onedoor.runtime import resilience
from onedoor.spi.connector import ChangeKind, ChangeRejected, ChangeResult, RowChange, RowValues


class OutcomeUnknown(Exception):
    """It may have been made, or not, or may yet be. `reason` is safe to show a client."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


async def apply_changes(context: MutationContext, source: str, changes: Sequence[RowChange]) -> Sequence[ChangeResult]:
    """Raises Unmade where nothing of it was made, and Unknown."""
    try:
        made = await resilience.apply_to_connector(context.connectors[source], changes)
    except ChangeRejected:
        raise
    except Exception as failure:  # whatever it was, the change may stand
        return await _probe_after_failure(context, source, changes, _describe_failure(source, failure))
    return (
        made
        if len(made) == len(changes)
        else await _probe_after_failure(context, source, changes, f"`{source}` answered wrongly")
    )


async def _probe_after_failure(
    shop: MutationContext, source: str, changes: Sequence[RowChange], reason: str
) -> Sequence[ChangeResult]:
    made = await probe_changes(shop, source, changes)
    if made is not None:
        return made
    if not _are_fenced(shop, source, changes):
        raise OutcomeUnknown(reason)
    raise ChangeRejected(reason, ErrorCode.SOURCE_UNAVAILABLE)


async def resolve_changes(
    context: MutationContext, source: str, changes: Sequence[RowChange], begun_at: datetime
) -> Sequence[ChangeResult] | None:
    """What came of changes told at `begun`; None: they were not made, and will not be. Raises Unknown."""
    made = await probe_changes(context, source, changes)
    waited = context.ledger.now() - begun_at >= timedelta(seconds=context.unfenced_seconds)
    if made is None and not waited and not _are_fenced(context, source, changes):
        raise OutcomeUnknown(f"`{source}` has not made it so far")
    return made


async def probe_changes(
    context: MutationContext, source: str, changes: Sequence[RowChange]
) -> Sequence[ChangeResult] | None:
    """What the source says it made of them; raises Unknown."""
    try:
        found = [await resilience.find_change_in_connector(context.connectors[source], each) for each in changes]
    except Exception as failure:  # a source that fails has not said
        raise OutcomeUnknown(_describe_failure(source, failure)) from None
    made = [each for each in found if each is not None]
    if made and len(made) < len(changes):
        raise OutcomeUnknown(f"`{source}` made a part of one transaction")
    return made or None


def _are_fenced(shop: MutationContext, source: str, changes: Sequence[RowChange]) -> bool:
    promises = [resilience.get_write_capabilities(shop.connectors[source], each.collection) for each in changes]
    return all(each is not None and each.fenced for each in promises)


def _describe_failure(source: str, failure: Exception) -> str:
    return failure.reason if isinstance(failure, ConnectorError) else f"`{source}` failed"


LOG = logging.getLogger("onedoor.changes")

NOT_COMPENSABLE = "it cannot be undone"


async def compensate(execution: IntentExecution) -> None:
    """Every step that stands and can be undone is; one that cannot be keeps none before it from it. Raises Unknown."""
    for first in reversed(execution.list_first_attempts()):
        if first.outcome is StepOutcome.APPLIED:
            await _compensate_step(execution, first)


async def _compensate_step(doing: IntentExecution, first: StepAttempt) -> None:
    last = doing.find_latest_attempt(first.number)
    if (
        last.attempt > 1
        and last.outcome in (StepOutcome.BEGUN, StepOutcome.UNKNOWN)
        and await _was_compensated(doing, first, last)
    ):
        return
    try:
        change = build_compensation(doing, first)
    except Exception:  # of a callable that was declared
        LOG.exception("what undoes `%s` of `%s` cannot be worked out", first.name, doing.saga.field)
        change = None
    if change is None:
        doing.put_attempt(replace(first, why=NOT_COMPENSABLE))
        return
    attempt = doing.find_latest_attempt(first.number).attempt + 1
    change = replace(change, id=format_change_id(doing.intent.id, first.number, attempt))
    doing.put_attempt(build_attempt(doing.context, first.number, first.name, first.source, change, attempt))
    await doing.context.ledger.keep_attempts(doing.intent.id, doing.list_attempts())
    await _apply_compensation(doing, first, change, attempt)


async def _apply_compensation(doing: IntentExecution, first: StepAttempt, change: RowChange, attempt: int) -> None:
    at = (first.number, attempt)
    try:
        (made,) = await apply_changes(doing.context, first.source, [change])
    except ChangeRejected as failure:
        doing.put_attempt(replace(doing.attempts[at], outcome=StepOutcome.NOT_APPLIED, why=failure.reason))
        if change.kind is ChangeKind.DELETE and failure.code is ErrorCode.NOT_FOUND:
            doing.put_attempt(replace(first, outcome=StepOutcome.COMPENSATED))
    except OutcomeUnknown as unknown:
        doing.put_attempt(replace(doing.attempts[at], outcome=StepOutcome.UNKNOWN, why=unknown.reason))
        raise
    else:
        _keep_compensated(doing, first, attempt, made)


async def _was_compensated(doing: IntentExecution, first: StepAttempt, last: StepAttempt) -> bool:
    """What came of an attempt that nobody heard of; raises Unknown."""
    made = await resolve_changes(doing.context, last.source, [load_change(last)], last.begun_at)
    if made is None:
        doing.put_attempt(replace(last, outcome=StepOutcome.NOT_APPLIED))
        return False
    _keep_compensated(doing, first, last.attempt, made[0])
    return True


def _keep_compensated(doing: IntentExecution, first: StepAttempt, attempt: int, made: ChangeResult) -> None:
    doing.keep_result(first.number, made, attempt)
    doing.put_attempt(replace(first, outcome=StepOutcome.COMPENSATED))


def build_compensation(execution: IntentExecution, attempt: StepAttempt) -> RowChange | None:
    """What undoes a step, guarded by the version it left; None: nothing does."""
    step = next((each for each in execution.saga.steps if each.name == attempt.name), None)
    if step is None or step.compensation is Compensation.NONE:
        return None
    if not isinstance(step.compensation, Compensation):
        return step.compensation(execution.input.fields, load_result(attempt))
    change = _build_inverse_change(execution, attempt, step)
    promise = resilience.get_write_capabilities(execution.context.connectors[attempt.source], attempt.collection)
    allowed = None if promise is None or change is None else promise.settable_columns.get(change.kind)
    return change if change is not None and allowed is not None and allowed.issuperset(change.values) else None


def _build_inverse_change(doing: IntentExecution, first: StepAttempt, step: Step) -> RowChange | None:
    change, made = load_change(first), load_result(first)
    there = replace(change, values={}, version=read_row_version(doing.context, first, made.after))
    if step.kind is ChangeKind.CREATE or (step.kind is ChangeKind.PUT and made.before is None):
        key = _find_created_key(doing, first, change, made)
        return replace(there, kind=ChangeKind.DELETE, key=key) if key else None
    if made.before is None or not made.before.keys() >= change.values.keys():
        return None
    if step.kind is ChangeKind.DELETE:
        values = {name: each for name, each in made.before.items() if name in _list_creatable_columns(doing, first)}
        return replace(
            there, kind=ChangeKind.CREATE, values={n: each for n, each in values.items() if n not in change.key}
        )
    return replace(there, values={name: made.before[name] for name in change.values})


def _list_creatable_columns(doing: IntentExecution, first: StepAttempt) -> frozenset[str]:
    """The columns that a new row may be given values for."""
    promise = resilience.get_write_capabilities(doing.context.connectors[first.source], first.collection)
    return frozenset() if promise is None else promise.settable_columns.get(ChangeKind.CREATE, frozenset())


def _find_created_key(
    doing: IntentExecution, first: StepAttempt, change: RowChange, made: ChangeResult
) -> RowValues | None:
    """What names the row that was made; its source may have given it."""
    binding = find_mapping(doing.context, doing.saga.type, first.source, first.collection)
    if binding is None:
        return change.key or None
    known = merge_known_key(change, made)
    names = [each for each in list_id_columns(binding) if each not in binding.constants]
    return {each: known[each] for each in names} if known.keys() >= set(names) else None


def begin_first_group(execution: IntentExecution) -> None:
    """What the first source is to be told, as it goes on record with the intent; raises SourceFailed."""
    group, *_ = group_by_transaction(execution.context, execution.saga)
    try:
        execution.begin_steps(group, _build_group_changes(execution, group))
    except ChangeRejected as refusal:
        raise ConnectorError(refusal.reason, refusal.code) from None


async def run_saga(execution: IntentExecution) -> ActionResult:
    """Raises ChangeFailed. Where it cannot be put on record any more, whoever settles finds out what stands."""
    try:
        return await _apply_all_groups(execution)
    except (LedgerUnavailable, LeaseLost):
        raise await _leave_open(execution, "it could not be put on record") from None
    except OutcomeUnknown as unknown:
        raise await _leave_open(execution, unknown.reason) from None


async def _leave_open(doing: IntentExecution, reason: str) -> MutationError:
    """Whoever settles may take it at once."""
    with suppress(LedgerUnavailable, LeaseLost):
        await doing.context.ledger.keep_attempts(doing.intent.id, doing.list_attempts())
        await doing.context.ledger.release_lease(doing.intent.id)
    return build_unsettled_error(doing.intent.id, reason)


async def _apply_all_groups(doing: IntentExecution) -> ActionResult:
    for group in group_by_transaction(doing.context, doing.saga):
        try:
            await _apply_group(doing, group)
        except ChangeRejected as failure:
            return await _compensate_rejected(doing, failure)
    left = await finish_intent(doing)
    return ActionResult(row_id=doing.intent.leads, audit_facts=build_audit_facts(doing.context, left))


async def _apply_group(doing: IntentExecution, group: Sequence[NumberedStep]) -> None:
    """Raises Unmade, and Unknown."""
    changes, numbers = _build_group_changes(doing, group), [number for number, _ in group]
    if (numbers[0], 1) not in doing.attempts:
        doing.begin_steps(group, changes)
        await doing.context.ledger.keep_attempts(doing.intent.id, doing.list_attempts())
    try:
        made = await apply_changes(doing.context, group[0][1].source, changes)
    except ChangeRejected as failure:
        doing.end_steps(numbers, StepOutcome.NOT_APPLIED, failure.reason)
        raise
    except OutcomeUnknown as unknown:
        doing.end_steps(numbers, StepOutcome.UNKNOWN, unknown.reason)
        raise
    for number, each in zip(numbers, made, strict=True):
        doing.keep_result(number, each)


async def _compensate_rejected(doing: IntentExecution, failure: ChangeRejected) -> ActionResult:
    """Undoes what was made before, and says what stands; raises ChangeFailed, always."""
    await compensate(doing)
    with suppress(LedgerUnavailable, LeaseLost) if doing.compute_state() is IntentState.NOT_APPLIED else nullcontext():
        left = await finish_intent(doing)
    state, intent = doing.compute_state(), doing.intent
    if state is IntentState.PARTIALLY_APPLIED:
        raise build_partial_error(intent.id, doing.describe_steps(), build_audit_facts(doing.context, left))
    if state is IntentState.COMPENSATED:
        undone = f"{failure.reason}; what was made of change `{intent.id}` was undone"
        raise MutationError(undone, failure.code, build_audit_facts(doing.context, left))
    raise MutationError(failure.reason, failure.code)


def _build_group_changes(doing: IntentExecution, group: Sequence[NumberedStep]) -> Sequence[RowChange]:
    """Raises Unmade: what cannot be worked out is not told."""
    try:
        return doing.build_changes(group)
    except ConnectorError as refusal:
        raise ChangeRejected(refusal.reason, refusal.code) from None


async def dry_run_saga(execution: IntentExecution) -> ActionResult:
    """Steps that need what earlier ones would make cannot be tried; all others are. Raises SourceFailed."""
    found = [
        each
        for group in group_by_transaction(execution.context, execution.saga)
        for each in await _dry_run_group(execution, group)
    ]
    base = execution.context.catalog.connectors.get(HISTORY_CONNECTOR)
    sources = (
        {HISTORY_CONNECTOR: DryRunHistory(base, {each.id: each for each in found})}
        if isinstance(base, HistoryConnector)
        else {}
    )
    leads = next((each.id for each in found if each.id == execution.intent.leads), None)
    return ActionResult(row_id=leads, connectors=sources, audit_facts=build_audit_facts(execution.context, found))


async def _dry_run_group(doing: IntentExecution, group: Sequence[NumberedStep]) -> Sequence[HistoryRow]:
    if any(step.depends_on for _, step in group):
        return ()
    try:
        changes = doing.build_changes(group)
        made = await resilience.apply_to_connector(doing.context.connectors[group[0][1].source], changes, dry_run=True)
    except ChangeRejected as failure:
        raise ConnectorError(failure.reason, failure.code) from None
    doing.begin_steps(group, changes)
    return [_build_dry_run_row(doing, *each) for each in zip(group, changes, made, strict=True)]


def _build_dry_run_row(
    doing: IntentExecution, numbered: NumberedStep, change: RowChange, made: ChangeResult
) -> HistoryRow:
    taken = doing.attempts[numbered[0], 1]
    return replace(build_history_row(doing, taken, change, made), state=IntentState.DRY_RUN)
