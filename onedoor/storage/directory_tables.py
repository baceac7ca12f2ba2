"""Define the tables of directories: their users and groups, what each sync did, and the codes for new keys."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text, UniqueConstraint

from onedoor.storage.tables import METADATA, UTCMicroseconds

directory_user_table = Table(
    "directory_user",
    METADATA,
    Column("id", String(12), primary_key=True),
    Column("source", Text, nullable=False),
    Column("external_id", Text),
    Column("user_name", Text, nullable=False),
    Column("user_name_folded", Text, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("person_id", ForeignKey("person.id")),
    Column("resource", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", UTCMicroseconds, nullable=False),
    Column("modified_at", UTCMicroseconds, nullable=False),
    UniqueConstraint("source", "user_name_folded", name="directory_user_name_unique"),
    UniqueConstraint("source", "person_id", name="directory_user_person_unique"),
)
"""The users of a directory, as it describes them in `resource`, JSON without a password.

`external_id` is the directory's own id of the user: it is compared with itself alone, never with an id of ours.
"""

Index("directory_user_by_external_id", directory_user_table.c.source, directory_user_table.c.external_id)

directory_group_table = Table(
    "directory_group",
    METADATA,
    Column("id", String(12), primary_key=True),
    Column("source", Text, nullable=False),
    Column("external_id", Text),
    Column("display_name", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("created_at", UTCMicroseconds, nullable=False),
    Column("modified_at", UTCMicroseconds, nullable=False),
)
"""The groups of a directory, apart from the functional groups, which they feed where groups.toml says so."""

Index("directory_group_by_name", directory_group_table.c.source, directory_group_table.c.display_name)

directory_member_table = Table(
    "directory_member",
    METADATA,
    Column("group_id", ForeignKey("directory_group.id"), primary_key=True),
    Column("member_id", String(12), primary_key=True),
    Column("is_group", Boolean, nullable=False),
    Column("display", Text),
)
"""The direct members of a directory's groups: users, or groups, whose members are then members too."""

Index("directory_member_by_member", directory_member_table.c.member_id)

directory_person_table = Table(
    "directory_person",
    METADATA,
    Column("person_id", ForeignKey("person.id"), primary_key=True),
    Column("source", Text, nullable=False),
    Column("since", UTCMicroseconds, nullable=False),
)
"""Which directory a person is from. Nobody else is in any directory's reach."""

directory_sync_table = Table(
    "directory_sync",
    METADATA,
    Column("id", String(12), primary_key=True),
    Column("source", Text, nullable=False),
    Column("started_at", UTCMicroseconds, nullable=False),
    Column("ended_at", UTCMicroseconds, nullable=False),
    Column("state", Text, nullable=False),
    Column("failure", Text),
    Column("decided_by", Text),
    Column("decided_reason", Text),
    Column("decided_record", String(26)),
    Column("decided_at", UTCMicroseconds),
)
"""Each sync and how it ended; one that was halted, who decided about it."""

Index("directory_sync_by_source", directory_sync_table.c.source, directory_sync_table.c.started_at)

directory_change_table = Table(
    "directory_change",
    METADATA,
    Column("id", String(12), primary_key=True),
    Column("sync_id", ForeignKey("directory_sync.id"), nullable=False),
    Column("source", Text, nullable=False),
    Column("at", UTCMicroseconds, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("person_id", ForeignKey("person.id")),
    Column("group_name", Text),
    Column("detail", Text),
    Column("record_id", String(26)),
)
"""What a sync brought, changed, or was refused: one row for each person or membership."""

Index("directory_change_by_sync", directory_change_table.c.sync_id, directory_change_table.c.at)

Index(
    "directory_change_by_kind",
    directory_change_table.c.source,
    directory_change_table.c.kind,
    directory_change_table.c.at,
)


directory_progress_table = Table(
    "directory_progress",
    METADATA,
    Column("source", Text, primary_key=True),
    Column("holder", Text),
    Column("held_until", UTCMicroseconds),
    Column("marks", Text, nullable=False),
    Column("compared_at", UTCMicroseconds),
)
"""How far a directory that is read was read, and which process reads it until when."""

directory_identity_table = Table(
    "directory_identity",
    METADATA,
    Column("issuer", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("person_id", ForeignKey("person.id"), nullable=False),
    Column("created_at", UTCMicroseconds, nullable=False),
)
"""Who a provider of OpenID Connect means by a subject: `iss` and `sub`, never an address that may be given anew."""

key_claim_table = Table(
    "key_claim",
    METADATA,
    Column("id", String(15), primary_key=True),
    Column("person_id", ForeignKey("person.id"), nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("created_at", UTCMicroseconds, nullable=False),
    Column("expires_at", UTCMicroseconds, nullable=False),
    Column("used_at", UTCMicroseconds),
    Column("revoked_at", UTCMicroseconds),
)
"""Codes that a person exchanges once for their key."""

Index("key_claim_by_person", key_claim_table.c.person_id)
