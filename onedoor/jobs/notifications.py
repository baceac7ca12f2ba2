"""Publish changes of jobs to everyone who is subscribed to them, in this process and all others."""

import asyncio
import logging

from onedoor.model.catalog import Topic
from onedoor.runtime.pubsub import PubSub
from onedoor.storage.database import MetadataDatabaseUnavailable

LOG = logging.getLogger("onedoor.jobs")


class JobNotifier:
    """The `Notifier` that publishes; changes that come before one is published are published as one."""

    def __init__(self, pubsub: PubSub, topic: str) -> None:
        self._pubsub, self._topic = pubsub, topic
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
        """Return when every change has been published."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _publish(self, job_id: str) -> None:
        self._waiting.discard(job_id)
        try:
            await self._pubsub.publish(Topic(name=self._topic, key=job_id), job_id)
        except MetadataDatabaseUnavailable:
            LOG.warning("a change of a job was not published: the metadata database did not answer")
