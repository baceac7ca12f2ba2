"""Add what each job has read, by which it is decided who is shown what came of the job."""

import sqlalchemy as sa
from alembic import op

revision = "job_reads"

down_revision = "jobs"


def upgrade() -> None:
    """Create the table. Of jobs that are there already nobody knows what they read: `reads_known` is false."""
    op.add_column("job", sa.Column("reads_known", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_table(
        "job_read",
        sa.Column("job_id", sa.String(26), sa.ForeignKey("job.id"), nullable=False),
        sa.Column("coordinate", sa.Text, nullable=False),
        sa.Column("by_starter", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("job_id", "coordinate", name="job_read_key"),
    )
    op.create_index("job_read_coordinate", "job_read", ["coordinate"])
