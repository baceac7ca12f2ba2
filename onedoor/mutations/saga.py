"""Apply the steps of a saga, find out what came of unheard ones, compensate them and try them out."""

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
    UNHEARD_OUTCOMES,
    IntentExecution,
    build_attempt,
    build_audit_facts,
    build_history_row,
    find_write_capabilities,
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
from onedoor.mutations.rejections import name_input_fields, name_source
from onedoor.mutations.row_access import check_dry_run, check_row_access
from onedoor.runtime import resilience
from onedoor.runtime.call_context import use_settling_context
from onedoor.spi.connector import ChangeKind, ChangeRejected, ChangeResult, RowChange, RowValues

LOG = logging.getLogger("onedoor.changes")

NOT_COMPENSABLE = "it cannot be undone"


class OutcomeUnknown(Exception):
    """The change may have been made, or not, or may yet be made. `reason` is safe to show a client."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def begin_first_group(execution: IntentExecution) -> None:
    """Begin the first steps, which are recorded together with the intent. Raises ConnectorError."""
    first_group, *_ = group_by_transaction(execution.context, execution.saga)
    execution.begin_steps(first_group, execution.build_changes(first_group))


async def run_saga(execution: IntentExecution) -> ActionResult:
    """Apply all steps, or undo those that were applied.

    Raises MutationError. An intent that cannot be recorded any more is left open for recovery.
    """
    try:
        return await _apply_all_groups(execution)
    except (LedgerUnavailable, LeaseLost):
        raise await _leave_open(execution, "it could not be put on record") from None
    except OutcomeUnknown as unknown:
        raise await _leave_open(execution, unknown.reason) from None


async def _leave_open(execution: IntentExecution, reason: str) -> MutationError:
    """Release the intent to recovery at once."""
    ledger, intent_id = execution.context.ledger, execution.intent.id
    with suppress(LedgerUnavailable, LeaseLost):
        await ledger.put_attempts(intent_id, execution.list_attempts())
        await ledger.release_lease(intent_id)
    return build_unsettled_error(intent_id, reason)


async def _apply_all_groups(execution: IntentExecution) -> ActionResult:
    for group in group_by_transaction(execution.context, execution.saga):
        try:
            await _apply_group(execution, group)
        except ChangeRejected as rejection:
            raise await _compensate_rejected(execution, group, rejection) from None
    history = await finish_intent(execution)
    return ActionResult(row_id=execution.intent.leads, audit_facts=build_audit_facts(execution.context, history))


async def _apply_group(execution: IntentExecution, group: Sequence[NumberedStep]) -> None:
    """Apply the steps of one transaction and record their outcomes.

    Raises ChangeRejected and OutcomeUnknown.
    """
    changes, numbers = _build_group_changes(execution, group), [number for number, _ in group]
    if (numbers[0], 1) not in execution.attempts:
        execution.begin_steps(group, changes)
        await execution.context.ledger.put_attempts(execution.intent.id, execution.list_attempts())
    try:
        await check_row_access(execution, group, changes)
        results = await apply_changes(execution.context, group[0].step.source, changes)
    except ChangeRejected as rejection:
        named = name_input_fields(execution, group, changes, rejection)
        execution.end_steps(numbers, StepOutcome.NOT_APPLIED, named.reason)
        raise named from None
    except OutcomeUnknown as unknown:
        execution.end_steps(numbers, StepOutcome.UNKNOWN, unknown.reason)
        raise
    for number, result in zip(numbers, results, strict=True):
        execution.put_result(number, result)


def _build_group_changes(execution: IntentExecution, group: Sequence[NumberedStep]) -> Sequence[RowChange]:
    """Build the changes of one transaction.

    Raises ChangeRejected: a change that cannot be built is never sent.
    """
    try:
        return execution.build_changes(group)
    except ConnectorError as error:
        raise ChangeRejected(error.reason, error.code) from None


async def _compensate_rejected(
    execution: IntentExecution, group: Sequence[NumberedStep], rejection: ChangeRejected
) -> MutationError:
    """Undo the steps that were applied before and return the error that says what stands."""
    await compensate(execution)
    state, intent, context = execution.compute_state(), execution.intent, execution.context
    reason = name_source(execution, group, rejection.reason)
    history: Sequence[HistoryRow] = ()
    with suppress(LedgerUnavailable, LeaseLost) if state is IntentState.NOT_APPLIED else nullcontext():
        history = await finish_intent(execution)
    if state is IntentState.PARTIALLY_APPLIED:
        return build_partial_error(intent.id, execution.describe_steps(), build_audit_facts(context, history))
    if state is IntentState.COMPENSATED:
        undone = [first for first in execution.list_first_attempts() if first.outcome is StepOutcome.COMPENSATED]
        names = ", ".join(f"`{first.name}`" for first in undone)
        undoing = f"what change `{intent.id}` made of {names} was undone"
        return MutationError(f"{reason}; {undoing}", rejection.code, build_audit_facts(context, history))
    return MutationError(reason, rejection.code)


async def apply_changes(context: MutationContext, source: str, changes: Sequence[RowChange]) -> Sequence[ChangeResult]:
    """Apply the changes, and ask the source what came of them where its reply is lost.

    Raises ChangeRejected where nothing was changed, and OutcomeUnknown.
    """
    try:
        results = await resilience.apply_to_connector(context.connectors[source], changes)
    except ChangeRejected:
        raise
    except Exception as failure:  # whatever failed, the change may stand
        return await _probe_after_failure(context, source, changes, _describe_failure(source, failure))
    if len(results) != len(changes):
        return await _probe_after_failure(context, source, changes, f"`{source}` answered wrongly")
    return results


async def _probe_after_failure(
    context: MutationContext, source: str, changes: Sequence[RowChange], reason: str
) -> Sequence[ChangeResult]:
    results = await probe_changes(context, source, changes)
    if results is not None:
        return results
    if not _are_fenced(context, source, changes):
        raise OutcomeUnknown(reason)
    raise ChangeRejected(reason, ErrorCode.SOURCE_UNAVAILABLE)


async def resolve_changes(
    context: MutationContext, source: str, changes: Sequence[RowChange], begun_at: datetime
) -> Sequence[ChangeResult] | None:
    """Return what came of changes sent at `begun_at`; None: they were not made and never will be.

    Raises OutcomeUnknown.
    """
    results = await probe_changes(context, source, changes)
    waited = context.ledger.now() - begun_at >= timedelta(seconds=context.unfenced_seconds)
    if results is None and not waited and not _are_fenced(context, source, changes):
        raise OutcomeUnknown(f"`{source}` has not made it so far")
    return results


async def probe_changes(
    context: MutationContext, source: str, changes: Sequence[RowChange]
) -> Sequence[ChangeResult] | None:
    """Ask the source what came of the changes; None: it made none of them. Raises OutcomeUnknown."""
    connector = context.connectors.get(source)
    if connector is None:
        raise OutcomeUnknown(f"`{source}` failed")
    try:
        with use_settling_context():
            answers = [await resilience.find_change_in_connector(connector, change) for change in changes]
    except Exception as failure:  # a source that fails has not answered
        raise OutcomeUnknown(_describe_failure(source, failure)) from None
    results = [answer for answer in answers if answer is not None]
    if results and len(results) < len(changes):
        raise OutcomeUnknown(f"`{source}` made a part of one transaction")
    return results or None


def _are_fenced(context: MutationContext, source: str, changes: Sequence[RowChange]) -> bool:
    connector = context.connectors[source]
    capabilities = (resilience.get_write_capabilities(connector, change.collection) for change in changes)
    return all(promised is not None and promised.fenced for promised in capabilities)


def _describe_failure(source: str, failure: Exception) -> str:
    return failure.reason if isinstance(failure, ConnectorError) else f"`{source}` failed"


async def compensate(execution: IntentExecution) -> None:
    """Undo every applied step that can be undone, last first; one that cannot stops none of the others.

    Raises OutcomeUnknown.
    """
    for first in reversed(execution.list_first_attempts()):
        if first.outcome is StepOutcome.APPLIED:
            await _compensate_step(execution, first)


async def _compensate_step(execution: IntentExecution, first: StepAttempt) -> None:
    latest = execution.find_latest_attempt(first.number)
    unheard = latest.attempt > 1 and latest.outcome in UNHEARD_OUTCOMES
    if unheard and await _was_compensated(execution, first, latest):
        return
    change = _build_compensation_or_log(execution, first)
    if change is None:
        execution.put_attempt(replace(first, why=NOT_COMPENSABLE))
        return
    attempt = latest.attempt + 1
    change = replace(change, id=format_change_id(execution.intent.id, first.number, attempt))
    begun = build_attempt(execution.context, first.number, first.name, first.source, change, attempt)
    execution.put_attempt(begun)
    await execution.context.ledger.put_attempts(execution.intent.id, execution.list_attempts())
    await _apply_compensation(execution, first, begun, change)


async def _apply_compensation(
    execution: IntentExecution, first: StepAttempt, begun: StepAttempt, change: RowChange
) -> None:
    try:
        with use_settling_context():
            (result,) = await apply_changes(execution.context, first.source, [change])
    except ChangeRejected as rejection:
        execution.put_attempt(replace(begun, outcome=StepOutcome.NOT_APPLIED, why=rejection.reason))
        if change.kind is ChangeKind.DELETE and rejection.code is ErrorCode.NOT_FOUND:
            execution.put_attempt(replace(first, outcome=StepOutcome.COMPENSATED))
    except OutcomeUnknown as unknown:
        execution.put_attempt(replace(begun, outcome=StepOutcome.UNKNOWN, why=unknown.reason))
        raise
    else:
        _put_compensated(execution, first, begun.attempt, result)


async def _was_compensated(execution: IntentExecution, first: StepAttempt, latest: StepAttempt) -> bool:
    """Resolve a compensation whose outcome is not known. Raises OutcomeUnknown."""
    results = await resolve_changes(execution.context, latest.source, [load_change(latest)], latest.begun_at)
    if results is None:
        execution.put_attempt(replace(latest, outcome=StepOutcome.NOT_APPLIED))
        return False
    _put_compensated(execution, first, latest.attempt, results[0])
    return True


def _put_compensated(execution: IntentExecution, first: StepAttempt, attempt: int, result: ChangeResult) -> None:
    execution.put_result(first.number, result, attempt)
    execution.put_attempt(replace(first, outcome=StepOutcome.COMPENSATED))


def _build_compensation_or_log(execution: IntentExecution, first: StepAttempt) -> RowChange | None:
    try:
        return build_compensation(execution, first)
    except Exception:  # a declared function failed
        LOG.exception("the compensation of `%s` in `%s` cannot be built", first.name, execution.saga.field)
        return None


def build_compensation(execution: IntentExecution, attempt: StepAttempt) -> RowChange | None:
    """Return the change that undoes a step, guarded by the version that the step left; None: nothing undoes it."""
    step = next((step for step in execution.saga.steps if step.name == attempt.name), None)
    if step is None or step.compensation is Compensation.NONE:
        return None
    if not isinstance(step.compensation, Compensation):
        return step.compensation(execution.input.fields, load_result(attempt))
    change = _build_inverse_change(execution, attempt, step)
    settable = None if change is None else _list_settable_columns(execution, attempt, change.kind)
    return change if change is not None and settable is not None and settable.issuperset(change.values) else None


def _build_inverse_change(execution: IntentExecution, first: StepAttempt, step: Step) -> RowChange | None:
    change, result = load_change(first), load_result(first)
    inverse = replace(change, values={}, version=read_row_version(execution.context, first, result.after))
    if step.kind is ChangeKind.CREATE or (step.kind is ChangeKind.PUT and result.before is None):
        key = _find_created_key(execution, first, change, result)
        return replace(inverse, kind=ChangeKind.DELETE, key=key) if key else None
    if result.before is None or not result.before.keys() >= change.values.keys():
        return None
    if step.kind is ChangeKind.DELETE:
        creatable = _list_settable_columns(execution, first, ChangeKind.CREATE) or frozenset()
        values = {name: value for name, value in result.before.items() if name in creatable and name not in change.key}
        return replace(inverse, kind=ChangeKind.CREATE, values=values)
    return replace(inverse, values={name: result.before[name] for name in change.values})


def _list_settable_columns(execution: IntentExecution, attempt: StepAttempt, kind: ChangeKind) -> frozenset[str] | None:
    """Return the columns that a change of this kind may set; None: its source makes no such change."""
    capabilities = find_write_capabilities(execution.context, attempt)
    return None if capabilities is None else capabilities.settable_columns.get(kind)


def _find_created_key(
    execution: IntentExecution, first: StepAttempt, change: RowChange, result: ChangeResult
) -> RowValues | None:
    """Return the key of the created row, which its source may have chosen."""
    mapping = find_mapping(execution.context, execution.saga.type, first.source, first.collection)
    if mapping is None:
        return change.key or None
    known = merge_known_key(change, result)
    columns = [column for column in list_id_columns(mapping) if column not in mapping.constants]
    return {column: known[column] for column in columns} if known.keys() >= set(columns) else None


async def dry_run_saga(execution: IntentExecution) -> ActionResult:
    """Try every step that depends on no other and return a history that holds what would change.

    Raises ConnectorError.
    """
    rows = [
        row
        for group in group_by_transaction(execution.context, execution.saga)
        for row in await _dry_run_group(execution, group)
    ]
    history = execution.context.catalog.connectors.get(HISTORY_CONNECTOR)
    overlay = (
        {HISTORY_CONNECTOR: DryRunHistory(history, {row.id: row for row in rows})}
        if isinstance(history, HistoryConnector)
        else {}
    )
    leading = next((row.id for row in rows if row.id == execution.intent.leads), None)
    return ActionResult(row_id=leading, connectors=overlay, audit_facts=build_audit_facts(execution.context, rows))


async def _dry_run_group(execution: IntentExecution, group: Sequence[NumberedStep]) -> Sequence[HistoryRow]:
    if any(step.depends_on for _, step in group):
        return ()
    changes = execution.build_changes(group)
    connector = execution.context.connectors[group[0].step.source]
    try:
        await check_row_access(execution, group, changes)
        await check_dry_run(execution, group)
        results = await resilience.apply_to_connector(connector, changes, dry_run=True)
    except ChangeRejected as rejection:
        named = name_input_fields(execution, group, changes, rejection)
        raise ConnectorError(name_source(execution, group, named.reason), named.code) from None
    execution.begin_steps(group, changes)
    return [
        replace(build_history_row(execution, execution.attempts[number, 1], change, result), state=IntentState.DRY_RUN)
        for (number, _), change, result in zip(group, changes, results, strict=True)
    ]
