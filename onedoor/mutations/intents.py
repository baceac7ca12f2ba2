"""Define intents, their steps and their history, and encode them as the ledger stores them.

The keys and the values of `to_row` are columns and texts of the metadata database: they never change.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any

from onedoor.spi.connector import ChangeKind, RowChange, RowValues
from onedoor.spi.json_values import JsonCodec, encode_json_value


class IntentState(StrEnum):
    """How far an intent has come. Every state but OPEN is final."""

    OPEN = "OPEN"
    DONE = "DONE"
    DRY_RUN = "TRIED"
    """It was a dry run, which is never stored."""
    NOT_APPLIED = "NOT_MADE"
    """Nothing was changed."""
    COMPENSATED = "UNDONE"
    """The steps that were applied were undone, so nothing stands."""
    PARTIALLY_APPLIED = "PARTLY"
    """Some of it stands; `Intent.stands` says what."""


REPEATABLE_STATES = frozenset({IntentState.NOT_APPLIED, IntentState.COMPENSATED})
"""Nothing stands in these states, so the same idempotency key may apply the change again."""


class StepOutcome(StrEnum):
    """The outcome of one step."""

    BEGUN = "BEGUN"
    """Its source was called, or was about to be."""
    APPLIED = "MADE"
    NOT_APPLIED = "NOT_MADE"
    COMPENSATED = "UNDONE"
    """It was applied, and undone by a later attempt."""
    UNKNOWN = "UNKNOWN"
    """Its source did not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A change that somebody requested. It is written before the first call to a source."""

    id: str
    person: str
    key_id: str
    groups: tuple[str, ...]
    mutation: str
    idempotency_key: str | None
    body: bytes
    """Keyed digest of the mutation and its input without the idempotency key."""
    input: str
    """JSON by `encode_value`."""
    reason: str | None
    record: str
    """The id of the request's audit record."""
    steps: int
    """How many steps the saga has for this input."""
    leads: str
    """The id of the change that the mutation returns."""
    begun_at: datetime
    state: IntentState = IntentState.OPEN
    stands: str | None = None
    fencing_tokens: Mapping[str, int] = field(default_factory=dict)
    """Of the grants under which it was requested, by id."""

    def to_row(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "person": self.person,
            "key_id": self.key_id,
            "groups": json.dumps(self.groups),
            "mutation": self.mutation,
            "idempotency_key": self.idempotency_key,
            "body": self.body,
            "input": self.input,
            "reason": self.reason,
            "record": self.record,
            "steps": self.steps,
            "leads": self.leads,
            "begun_at": self.begun_at,
            "state": str(self.state),
            "stands": self.stands,
            "fencing_tokens": json.dumps(self.fencing_tokens, sort_keys=True),
        }

    @classmethod
    def from_row(cls, row: Mapping[Any, Any]) -> "Intent":
        return cls(
            id=row["id"],
            person=row["person"],
            key_id=row["key_id"],
            groups=tuple(json.loads(row["groups"])),
            mutation=row["mutation"],
            idempotency_key=row["idempotency_key"],
            body=row["body"],
            input=row["input"],
            reason=row["reason"],
            record=row["record"],
            steps=row["steps"],
            leads=row["leads"],
            begun_at=row["begun_at"],
            state=IntentState(row["state"]),
            stands=row["stands"],
            fencing_tokens=json.loads(row["fencing_tokens"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepAttempt:
    """One attempt at a step: attempt 1 applies it, later ones undo it."""

    number: int
    attempt: int = 1
    change_id: str
    name: str
    source: str
    collection: str
    verb: str
    change: str
    """What the source was sent, as JSON by `encode_change`."""
    begun_at: datetime
    outcome: StepOutcome = StepOutcome.BEGUN
    before: str | None = None
    after: str | None = None
    why: str | None = None
    """Why it was not applied; safe to show a client."""

    def to_row(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "attempt": self.attempt,
            "change_id": self.change_id,
            "name": self.name,
            "source": self.source,
            "collection": self.collection,
            "verb": self.verb,
            "change": self.change,
            "begun_at": self.begun_at,
            "outcome": str(self.outcome),
            "before": self.before,
            "after": self.after,
            "why": self.why,
        }

    @classmethod
    def from_row(cls, row: Mapping[Any, Any]) -> "StepAttempt":
        return cls(
            number=row["number"],
            attempt=row["attempt"],
            change_id=row["change_id"],
            name=row["name"],
            source=row["source"],
            collection=row["collection"],
            verb=row["verb"],
            change=row["change"],
            begun_at=row["begun_at"],
            outcome=StepOutcome(row["outcome"]),
            before=row["before"],
            after=row["after"],
            why=row["why"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryRow:
    """One change that was made to one row."""

    id: str
    intent_id: str
    type: str
    row: str
    """The GraphQL id of the row that was changed."""
    verb: str
    state: IntentState
    version_before: str | None
    version_after: str | None
    before: str | None
    """The row's values as JSON by `encode_row`; None: there was no such row."""
    after: str | None
    at: datetime
    person: str
    reason: str | None
    mutation: str
    record: str

    def to_row(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "intent_id": self.intent_id,
            "type": self.type,
            "row": self.row,
            "verb": self.verb,
            "state": str(self.state),
            "version_before": self.version_before,
            "version_after": self.version_after,
            "before": self.before,
            "after": self.after,
            "at": self.at,
            "person": self.person,
            "reason": self.reason,
            "mutation": self.mutation,
            "record": self.record,
        }

    @classmethod
    def from_row(cls, row: Mapping[Any, Any]) -> "HistoryRow":
        return cls(
            id=row["id"],
            intent_id=row["intent_id"],
            type=row["type"],
            row=row["row"],
            verb=row["verb"],
            state=IntentState(row["state"]),
            version_before=row["version_before"],
            version_after=row["version_after"],
            before=row["before"],
            after=row["after"],
            at=row["at"],
            person=row["person"],
            reason=row["reason"],
            mutation=row["mutation"],
            record=row["record"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentOutcome:
    """What is committed when an intent ends."""

    intent_id: str
    state: IntentState
    stands: str | None = None
    attempts: tuple[StepAttempt, ...] = ()
    history: tuple[HistoryRow, ...] = ()


def encode_value(value: Any) -> str:
    """Return one text per value: names are sorted, and the text is ASCII, whatever a value holds."""
    return json.dumps(LEDGER_CODEC.encode(value), sort_keys=True, separators=(",", ":"))


def decode_value(text: str) -> Any:
    """Return the value that `encode_value` encoded; lists come back as tuples."""
    return LEDGER_CODEC.decode(json.loads(text))


def encode_row(row: RowValues | None) -> str | None:
    """Encode a row; None, which means that there is no such row, stays None."""
    return None if row is None else encode_value(row)


def decode_row(text: str | None) -> RowValues | None:
    return None if text is None else decode_value(text)


def encode_change(change: RowChange) -> str:
    """Encode what the source was sent, but for what the ledger stores in columns of its own."""
    return encode_value({"key": change.key, "values": change.values, "version": change.version})


def decode_change(text: str, change_id: str, collection: str, verb: str) -> RowChange:
    parts = decode_value(text)
    return RowChange(
        id=change_id,
        collection=collection,
        kind=ChangeKind(verb),
        key=parts["key"],
        values=parts["values"],
        version=parts["version"],
    )


def _encode_scalar(value: Any) -> Any:
    return encode_json_value(value.value if isinstance(value, Enum) else value)


LEDGER_CODEC = JsonCodec(list_tag="list", object_tag="object", list_type=tuple, encode_scalar=_encode_scalar)
