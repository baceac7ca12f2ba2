"""Poll sources for new rows, once for all who listen to the same key."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TypeAlias

from onedoor.errors import ConnectorError
from onedoor.model.catalog import Topic
from onedoor.model.names import format_id
from onedoor.runtime.concurrency import run_periodically
from onedoor.runtime.pubsub import QUEUE_SIZE_MAX, Listener
from onedoor.storage.events import LoggedEvent

POLL_SECONDS = 3.0

log = logging.getLogger("onedoor.polling")

ReadNewKeys: TypeAlias = Callable[[str | None], Awaitable[tuple[str, Sequence[tuple[str, ...]]]]]
"""`ChangeFeed.read_new_keys` for one key. Raises ConnectorError."""


@dataclass(slots=True, kw_only=True)
class Poller:
    """Poll one key for its listeners."""

    topic: Topic
    read_new_keys: ReadNewKeys
    watermark: str
    interval: float
    listeners: set[Listener] = field(default_factory=set)
    numbers: count = field(default_factory=lambda: count(1))  # type: ignore[type-arg]

    async def run(self) -> None:
        """Poll for as long as anybody listens."""
        await run_periodically(self.poll, self.interval, delay=self.interval, while_needed=lambda: bool(self.listeners))

    async def poll(self) -> None:
        """Read what is new once; a source that does not answer is read again at the next turn."""
        try:
            self.watermark, keys = await self.read_new_keys(self.watermark)
        except ConnectorError as failure:
            log.warning("`%s` cannot be polled now: %s", self.topic.name, failure.reason)
            return
        for key in keys:
            self.publish(format_id(key))

    def publish(self, row_id: str) -> None:
        """Give a row to every listener, and let go of those that are too slow."""
        event = LoggedEvent(id=next(self.numbers), topic=self.topic.name, key=self.topic.key, row_id=row_id)
        for listener in tuple(self.listeners):
            listener.offer(event)
            if listener.slow:
                self.listeners.discard(listener)
                listener.close()


class PollerSet:
    """Share pollers among the subscriptions of this process."""

    def __init__(self, *, interval: float = POLL_SECONDS, queue_size: int = QUEUE_SIZE_MAX) -> None:
        self._interval, self._queue_size = interval, queue_size
        self._pollers: dict[Topic, tuple[Poller, asyncio.Task[None]]] = {}
        self._start_lock = asyncio.Lock()

    @asynccontextmanager
    async def listen(self, topic: Topic, read_new_keys: ReadNewKeys) -> AsyncIterator[AsyncIterator[str]]:
        """Listen for the ids of new rows from now on. Raises ConnectorError."""
        listener = Listener((topic,), self._queue_size)
        poller = await self._get_or_start_poller(topic, read_new_keys, listener)
        try:
            yield listener.iterate_row_ids()
        finally:
            poller.listeners.discard(listener)

    async def close(self) -> None:
        """End all listening and polling."""
        for poller, task in tuple(self._pollers.values()):
            for listener in tuple(poller.listeners):
                listener.close()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _get_or_start_poller(self, topic: Topic, read_new_keys: ReadNewKeys, listener: Listener) -> Poller:
        async with self._start_lock:
            poller, task = self._pollers.get(topic, (None, None))
            if poller is not None and task is not None and not task.done() and poller.listeners:
                poller.listeners.add(listener)
                return poller
            watermark, _ = await read_new_keys(None)
            poller = Poller(
                topic=topic,
                read_new_keys=read_new_keys,
                watermark=watermark,
                interval=self._interval,
                listeners={listener},
            )
            task = asyncio.create_task(poller.run())
            self._pollers[topic] = poller, task
            task.add_done_callback(lambda done: self._remove_poller(topic, done))
            return poller

    def _remove_poller(self, topic: Topic, task: "asyncio.Task[None]") -> None:
        if topic in self._pollers and self._pollers[topic][1] is task:
            del self._pollers[topic]
