"""Create, rotate, extend, list and revoke API keys: one for each user, with at most two secrets that are valid."""

import logging
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, Connection, Row, Select, and_, delete, exists, insert, literal, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from auth.attribution import UNATTRIBUTED, Attribution, SubjectChange, name_change
from auth.key_format import (
    CLAIM_PREFIX,
    DEFAULT_KEY_DAYS,
    PlaintextKey,
    derive_demo_key,
    format_key,
    hash_secret,
    mint_api_key,
)
from auth.users import find_user, find_user_or_none
from onedoor.errors import ConfigurationError, build_unknown_name_error
from onedoor.storage.database import MetadataDatabase
from onedoor.storage.directory_tables import key_claim_table
from onedoor.storage.tables import MICROSECOND, UNIX_EPOCH, key_table, user_table

log = logging.getLogger("onedoor.keys")

KEYS_PER_QUERY = 500

DEFAULT_GRACE = timedelta(hours=1)
"""How long the secret before a rotation is still valid after the first use of the new one."""

GRACE_MAX = timedelta(days=7)

KEY_DAYS_MAX = 3650


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedKey:
    """A key just issued, or a new secret of it; `text` is what its user sends, shown this once."""

    id: str
    text: str = field(repr=False)
    expires_at: datetime
    secret: int = 1
    """The number of the secret: 1 at first, and one more with each rotation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """What the metadata database shows of a key: never a secret, nor the digest of one."""

    id: str
    email: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    secret: int = 1
    rotated_at: datetime | None = None
    used_at: datetime | None = None
    """The last use, to the minute."""


def create_key(
    database: MetadataDatabase,
    user: str,
    *,
    days: int = DEFAULT_KEY_DAYS,
    attribution: Attribution = UNATTRIBUTED,
) -> IssuedKey:
    """Issue a key to an active user without a valid one. Raises ConfigurationError."""
    expires_at = compute_expiry(database.now(), days)
    with database.write_transaction() as connection:
        row = require_active_user(connection, user)
        _revoke_expired_key(connection, database.now(), row.id)
        unrevoked = select(key_table.c.id).filter_by(person_id=row.id, revoked_at=None)
        if connection.execute(unrevoked).first() is not None:
            raise _build_second_key_error(row.email)
        try:
            issued = _insert_key(connection, database, mint_api_key(), row.id, expires_at=expires_at, demo=False)
        except IntegrityError as reason:
            raise _build_second_key_error(row.email) from reason
        _name_key_change(connection, attribution, issued.id, "create")
    return issued


def rotate_key(
    database: MetadataDatabase,
    user: str,
    *,
    grace: timedelta | None = DEFAULT_GRACE,
    used_secret: int | None = None,
    attribution: Attribution = UNATTRIBUTED,
) -> IssuedKey:
    """Give a key another secret; its id and its expiry stay. Raises ConfigurationError.

    The secret before is valid until the new one is first used, and for `grace` after that; None: it is refused within
    a second. Of two that are valid already, the one in use is kept: `used_secret`, where the caller knows it.
    """
    if grace is not None and not timedelta(0) <= grace <= GRACE_MAX:
        raise ConfigurationError(f"the former secret can stay for 0 hours to {GRACE_MAX.days} days after the first use")
    with database.write_transaction() as connection:
        row = require_active_user(connection, user)
        key = connection.execute(_select_valid_key(database, row.id).with_for_update()).first()
        if key is None:
            raise ConfigurationError(f"`{user}` has no key to rotate: create one")
        if used_secret is not None and used_secret != key.secret and key.previous_until is not None:
            raise ConfigurationError("a later secret of this key is in use: rotate it with that one")
        api_key = PlaintextKey(id=key.id, secret=mint_api_key().secret)
        former_digest, former_secret = _choose_former_secret(key, used_secret)
        issued = IssuedKey(id=key.id, text=format_key(api_key), expires_at=key.expires_at, secret=key.secret + 1)
        connection.execute(
            update(key_table)
            .filter_by(id=key.id)
            .values(
                digest=hash_secret(database.pepper, api_key.secret),
                secret=issued.secret,
                demo=key.demo and grace is not None,
                rotated_at=database.now(),
                previous_digest=None if grace is None else former_digest,
                previous_secret=None if grace is None else former_secret,
                previous_until=None,
                grace=None if grace is None else grace // MICROSECOND,
            )
        )
        _name_key_change(connection, attribution, key.id, "rotate")
        return issued


def _choose_former_secret(key: Row[Any], used_secret: int | None) -> tuple[bytes, int]:
    """Choose the secret that stays beside the new one: the one in use, as nobody has an unused one to lose."""
    is_unused = key.previous_digest is not None and key.previous_until is None
    if is_unused and used_secret != key.secret:
        return key.previous_digest, key.previous_secret
    return key.digest, key.secret


def extend_key(
    database: MetadataDatabase, user: str, *, days: int, attribution: Attribution = UNATTRIBUTED
) -> datetime:
    """Let a key last for so many days from now, and return when it expires. Raises ConfigurationError."""
    with database.write_transaction() as connection:
        row = require_active_user(connection, user)
        expires_at = compute_expiry(database.now(), days)
        key = connection.execute(select(key_table).filter_by(person_id=row.id, revoked_at=None)).first()
        if key is None:
            raise ConfigurationError(f"`{user}` has no key to extend: create one")
        if expires_at <= key.expires_at:
            raise ConfigurationError(f"the key lasts until {key.expires_at:%Y-%m-%d} already: extend it by more days")
        connection.execute(update(key_table).filter_by(id=key.id).values(expires_at=expires_at))
        _name_key_change(connection, attribution, key.id, "extend")
    return expires_at


def revoke_key(database: MetadataDatabase, key_id: str, attribution: Attribution = UNATTRIBUTED) -> None:
    """Revoke a key for good; it is refused within a second. Doing so twice changes nothing."""
    require_key_id(database, key_id)
    with database.write_transaction() as connection:
        revoked = update(key_table).filter_by(id=key_id, revoked_at=None).values(revoked_at=database.now())
        if connection.execute(revoked).rowcount:
            _name_key_change(connection, attribution, key_id, "revoke")


def require_key_id(database: MetadataDatabase, key_id: str) -> str:
    """Return the id of a key. Raises ConfigurationError where there is none, offering the nearest."""
    with database.read_connection() as connection:
        if connection.execute(select(key_table.c.id).filter_by(id=key_id)).first() is None:
            raise build_unknown_name_error(
                "key", key_id, connection.execute(select(key_table.c.id).filter_by(revoked_at=None)).scalars()
            )
    return key_id


def resolve_key_id(database: MetadataDatabase, key: str) -> str:
    """Return the id of a key, by its id or by its user. Raises ConfigurationError, offering the nearest."""
    with database.read_connection() as connection:
        if connection.execute(select(key_table.c.id).filter_by(id=key)).first() is not None:
            return key
        is_user = "@" in key or find_user_or_none(connection, key) is not None
    return find_key_id(database, key) if is_user else require_key_id(database, key)


def find_key_id(database: MetadataDatabase, user: str, purpose: str = "revoke") -> str:
    """Return the id of a user's key that is not revoked. Raises ConfigurationError: they have none for the purpose."""
    with database.read_connection() as connection:
        row = find_user(connection, user)
        key_id = connection.execute(select(key_table.c.id).filter_by(person_id=row.id, revoked_at=None)).scalar()
    if key_id is None:
        raise ConfigurationError(f"`{user}` has no key to {purpose}")
    return str(key_id)


class SecretNumber(NamedTuple):
    """Which secret of which key."""

    key_id: str
    secret: int


def find_ended_secrets(database: MetadataDatabase, secrets: Collection[SecretNumber]) -> frozenset[SecretNumber]:
    """Return those of the secrets that are not valid any more: the key, the secret or the user has ended."""
    ids, now = sorted({secret.key_id for secret in secrets}), database.now()
    valid: set[SecretNumber] = set()
    with database.read_connection() as connection:
        for start in range(0, len(ids), KEYS_PER_QUERY):
            is_open = and_(
                key_table.c.id.in_(ids[start : start + KEYS_PER_QUERY]), key_table.c.revoked_at.is_(None),
                key_table.c.expires_at > now, user_table.c.deactivated_at.is_(None),
            )  # fmt: skip
            for key in connection.execute(select(key_table).join(user_table).where(is_open)):
                valid.add(SecretNumber(key.id, key.secret))
                if key.previous_secret is not None and (key.previous_until is None or now < key.previous_until):
                    valid.add(SecretNumber(key.id, key.previous_secret))
        claim_ids = [id for id in ids if id.startswith(CLAIM_PREFIX)]
        if claim_ids:
            # a code that is used up was so by what is under way
            is_unrevoked = and_(
                key_claim_table.c.id.in_(claim_ids), key_claim_table.c.revoked_at.is_(None),
                user_table.c.deactivated_at.is_(None),
            )  # fmt: skip
            unrevoked = connection.execute(select(key_claim_table.c.id).join(user_table).where(is_unrevoked))
            valid.update(SecretNumber(id, 1) for id in unrevoked.scalars())
    return frozenset(secrets) - valid


def is_valid_key(database: MetadataDatabase, key_id: str) -> bool:
    """Whether a key is valid now, with whichever secret, and its user active."""
    is_open = and_(
        key_table.c.id == key_id, key_table.c.revoked_at.is_(None), key_table.c.expires_at > database.now(),
        user_table.c.deactivated_at.is_(None),
    )  # fmt: skip
    with database.read_connection() as connection:
        return connection.execute(select(key_table.c.id).join(user_table).where(is_open)).first() is not None


def has_valid_key(database: MetadataDatabase, person_id: str) -> bool:
    """Whether a person has a key that is valid now."""
    with database.read_connection() as connection:
        return connection.execute(_select_valid_key(database, person_id)).first() is not None


def list_keys(
    database: MetadataDatabase, *, user: str | None = None, expiring_before: datetime | None = None
) -> tuple[KeyInfo, ...]:
    """List every key there ever was by e-mail address, the newest first; or a user's; or valid ones that expire soon.

    Raises ConfigurationError for an unknown user.
    """
    key = key_table.c
    statement = select(
        key.id, user_table.c.email, key.created_at, key.expires_at, key.revoked_at, key.secret, key.rotated_at,
        key.used_at,
    ).join(user_table)  # fmt: skip
    statement = statement.order_by(user_table.c.email_folded, key.created_at.desc(), key.id)
    if expiring_before is not None:
        is_valid = key.revoked_at.is_(None) & (key.expires_at > database.now())
        statement = statement.where(is_valid, key.expires_at < expiring_before)
    with database.read_connection() as connection:
        if user is not None:
            statement = statement.where(user_table.c.id == find_user(connection, user).id)
        return tuple(KeyInfo(**row) for row in connection.execute(statement).mappings())


def create_demo_key(database: MetadataDatabase, email: str, group: str) -> IssuedKey:
    """Issue the demo's key of a group to a user; the next start issues the same one, with a later expiry."""
    api_key = derive_demo_key(database.pepper, group)
    with database.write_transaction() as connection:
        connection.execute(delete(key_table).filter_by(id=api_key.id))
        return _insert_key(
            connection,
            database,
            api_key,
            str(require_active_user(connection, email).id),
            expires_at=compute_expiry(database.now(), DEFAULT_KEY_DAYS),
            demo=True,
        )


def has_demo_keys(database: MetadataDatabase) -> bool:
    """Whether a demo key is not revoked: such a database must not be served to other machines."""
    with database.read_connection() as connection:
        return bool(
            connection.execute(select(exists().where(key_table.c.demo, key_table.c.revoked_at.is_(None)))).scalar()
        )


USE_RESOLUTION = timedelta(minutes=1)
"""How far apart two uses of a key are of which the second is written down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUse:
    """That a key was used, with which of its secrets."""

    key_id: str
    secret: int
    at: datetime


def record_key_use(database: MetadataDatabase, use: KeyUse) -> None:
    """Write down the use of a key, and at the first use of a new secret when the former one ends.

    What cannot be written now is written at a later use.
    """
    key = key_table.c
    later = update(key_table).filter_by(id=use.key_id).where(key.used_at.is_(None) | (key.used_at < use.at))
    is_first_use = and_(key.secret == use.secret, key.previous_digest.is_not(None), key.previous_until.is_(None))
    former_ends = literal((use.at - UNIX_EPOCH) // MICROSECOND, BigInteger) + key.grace
    try:
        with database.write_transaction() as connection:
            connection.execute(later.values(used_at=use.at))
            connection.execute(
                update(key_table).filter_by(id=use.key_id).where(is_first_use).values(previous_until=former_ends)
            )
    except SQLAlchemyError:
        log.warning("the use of a key could not be written down: the metadata database does not answer")


def require_active_user(connection: Connection, user: str) -> Row[Any]:
    """Return the row of a user who may have a key. Raises ConfigurationError for one who is deactivated."""
    row = find_user(connection, user)
    if row.deactivated_at is not None:
        raise ConfigurationError(f"`{user}` is deactivated and can have no key")
    return row


def compute_expiry(now: datetime, days: int) -> datetime:
    """Compute when a key expires. Raises ConfigurationError for a number of days that no key lasts."""
    if not 1 <= days <= KEY_DAYS_MAX:
        raise ConfigurationError(f"a key cannot last {days} days: choose 1 to {KEY_DAYS_MAX}")
    return now + timedelta(days=days)


def _name_key_change(connection: Connection, attribution: Attribution, id: str, verb: str) -> None:
    person_id = connection.execute(select(key_table.c.person_id).filter_by(id=id)).scalar_one()
    name_change(connection, attribution, SubjectChange(type="Key", id=id, verb=verb, person_id=person_id))


def _select_valid_key(database: MetadataDatabase, person_id: str) -> Select[Any]:
    unexpired = key_table.c.expires_at > database.now()
    return select(key_table).filter_by(person_id=person_id, revoked_at=None).where(unexpired)


def _revoke_expired_key(connection: Connection, now: datetime, person_id: str) -> None:
    """Revoke an expired key, which is not valid but would still count as the user's one key."""
    expired = update(key_table).filter_by(person_id=person_id, revoked_at=None).where(key_table.c.expires_at <= now)
    connection.execute(expired.values(revoked_at=now))


def _build_second_key_error(email: str) -> ConfigurationError:
    return ConfigurationError(f"`{email}` already has a key: rotate it, or revoke it first")


def _insert_key(
    connection: Connection,
    database: MetadataDatabase,
    api_key: PlaintextKey,
    person_id: str,
    *,
    expires_at: datetime,
    demo: bool,
) -> IssuedKey:
    connection.execute(
        insert(key_table).values(
            id=api_key.id, person_id=person_id, digest=hash_secret(database.pepper, api_key.secret), demo=demo,
            created_at=database.now(), expires_at=expires_at,
        )
    )  # fmt: skip
    return IssuedKey(id=api_key.id, text=format_key(api_key), expires_at=expires_at)
