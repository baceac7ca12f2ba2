"""Track the steps of one intent while they are applied, and derive from them its outcome and its history."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from auth.authentication import Principal
from onedoor.audit.record import AuditedChange, hash_scalar
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.mapping import TypeMapping
from onedoor.model.names import format_id, format_id_part
from onedoor.mutations import intents
from onedoor.mutations.context import MutationContext, NumberedStep, find_leading_step, find_mapping
from onedoor.mutations.declarations import MutationInput, Saga
from onedoor.mutations.intents import HistoryRow, Intent, IntentOutcome, IntentState, StepAttempt, StepOutcome
from onedoor.mutations.ledger_sql import PUBLISHED_STATES, replace_unstorable
from onedoor.mutations.mapping import list_id_columns
from onedoor.runtime.resilience import get_write_capabilities
from onedoor.spi.connector import ChangeKind, ChangeResult, RowChange, RowValues, WriteCapabilities

LOG = logging.getLogger("onedoor.changes")

UNHEARD_OUTCOMES = frozenset({StepOutcome.BEGUN, StepOutcome.UNKNOWN})

STANDING_OUTCOMES = frozenset({StepOutcome.APPLIED, *UNHEARD_OUTCOMES})

RECORDED_OUTCOMES = frozenset({StepOutcome.APPLIED, StepOutcome.COMPENSATED})

OUTCOME_SENTENCES = {
    StepOutcome.APPLIED: "`{name}` stands",
    StepOutcome.COMPENSATED: "`{name}` was undone",
    StepOutcome.NOT_APPLIED: "`{name}` was not made",
    StepOutcome.UNKNOWN: "it is not known whether `{name}` was made",
    StepOutcome.BEGUN: "it is not known whether `{name}` was made",
}


@dataclass(slots=True, kw_only=True)
class IntentExecution:
    """One intent as it is applied or recovered. `attempts` is what the ledger holds, or is to hold next."""

    context: MutationContext
    saga: Saga
    input: MutationInput
    intent: Intent
    principal: Principal | None = None
    """Whoever the steps are applied for; None in recovery, which only undoes them."""
    attempts: dict[tuple[int, int], StepAttempt] = field(default_factory=dict)
    """By number of the step and of the attempt."""

    def build_changes(self, group: Sequence[NumberedStep]) -> tuple[RowChange, ...]:
        """Build what the source of these steps is sent. Raises what their callables raise."""
        results = self.collect_results()
        leading = find_leading_step(self.context.catalog, self.saga)
        self._check_version(group, leading)
        return tuple(
            RowChange(
                id=format_change_id(self.intent.id, number),
                collection=step.collection,
                kind=step.kind,
                key=step.key(self.input.fields, results),
                values=step.values(self.input.fields, results),
                version=self.input.if_version if number == leading else None,
            )
            for number, step in group
        )

    def _check_version(self, group: Sequence[NumberedStep], leading: int | None) -> None:
        if self.input.if_version is None:
            return
        for number, step in group:
            if number != leading:
                continue
            capabilities = get_write_capabilities(self.context.connectors[step.source], step.collection)
            if capabilities is not None and (capabilities.version_column is None or step.kind is ChangeKind.CREATE):
                reason = f"what `{self.saga.field}` changes has no versions, leave `ifVersion` out"
                raise ConnectorError(reason, ErrorCode.BAD_USER_INPUT)

    def collect_results(self) -> dict[str, ChangeResult]:
        """Return what the steps so far changed and still stands, by name of the step."""
        applied = (first for first in self.list_first_attempts() if first.outcome is StepOutcome.APPLIED)
        return {first.name: load_result(first) for first in applied}

    def list_first_attempts(self) -> Sequence[StepAttempt]:
        """Return the steps that were begun, in order, as they stand."""
        return [attempt for attempt in self.list_attempts() if attempt.attempt == 1]

    def list_attempts(self) -> tuple[StepAttempt, ...]:
        return tuple(attempt for _, attempt in sorted(self.attempts.items()))

    def find_latest_attempt(self, number: int) -> StepAttempt:
        attempts = (attempt for attempt in self.attempts.values() if attempt.number == number)
        return max(attempts, key=lambda attempt: attempt.attempt)

    def begin_steps(self, group: Sequence[NumberedStep], changes: Sequence[RowChange]) -> None:
        for (number, step), change in zip(group, changes, strict=True):
            self.put_attempt(build_attempt(self.context, number, step.name, step.source, change))

    def end_steps(self, numbers: Sequence[int], outcome: StepOutcome, reason: str | None = None) -> None:
        for number in numbers:
            self.put_attempt(replace(self.attempts[number, 1], outcome=outcome, why=reason))

    def put_result(self, number: int, result: ChangeResult, attempt: int = 1) -> None:
        before, after = intents.encode_row(result.before), intents.encode_row(result.after)
        begun = self.attempts[number, attempt]
        self.put_attempt(replace(begun, outcome=StepOutcome.APPLIED, before=before, after=after, why=None))

    def put_attempt(self, attempt: StepAttempt) -> None:
        self.attempts[attempt.number, attempt.attempt] = attempt

    def compute_state(self) -> IntentState:
        """Return the state that the intent has if nothing more is done."""
        outcomes = [attempt.outcome for attempt in self.list_first_attempts()]
        if len(outcomes) == self.intent.steps and set(outcomes) <= {StepOutcome.APPLIED}:
            return IntentState.DONE
        if not STANDING_OUTCOMES.isdisjoint(outcomes):
            return IntentState.PARTIALLY_APPLIED
        return IntentState.COMPENSATED if StepOutcome.COMPENSATED in outcomes else IntentState.NOT_APPLIED

    def describe_steps(self) -> str:
        """Return one sentence that says of each step whether it stands."""
        begun = {attempt.number: attempt for attempt in self.list_first_attempts()}
        never_begun = [step.name for number, step in enumerate(self.saga.steps, 1) if number not in begun]
        return ", ".join(
            [self._describe_step(first) for first in begun.values()]
            + [OUTCOME_SENTENCES[StepOutcome.NOT_APPLIED].format(name=name) for name in never_begun]
        )

    def _describe_step(self, first: StepAttempt) -> str:
        latest = self.find_latest_attempt(first.number)
        why = latest.why if first.outcome is StepOutcome.APPLIED else first.why
        sentence = OUTCOME_SENTENCES[first.outcome].format(name=first.name)
        return f"{sentence} ({why})" if why else sentence


def format_change_id(intent_id: str, number: int, attempt: int = 1) -> str:
    """Return the id of one attempt's change: another attempt is another change."""
    return f"{intent_id}-{number}" if attempt == 1 else f"{intent_id}-{number}-{attempt}"


def build_attempt(
    context: MutationContext, number: int, name: str, source: str, change: RowChange, attempt: int = 1
) -> StepAttempt:
    return StepAttempt(
        number=number,
        attempt=attempt,
        change_id=change.id,
        name=name,
        source=source,
        collection=change.collection,
        verb=str(change.kind),
        change=intents.encode_change(change),
        begun_at=context.ledger.now(),
    )


def load_result(attempt: StepAttempt) -> ChangeResult:
    return ChangeResult(before=intents.decode_row(attempt.before), after=intents.decode_row(attempt.after))


def load_change(attempt: StepAttempt) -> RowChange:
    return intents.decode_change(attempt.change, attempt.change_id, attempt.collection, attempt.verb)


async def finish_intent(execution: IntentExecution) -> Sequence[HistoryRow]:
    """Commit the intent's outcome, publish its changes and return its history."""
    outcome = build_intent_outcome(execution)
    await execution.context.ledger.end_intent(outcome)
    publish_changes(execution.context, outcome)
    return outcome.history


def publish_changes(context: MutationContext, outcome: IntentOutcome) -> None:
    """Publish what now stands. A failure here fails no mutation: subscribers find the events in the database."""
    for row in outcome.history:
        if row.state in PUBLISHED_STATES:
            try:
                context.publish(row.type, row.row, row.id)
            except Exception:
                LOG.exception("a change could not be published")


def build_intent_outcome(execution: IntentExecution) -> IntentOutcome:
    """Return the final outcome of the intent as it now stands."""
    state = execution.compute_state()
    return IntentOutcome(
        intent_id=execution.intent.id,
        state=state,
        stands=execution.describe_steps() if state is IntentState.PARTIALLY_APPLIED else None,
        attempts=execution.list_attempts(),
        history=tuple(
            _build_attempt_row(execution, attempt, state)
            for attempt in execution.list_attempts()
            if attempt.outcome in RECORDED_OUTCOMES
        ),
    )


def _build_attempt_row(execution: IntentExecution, attempt: StepAttempt, state: IntentState) -> HistoryRow:
    """Build an attempt's row of history. A compensation is a change of its own and names the one that it undoes."""
    row = build_history_row(execution, attempt, load_change(attempt), load_result(attempt))
    if attempt.attempt > 1:
        return replace(row, state=IntentState.DONE, reason=f"undoes {execution.attempts[attempt.number, 1].change_id}")
    return replace(row, state=IntentState.COMPENSATED if attempt.outcome is StepOutcome.COMPENSATED else state)


def build_history_row(
    execution: IntentExecution, attempt: StepAttempt, change: RowChange, result: ChangeResult
) -> HistoryRow:
    context, intent = execution.context, execution.intent
    mapping = find_mapping(context, execution.saga.type, attempt.source, attempt.collection)
    constants = mapping.constants if mapping else {}
    return HistoryRow(
        id=attempt.change_id,
        intent_id=intent.id,
        type=mapping.type if mapping else f"{attempt.source}.{attempt.collection}",
        row=replace_unstorable(format_row_id(mapping, change, result)),
        verb=attempt.verb,
        state=IntentState.DONE,
        version_before=read_row_version(context, attempt, result.before),
        version_after=read_row_version(context, attempt, result.after),
        before=intents.encode_row(result.before and {**result.before, **constants}),
        after=intents.encode_row(result.after and {**result.after, **constants}),
        at=context.ledger.now(),
        person=intent.person,
        reason=intent.reason,
        mutation=intent.mutation,
        record=intent.record,
    )


def format_row_id(mapping: TypeMapping | None, change: RowChange, result: ChangeResult) -> str:
    """Return the GraphQL id of the row, or its key where no type shows the row."""
    if mapping is None:
        return format_id(tuple(change.key.values())) if change.key else ""
    known = {**merge_known_key(change, result), **mapping.constants}
    return format_id(tuple(known.get(column, "") for column in list_id_columns(mapping)))


def merge_known_key(change: RowChange, result: ChangeResult) -> RowValues:
    """Return all known columns that name the row; of a deleted row, as it was."""
    row = result.before if change.kind is ChangeKind.DELETE else result.after
    return {**change.key, **(row or {})}


def read_row_version(context: MutationContext, attempt: StepAttempt, row: RowValues | None) -> str | None:
    """Return the row's version as a client gives it in `ifVersion`."""
    capabilities = find_write_capabilities(context, attempt)
    if capabilities is None or capabilities.version_column is None or row is None:
        return None
    version = row.get(capabilities.version_column)
    return None if version is None else replace_unstorable(format_id_part(version))


def find_write_capabilities(context: MutationContext, attempt: StepAttempt) -> WriteCapabilities | None:
    """Return what the source of an attempt can change; None where the source is not configured any more."""
    connector = context.connectors.get(attempt.source)
    return None if connector is None else get_write_capabilities(connector, attempt.collection)


def build_audit_facts(context: MutationContext, history: Sequence[HistoryRow]) -> Mapping[str, Any]:
    """Return what the audit record says was changed, without a value in clear."""
    return {"changes": [redact_history_row(row, context.redaction_key).to_json() for row in history]}


def redact_history_row(row: HistoryRow, key: bytes) -> AuditedChange:
    """Replace the row's values by hashes that are keyed with `key`."""
    return AuditedChange(
        id=row.id,
        type=row.type,
        row=hash_scalar("text", row.row, key),
        verb=row.verb,
        state=str(row.state),
        before=None if row.before is None else hash_scalar("row", row.before, key),
        after=None if row.after is None else hash_scalar("row", row.after, key),
    )
