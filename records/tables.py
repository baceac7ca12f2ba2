"""The tables of the ledger, in the state: what was begun to be changed, step by step, and what came of it."""

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text

from auth.tables import TABLES, Moment

ID = String(26)
CHANGE_ID = String(48)

intent = Table(
    "intent",
    TABLES,
    Column("id", ID, primary_key=True),
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
    Column("leads", CHANGE_ID, nullable=False),
    Column("begun_at", Moment, nullable=False),
    Column("lease_until", Moment, nullable=False),
    Column("owner", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("stands", Text),
)

STANDS = intent.c.state.not_in(("NOT_MADE", "UNDONE"))
OPEN = intent.c.state == "OPEN"

# INVARIANT: of the intents of one person with one idempotency key, at most one is open or has changed anything
Index(
    "intent_one_each",
    intent.c.person,
    intent.c.idempotency_key,
    unique=True,
    sqlite_where=STANDS,
    postgresql_where=STANDS,
)
Index("intent_by_key", intent.c.person, intent.c.idempotency_key)
Index("intent_open", intent.c.lease_until, sqlite_where=OPEN, postgresql_where=OPEN)

intent_step = Table(
    "intent_step",
    TABLES,
    Column("intent_id", ForeignKey("intent.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("change_id", CHANGE_ID, nullable=False),
    Column("name", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("collection", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("change", Text, nullable=False),
    Column("begun_at", Moment, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("before", Text),
    Column("after", Text),
    Column("why", Text),
)

change = Table(
    "change",
    TABLES,
    Column("id", CHANGE_ID, primary_key=True),
    Column("intent_id", ForeignKey("intent.id"), nullable=False),
    Column("type", Text, nullable=False),
    Column("row", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("version_before", Text),
    Column("version_after", Text),
    Column("before", Text),
    Column("after", Text),
    Column("at", Moment, nullable=False),
    Column("person", Text, nullable=False),
    Column("reason", Text),
    Column("mutation", Text, nullable=False),
    Column("record", Text, nullable=False),
)
Index("change_by_row", change.c.type, change.c.row)
