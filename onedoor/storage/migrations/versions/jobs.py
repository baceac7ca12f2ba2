"""Add jobs with their lines, finished steps and files, and the workers that run them."""

import sqlalchemy as sa
from alembic import op

revision = "jobs"

down_revision = "events_0001"


def upgrade() -> None:
    """Create the five tables; times are integer UTC microseconds, inputs and results are JSON text."""
    op.create_table(
        "job",
        sa.Column("id", sa.String(26)),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("person_id", sa.Text, nullable=False),
        sa.Column("person_name", sa.Text, nullable=False),
        sa.Column("key_id", sa.String(12)),
        sa.Column("record_id", sa.String(26)),
        sa.Column("reason", sa.Text),
        sa.Column("idempotency_key", sa.Text),
        sa.Column("parent_id", sa.String(26)),
        sa.Column("input", sa.Text, nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("state", sa.String(9), nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("release", sa.String(64), nullable=False),
        sa.Column("dispatched", sa.Boolean, nullable=False),
        sa.Column("worker_id", sa.String(26)),
        sa.Column("alone", sa.Text),
        sa.Column("alone_now", sa.Text),
        sa.Column("done", sa.Float),
        sa.Column("total", sa.Float),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("takeovers", sa.Integer, nullable=False),
        sa.Column("lines", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger),
        sa.Column("started_at", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("cancel_at", sa.BigInteger),
        sa.Column("cancelled_by", sa.Text),
        sa.Column("result", sa.Text),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("id", name="job_key"),
        sa.UniqueConstraint("alone_now", name="job_alone_now_unique"),
    )
    op.create_index("job_idempotency_unique", "job", ["person_id", "idempotency_key"], unique=True)
    op.create_index("job_state", "job", ["state"])
    op.create_index("job_parent", "job", ["parent_id"])
    op.create_table(
        "job_line",
        _build_job_id_column(),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(6), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("job_id", "number", name="job_line_key"),
    )
    op.create_table(
        "job_step",
        _build_job_id_column(),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("job_id", "name", name="job_step_key"),
    )
    op.create_table(
        "job_file",
        _build_job_id_column(),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("content_type", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("job_id", "name", name="job_file_key"),
    )
    op.create_table(
        "job_worker",
        sa.Column("id", sa.String(26)),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("release", sa.String(64), nullable=False),
        sa.Column("beat", sa.BigInteger, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="job_worker_key"),
    )


def _build_job_id_column() -> sa.Column[str]:
    return sa.Column("job_id", sa.String(26), sa.ForeignKey("job.id"), nullable=False)
