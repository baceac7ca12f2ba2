"""The queue: hands each run that was put in to one worker of its release. DBOS is what it stands on; it blocks."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import make_url

from onedoor.jobs.models import Dispatch, JobSettings

APPLICATION_NAME = "onedoor"

WORKFLOW_NAME = "job"

JOB_QUEUE, CHILD_QUEUE = "jobs", "parts"

FINISHED_STATUSES = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")

RunDispatch = Callable[[str, int], Awaitable[None]]


class QueueAlreadyOwned(Exception):
    """Another house runs jobs in this process."""


class QueuedRun(NamedTuple):
    """A run as the queue has it: over, or handed to this worker, or neither yet."""

    is_over: bool
    worker_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerHandle:
    """Who runs what this process is handed, on which loop."""

    run_dispatch: RunDispatch
    loop: asyncio.AbstractEventLoop


class JobQueue:
    """One database of DBOS. `url` as SQLAlchemy has it, of SQLite or PostgreSQL."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.serving = False

    @cached_property
    def client(self) -> Any:
        from onedoor.jobs import (
            dbos_queue as dispatching,  # it takes half a second, and most doors start no job at their start
        )

        return dispatching.create_client(self.url)

    def enqueue(self, dispatch: Dispatch) -> None:
        """Once, however often it is called."""
        self.client.enqueue(
            {
                "queue_name": CHILD_QUEUE if dispatch.is_child else JOB_QUEUE,
                "workflow_name": WORKFLOW_NAME,
                "workflow_id": dispatch.workflow_id,
                "app_version": dispatch.release,
            },
            dispatch.id,
            dispatch.epoch,
        )

    def find_runs(self, dispatches: Sequence[Dispatch]) -> Mapping[str, QueuedRun]:
        """By workflow, those it has."""
        return {
            each.workflow_id: QueuedRun(
                each.status in FINISHED_STATUSES, each.executor_id if each.status == "PENDING" else None
            )
            for each in self._list_workflows(workflow_ids=[each.workflow_id for each in dispatches])
        }

    def delete_jobs(self, ids: Sequence[str]) -> None:
        """Of these jobs the queue keeps nothing."""
        if ids:
            found = self._list_workflows(workflow_id_prefix=list(ids))
            self.client.delete_workflows([each.workflow_id for each in found])

    def _list_workflows(self, **wanted: Any) -> Sequence[Any]:
        found: Sequence[Any] = self.client.list_workflows(**wanted, load_input=False, load_output=False)
        return found

    def start_serving(self, handle: WorkerHandle, worker_id: str, release: str, settings: JobSettings) -> None:
        """From now on this process is handed jobs. Raises Taken."""
        from onedoor.jobs import dbos_queue as dispatching

        dispatching.launch_dbos(self.url, handle, worker_id, release, settings)
        self.serving = True

    def stop_serving(self) -> None:
        """From now on this process is handed nothing; what it was handed must have ended."""
        if self.serving:
            from onedoor.jobs import dbos_queue as dispatching

            self.serving = False
            dispatching.destroy_dbos()

    def close(self) -> None:
        """Gives its connections back."""
        self.stop_serving()
        if "client" in vars(self):
            self.client.destroy()


def derive_queue_url(database_url: str) -> str:
    """The queue's URL where none is settled: on the state's server, or a file beside the state's."""
    address = make_url(database_url)
    if address.get_backend_name() == "sqlite":
        file = Path(str(address.database))
        return f"sqlite:///{file.with_name(f'{file.stem}-jobs{file.suffix}')}"
    return set_queue_driver(database_url)


def set_queue_driver(url: str) -> str:
    """With the driver we have."""
    address = make_url(url)
    if address.get_backend_name() == "sqlite":
        return url
    return address.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
