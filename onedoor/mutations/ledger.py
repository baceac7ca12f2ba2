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

from auth.api_keys import prepare_hmac_digest
from onedoor.audit.record import RANDOM_BYTES, build_record_id
from onedoor.mutations import ledger_sql
from onedoor.mutations.intents import HistoryRow, Intent, IntentOutcome, StepAttempt
from onedoor.storage.database import TIMEOUT_SECONDS, MetadataDatabase
from onedoor.storage.events import EventLog

WRITER_THREADS = 4

READER_THREADS = 2

LEASE_SECONDS = 15.0

WAIT_SECONDS = 3.0 * TIMEOUT_SECONDS
"""For a thread, a connection and a statement."""

Result = TypeVar("Result")


class LedgerUnavailable(Exception):
    """The state did not answer: it is not known whether what was to be written down was."""


class Ledger:
    """The ledger as one process keeps it. Every method raises LedgerUnavailable; those that write, `entries.Lost`."""

    def __init__(self, database: MetadataDatabase, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self.lease_seconds = lease_seconds
        self.owner = self._build_id(database.now())
        self.at_work = set[str]()
        """The intents that something in this process is at; its own name would not keep it from settling them."""
        self._state, self._events = database, EventLog(database)
        self._digest = prepare_hmac_digest(hmac.digest(database.pepper, b"changes", "sha256"))
        self._threads = ThreadPoolExecutor(WRITER_THREADS, thread_name_prefix="onedoor-ledger")
        self._readers = ThreadPoolExecutor(READER_THREADS, thread_name_prefix="onedoor-history")

    def now(self) -> datetime:
        return self._state.now()

    def new_id(self) -> str:
        return self._build_id(self._state.now())

    def digest(self, text: str) -> bytes:
        """What tells two bodies apart, and says nothing of them without the pepper."""
        return self._digest(text.encode(errors="surrogatepass"))

    async def begin_intent(self, intent: Intent, attempts: Sequence[StepAttempt]) -> Intent | None:
        """None: it is kept, and held by this process. Else the earlier one that holds its idempotency key."""
        return await self._run_in_thread(
            partial(ledger_sql.insert_intent, self._state, intent, attempts, (self.owner, self._compute_lease_end()))
        )

    async def keep_attempts(self, intent_id: str, attempts: Sequence[StepAttempt]) -> None:
        await self._run_in_thread(partial(ledger_sql.update_attempts, self._state, intent_id, self.owner, attempts))

    async def end_intent(self, outcome: IntentOutcome) -> None:
        """Committed when it returns."""
        await self._run_in_thread(partial(ledger_sql.close_intent, self._state, self._events, self.owner, outcome))

    async def renew_lease(self, intent_id: str) -> None:
        await self._run_in_thread(
            partial(ledger_sql.set_lease, self._state, intent_id, self.owner, self._compute_lease_end())
        )

    async def release_lease(self, intent_id: str, seconds: float = 0.0) -> None:
        """Whoever settles may take it, once these seconds are over."""
        until = self._state.now() + timedelta(seconds=seconds)
        await self._run_in_thread(partial(ledger_sql.set_lease, self._state, intent_id, self.owner, until))

    async def find_overdue(self, limit: int) -> tuple[str, ...]:
        """Ids of open intents that nobody holds."""
        return await self._run_in_thread(partial(ledger_sql.select_overdue, self._state, self._state.now(), limit))

    async def take_over(self, intent_id: str) -> bool:
        """Whether it is this process's to settle now; of several, it is one's."""
        if intent_id in self.at_work:
            return False
        return await self._run_in_thread(
            partial(ledger_sql.take_over_intent, self._state, intent_id, self.owner, self._compute_lease_end())
        )

    async def find_intent(self, intent_id: str) -> Intent | None:
        return await self._run_in_thread(partial(ledger_sql.select_intent, self._state, intent_id))

    async def load_attempts(self, intent_id: str) -> tuple[StepAttempt, ...]:
        return await self._run_in_thread(partial(ledger_sql.select_attempts, self._state, intent_id))

    async def read_history(self, query: ledger_sql.HistoryQuery) -> tuple[HistoryRow, ...]:
        """Rows of history."""
        return await self._run_in_thread(partial(ledger_sql.read_history, self._state, query), self._readers)

    async def count_history(
        self, query: ledger_sql.HistoryQuery, columns: Sequence[str]
    ) -> tuple[tuple[Any, ...], ...]:
        """How many rows of history there are, by these columns."""
        return await self._run_in_thread(partial(ledger_sql.count_history, self._state, query, columns), self._readers)

    async def ping(self) -> None:
        await self._run_in_thread(partial(ledger_sql.ping_database, self._state), self._readers)

    def close(self) -> None:
        """Gives the threads back."""
        for each in (self._readers, self._threads):
            each.shutdown(wait=True, cancel_futures=True)

    def _compute_lease_end(self) -> datetime:
        return self._state.now() + timedelta(seconds=self.lease_seconds)

    async def _run_in_thread(self, work: Callable[[], Result], threads: ThreadPoolExecutor | None = None) -> Result:
        """Once begun, it is done whoever stops waiting."""
        try:
            begun = asyncio.get_running_loop().run_in_executor(threads or self._threads, work)
            begun.add_done_callback(_consume_exception)
            async with asyncio.timeout(WAIT_SECONDS):
                return await asyncio.shield(begun)
        except (SQLAlchemyError, TimeoutError, RuntimeError):
            raise LedgerUnavailable("the ledger of changes does not answer") from None

    @staticmethod
    def _build_id(at: datetime) -> str:
        return build_record_id(at, os.urandom(RANDOM_BYTES))


def _consume_exception(begun: "asyncio.Future[Result]") -> None:
    """Whoever waited may have gone: nobody else takes the failure."""
    if not begun.cancelled():
        begun.exception()
