"""Its tables, transactions and queries."""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    and_,
    delete,
    false,
    func,
    insert,
    not_,
    or_,
    select,
    text,
    true,
    update,
)
from sqlalchemy.exc import IntegrityError

from onedoor.mutations.intents import REPEATABLE_STATES, HistoryRow, Intent, IntentOutcome, IntentState, StepAttempt
from onedoor.storage.database import MetadataDatabase
from onedoor.storage.events import EventLog
from onedoor.storage.tables import METADATA, UTCMicroseconds

ID_TYPE = String(26)

CHANGE_ID_TYPE = String(48)

intent_table = Table(
    "intent",
    METADATA,
    Column("id", ID_TYPE, primary_key=True),
    Column("person", Text, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("groups", Text, nullable=False),
    Column("mutation", Text, nullable=False),
    Column("idempotency_key", Text),
    Column("body", LargeBinary, nullable=False),
    Column("input", Text, nullable=False),
    Column("reason", Text),
    Column("record", Text, nullable=False),
    Column("steps", Integer, nullable=False),
    Column("leads", CHANGE_ID_TYPE, nullable=False),
    Column("begun_at", UTCMicroseconds, nullable=False),
    Column("lease_until", UTCMicroseconds, nullable=False),
    Column("owner", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("stands", Text),
)

MAY_STAND = intent_table.c.state.not_in(("NOT_MADE", "UNDONE"))

IS_OPEN = intent_table.c.state == "OPEN"

# INVARIANT: of the intents of one person with one idempotency key, at most one is open or has changed anything
Index(
    "intent_one_each",
    intent_table.c.person,
    intent_table.c.idempotency_key,
    unique=True,
    sqlite_where=MAY_STAND,
    postgresql_where=MAY_STAND,
)

Index("intent_by_key", intent_table.c.person, intent_table.c.idempotency_key)

Index("intent_open", intent_table.c.lease_until, sqlite_where=IS_OPEN, postgresql_where=IS_OPEN)

intent_step_table = Table(
    "intent_step",
    METADATA,
    Column("intent_id", ForeignKey("intent.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("change_id", CHANGE_ID_TYPE, nullable=False),
    Column("name", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("collection", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("change", Text, nullable=False),
    Column("begun_at", UTCMicroseconds, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("before", Text),
    Column("after", Text),
    Column("why", Text),
)

change_table = Table(
    "change",
    METADATA,
    Column("id", CHANGE_ID_TYPE, primary_key=True),
    Column("intent_id", ForeignKey("intent.id"), nullable=False),
    Column("type", Text, nullable=False),
    Column("row", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("version_before", Text),
    Column("version_after", Text),
    Column("before", Text),
    Column("after", Text),
    Column("at", UTCMicroseconds, nullable=False),
    Column("person", Text, nullable=False),
    Column("reason", Text),
    Column("mutation", Text, nullable=False),
    Column("record", Text, nullable=False),
)

Index("change_by_row", change_table.c.type, change_table.c.row)

MAX_TRIES = 5

PUBLISHED_STATES = frozenset({IntentState.DONE, IntentState.PARTIALLY_APPLIED})
"""How often two who begin with the same key at once may cross each other."""


class LeaseLost(Exception):
    """The intent is another process's now, or was ended: nothing more may be done for it here."""


def insert_intent(
    database: MetadataDatabase, new_intent: Intent, attempts: Sequence[StepAttempt], lease: tuple[str, datetime]
) -> Intent | None:
    """Keeps the intent and its first steps; else gives the earlier one that holds its idempotency key.

    That is one with another body, whatever its state, or one that is open or has changed something.
    """
    owner, until = lease
    for _ in range(MAX_TRIES):
        try:
            with database.write_transaction() as connection:
                earlier = _find_earlier_intent(connection, new_intent)
                if earlier is None:
                    connection.execute(
                        insert(intent_table), {**new_intent.to_row(), "owner": owner, "lease_until": until}
                    )
                    _write_attempts(connection, new_intent.id, attempts)
                return earlier
        except IntegrityError:
            continue
    raise LeaseLost


def _find_earlier_intent(connection: Connection, fresh: Intent) -> Intent | None:
    if fresh.idempotency_key is None:
        return None
    same = (intent_table.c.person == fresh.person) & (intent_table.c.idempotency_key == fresh.idempotency_key)
    known = [Intent.from_row(row) for row in connection.execute(select(intent_table).where(same)).mappings()]
    others = (each for each in known if each.body != fresh.body or each.state not in REPEATABLE_STATES)
    return next(others, None)


def update_attempts(database: MetadataDatabase, intent_id: str, owner: str, attempts: Sequence[StepAttempt]) -> None:
    """Keeps steps as they now are. Raises Lost where `owner` does not hold the intent any more."""
    with database.write_transaction() as connection:
        _require_lease(connection, intent_id, owner, {})
        _write_attempts(connection, intent_id, attempts)


def close_intent(database: MetadataDatabase, events: EventLog, owner: str, outcome: IntentOutcome) -> None:
    """The intent is over, its steps, its history and who is told as given, all at once; raises Lost as `take` does."""
    values = {"state": str(outcome.state), "stands": outcome.stands}
    with database.write_transaction() as connection:
        _require_lease(connection, outcome.intent_id, owner, values)
        _write_attempts(connection, outcome.intent_id, outcome.attempts)
        if outcome.history:
            connection.execute(insert(change_table), [each.to_row() for each in outcome.history])
        for each in outcome.history:
            if each.state in PUBLISHED_STATES:
                events.append_in_transaction(connection, each.type, each.row, each.id)


def set_lease(database: MetadataDatabase, intent_id: str, owner: str, until: datetime) -> None:
    """Holds an intent until then; a time past lets go of it. Raises Lost as `take` does."""
    with database.write_transaction() as connection:
        _require_lease(connection, intent_id, owner, {"lease_until": until})


def select_overdue(database: MetadataDatabase, now: datetime, limit: int) -> tuple[str, ...]:
    """The open intents whose lease is over, oldest first."""
    late = (intent_table.c.state == "OPEN") & (intent_table.c.lease_until < now)
    with database.read_connection() as connection:
        found = connection.execute(select(intent_table.c.id).where(late).order_by(intent_table.c.id).limit(limit))
        return tuple(found.scalars())


def take_over_intent(database: MetadataDatabase, intent_id: str, owner: str, until: datetime) -> bool:
    """Whether it is `owner`'s now: of several processes, one takes it."""
    now = database.now()
    late = (intent_table.c.id == intent_id) & (intent_table.c.state == "OPEN") & (intent_table.c.lease_until < now)
    with database.write_transaction() as connection:
        return connection.execute(update(intent_table).where(late).values(owner=owner, lease_until=until)).rowcount == 1


def select_intent(database: MetadataDatabase, intent_id: str) -> Intent | None:
    with database.read_connection() as connection:
        row = connection.execute(select(intent_table).where(intent_table.c.id == intent_id)).mappings().first()
    return None if row is None else Intent.from_row(row)


def select_attempts(database: MetadataDatabase, intent_id: str) -> tuple[StepAttempt, ...]:
    """Every attempt at every step, in order."""
    order = (intent_step_table.c.number, intent_step_table.c.attempt)
    with database.read_connection() as connection:
        rows = connection.execute(
            select(intent_step_table).where(intent_step_table.c.intent_id == intent_id).order_by(*order)
        ).mappings()
        return tuple(StepAttempt.from_row(row) for row in rows)


def _require_lease(connection: Connection, intent_id: str, owner: str, values: Mapping[str, Any]) -> None:
    """INVARIANT: who does not hold an open intent writes nothing to it. Locks it until the transaction's end."""
    mine = (intent_table.c.id == intent_id) & (intent_table.c.owner == owner) & (intent_table.c.state == "OPEN")
    if connection.execute(update(intent_table).where(mine).values(owner=owner, **values)).rowcount != 1:
        raise LeaseLost


def _write_attempts(connection: Connection, intent_id: str, taken: Iterable[StepAttempt]) -> None:
    for each in taken:
        key = {"intent_id": intent_id, "number": each.number, "attempt": each.attempt}
        connection.execute(delete(intent_step_table).filter_by(**key))
        connection.execute(insert(intent_step_table), {"intent_id": intent_id, **each.to_row()})


FILTERABLE_COLUMNS = frozenset({"id", "at", "person", "verb", "mutation", "state", "record", "row"})
"""What can be tested and ordered by: columns that every change has a value in."""

COMPARISONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "lt": operator.lt,
    "gt": operator.gt,
    "eq": operator.eq,
    "gte": operator.ge,
    "never": lambda *_: false(),
}

UNSTORABLE_OPERATORS = {"lt": "lt", "gt": "gte", "eq": "never"}
"""Of a text that cannot be kept: the same of the first past it that can."""

SqlCondition: TypeAlias = Any
"""SQLAlchemy's."""

CONNECTIVES: Mapping[str, Callable[..., Any]] = {"all": and_, "some": or_}


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryQuery:
    """Changes of one type, at most `most`, past `after`, which has a value for each column of the order."""

    type: str
    required_values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By column, the values that it has one of."""
    filter: tuple[Any, ...] = ("all", ())
    """`("all" | "some", tests)`, `("not", test)` or `(operator, column, value)`."""
    sort: tuple[tuple[str, bool], ...] = (("id", False),)
    """Of TESTED, the last of them `id`, and whether it goes down."""
    after: tuple[Any, ...] | None = None
    limit: int = 1000


def read_history(database: MetadataDatabase, query: HistoryQuery) -> tuple[HistoryRow, ...]:
    with database.read_connection() as connection:
        asked = select(change_table).where(*_compile_conditions(connection, query))
        if query.after is not None:
            asked = asked.where(_compile_keyset(connection, query.sort, query.after))
        order = [
            _collate_column(connection, name).desc() if down else _collate_column(connection, name)
            for name, down in query.sort
        ]
        rows = connection.execute(asked.order_by(*order).limit(query.limit)).mappings()
        return tuple(HistoryRow.from_row(row) for row in rows)


def count_history(
    database: MetadataDatabase, query: HistoryQuery, group_columns: Sequence[str]
) -> tuple[tuple[Any, ...], ...]:
    """How many there are with the same values of these columns, which come first; of no columns, one row."""
    columns = [change_table.c[each] for each in group_columns]
    with database.read_connection() as connection:
        asked = select(*columns, func.count()).where(*_compile_conditions(connection, query)).group_by(*columns)
        return tuple(tuple(row) for row in connection.execute(asked))


def _compile_conditions(connection: Connection, wanted: HistoryQuery) -> list[SqlCondition]:
    among = [compile_condition(connection, ("in", name, values)) for name, values in wanted.required_values.items()]
    return [change_table.c.type == wanted.type, compile_condition(connection, wanted.filter), *among]


def compile_condition(connection: Connection, condition: tuple[Any, ...]) -> SqlCondition:
    said, *given = condition
    if said in CONNECTIVES:
        start = true() if said == "all" else false()
        return CONNECTIVES[said](start, *(compile_condition(connection, each) for each in given[0]))
    if said == "not":
        return not_(compile_condition(connection, given[0]))
    name, value = given
    if said == "isNull":
        return false() if value else true()
    if said == "in":
        return change_table.c[name].in_([each for each in value if _is_storable(each)])
    if not _is_storable(value):
        said, value = UNSTORABLE_OPERATORS[said], _build_next_storable(value)
    return COMPARISONS[said](_collate_column(connection, name), value)


def _compile_keyset(connection: Connection, order: Sequence[tuple[str, bool]], after: Sequence[Any]) -> SqlCondition:
    parts: tuple[Any, ...] = ()
    same: tuple[Any, ...] = ()
    for (name, down), value in zip(order, after, strict=True):
        parts = (*parts, ("all", (*same, ("lt" if down else "gt", name, value))))
        same = (*same, ("eq", name, value))
    return compile_condition(connection, ("some", parts))


def _collate_column(connection: Connection, name: str) -> Any:
    """Text by code point, whatever a database is wont to."""
    column = change_table.c[name]
    return column.collate("C") if connection.dialect.name == "postgresql" and name != "at" else column


def _is_storable(value: Any) -> bool:
    return not isinstance(value, str) or is_storable_text(value)


def _build_next_storable(value: str) -> str:
    at = next(place for place, each in enumerate(value) if not is_storable_text(each))
    return value[:at] + ("\x01" if value[at] == "\0" else "\ue000")


def is_storable_text(value: str) -> bool:
    """Whether a database can hold it as text: no NUL in it, nor half a surrogate pair."""
    return replace_unstorable(value) == value


def replace_unstorable(value: str) -> str:
    """The text as it is kept, with a mark in place of what cannot be."""
    return value.encode(errors="replace").decode().replace("\0", "\ufffd")


def ping_database(database: MetadataDatabase) -> None:
    with database.read_connection() as connection:
        connection.execute(text("SELECT 1"))
