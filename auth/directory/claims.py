"""Deliver the key of a person by a code that they exchange for it once: nobody else ever sees the key.

A code authenticates its person, in the group `everyone` alone, until it is exchanged.
"""

import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, select, update

from auth.api_keys import IssuedKey, create_key, has_valid_key, require_active_user, rotate_key
from auth.attribution import Attribution, SubjectChange, name_change
from auth.key_format import (
    CLAIM_PREFIX,
    ID_LENGTH,
    SECRET_LENGTH,
    PlaintextKey,
    encode_base62,
    encode_id,
    format_claim,
    hash_secret,
)
from auth.users import revoke_claims
from onedoor.errors import ConfigurationError
from onedoor.storage.database import MetadataDatabase
from onedoor.storage.directory_tables import key_claim_table
from onedoor.storage.tables import user_table

LINK_PERIOD = timedelta(days=7)
"""For how long the link of a new person is valid."""

SIGN_IN_PERIOD = timedelta(minutes=2)
"""For how long the code of a sign-in is valid, which a page exchanges at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimCode:
    """A code that is not used yet."""

    id: str
    person_id: str
    email: str
    text: str = field(repr=False)
    expires_at: datetime


def create_claim(
    connection: Connection,
    pepper: bytes,
    person_id: str,
    now: datetime,
    *,
    period: timedelta = LINK_PERIOD,
    random: bytes | None = None,
) -> str:
    """Create the one code of a person that is valid from now on, and return its text.

    `random` decides the id: the same twice raises IntegrityError.
    """
    revoke_claims(connection, person_id, now)
    id = CLAIM_PREFIX + encode_id(secrets.token_bytes(16) if random is None else random)
    secret = derive_claim_secret(pepper, id)
    connection.execute(
        insert(key_claim_table).values(
            id=id, person_id=person_id, digest=hash_secret(pepper, secret), created_at=now, expires_at=now + period
        )
    )
    return format_claim(PlaintextKey(id=id, secret=secret))


def list_claims(database: MetadataDatabase) -> tuple[ClaimCode, ...]:
    """List the codes that wait for their people, by e-mail address: whoever has one has the key of its person."""
    statement = (
        select(key_claim_table, user_table.c.email)
        .join(user_table)
        .filter_by(used_at=None, revoked_at=None)
        .where(key_claim_table.c.expires_at > database.now(), user_table.c.deactivated_at.is_(None))
        .order_by(user_table.c.email_folded)
    )
    with database.read_connection() as connection:
        rows = connection.execute(statement).all()
    return tuple(
        ClaimCode(
            id=row.id, person_id=row.person_id, email=row.email, expires_at=row.expires_at,
            text=format_claim(PlaintextKey(id=row.id, secret=derive_claim_secret(database.pepper, row.id))),
        )
        for row in rows
    )  # fmt: skip


def replace_claim(database: MetadataDatabase, user: str, attribution: Attribution) -> ClaimCode:
    """Create another code for an active person, which ends the one before. Raises ConfigurationError."""
    with database.write_transaction() as connection:
        row, now = require_active_user(connection, user), database.now()
        if row.owner_group is not None:
            raise ConfigurationError(f"`{row.email}` is a service: rotate its key instead")
        text = create_claim(connection, database.pepper, row.id, now)
        id = str(text[: len(CLAIM_PREFIX) + ID_LENGTH])
        change = SubjectChange(type="KeyClaim", id=id, verb="create", person_id=row.id)
        name_change(connection, attribution, change)
    return ClaimCode(id=id, person_id=row.id, email=row.email, text=text, expires_at=now + LINK_PERIOD)


def build_link(address: str, claim: ClaimCode) -> str:
    """Build the link of a code, in the fragment of an address, which browsers send to no server."""
    return f"{address.rstrip('/')}/account#code={claim.text}"


def redeem_claim(database: MetadataDatabase, claim_id: str, person_id: str, attribution: Attribution) -> IssuedKey:
    """Use a code up, and give its person a key, or their key another secret. Raises ConfigurationError.

    A former secret is refused at once: whoever signs in may have lost it.
    """
    with database.write_transaction() as connection:
        now = database.now()
        valid = update(key_claim_table).filter_by(id=claim_id, person_id=person_id, used_at=None, revoked_at=None)
        if connection.execute(valid.where(key_claim_table.c.expires_at > now).values(used_at=now)).rowcount != 1:
            raise ConfigurationError("the code was used already or is too old: sign in again, or ask for another link")
        name_change(connection, attribution, SubjectChange(type="KeyClaim", id=claim_id, verb="use"))
    if has_valid_key(database, person_id):
        return rotate_key(database, person_id, grace=None, attribution=attribution)
    return create_key(database, person_id, attribution=attribution)


def derive_claim_secret(pepper: bytes, id: str) -> str:
    """Derive the secret of a code from its id: it is stored nowhere, and can be shown until it is used."""
    return encode_base62(hmac.digest(pepper, f"claim:{id}".encode(), "sha256"), SECRET_LENGTH)
