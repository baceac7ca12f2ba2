"""Add the identities by which people sign in."""

import sqlalchemy as sa
from alembic import op

revision = "identities"

down_revision = "key_claims"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "directory_identity",
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("person_id", sa.String(12), sa.ForeignKey("person.id"), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("issuer", "subject", name="directory_identity_key"),
    )
