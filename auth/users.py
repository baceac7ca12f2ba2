"""Users, group membership, their keys."""

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
from onedoor.storage.tables import key_table, membership_table, user_table

EMAIL_PATTERN = re.compile(r"[^\s@]+@[^\s@]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person as the state knows them; `groups` sorted."""

    id: str
    first_name: str
    last_name: str
    email: str
    groups: tuple[str, ...]
    created_at: datetime
    deactivated_at: datetime | None


def create_user(database: MetadataDatabase, *, first_name: str, last_name: str, email: str) -> User:
    """A new person, in the group `everyone` from the start. Raises Mistake where the e-mail address is taken."""
    for name, value in (("first name", first_name), ("last name", last_name), ("e-mail address", email)):
        require_printable(name, value)
    if EMAIL_PATTERN.fullmatch(email) is None:
        raise ConfigurationError(f"`{email}` is no e-mail address: write it as `name@domain`")
    made = User(
        id=encode_id(secrets.token_bytes(16)), first_name=first_name, last_name=last_name, email=email,
        groups=(EVERYONE,), created_at=database.now(), deactivated_at=None,
    )  # fmt: skip
    try:
        with database.write_transaction() as connection:
            insert_user(connection, made)
    except IntegrityError as reason:
        raise ConfigurationError(f"there is already a person with the e-mail address `{email}`") from reason
    return made


def list_users(database: MetadataDatabase) -> tuple[User, ...]:
    """Everyone the state knows, by e-mail address."""
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
    """Return a person as they are now, or None where nobody has this id."""
    with database.read_connection() as connection:
        row = connection.execute(select(user_table).where(user_table.c.id == id)).first()
        held = (
            connection.execute(select(membership_table.c.group_name).where(membership_table.c.person_id == id))
            .scalars()
            .all()
        )
    if row is None:
        return None
    return User(
        id=row.id, first_name=row.first_name, last_name=row.last_name, email=row.email,
        groups=tuple(sorted(held)), created_at=row.created_at, deactivated_at=row.deactivated_at,
    )  # fmt: skip


def join_group(database: MetadataDatabase, email: str, group: str) -> None:
    """Put a person into a group; a person already in it stays, since when they were first put there."""
    with database.write_transaction() as connection:
        held = {"person_id": find_user(connection, email).id, "group_name": group}
        if connection.execute(select(membership_table).filter_by(**held)).first() is None:
            connection.execute(insert(membership_table).values(**held, since=database.now()))


def leave_group(database: MetadataDatabase, email: str, group: str) -> None:
    """Take a person out of a group, registered or not. Nobody leaves `everyone`: deactivate the person instead."""
    if group == EVERYONE:
        raise ConfigurationError(f"nobody leaves `{EVERYONE}`: deactivate the person instead")
    with database.write_transaction() as connection:
        found = find_user(connection, email)
        gone = delete(membership_table).filter_by(person_id=found.id, group_name=group)
        if connection.execute(gone).rowcount == 0:
            raise ConfigurationError(f"`{found.email}` is not in the group `{group}`")


def deactivate_user(database: MetadataDatabase, email: str) -> None:
    """Shuts a person out and revokes their key; what they did stays on record. Doing so twice changes nothing."""
    with database.write_transaction() as connection:
        found, now = find_user(connection, email), database.now()
        connection.execute(update(user_table).filter_by(id=found.id, deactivated_at=None).values(deactivated_at=now))
        connection.execute(update(key_table).filter_by(person_id=found.id, revoked_at=None).values(revoked_at=now))


def find_user(connection: Connection, email: str) -> Row[tuple[object, ...]]:
    """The row of the person with an e-mail address, however it is written; else offers a near one."""
    row = connection.execute(select(user_table).filter_by(email_folded=fold_email(email))).first()
    if row is None:
        raise build_unknown_name_error("person", email, connection.execute(select(user_table.c.email)).scalars())
    return row


def fold_email(email: str) -> str:
    """What two ways of writing one address have in common: NFKC, case folded, NFKC again as folding undoes it."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", email).casefold())


def insert_user(connection: Connection, user: User) -> None:
    connection.execute(
        insert(user_table).values(
            id=user.id, first_name=user.first_name, last_name=user.last_name, email=user.email,
            email_folded=fold_email(user.email), created_at=user.created_at,
        )
    )  # fmt: skip
    connection.execute(insert(membership_table).values(person_id=user.id, group_name=EVERYONE, since=user.created_at))


def list_unregistered_memberships(database: MetadataDatabase, groups: Groups) -> tuple[tuple[str, str], ...]:
    """Return (e-mail address, group) of each membership in a group that nobody registered, which counts for nothing."""
    return tuple(
        (user.email, name) for user in list_users(database) for name in user.groups if name not in groups.names
    )


def require_printable(name: str, value: str) -> None:
    """A name is shown on terminals and in records, so it holds nothing that could move a cursor or hide a letter."""
    if not value.strip() or not value.isprintable():
        raise ConfigurationError(f"the {name} is empty or holds characters that cannot be shown")


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedKey:
    """A key just made; `text` is what its person carries, shown this once."""

    id: str
    text: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """What the state tells of a key: never its secret, nor the digest of it."""

    id: str
    email: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


def create_key(database: MetadataDatabase, email: str, *, days: int = DEFAULT_KEY_DAYS) -> IssuedKey:
    """A key for a person who has none that still opens. Raises Mistake where there is one, or the person is gone."""
    with database.write_transaction() as connection:
        person_id = require_active_user(connection, email)
        revoke_expired_keys(connection, database, person_id)
        try:
            return issue_key(connection, database, person_id, days)
        except IntegrityError as reason:
            raise ConfigurationError(f"`{email}` already has a key: rotate it, or revoke it first") from reason


def rotate_key(database: MetadataDatabase, email: str, *, days: int = DEFAULT_KEY_DAYS) -> IssuedKey:
    """A new key, with a new id, in place of the old one, which stops opening within a second.

    Records tell the two apart by key id and hold them together by person.
    """
    with database.write_transaction() as connection:
        person_id = require_active_user(connection, email)
        old = update(key_table).filter_by(person_id=person_id, revoked_at=None).values(revoked_at=database.now())
        if connection.execute(old).rowcount == 0:
            raise ConfigurationError(f"`{email}` has no key to rotate: create one")
        return issue_key(connection, database, person_id, days)


def revoke_key(database: MetadataDatabase, key_id: str) -> None:
    """Shuts one key, for good; it stops opening within a second. Doing so twice changes nothing."""
    with database.write_transaction() as connection:
        if connection.execute(select(key_table.c.id).filter_by(id=key_id)).first() is None:
            raise build_unknown_name_error(
                "key", key_id, connection.execute(select(key_table.c.id).filter_by(revoked_at=None)).scalars()
            )
        connection.execute(update(key_table).filter_by(id=key_id, revoked_at=None).values(revoked_at=database.now()))


def list_keys(database: MetadataDatabase) -> tuple[KeyInfo, ...]:
    """Every key there ever was, by e-mail address, the newest first."""
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
    """The demo's key for a group, given to a person; the next start gives the same one, its expiry put off."""
    made = derive_demo_key(database.pepper, group)
    with database.write_transaction() as connection:
        connection.execute(delete(key_table).filter_by(id=made.id))
        return insert_key(
            connection,
            database,
            made,
            person_id=require_active_user(connection, email),
            days=DEFAULT_KEY_DAYS,
            demo=True,
        )


def has_demo_keys(database: MetadataDatabase) -> bool:
    """Whether a demo key still opens: such a state must not be served to other machines."""
    with database.read_connection() as connection:
        return bool(
            connection.execute(select(exists().where(key_table.c.demo, key_table.c.revoked_at.is_(None)))).scalar()
        )


def require_active_user(connection: Connection, email: str) -> str:
    """The id of a person who may hold a key."""
    found = find_user(connection, email)
    if found.deactivated_at is not None:
        raise ConfigurationError(f"`{email}` is deactivated and can have no key")
    return str(found.id)


def revoke_expired_keys(connection: Connection, database: MetadataDatabase, person_id: str) -> None:
    """Makes room: an expired key opens nothing, but would still count as the person's one key."""
    expired = (
        update(key_table)
        .filter_by(person_id=person_id, revoked_at=None)
        .where(key_table.c.expires_at <= database.now())
    )
    connection.execute(expired.values(revoked_at=database.now()))


def issue_key(connection: Connection, database: MetadataDatabase, person_id: str, days: int) -> IssuedKey:
    if not 1 <= days <= 3650:
        raise ConfigurationError(f"a key cannot last {days} days: choose 1 to 3650")
    return insert_key(
        connection,
        database,
        mint_key(secrets.token_bytes(KEY_RANDOM_BYTES)),
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
