"""Create, list and deactivate users, their memberships of groups and their API keys."""

import re
import secrets
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, exists, insert, select, update
from sqlalchemy.engine import Row
from sqlalchemy.exc import IntegrityError

from auth.api_keys import (
    DEFAULT_KEY_DAYS,
    KEY_RANDOM_BYTES,
    ApiKey,
    derive_demo_key,
    encode_id,
    format_key,
    hash_secret,
    mint_key,
)
from auth.policy import EVERYONE, Groups
from onedoor.errors import ConfigurationError, build_unknown_name_error
from onedoor.storage.database import MetadataDatabase
from onedoor.storage.tables import key_table, membership_period_table, membership_table, user_table

EMAIL_PATTERN = re.compile(r"[^\s@]+@[^\s@]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user of the metadata database; `groups` are sorted."""

    id: str
    first_name: str
    last_name: str
    email: str
    groups: tuple[str, ...]
    created_at: datetime
    deactivated_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Who changes users, groups and keys, and why; None of what nobody said."""

    actor: str | None = None
    reason: str | None = None
    record_id: str | None = None
    """The id of the audit record that says so."""


UNATTRIBUTED = Attribution()


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipPeriod:
    """One stay of a user in a group; `until` is None while it lasts."""

    email: str
    group: str
    since: datetime
    added: Attribution
    until: datetime | None
    removed: Attribution


def create_user(
    database: MetadataDatabase,
    *,
    first_name: str,
    last_name: str,
    email: str,
    id: str | None = None,
    attribution: Attribution = UNATTRIBUTED,
) -> User:
    """Create a user, who is in the group `everyone` from the start. Raises ConfigurationError."""
    for name, value in (("first name", first_name), ("last name", last_name), ("e-mail address", email)):
        require_printable(name, value)
    if EMAIL_PATTERN.fullmatch(email) is None:
        raise ConfigurationError(f"`{email}` is no e-mail address: write it as `name@domain`")
    user = User(
        id=id or mint_user_id(), first_name=first_name, last_name=last_name, email=email,
        groups=(EVERYONE,), created_at=database.now(), deactivated_at=None,
    )  # fmt: skip
    try:
        with database.write_transaction() as connection:
            insert_user(connection, user, attribution)
    except IntegrityError as reason:
        raise ConfigurationError(f"there is already a person with the e-mail address `{email}`") from reason
    return user


def mint_user_id() -> str:
    return encode_id(secrets.token_bytes(16))


def list_users(database: MetadataDatabase) -> tuple[User, ...]:
    """List all users by e-mail address."""
    with database.read_connection() as connection:
        groups: dict[str, list[str]] = {}
        for member in connection.execute(select(membership_table).order_by(membership_table.c.group_name)):
            groups.setdefault(member.person_id, []).append(member.group_name)
        rows = connection.execute(select(user_table).order_by(user_table.c.email_folded)).all()
    return tuple(
        User(
            id=row.id, first_name=row.first_name, last_name=row.last_name, email=row.email,
            groups=tuple(sorted(groups.get(row.id, ()))), created_at=row.created_at, deactivated_at=row.deactivated_at,
        )
        for row in rows
    )  # fmt: skip


def find_user_by_id(database: MetadataDatabase, id: str) -> User | None:
    """Find a user; None: no user has this id."""
    with database.read_connection() as connection:
        row = connection.execute(select(user_table).where(user_table.c.id == id)).first()
        memberships = select(membership_table.c.group_name).where(membership_table.c.person_id == id)
        groups = connection.execute(memberships).scalars().all()
    if row is None:
        return None
    return User(
        id=row.id, first_name=row.first_name, last_name=row.last_name, email=row.email,
        groups=tuple(sorted(groups)), created_at=row.created_at, deactivated_at=row.deactivated_at,
    )  # fmt: skip


def find_user_id(database: MetadataDatabase, email: str) -> str:
    """Return the id of a user. Raises ConfigurationError, which offers a near address."""
    with database.read_connection() as connection:
        return str(find_user(connection, email).id)


def join_group(database: MetadataDatabase, email: str, group: str, attribution: Attribution = UNATTRIBUTED) -> None:
    """Add a user to a group; doing so twice changes nothing. Raises ConfigurationError."""
    with database.write_transaction() as connection:
        person_id = str(find_user(connection, email).id)
        membership = {"person_id": person_id, "group_name": group}
        if connection.execute(select(membership_table).filter_by(**membership)).first() is None:
            _insert_membership(connection, person_id, group, database.now(), attribution)


def leave_group(database: MetadataDatabase, email: str, group: str, attribution: Attribution = UNATTRIBUTED) -> None:
    """Remove a user from a group, registered or not; nobody leaves `everyone`. Raises ConfigurationError."""
    if group == EVERYONE:
        raise ConfigurationError(f"nobody leaves `{EVERYONE}`: deactivate the person instead")
    with database.write_transaction() as connection:
        user = find_user(connection, email)
        statement = delete(membership_table).filter_by(person_id=user.id, group_name=group)
        if connection.execute(statement).rowcount == 0:
            raise ConfigurationError(f"`{user.email}` is not in the group `{group}`")
        _end_memberships(connection, str(user.id), database.now(), attribution, group)


def list_membership_periods(
    database: MetadataDatabase, *, email: str | None = None, group: str | None = None
) -> tuple[MembershipPeriod, ...]:
    """List every stay of one user, in one group, or of all, by e-mail address, group and time.

    Raises ConfigurationError for an unknown user.
    """
    statement = select(membership_period_table, user_table.c.email).join(user_table)
    with database.read_connection() as connection:
        if email is not None:
            statement = statement.where(user_table.c.id == find_user(connection, email).id)
        if group is not None:
            statement = statement.where(membership_period_table.c.group_name == group)
        order = (user_table.c.email_folded, membership_period_table.c.group_name, membership_period_table.c.since)
        rows = connection.execute(statement.order_by(*order)).all()
    return tuple(
        MembershipPeriod(
            email=row.email,
            group=row.group_name,
            since=row.since,
            added=Attribution(actor=row.added_by, reason=row.added_reason, record_id=row.added_record),
            until=row.until,
            removed=Attribution(actor=row.removed_by, reason=row.removed_reason, record_id=row.removed_record),
        )
        for row in rows
    )


def _insert_membership(
    connection: Connection, person_id: str, group: str, since: datetime, attribution: Attribution
) -> None:
    membership = {"person_id": person_id, "group_name": group, "since": since}
    connection.execute(insert(membership_table).values(membership))
    connection.execute(
        insert(membership_period_table).values(
            **membership,
            added_by=attribution.actor,
            added_reason=attribution.reason,
            added_record=attribution.record_id,
        )
    )


def _end_memberships(
    connection: Connection, person_id: str, until: datetime, attribution: Attribution, group: str | None = None
) -> None:
    """End the stay of a user in one group, or in all."""
    ended = update(membership_period_table).filter_by(person_id=person_id, until=None)
    if group is not None:
        ended = ended.filter_by(group_name=group)
    connection.execute(
        ended.values(
            until=until,
            removed_by=attribution.actor,
            removed_reason=attribution.reason,
            removed_record=attribution.record_id,
        )
    )


def deactivate_user(database: MetadataDatabase, email: str, attribution: Attribution = UNATTRIBUTED) -> None:
    """Deactivate a user and revoke their key; their records stay. Doing so twice changes nothing."""
    with database.write_transaction() as connection:
        user, now = find_user(connection, email), database.now()
        connection.execute(update(user_table).filter_by(id=user.id, deactivated_at=None).values(deactivated_at=now))
        connection.execute(update(key_table).filter_by(person_id=user.id, revoked_at=None).values(revoked_at=now))
        _end_memberships(connection, str(user.id), now, attribution)


def find_user(connection: Connection, email: str) -> Row[tuple[object, ...]]:
    """Find the row of a user by e-mail address, in any case. Raises ConfigurationError, which offers a near address."""
    row = connection.execute(select(user_table).filter_by(email_folded=fold_email(email))).first()
    if row is None:
        raise build_unknown_name_error("person", email, connection.execute(select(user_table.c.email)).scalars())
    return row


def fold_email(email: str) -> str:
    """Return what all ways to write an address have in common: NFKC, case folded, NFKC again as folding undoes it."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", email).casefold())


def insert_user(connection: Connection, user: User, attribution: Attribution = UNATTRIBUTED) -> None:
    connection.execute(
        insert(user_table).values(
            id=user.id, first_name=user.first_name, last_name=user.last_name, email=user.email,
            email_folded=fold_email(user.email), created_at=user.created_at,
        )
    )  # fmt: skip
    _insert_membership(connection, user.id, EVERYONE, user.created_at, attribution)


def list_unregistered_memberships(database: MetadataDatabase, groups: Groups) -> tuple[tuple[str, str], ...]:
    """Return (e-mail address, group) of each membership in a group that nobody registered, which counts for nothing."""
    return tuple(
        (user.email, name) for user in list_users(database) for name in user.groups if name not in groups.names
    )


def require_printable(name: str, value: str) -> None:
    """Raise ConfigurationError for characters that could move a cursor or hide a letter on a terminal."""
    if not value.strip() or not value.isprintable():
        raise ConfigurationError(f"the {name} is empty or holds characters that cannot be shown")


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedKey:
    """A key just issued; `text` is what its user sends, shown this once."""

    id: str
    text: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """What the metadata database shows of a key: never its secret, nor the digest of it."""

    id: str
    email: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


def create_key(
    database: MetadataDatabase, email: str, *, days: int = DEFAULT_KEY_DAYS, api_key: ApiKey | None = None
) -> IssuedKey:
    """Issue a key to an active user without a valid one. Raises ConfigurationError."""
    with database.write_transaction() as connection:
        person_id = require_active_user(connection, email)
        revoke_expired_keys(connection, database, person_id)
        try:
            return issue_key(connection, database, person_id, days, api_key)
        except IntegrityError as reason:
            raise ConfigurationError(f"`{email}` already has a key: rotate it, or revoke it first") from reason


def rotate_key(
    database: MetadataDatabase, email: str, *, days: int = DEFAULT_KEY_DAYS, api_key: ApiKey | None = None
) -> IssuedKey:
    """Issue a key with a new id in place of the old one, which is refused within a second. Raises ConfigurationError.

    Records tell the two apart by key id, and hold them together by user.
    """
    with database.write_transaction() as connection:
        person_id = require_active_user(connection, email)
        revoke_old = update(key_table).filter_by(person_id=person_id, revoked_at=None).values(revoked_at=database.now())
        if connection.execute(revoke_old).rowcount == 0:
            raise ConfigurationError(f"`{email}` has no key to rotate: create one")
        return issue_key(connection, database, person_id, days, api_key)


def revoke_key(database: MetadataDatabase, key_id: str) -> None:
    """Revoke a key for good; it is refused within a second. Doing so twice changes nothing."""
    with database.write_transaction() as connection:
        if connection.execute(select(key_table.c.id).filter_by(id=key_id)).first() is None:
            raise build_unknown_name_error(
                "key", key_id, connection.execute(select(key_table.c.id).filter_by(revoked_at=None)).scalars()
            )
        connection.execute(update(key_table).filter_by(id=key_id, revoked_at=None).values(revoked_at=database.now()))


def require_key_id(database: MetadataDatabase, key_id: str) -> str:
    """Return the id of a key. Raises ConfigurationError where there is none, offering the nearest."""
    with database.read_connection() as connection:
        if connection.execute(select(key_table.c.id).filter_by(id=key_id)).first() is None:
            raise build_unknown_name_error(
                "key", key_id, connection.execute(select(key_table.c.id).filter_by(revoked_at=None)).scalars()
            )
    return key_id


def find_key_id(database: MetadataDatabase, email: str, purpose: str = "revoke") -> str:
    """Return the id of a user's key that is not revoked. Raises ConfigurationError: they have none for the purpose."""
    with database.read_connection() as connection:
        user = find_user(connection, email)
        key_id = connection.execute(select(key_table.c.id).filter_by(person_id=user.id, revoked_at=None)).scalar()
    if key_id is None:
        raise ConfigurationError(f"`{email}` has no key to {purpose}")
    return str(key_id)


def list_keys(database: MetadataDatabase) -> tuple[KeyInfo, ...]:
    """List every key there ever was by e-mail address, the newest first."""
    columns = (
        key_table.c.id,
        user_table.c.email,
        key_table.c.created_at,
        key_table.c.expires_at,
        key_table.c.revoked_at,
    )
    statement = (
        select(*columns)
        .join(user_table)
        .order_by(user_table.c.email_folded, key_table.c.created_at.desc(), key_table.c.id)
    )
    with database.read_connection() as connection:
        return tuple(KeyInfo(**row) for row in connection.execute(statement).mappings())


def create_demo_key(database: MetadataDatabase, email: str, group: str) -> IssuedKey:
    """Issue the demo's key of a group to a user; the next start issues the same one, with a later expiry."""
    api_key = derive_demo_key(database.pepper, group)
    with database.write_transaction() as connection:
        connection.execute(delete(key_table).filter_by(id=api_key.id))
        return insert_key(
            connection,
            database,
            api_key,
            person_id=require_active_user(connection, email),
            days=DEFAULT_KEY_DAYS,
            demo=True,
        )


def has_demo_keys(database: MetadataDatabase) -> bool:
    """Whether a demo key is not revoked: such a database must not be served to other machines."""
    with database.read_connection() as connection:
        return bool(
            connection.execute(select(exists().where(key_table.c.demo, key_table.c.revoked_at.is_(None)))).scalar()
        )


def require_active_user(connection: Connection, email: str) -> str:
    """Return the id of a user who may have a key. Raises ConfigurationError for one who is deactivated."""
    user = find_user(connection, email)
    if user.deactivated_at is not None:
        raise ConfigurationError(f"`{email}` is deactivated and can have no key")
    return str(user.id)


def revoke_expired_keys(connection: Connection, database: MetadataDatabase, person_id: str) -> None:
    """Revoke an expired key, which is not valid but would still count as the user's one key."""
    expired = (
        update(key_table)
        .filter_by(person_id=person_id, revoked_at=None)
        .where(key_table.c.expires_at <= database.now())
    )
    connection.execute(expired.values(revoked_at=database.now()))


def mint_api_key() -> ApiKey:
    return mint_key(secrets.token_bytes(KEY_RANDOM_BYTES))


def issue_key(
    connection: Connection, database: MetadataDatabase, person_id: str, days: int, api_key: ApiKey | None = None
) -> IssuedKey:
    if not 1 <= days <= 3650:
        raise ConfigurationError(f"a key cannot last {days} days: choose 1 to 3650")
    return insert_key(
        connection,
        database,
        api_key or mint_api_key(),
        person_id=person_id,
        days=days,
        demo=False,
    )


def insert_key(
    connection: Connection, database: MetadataDatabase, api_key: ApiKey, *, person_id: str, days: int, demo: bool
) -> IssuedKey:
    now = database.now()
    expires_at = now + timedelta(days=days)
    connection.execute(
        insert(key_table).values(
            id=api_key.id, person_id=person_id, digest=hash_secret(database.pepper, api_key.secret), demo=demo,
            created_at=now, expires_at=expires_at,
        )
    )  # fmt: skip
    return IssuedKey(id=api_key.id, text=format_key(api_key), expires_at=expires_at)
