"""DBOS: imported by `work/queue.py` once there is something to queue. All of it blocks.

DBOS is one for a process: the first house that runs jobs in it has it, any other only puts in.
"""

import asyncio
import threading
from logging import ERROR, NullHandler

from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer

from work.queue import JOBS, NAME, PARTS, WORKFLOW, Hired, Taken
from work.words import Running

THREADS = 8
SELDOM_SECONDS = 1.0
"""How often DBOS looks after what we have no use for, its own schedules and messages; and how long it takes to end."""


_hired: Hired | None = None
_hiring = threading.Lock()


@DBOS.workflow(name=WORKFLOW)
async def _job(id: str, epoch: int) -> None:
    """Ends when the run did: what comes of it is kept in the state, and who runs it next is decided there."""
    if (hired := _hired) is not None:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_handed(hired, id, epoch), hired.loop))


async def _handed(hired: Hired, id: str, epoch: int) -> None:
    await hired.hand(id, epoch)


def client(url: str) -> DBOSClient:
    """Who puts into a queue and looks into it; its tables are made where there are none."""
    quiet()
    DBOS.migrate(url)
    return DBOSClient(
        system_database_url=url, serializer=DBOSPortableJSONSerializer(), application_name=NAME, lazy=True,
        retry_connection_errors=False,
    )  # fmt: skip


def serve(url: str, hired: Hired, worker: str, release: str, running: Running) -> None:
    """From now on this process is handed jobs. Raises Taken."""
    global _hired
    with _hiring:
        if _hired is not None:
            raise Taken
        _hired = hired
    try:
        _launched(url, worker, release, running)
    except BaseException:
        rest()
        raise


def _launched(url: str, worker: str, release: str, running: Running) -> None:
    quiet()
    DBOS(
        config={
            "name": NAME,
            "system_database_url": url,
            "serializer": DBOSPortableJSONSerializer(),
            "application_version": release,
            "executor_id": worker,
            "log_level": "ERROR",
            "max_executor_threads": THREADS,
            "notification_listener_polling_interval_sec": SELDOM_SECONDS,
            "scheduler_polling_interval_sec": SELDOM_SECONDS,
        }
    )
    DBOS.launch()
    for name in (JOBS, PARTS):
        DBOS.register_queue(name, worker_concurrency=running.at_once, polling_interval_sec=running.poll_seconds)


def rest() -> None:
    """From now on this process is handed nothing; what it was handed must have ended."""
    global _hired
    DBOS.destroy()
    with _hiring:
        _hired = None


def quiet() -> None:
    """DBOS says what is wrong where we do, and nothing on the terminal."""
    if not DBOS.logger.handlers:
        DBOS.logger.addHandler(NullHandler())
        DBOS.logger.setLevel(ERROR)
