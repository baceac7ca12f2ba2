"""DBOS: imported by `work/queue.py` once there is something to queue. All of it blocks.

DBOS is one for a process: the first house that runs jobs in it has it, any other only puts in.
"""

import asyncio
import threading
from logging import ERROR, NullHandler

from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer

from onedoor.jobs.models import JobSettings
from onedoor.jobs.queue import APPLICATION_NAME, CHILD_QUEUE, JOB_QUEUE, WORKFLOW_NAME, QueueAlreadyOwned, WorkerHandle

DBOS_THREADS = 8

IDLE_POLL_SECONDS = 1.0
"""How often DBOS looks after what we have no use for, its own schedules and messages; and how long it takes to end."""

_handle: WorkerHandle | None = None

_handle_lock = threading.Lock()


@DBOS.workflow(name=WORKFLOW_NAME)
async def _run_workflow(id: str, epoch: int) -> None:
    """Ends when the run did: what comes of it is kept in the state, and who runs it next is decided there."""
    if (hired := _handle) is not None:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_run_on_worker(hired, id, epoch), hired.loop))


async def _run_on_worker(hired: WorkerHandle, id: str, epoch: int) -> None:
    await hired.run_dispatch(id, epoch)


def create_client(url: str) -> DBOSClient:
    """Who puts into a queue and looks into it; its tables are made where there are none."""
    silence_dbos_logger()
    DBOS.migrate(url)
    return DBOSClient(
        system_database_url=url, serializer=DBOSPortableJSONSerializer(), application_name=APPLICATION_NAME, lazy=True,
        retry_connection_errors=False,
    )  # fmt: skip


def launch_dbos(url: str, handle: WorkerHandle, worker_id: str, release: str, settings: JobSettings) -> None:
    """From now on this process is handed jobs. Raises Taken."""
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


def _launch(url: str, worker: str, release: str, running: JobSettings) -> None:
    silence_dbos_logger()
    DBOS(
        config={
            "name": APPLICATION_NAME,
            "system_database_url": url,
            "serializer": DBOSPortableJSONSerializer(),
            "application_version": release,
            "executor_id": worker,
            "log_level": "ERROR",
            "max_executor_threads": DBOS_THREADS,
            "notification_listener_polling_interval_sec": IDLE_POLL_SECONDS,
            "scheduler_polling_interval_sec": IDLE_POLL_SECONDS,
        }
    )
    DBOS.launch()
    for name in (JOB_QUEUE, CHILD_QUEUE):
        DBOS.register_queue(name, worker_concurrency=running.at_once, polling_interval_sec=running.poll_seconds)


def destroy_dbos() -> None:
    """From now on this process is handed nothing; what it was handed must have ended."""
    global _handle
    DBOS.destroy()
    with _handle_lock:
        _handle = None


def silence_dbos_logger() -> None:
    """DBOS says what is wrong where we do, and nothing on the terminal."""
    if not DBOS.logger.handlers:
        DBOS.logger.addHandler(NullHandler())
        DBOS.logger.setLevel(ERROR)
