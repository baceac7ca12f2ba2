"""Intent, Step outcomes, and their text in the ledger."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum
from typing import Any

from onedoor.spi.connector import ChangeKind, RowChange, RowValues
from onedoor.spi.json_values import decode_json_value, encode_json_value


class IntentState(StrEnum):
    """How far a change has come. Only OPEN is not for ever."""

    OPEN = "OPEN"
    DONE = "DONE"
    DRY_RUN = "TRIED"
    """A dry run; never kept."""
    NOT_APPLIED = "NOT_MADE"
    """Nothing was changed."""
    COMPENSATED = "UNDONE"
    """What was made of it was undone, so that nothing stands."""
    PARTIALLY_APPLIED = "PARTLY"
    """Some of it stands; `Intent.stands` says what."""


REPEATABLE_STATES = frozenset({IntentState.NOT_APPLIED, IntentState.COMPENSATED})
"""Nothing stands, so the same idempotency key may make it again."""


class StepOutcome(StrEnum):
    """What came of one step."""

    BEGUN = "BEGUN"
    """Its source was called, or was about to be."""
    APPLIED = "MADE"
    NOT_APPLIED = "NOT_MADE"
    COMPENSATED = "UNDONE"
    """It was made, and undone by a later attempt."""
    UNKNOWN = "UNKNOWN"
    """Its source did not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What somebody asked to change. Written before the first call to a source."""

    id: str
    person: str
    key_id: str
    groups: tuple[str, ...]
    mutation: str
    idempotency_key: str | None
    body: bytes
    """Keyed digest of the mutation and its input, but for the idempotency key."""
    input: str
    """Packed JSON."""
    reason: str | None
    record: str
    """The id of the request's audit record."""
    steps: int
    """How many make it whole."""
    leads: str
    """The change that its answer leads to."""
    begun_at: datetime
    state: IntentState = IntentState.OPEN
    stands: str | None = None

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
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepAttempt:
    """One step as it was taken: attempt 1 makes it, later ones undo it."""

    number: int
    attempt: int = 1
    change_id: str
    name: str
    source: str
    collection: str
    verb: str
    change: str
    """Packed JSON of what the source was told."""
    begun_at: datetime
    outcome: StepOutcome = StepOutcome.BEGUN
    before: str | None = None
    after: str | None = None
    why: str | None = None
    """Why it was not made; safe to show a client."""

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
    """A row of history: one change that was made to one row."""

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
    """Packed JSON by column; None: there was no such row."""
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
    """What is committed as an intent ends."""

    intent_id: str
    state: IntentState
    stands: str | None = None
    attempts: tuple[StepAttempt, ...] = ()
    history: tuple[HistoryRow, ...] = ()


OBJECT_TAG, LIST_TAG = "object", "list"


def encode_value(value: Any) -> str:
    """One text per value: names are sorted, and it is ASCII, whatever a value holds."""
    return json.dumps(_pack_nested(value), sort_keys=True, separators=(",", ":"))


def decode_value(text: str) -> Any:
    """What `text` was made of; lists are tuples."""
    return _unpack_nested(json.loads(text))


def encode_row(row: RowValues | None) -> str | None:
    """None stays None: there is no such row."""
    return None if row is None else encode_value(row)


def decode_row(text: str | None) -> RowValues | None:
    return None if text is None else decode_value(text)


def encode_change(change: RowChange) -> str:
    """What the source was told, but for what stands beside it in the ledger."""
    return encode_value({"key": change.key, "values": change.values, "version": change.version})


def decode_change(text: str, change_id: str, collection: str, verb: str) -> RowChange:
    told = decode_value(text)
    return RowChange(
        id=change_id,
        collection=collection,
        kind=ChangeKind(verb),
        key=told["key"],
        values=told["values"],
        version=told["version"],
    )


def _pack_nested(value: Any) -> Any:
    if isinstance(value, Mapping):
        return [OBJECT_TAG, {str(name): _pack_nested(each) for name, each in value.items()}]
    if isinstance(value, list | tuple):
        return [LIST_TAG, [_pack_nested(each) for each in value]]
    return encode_json_value(value.value if isinstance(value, Enum) else value)


def _unpack_nested(kept: Any) -> Any:
    if not isinstance(kept, list):
        return kept
    kind, inner = kept
    if kind == OBJECT_TAG:
        return {name: _unpack_nested(each) for name, each in inner.items()}
    return tuple(map(_unpack_nested, inner)) if kind == LIST_TAG else decode_json_value(kept)
