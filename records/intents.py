"""The words of the ledger: an intent to change something, its steps, and the rows of history they leave."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What is committed as an intent ends."""

    intent_id: str
    state: State
    stands: str | None = None
    taken: tuple[Taken, ...] = ()
    left: tuple[Left, ...] = ()
