"""A job that changed in, everyone who listens to it told: in this process, and through the state in all others."""

import asyncio
import logging

from onedoor.model.catalog import Topic
from onedoor.runtime.pubsub import PubSub
from onedoor.storage.database import MetadataDatabaseUnavailable

LOG = logging.getLogger("onedoor.jobs")


class JobNotifier:
    """A `Notifier`. Of changes that come while one is being told, the last is told."""

    def __init__(self, bus: PubSub, topic: str) -> None:
        self._bus, self._topic = bus, topic
        self._waiting: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def notify(self, job_id: str) -> None:
        if job_id in self._waiting:
            return
        self._waiting.add(job_id)
        task = asyncio.get_running_loop().create_task(self._publish(job_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Returns when all that is to be told is."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _publish(self, job_id: str) -> None:
        self._waiting.discard(job_id)
        try:
            await self._bus.publish(Topic(name=self._topic, key=job_id), job_id)
        except MetadataDatabaseUnavailable:
            LOG.warning("who listens to a job was not told of its change: the state did not answer")
