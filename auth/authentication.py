"""API key -> Principal, cached."""

import asyncio
import time
from asyncio import Future
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from sqlalchemy import bindparam, select
from sqlalchemy.exc import SQLAlchemyError

from auth.api_keys import PLACEHOLDER_KEY, hash_secret, is_same_digest, parse_key
from auth.policy import Groups
from onedoor.storage.database import TIMEOUT_SECONDS, MetadataDatabase, MetadataDatabaseUnavailable
from onedoor.storage.tables import key_table, membership_table, user_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """One person, the functional groups and grants they hold now, and the key they came with.

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
    """A key as it stands in the state, and the caller it would let in."""

    digest: bytes = field(repr=False)
    disabled: bool
    principal: Principal


class Authenticator:
    """Tells who comes with a key. A refusal costs one HMAC and one look-up, whatever its reason.

    A look-up is shared by all who bring the same secret, and believed for FRESH_SECONDS from its start if it let
    someone in; refusals are not remembered. Its threads are its own: a source that hangs cannot keep people out.
    """

    def __init__(
        self,
        *,
        look_up: Callable[[str], KeyRecord | None],
        compute_digest: Callable[[str], bytes],
        now: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look_up, self._compute_digest, self._now, self._monotonic = look_up, compute_digest, now, monotonic
        self._lookups: OrderedDict[bytes, tuple[float, Future[KeyRecord | None]]] = OrderedDict()
        self._threads = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="onedoor-auth")

    async def authenticate(self, text: str | None) -> Principal | None:
        """Who holds the key, with the groups they are in. Raises StateUnavailable when the state does not answer."""
        parsed = parse_key(text)
        brought = parsed or PLACEHOLDER_KEY
        secret = self._compute_digest(brought.secret)
        asked = self._find_fresh_lookup(brought.id.encode() + secret)
        found = asked.result() if asked and asked.done() else await self._wait_for_lookup(brought.id, secret)
        matches = is_same_digest(secret, NO_DIGEST if found is None else found.digest)
        if parsed is None or found is None or not matches or not is_valid_key(found, self._now()):
            return None
        return found.principal

    async def _wait_for_lookup(self, key_id: str, secret: bytes) -> KeyRecord | None:
        """The look-up's result; who would have to wait longer than one may take is not let in now."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await asyncio.shield(self._start_lookup(key_id, secret))
        except TimeoutError:
            raise MetadataDatabaseUnavailable("the state is too slow") from None

    def close(self) -> None:
        """Gives the threads back."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _start_lookup(self, key_id: str, secret: bytes) -> "Future[KeyRecord | None]":
        """The look-up under way or fresh for this secret, or else a new one."""
        name = key_id.encode() + secret
        look_up = self._find_fresh_lookup(name)
        if look_up is None:
            look_up = asyncio.get_running_loop().run_in_executor(self._threads, self._look_up, key_id)
            look_up.add_done_callback(partial(self._forget_rejected, name, secret))
            self._lookups[name] = (self._monotonic(), look_up)
            self._lookups.move_to_end(name)
        while len(self._lookups) > LOOKUPS_MAX:
            self._lookups.popitem(last=False)
        return look_up

    def _find_fresh_lookup(self, name: bytes) -> "Future[KeyRecord | None] | None":
        """The look-up that began less than FRESH_SECONDS ago, if there is one."""
        known = self._lookups.get(name)
        if known is None or not 0 <= self._monotonic() - known[0] < LOOKUP_MAX_AGE_SECONDS:
            return None
        self._lookups.move_to_end(name)
        return known[1]

    def _forget_rejected(self, name: bytes, secret: bytes, look_up: "Future[KeyRecord | None]") -> None:
        failed = look_up.cancelled() or look_up.exception() is not None
        found = None if failed else look_up.result()
        if found is None or not is_same_digest(secret, found.digest) or not is_valid_key(found, self._now()):
            self._lookups.pop(name, None)


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
    """Whether a key, its secret being right, lets its person in now."""
    return not key_record.disabled and now < key_record.principal.key_expires


KEY_AND_USER_QUERY = (
    select(
        key_table.c.digest, key_table.c.created_at, key_table.c.expires_at, key_table.c.revoked_at, user_table.c.deactivated_at,
        key_table.c.person_id, user_table.c.first_name, user_table.c.last_name, user_table.c.email, membership_table.c.group_name,
    )
    .join_from(key_table, user_table)
    .outerjoin(membership_table, membership_table.c.person_id == user_table.c.id)
    .where(key_table.c.id == bindparam("id"))
)  # fmt: skip


def look_up_key(database: MetadataDatabase, key_id: str) -> KeyRecord | None:
    """The key with an id, its person and their groups, in one statement. Blocks: call it in a thread."""
    try:
        with database.read_connection() as connection:
            rows = connection.execute(KEY_AND_USER_QUERY, {"id": key_id}).all()
    except SQLAlchemyError as reason:
        raise MetadataDatabaseUnavailable("the state does not answer") from reason
    if not rows:
        return None
    row = rows[0]
    caller = Principal(
        person_id=row.person_id, first_name=row.first_name, last_name=row.last_name, email=row.email,
        groups=frozenset(row.group_name for row in rows if row.group_name is not None), grants=(),
        key_id=key_id, key_created=row.created_at, key_expires=row.expires_at,
    )  # fmt: skip
    return KeyRecord(
        digest=row.digest, disabled=row.revoked_at is not None or row.deactivated_at is not None, principal=caller
    )
