"""Keep the ledger of mutations in the metadata database: what was begun, step by step, and what came of it.

Writers have threads of their own, so neither a source that hangs nor those who read the history keep an outcome from
being recorded.
"""

import asyncio
import hmac
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from auth.key_format import prepare_hmac_digest
from onedoor.audit.record import RANDOM_BYTES, build_record_id
from onedoor.mutations import ledger_sql
from onedoor.mutations.intents import HistoryRow, Intent, IntentOutcome, StepAttempt
from onedoor.mutations.ledger_sql import HistoryQuery, Lease
from onedoor.runtime.concurrency import run_in_thread
from onedoor.storage.database import TIMEOUT_SECONDS, MetadataDatabase
from onedoor.storage.events import EventLog

WRITER_THREADS = 4

READER_THREADS = 2

LEASE_SECONDS = 15.0

WAIT_SECONDS = 3.0 * TIMEOUT_SECONDS
"""For a thread, a connection and a statement."""

UNAVAILABLE_MESSAGE = "the ledger of changes does not answer"

Result = TypeVar("Result")


class LedgerUnavailable(Exception):
    """The metadata database did not answer: it is not known whether the write was committed."""


class Ledger:
    """The ledger as one process uses it.

    Every method raises LedgerUnavailable; those that write to an intent raise LeaseLost as well.
    """

    def __init__(self, database: MetadataDatabase, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self.lease_seconds = lease_seconds
        self.owner = self._build_id(database.now())
        self.active_intents = set[str]()
        """The intents that this process executes or recovers: it does not recover those, lease or no lease."""
        self._database, self._events = database, EventLog(database)
        self._digest = prepare_hmac_digest(hmac.digest(database.pepper, b"changes", "sha256"))
        self._writers = ThreadPoolExecutor(WRITER_THREADS, thread_name_prefix="onedoor-ledger")
        self._readers = ThreadPoolExecutor(READER_THREADS, thread_name_prefix="onedoor-history")

    def now(self) -> datetime:
        return self._database.now()

    def new_id(self) -> str:
        return self._build_id(self._database.now())

    def digest(self, text: str) -> bytes:
        """Return what tells two texts apart and says nothing about them without the pepper."""
        return self._digest(text.encode(errors="surrogatepass"))

    async def begin_intent(self, intent: Intent, attempts: Sequence[StepAttempt]) -> Intent | None:
        """Store the intent and hold its lease.

        Returns the earlier intent that has the same idempotency key, if there is one; then nothing is stored.
        """
        return await self._execute(
            partial(ledger_sql.insert_intent, self._database, intent, attempts, self._new_lease())
        )

    async def put_attempts(self, intent_id: str, attempts: Sequence[StepAttempt]) -> None:
        await self._execute(partial(ledger_sql.update_attempts, self._database, intent_id, self.owner, attempts))

    async def end_intent(self, outcome: IntentOutcome) -> None:
        """Commit the outcome before this returns."""
        await self._execute(partial(ledger_sql.close_intent, self._database, self._events, self.owner, outcome))

    async def renew_lease(self, intent_id: str) -> None:
        await self._execute(partial(ledger_sql.update_lease, self._database, intent_id, self._new_lease()))

    async def release_lease(self, intent_id: str, seconds: float = 0.0) -> None:
        """Let recovery take the intent once `seconds` have passed."""
        await self._execute(partial(ledger_sql.update_lease, self._database, intent_id, self._new_lease(seconds)))

    async def take_over(self, intent_id: str) -> bool:
        """Return whether this process holds the intent now; of several that try, one does."""
        if intent_id in self.active_intents:
            return False
        return await self._execute(partial(ledger_sql.take_over_intent, self._database, intent_id, self._new_lease()))

    async def find_overdue(self, limit: int) -> tuple[str, ...]:
        """Return the ids of open intents that nobody holds."""
        return await self._execute(partial(ledger_sql.select_overdue, self._database, self._database.now(), limit))

    async def find_intent(self, intent_id: str) -> Intent | None:
        return await self._execute(partial(ledger_sql.select_intent, self._database, intent_id))

    async def load_attempts(self, intent_id: str) -> tuple[StepAttempt, ...]:
        return await self._execute(partial(ledger_sql.select_attempts, self._database, intent_id))

    async def read_history(self, query: HistoryQuery) -> tuple[HistoryRow, ...]:
        return await self._execute_read(partial(ledger_sql.read_history, self._database, query))

    async def count_history(self, query: HistoryQuery, columns: Sequence[str]) -> tuple[tuple[Any, ...], ...]:
        """Return the values of `columns` and, last, how many rows of history have them."""
        return await self._execute_read(partial(ledger_sql.count_history, self._database, query, columns))

    async def load_recorded_changes(self, record_ids: Sequence[str]) -> tuple[HistoryRow, ...]:
        """Return the changes that were made under these records."""
        return await self._execute_read(partial(ledger_sql.select_recorded_changes, self._database, record_ids))

    async def ping(self) -> None:
        await self._execute_read(partial(ledger_sql.ping_database, self._database))

    def close(self) -> None:
        """Stop the threads once what they have begun is done."""
        for pool in (self._readers, self._writers):
            pool.shutdown(wait=True, cancel_futures=True)

    def _new_lease(self, seconds: float | None = None) -> Lease:
        duration = self.lease_seconds if seconds is None else seconds
        return Lease(owner=self.owner, until=self._database.now() + timedelta(seconds=duration))

    async def _execute(self, call: Callable[[], Result]) -> Result:
        return await _run(self._writers, call)

    async def _execute_read(self, call: Callable[[], Result]) -> Result:
        return await _run(self._readers, call)

    @staticmethod
    def _build_id(time: datetime) -> str:
        return build_record_id(time, os.urandom(RANDOM_BYTES))


async def _run(pool: Executor, call: Callable[[], Result]) -> Result:
    """Run the call to its end, whoever stops waiting for it. Raises LedgerUnavailable."""
    work = asyncio.ensure_future(run_in_thread(pool, call))
    work.add_done_callback(retrieve_exception)
    done, _ = await asyncio.wait([work], timeout=WAIT_SECONDS)
    if not done:
        raise LedgerUnavailable(UNAVAILABLE_MESSAGE)
    try:
        return work.result()
    except (SQLAlchemyError, TimeoutError, RuntimeError):
        raise LedgerUnavailable(UNAVAILABLE_MESSAGE) from None


def retrieve_exception(future: "asyncio.Future[Any]") -> None:
    """Mark the exception of a future as seen: whoever waited for it may have gone."""
    if not future.cancelled():
        future.exception()
