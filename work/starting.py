"""Wishes in, jobs out: who may start what, once for each key; and who may end it."""

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from sqlalchemy.exc import SQLAlchemyError

from auth.caller import Caller
from engine.errors import Code, SourceFailed
from records.record import RANDOM_BYTES, record_id
from work import rows, store
from work.declared import Job
from work.kinds import Misfit, plain
from work.notes import shown
from work.queue import Queue
from work.register import version
from work.shelf import Shelf
from work.store import Reused, TooMany
from work.words import OPEN, Dispatch, Failure, Notifier, Run, Running, Start

log = logging.getLogger("onedoor.work")
KEY_MOST = 200
REASON_MOST = 1_000


@dataclass(slots=True, kw_only=True)
class Starting:
    """Puts jobs into the state, and from there into the queue."""

    jobs: Mapping[str, Job]
    shelf: Shelf
    queue: Queue
    release: str
    running: Running
    notifier: Notifier
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    """Set where there is something to run."""
    stop: Callable[[str, str], None] = lambda id, by: None
    """Ends a run that is under way in this process."""
    _next: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self, start: Start) -> str:
        """The job's id, once it is durable. Raises SourceFailed with what a client may hear."""
        job = self._startable(start)
        if start.key is not None and not (0 < len(start.key) <= KEY_MOST and start.key.isprintable()):
            raise SourceFailed(f"`idempotencyKey` is 1 to {KEY_MOST} printable characters", Code.BAD_USER_INPUT)
        try:
            given = plain(start.input)
            alone = job.alone(start.input) if job.alone is not None else None
        except Misfit as reason:
            raise SourceFailed(f"the input does not fit: {reason}", Code.BAD_USER_INPUT) from None
        id, dispatch = await self._added(self._row(start, job, given, alone))
        self.notifier.told(id)
        if dispatch is not None:
            await self.dispatch(dispatch)
        return id

    def _startable(self, start: Start) -> Job:
        job = self.jobs.get(start.job)
        if job is None or type(start.input) is not job.input:
            raise SourceFailed(f"there is no job `{start.job[:100]}`", Code.NOT_FOUND)
        if not start.caller.groups & job.starts:
            groups = ", ".join(f"`{each}`" for each in sorted(job.starts))
            raise SourceFailed(f"`{job.name}` is started by who is in one of these groups: {groups}", Code.FORBIDDEN)
        return job

    def _row(self, start: Start, job: Job, given: Mapping[str, Any], alone: str | None) -> Mapping[str, Any]:
        now, caller = self.shelf.state.now(), start.caller
        return {
            "id": record_id(now, secrets.token_bytes(RANDOM_BYTES)),
            "name": job.name,
            "person_id": caller.person_id,
            "person_name": f"{caller.first_name} {caller.last_name}".strip(),
            "key_id": caller.key_id or None,
            "record_id": start.record,
            "reason": None if start.reason is None else shown(start.reason)[:REASON_MOST],
            "idempotency_key": start.key,
            "parent_id": start.parent,
            "input": orjson.dumps(given, option=orjson.OPT_SORT_KEYS).decode(),
            "version": version(job),
            "release": self.release,
            "alone": None if alone is None else f"{job.name} {hashlib.sha256(alone.encode()).hexdigest()}",
            "created_at": now,
        }

    async def _added(self, row: Mapping[str, Any]) -> tuple[str, Dispatch | None]:
        try:
            return await self.shelf.do(store.added, row, self.running.open_most)
        except Reused:
            raise SourceFailed(
                "this `idempotencyKey` stands for another job or another input: take a new one",
                Code.IDEMPOTENCY_KEY_REUSED,
            ) from None
        except TooMany:
            limit = f"the limit `jobs.open_most` of {self.running.open_most}"
            raise SourceFailed(f"more jobs of yours than {limit} have not ended, wait", Code.LIMIT_EXCEEDED) from None
        except SQLAlchemyError:
            raise SourceFailed("jobs cannot be started now, try again") from None

    async def dispatch(self, dispatch: Dispatch) -> None:
        """Into the queue; what cannot be put in now is by those who sweep."""
        self.wanted.set()
        try:
            await asyncio.to_thread(self.queue.put, dispatch)
            await self.shelf.do(store.dispatched, dispatch)
        except Exception as error:
            log.error("the job %s is to be queued later: %s", dispatch.id, type(error).__name__)

    async def cancel(self, caller: Caller, id: str) -> None:
        """Who started it may, and who may start it. Raises SourceFailed; cancelling one that ended changes nothing."""
        try:
            found = await self.shelf.do(rows.one, id)
            job = self.jobs.get(found.name) if found is not None else None
            visible = rows.sees(self.jobs, caller)
            if found is None or (found.person_id != caller.person_id and found.name not in visible):
                raise SourceFailed("there is no such job", Code.NOT_FOUND)
            if found.person_id != caller.person_id and (job is None or not caller.groups & job.starts):
                raise SourceFailed(f"`{found.name}` is cancelled by who may start it", Code.FORBIDDEN)
            if found.state in OPEN:
                await self._cancelled(id, f"{caller.first_name} {caller.last_name}".strip())
        except SQLAlchemyError:
            raise SourceFailed("jobs cannot be cancelled now, try again") from None

    async def _cancelled(self, id: str, by: str) -> None:
        freed = await self.shelf.do(store.cancelled, id, by)
        self.stop(id, by)
        self.notifier.told(id)
        self.stirred()
        for each in freed:
            await self.dispatch(each)

    async def over(self, id: str, freed: Dispatch | None) -> None:
        """A job ended here."""
        self.stirred()
        if freed is not None:
            self.notifier.told(freed.id)
            await self.dispatch(freed)

    def stirred(self) -> None:
        """Wakes who waits for an end."""
        self._next.set()
        self._next = asyncio.Event()

    async def part(self, run: Run, caller: Caller, wanted: tuple[str, Any], key: str) -> str:
        """A part of a run; its own parts it may not have."""
        if run.parent is not None:
            raise Failure("a part of a job has no parts of its own", again=False)
        name, given = wanted
        start = Start(job=name, caller=caller, input=given, key=f"part {run.id} {key}", parent=run.id)
        try:
            return await self.start(start)
        except SourceFailed as failed:
            raise Failure(failed.reason, again=failed.code is Code.SOURCE_UNAVAILABLE) from None

    def ended(self, ids: Sequence[str]) -> asyncio.Event:
        """Set at the next end of any job here."""
        return self._next
