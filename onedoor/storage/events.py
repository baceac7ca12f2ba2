"""What happened in, what happened since out: the table by which the processes of a house tell each other.

The law: who has seen an id has seen all that were written before it, as writers are let in one after the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, insert, select, text
from sqlalchemy.exc import SQLAlchemyError

from onedoor.storage.database import MetadataDatabase, MetadataDatabaseUnavailable
from onedoor.storage.tables import event_table

EVENT_RETENTION = timedelta(hours=1)
"""How long an event can be asked for; who listens asks every half a second."""

SWEEP_INTERVAL = timedelta(minutes=1)
"""How often what is older is deleted."""

WRITERS_LOCK = 0x0D01
"""PostgreSQL's advisory lock: there an id is given before it can be seen, so a later one could be seen first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedEvent:
    """One event: what it is listened for by, and the id of the row it leads to."""

    id: int
    topic: str
    key: str | None
    row_id: str


class EventLog:
    """The events of a state. All of it blocks: call it in a thread. Raises StateUnavailable."""

    def __init__(self, database: MetadataDatabase) -> None:
        self.database = database
        self.swept_at: datetime | None = None

    def append(self, topic: str, key: str | None, row: str) -> None:
        """Durable when it returns."""
        try:
            with self.database.write_transaction() as connection:
                append_event(self.database, connection, topic, key, row)
                self._sweep(connection)
        except SQLAlchemyError as reason:
            raise MetadataDatabaseUnavailable("the state does not answer") from reason

    def append_in_transaction(self, connection: Connection, topic: str, key: str | None, row: str) -> None:
        """As `append`, in a transaction of the caller's."""
        append_event(self.database, connection, topic, key, row)
        self._sweep(connection)

    def newest(self) -> int:
        """The last id there is; 0: none."""
        try:
            with self.database.read_connection() as connection:
                return connection.execute(select(func.max(event_table.c.id))).scalar_one() or 0
        except SQLAlchemyError as reason:
            raise MetadataDatabaseUnavailable("the state does not answer") from reason

    def since(self, id: int, most: int) -> Sequence[LoggedEvent]:
        """The first after an id, in order."""
        asked = select(event_table.c.id, event_table.c.topic, event_table.c.topic_key, event_table.c.row_id)
        try:
            with self.database.read_connection() as connection:
                rows = connection.execute(
                    asked.where(event_table.c.id > id).order_by(event_table.c.id).limit(most)
                ).all()
        except SQLAlchemyError as reason:
            raise MetadataDatabaseUnavailable("the state does not answer") from reason
        return [LoggedEvent(id=each[0], topic=each[1], key=each[2], row_id=each[3]) for each in rows]

    def _sweep(self, connection: Connection) -> None:
        now = self.database.now()
        if self.swept_at is None or now - self.swept_at >= SWEEP_INTERVAL:
            self.swept_at = now
            connection.execute(delete(event_table).where(event_table.c.at < now - EVENT_RETENTION))


def append_event(database: MetadataDatabase, connection: Connection, topic: str, key: str | None, row: str) -> None:
    """Within a transaction of the caller's, with whose other writes the event is kept, or is not.

    It should be the last before the transaction ends: on PostgreSQL others who append wait for that.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": WRITERS_LOCK})
    connection.execute(insert(event_table).values(topic=topic, topic_key=key, row_id=row, at=database.now()))
