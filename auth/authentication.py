"""Authenticate requests: look the principal of an API key up, and remember it for a second."""

import asyncio
import time
from asyncio import Future
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from cachetools import TTLCache
from sqlalchemy import bindparam, select
from sqlalchemy.exc import SQLAlchemyError

from auth.api_keys import PLACEHOLDER_KEY, hash_secret, is_same_digest, parse_key
from auth.policy import Groups
from onedoor.storage.database import TIMEOUT_SECONDS, MetadataDatabase, MetadataDatabaseUnavailable
from onedoor.storage.tables import key_table, membership_table, user_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A user with the functional groups and grants they have now, and the key they authenticated with.

    `key_id` is the public part of the key, never its secret; times are UTC.
    """

    person_id: str
    first_name: str
    last_name: str
    email: str
    groups: frozenset[str]
    grants: tuple[str, ...]
    key_id: str
    key_created: datetime
    key_expires: datetime


LOOKUP_MAX_AGE_SECONDS = 1.0

LOOKUPS_MAX = 10_000

LOOKUP_THREADS = 4

NO_DIGEST = bytes(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """A key as the metadata database holds it, and the principal it authenticates."""

    digest: bytes = field(repr=False)
    disabled: bool
    principal: Principal


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
    ) -> None:
        self._look_up, self._compute_digest, self._now = look_up, compute_digest, now
        self._lookups: TTLCache[bytes, Future[KeyRecord | None]] = TTLCache(
            LOOKUPS_MAX, LOOKUP_MAX_AGE_SECONDS, timer=monotonic
        )
        self._threads = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="onedoor-auth")

    async def authenticate(self, text: str | None) -> Principal | None:
        """Return the principal of a key, or None where it is not valid. Raises MetadataDatabaseUnavailable."""
        parsed_key = parse_key(text)
        key = parsed_key or PLACEHOLDER_KEY
        digest = self._compute_digest(key.secret)
        lookup = self._lookups.get(key.id.encode() + digest)
        record = lookup.result() if lookup and lookup.done() else await self._wait_for_lookup(key.id, digest)
        matches = is_same_digest(digest, NO_DIGEST if record is None else record.digest)
        if parsed_key is None or record is None or not matches or not is_valid_key(record, self._now()):
            return None
        return record.principal

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

    def _start_lookup(self, key_id: str, digest: bytes) -> "Future[KeyRecord | None]":
        """Return the look-up that is under way or fresh, or else start one."""
        cache_key = key_id.encode() + digest
        lookup = self._lookups.get(cache_key)
        if lookup is None:
            lookup = asyncio.get_running_loop().run_in_executor(self._threads, self._look_up, key_id)
            lookup.add_done_callback(partial(self._forget_rejected, cache_key, digest))
            self._lookups[cache_key] = lookup
        return lookup

    def _forget_rejected(self, cache_key: bytes, digest: bytes, lookup: "Future[KeyRecord | None]") -> None:
        failed = lookup.cancelled() or lookup.exception() is not None
        record = None if failed else lookup.result()
        if record is None or not is_same_digest(digest, record.digest) or not is_valid_key(record, self._now()):
            self._lookups.pop(cache_key, None)


def open_authenticator(
    database: MetadataDatabase, groups: Groups, *, monotonic: Callable[[], float] = time.monotonic
) -> Authenticator:
    """Return the authenticator of the users of a database, each in their registered groups alone."""

    def look_up(key_id: str) -> KeyRecord | None:
        record = look_up_key(database, key_id)
        if record is None:
            return None
        return replace(record, principal=replace(record.principal, groups=record.principal.groups & groups.names))

    return Authenticator(
        look_up=look_up,
        compute_digest=partial(hash_secret, database.pepper),
        now=database.now,
        monotonic=monotonic,
    )


def is_valid_key(key_record: KeyRecord, now: datetime) -> bool:
    """Whether a key with the right secret is valid now."""
    return not key_record.disabled and now < key_record.principal.key_expires


KEY_AND_USER_QUERY = (
    select(
        key_table.c.digest, key_table.c.created_at, key_table.c.expires_at, key_table.c.revoked_at,
        key_table.c.person_id, user_table.c.first_name, user_table.c.last_name, user_table.c.email,
        user_table.c.deactivated_at, membership_table.c.group_name,
    )
    .join_from(key_table, user_table)
    .outerjoin(membership_table, membership_table.c.person_id == user_table.c.id)
    .where(key_table.c.id == bindparam("id"))
)  # fmt: skip


def look_up_key(database: MetadataDatabase, key_id: str) -> KeyRecord | None:
    """Look up a key, its user and their groups in one statement. Blocks: call it in a thread."""
    try:
        with database.read_connection() as connection:
            rows = connection.execute(KEY_AND_USER_QUERY, {"id": key_id}).all()
    except SQLAlchemyError as reason:
        raise MetadataDatabaseUnavailable("the metadata database does not answer") from reason
    if not rows:
        return None
    row = rows[0]
    principal = Principal(
        person_id=row.person_id, first_name=row.first_name, last_name=row.last_name, email=row.email,
        groups=frozenset(row.group_name for row in rows if row.group_name is not None), grants=(),
        key_id=key_id, key_created=row.created_at, key_expires=row.expires_at,
    )  # fmt: skip
    return KeyRecord(
        digest=row.digest, disabled=row.revoked_at is not None or row.deactivated_at is not None, principal=principal
    )
