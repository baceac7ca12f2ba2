"""Add the ledger of changes: intents, their steps, and the history of rows."""

import sqlalchemy as sa
from alembic import op

revision = "changes_ledger"

down_revision = "0001"


def upgrade() -> None:
    """Create the three tables; times are integer UTC microseconds, changes are JSON text."""
    op.create_table(
        "intent",
        sa.Column("id", sa.String(26)),
        sa.Column("person", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("groups", sa.Text, nullable=False),
        sa.Column("mutation", sa.Text, nullable=False),
        sa.Column("idempotency_key", sa.Text),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("input", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("record", sa.Text, nullable=False),
        sa.Column("steps", sa.Integer, nullable=False),
        sa.Column("leads", sa.String(48), nullable=False),
        sa.Column("begun_at", sa.BigInteger, nullable=False),
        sa.Column("lease_until", sa.BigInteger, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("stands", sa.Text),
        sa.PrimaryKeyConstraint("id", name="intent_key"),
    )
    op.create_table(
        "intent_step",
        sa.Column("intent_id", sa.String(26), sa.ForeignKey("intent.id"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("change_id", sa.String(48), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("collection", sa.Text, nullable=False),
        sa.Column("verb", sa.Text, nullable=False),
        sa.Column("change", sa.Text, nullable=False),
        sa.Column("begun_at", sa.BigInteger, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("before", sa.Text),
        sa.Column("after", sa.Text),
        sa.Column("why", sa.Text),
        sa.PrimaryKeyConstraint("intent_id", "number", "attempt", name="intent_step_key"),
    )
    op.create_table(
        "change",
        sa.Column("id", sa.String(48)),
        sa.Column("intent_id", sa.String(26), sa.ForeignKey("intent.id"), nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("row", sa.Text, nullable=False),
        sa.Column("verb", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("version_before", sa.Text),
        sa.Column("version_after", sa.Text),
        sa.Column("before", sa.Text),
        sa.Column("after", sa.Text),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("person", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("mutation", sa.Text, nullable=False),
        sa.Column("record", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="change_key"),
    )
    _create_indexes()


def _create_indexes() -> None:
    stands, is_open = sa.text("state NOT IN ('NOT_MADE', 'UNDONE')"), sa.text("state = 'OPEN'")
    by_key = ["person", "idempotency_key"]
    op.create_index("intent_one_each", "intent", by_key, unique=True, sqlite_where=stands, postgresql_where=stands)
    op.create_index("intent_by_key", "intent", by_key)
    op.create_index("intent_open", "intent", ["lease_until"], sqlite_where=is_open, postgresql_where=is_open)
    op.create_index("change_by_row", "change", ["type", "row"])
