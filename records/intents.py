"""The words of the ledger: an intent to change something, its steps, and the rows of history they leave.

What is kept of each stands in columns of these names, whatever its fields are called.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """How far a change has come. Only OPEN is not for ever."""

    OPEN = "OPEN"
    DONE = "DONE"
    TRIED = "TRIED"
    """A dry run; never kept."""
    NOT_MADE = "NOT_MADE"
    """Nothing was changed."""
    UNDONE = "UNDONE"
    """What was made of it was undone, so that nothing stands."""
    PARTLY = "PARTLY"
    """Some of it stands; `Intent.stands` says what."""


AGAIN = frozenset({State.NOT_MADE, State.UNDONE})
"""Nothing stands, so the same idempotency key may make it again."""


class Outcome(StrEnum):
    """What came of one step."""

    BEGUN = "BEGUN"
    """Its source was called, or was about to be."""
    MADE = "MADE"
    NOT_MADE = "NOT_MADE"
    UNDONE = "UNDONE"
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
    state: State = State.OPEN
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
            state=State(row["state"]),
            stands=row["stands"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
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
    outcome: Outcome = Outcome.BEGUN
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
    def from_row(cls, row: Mapping[Any, Any]) -> "Taken":
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
            outcome=Outcome(row["outcome"]),
            before=row["before"],
            after=row["after"],
            why=row["why"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A row of history: one change that was made to one row."""

    id: str
    intent_id: str
    type: str
    row: str
    """The GraphQL id of the row that was changed."""
    verb: str
    state: State
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
    def from_row(cls, row: Mapping[Any, Any]) -> "Left":
        return cls(
            id=row["id"],
            intent_id=row["intent_id"],
            type=row["type"],
            row=row["row"],
            verb=row["verb"],
            state=State(row["state"]),
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
class Ending:
    """What is committed as an intent ends."""

    intent_id: str
    state: State
    stands: str | None = None
    taken: tuple[Taken, ...] = ()
    left: tuple[Left, ...] = ()
