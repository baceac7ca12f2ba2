"""Attribute changes of users, groups and keys: who made them, why, and under which audit record."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from onedoor.errors import ConfigurationError
from onedoor.storage.database import MetadataDatabase, utc_now
from onedoor.storage.tables import administrative_change_table

REASON_CHARACTERS_MAX = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Who changes users, groups and keys, and why; None of what nobody said."""

    actor: str | None = None
    reason: str | None = None
    record_id: str | None = None
    """The id of the audit record that says so."""
    at: datetime = field(default_factory=utc_now, compare=False)


UNATTRIBUTED = Attribution()


def check_reason(reason: str) -> str:
    """Return a reason that can be recorded and shown. Raises ConfigurationError."""
    require_printable("reason", reason)
    if len(reason) > REASON_CHARACTERS_MAX:
        raise ConfigurationError(f"the reason is longer than {REASON_CHARACTERS_MAX:,} characters: shorten it")
    return reason


def require_printable(name: str, *values: str) -> None:
    """Raise ConfigurationError for characters that could move a cursor or hide a letter on a terminal."""
    if not all(value.strip() and value.isprintable() for value in values):
        raise ConfigurationError(f"the {name} is empty or holds characters that cannot be shown")


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectChange:
    """That something was done to a user, a key or a membership, whose id is `<user>/<group>`."""

    type: str
    id: str
    verb: str
    person_id: str | None = None
    """The user whom it concerns."""


def name_change(connection: Connection, attribution: Attribution, change: SubjectChange) -> None:
    """Name a change under its record, in the transaction that makes it; doing so again changes nothing."""
    if attribution.record_id is None:
        return
    key = {"record_id": attribution.record_id, "type": change.type, "subject": change.id, "verb": change.verb}
    if connection.execute(select(administrative_change_table).filter_by(**key)).first() is None:
        connection.execute(
            insert(administrative_change_table).values(
                **key,
                person_id=change.person_id,
                at=attribution.at,
                actor=attribution.actor,
                reason=attribution.reason,
            )
        )


def load_changes(database: MetadataDatabase, record_ids: Sequence[str]) -> Sequence[tuple[str, SubjectChange]]:
    """Load what was changed under these records, each with the id of its record."""
    table = administrative_change_table.c
    statement = select(administrative_change_table).where(table.record_id.in_(record_ids))
    with database.read_connection() as connection:
        rows = connection.execute(statement.order_by(table.record_id, table.type, table.subject, table.verb)).all()
    return [(row.record_id, _read_change(row)) for row in rows]


def _read_change(row: Any) -> SubjectChange:
    return SubjectChange(type=row.type, id=row.subject, verb=row.verb, person_id=row.person_id)
