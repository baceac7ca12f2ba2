"""Heartbeat, takeover, sweep; open/close."""

import asyncio
import logging
import secrets
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeAlias

from sqlalchemy.exc import SQLAlchemyError

from auth.policy import Groups
from onedoor.audit.record import RANDOM_BYTES, build_record_id
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.jobs import maintenance, service, store
from onedoor.jobs.context import JobQueryExecutor
from onedoor.jobs.declarations import Job
from onedoor.jobs.maintenance import WorkerHeartbeat
from onedoor.jobs.models import Dispatch, JobSettings, JobState, Notifier, NullNotifier
from onedoor.jobs.queue import JobQueue, QueueAlreadyOwned, WorkerHandle, derive_queue_url, set_queue_driver
from onedoor.jobs.registry import compute_release
from onedoor.jobs.runner import Runner
from onedoor.jobs.service import JobService
from onedoor.jobs.tables import JobDatabase

LOG = logging.getLogger("onedoor.work")

HEARTBEATS_PER_LEASE = 4
"""Of a lease: so often a worker says that it lives."""

LEASE_SHARE = 0.75

SCHEDULE_CATCH_UP = timedelta(hours=1)
"""So long after its time a schedule is still kept, where nobody was there."""

RETENTION_SECONDS = 3600.0

LoopStep: TypeAlias = Callable[[], Awaitable[None]]


@dataclass(slots=True, kw_only=True)
class Worker:
    """Launches the queue once there is something to run; until then it costs a look a lease."""

    service: JobService
    runner: Runner
    id: str = ""
    clock: Callable[[], float] = time.monotonic
    launched: bool = False
    queue_owned_elsewhere: bool = False
    last_heartbeat: float = 0.0
    last_sweep: float = 0.0
    last_look: float = 0.0
    last_retention: float = -RETENTION_SECONDS
    launch_requested: bool = False
    scheduled_until: datetime | None = None
    other_workers: dict[str, tuple[int, float]] = field(default_factory=dict)
    """By worker, its last beat and when we saw it first."""
    stray_runs: set[tuple[str, int]] = field(default_factory=set)

    async def run(self, *, at_once: bool) -> None:
        """Until it is cancelled. `at_once`: whether there is something to run or not."""
        self.launch_requested = at_once
        async with asyncio.TaskGroup() as group:
            group.create_task(self._run_loop(self._keep_alive, self._sleep_interval))
            group.create_task(self._run_loop(self._run_pass, self._wait_for_work))

    async def _run_loop(self, turn: LoopStep, pause: LoopStep) -> None:
        """Whatever goes wrong, the next round may do better."""
        while True:
            try:
                await turn()
            except SQLAlchemyError as error:
                LOG.error("the state did not answer: %s", type(error).__name__)
            except Exception as error:
                LOG.error("a round of the worker failed: %s", type(error).__name__, exc_info=error)
            await pause()

    def _compute_interval(self) -> float:
        running = self.service.settings
        return running.poll_seconds if self.launched else running.lease_seconds / HEARTBEATS_PER_LEASE

    async def _sleep_interval(self) -> None:
        await asyncio.sleep(self._compute_interval())

    async def _wait_for_work(self) -> None:
        """Until the next round, or until there is something to run and nobody here who does."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._compute_interval()):
                await (
                    asyncio.Event() if self.launched or self.queue_owned_elsewhere else self.service.work_available
                ).wait()

    async def _keep_alive(self) -> None:
        """Who is not heard of for long lets go of what it runs, before others take it."""
        if not self.launched:
            return
        if self.clock() - self.last_heartbeat > self.service.settings.lease_seconds * LEASE_SHARE:
            for each in self.runner.active_runs.values():
                each.stop()
        await self._watch_runs()
        if self.clock() - self.last_heartbeat > self.service.settings.lease_seconds / HEARTBEATS_PER_LEASE:
            await self._send_heartbeat()

    async def _run_pass(self) -> None:
        await self._start_scheduled()
        if self.launched:
            if self.clock() - self.last_sweep > self.service.settings.lease_seconds / HEARTBEATS_PER_LEASE:
                await self.sweep()
            return
        wished = self.launch_requested or self.service.work_available.is_set()
        self.service.work_available.clear()
        if not self.queue_owned_elsewhere and (
            wished or await self.service.database.run_in_db_thread(maintenance.has_unfinished_jobs)
        ):
            await self.launch()

    async def launch(self) -> None:
        """From now on this process is handed jobs."""
        starting = self.service
        await self._register()
        hired = WorkerHandle(run_dispatch=self.runner.run, loop=asyncio.get_running_loop())
        try:
            await asyncio.to_thread(starting.queue.start_serving, hired, self.id, starting.release, starting.settings)
        except Exception as reason:
            await starting.database.run_in_db_thread(maintenance.delete_worker, self.id)
            if not isinstance(reason, QueueAlreadyOwned):
                raise
            self.queue_owned_elsewhere = True
            LOG.warning("another house runs jobs in this process: this one only starts them")
            return
        self.launched = True
        await self.sweep()

    async def _register(self) -> None:
        self.id = build_record_id(self.service.database.metadata.now(), secrets.token_bytes(RANDOM_BYTES))
        self.runner.worker_id = self.id
        await self.service.database.run_in_db_thread(
            maintenance.insert_worker, self.id, socket.gethostname(), self.service.release
        )
        self.last_heartbeat = self.clock()

    async def _send_heartbeat(self) -> None:
        """Who was taken for dead has lost all it ran; its name stays, as the queue knows it by that."""
        if not await self.service.database.run_in_db_thread(maintenance.record_heartbeat, self.id):
            for each in self.runner.active_runs.values():
                each.stop()
            state = self.service.database
            await state.run_in_db_thread(maintenance.insert_worker, self.id, socket.gethostname(), self.service.release)
        self.last_heartbeat = self.clock()

    async def _watch_runs(self) -> None:
        """Ends what somebody wishes to end; what stands as ours and is not under way is to be run anew."""
        wished = await self.service.database.run_in_db_thread(maintenance.load_owned_runs, self.id)
        ours = {each.id: each for each in wished}
        for under in list(self.runner.active_runs.values()):
            known = ours.get(under.run.id)
            if known is not None and known.epoch == under.run.epoch and known.cancelled_by is not None:
                under.stop(known.cancelled_by)
        strays = {(each.id, each.epoch) for each in wished if each.id not in self.runner.active_runs}
        for id, epoch in strays & self.stray_runs:
            await self._requeue(
                Dispatch(id=id, epoch=epoch, is_child=False, release=""), JobState.RUNNING, taken_over=True
            )
        self.stray_runs = strays

    async def sweep(self) -> None:
        """Takes over from the dead, and tells the queue what it never heard."""
        self.last_sweep = self.clock()
        shelf, starting = self.service.database, self.service
        await self._declare_dead(await shelf.run_in_db_thread(maintenance.load_workers))
        for each in await shelf.run_in_db_thread(maintenance.find_orphans):
            await self._requeue(each, JobState.RUNNING, taken_over=True)
        for each in await shelf.run_in_db_thread(maintenance.find_undispatched):
            await starting.dispatch(each)
        await self._reconcile_queue()
        for alone in await shelf.run_in_db_thread(maintenance.find_free_exclusive_keys):
            await starting.handle_end("", await shelf.run_in_db_thread(store.queue_next_exclusive, alone))
        if self.clock() - self.last_retention > RETENTION_SECONDS:
            before = shelf.metadata.now() - timedelta(days=starting.settings.kept_days)
            gone = await shelf.run_in_db_thread(maintenance.delete_ended_jobs, before)
            await asyncio.to_thread(starting.queue.delete_jobs, gone)
            self.last_retention = self.clock()

    async def _declare_dead(self, workers: list[WorkerHeartbeat]) -> None:
        """A worker is dead whose beat stayed the same for a lease, by our clock: those of machines differ."""
        now, known = self.clock(), self.other_workers
        if now - self.last_look > self.service.settings.lease_seconds:
            known = {}  # it was us who could not look, and they may not have been able to say anything either
        self.last_look = now
        self.other_workers = {
            each.id: known[each.id] if known.get(each.id, (None,))[0] == each.beat else (each.beat, now)
            for each in workers
            if each.id != self.id
        }
        for id, (beat, since) in self.other_workers.items():
            late = now - since > self.service.settings.lease_seconds
            if late and await self.service.database.run_in_db_thread(maintenance.delete_worker, id, beat):
                LOG.warning("the worker %s is dead", id)

    async def _reconcile_queue(self) -> None:
        """A run that the queue has lost, has ended or gave to who died before claiming it, is queued anew."""
        shelf, starting = self.service.database, self.service
        queued = await shelf.run_in_db_thread(maintenance.find_dispatched)
        if not queued:
            return
        seen = await asyncio.to_thread(starting.queue.find_runs, queued)
        workers = await shelf.run_in_db_thread(maintenance.load_workers)
        alive, releases = {each.id for each in workers}, {each.release for each in workers}
        for each in queued:
            found = seen.get(each.workflow_id)
            dead = found is None or found.is_over or (found.worker_id is not None and found.worker_id not in alive)
            if dead or each.release not in releases:
                await self._requeue(each, JobState.QUEUED)

    async def _requeue(self, run: Dispatch, was: JobState, *, taken_over: bool = False) -> None:
        starting = self.service
        again = await starting.database.run_in_db_thread(
            store.requeue_run, run, was, starting.release, taken_over=taken_over
        )
        if again is not None:
            starting.notifier.notify(run.id)
            await starting.dispatch(again)

    async def _start_scheduled(self) -> None:
        """What is due is started by every process that is there, and is one job all the same."""
        now = self.service.database.metadata.now()
        try:
            for start in service.list_due_starts(
                self.service.jobs, self.scheduled_until or now - SCHEDULE_CATCH_UP, now
            ):
                await self.service.start(start)
        except ConnectorError as failed:
            LOG.error("a job on schedule could not be started: %s", failed.reason)
            if failed.code is ErrorCode.SOURCE_UNAVAILABLE:
                return
        self.scheduled_until = now

    async def close(self) -> None:
        """What is under way ends, and is others' to run."""
        left = await self.runner.stop()
        if not self.launched:
            return
        with suppress(SQLAlchemyError):
            for each in left:
                await self._requeue(each, JobState.RUNNING)
            await self.service.database.run_in_db_thread(maintenance.delete_worker, self.id)
        await asyncio.to_thread(self.service.queue.stop_serving)
        self.launched = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRuntime:
    """What a house has of jobs."""

    service: JobService
    worker: Worker


@asynccontextmanager
async def open_job_runtime(
    jobs: Mapping[str, Job],
    database: JobDatabase,
    executor: JobQueryExecutor,
    settings: JobSettings,
    *,
    groups: Groups,
    notifier: Notifier | None = None,
    at_once: bool = False,
) -> AsyncIterator[JobRuntime]:
    """`at_once`: the queue is launched though there is nothing to run yet, as a worker of its own does."""
    queue = JobQueue(
        set_queue_driver(settings.url) if settings.url else derive_queue_url(render_database_url(database))
    )
    told = notifier or NullNotifier()
    starting = JobService(
        jobs=jobs, database=database, queue=queue, release=compute_release(jobs), settings=settings, notifier=told
    )
    runner = Runner(
        jobs=jobs,
        groups=groups,
        database=database,
        executor=executor,
        settings=settings,
        notifier=told,
        child_jobs=starting,
        on_ended=starting.handle_end,
    )

    def stop(id: str, by: str) -> None:
        if (under := runner.active_runs.get(id)) is not None:
            under.stop(by)

    starting.stop_run = stop
    worker = Worker(service=starting, runner=runner)
    working = asyncio.ensure_future(worker.run(at_once=at_once)) if settings.here or at_once else None
    try:
        yield JobRuntime(service=starting, worker=worker)
    finally:
        if working is not None:
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working
        await worker.close()
        await asyncio.to_thread(queue.close)


def render_database_url(database: JobDatabase) -> str:
    return database.metadata.engine.url.render_as_string(hide_password=False)
