"""Add the sources of memberships, the attributes of users, services, second secrets, and what each record changed."""

import sqlalchemy as sa
from alembic import op

revision = "sources_and_secrets"

down_revision = "membership_periods"


def upgrade() -> None:
    """Add the columns. The memberships there are were given by an administrator, `local`, who confirmed them then."""
    _add_source("membership", ["person_id", "group_name", "source"])
    _add_source("membership_period", ["person_id", "group_name", "source", "since"])
    op.add_column("membership", sa.Column("confirmed_at", sa.BigInteger))
    op.execute("UPDATE membership SET confirmed_at = since")
    with op.batch_alter_table("membership") as membership:
        membership.alter_column("confirmed_at", nullable=False)
    op.create_index("membership_by_group", "membership", ["group_name"])
    op.add_column("person", sa.Column("attributes", sa.Text, nullable=False, server_default="{}"))
    op.add_column("person", sa.Column("owner_group", sa.Text))
    op.add_column("key", sa.Column("secret", sa.Integer, nullable=False, server_default="1"))
    op.add_column("key", sa.Column("rotated_at", sa.BigInteger))
    op.add_column("key", sa.Column("previous_digest", sa.LargeBinary))
    op.add_column("key", sa.Column("previous_secret", sa.Integer))
    op.add_column("key", sa.Column("previous_until", sa.BigInteger))
    op.add_column("key", sa.Column("grace", sa.BigInteger))
    op.add_column("key", sa.Column("used_at", sa.BigInteger))
    op.create_table(
        "administrative_change",
        sa.Column("record_id", sa.String(26), nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("verb", sa.Text, nullable=False),
        sa.Column("person_id", sa.String(12)),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text),
        sa.Column("reason", sa.Text),
        sa.PrimaryKeyConstraint("record_id", "type", "subject", "verb", name="administrative_change_key"),
    )
    op.create_index("administrative_change_by_person", "administrative_change", ["person_id"])


def _add_source(table: str, key: list[str]) -> None:
    with op.batch_alter_table(table) as altered:
        altered.add_column(sa.Column("source", sa.Text, nullable=False, server_default="local"))
        altered.drop_constraint(f"{table}_key", type_="primary")
        altered.create_primary_key(f"{table}_key", key)
