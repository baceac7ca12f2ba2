"""The ledger of changes: what was begun, step by step, and what came of it; nothing of it is ever lost or repeated.

Its threads are its own: a source that hangs cannot keep what was made from being written down. Nor can those who read
the history, which has threads of its own.
"""

import asyncio
import hmac
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from auth.events import Events
from auth.mac import keyed
from auth.state import TIMEOUT_SECONDS, State
from records import entries, past
from records.intents import Ending, Intent, Left, Taken
from records.record import RANDOM_BYTES, record_id

THREADS = 4
READERS = 2
LEASE_SECONDS = 15.0
WAIT_SECONDS = 3.0 * TIMEOUT_SECONDS
"""For a thread, a connection and a statement."""

Result = TypeVar("Result")


class LedgerUnavailable(Exception):
    """The state did not answer: it is not known whether what was to be written down was."""


class Ledger:
    """The ledger as one process keeps it. Every method raises LedgerUnavailable; those that write, `entries.Lost`."""

    def __init__(self, state: State, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self.lease_seconds = lease_seconds
        self.owner = self._id(state.now())
        self.at_work = set[str]()
        """The intents that something in this process is at; its own name would not keep it from settling them."""
        self._state, self._events = state, Events(state)
        self._digest = keyed(hmac.digest(state.pepper, b"changes", "sha256"))
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="onedoor-ledger")
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="onedoor-history")

    def now(self) -> datetime:
        return self._state.now()

    def new_id(self) -> str:
        return self._id(self._state.now())

    def digest(self, text: str) -> bytes:
        """What tells two bodies apart, and says nothing of them without the pepper."""
        return self._digest(text.encode(errors="surrogatepass"))

    async def begin(self, intent: Intent, taken: Sequence[Taken]) -> Intent | None:
        """None: it is kept, and held by this process. Else the earlier one that holds its idempotency key."""
        return await self._done(partial(entries.begin, self._state, intent, taken, (self.owner, self._until())))

    async def take(self, intent_id: str, taken: Sequence[Taken]) -> None:
        await self._done(partial(entries.take, self._state, intent_id, self.owner, taken))

    async def end(self, ending: Ending) -> None:
        """Committed when it returns."""
        await self._done(partial(entries.end, self._state, self._events, self.owner, ending))

    async def renew(self, intent_id: str) -> None:
        await self._done(partial(entries.lease, self._state, intent_id, self.owner, self._until()))

    async def let_go(self, intent_id: str, seconds: float = 0.0) -> None:
        """Whoever settles may take it, once these seconds are over."""
        until = self._state.now() + timedelta(seconds=seconds)
        await self._done(partial(entries.lease, self._state, intent_id, self.owner, until))

    async def overdue(self, most: int) -> tuple[str, ...]:
        """Ids of open intents that nobody holds."""
        return await self._done(partial(entries.overdue, self._state, self._state.now(), most))

    async def take_over(self, intent_id: str) -> bool:
        """Whether it is this process's to settle now; of several, it is one's."""
        if intent_id in self.at_work:
            return False
        return await self._done(partial(entries.take_over, self._state, intent_id, self.owner, self._until()))

    async def found(self, intent_id: str) -> Intent | None:
        return await self._done(partial(entries.found, self._state, intent_id))

    async def steps(self, intent_id: str) -> tuple[Taken, ...]:
        return await self._done(partial(entries.steps, self._state, intent_id))

    async def left(self, wanted: past.Wanted) -> tuple[Left, ...]:
        """Rows of history."""
        return await self._done(partial(past.left, self._state, wanted), self._readers)

    async def counted(self, wanted: past.Wanted, by: Sequence[str]) -> tuple[tuple[Any, ...], ...]:
        """How many rows of history there are, by these columns."""
        return await self._done(partial(past.counted, self._state, wanted, by), self._readers)

    async def ping(self) -> None:
        await self._done(partial(past.ping, self._state), self._readers)

    def close(self) -> None:
        """Gives the threads back."""
        for each in (self._readers, self._threads):
            each.shutdown(wait=True, cancel_futures=True)

    def _until(self) -> datetime:
        return self._state.now() + timedelta(seconds=self.lease_seconds)

    async def _done(self, work: Callable[[], Result], threads: ThreadPoolExecutor | None = None) -> Result:
        """Once begun, it is done whoever stops waiting."""
        try:
            begun = asyncio.get_running_loop().run_in_executor(threads or self._threads, work)
            begun.add_done_callback(_heard)
            async with asyncio.timeout(WAIT_SECONDS):
                return await asyncio.shield(begun)
        except (SQLAlchemyError, TimeoutError, RuntimeError):
            raise LedgerUnavailable("the ledger of changes does not answer") from None

    @staticmethod
    def _id(at: datetime) -> str:
        return record_id(at, os.urandom(RANDOM_BYTES))


def _heard(begun: "asyncio.Future[Result]") -> None:
    """Whoever waited may have gone: nobody else takes the failure."""
    if not begun.cancelled():
        begun.exception()
