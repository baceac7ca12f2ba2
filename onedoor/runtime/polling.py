"""What others do in a source in, told to those who listen: it is asked every few seconds, once for all who do."""

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

log = logging.getLogger("onedoor.watch")

ReadNewKeys: TypeAlias = Callable[[str | None], Awaitable[tuple[str, Sequence[tuple[str, ...]]]]]
"""As `engine.source.Tells`, of one key. Raises SourceFailed."""


@dataclass(slots=True, kw_only=True)
class Poller:
    """One key that is watched, and who listens."""

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
    """All that is watched in this process."""

    def __init__(self, *, interval: float = POLL_SECONDS, queue_size: int = QUEUE_SIZE_MAX) -> None:
        self._interval, self._queue_size = interval, queue_size
        self._pollers: dict[Topic, tuple[Poller, asyncio.Task[None]]] = {}
        self._start_lock = asyncio.Lock()

    @asynccontextmanager
    async def listen(self, topic: Topic, read_new_keys: ReadNewKeys) -> AsyncIterator[AsyncIterator[str]]:
        """What comes from when it is entered, as ids of rows. Raises SourceFailed."""
        listener = Listener((topic,), self._queue_size)
        watch = await self._get_or_start_poller(topic, read_new_keys, listener)
        try:
            yield listener.iterate_row_ids()
        finally:
            watch.listeners.discard(listener)

    async def close(self) -> None:
        for watch, task in tuple(self._pollers.values()):
            for each in tuple(watch.listeners):
                each.close()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _get_or_start_poller(self, topic: Topic, read_new_keys: ReadNewKeys, listener: Listener) -> Poller:
        async with self._start_lock:
            known = self._pollers.get(topic)
            if known is not None and not known[1].done() and known[0].listeners:
                known[0].listeners.add(listener)
                return known[0]
            mark, _ = await read_new_keys(None)
            watch = Poller(
                topic=topic, read_new_keys=read_new_keys, watermark=mark, interval=self._interval, listeners={listener}
            )
            task = asyncio.create_task(watch.run())
            self._pollers[topic] = watch, task
            task.add_done_callback(lambda done: self._remove_poller(topic, done))
            return watch

    def _remove_poller(self, topic: Topic, task: "asyncio.Task[None]") -> None:
        if topic in self._pollers and self._pollers[topic][1] is task:
            del self._pollers[topic]
