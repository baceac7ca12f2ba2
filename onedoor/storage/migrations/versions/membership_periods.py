"""Add the history of memberships: who let whom into which group, when, why, and until when."""

import sqlalchemy as sa
from alembic import op

revision = "membership_periods"

down_revision = "record_indexes"


def upgrade() -> None:
    """Create the table, with the memberships there are; who granted those, and why, nobody recorded."""
    op.create_table(
        "membership_period",
        sa.Column("person_id", sa.String(12), sa.ForeignKey("person.id"), nullable=False),
        sa.Column("group_name", sa.Text, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("added_by", sa.Text),
        sa.Column("added_reason", sa.Text),
        sa.Column("added_record", sa.String(26)),
        sa.Column("until", sa.BigInteger),
        sa.Column("removed_by", sa.Text),
        sa.Column("removed_reason", sa.Text),
        sa.Column("removed_record", sa.String(26)),
        sa.PrimaryKeyConstraint("person_id", "group_name", "since", name="membership_period_key"),
    )
    op.execute(
        "INSERT INTO membership_period (person_id, group_name, since, until) "
        "SELECT membership.person_id, membership.group_name, membership.since, person.deactivated_at "
        "FROM membership JOIN person ON person.id = membership.person_id"
    )
