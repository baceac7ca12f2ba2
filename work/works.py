"""Settings and declarations in, jobs that can be started and run out; closed in the other order."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from work.asking import Asking
from work.declared import Job
from work.queue import Queue, beside, driven
from work.register import release
from work.runner import Runner
from work.shelf import Shelf
from work.starting import Starting
from work.words import Notifier, Running, Silent
from work.worker import Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Works:
    """What a house has of jobs."""

    starting: Starting
    worker: Worker


@asynccontextmanager
async def opened(
    jobs: Mapping[str, Job],
    shelf: Shelf,
    asking: Asking,
    running: Running,
    *,
    notifier: Notifier | None = None,
    at_once: bool = False,
) -> AsyncIterator[Works]:
    """`at_once`: the queue is launched though there is nothing to run yet, as a worker of its own does."""
    queue = Queue(driven(running.url) if running.url else beside(str_of(shelf)))
    told = notifier or Silent()
    starting = Starting(jobs=jobs, shelf=shelf, queue=queue, release=release(jobs), running=running, notifier=told)
    runner = Runner(
        jobs=jobs, shelf=shelf, asking=asking, running=running, notifier=told, branches=starting, ended=starting.over
    )

    def stop(id: str, by: str) -> None:
        if (under := runner.under.get(id)) is not None:
            under.stop(by)

    starting.stop = stop
    worker = Worker(starting=starting, runner=runner)
    working = asyncio.ensure_future(worker.work(at_once=at_once)) if running.here or at_once else None
    try:
        yield Works(starting=starting, worker=worker)
    finally:
        if working is not None:
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working
        await worker.close()
        await asyncio.to_thread(queue.close)


def str_of(shelf: Shelf) -> str:
    return shelf.state.engine.url.render_as_string(hide_password=False)
