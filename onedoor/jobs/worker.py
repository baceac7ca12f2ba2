"""Run a worker: launch the queue, send heartbeats, take over the jobs of dead workers and start scheduled jobs."""

import asyncio
import logging
import secrets
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple, TypeAlias

from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from auth.groups import Groups
from onedoor.audit.acts import ActRecorder
from onedoor.audit.log import AuditLogUnavailable
from onedoor.audit.record import RANDOM_BYTES, Surface, build_record_id
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.jobs import maintenance, store
from onedoor.jobs.declarations import Job
from onedoor.jobs.maintenance import WorkerHeartbeat
from onedoor.jobs.models import Dispatch, JobSettings, Notifier, NullNotifier, RunState
from onedoor.jobs.queue import JobQueue, QueueAlreadyOwned, WorkerHandle, derive_queue_url, set_queue_driver
from onedoor.jobs.registry import compute_release
from onedoor.jobs.runner import Runner
from onedoor.jobs.service import JobService, list_due_starts
from onedoor.jobs.tables import JobDatabase
from onedoor.query.audited import AuditedExecutor
from onedoor.runtime.concurrency import run_periodically, wait_for_event
from onedoor.storage.database import create_sqlite_file

LOG = logging.getLogger("onedoor.work")

HEARTBEATS_PER_LEASE = 4

LEASE_SHARE = 0.75
"""After this share of a lease without a heartbeat of its own a worker lets go of its runs, before others take them."""

SCHEDULE_CATCH_UP = timedelta(hours=1)
"""How long after its time a scheduled job is still started, where no worker was there."""

RETENTION_SECONDS = 3600.0
"""How often ended jobs are deleted that are older than `kept_days`."""

LoopStep: TypeAlias = Callable[[], Awaitable[None]]


class SeenBeat(NamedTuple):
    """The last heartbeat of another worker, and when this worker saw it first, on its own clock."""

    beat: int
    since: float


@dataclass(slots=True, kw_only=True)
class Worker:
    """Runs jobs in this process. It launches the queue once there is something to run; until then it polls."""

    service: JobService
    runner: Runner
    id: str = ""
    clock: Callable[[], float] = time.monotonic
    launched: bool = False
    queue_owned_elsewhere: bool = False
    launch_requested: bool = False
    scheduled_until: datetime | None = None
    _last_heartbeat: float = 0.0
    _last_sweep: float = 0.0
    _last_look: float = 0.0
    _last_retention: float = -RETENTION_SECONDS
    _other_workers: dict[str, SeenBeat] = field(default_factory=dict)
    _stray_runs: set[tuple[str, int]] = field(default_factory=set)
    """Runs by id and epoch that the database says are this worker's, and that were not under way a moment ago."""

    async def run(self, *, at_once: bool) -> None:
        """Work until cancelled. `at_once`: launch the queue though there is nothing to run yet."""
        self.launch_requested = at_once
        async with asyncio.TaskGroup() as group:
            group.create_task(run_periodically(partial(_try_step, self._keep_alive), self._sleep_interval))
            group.create_task(run_periodically(partial(_try_step, self._run_pass), self._wait_for_work))

    def _compute_interval(self) -> float:
        settings = self.service.settings
        return settings.poll_seconds if self.launched else settings.lease_seconds / HEARTBEATS_PER_LEASE

    async def _sleep_interval(self) -> None:
        await asyncio.sleep(self._compute_interval())

    async def _wait_for_work(self) -> None:
        """Wait for the next pass, or until there is something to run in a process that could launch the queue."""
        if self.launched or self.queue_owned_elsewhere:
            await self._sleep_interval()
            return
        await wait_for_event(self.service.work_available, self._compute_interval())

    async def _keep_alive(self) -> None:
        """Send a heartbeat when it is due and let go of all runs when it is overdue."""
        if not self.launched:
            return
        lease = self.service.settings.lease_seconds
        if self.clock() - self._last_heartbeat > lease * LEASE_SHARE:
            self._hand_over_runs()
        await self._watch_runs()
        if self.clock() - self._last_heartbeat > lease / HEARTBEATS_PER_LEASE:
            await self._send_heartbeat()

    async def _run_pass(self) -> None:
        await self._start_scheduled()
        if self.launched:
            if self.clock() - self._last_sweep > self.service.settings.lease_seconds / HEARTBEATS_PER_LEASE:
                await self.sweep()
            return
        has_work = self.launch_requested or self.service.work_available.is_set()
        self.service.work_available.clear()
        if self.queue_owned_elsewhere:
            return
        if has_work or await self.service.database.run_in_db_thread(maintenance.has_unfinished_jobs):
            await self.launch()

    async def launch(self) -> None:
        """Let the queue hand jobs to this process."""
        service = self.service
        await self._register()
        handle = WorkerHandle(run_dispatch=self.runner.run, loop=asyncio.get_running_loop())
        try:
            await asyncio.to_thread(service.queue.start_serving, handle, self.id, service.release, service.settings)
        except QueueAlreadyOwned:
            await service.database.run_in_db_thread(maintenance.delete_worker, self.id)
            self.queue_owned_elsewhere = True
            LOG.warning("another application runs jobs in this process: this one only starts them")
            return
        except Exception:
            await service.database.run_in_db_thread(maintenance.delete_worker, self.id)
            raise
        self.launched = True
        await self.sweep()

    async def _register(self) -> None:
        self.id = build_record_id(self.service.database.metadata.now(), secrets.token_bytes(RANDOM_BYTES))
        self.runner.worker_id = self.id
        await self._insert_worker()

    async def _send_heartbeat(self) -> None:
        """Send a heartbeat. A worker that was declared dead has lost its runs and registers again.

        It keeps its id, by which the queue knows it.
        """
        if await self.service.database.run_in_db_thread(maintenance.record_heartbeat, self.id):
            self._last_heartbeat = self.clock()
            return
        self._hand_over_runs()
        await self._insert_worker()

    async def _insert_worker(self) -> None:
        host, release = socket.gethostname(), self.service.release
        await self.service.database.run_in_db_thread(maintenance.insert_worker, self.id, host, release)
        self._last_heartbeat = self.clock()

    def _hand_over_runs(self) -> None:
        for active in self.runner.active_runs.values():
            active.hand_over()

    async def _watch_runs(self) -> None:
        """Cancel the runs of cancelled jobs, and requeue runs of this worker that it does not run."""
        owned = await self.service.database.run_in_db_thread(maintenance.load_owned_runs, self.id)
        cancelled_by = {(run.id, run.epoch): run.cancelled_by for run in owned}
        active_runs = self.runner.active_runs
        for active in list(active_runs.values()):
            canceller = cancelled_by.get((active.run.id, active.run.epoch))
            if canceller is not None:
                active.cancel(canceller)
        strays = {(run.id, run.epoch) for run in owned if run.id not in active_runs}
        for id, epoch in strays & self._stray_runs:
            stray = Dispatch(id=id, epoch=epoch, is_child=False, release="")
            await self._requeue(stray, RunState.RUNNING, taken_over=True)
        self._stray_runs = strays

    async def sweep(self) -> None:
        """Take over from dead workers, put right what the queue lacks, and delete old jobs."""
        self._last_sweep = self.clock()
        service, database = self.service, self.service.database
        await self._declare_dead(await database.run_in_db_thread(maintenance.load_workers))
        for orphan in await database.run_in_db_thread(maintenance.find_orphans):
            await self._requeue(orphan, RunState.RUNNING, taken_over=True)
        for undispatched in await database.run_in_db_thread(maintenance.find_undispatched):
            await service.dispatch(undispatched)
        await self._reconcile_queue()
        for exclusive_key in await database.run_in_db_thread(maintenance.find_free_exclusive_keys):
            await service.handle_end(await database.run_in_db_thread(store.queue_next_exclusive, exclusive_key))
        if self.clock() - self._last_retention > RETENTION_SECONDS:
            oldest = database.metadata.now() - timedelta(days=service.settings.kept_days)
            deleted = await database.run_in_db_thread(maintenance.delete_ended_jobs, oldest)
            await asyncio.to_thread(service.queue.delete_jobs, deleted)
            self._last_retention = self.clock()

    async def _declare_dead(self, workers: Sequence[WorkerHeartbeat]) -> None:
        """Delete the workers without a heartbeat for a lease on this worker's clock: clocks of machines differ."""
        now, lease = self.clock(), self.service.settings.lease_seconds
        # after a pause of our own the others may not have been able to send a heartbeat either
        last_beats = {} if now - self._last_look > lease else self._other_workers
        self._last_look = now
        self._other_workers = {
            worker.id: _update_seen_beat(last_beats.get(worker.id), worker, now)
            for worker in workers
            if worker.id != self.id
        }
        for id, (beat, since) in self._other_workers.items():
            if now - since <= lease:
                continue
            if await self.service.database.run_in_db_thread(maintenance.delete_dead_worker, id, beat):
                LOG.warning("the worker %s is dead", id)

    async def _reconcile_queue(self) -> None:
        """Requeue the runs that the queue has lost or ended, or gave to a worker that died before claiming them."""
        service, database = self.service, self.service.database
        dispatched = await database.run_in_db_thread(maintenance.find_dispatched)
        if not dispatched:
            return
        queued = await asyncio.to_thread(service.queue.find_runs, dispatched)
        workers = await database.run_in_db_thread(maintenance.load_workers)
        alive, releases = {worker.id for worker in workers}, {worker.release for worker in workers}
        for dispatch in dispatched:
            run = queued.get(dispatch.workflow_id)
            is_lost = run is None or run.is_over or (run.worker_id is not None and run.worker_id not in alive)
            if is_lost or dispatch.release not in releases:
                await self._requeue(dispatch, RunState.QUEUED)

    async def _requeue(self, run: Dispatch, was: RunState, *, taken_over: bool = False) -> None:
        service = self.service
        requeued = await service.database.run_in_db_thread(
            store.requeue_run, run, was, service.release, taken_over=taken_over
        )
        if requeued is not None:
            service.notifier.notify(run.id)
            await service.dispatch(requeued)

    async def _start_scheduled(self) -> None:
        """Start what is due. Every process does so, and by the idempotency key it is one job all the same."""
        now = self.service.database.metadata.now()
        since = self.scheduled_until or now - SCHEDULE_CATCH_UP
        try:
            for start in list_due_starts(self.service.jobs, since, now):
                await self.service.start(start)
        except ConnectorError as error:
            LOG.error("a job on schedule could not be started: %s", error.reason)
            if error.code is ErrorCode.SOURCE_UNAVAILABLE:
                return
        except AuditLogUnavailable:
            LOG.error("a job on schedule could not be started: its start cannot be put on record")
            return
        self.scheduled_until = now

    async def close(self) -> None:
        """End what is under way and leave it to other workers."""
        unfinished = await self.runner.stop()
        if not self.launched:
            return
        with suppress(SQLAlchemyError):
            for run in unfinished:
                await self._requeue(run, RunState.RUNNING)
            await self.service.database.run_in_db_thread(maintenance.delete_worker, self.id)
        await asyncio.to_thread(self.service.queue.stop_serving)
        self.launched = False


async def _try_step(step: LoopStep) -> None:
    """Log whatever fails in a step: the next one may succeed."""
    try:
        await step()
    except SQLAlchemyError as error:
        LOG.error("the metadata database did not answer: %s", type(error).__name__)
    except Exception as error:
        LOG.error("a pass of the worker failed: %s", type(error).__name__, exc_info=error)


def _update_seen_beat(last_beat: SeenBeat | None, worker: WorkerHeartbeat, now: float) -> SeenBeat:
    return last_beat if last_beat is not None and last_beat.beat == worker.beat else SeenBeat(worker.beat, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRuntime:
    """What an application has of jobs: the service that starts them and the worker that runs them."""

    service: JobService
    worker: Worker


@asynccontextmanager
async def open_job_runtime(
    jobs: Mapping[str, Job],
    database: JobDatabase,
    executor: AuditedExecutor,
    settings: JobSettings,
    *,
    groups: Groups,
    notifier: Notifier | None = None,
    at_once: bool = False,
) -> AsyncIterator[JobRuntime]:
    """Open the runtime. `at_once`: launch the queue though there is nothing to run yet, as `onedoor worker` does."""
    notifier = notifier or NullNotifier()
    url = set_queue_driver(settings.url) if settings.url else derive_queue_url(render_database_url(database))
    await asyncio.to_thread(create_sqlite_file, make_url(url))
    service = JobService(
        jobs=jobs,
        database=database,
        queue=JobQueue(url),
        release=compute_release(jobs),
        settings=settings,
        notifier=notifier,
        acts=ActRecorder(audit_log=executor.audit_log, surface=Surface.JOB, redaction_key=executor.redaction_key),
    )
    runner = Runner(
        jobs=jobs,
        groups=groups,
        database=database,
        executor=executor,
        settings=settings,
        notifier=notifier,
        child_jobs=service,
        on_ended=service.handle_end,
    )

    def stop_run(id: str, by: str) -> None:
        if (active := runner.active_runs.get(id)) is not None:
            active.cancel(by)

    service.stop_run = stop_run
    worker = Worker(service=service, runner=runner)
    working = asyncio.ensure_future(worker.run(at_once=at_once)) if settings.here or at_once else None
    try:
        yield JobRuntime(service=service, worker=worker)
    finally:
        if working is not None:
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working
        await worker.close()
        await asyncio.to_thread(service.queue.close)


def render_database_url(database: JobDatabase) -> str:
    return database.metadata.engine.url.render_as_string(hide_password=False)
