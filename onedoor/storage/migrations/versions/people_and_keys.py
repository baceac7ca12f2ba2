"""Create users, their memberships and their keys."""

import sqlalchemy as sa
from alembic import op

revision = "0001"

down_revision = None


def upgrade() -> None:
    """Create the three tables; times are integer UTC microseconds."""
    op.create_table(
        "person",
        sa.Column("id", sa.String(12)),
        sa.Column("first_name", sa.Text, nullable=False),
        sa.Column("last_name", sa.Text, nullable=False),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("email_folded", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("deactivated_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="person_key"),
        sa.UniqueConstraint("email_folded", name="person_email_folded_unique"),
    )
    op.create_table(
        "membership",
        sa.Column("person_id", sa.String(12), sa.ForeignKey("person.id"), nullable=False),
        sa.Column("group_name", sa.Text, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("person_id", "group_name", name="membership_key"),
    )
    op.create_table(
        "key",
        sa.Column("id", sa.String(12)),
        sa.Column("person_id", sa.String(12), sa.ForeignKey("person.id"), nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("demo", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="key_key"),
    )
    unrevoked = sa.text("revoked_at IS NULL")
    op.create_index(
        "key_one_each", "key", ["person_id"], unique=True, sqlite_where=unrevoked, postgresql_where=unrevoked
    )
