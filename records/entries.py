"""An open state and entries of the ledger in, transactions out. Blocks: `records.ledger` calls it in threads."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from auth.events import Events
from auth.state import State as Store
from records.intents import AGAIN, Ending, Intent, State, Taken
from records.tables import change, intent, intent_step

TRIES = 5
STANDS = frozenset({State.DONE, State.PARTLY})
"""How often two who begin with the same key at once may cross each other."""


class Lost(Exception):
    """The intent is another process's now, or was ended: nothing more may be done for it here."""


def begin(store: Store, fresh: Intent, taken: Sequence[Taken], lease: tuple[str, datetime]) -> Intent | None:
    """Keeps the intent and its first steps; else gives the earlier one that holds its idempotency key.

    That is one with another body, whatever its state, or one that is open or has changed something.
    """
    owner, until = lease
    for _ in range(TRIES):
        try:
            with store.writing() as connection:
                earlier = _earlier(connection, fresh)
                if earlier is None:
                    connection.execute(insert(intent), {**fresh.to_row(), "owner": owner, "lease_until": until})
                    _put(connection, fresh.id, taken)
                return earlier
        except IntegrityError:
            continue
    raise Lost


def _earlier(connection: Connection, fresh: Intent) -> Intent | None:
    if fresh.idempotency_key is None:
        return None
    same = (intent.c.person == fresh.person) & (intent.c.idempotency_key == fresh.idempotency_key)
    known = [Intent.from_row(row) for row in connection.execute(select(intent).where(same)).mappings()]
    others = (each for each in known if each.body != fresh.body or each.state not in AGAIN)
    return next(others, None)


def take(store: Store, intent_id: str, owner: str, taken: Sequence[Taken]) -> None:
    """Keeps steps as they now are. Raises Lost where `owner` does not hold the intent any more."""
    with store.writing() as connection:
        _held(connection, intent_id, owner, {})
        _put(connection, intent_id, taken)


def end(store: Store, events: Events, owner: str, ending: Ending) -> None:
    """The intent is over, its steps, its history and who is told as given, all at once; raises Lost as `take` does."""
    values = {"state": str(ending.state), "stands": ending.stands}
    with store.writing() as connection:
        _held(connection, ending.intent_id, owner, values)
        _put(connection, ending.intent_id, ending.taken)
        if ending.left:
            connection.execute(insert(change), [each.to_row() for each in ending.left])
        for each in ending.left:
            if each.state in STANDS:
                events.within(connection, each.type, each.row, each.id)


def lease(store: Store, intent_id: str, owner: str, until: datetime) -> None:
    """Holds an intent until then; a time past lets go of it. Raises Lost as `take` does."""
    with store.writing() as connection:
        _held(connection, intent_id, owner, {"lease_until": until})


def overdue(store: Store, now: datetime, most: int) -> tuple[str, ...]:
    """The open intents whose lease is over, oldest first."""
    late = (intent.c.state == "OPEN") & (intent.c.lease_until < now)
    with store.reading() as connection:
        found = connection.execute(select(intent.c.id).where(late).order_by(intent.c.id).limit(most))
        return tuple(found.scalars())


def take_over(store: Store, intent_id: str, owner: str, until: datetime) -> bool:
    """Whether it is `owner`'s now: of several processes, one takes it."""
    now = store.now()
    late = (intent.c.id == intent_id) & (intent.c.state == "OPEN") & (intent.c.lease_until < now)
    with store.writing() as connection:
        return connection.execute(update(intent).where(late).values(owner=owner, lease_until=until)).rowcount == 1


def found(store: Store, intent_id: str) -> Intent | None:
    with store.reading() as connection:
        row = connection.execute(select(intent).where(intent.c.id == intent_id)).mappings().first()
    return None if row is None else Intent.from_row(row)


def steps(store: Store, intent_id: str) -> tuple[Taken, ...]:
    """Every attempt at every step, in order."""
    order = (intent_step.c.number, intent_step.c.attempt)
    with store.reading() as connection:
        rows = connection.execute(
            select(intent_step).where(intent_step.c.intent_id == intent_id).order_by(*order)
        ).mappings()
        return tuple(Taken.from_row(row) for row in rows)


def _held(connection: Connection, intent_id: str, owner: str, values: Mapping[str, Any]) -> None:
    """INVARIANT: who does not hold an open intent writes nothing to it. Locks it until the transaction's end."""
    mine = (intent.c.id == intent_id) & (intent.c.owner == owner) & (intent.c.state == "OPEN")
    if connection.execute(update(intent).where(mine).values(owner=owner, **values)).rowcount != 1:
        raise Lost


def _put(connection: Connection, intent_id: str, taken: Iterable[Taken]) -> None:
    for each in taken:
        key = {"intent_id": intent_id, "number": each.number, "attempt": each.attempt}
        connection.execute(delete(intent_step).filter_by(**key))
        connection.execute(insert(intent_step), {"intent_id": intent_id, **each.to_row()})
