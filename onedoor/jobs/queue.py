"""Queue runs of jobs with DBOS, which hands each run to one worker of its release. All of it blocks."""

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
    """DBOS is one per process, and another application runs jobs in this one."""


class QueuedRun(NamedTuple):
    """A run as the queue knows it: over, or handed to a worker, or neither."""

    is_over: bool
    worker_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerHandle:
    """Runs what the queue hands to this process, on its event loop."""

    run_dispatch: RunDispatch
    loop: asyncio.AbstractEventLoop


class JobQueue:
    """One DBOS database. `url` is an SQLAlchemy URL for SQLite or PostgreSQL."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.serving = False

    @cached_property
    def client(self) -> Any:
        from onedoor.jobs import dbos_queue  # the import takes half a second, and most servers start no job at first

        return dbos_queue.create_client(self.url)

    def enqueue(self, dispatch: Dispatch) -> None:
        """Queue the run once, however often this is called."""
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
        """Return the runs that the queue knows, by workflow id."""
        workflows = self._list_workflows(workflow_ids=[dispatch.workflow_id for dispatch in dispatches])
        return {
            workflow.workflow_id: QueuedRun(
                is_over=workflow.status in FINISHED_STATUSES,
                worker_id=workflow.executor_id if workflow.status == "PENDING" else None,
            )
            for workflow in workflows
        }

    def delete_jobs(self, ids: Sequence[str]) -> None:
        """Delete every run of these jobs from the queue."""
        if ids:
            workflows = self._list_workflows(workflow_id_prefix=list(ids))
            self.client.delete_workflows([workflow.workflow_id for workflow in workflows])

    def _list_workflows(self, **filters: Any) -> Sequence[Any]:
        workflows: Sequence[Any] = self.client.list_workflows(**filters, load_input=False, load_output=False)
        return workflows

    def start_serving(self, handle: WorkerHandle, worker_id: str, release: str, settings: JobSettings) -> None:
        """Let the queue hand jobs to this process. Raises QueueAlreadyOwned."""
        from onedoor.jobs import dbos_queue

        dbos_queue.launch_dbos(self.url, handle, worker_id, release, settings)
        self.serving = True

    def stop_serving(self) -> None:
        """Let the queue hand nothing to this process any more; what it was handed must have ended."""
        if self.serving:
            from onedoor.jobs import dbos_queue

            self.serving = False
            dbos_queue.destroy_dbos()

    def close(self) -> None:
        """Stop serving and close the connections."""
        self.stop_serving()
        if "client" in vars(self):
            self.client.destroy()


def derive_queue_url(database_url: str) -> str:
    """Return the default URL of the queue: on the metadata database's server, or a file beside its file."""
    parsed = make_url(database_url)
    if parsed.get_backend_name() == "sqlite":
        file = Path(str(parsed.database))
        return f"sqlite:///{file.with_name(f'{file.stem}-jobs{file.suffix}')}"
    return set_queue_driver(database_url)


def set_queue_driver(url: str) -> str:
    """Return the URL with the driver that is installed."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return url
    return parsed.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
