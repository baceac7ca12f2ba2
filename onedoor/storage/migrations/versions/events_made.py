"""Add the events of subscriptions, in the order of their ids."""

import sqlalchemy as sa
from alembic import op

revision = "events_0001"

down_revision = "changes_ledger"


def upgrade() -> None:
    """Create the table; an id is never assigned twice, even after the newest row was deleted."""
    op.create_table(
        "event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite")),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("topic_key", sa.Text),
        sa.Column("row_id", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="event_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("event_at", "event", ["at"])
