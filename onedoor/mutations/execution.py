"""IntentExecution: one intent's steps as they stand; history rows it leaves."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from onedoor.audit.record import AuditedChange, hash_scalar
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.model.mapping import TypeMapping
from onedoor.model.names import format_id, format_id_part
from onedoor.mutations import intents, ledger_sql
from onedoor.mutations.context import MutationContext, NumberedStep, find_leading_step, find_mapping
from onedoor.mutations.declarations import MutationInput, Saga
from onedoor.mutations.intents import HistoryRow, Intent, IntentOutcome, IntentState, StepAttempt, StepOutcome
from onedoor.mutations.mapping import list_id_columns
from onedoor.runtime import resilience
from onedoor.runtime.resilience import get_write_capabilities
from onedoor.spi.connector import ChangeKind, ChangeResult, RowChange, RowValues

STANDING_OUTCOMES = frozenset({StepOutcome.APPLIED, StepOutcome.UNKNOWN, StepOutcome.BEGUN})

OUTCOME_SENTENCES = {
    StepOutcome.APPLIED: "`{name}` stands",
    StepOutcome.COMPENSATED: "`{name}` was undone",
    StepOutcome.NOT_APPLIED: "`{name}` was not made",
    StepOutcome.UNKNOWN: "it is not known whether `{name}` was made",
    StepOutcome.BEGUN: "it is not known whether `{name}` was made",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentExecution:
    """`taken` is what the ledger knows, or is to know next: by step and attempt."""

    context: MutationContext
    saga: Saga
    input: MutationInput
    intent: Intent
    attempts: dict[tuple[int, int], StepAttempt] = field(default_factory=dict)

    def build_changes(self, group: Sequence[NumberedStep]) -> tuple[RowChange, ...]:
        """What the source of these steps is told; raises what their callables raise."""
        made = self.collect_results()
        lead = find_leading_step(self.context.catalog, self.saga)
        self._check_version(group, lead)
        return tuple(
            RowChange(
                id=format_change_id(self.intent.id, number),
                collection=step.collection,
                kind=step.kind,
                key=step.key(self.input.fields, made),
                values=step.values(self.input.fields, made),
                version=self.input.if_version if number == lead else None,
            )
            for number, step in group
        )

    def _check_version(self, group: Sequence[NumberedStep], lead: int | None) -> None:
        step = dict(group).get(lead) if self.input.if_version is not None and lead is not None else None
        promise = (
            None if step is None else get_write_capabilities(self.context.connectors[step.source], step.collection)
        )
        if promise is not None and (
            promise.version_column is None or (step is not None and step.kind is ChangeKind.CREATE)
        ):
            reason = f"what `{self.saga.field}` changes has no versions, leave `ifVersion` out"
            raise ConnectorError(reason, ErrorCode.BAD_USER_INPUT)

    def collect_results(self) -> dict[str, ChangeResult]:
        """By name, what the steps so far made and still stands."""
        firsts = (each for each in self.list_first_attempts() if each.outcome is StepOutcome.APPLIED)
        return {each.name: load_result(each) for each in firsts}

    def list_first_attempts(self) -> Sequence[StepAttempt]:
        """The steps that were begun, in order, as they stand."""
        return [each for (_, attempt), each in sorted(self.attempts.items()) if attempt == 1]

    def find_latest_attempt(self, number: int) -> StepAttempt:
        """The last attempt at a step."""
        return max((each for (at, _), each in self.attempts.items() if at == number), key=lambda each: each.attempt)

    def begin_steps(self, group: Sequence[NumberedStep], changes: Sequence[RowChange]) -> None:
        for (number, step), change in zip(group, changes, strict=True):
            self.put_attempt(build_attempt(self.context, number, step.name, step.source, change))

    def end_steps(self, numbers: Sequence[int], outcome: StepOutcome, reason: str | None = None) -> None:
        for number in numbers:
            self.put_attempt(replace(self.attempts[number, 1], outcome=outcome, why=reason))

    def keep_result(self, number: int, result: ChangeResult, attempt: int = 1) -> None:
        before, after = intents.encode_row(result.before), intents.encode_row(result.after)
        known = self.attempts[number, attempt]
        self.put_attempt(replace(known, outcome=StepOutcome.APPLIED, before=before, after=after, why=None))

    def put_attempt(self, attempt: StepAttempt) -> None:
        self.attempts[attempt.number, attempt.attempt] = attempt

    def list_attempts(self) -> tuple[StepAttempt, ...]:
        return tuple(each for _, each in sorted(self.attempts.items()))

    def compute_state(self) -> IntentState:
        """What it comes to if nothing more is done."""
        firsts = self.list_first_attempts()
        if len(firsts) == self.intent.steps and all(each.outcome is StepOutcome.APPLIED for each in firsts):
            return IntentState.DONE
        if any(each.outcome in STANDING_OUTCOMES for each in firsts):
            return IntentState.PARTIALLY_APPLIED
        return (
            IntentState.COMPENSATED
            if any(each.outcome is StepOutcome.COMPENSATED for each in firsts)
            else IntentState.NOT_APPLIED
        )

    def describe_steps(self) -> str:
        """Each step, and whether it stands."""
        begun = {each.number: each for each in self.list_first_attempts()}
        parts = [self._describe_step(each) for each in begun.values()]
        never = [step.name for number, step in enumerate(self.saga.steps, 1) if number not in begun]
        return ", ".join(parts + [OUTCOME_SENTENCES[StepOutcome.NOT_APPLIED].format(name=name) for name in never])

    def _describe_step(self, first: StepAttempt) -> str:
        last = self.find_latest_attempt(first.number)
        why = last.why if first.outcome is StepOutcome.APPLIED else first.why
        said = OUTCOME_SENTENCES[first.outcome].format(name=first.name)
        return f"{said} ({why})" if why else said


def format_change_id(intent_id: str, number: int, attempt: int = 1) -> str:
    """Its own for ever: another attempt is another change."""
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


def redact_history_row(row: HistoryRow, key: bytes) -> AuditedChange:
    """`key` is what hashes of values are made with."""
    return AuditedChange(
        id=row.id,
        type=row.type,
        row=hash_scalar("text", row.row, key),
        verb=row.verb,
        state=str(row.state),
        before=None if row.before is None else hash_scalar("row", row.before, key),
        after=None if row.after is None else hash_scalar("row", row.after, key),
    )


def build_intent_outcome(execution: IntentExecution) -> IntentOutcome:
    """The intent as it is, for good."""
    state = execution.compute_state()
    return IntentOutcome(
        intent_id=execution.intent.id,
        state=state,
        stands=execution.describe_steps() if state is IntentState.PARTIALLY_APPLIED else None,
        attempts=execution.list_attempts(),
        history=tuple(
            _build_attempt_row(execution, each, state)
            for each in execution.list_attempts()
            if _was_applied(execution, each)
        ),
    )


def build_audit_facts(context: MutationContext, history: Sequence[HistoryRow]) -> Mapping[str, Any]:
    """For the record: what was changed, no value in clear."""
    return {"changes": [redact_history_row(each, context.redaction_key).to_json() for each in history]}


def _was_applied(doing: IntentExecution, taken: StepAttempt) -> bool:
    return taken.outcome in (StepOutcome.APPLIED, StepOutcome.COMPENSATED)


def _build_attempt_row(doing: IntentExecution, taken: StepAttempt, state: IntentState) -> HistoryRow:
    """What undoes a change is a change of its own, and says which one it undoes."""
    change, made = load_change(taken), load_result(taken)
    found = build_history_row(doing, taken, change, made)
    if taken.attempt > 1:
        return replace(found, state=IntentState.DONE, reason=f"undoes {doing.attempts[taken.number, 1].change_id}")
    return replace(found, state=IntentState.COMPENSATED if taken.outcome is StepOutcome.COMPENSATED else state)


def build_history_row(
    execution: IntentExecution, attempt: StepAttempt, change: RowChange, result: ChangeResult
) -> HistoryRow:
    shop, intent = execution.context, execution.intent
    binding = find_mapping(shop, execution.saga.type, attempt.source, attempt.collection)
    fixed = binding.constants if binding else {}
    return HistoryRow(
        id=attempt.change_id,
        intent_id=intent.id,
        type=binding.type if binding else f"{attempt.source}.{attempt.collection}",
        row=ledger_sql.replace_unstorable(format_row_id(binding, change, result)),
        verb=attempt.verb,
        state=IntentState.DONE,
        version_before=read_row_version(shop, attempt, result.before),
        version_after=read_row_version(shop, attempt, result.after),
        before=intents.encode_row(result.before and {**result.before, **fixed}),
        after=intents.encode_row(result.after and {**result.after, **fixed}),
        at=shop.ledger.now(),
        person=intent.person,
        reason=intent.reason,
        mutation=intent.mutation,
        record=intent.record,
    )


def format_row_id(mapping: TypeMapping | None, change: RowChange, result: ChangeResult) -> str:
    """The GraphQL id of the row; of a row that no type shows, its key."""
    known = merge_known_key(change, result)
    if mapping is None:
        return format_id(tuple(change.key.values())) if change.key else ""
    known = {**known, **mapping.constants}
    return format_id(tuple(known.get(each, "") for each in list_id_columns(mapping)))


def merge_known_key(change: RowChange, result: ChangeResult) -> RowValues:
    """All that is known of which row it is, as it was called where it is no more."""
    row = result.before if change.kind is ChangeKind.DELETE else result.after
    return {**change.key, **(row or {})}


def read_row_version(context: MutationContext, attempt: StepAttempt, row: RowValues | None) -> str | None:
    """As a client gives it to `ifVersion`."""
    promise = (
        resilience.get_write_capabilities(context.connectors[attempt.source], attempt.collection)
        if attempt.source in context.connectors
        else None
    )
    if promise is None or promise.version_column is None or row is None or row.get(promise.version_column) is None:
        return None
    return ledger_sql.replace_unstorable(format_id_part(row[promise.version_column]))


LOG = logging.getLogger("onedoor.changes")


async def finish_intent(execution: IntentExecution) -> Sequence[HistoryRow]:
    """The rows of history it left, once they are committed."""
    over = build_intent_outcome(execution)
    await execution.context.ledger.end_intent(over)
    publish_changes(execution.context, over)
    return over.history


def publish_changes(context: MutationContext, outcome: IntentOutcome) -> None:
    """What is not told is still on record: a failure here fails nobody's change."""
    for each in outcome.history:
        if each.state in (IntentState.DONE, IntentState.PARTIALLY_APPLIED):
            try:
                context.publish(each.type, each.row, each.id)
            except Exception:
                LOG.exception("a change could not be published")
