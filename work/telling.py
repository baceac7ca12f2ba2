"""A job that changed in, everyone who listens to it told: in this process, and through the state in all others."""

import asyncio
import logging

from auth.state import StateUnavailable
from engine.bus import Bus
from engine.topic import Topic

log = logging.getLogger("onedoor.jobs")


class Telling:
    """A `Notifier`. Of changes that come while one is being told, the last is told."""

    def __init__(self, bus: Bus, topic: str) -> None:
        self._bus, self._topic = bus, topic
        self._waiting: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def told(self, job_id: str) -> None:
        if job_id in self._waiting:
            return
        self._waiting.add(job_id)
        task = asyncio.get_running_loop().create_task(self._tell(job_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def ended(self) -> None:
        """Returns when all that is to be told is."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _tell(self, job_id: str) -> None:
        self._waiting.discard(job_id)
        try:
            await self._bus.publish(Topic(name=self._topic, key=job_id), job_id)
        except StateUnavailable:
            log.warning("who listens to a job was not told of its change: the state did not answer")
