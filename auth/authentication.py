"""Authenticate requests: look the principal of an API key up, and remember it for a second."""

import asyncio
import time
from asyncio import Future
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from cachetools import TTLCache
from sqlalchemy import bindparam, select
from sqlalchemy.exc import SQLAlchemyError

from auth.api_keys import USE_RESOLUTION, KeyUse, SecretNumber, find_ended_secrets, record_key_use
from auth.grant_store import load_held_grants
from auth.grants import HeldGrant, find_ended
from auth.groups import EVERYONE, Groups, find_groups
from auth.key_format import CLAIM_PREFIX, PLACEHOLDER_KEY, hash_secret, is_same_digest, parse_claim, parse_key
from auth.memberships import IdentitySource, Membership, read_membership
from auth.users import Attributes, load_attributes
from onedoor.storage.database import TIMEOUT_SECONDS, MetadataDatabase, MetadataDatabaseUnavailable
from onedoor.storage.directory_tables import key_claim_table
from onedoor.storage.tables import key_table, membership_table, user_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A user with the functional groups and grants they have now, and the key they authenticated with.

    `key_id` is the public part of the key, never its secret; times are UTC. A service has an `owner_group`.
    """

    person_id: str
    first_name: str
    last_name: str
    email: str
    groups: frozenset[str]
    """Those they are a member of, and those of their grants."""
    grants: tuple[HeldGrant, ...]
    """Of groups that they are no member of."""
    key_id: str
    key_created: datetime
    key_expires: datetime
    secret: int | None = None
    """The number of the secret that was sent; None where none was, as in a job."""
    key_used: datetime | None = None
    """The last use of the key before, to the minute."""
    owner_group: str | None = None
    memberships: tuple[Membership, ...] = ()
    """By which sources they are in which groups, registered ones alone."""
    attributes: Attributes = field(default_factory=dict, hash=False)

    @property
    def has_claim(self) -> bool:
        """Whether a code authenticated it that is still to be exchanged for a key."""
        return self.key_id.startswith(CLAIM_PREFIX)


def drop_grants(principal: Principal, ended: Sequence[HeldGrant]) -> Principal:
    """Return a principal without these grants and their groups."""
    if not ended:
        return principal
    return replace(
        principal,
        groups=principal.groups - {grant.group for grant in ended},
        grants=tuple(grant for grant in principal.grants if grant not in ended),
    )


def name_directory(source: IdentitySource) -> str:
    """Return the name under which a directory stands in records; the id of a person never holds a colon."""
    return f"directory:{source}"


def build_directory_principal(source: IdentitySource, now: datetime) -> Principal:
    """Build the principal that stands for a directory: it is in no group and holds no key."""
    name = name_directory(source)
    return Principal(
        person_id=name, first_name=name, last_name="", email="", groups=frozenset(), grants=(), key_id=name,
        key_created=now, key_expires=now,
    )  # fmt: skip


LOOKUP_MAX_AGE_SECONDS = 1.0

LOOKUPS_MAX = 10_000

LOOKUP_THREADS = 4

NO_DIGEST = bytes(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySecret:
    """A secret of a key, by its digest; `until` is None where it is valid as long as the key."""

    digest: bytes = field(repr=False)
    until: datetime | None = None
    principal: Principal
    """Whom it authenticates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """A key as the metadata database holds it; `former` is its secret before the last rotation, where that is valid."""

    current: KeySecret
    former: KeySecret | None = None
    disabled: bool
    awaits_first_use: bool = False
    """Whether the use of `current` is what lets `former` end."""


def find_secret(key_record: KeyRecord | None, digest: bytes) -> KeySecret | None:
    """Find the secret of a key that has this digest, in a time that tells neither which it is nor how near it came."""
    current = None if key_record is None else key_record.current
    former = None if key_record is None else key_record.former
    is_current = is_same_digest(digest, NO_DIGEST if current is None else current.digest)
    is_former = is_same_digest(digest, NO_DIGEST if former is None else former.digest)
    return current if is_current else former if is_former else None


class Authenticator:
    """Authenticates API keys. A refusal costs one HMAC and one look-up, whatever its reason.

    A look-up is shared by all requests with the same secret, and reused for LOOKUP_MAX_AGE_SECONDS from its start where
    the key was valid; refusals are not remembered. Its threads are its own: a connector that hangs locks nobody out.
    """

    def __init__(
        self,
        *,
        look_up: Callable[[str], KeyRecord | None],
        compute_digest: Callable[[str], bytes],
        now: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
        record_use: Callable[[KeyUse], None] | None = None,
        find_ended: Callable[[Collection[SecretNumber]], Collection[SecretNumber]] = lambda _: (),
    ) -> None:
        """Authenticate by what `look_up` finds; `record_use` is given uses that are due, in a thread of its own."""
        self._find_ended = find_ended
        self._look_up, self._compute_digest, self._now, self._record_use = look_up, compute_digest, now, record_use
        self._lookups: TTLCache[bytes, Future[KeyRecord | None]] = TTLCache(
            LOOKUPS_MAX, LOOKUP_MAX_AGE_SECONDS, timer=monotonic
        )
        self._threads = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="onedoor-auth")
        self._use_thread = ThreadPoolExecutor(1, thread_name_prefix="onedoor-key-uses")

    async def authenticate(self, text: str | None) -> Principal | None:
        """Return the principal of a key, or None where it is not valid. Raises MetadataDatabaseUnavailable."""
        parsed_key = parse_key(text) or parse_claim(text)
        key = parsed_key or PLACEHOLDER_KEY
        digest = self._compute_digest(key.secret)
        lookup = self._lookups.get(key.id.encode() + digest)
        record = lookup.result() if lookup and lookup.done() else await self._wait_for_lookup(key.id, digest)
        secret = find_secret(record, digest)
        if parsed_key is None or record is None or secret is None or not is_valid_secret(record, secret, self._now()):
            return None
        principal = secret.principal
        return drop_grants(principal, find_ended(principal.grants, self._now())) if principal.grants else principal

    async def find_ended(self, secrets: Collection[SecretNumber]) -> Collection[SecretNumber]:
        """Return those of the secrets that are not valid any more. Raises MetadataDatabaseUnavailable."""
        looking = asyncio.get_running_loop().run_in_executor(self._threads, self._find_ended, secrets)
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await looking
        except TimeoutError:
            raise MetadataDatabaseUnavailable("the metadata database is too slow") from None
        except SQLAlchemyError:
            raise MetadataDatabaseUnavailable("the metadata database does not answer") from None

    async def _wait_for_lookup(self, key_id: str, digest: bytes) -> KeyRecord | None:
        """Return the result of a look-up. Raises MetadataDatabaseUnavailable where it takes too long."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await asyncio.shield(self._start_lookup(key_id, digest))
        except TimeoutError:
            raise MetadataDatabaseUnavailable("the metadata database is too slow") from None

    def close(self) -> None:
        """Stop the threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._use_thread.shutdown(wait=True)

    def _start_lookup(self, key_id: str, digest: bytes) -> "Future[KeyRecord | None]":
        """Return the look-up that is under way or fresh, or else start one."""
        cache_key = key_id.encode() + digest
        lookup = self._lookups.get(cache_key)
        if lookup is None:
            lookup = asyncio.get_running_loop().run_in_executor(self._threads, self._look_up, key_id)
            lookup.add_done_callback(partial(self._settle_lookup, cache_key, digest))
            self._lookups[cache_key] = lookup
        return lookup

    def _settle_lookup(self, cache_key: bytes, digest: bytes, lookup: "Future[KeyRecord | None]") -> None:
        """Forget a look-up that authenticates nobody, and record the use of a key where one is due."""
        failed = lookup.cancelled() or lookup.exception() is not None
        record, now = None if failed else lookup.result(), self._now()
        secret = find_secret(record, digest)
        if record is None or secret is None or not is_valid_secret(record, secret, now):
            self._lookups.pop(cache_key, None)
        elif self._record_use is not None and is_use_due(record, secret, now):
            with suppress(RuntimeError):  # the threads were stopped meanwhile
                self._use_thread.submit(self._record_use, _build_use(secret, now))


def open_authenticator(
    database: MetadataDatabase, groups: Groups, *, monotonic: Callable[[], float] = time.monotonic
) -> Authenticator:
    """Return the authenticator of the users of a database, each in their registered groups alone."""
    return Authenticator(
        look_up=partial(look_up_key, database, groups),
        compute_digest=partial(hash_secret, database.pepper),
        now=database.now,
        monotonic=monotonic,
        record_use=partial(record_key_use, database),
        find_ended=partial(find_ended_secrets, database),
    )


def is_valid_secret(key_record: KeyRecord, secret: KeySecret, now: datetime) -> bool:
    """Whether a key is valid now with one of its secrets."""
    is_valid_key = not key_record.disabled and now < secret.principal.key_expires
    return is_valid_key and (secret.until is None or now < secret.until)


def is_use_due(key_record: KeyRecord, secret: KeySecret, now: datetime) -> bool:
    """Whether the use of a secret is to be written down: the first of a new one, and else one a minute."""
    if key_record.awaits_first_use and secret is key_record.current:
        return True
    used_at = secret.principal.key_used
    return used_at is None or now - used_at >= USE_RESOLUTION


def _build_use(secret: KeySecret, now: datetime) -> KeyUse:
    return KeyUse(key_id=secret.principal.key_id, secret=secret.principal.secret or 1, at=now)


KEY_AND_USER_QUERY = (
    select(
        key_table.c.digest, key_table.c.created_at, key_table.c.expires_at, key_table.c.revoked_at,
        key_table.c.secret, key_table.c.used_at, key_table.c.previous_digest, key_table.c.previous_secret,
        key_table.c.previous_until, key_table.c.person_id, user_table.c.first_name, user_table.c.last_name,
        user_table.c.email, user_table.c.deactivated_at, user_table.c.owner_group, user_table.c.attributes,
        membership_table.c.group_name, membership_table.c.source, membership_table.c.since,
        membership_table.c.confirmed_at,
    )
    .join_from(key_table, user_table)
    .outerjoin(membership_table, membership_table.c.person_id == user_table.c.id)
    .where(key_table.c.id == bindparam("id"))
    .order_by(membership_table.c.group_name, membership_table.c.source)
)  # fmt: skip


def look_up_key(database: MetadataDatabase, groups: Groups, key_id: str) -> KeyRecord | None:
    """Look up a key, its user, their memberships and grants; a service is disabled without its owner.

    The id may be that of a code that is exchanged for a key. Blocks: call it in a thread. Raises
    MetadataDatabaseUnavailable.
    """
    if key_id.startswith(CLAIM_PREFIX):
        return look_up_claim(database, key_id)
    try:
        with database.read_connection() as connection:
            rows = connection.execute(KEY_AND_USER_QUERY, {"id": key_id}).all()
            held = load_held_grants(connection, rows[0].person_id, database.now()) if rows else ()
    except SQLAlchemyError as reason:
        raise MetadataDatabaseUnavailable("the metadata database does not answer") from reason
    if not rows:
        return None
    row = rows[0]
    memberships = tuple(read_membership(row) for row in rows if row.group_name in groups.names)
    member_groups = find_groups(groups, memberships, database.now())
    grants = tuple(grant for grant in held if grant.group in groups.names - member_groups)
    principal = Principal(
        person_id=row.person_id, first_name=row.first_name, last_name=row.last_name, email=row.email,
        groups=member_groups.union(grant.group for grant in grants), grants=grants, key_id=key_id,
        key_created=row.created_at, key_expires=row.expires_at, secret=row.secret, key_used=row.used_at,
        owner_group=row.owner_group, memberships=memberships, attributes=load_attributes(row.attributes),
    )  # fmt: skip
    return KeyRecord(
        current=KeySecret(digest=row.digest, principal=principal),
        former=_build_former_secret(row, principal),
        disabled=row.revoked_at is not None
        or row.deactivated_at is not None
        or (row.owner_group is not None and row.owner_group not in groups.names),
        awaits_first_use=row.previous_digest is not None and row.previous_until is None,
    )


def look_up_claim(database: MetadataDatabase, claim_id: str) -> KeyRecord | None:
    """Look up a code that is exchanged for a key, and its user, who by it is in the group `everyone` alone.

    Raises MetadataDatabaseUnavailable.
    """
    statement = select(key_claim_table, user_table).join(user_table).where(key_claim_table.c.id == claim_id)
    try:
        with database.read_connection() as connection:
            row = connection.execute(statement).first()
    except SQLAlchemyError as reason:
        raise MetadataDatabaseUnavailable("the metadata database does not answer") from reason
    if row is None:
        return None
    principal = Principal(
        person_id=row.person_id, first_name=row.first_name, last_name=row.last_name, email=row.email,
        groups=frozenset({EVERYONE}), grants=(), key_id=claim_id, key_created=row.created_at,
        key_expires=row.expires_at, key_used=database.now(),
    )  # fmt: skip
    is_over = row.used_at is not None or row.revoked_at is not None or row.deactivated_at is not None
    return KeyRecord(current=KeySecret(digest=row.digest, principal=principal), disabled=is_over)


def _build_former_secret(row: Any, principal: Principal) -> KeySecret | None:
    if row.previous_digest is None:
        return None
    principal = replace(principal, secret=row.previous_secret)
    return KeySecret(digest=row.previous_digest, until=row.previous_until, principal=principal)
