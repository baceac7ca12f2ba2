"""Log the events of subscriptions in a table, by which the processes of an installation notify each other.

Law: a reader that has seen an id has seen every event written before it, as writers take turns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, insert, select, text
from sqlalchemy.exc import SQLAlchemyError

from onedoor.storage.database import MetadataDatabase, MetadataDatabaseUnavailable
from onedoor.storage.tables import event_table

EVENT_RETENTION = timedelta(hours=1)
"""How long an event can be read; subscribers poll every half a second."""

SWEEP_INTERVAL = timedelta(minutes=1)
"""How often older events are deleted."""

WRITERS_LOCK = 0x0D01
"""PostgreSQL's advisory lock: there an id is assigned before its row is visible, so a later one could be seen first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedEvent:
    """One event: the topic and key that subscribers listen to, and the id of the row that changed."""

    id: int
    topic: str
    key: str | None
    row_id: str


class EventLog:
    """The events of a metadata database. Every method blocks and raises MetadataDatabaseUnavailable."""

    def __init__(self, database: MetadataDatabase) -> None:
        self.database = database
        self.swept_at: datetime | None = None

    def append(self, topic: str, key: str | None, row: str) -> None:
        """Append an event; it is durable when this returns."""
        try:
            with self.database.write_transaction() as connection:
                append_event(self.database, connection, topic, key, row)
                self._sweep(connection)
        except SQLAlchemyError as reason:
            raise MetadataDatabaseUnavailable("the metadata database does not answer") from reason

    def append_in_transaction(self, connection: Connection, topic: str, key: str | None, row: str) -> None:
        """Append an event in a transaction of the caller."""
        append_event(self.database, connection, topic, key, row)
        self._sweep(connection)

    def newest(self) -> int:
        """Return the last id; 0: there is none."""
        try:
            with self.database.read_connection() as connection:
                return connection.execute(select(func.max(event_table.c.id))).scalar_one() or 0
        except SQLAlchemyError as reason:
            raise MetadataDatabaseUnavailable("the metadata database does not answer") from reason

    def since(self, id: int, most: int) -> Sequence[LoggedEvent]:
        """Return at most so many events after an id, in order."""
        events = select(event_table.c.id, event_table.c.topic, event_table.c.topic_key, event_table.c.row_id)
        try:
            with self.database.read_connection() as connection:
                rows = connection.execute(
                    events.where(event_table.c.id > id).order_by(event_table.c.id).limit(most)
                ).all()
        except SQLAlchemyError as reason:
            raise MetadataDatabaseUnavailable("the metadata database does not answer") from reason
        return [LoggedEvent(id=row[0], topic=row[1], key=row[2], row_id=row[3]) for row in rows]

    def _sweep(self, connection: Connection) -> None:
        now = self.database.now()
        if self.swept_at is None or now - self.swept_at >= SWEEP_INTERVAL:
            self.swept_at = now
            connection.execute(delete(event_table).where(event_table.c.at < now - EVENT_RETENTION))


def append_event(database: MetadataDatabase, connection: Connection, topic: str, key: str | None, row: str) -> None:
    """Append an event in a transaction of the caller, with which it is committed or rolled back.

    Make it the last statement of the transaction: on PostgreSQL other writers wait for its end.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": WRITERS_LOCK})
    connection.execute(insert(event_table).values(topic=topic, topic_key=key, row_id=row, at=database.now()))
