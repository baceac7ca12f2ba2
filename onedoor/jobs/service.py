"""Start and cancel jobs for principals, schedules and parent jobs; the mutations that do so; who sees which job."""

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import orjson
from croniter import croniter
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from auth.authentication import Principal
from onedoor.audit.acts import ActRecorder
from onedoor.audit.log import AuditLogUnavailable
from onedoor.audit.record import RANDOM_BYTES, AuditedChange, build_record_id, hash_scalar
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.jobs import store
from onedoor.jobs.codecs import InvalidJobValue, JobField, build_instance, dump_instance, list_job_fields
from onedoor.jobs.context import get_origin_id, replace_unsafe_text
from onedoor.jobs.declarations import Job
from onedoor.jobs.models import OPEN_STATES, Dispatch, JobFailed, JobRun, JobSettings, Notifier, StartRequest
from onedoor.jobs.queue import JobQueue
from onedoor.jobs.registry import compute_job_version
from onedoor.jobs.runner import build_schedule_principal
from onedoor.jobs.store import IdempotencyKeyReused, TooManyOpenJobs
from onedoor.jobs.tables import JobDatabase, job_table
from onedoor.model.catalog import Action, ActionCall, ActionResult
from onedoor.query.engine import build_audit_facts
from onedoor.storage.database import MetadataDatabase

LOG = logging.getLogger("onedoor.work")

Result = TypeVar("Result")

MAX_KEY_CHARACTERS = 200

MAX_REASON_CHARACTERS = 1_000

IDEMPOTENCY_KEY_FIELD, REASON_FIELD = "idempotencyKey", "reason"

COMMON_FIELDS = (IDEMPOTENCY_KEY_FIELD, REASON_FIELD)
"""The input fields that every start mutation has beside those of its job."""


class StartedJob(NamedTuple):
    """The id of a job, and whether this start added it: an idempotency key gives the same job again."""

    id: str
    is_new: bool


@dataclass(slots=True, kw_only=True)
class JobService:
    """Adds jobs to the metadata database and puts them into the queue."""

    jobs: Mapping[str, Job]
    database: JobDatabase
    queue: JobQueue
    release: str
    settings: JobSettings
    notifier: Notifier
    acts: ActRecorder
    """Records starts that no request asked for: those on schedule, and the parts of jobs."""
    work_available: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when there is something to run."""
    stop_run: Callable[[str, str], None] = lambda id, by: None
    """Cancels a run that is under way in this process."""
    _next_end: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self, request: StartRequest) -> str:
        """Return the job's id once the job is durable.

        Raises ConnectorError with a public reason, and AuditLogUnavailable.
        """
        return (await self.start_once(request)).id

    async def start_once(self, request: StartRequest) -> StartedJob:
        """Start a job as `start` does, and return whether it was added."""
        job = self._require_startable(request)
        _check_idempotency_key(request.idempotency_key)
        if request.record_id is not None:
            return await self._add_job(request, job, request.record_id)
        return await self._start_on_record(request, job)

    async def _start_on_record(self, request: StartRequest, job: Job) -> StartedJob:
        """Start a job that no request asked for, under a record of its own, unless it was started before."""
        earlier = await self._run_in_database(store.find_earlier_job, self._build_row(request, job, ""))
        if earlier is not None:
            return StartedJob(id=earlier, is_new=False)

        async def start(record_id: str) -> tuple[StartedJob, Sequence[AuditedChange]]:
            started = await self._add_job(request, job, record_id)
            return started, _list_changes(started, self.acts.redaction_key)

        part_of = None if request.parent_id is None else f"job {request.parent_id}"
        return await self.acts.carry_out(request.principal, f"start{job.name}", start, client_request_id=part_of)

    async def _add_job(self, request: StartRequest, job: Job, record_id: str) -> StartedJob:
        row = self._build_row(request, job, record_id)
        added = await self._run_in_database(store.add_job, row, self.settings.open_most, request.origin_id)
        self.notifier.notify(added.id)
        if added.dispatch is not None:
            await self.dispatch(added.dispatch)
        return StartedJob(id=added.id, is_new=added.id == row["id"])

    def _require_startable(self, request: StartRequest) -> Job:
        job = self.jobs.get(request.job_name)
        if job is None or type(request.input) is not job.input:
            raise ConnectorError(f"there is no job `{request.job_name[:100]}`", ErrorCode.NOT_FOUND)
        if not request.principal.groups & job.may_start:
            groups = ", ".join(f"`{group}`" for group in sorted(job.may_start))
            reason = f"`{job.name}` may be started by members of these groups: {groups}"
            raise ConnectorError(reason, ErrorCode.FORBIDDEN)
        return job

    def _build_row(self, request: StartRequest, job: Job, record_id: str) -> Mapping[str, Any]:
        try:
            job_input = dump_instance(request.input)
            exclusive_key = job.exclusive_key(request.input) if job.exclusive_key is not None else None
        except InvalidJobValue as reason:
            raise ConnectorError(f"the input does not fit: {reason}", ErrorCode.BAD_USER_INPUT) from None
        now, principal = self.database.metadata.now(), request.principal
        return {
            "id": build_record_id(now, secrets.token_bytes(RANDOM_BYTES)),
            "name": job.name,
            "person_id": principal.person_id,
            "person_name": _format_name(principal),
            "key_id": principal.key_id or None,
            "grants": " ".join(grant.id for grant in principal.grants),
            "record_id": record_id,
            "reason": None if request.reason is None else replace_unsafe_text(request.reason)[:MAX_REASON_CHARACTERS],
            "idempotency_key": request.idempotency_key,
            "parent_id": request.parent_id,
            "input": orjson.dumps(job_input, option=orjson.OPT_SORT_KEYS).decode(),
            "version": compute_job_version(job),
            "release": self.release,
            "alone": None if exclusive_key is None else _hash_exclusive_key(job, exclusive_key),
            "created_at": now,
        }

    async def _run_in_database(self, call: Callable[..., Result], *arguments: Any) -> Result:
        """Call what looks for a job or adds one. Raises ConnectorError."""
        try:
            return await self.database.run_in_db_thread(call, *arguments)
        except IdempotencyKeyReused:
            reason = "this `idempotencyKey` belongs to another job or another input: take a new one"
            raise ConnectorError(reason, ErrorCode.IDEMPOTENCY_KEY_REUSED) from None
        except TooManyOpenJobs:
            limit = f"the limit `jobs.open_most` of {self.settings.open_most}"
            reason = f"you have as many open jobs as {limit} allows: wait until one ends"
            raise ConnectorError(reason, ErrorCode.LIMIT_EXCEEDED) from None
        except SQLAlchemyError:
            raise ConnectorError("jobs cannot be started now, try again") from None

    async def dispatch(self, dispatch: Dispatch) -> None:
        """Put the run into the queue; if that fails now, maintenance does it later."""
        self.work_available.set()
        try:
            await asyncio.to_thread(self.queue.enqueue, dispatch)
            await self.database.run_in_db_thread(store.mark_dispatched, dispatch)
        except Exception as error:
            LOG.error("the job %s is to be queued later: %s", dispatch.id, type(error).__name__)

    async def cancel(self, principal: Principal, id: str) -> bool:
        """Cancel a job for whoever started it or may start it; False: it has ended, and stays as it is.

        Raises ConnectorError.
        """
        try:
            summary = await self.database.run_in_db_thread(load_job_summary, id)
            self._require_cancellable(principal, summary)
            if summary is None or summary.state not in OPEN_STATES:
                return False
            await self._cancel_job(id, _format_name(principal))
            return True
        except SQLAlchemyError:
            raise ConnectorError("jobs cannot be cancelled now, try again") from None

    def _require_cancellable(self, principal: Principal, summary: "JobSummary | None") -> None:
        if summary is None:
            raise ConnectorError("there is no such job", ErrorCode.NOT_FOUND)
        if summary.person_id == principal.person_id:
            return
        if summary.name not in list_visible_jobs(self.jobs, principal):
            raise ConnectorError("there is no such job", ErrorCode.NOT_FOUND)
        if summary.name not in list_startable_jobs(self.jobs, principal):
            raise ConnectorError(f"`{summary.name}` may be cancelled by whoever may start it", ErrorCode.FORBIDDEN)

    async def _cancel_job(self, id: str, by: str) -> None:
        freed = await self.database.run_in_db_thread(store.cancel_job, id, by)
        self.stop_run(id, by)
        self.notifier.notify(id)
        self.wake_waiters()
        for dispatch in freed:
            await self.dispatch(dispatch)

    async def handle_end(self, freed: Dispatch | None) -> None:
        """Wake whoever waits for a job that has ended, and queue the job that waited for its exclusive key."""
        self.wake_waiters()
        if freed is not None:
            self.notifier.notify(freed.id)
            await self.dispatch(freed)

    def wake_waiters(self) -> None:
        self._next_end.set()
        self._next_end = asyncio.Event()

    async def start_child(self, run: JobRun, principal: Principal, name: str, job_input: Any, key: str) -> str:
        """Start a child of a run; a child has no children of its own. Raises JobFailed."""
        if run.parent_id is not None:
            raise JobFailed("a part of a job has no parts of its own", retryable=False)
        request = StartRequest(
            job_name=name,
            principal=principal,
            input=job_input,
            idempotency_key=f"part {run.id} {key}",
            parent_id=run.id,
            origin_id=run.id,
        )
        try:
            return await self.start(request)
        except AuditLogUnavailable:
            raise JobFailed("its start cannot be put on record now") from None
        except ConnectorError as error:
            raise JobFailed(error.reason, retryable=error.code is ErrorCode.SOURCE_UNAVAILABLE) from None

    def get_end_event(self, ids: Sequence[str]) -> asyncio.Event:
        """Return an event that is set at the next end of any job in this process."""
        return self._next_end


def _check_idempotency_key(key: str | None) -> None:
    if key is not None and not (0 < len(key) <= MAX_KEY_CHARACTERS and key.isprintable()):
        reason = f"`idempotencyKey` is 1 to {MAX_KEY_CHARACTERS} printable characters"
        raise ConnectorError(reason, ErrorCode.BAD_USER_INPUT)


def _format_name(principal: Principal) -> str:
    return f"{principal.first_name} {principal.last_name}".strip()


def _hash_exclusive_key(job: Job, exclusive_key: str) -> str:
    return f"{job.name} {hashlib.sha256(exclusive_key.encode()).hexdigest()}"


def list_visible_jobs(jobs: Mapping[str, Job], principal: Principal) -> frozenset[str]:
    """Return the names of the jobs whose every run the principal sees, with its result."""
    return frozenset(name for name, job in jobs.items() if job.may_see & principal.groups)


def list_startable_jobs(jobs: Mapping[str, Job], principal: Principal) -> frozenset[str]:
    """Return the names of the jobs that the principal may start; of their own runs they see the results."""
    return frozenset(name for name, job in jobs.items() if job.may_start & principal.groups)


def list_due_starts(jobs: Mapping[str, Job], after: datetime, until: datetime) -> Iterator[StartRequest]:
    """Yield a start for the last time of each schedule in the interval; earlier times that were missed are skipped."""
    for job in jobs.values():
        if job.schedule is None:
            continue
        is_exact = croniter.match(job.schedule.cron, until) and until.second == until.microsecond == 0
        due_at = until if is_exact else croniter(job.schedule.cron, until).get_prev(datetime)
        if after < due_at <= until:
            yield StartRequest(
                job_name=job.name,
                principal=build_schedule_principal(job.schedule),
                input=job.schedule.input,
                idempotency_key=f"schedule {due_at.isoformat()} {job.name}",
                reason=f"on schedule, for {due_at.isoformat()}",
            )


class JobSummary(NamedTuple):
    """A job's name, who started it, and its state."""

    name: str
    person_id: str
    state: str


def load_job_summary(database: MetadataDatabase, id: str) -> JobSummary | None:
    if not id.isascii() or not id.isalnum():
        return None
    columns = (job_table.c.name, job_table.c.person_id, job_table.c.state)
    with database.read_connection() as connection:
        row = connection.execute(select(*columns).where(job_table.c.id == id)).first()
    return None if row is None else JobSummary(*row)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobMutation:
    """The mutation that starts a job, such as `startRebuildInvoices`."""

    name: str
    mutation: str
    description: str
    owner: str
    groups: frozenset[str]
    fields: tuple[JobField, ...]
    result: tuple[JobField, ...]


def list_job_mutations(jobs: Mapping[str, Job]) -> tuple[JobMutation, ...]:
    """Return the mutations of the jobs that have one, by name of the job."""
    return tuple(
        JobMutation(
            name=job.name,
            mutation=f"start{job.name}",
            description=job.description,
            owner=job.owner,
            groups=job.may_start,
            fields=list_job_fields(job.input),
            result=list_job_fields(job.result) if job.result is not None else (),
        )
        for _, job in sorted(jobs.items())
        if job.has_mutation
    )


def build_start_action(service: JobService, name: str) -> Action:
    """Build the action of `startRebuildInvoices(input: {...})`: the job's own fields and COMMON_FIELDS."""

    async def start_job(call: ActionCall, /) -> ActionResult:
        fields = call.arguments.get("input") or {}
        own_fields = {label: value for label, value in fields.items() if label not in COMMON_FIELDS}
        return await _start_job(service, call, name, own_fields)

    return start_job


def build_start_any_action(service: JobService) -> Action:
    """Build the action of `startJob(input: {name, input, idempotencyKey, reason})`, which takes the input as JSON."""

    async def start_any_job(call: ActionCall, /) -> ActionResult:
        fields = call.arguments["input"]
        return await _start_job(service, call, fields["name"], fields.get("input") or {})

    return start_any_job


def build_cancel_action(service: JobService) -> Action:
    """Build the action of `cancelJob(input: {id})`."""

    async def cancel_job(call: ActionCall, /) -> ActionResult:
        id = str(call.arguments["input"]["id"])
        cancelled = await service.cancel(call.principal, id)
        changes = [describe_job_change(id, "cancel", service.acts.redaction_key)] if cancelled else []
        return ActionResult(row_id=id, audit_facts=build_audit_facts(changes))

    return cancel_job


async def _start_job(service: JobService, call: ActionCall, name: str, own_fields: Mapping[str, Any]) -> ActionResult:
    job = service.jobs.get(name)
    if job is None:
        raise ConnectorError(f"there is no job `{name[:100]}`", ErrorCode.NOT_FOUND)
    try:
        job_input = build_instance(job.input, own_fields)
    except InvalidJobValue as reason:
        raise ConnectorError(f"the input does not fit: {reason}", ErrorCode.BAD_USER_INPUT) from None
    fields = call.arguments.get("input") or {}
    request = StartRequest(
        job_name=name,
        principal=call.principal,
        input=job_input,
        idempotency_key=fields.get(IDEMPOTENCY_KEY_FIELD),
        reason=fields.get(REASON_FIELD),
        record_id=call.record_id,
        origin_id=get_origin_id(),
    )
    started = await service.start_once(request)
    facts = build_audit_facts(_list_changes(started, service.acts.redaction_key))
    return ActionResult(row_id=started.id, audit_facts=facts)


def _list_changes(started: StartedJob, key: bytes) -> Sequence[AuditedChange]:
    """List what the record says of a start; one that was made before is on the record that made it."""
    return [describe_job_change(started.id, "start", key)] if started.is_new else []


def describe_job_change(id: str, verb: str, key: bytes) -> AuditedChange:
    """Describe for the audit record what was done to a job; `key` keys the hash of its id."""
    return AuditedChange(id=id, type="Job", row=hash_scalar("text", id, key), verb=verb, state="DONE")
