"""Connect the queue to DBOS. It is imported once there is something to queue, and all of it blocks.

DBOS is one per process: the first application that runs jobs in a process owns it, any other only queues them.
"""

import asyncio
import threading
from logging import ERROR, NullHandler

from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer

from onedoor.jobs.models import JobSettings
from onedoor.jobs.queue import APPLICATION_NAME, CHILD_QUEUE, JOB_QUEUE, WORKFLOW_NAME, QueueAlreadyOwned, WorkerHandle

DBOS_THREADS = 8

IDLE_POLL_SECONDS = 1.0
"""How often DBOS looks for its own schedules and messages, which we do not use; it takes as long to stop."""

QUEUE_THREAD_PREFIX = "queue-worker-"
"""What DBOS names the threads by that take runs from a queue."""

STOP_SECONDS = 10.0

_handle: WorkerHandle | None = None

_dbos: DBOS | None = None

_handle_lock = threading.Lock()


@DBOS.workflow(name=WORKFLOW_NAME)
async def _run_workflow(id: str, epoch: int) -> None:
    """Return when the run has ended; the metadata database holds its result and decides who runs it next."""
    if (handle := _handle) is not None:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_run_on_worker(handle, id, epoch), handle.loop))


async def _run_on_worker(handle: WorkerHandle, id: str, epoch: int) -> None:
    await handle.run_dispatch(id, epoch)


def create_client(url: str) -> DBOSClient:
    """Create a client that queues and looks up runs, and the tables of DBOS where there are none."""
    silence_dbos_logger()
    DBOS.migrate(url)
    return DBOSClient(
        system_database_url=url,
        serializer=DBOSPortableJSONSerializer(),
        application_name=APPLICATION_NAME,
        lazy=True,
        retry_connection_errors=False,
    )


def launch_dbos(url: str, handle: WorkerHandle, worker_id: str, release: str, settings: JobSettings) -> None:
    """Let DBOS hand jobs to this process. Raises QueueAlreadyOwned."""
    global _handle
    with _handle_lock:
        if _handle is not None:
            raise QueueAlreadyOwned
        _handle = handle
    try:
        _launch(url, worker_id, release, settings)
    except BaseException:
        destroy_dbos()
        raise


def _launch(url: str, worker_id: str, release: str, settings: JobSettings) -> None:
    global _dbos
    silence_dbos_logger()
    _dbos = DBOS(
        config={
            "name": APPLICATION_NAME,
            "system_database_url": url,
            "serializer": DBOSPortableJSONSerializer(),
            "application_version": release,
            "executor_id": worker_id,
            "log_level": "ERROR",
            "max_executor_threads": DBOS_THREADS,
            "notification_listener_polling_interval_sec": IDLE_POLL_SECONDS,
            "scheduler_polling_interval_sec": IDLE_POLL_SECONDS,
        }
    )
    DBOS.launch()
    for name in (JOB_QUEUE, CHILD_QUEUE):
        DBOS.register_queue(name, worker_concurrency=settings.at_once, polling_interval_sec=settings.poll_seconds)


def destroy_dbos() -> None:
    """Let DBOS hand nothing to this process any more; what it was handed must have ended."""
    global _handle, _dbos
    if _dbos is not None:
        _stop_taking_runs(_dbos)
    DBOS.destroy()
    with _handle_lock:
        _handle = _dbos = None


def _stop_taking_runs(dbos: DBOS) -> None:
    """Wait for the threads that take runs: `DBOS.destroy` closes the loop they hand them to before it waits."""
    for stop_event in dbos.background_thread_stop_events:
        stop_event.set()
    for thread in threading.enumerate():
        if thread.name.startswith(QUEUE_THREAD_PREFIX):
            thread.join(STOP_SECONDS)


def silence_dbos_logger() -> None:
    """Keep DBOS from logging to the terminal."""
    if not DBOS.logger.handlers:
        DBOS.logger.addHandler(NullHandler())
        DBOS.logger.setLevel(ERROR)
