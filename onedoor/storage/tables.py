"""Define the tables of the metadata database; the migrations create them, and a test compares the two."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)

UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

MICROSECOND = timedelta(microseconds=1)


class UTCMicroseconds(TypeDecorator[datetime]):
    """Stores a time as integer microseconds in UTC: the same in every database, and in order."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Convert a time to store. Raises TypeError for a time without a zone."""
        return None if value is None else (value - UNIX_EPOCH) // MICROSECOND

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        """Convert a stored time."""
        return None if value is None else UNIX_EPOCH + value * MICROSECOND


class DurationMicroseconds(TypeDecorator[timedelta]):
    """Stores a duration as integer microseconds."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: timedelta | None, dialect: Dialect) -> int | None:
        """Convert a duration to store."""
        return None if value is None else value // MICROSECOND

    def process_result_value(self, value: Any | None, dialect: Dialect) -> timedelta | None:
        """Convert a stored duration."""
        return None if value is None else value * MICROSECOND


METADATA = MetaData(naming_convention={"uq": "%(table_name)s_%(column_0_name)s_unique", "pk": "%(table_name)s_key"})

user_table = Table(
    "person",
    METADATA,
    Column("id", String(12), primary_key=True),
    Column("first_name", Text, nullable=False),
    Column("last_name", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("email_folded", Text, nullable=False, unique=True),
    Column("created_at", UTCMicroseconds, nullable=False),
    Column("deactivated_at", UTCMicroseconds),
    Column("attributes", Text, nullable=False, server_default="{}"),
    Column("owner_group", Text),
)
"""People and services. A service has the group that answers for it, and its name, without `@`, for an address."""

membership_table = Table(
    "membership",
    METADATA,
    Column("person_id", ForeignKey("person.id"), primary_key=True),
    Column("group_name", Text, primary_key=True),
    Column("source", Text, primary_key=True, server_default="local"),
    Column("since", UTCMicroseconds, nullable=False),
    Column("confirmed_at", UTCMicroseconds, nullable=False),
)
"""Who is in which group, by what says so: one may be in a group for several sources, each of which ends its own.

Those of a deactivated user stay, and count again when they are activated.
"""

Index("membership_by_group", membership_table.c.group_name)

membership_period_table = Table(
    "membership_period",
    METADATA,
    Column("person_id", ForeignKey("person.id"), primary_key=True),
    Column("group_name", Text, primary_key=True),
    Column("source", Text, primary_key=True, server_default="local"),
    Column("since", UTCMicroseconds, primary_key=True),
    Column("added_by", Text),
    Column("added_reason", Text),
    Column("added_record", String(26)),
    Column("until", UTCMicroseconds),
    Column("removed_by", Text),
    Column("removed_reason", Text),
    Column("removed_record", String(26)),
)
"""Every membership there ever was; `until` is null while it lasts. Rows are added and ended, never deleted."""

key_table = Table(
    "key",
    METADATA,
    Column("id", String(12), primary_key=True),
    Column("person_id", ForeignKey("person.id"), nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("demo", Boolean, nullable=False),
    Column("created_at", UTCMicroseconds, nullable=False),
    Column("expires_at", UTCMicroseconds, nullable=False),
    Column("revoked_at", UTCMicroseconds),
    Column("secret", Integer, nullable=False, server_default="1"),
    Column("rotated_at", UTCMicroseconds),
    Column("previous_digest", LargeBinary),
    Column("previous_secret", Integer),
    Column("previous_until", UTCMicroseconds),
    Column("grace", BigInteger),
    Column("used_at", UTCMicroseconds),
)
"""A key and its secrets, numbered from 1: `digest` is that of `secret`, and `previous_digest` that of the one before.

The previous one is valid until `previous_until`, which is set to `grace` microseconds after the first use of `secret`;
until then it is null.
"""

# INVARIANT: a person has at most one key that is not revoked
Index(
    "key_one_each",
    key_table.c.person_id,
    unique=True,
    sqlite_where=key_table.c.revoked_at.is_(None),
    postgresql_where=key_table.c.revoked_at.is_(None),
)

administrative_change_table = Table(
    "administrative_change",
    METADATA,
    Column("record_id", String(26), primary_key=True),
    Column("type", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("verb", Text, primary_key=True),
    Column("person_id", String(12)),
    Column("at", UTCMicroseconds, nullable=False),
    Column("actor", Text),
    Column("reason", Text),
)
"""What was changed in this database under each audit record, written in the transaction that changed it.

`person_id` is the user whom it concerns.
"""

Index("administrative_change_by_person", administrative_change_table.c.person_id)

grant_table = Table(
    "access_grant",
    METADATA,
    Column("id", String(12), primary_key=True),
    Column("group_name", Text, nullable=False),
    Column("person_id", ForeignKey("person.id"), nullable=False),
    Column("state", Text, nullable=False),
    Column("requested_at", UTCMicroseconds, nullable=False),
    Column("requested_by", Text),
    Column("requested_reason", Text),
    Column("requested_record", String(26)),
    Column("starts_at", UTCMicroseconds, nullable=False),
    Column("duration", DurationMicroseconds, nullable=False),
    Column("decided_at", UTCMicroseconds),
    Column("decided_by", Text),
    Column("decided_reason", Text),
    Column("decided_record", String(26)),
    Column("active_since", UTCMicroseconds),
    Column("ends_at", UTCMicroseconds),
    Column("slot", Text),
    Column("fencing_token", Integer),
    Column("forced_by", Text, nullable=False),
    Column("ended_at", UTCMicroseconds),
    Column("ended_by", Text),
    Column("ended_reason", Text),
    Column("ended_record", String(26)),
    Column("ending", Text),
)
"""The requests for groups, and the grants that came of them. `slot` is the holder, empty where the group is exclusive;
`forced_by` are ids with blanks between them. Rows are never deleted."""

GRANT_IS_ACTIVE = grant_table.c.state == "ACTIVE"

GRANT_WAITS = grant_table.c.state.in_(("REQUESTED", "WAITING"))

# INVARIANT: an exclusive group has one holder, and any other group one active grant for each person.
Index(
    "access_grant_one_holder",
    grant_table.c.group_name,
    grant_table.c.slot,
    unique=True,
    sqlite_where=GRANT_IS_ACTIVE,
    postgresql_where=GRANT_IS_ACTIVE,
)

# INVARIANT: a person has one open request for a group.
Index(
    "access_grant_one_request",
    grant_table.c.group_name,
    grant_table.c.person_id,
    unique=True,
    sqlite_where=GRANT_WAITS,
    postgresql_where=GRANT_WAITS,
)

# INVARIANT: no two grants of a group have the same fencing token.
Index("access_grant_token", grant_table.c.group_name, grant_table.c.fencing_token, unique=True)

Index("access_grant_by_person", grant_table.c.person_id, grant_table.c.state)

event_table = Table(
    "event",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("topic", Text, nullable=False),
    Column("topic_key", Text),
    Column("row_id", Text, nullable=False),
    Column("at", UTCMicroseconds, nullable=False),
    sqlite_autoincrement=True,
)
"""The events of subscriptions; `EventLog` says what the order of their ids promises."""

Index("event_at", event_table.c.at)
