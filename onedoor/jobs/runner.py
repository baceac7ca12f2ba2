"""Run one attempt as its starter."""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from auth import users
from auth.authentication import Principal
from auth.policy import EVERYONE, Groups
from onedoor.audit.log import AuditLogUnavailable
from onedoor.jobs import store, subprocess
from onedoor.jobs.codecs import InvalidJobValue, build_instance, dump_instance
from onedoor.jobs.context import ChildJobs, JobContext, JobQueryExecutor, ProgressBuffer, replace_unsafe_text
from onedoor.jobs.declarations import Job, Retries, Schedule, Script
from onedoor.jobs.models import (
    Dispatch,
    JobFailed,
    JobRefused,
    JobRun,
    JobSettings,
    JobState,
    Notifier,
    RunLost,
    RunResult,
)
from onedoor.jobs.registry import compute_job_version
from onedoor.jobs.tables import JobDatabase
from onedoor.storage.database import MetadataDatabase

SERVICE_PREFIX = "service:"
"""What the id of a service person begins with; a person's own never holds a colon."""

KEY_LIFETIME = timedelta(days=1)


def load_run_principal(
    database: MetadataDatabase, jobs: Mapping[str, Job], registered: Groups, run: JobRun
) -> Principal:
    """Raises Refusal where they may not run it any more. It blocks."""
    job = jobs[run.name]
    caller = (
        _load_service_principal(jobs, run)
        if run.person_id.startswith(SERVICE_PREFIX)
        else _load_user_principal(database, registered, run)
    )
    if not caller.groups & job.may_start:
        groups = ", ".join(f"`{each}`" for each in sorted(job.may_start))
        raise JobRefused(f"who started it is in none of the groups that may: {groups}")
    return caller


def _load_user_principal(state: MetadataDatabase, registered: Groups, run: JobRun) -> Principal:
    found = users.find_user_by_id(state, run.person_id)
    if found is None or found.deactivated_at is not None:
        raise JobRefused("who started it is shut out")
    return Principal(
        person_id=found.id, first_name=found.first_name, last_name=found.last_name, email=found.email,
        groups=registered.names.intersection(found.groups), grants=(), key_id=run.key_id or "",
        key_created=run.created_at, key_expires=state.now() + KEY_LIFETIME,
    )  # fmt: skip


def _load_service_principal(jobs: Mapping[str, Job], run: JobRun) -> Principal:
    """In the groups that are declared now, of any schedule this person starts."""
    named = run.person_id.removeprefix(SERVICE_PREFIX)
    own = [
        each.schedule for each in jobs.values() if each.schedule is not None and each.schedule.service_account == named
    ]
    if not own:
        raise JobRefused(f"no schedule has the service person `{named}` any more")
    groups = frozenset({EVERYONE}).union(*(each.groups for each in own))
    return _build_service_principal(named, groups, run.created_at)


def build_schedule_principal(schedule: Schedule) -> Principal:
    """The person a schedule starts its job as."""
    return _build_service_principal(schedule.service_account, schedule.groups | {EVERYONE}, datetime.now(UTC))


def _build_service_principal(named: str, groups: frozenset[str], since: datetime) -> Principal:
    return Principal(
        person_id=f"{SERVICE_PREFIX}{named}", first_name=named, last_name="", email="", groups=groups, grants=(),
        key_id="", key_created=since, key_expires=since + KEY_LIFETIME,
    )  # fmt: skip


LOG = logging.getLogger("onedoor.work")

MAX_TAKEOVERS = 20
"""Workers that may die of one job; one more, and it is given up."""

STOP_SECONDS = 12.0
"""What a cancelled attempt may take to tidy up."""

MAX_LOGGED_CHARACTERS = 600

MAX_REASON_CHARACTERS = 1_000

CANCELLED_BY_PARENT = "the job it is a part of"


@dataclass(slots=True, kw_only=True)
class ActiveRun:
    """A run that is under way here; `task` is cancelled where `stopped` says why."""

    run: JobRun
    task: "asyncio.Task[None]"
    context: JobContext | None = None
    stop_requested: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled_by: str | None = None
    lost: bool = False

    def stop(self, cancelled_by: str | None = None) -> None:
        """By a person; or by nobody: then another worker is to run it."""
        if not self.stop_requested.is_set():
            self.cancelled_by, self.lost = cancelled_by, cancelled_by is None
            if self.context is not None:
                self.context.cancel_requested = True
            self.stop_requested.set()


@dataclass(slots=True, kw_only=True)
class Runner:
    """Runs what this process is handed."""

    jobs: Mapping[str, Job]
    groups: Groups
    database: JobDatabase
    executor: JobQueryExecutor
    settings: JobSettings
    notifier: Notifier
    child_jobs: ChildJobs
    worker_id: str = ""
    on_ended: Callable[[str, Dispatch | None], Awaitable[None]]
    """Told of a job that ended, and of what waited for it."""
    closing: bool = False
    active_runs: dict[str, ActiveRun] = field(default_factory=dict)

    async def run(self, id: str, epoch: int) -> None:
        """Never raises: what cannot be settled now is found by those who sweep."""
        if self.closing:
            return
        try:
            run = await self.database.run_in_db_thread(store.claim_run, id, epoch, self.worker_id)
            if run is not None and not self.closing:  # what was claimed just then is found to be nobody's
                await self._run_claimed(run)
        except RunLost:
            LOG.warning("the job %s is run elsewhere", id)
        except (SQLAlchemyError, AuditLogUnavailable) as reason:
            LOG.error("the job %s is left to be swept up: %s", id, _describe_error(reason))

    async def _run_claimed(self, run: JobRun) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.active_runs[run.id] = under = ActiveRun(run=run, task=task)
        self.notifier.notify(run.id)
        try:
            end = await self._run_attempts(under)
            if end is not None:
                freed = await self.database.run_in_db_thread(store.end_run, run, end)
                self.notifier.notify(run.id)
                if end.state is not JobState.SUCCEEDED and run.parent_id is None:
                    await self.database.run_in_db_thread(store.cancel_job, run.id, CANCELLED_BY_PARENT)
                await self.on_ended(run.id, freed)
        finally:
            del self.active_runs[run.id]

    async def _run_attempts(self, under: ActiveRun) -> RunResult | None:
        """How it ended; None where it goes on elsewhere."""
        job = self.jobs.get(under.run.name)
        if job is None or (why := _find_give_up_reason(job, under.run)):
            return RunResult(state=JobState.FAILED, reason=why if job else "there is no such job any more")
        if under.run.cancelled_by is not None:
            return _build_cancelled_result(under.run.cancelled_by)
        failures = under.run.failures
        for attempt in range(under.run.attempts + 1, under.run.attempts + 1_000_000):
            failure = await self._run_attempt(under, job, attempt)
            if not isinstance(failure, JobFailed):
                return failure
            if not failure.again or failures >= job.retries.times:
                return RunResult(
                    state=JobState.FAILED, reason=replace_unsafe_text(failure.reason)[:MAX_REASON_CHARACTERS]
                )
            due = self.database.metadata.now() + timedelta(seconds=_compute_retry_delay(job.retries, failures))
            failures += 1
            await self.database.run_in_db_thread(store.record_failure, under.run, due)
        raise AssertionError("unreachable")

    async def _run_attempt(self, under: ActiveRun, job: Job, attempt: int) -> RunResult | JobFailed | None:
        """One attempt, when it is due; whoever wishes its end is heard at once."""
        notes = ProgressBuffer(database=self.database, run=under.run, settings=self.settings, notifier=self.notifier)
        keeping = asyncio.ensure_future(notes.flush_until_finished())
        work = asyncio.ensure_future(self._call_when_due(under, job, attempt, notes))
        stopped = asyncio.ensure_future(under.stop_requested.wait())
        try:
            await asyncio.wait((work, stopped, keeping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            await _cancel_and_wait(work)
            notes.finish()
            await asyncio.wait((keeping,))
        if keeping.exception() is not None or under.lost:
            return None
        if under.cancelled_by is not None and not _has_succeeded(work):
            return _build_cancelled_result(under.cancelled_by)
        return work.result()

    async def _call_when_due(
        self, under: ActiveRun, job: Job, attempt: int, notes: ProgressBuffer
    ) -> RunResult | JobFailed:
        limit = asyncio.timeout(job.timeout_seconds)
        try:
            await self._wait_until_due(under.run)
            load = partial(load_run_principal, jobs=self.jobs, registered=self.groups, run=under.run)
            judge = partial(self.database.run_in_db_thread, load)
            await judge()
            await self.database.run_in_db_thread(store.begin_attempt, under.run)
            under.context = context = JobContext(
                run=under.run, attempt=attempt, database=self.database, progress_buffer=notes, executor=self.executor, authorize=judge,
                child_jobs=self.child_jobs,
            )  # fmt: skip
            self.notifier.notify(under.run.id)
            async with limit:
                return RunResult(state=JobState.SUCCEEDED, result=await _call_job(job, context))
        except JobRefused as refusal:
            return RunResult(state=JobState.REFUSED, reason=refusal.reason)
        except JobFailed as failure:
            return failure
        except (RunLost, SQLAlchemyError, AuditLogUnavailable):
            raise
        except TimeoutError:
            if under.context is not None and limit.expired():
                return JobFailed(f"it took longer than its timeout of {job.timeout_seconds:g} seconds")
            return JobFailed("something it waited for took too long")
        except Exception as error:
            LOG.error("the job %s failed: %s", under.run.id, _describe_error(error))
            return JobFailed("it failed; where is in the log of who runs it")

    async def _wait_until_due(self, run: JobRun) -> None:
        due = await self.database.run_in_db_thread(store.load_due_time, run)
        if due is not None:
            await asyncio.sleep(max(0.0, (due - self.database.metadata.now()).total_seconds()))

    async def stop(self) -> Sequence[Dispatch]:
        """Ends what is under way, and begins nothing any more; what others are to run."""
        self.closing = True
        stopping = list(self.active_runs.values())
        for each in stopping:
            each.stop()
        if stopping:
            await asyncio.wait([each.task for each in stopping], timeout=STOP_SECONDS)
        return [build_dispatch(each.run) for each in stopping]


def build_dispatch(run: JobRun) -> Dispatch:
    return Dispatch(id=run.id, epoch=run.epoch, is_child=run.parent_id is not None, release="")


async def _call_job(job: Job, context: JobContext) -> Any:
    """The result, as JSON has it."""
    try:
        given = build_instance(job.input, context.run.input)
    except InvalidJobValue as reason:
        raise JobFailed(f"its input does not fit: {reason}", retryable=False) from None
    result = (
        await subprocess.run_script(job, context, given)
        if isinstance(job.run, Script)
        else await job.run(context, given)
    )
    if job.result is None:
        return None
    try:
        return dump_instance(result)
    except (InvalidJobValue, TypeError, AttributeError):
        raise JobFailed("its result is not what it is declared to be", retryable=False) from None


def _build_cancelled_result(by: str) -> RunResult:
    return RunResult(state=JobState.CANCELLED, reason=f"{by} cancelled it")


def _compute_retry_delay(retries: Retries, failures: int) -> float:
    return float(min(retries.first_seconds * retries.factor**failures, retries.max_seconds))


def _find_give_up_reason(job: Job, run: JobRun) -> str | None:
    if compute_job_version(job) != run.version:
        return "what it takes or gives was declared anew since it was started: start it again"
    if run.takeovers > MAX_TAKEOVERS:
        return f"more than {MAX_TAKEOVERS} workers died while they ran it"
    return None


async def _cancel_and_wait(work: "asyncio.Future[Any]") -> None:
    """Cancelled where it has not ended, and waited for; one that will not be cancelled is left behind."""
    if not work.done():
        work.cancel()
        await asyncio.wait((work,), timeout=STOP_SECONDS)
    if work.done() and not work.cancelled():
        work.exception()


def _has_succeeded(work: "asyncio.Future[Any]") -> bool:
    return work.done() and not work.cancelled() and work.exception() is None


def _describe_error(error: BaseException) -> str:
    """The kind of error and where it was; its message may hold values, so it stays out."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    places = " < ".join(f"{Path(each.filename).name}:{each.lineno} {each.name}" for each in reversed(frames))
    return f"{type(error).__name__} at {places}"[:MAX_LOGGED_CHARACTERS]
