"""Start and cancel; schedules; the mutations; who sees which."""

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from croniter import croniter
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from auth.authentication import Principal
from onedoor.audit.record import RANDOM_BYTES, build_record_id
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.jobs import store
from onedoor.jobs.codecs import InvalidJobValue, JobField, build_instance, dump_instance, list_job_fields
from onedoor.jobs.context import replace_unsafe_text
from onedoor.jobs.declarations import Job
from onedoor.jobs.models import OPEN_STATES, Dispatch, JobFailed, JobRun, JobSettings, Notifier, StartRequest
from onedoor.jobs.queue import JobQueue
from onedoor.jobs.registry import compute_job_version
from onedoor.jobs.runner import build_schedule_principal
from onedoor.jobs.store import IdempotencyKeyReused, TooManyOpenJobs
from onedoor.jobs.tables import JobDatabase, job_file_table, job_table
from onedoor.model.catalog import Action, ActionCall, ActionResult
from onedoor.storage.database import MetadataDatabase


def list_due_starts(jobs: Mapping[str, Job], after: datetime, until: datetime) -> Iterator[StartRequest]:
    """The last time of each schedule that came after `after`: of several that were missed, one."""
    for job in jobs.values():
        if job.schedule is None:
            continue
        at = croniter(job.schedule.cron, until).get_prev(datetime)
        exact = croniter.match(job.schedule.cron, until) and until.second == until.microsecond == 0
        at = until if exact else at
        if after < at <= until:
            yield StartRequest(
                job_name=job.name,
                principal=build_schedule_principal(job.schedule),
                input=job.schedule.input,
                idempotency_key=f"schedule {at.isoformat()} {job.name}",
                reason=f"on schedule, for {at.isoformat()}",
            )


class JobSummary(NamedTuple):
    """How a job stands."""

    name: str
    person_id: str
    state: str


def load_job_summary(database: MetadataDatabase, id: str) -> JobSummary | None:
    if not id.isascii() or not id.isalnum():
        return None
    with database.read_connection() as connection:
        row = connection.execute(
            select(job_table.c.name, job_table.c.person_id, job_table.c.state).where(job_table.c.id == id)
        ).first()
    return None if row is None else JobSummary(*row)


class ProgressMark(NamedTuple):
    """What changes of a job: who compares two of them knows whether there is anything new, whoever ran it."""

    state: str
    epoch: int
    done: float | None
    total: float | None
    lines: int


def load_progress_marks(database: MetadataDatabase, ids: Sequence[str]) -> dict[str, ProgressMark]:
    """By job; for who follows jobs that other processes run."""
    columns = (
        job_table.c.id,
        job_table.c.state,
        job_table.c.epoch,
        job_table.c.done,
        job_table.c.total,
        job_table.c.lines,
    )
    with database.read_connection() as connection:
        rows = connection.execute(select(*columns).where(job_table.c.id.in_(ids)))
        return {row[0]: ProgressMark(*row[1:]) for row in rows}


def load_file_content(database: MetadataDatabase, id: str, name: str) -> bytes | None:
    """A file of a job. Whoever asks was judged before."""
    with database.read_connection() as connection:
        wanted = (job_file_table.c.job_id == id, job_file_table.c.name == name)
        found: bytes | None = connection.execute(select(job_file_table.c.content).where(*wanted)).scalar_one_or_none()
    return found


def list_visible_jobs(jobs: Mapping[str, Job], principal: Principal) -> frozenset[str]:
    """The names of jobs whose every run a caller sees, and what came of it."""
    return frozenset(name for name, each in jobs.items() if each.may_see & principal.groups)


def list_startable_jobs(jobs: Mapping[str, Job], principal: Principal) -> frozenset[str]:
    """The names of jobs that a caller may start: of their own they see what came of it."""
    return frozenset(name for name, each in jobs.items() if each.may_start & principal.groups)


LOG = logging.getLogger("onedoor.work")

MAX_KEY_CHARACTERS = 200

MAX_REASON_CHARACTERS = 1_000


@dataclass(slots=True, kw_only=True)
class JobService:
    """Puts jobs into the state, and from there into the queue."""

    jobs: Mapping[str, Job]
    database: JobDatabase
    queue: JobQueue
    release: str
    settings: JobSettings
    notifier: Notifier
    work_available: asyncio.Event = field(default_factory=asyncio.Event)
    """Set where there is something to run."""
    stop_run: Callable[[str, str], None] = lambda id, by: None
    """Ends a run that is under way in this process."""
    _next_end: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self, request: StartRequest) -> str:
        """The job's id, once it is durable. Raises SourceFailed with what a client may hear."""
        job = self._require_startable(request)
        if request.idempotency_key is not None and not (
            0 < len(request.idempotency_key) <= MAX_KEY_CHARACTERS and request.idempotency_key.isprintable()
        ):
            raise ConnectorError(
                f"`idempotencyKey` is 1 to {MAX_KEY_CHARACTERS} printable characters", ErrorCode.BAD_USER_INPUT
            )
        try:
            given = dump_instance(request.input)
            alone = job.exclusive_key(request.input) if job.exclusive_key is not None else None
        except InvalidJobValue as reason:
            raise ConnectorError(f"the input does not fit: {reason}", ErrorCode.BAD_USER_INPUT) from None
        id, dispatch = await self._add_row(self._build_row(request, job, given, alone))
        self.notifier.notify(id)
        if dispatch is not None:
            await self.dispatch(dispatch)
        return id

    def _require_startable(self, start: StartRequest) -> Job:
        job = self.jobs.get(start.job_name)
        if job is None or type(start.input) is not job.input:
            raise ConnectorError(f"there is no job `{start.job_name[:100]}`", ErrorCode.NOT_FOUND)
        if not start.principal.groups & job.may_start:
            groups = ", ".join(f"`{each}`" for each in sorted(job.may_start))
            raise ConnectorError(
                f"`{job.name}` is started by who is in one of these groups: {groups}", ErrorCode.FORBIDDEN
            )
        return job

    def _build_row(
        self, start: StartRequest, job: Job, given: Mapping[str, Any], alone: str | None
    ) -> Mapping[str, Any]:
        now, caller = self.database.metadata.now(), start.principal
        return {
            "id": build_record_id(now, secrets.token_bytes(RANDOM_BYTES)),
            "name": job.name,
            "person_id": caller.person_id,
            "person_name": f"{caller.first_name} {caller.last_name}".strip(),
            "key_id": caller.key_id or None,
            "record_id": start.record_id,
            "reason": None if start.reason is None else replace_unsafe_text(start.reason)[:MAX_REASON_CHARACTERS],
            "idempotency_key": start.idempotency_key,
            "parent_id": start.parent_id,
            "input": orjson.dumps(given, option=orjson.OPT_SORT_KEYS).decode(),
            "version": compute_job_version(job),
            "release": self.release,
            "alone": None if alone is None else f"{job.name} {hashlib.sha256(alone.encode()).hexdigest()}",
            "created_at": now,
        }

    async def _add_row(self, row: Mapping[str, Any]) -> tuple[str, Dispatch | None]:
        try:
            return await self.database.run_in_db_thread(store.add_job, row, self.settings.open_most)
        except IdempotencyKeyReused:
            raise ConnectorError(
                "this `idempotencyKey` stands for another job or another input: take a new one",
                ErrorCode.IDEMPOTENCY_KEY_REUSED,
            ) from None
        except TooManyOpenJobs:
            limit = f"the limit `jobs.open_most` of {self.settings.open_most}"
            raise ConnectorError(
                f"more jobs of yours than {limit} have not ended, wait", ErrorCode.LIMIT_EXCEEDED
            ) from None
        except SQLAlchemyError:
            raise ConnectorError("jobs cannot be started now, try again") from None

    async def dispatch(self, dispatch: Dispatch) -> None:
        """Into the queue; what cannot be put in now is by those who sweep."""
        self.work_available.set()
        try:
            await asyncio.to_thread(self.queue.enqueue, dispatch)
            await self.database.run_in_db_thread(store.mark_dispatched, dispatch)
        except Exception as error:
            LOG.error("the job %s is to be queued later: %s", dispatch.id, type(error).__name__)

    async def cancel(self, principal: Principal, id: str) -> None:
        """Who started it may, and who may start it. Raises SourceFailed; cancelling one that ended changes nothing."""
        try:
            found = await self.database.run_in_db_thread(load_job_summary, id)
            job = self.jobs.get(found.name) if found is not None else None
            visible = list_visible_jobs(self.jobs, principal)
            if found is None or (found.person_id != principal.person_id and found.name not in visible):
                raise ConnectorError("there is no such job", ErrorCode.NOT_FOUND)
            if found.person_id != principal.person_id and (job is None or not principal.groups & job.may_start):
                raise ConnectorError(f"`{found.name}` is cancelled by who may start it", ErrorCode.FORBIDDEN)
            if found.state in OPEN_STATES:
                await self._cancel_job(id, f"{principal.first_name} {principal.last_name}".strip())
        except SQLAlchemyError:
            raise ConnectorError("jobs cannot be cancelled now, try again") from None

    async def _cancel_job(self, id: str, by: str) -> None:
        freed = await self.database.run_in_db_thread(store.cancel_job, id, by)
        self.stop_run(id, by)
        self.notifier.notify(id)
        self.wake_waiters()
        for each in freed:
            await self.dispatch(each)

    async def handle_end(self, id: str, freed: Dispatch | None) -> None:
        """A job ended here."""
        self.wake_waiters()
        if freed is not None:
            self.notifier.notify(freed.id)
            await self.dispatch(freed)

    def wake_waiters(self) -> None:
        """Wakes who waits for an end."""
        self._next_end.set()
        self._next_end = asyncio.Event()

    async def start_child(self, run: JobRun, principal: Principal, job_and_input: tuple[str, Any], key: str) -> str:
        """A part of a run; its own parts it may not have."""
        if run.parent_id is not None:
            raise JobFailed("a part of a job has no parts of its own", retryable=False)
        name, given = job_and_input
        start = StartRequest(
            job_name=name, principal=principal, input=given, idempotency_key=f"part {run.id} {key}", parent_id=run.id
        )
        try:
            return await self.start(start)
        except ConnectorError as failed:
            raise JobFailed(failed.reason, retryable=failed.code is ErrorCode.SOURCE_UNAVAILABLE) from None

    def get_end_event(self, ids: Sequence[str]) -> asyncio.Event:
        """Set at the next end of any job here."""
        return self._next_end


IDEMPOTENCY_KEY_FIELD, REASON_FIELD = "idempotencyKey", "reason"

COMMON_FIELDS = (IDEMPOTENCY_KEY_FIELD, REASON_FIELD)
"""What every mutation that starts a job takes beside the job's own input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobMutation:
    """A job as a mutation is made of it: `startRebuildInvoices`, who may call it, and what its input object holds."""

    name: str
    mutation: str
    description: str
    owner: str
    groups: frozenset[str]
    fields: tuple[JobField, ...]
    result: tuple[JobField, ...]


def list_job_mutations(jobs: Mapping[str, Job]) -> tuple[JobMutation, ...]:
    """Those that have a mutation of their own, by name."""
    return tuple(
        JobMutation(
            name=each.name,
            mutation=f"start{each.name}",
            description=each.description,
            owner=each.owner,
            groups=each.may_start,
            fields=list_job_fields(each.input),
            result=list_job_fields(each.result) if each.result is not None else (),
        )
        for _, each in sorted(jobs.items())
        if each.has_mutation
    )


def build_start_action(service: JobService, name: str) -> Action:
    """`startRebuildInvoices(input: {...})`: the job's own fields, and `idempotencyKey` and `reason`."""

    async def action(act: ActionCall) -> ActionResult:
        given = act.arguments.get("input") or {}
        own = {label: value for label, value in given.items() if label not in COMMON_FIELDS}
        return await _start_job(service, act, name, own)

    return action


def build_start_any_action(service: JobService) -> Action:
    """`startJob(input: {name, input, idempotencyKey, reason})`: its input as JSON."""

    async def action(act: ActionCall) -> ActionResult:
        given = act.arguments["input"]
        return await _start_job(service, act, given["name"], given.get("input") or {})

    return action


def build_cancel_action(service: JobService) -> Action:
    """`cancelJob(input: {id})`; one that has ended stays as it is."""

    async def action(act: ActionCall) -> ActionResult:
        id = str(act.arguments["input"]["id"])
        await service.cancel(act.principal, id)
        return ActionResult(row_id=id, audit_facts={"cancelled": id})

    return action


async def _start_job(starting: JobService, act: ActionCall, name: str, own: Mapping[str, Any]) -> ActionResult:
    job = starting.jobs.get(name)
    if job is None:
        raise ConnectorError(f"there is no job `{name[:100]}`", ErrorCode.NOT_FOUND)
    try:
        given = build_instance(job.input, own)
    except InvalidJobValue as reason:
        raise ConnectorError(f"the input does not fit: {reason}", ErrorCode.BAD_USER_INPUT) from None
    said = act.arguments.get("input") or {}
    id = await starting.start(
        StartRequest(
            job_name=name, principal=act.principal, input=given, idempotency_key=said.get(IDEMPOTENCY_KEY_FIELD), reason=said.get(REASON_FIELD), record_id=act.record_id
        )
    )  # fmt: skip
    return ActionResult(row_id=id, audit_facts={"job": id})
