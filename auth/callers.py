"""A key's text in, the Caller behind it out, or None: missing, malformed, unknown, expired, revoked all look alike."""

import asyncio
import time
from asyncio import Future
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from sqlalchemy import bindparam, select
from sqlalchemy.exc import SQLAlchemyError

from auth.caller import Caller
from auth.groups import NAMES
from auth.keys import NOBODY, digest, parse, same
from auth.state import TIMEOUT_SECONDS, State, StateUnavailable
from auth.tables import key, membership, person

FRESH_SECONDS = 1.0
REMEMBERED = 10_000
THREADS = 4
NO_DIGEST = bytes(32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A key as it stands in the state, and the caller it would let in."""

    digest: bytes = field(repr=False)
    shut: bool
    caller: Caller


class Callers:
    """Tells who comes with a key. A refusal costs one HMAC and one look-up, whatever its reason.

    A look-up is shared by all who bring the same secret, and believed for FRESH_SECONDS from its start if it let
    someone in; refusals are not remembered. Its threads are its own: a source that hangs cannot keep people out.
    """

    def __init__(
        self,
        *,
        look_up: Callable[[str], Found | None],
        digest: Callable[[str], bytes],
        now: Callable[[], datetime],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look_up, self._digest, self._now, self._monotonic = look_up, digest, now, monotonic
        self._asked: OrderedDict[bytes, tuple[float, Future[Found | None]]] = OrderedDict()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="onedoor-auth")

    async def caller(self, text: str | None) -> Caller | None:
        """Who holds the key, with the groups they are in. Raises StateUnavailable when the state does not answer."""
        parsed = parse(text)
        brought = parsed or NOBODY
        secret = self._digest(brought.secret)
        asked = self._fresh(brought.id.encode() + secret)
        found = asked.result() if asked and asked.done() else await self._found(brought.id, secret)
        matches = same(secret, NO_DIGEST if found is None else found.digest)
        if parsed is None or found is None or not matches or not opens(found, self._now()):
            return None
        return found.caller

    async def _found(self, key_id: str, secret: bytes) -> Found | None:
        """The look-up's result; who would have to wait longer than one may take is not let in now."""
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await asyncio.shield(self._ask(key_id, secret))
        except TimeoutError:
            raise StateUnavailable("the state is too slow") from None

    def close(self) -> None:
        """Gives the threads back."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _ask(self, key_id: str, secret: bytes) -> "Future[Found | None]":
        """The look-up under way or fresh for this secret, or else a new one."""
        name = key_id.encode() + secret
        look_up = self._fresh(name)
        if look_up is None:
            look_up = asyncio.get_running_loop().run_in_executor(self._threads, self._look_up, key_id)
            look_up.add_done_callback(partial(self._forget_refused, name, secret))
            self._asked[name] = (self._monotonic(), look_up)
            self._asked.move_to_end(name)
        while len(self._asked) > REMEMBERED:
            self._asked.popitem(last=False)
        return look_up

    def _fresh(self, name: bytes) -> "Future[Found | None] | None":
        """The look-up that began less than FRESH_SECONDS ago, if there is one."""
        known = self._asked.get(name)
        if known is None or not 0 <= self._monotonic() - known[0] < FRESH_SECONDS:
            return None
        self._asked.move_to_end(name)
        return known[1]

    def _forget_refused(self, name: bytes, secret: bytes, look_up: "Future[Found | None]") -> None:
        failed = look_up.cancelled() or look_up.exception() is not None
        found = None if failed else look_up.result()
        if found is None or not same(secret, found.digest) or not opens(found, self._now()):
            self._asked.pop(name, None)


def callers(state: State, *, monotonic: Callable[[], float] = time.monotonic) -> Callers:
    """The callers a state knows."""
    return Callers(
        look_up=partial(look_up, state), digest=partial(digest, state.pepper), now=state.now, monotonic=monotonic
    )


def opens(found: Found, now: datetime) -> bool:
    """Whether a key, its secret being right, lets its person in now."""
    return not found.shut and now < found.caller.key_expires


KEY_AND_PERSON = (
    select(
        key.c.digest, key.c.created_at, key.c.expires_at, key.c.revoked_at, person.c.deactivated_at,
        key.c.person_id, person.c.first_name, person.c.last_name, person.c.email, membership.c.group_name,
    )
    .join_from(key, person)
    .outerjoin(membership, membership.c.person_id == person.c.id)
    .where(key.c.id == bindparam("id"))
)  # fmt: skip


def look_up(state: State, key_id: str) -> Found | None:
    """The key with an id, its person and their registered groups, in one statement. Blocks: call it in a thread."""
    try:
        with state.reading() as connection:
            rows = connection.execute(KEY_AND_PERSON, {"id": key_id}).all()
    except SQLAlchemyError as reason:
        raise StateUnavailable("the state does not answer") from reason
    if not rows:
        return None
    row = rows[0]
    caller = Caller(
        person_id=row.person_id, first_name=row.first_name, last_name=row.last_name, email=row.email,
        groups=NAMES.intersection(each.group_name for each in rows), grants=(),
        key_id=key_id, key_created=row.created_at, key_expires=row.expires_at,
    )  # fmt: skip
    return Found(digest=row.digest, shut=row.revoked_at is not None or row.deactivated_at is not None, caller=caller)
