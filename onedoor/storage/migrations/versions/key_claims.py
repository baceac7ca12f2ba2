"""Add the codes that people exchange for their keys."""

import sqlalchemy as sa
from alembic import op

revision = "key_claims"

down_revision = "access_grants"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "key_claim",
        sa.Column("id", sa.String(15), nullable=False),
        sa.Column("person_id", sa.String(12), sa.ForeignKey("person.id"), nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("used_at", sa.BigInteger),
        sa.Column("revoked_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="key_claim_key"),
    )
    op.create_index("key_claim_by_person", "key_claim", ["person_id"])
