"""Define the tables of the ledger, its transactions and its queries. All of it blocks."""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
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

from auth.grant_store import are_tokens_current
from onedoor.mutations.intents import REPEATABLE_STATES, HistoryRow, Intent, IntentOutcome, IntentState, StepAttempt
from onedoor.query.cursors import build_keyset_predicate
from onedoor.spi.predicates import ALWAYS_TRUE, Comparison, Op, Predicate, fold_predicate
from onedoor.spi.scan import SortKey
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
    Column("fencing_tokens", Text, nullable=False, server_default="{}"),
)

MAY_STAND = intent_table.c.state.not_in(("NOT_MADE", "UNDONE"))

IS_OPEN = intent_table.c.state == "OPEN"

# INVARIANT: of the intents of one person with one idempotency key, at most one is open or has changed anything.
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

Index("change_by_record", change_table.c.record)

MAX_TRIES = 5
"""How often two intents that begin with the same key at once may collide."""

PUBLISHED_STATES = frozenset({IntentState.DONE, IntentState.PARTIALLY_APPLIED})

FILTERABLE_COLUMNS = frozenset({"id", "at", "person", "verb", "mutation", "state", "record", "row"})
"""The columns to filter and to sort by: every change has a value in each of them."""

COMPARISONS: Mapping[Op, Callable[[Any, Any], Any]] = {
    Op.LT: operator.lt,
    Op.GT: operator.gt,
    Op.EQ: operator.eq,
}

UNSTORABLE_COMPARISONS: Mapping[Op, Callable[[Any, Any], Any]] = {
    Op.LT: operator.lt,
    Op.GT: operator.ge,
    Op.EQ: lambda *_: false(),
}
"""For a text that cannot be stored: the same comparison with the next text that can."""

SqlCondition: TypeAlias = Any
"""A condition of SQLAlchemy."""


class LeaseLost(Exception):
    """Another process holds the intent now, or it has ended: this process must do nothing more for it."""


class StaleFencingToken(Exception):
    """A grant under which a change was requested has ended, or another holder has its group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who holds an open intent, and until when."""

    owner: str
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryQuery:
    """The changes of one type to read: at most `limit`, after the row that has the values `after` in `sort`."""

    type: str
    required_values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By column, the values of which a change must have one."""
    filter: Predicate = ALWAYS_TRUE
    """Of And, Or, Not and Comparison over FILTERABLE_COLUMNS."""
    sort: tuple[SortKey, ...] = (SortKey("id"),)
    """By FILTERABLE_COLUMNS, `id` last."""
    after: tuple[Any, ...] | None = None
    limit: int = 1000


def insert_intent(
    database: MetadataDatabase, new_intent: Intent, attempts: Sequence[StepAttempt], lease: Lease
) -> Intent | None:
    """Store the intent and its first steps, or return the earlier intent that has its idempotency key.

    That is one with another body, whatever its state, or one that is open or has changed something. Raises
    StaleFencingToken where a grant has ended under which the intent was requested.
    """
    for _ in range(MAX_TRIES):
        try:
            with database.write_transaction() as connection:
                earlier = _find_earlier_intent(connection, new_intent)
                if earlier is None:
                    if not are_tokens_current(connection, new_intent.fencing_tokens, database.now()):
                        raise StaleFencingToken
                    columns = {"owner": lease.owner, "lease_until": lease.until}
                    connection.execute(insert(intent_table), {**new_intent.to_row(), **columns})
                    _write_attempts(connection, new_intent.id, attempts)
                return earlier
        except IntegrityError:
            continue
    raise LeaseLost


def _find_earlier_intent(connection: Connection, new_intent: Intent) -> Intent | None:
    if new_intent.idempotency_key is None:
        return None
    same_key = (intent_table.c.person == new_intent.person) & (
        intent_table.c.idempotency_key == new_intent.idempotency_key
    )
    rows = connection.execute(select(intent_table).where(same_key)).mappings()
    earlier = [Intent.from_row(row) for row in rows]
    blocking = (intent for intent in earlier if intent.body != new_intent.body or intent.state not in REPEATABLE_STATES)
    return next(blocking, None)


def update_attempts(database: MetadataDatabase, intent_id: str, owner: str, attempts: Sequence[StepAttempt]) -> None:
    """Store the steps as they now are. Raises LeaseLost where `owner` does not hold the intent any more."""
    with database.write_transaction() as connection:
        _require_lease(connection, intent_id, owner, {})
        _write_attempts(connection, intent_id, attempts)


def close_intent(database: MetadataDatabase, events: EventLog, owner: str, outcome: IntentOutcome) -> None:
    """Commit the end of the intent, its steps, its history and its events at once.

    Raises LeaseLost where `owner` does not hold the intent any more.
    """
    values = {"state": str(outcome.state), "stands": outcome.stands}
    with database.write_transaction() as connection:
        _require_lease(connection, outcome.intent_id, owner, values)
        _write_attempts(connection, outcome.intent_id, outcome.attempts)
        if outcome.history:
            connection.execute(insert(change_table), [row.to_row() for row in outcome.history])
        for row in outcome.history:
            if row.state in PUBLISHED_STATES:
                events.append_in_transaction(connection, row.type, row.row, row.id)


def update_lease(database: MetadataDatabase, intent_id: str, lease: Lease) -> None:
    """Move the end of a lease; one in the past releases it. Raises LeaseLost where its owner holds it no more."""
    with database.write_transaction() as connection:
        _require_lease(connection, intent_id, lease.owner, {"lease_until": lease.until})


def take_over_intent(database: MetadataDatabase, intent_id: str, lease: Lease) -> bool:
    """Return whether the lease is granted: of several processes that try, one gets it."""
    overdue = (intent_table.c.id == intent_id) & IS_OPEN & (intent_table.c.lease_until < database.now())
    take_over = update(intent_table).where(overdue).values(owner=lease.owner, lease_until=lease.until)
    with database.write_transaction() as connection:
        return connection.execute(take_over).rowcount == 1


def select_overdue(database: MetadataDatabase, now: datetime, limit: int) -> tuple[str, ...]:
    """Return the open intents whose lease is over, oldest first."""
    overdue = select(intent_table.c.id).where(IS_OPEN, intent_table.c.lease_until < now)
    with database.read_connection() as connection:
        return tuple(connection.execute(overdue.order_by(intent_table.c.id).limit(limit)).scalars())


def select_intent(database: MetadataDatabase, intent_id: str) -> Intent | None:
    with database.read_connection() as connection:
        row = connection.execute(select(intent_table).where(intent_table.c.id == intent_id)).mappings().first()
    return None if row is None else Intent.from_row(row)


def select_attempts(database: MetadataDatabase, intent_id: str) -> tuple[StepAttempt, ...]:
    """Return every attempt at every step, in order."""
    attempts = select(intent_step_table).where(intent_step_table.c.intent_id == intent_id)
    order = (intent_step_table.c.number, intent_step_table.c.attempt)
    with database.read_connection() as connection:
        rows = connection.execute(attempts.order_by(*order)).mappings()
        return tuple(StepAttempt.from_row(row) for row in rows)


def _require_lease(connection: Connection, intent_id: str, owner: str, values: Mapping[str, Any]) -> None:
    """Lock the intent until the transaction's end and set `values`.

    INVARIANT: who does not hold an open intent writes nothing to it.
    """
    held = (intent_table.c.id == intent_id) & (intent_table.c.owner == owner) & IS_OPEN
    if connection.execute(update(intent_table).where(held).values(owner=owner, **values)).rowcount != 1:
        raise LeaseLost


def _write_attempts(connection: Connection, intent_id: str, attempts: Iterable[StepAttempt]) -> None:
    for attempt in attempts:
        key = {"intent_id": intent_id, "number": attempt.number, "attempt": attempt.attempt}
        connection.execute(delete(intent_step_table).filter_by(**key))
        connection.execute(insert(intent_step_table), {"intent_id": intent_id, **attempt.to_row()})


def read_history(database: MetadataDatabase, query: HistoryQuery) -> tuple[HistoryRow, ...]:
    with database.read_connection() as connection:
        conditions = _compile_conditions(connection, query)
        if query.after is not None:
            keyset = build_keyset_predicate(query.sort, query.after, after=True)
            conditions.append(compile_condition(connection, keyset))
        order = [_compile_sort_key(connection, sort_key) for sort_key in query.sort]
        statement = select(change_table).where(*conditions).order_by(*order).limit(query.limit)
        return tuple(HistoryRow.from_row(row) for row in connection.execute(statement).mappings())


def count_history(
    database: MetadataDatabase, query: HistoryQuery, group_columns: Sequence[str]
) -> tuple[tuple[Any, ...], ...]:
    """Return the values of these columns and, last, how many changes have them; of no columns, one row."""
    columns = [change_table.c[name] for name in group_columns]
    with database.read_connection() as connection:
        conditions = _compile_conditions(connection, query)
        statement = select(*columns, func.count()).where(*conditions).group_by(*columns)
        return tuple(tuple(row) for row in connection.execute(statement))


def select_recorded_changes(database: MetadataDatabase, record_ids: Sequence[str]) -> tuple[HistoryRow, ...]:
    recorded = select(change_table).where(change_table.c.record.in_(record_ids))
    with database.read_connection() as connection:
        return tuple(HistoryRow.from_row(row) for row in connection.execute(recorded).mappings())


def ping_database(database: MetadataDatabase) -> None:
    with database.read_connection() as connection:
        connection.execute(text("SELECT 1"))


def _compile_conditions(connection: Connection, query: HistoryQuery) -> list[SqlCondition]:
    required = (Comparison(name, Op.IN, values) for name, values in query.required_values.items())
    return [
        change_table.c.type == query.type,
        compile_condition(connection, query.filter),
        *(compile_condition(connection, comparison) for comparison in required),
    ]


def compile_condition(connection: Connection, predicate: Predicate) -> SqlCondition:
    return fold_predicate(
        predicate,
        partial(_compile_comparison, connection),
        conjunction=lambda parts: and_(true(), *parts),
        disjunction=lambda parts: or_(false(), *parts),
        negation=not_,
    )


def _compile_comparison(connection: Connection, comparison: Comparison) -> SqlCondition:
    value = comparison.value
    if comparison.op is Op.IS_NULL:  # no filterable column holds a null
        return false() if value else true()
    if comparison.op is Op.IN:
        return change_table.c[comparison.column].in_([item for item in value if _is_storable(item)])
    column = _collate_column(connection, comparison.column)
    if _is_storable(value):
        return COMPARISONS[comparison.op](column, value)
    return UNSTORABLE_COMPARISONS[comparison.op](column, _build_next_storable(value))


def _compile_sort_key(connection: Connection, sort_key: SortKey) -> Any:
    column = _collate_column(connection, sort_key.column)
    return column.desc() if sort_key.descending else column


def _collate_column(connection: Connection, name: str) -> Any:
    """Compare text by code point, whatever the collation of the database is."""
    column = change_table.c[name]
    return column.collate("C") if connection.dialect.name == "postgresql" and name != "at" else column


def _is_storable(value: Any) -> bool:
    return not isinstance(value, str) or is_storable_text(value)


def _build_next_storable(value: str) -> str:
    place = next(index for index, character in enumerate(value) if not is_storable_text(character))
    return value[:place] + ("\x01" if value[place] == "\0" else "\ue000")


def is_storable_text(value: str) -> bool:
    """Return whether a database can store the text: it holds no NUL and no half of a surrogate pair."""
    return replace_unstorable(value) == value


def replace_unstorable(value: str) -> str:
    """Return the text with a mark in place of every character that a database cannot store."""
    return value.encode(errors="replace").decode().replace("\0", "\ufffd")
