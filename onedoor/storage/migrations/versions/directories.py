"""Add the users and groups of directories, and the reports of their syncs."""

import sqlalchemy as sa
from alembic import op

revision = "directories"

down_revision = "sources_and_secrets"


def upgrade() -> None:
    """Create the tables, all empty."""
    _create_resources()
    _create_reports()


def _create_resources() -> None:
    op.create_table(
        "directory_user",
        sa.Column("id", sa.String(12), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("external_id", sa.Text),
        sa.Column("user_name", sa.Text, nullable=False),
        sa.Column("user_name_folded", sa.Text, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("person_id", sa.String(12), sa.ForeignKey("person.id")),
        sa.Column("resource", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("modified_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="directory_user_key"),
        sa.UniqueConstraint("source", "user_name_folded", name="directory_user_name_unique"),
        sa.UniqueConstraint("source", "person_id", name="directory_user_person_unique"),
    )
    op.create_index("directory_user_by_external_id", "directory_user", ["source", "external_id"])
    op.create_table(
        "directory_group",
        sa.Column("id", sa.String(12), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("external_id", sa.Text),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("resource", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("modified_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="directory_group_key"),
    )
    op.create_index("directory_group_by_name", "directory_group", ["source", "display_name"])
    op.create_table(
        "directory_member",
        sa.Column("group_id", sa.String(12), sa.ForeignKey("directory_group.id"), nullable=False),
        sa.Column("member_id", sa.String(12), nullable=False),
        sa.Column("is_group", sa.Boolean, nullable=False),
        sa.Column("display", sa.Text),
        sa.PrimaryKeyConstraint("group_id", "member_id", name="directory_member_key"),
    )
    op.create_index("directory_member_by_member", "directory_member", ["member_id"])
    op.create_table(
        "directory_person",
        sa.Column("person_id", sa.String(12), sa.ForeignKey("person.id"), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("person_id", name="directory_person_key"),
    )


def _create_reports() -> None:
    op.create_table(
        "directory_sync",
        sa.Column("id", sa.String(12), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("ended_at", sa.BigInteger, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("failure", sa.Text),
        sa.Column("decided_by", sa.Text),
        sa.Column("decided_reason", sa.Text),
        sa.Column("decided_record", sa.String(26)),
        sa.Column("decided_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="directory_sync_key"),
    )
    op.create_index("directory_sync_by_source", "directory_sync", ["source", "started_at"])
    op.create_table(
        "directory_change",
        sa.Column("id", sa.String(12), nullable=False),
        sa.Column("sync_id", sa.String(12), sa.ForeignKey("directory_sync.id"), nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("person_id", sa.String(12), sa.ForeignKey("person.id")),
        sa.Column("group_name", sa.Text),
        sa.Column("detail", sa.Text),
        sa.Column("record_id", sa.String(26)),
        sa.PrimaryKeyConstraint("id", name="directory_change_key"),
    )
    op.create_index("directory_change_by_sync", "directory_change", ["sync_id", "at"])
    op.create_index("directory_change_by_kind", "directory_change", ["source", "kind", "at"])
    op.create_table(
        "directory_progress",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("holder", sa.Text),
        sa.Column("held_until", sa.BigInteger),
        sa.Column("marks", sa.Text, nullable=False),
        sa.Column("compared_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("source", name="directory_progress_key"),
    )
