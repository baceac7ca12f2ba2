"""Add requests for groups, grants of groups for a limited time, and under which a change or a job was begun."""

import sqlalchemy as sa
from alembic import op

revision = "access_grants"

down_revision = "directories"


def upgrade() -> None:
    """Create the table; times and durations are integer microseconds. Nothing was begun under a grant so far."""
    op.create_table(
        "access_grant",
        sa.Column("id", sa.String(12)),
        sa.Column("group_name", sa.Text, nullable=False),
        sa.Column("person_id", sa.String(12), sa.ForeignKey("person.id"), nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("requested_at", sa.BigInteger, nullable=False),
        sa.Column("requested_by", sa.Text),
        sa.Column("requested_reason", sa.Text),
        sa.Column("requested_record", sa.String(26)),
        sa.Column("starts_at", sa.BigInteger, nullable=False),
        sa.Column("duration", sa.BigInteger, nullable=False),
        sa.Column("decided_at", sa.BigInteger),
        sa.Column("decided_by", sa.Text),
        sa.Column("decided_reason", sa.Text),
        sa.Column("decided_record", sa.String(26)),
        sa.Column("active_since", sa.BigInteger),
        sa.Column("ends_at", sa.BigInteger),
        sa.Column("slot", sa.Text),
        sa.Column("fencing_token", sa.Integer),
        sa.Column("forced_by", sa.Text, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("ended_by", sa.Text),
        sa.Column("ended_reason", sa.Text),
        sa.Column("ended_record", sa.String(26)),
        sa.Column("ending", sa.Text),
        sa.PrimaryKeyConstraint("id", name="access_grant_key"),
    )
    _create_indexes()
    op.add_column("intent", sa.Column("fencing_tokens", sa.Text, nullable=False, server_default="{}"))
    op.add_column("job", sa.Column("grants", sa.Text, nullable=False, server_default=""))


def _create_indexes() -> None:
    is_active, waits = sa.text("state = 'ACTIVE'"), sa.text("state IN ('REQUESTED', 'WAITING')")
    by_slot, by_person = ["group_name", "slot"], ["group_name", "person_id"]
    op.create_index(
        "access_grant_one_holder", "access_grant", by_slot, unique=True, sqlite_where=is_active,
        postgresql_where=is_active,
    )  # fmt: skip
    op.create_index(
        "access_grant_one_request", "access_grant", by_person, unique=True, sqlite_where=waits, postgresql_where=waits
    )
    op.create_index("access_grant_token", "access_grant", ["group_name", "fencing_token"], unique=True)
    op.create_index("access_grant_by_person", "access_grant", ["person_id", "state"])
