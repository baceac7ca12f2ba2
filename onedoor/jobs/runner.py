"""Run what the queue hands to this process: attempt after attempt, as whoever started the job."""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from auth import users
from auth.authentication import Principal
from auth.grant_store import list_held_grants
from auth.grants import HeldGrant
from auth.groups import EVERYONE, Groups, find_groups
from onedoor.audit.log import AuditLogUnavailable
from onedoor.jobs import store, subprocess
from onedoor.jobs.codecs import InvalidJobValue, build_instance, dump_instance
from onedoor.jobs.context import ChildJobs, JobContext, ProgressBuffer, replace_unsafe_text
from onedoor.jobs.declarations import Job, Retries, Schedule, Script
from onedoor.jobs.models import (
    Dispatch,
    JobFailed,
    JobRefused,
    JobRun,
    JobSettings,
    Notifier,
    RunLost,
    RunResult,
    RunState,
)
from onedoor.jobs.reads import ReadRecorder, RecordingExecutor
from onedoor.jobs.registry import compute_job_version
from onedoor.jobs.tables import JobDatabase
from onedoor.query.audited import AuditedExecutor
from onedoor.storage.database import MetadataDatabase

LOG = logging.getLogger("onedoor.work")

SERVICE_PREFIX = "service:"
"""Begins the id of a service account; the id of a person never holds a colon."""

KEY_LIFETIME = timedelta(days=1)

ACCESS_CHECKS_PER_LEASE = 4
"""How often, in the time of a lease, it is checked that whoever started a run may go on with it."""

MAX_TAKEOVERS = 20
"""How many workers may die of one job before it is given up."""

STOP_SECONDS = 12.0
"""How long a cancelled attempt may take to tidy up."""

MAX_LOGGED_CHARACTERS = 600

MAX_REASON_CHARACTERS = 1_000

PARENT_JOB = "the job it is a part of"


@dataclass(slots=True, kw_only=True)
class ActiveRun:
    """A run that is under way in this process."""

    run: JobRun
    task: "asyncio.Task[None]"
    context: JobContext | None = None
    stop_requested: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled_by: str | None = None
    lost: bool = False
    """Another worker is to run the job."""

    def cancel(self, by: str) -> None:
        """End the run because somebody cancelled the job."""
        if not self.stop_requested.is_set():
            self.cancelled_by = by
            self._request_stop()

    def hand_over(self) -> None:
        """End the run here, for another worker to take over."""
        if not self.stop_requested.is_set():
            self.lost = True
            self._request_stop()

    def _request_stop(self) -> None:
        if self.context is not None:
            self.context.cancel_requested = True
        self.stop_requested.set()


@dataclass(slots=True, kw_only=True)
class Runner:
    """Runs what the queue hands to this process."""

    jobs: Mapping[str, Job]
    groups: Groups
    database: JobDatabase
    executor: AuditedExecutor
    settings: JobSettings
    notifier: Notifier
    child_jobs: ChildJobs
    worker_id: str = ""
    on_ended: Callable[[Dispatch | None], Awaitable[None]]
    """Called when a job has ended, with the job that waited for its exclusive key."""
    closing: bool = False
    active_runs: dict[str, ActiveRun] = field(default_factory=dict)

    async def run(self, id: str, epoch: int) -> None:
        """Run the job to its end and never raise: maintenance finds the runs that could not be recorded."""
        if self.closing:
            return
        try:
            run = await self.database.run_in_db_thread(store.claim_run, id, epoch, self.worker_id)
            if run is not None and not self.closing:  # maintenance finds what was claimed while we close
                await self._run_claimed(run)
        except RunLost:
            LOG.warning("the job %s is run elsewhere", id)
        except (SQLAlchemyError, AuditLogUnavailable) as error:
            LOG.error("the job %s is left to maintenance: %s", id, _describe_error(error))

    async def stop(self) -> Sequence[Dispatch]:
        """End what is under way, begin nothing any more, and return what other workers are to run."""
        self.closing = True
        stopping = list(self.active_runs.values())
        for active in stopping:
            active.hand_over()
        if stopping:
            await asyncio.wait([active.task for active in stopping], timeout=STOP_SECONDS)
        return [build_dispatch(active.run) for active in stopping]

    async def _run_claimed(self, run: JobRun) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.active_runs[run.id] = active = ActiveRun(run=run, task=task)
        self.notifier.notify(run.id)
        try:
            end = await self._run_attempts(active)
            if end is not None:
                await self._end_run(run, end)
        finally:
            del self.active_runs[run.id]

    async def _end_run(self, run: JobRun, end: RunResult) -> None:
        freed = await self.database.run_in_db_thread(store.end_run, run, end)
        self.notifier.notify(run.id)
        if end.state is not RunState.SUCCEEDED and run.parent_id is None:
            await self.database.run_in_db_thread(store.cancel_job, run.id, PARENT_JOB)
        await self.on_ended(freed)

    async def _run_attempts(self, active: ActiveRun) -> RunResult | None:
        """Return how the run ended; None: another worker goes on with the job."""
        job = self.jobs.get(active.run.name)
        if job is None:
            return RunResult(state=RunState.FAILED, reason="there is no such job any more")
        if (reason := _find_give_up_reason(job, active.run)) is not None:
            return RunResult(state=RunState.FAILED, reason=reason)
        if active.run.cancelled_by is not None:
            return _build_cancelled_result(active.run.cancelled_by)
        failures = active.run.failures
        for attempt in count(active.run.attempts + 1):
            result = await self._run_attempt(active, job, attempt)
            if not isinstance(result, JobFailed):
                return result
            if not result.retryable or failures >= job.retries.times:
                reason = replace_unsafe_text(result.reason)[:MAX_REASON_CHARACTERS]
                return RunResult(state=RunState.FAILED, reason=reason)
            delay = timedelta(seconds=_compute_retry_delay(job.retries, failures))
            failures += 1
            due_at = self.database.metadata.now() + delay
            await self.database.run_in_db_thread(store.record_failure, active.run, due_at)
        raise AssertionError("unreachable")

    async def _run_attempt(self, active: ActiveRun, job: Job, attempt: int) -> RunResult | JobFailed | None:
        """Run one attempt when it is due, or end it as soon as a stop is requested."""
        buffer = ProgressBuffer(database=self.database, run=active.run, settings=self.settings, notifier=self.notifier)
        flushing = asyncio.ensure_future(buffer.flush_until_finished())
        work = asyncio.ensure_future(self._call_when_due(active, job, attempt, buffer))
        stopping = asyncio.ensure_future(active.stop_requested.wait())
        refusing = asyncio.ensure_future(self._wait_for_refusal(active.run))
        try:
            await asyncio.wait((work, stopping, flushing, refusing), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            refusing.cancel()
            await _cancel_and_wait(work)
            buffer.finish()
            await asyncio.wait((flushing,))
        if flushing.exception() is not None or active.lost:
            return None
        if active.cancelled_by is not None and not _has_succeeded(work):
            return _build_cancelled_result(active.cancelled_by)
        if _has_succeeded(refusing) and not _has_succeeded(work):
            return RunResult(state=RunState.REFUSED, reason=refusing.result())
        return work.result()

    async def _wait_for_refusal(self, run: JobRun) -> str:
        """Return why whoever started a run may not go on with it, soon after that is so, whatever the run waits for."""
        while True:
            await asyncio.sleep(self.settings.lease_seconds / ACCESS_CHECKS_PER_LEASE)
            try:
                await self._authorize(run)
            except JobRefused as refusal:
                return refusal.reason
            except SQLAlchemyError as error:
                LOG.warning("whether the job %s may go on is not known: %s", run.id, type(error).__name__)

    async def _authorize(self, run: JobRun) -> Principal:
        load = partial(load_run_principal, jobs=self.jobs, registered=self.groups, run=run)
        return await self.database.run_in_db_thread(load)

    async def _call_when_due(
        self, active: ActiveRun, job: Job, attempt: int, buffer: ProgressBuffer
    ) -> RunResult | JobFailed:
        timeout = asyncio.timeout(job.timeout_seconds)

        authorize = partial(self._authorize, active.run)
        try:
            await self._wait_until_due(active.run)
            await authorize()
            await self.database.run_in_db_thread(store.begin_attempt, active.run)
            active.context = context = JobContext(
                run=active.run,
                attempt=attempt,
                database=self.database,
                progress_buffer=buffer,
                executor=self._build_executor(active.run),
                authorize=authorize,
                child_jobs=self.child_jobs,
            )
            self.notifier.notify(active.run.id)
            async with timeout:
                return RunResult(state=RunState.SUCCEEDED, result=await _call_job(job, context))
        except JobRefused as refusal:
            return RunResult(state=RunState.REFUSED, reason=refusal.reason)
        except JobFailed as failure:
            return failure
        except (RunLost, SQLAlchemyError, AuditLogUnavailable):
            raise
        except TimeoutError:
            if active.context is not None and timeout.expired():
                return JobFailed(f"it took longer than its timeout of {job.timeout_seconds:g} seconds")
            return JobFailed("something it waited for took too long")
        except Exception as error:
            LOG.error("the job %s failed: %s", active.run.id, _describe_error(error))
            return JobFailed("it failed unexpectedly; the log of its worker says where")

    def _build_executor(self, run: JobRun) -> RecordingExecutor:
        """Build an executor that shares all that ours has: what outlives the run is drained with it."""
        shared = {field.name: getattr(self.executor, field.name) for field in fields(AuditedExecutor)}
        return RecordingExecutor(**shared, reads=ReadRecorder(database=self.database, run=run))

    async def _wait_until_due(self, run: JobRun) -> None:
        due_at = await self.database.run_in_db_thread(store.load_due_time, run)
        if due_at is not None:
            await asyncio.sleep(max(0.0, (due_at - self.database.metadata.now()).total_seconds()))


def build_dispatch(run: JobRun) -> Dispatch:
    return Dispatch(id=run.id, epoch=run.epoch, is_child=run.parent_id is not None, release="")


async def _call_job(job: Job, context: JobContext) -> Any:
    """Call the job and return its result as JSON has it."""
    try:
        job_input = build_instance(job.input, context.run.input)
    except InvalidJobValue as reason:
        raise JobFailed(f"its input does not fit: {reason}", retryable=False) from None
    result = (
        await subprocess.run_script(job, context, job_input)
        if isinstance(job.run, Script)
        else await job.run(context, job_input)
    )
    if job.result is None:
        return None
    try:
        return dump_instance(result)
    except (InvalidJobValue, TypeError, AttributeError):
        raise JobFailed("its result is not what it is declared to be", retryable=False) from None


def _build_cancelled_result(by: str) -> RunResult:
    return RunResult(state=RunState.CANCELLED, reason=f"{by} cancelled it")


def _compute_retry_delay(retries: Retries, failures: int) -> float:
    return float(min(retries.first_seconds * retries.factor**failures, retries.max_seconds))


def _find_give_up_reason(job: Job, run: JobRun) -> str | None:
    if compute_job_version(job) != run.version:
        return "its input or result was declared anew since it was started: start it again"
    if run.takeovers > MAX_TAKEOVERS:
        return f"more than {MAX_TAKEOVERS} workers died while they ran it"
    return None


async def _cancel_and_wait(work: "asyncio.Future[Any]") -> None:
    """Cancel the work if it has not ended and wait for it; work that ignores the cancellation is left behind."""
    if not work.done():
        work.cancel()
        await asyncio.wait((work,), timeout=STOP_SECONDS)
    if work.done() and not work.cancelled():
        work.exception()


def _has_succeeded(work: "asyncio.Future[Any]") -> bool:
    return work.done() and not work.cancelled() and work.exception() is None


def _describe_error(error: BaseException) -> str:
    """Return the kind of error and where it was raised, without its message, which may hold values."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    return f"{type(error).__name__} at {places}"[:MAX_LOGGED_CHARACTERS]


def load_run_principal(
    database: MetadataDatabase, jobs: Mapping[str, Job], registered: Groups, run: JobRun
) -> Principal:
    """Return whoever started the run, with their present groups. It blocks.

    Raises JobRefused where they may not start the job any more.
    """
    job = jobs[run.name]
    principal = (
        _load_service_principal(jobs, run)
        if run.person_id.startswith(SERVICE_PREFIX)
        else _load_user_principal(database, registered, run)
    )
    if not principal.groups & job.may_start:
        groups = ", ".join(f"`{group}`" for group in sorted(job.may_start))
        raise JobRefused(f"whoever started it is in none of the groups that may start it: {groups}")
    return principal


def _load_user_principal(database: MetadataDatabase, registered: Groups, run: JobRun) -> Principal:
    user = users.find_user_by_id(database, run.person_id)
    if user is None or user.deactivated_at is not None:
        raise JobRefused("the account of whoever started it is deactivated")
    if user.owner_group is not None and user.owner_group not in registered.names:
        raise JobRefused(f"the group `{user.owner_group}`, which answers for whoever started it, is not registered")
    memberships = tuple(membership for membership in user.memberships if membership.group in registered.names)
    members, grants = find_groups(registered, memberships, database.now()), _load_run_grants(database, run)
    return Principal(
        person_id=user.id,
        first_name=user.first_name,
        last_name=user.last_name,
        email=user.email,
        groups=members.union(grant.group for grant in grants),
        grants=tuple(grant for grant in grants if grant.group not in members),
        key_id=run.key_id or "",
        key_created=run.created_at,
        key_expires=database.now() + KEY_LIFETIME,
        owner_group=user.owner_group,
        memberships=memberships,
        attributes=user.attributes,
    )


def _load_run_grants(database: MetadataDatabase, run: JobRun) -> Sequence[HeldGrant]:
    """Return the grants under which a run was started; it has no others. Raises JobRefused where one has ended."""
    if not run.grants:
        return ()
    held = {grant.id: grant for grant in list_held_grants(database, run.person_id)}
    ended = [id for id in run.grants if id not in held]
    if ended:
        raise JobRefused(
            f"the grant `{ended[0]}` under which it was started has ended: ask for access and start it again"
        )
    return [held[id] for id in run.grants]


def _load_service_principal(jobs: Mapping[str, Job], run: JobRun) -> Principal:
    """Return the service account with the groups that its schedules declare now."""
    name = run.person_id.removeprefix(SERVICE_PREFIX)
    schedules = [job.schedule for job in jobs.values() if job.schedule and job.schedule.service_account == name]
    if not schedules:
        raise JobRefused(f"no schedule has the service account `{name}` any more")
    groups = frozenset({EVERYONE}).union(*(schedule.groups for schedule in schedules))
    return _build_service_principal(name, groups, run.created_at)


def build_schedule_principal(schedule: Schedule) -> Principal:
    """Return the service account as which a schedule starts its job."""
    return _build_service_principal(schedule.service_account, schedule.groups | {EVERYONE}, datetime.now(UTC))


def _build_service_principal(name: str, groups: frozenset[str], since: datetime) -> Principal:
    return Principal(
        person_id=f"{SERVICE_PREFIX}{name}",
        first_name=name,
        last_name="",
        email="",
        groups=groups,
        grants=(),
        key_id="",
        key_created=since,
        key_expires=since + KEY_LIFETIME,
    )
