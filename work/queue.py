"""The queue: hands each run that was put in to one worker of its release. DBOS is what it stands on; it blocks."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import make_url

from work.words import Dispatch, Running

NAME = "onedoor"
WORKFLOW = "job"
JOBS, PARTS = "jobs", "parts"
OVER = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
Hand = Callable[[str, int], Awaitable[None]]


class Taken(Exception):
    """Another house runs jobs in this process."""


class Seen(NamedTuple):
    """A run as the queue has it: over, or handed to this worker, or neither yet."""

    over: bool
    worker: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hired:
    """Who runs what this process is handed, on which loop."""

    hand: Hand
    loop: asyncio.AbstractEventLoop


class Queue:
    """One database of DBOS. `url` as SQLAlchemy has it, of SQLite or PostgreSQL."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.serving = False

    @cached_property
    def client(self) -> Any:
        from work import dispatching  # it takes half a second, and most doors start no job at their start

        return dispatching.client(self.url)

    def put(self, dispatch: Dispatch) -> None:
        """Once, however often it is called."""
        self.client.enqueue(
            {
                "queue_name": PARTS if dispatch.part else JOBS,
                "workflow_name": WORKFLOW,
                "workflow_id": dispatch.workflow,
                "app_version": dispatch.release,
            },
            dispatch.id,
            dispatch.epoch,
        )

    def seen(self, dispatches: Sequence[Dispatch]) -> Mapping[str, Seen]:
        """By workflow, those it has."""
        return {
            each.workflow_id: Seen(each.status in OVER, each.executor_id if each.status == "PENDING" else None)
            for each in self._listed(workflow_ids=[each.workflow for each in dispatches])
        }

    def forget(self, ids: Sequence[str]) -> None:
        """Of these jobs the queue keeps nothing."""
        if ids:
            found = self._listed(workflow_id_prefix=list(ids))
            self.client.delete_workflows([each.workflow_id for each in found])

    def _listed(self, **wanted: Any) -> Sequence[Any]:
        found: Sequence[Any] = self.client.list_workflows(**wanted, load_input=False, load_output=False)
        return found

    def serve(self, hired: Hired, worker: str, release: str, running: Running) -> None:
        """From now on this process is handed jobs. Raises Taken."""
        from work import dispatching

        dispatching.serve(self.url, hired, worker, release, running)
        self.serving = True

    def rest(self) -> None:
        """From now on this process is handed nothing; what it was handed must have ended."""
        if self.serving:
            from work import dispatching

            self.serving = False
            dispatching.rest()

    def close(self) -> None:
        """Gives its connections back."""
        self.rest()
        if "client" in vars(self):
            self.client.destroy()


def beside(state_url: str) -> str:
    """The queue's URL where none is settled: on the state's server, or a file beside the state's."""
    address = make_url(state_url)
    if address.get_backend_name() == "sqlite":
        file = Path(str(address.database))
        return f"sqlite:///{file.with_name(f'{file.stem}-jobs{file.suffix}')}"
    return driven(state_url)


def driven(url: str) -> str:
    """With the driver we have."""
    address = make_url(url)
    if address.get_backend_name() == "sqlite":
        return url
    return address.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
