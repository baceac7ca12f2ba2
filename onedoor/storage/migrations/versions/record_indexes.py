"""Index changes and jobs by the audit record under which they were made."""

from alembic import op

revision = "record_indexes"

down_revision = "job_reads"


def upgrade() -> None:
    op.create_index("change_by_record", "change", ["record"])
    op.create_index("job_by_record", "job", ["record_id"])
