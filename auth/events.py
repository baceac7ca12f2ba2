"""What happened in, what happened since out: the table by which the processes of a house tell each other.

The law: who has seen an id has seen all that were written before it, as writers are let in one after the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, insert, select, text
from sqlalchemy.exc import SQLAlchemyError

from auth.state import State, StateUnavailable
from auth.tables import event

KEPT = timedelta(hours=1)
"""How long an event can be asked for; who listens asks every half a second."""
SWEPT = timedelta(minutes=1)
"""How often what is older is deleted."""
WRITERS_LOCK = 0x0D01
"""PostgreSQL's advisory lock: there an id is given before it can be seen, so a later one could be seen first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """One event: what it is listened for by, and the id of the row it leads to."""

    id: int
    topic: str
    key: str | None
    row: str


class Events:
    """The events of a state. All of it blocks: call it in a thread. Raises StateUnavailable."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.swept: datetime | None = None

    def append(self, topic: str, key: str | None, row: str) -> None:
        """Durable when it returns."""
        try:
            with self.state.writing() as connection:
                append(self.state, connection, topic, key, row)
                self._sweep(connection)
        except SQLAlchemyError as reason:
            raise StateUnavailable("the state does not answer") from reason

    def within(self, connection: Connection, topic: str, key: str | None, row: str) -> None:
        """As `append`, in a transaction of the caller's."""
        append(self.state, connection, topic, key, row)
        self._sweep(connection)

    def newest(self) -> int:
        """The last id there is; 0: none."""
        try:
            with self.state.reading() as connection:
                return connection.execute(select(func.max(event.c.id))).scalar_one() or 0
        except SQLAlchemyError as reason:
            raise StateUnavailable("the state does not answer") from reason

    def since(self, id: int, most: int) -> Sequence[Happened]:
        """The first after an id, in order."""
        asked = select(event.c.id, event.c.topic, event.c.topic_key, event.c.row_id)
        try:
            with self.state.reading() as connection:
                rows = connection.execute(asked.where(event.c.id > id).order_by(event.c.id).limit(most)).all()
        except SQLAlchemyError as reason:
            raise StateUnavailable("the state does not answer") from reason
        return [Happened(id=each[0], topic=each[1], key=each[2], row=each[3]) for each in rows]

    def _sweep(self, connection: Connection) -> None:
        now = self.state.now()
        if self.swept is None or now - self.swept >= SWEPT:
            self.swept = now
            connection.execute(delete(event).where(event.c.at < now - KEPT))


def append(state: State, connection: Connection, topic: str, key: str | None, row: str) -> None:
    """Within a transaction of the caller's, with whose other writes the event is kept, or is not.

    It should be the last before the transaction ends: on PostgreSQL others who append wait for that.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": WRITERS_LOCK})
    connection.execute(insert(event).values(topic=topic, topic_key=key, row_id=row, at=state.now()))
