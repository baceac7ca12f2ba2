"""Attribute changes of users, groups and keys: who made them, why, and under which audit record."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from onedoor.storage.database import MetadataDatabase
from onedoor.storage.tables import administrative_change_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Who changes users, groups and keys, and why; None of what nobody said."""

    actor: str | None = None
    reason: str | None = None
    record_id: str | None = None
    """The id of the audit record that says so."""


UNATTRIBUTED = Attribution()


@dataclass(frozen=True, slots=True, kw_only=True)
class AdministrativeChange:
    """That something was done to a user, a key or a membership, whose id is `<user>/<group>`."""

    type: str
    id: str
    verb: str


def name_change(connection: Connection, attribution: Attribution, change: AdministrativeChange) -> None:
    """Name a change under its record, in the transaction that makes it; doing so again changes nothing."""
    if attribution.record_id is None:
        return
    row = {
        "record_id": attribution.record_id, "type": change.type, "subject": change.id, "verb": change.verb
    }  # fmt: skip
    if connection.execute(select(administrative_change_table).filter_by(**row)).first() is None:
        connection.execute(insert(administrative_change_table).values(row))


def load_changes(database: MetadataDatabase, record_ids: Sequence[str]) -> Sequence[tuple[str, AdministrativeChange]]:
    """Load what was changed under these records, each with the id of its record."""
    table = administrative_change_table.c
    statement = select(administrative_change_table).where(table.record_id.in_(record_ids))
    with database.read_connection() as connection:
        rows = connection.execute(statement.order_by(table.record_id, table.type, table.subject, table.verb)).all()
    return [(row.record_id, AdministrativeChange(type=row.type, id=row.subject, verb=row.verb)) for row in rows]
