"""What happened in, told to all who listen, in this process and, through the state, in all others.

There is one way to a listener: every event is written to the store, and read from there by whoever listens, in the
order of its id. An event of this process is read at once, one of another within `every`; so each is told once.
"""

import asyncio
import logging
from asyncio import AbstractEventLoop, QueueFull
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Protocol

from onedoor.model.catalog import Topic
from onedoor.runtime.concurrency import build_thread_pool, run_in_thread, run_periodically, wait_for_event
from onedoor.storage.database import MetadataDatabaseUnavailable
from onedoor.storage.events import LoggedEvent

log = logging.getLogger("onedoor.bus")

POLL_INTERVAL_SECONDS = 0.5

EVENT_BATCH_SIZE = 1000
"""Events that are read from the store in one go."""

QUEUE_SIZE_MAX = 1000
"""Events that wait for one listener."""

MEMORY_EVENTS_MAX = 10_000


class SlowConsumer(Exception):
    """A listener took in events slower than they came, and was let go rather than told only some of them."""


class EventStore(Protocol):
    """Where events are kept; its methods block. Raises StateUnavailable."""

    def append(self, topic: str, key: str | None, row: str) -> None: ...

    def newest(self) -> int: ...

    def since(self, id: int, limit: int) -> Sequence[LoggedEvent]: ...


class InMemoryEventStore:
    """A store for a house of one process that keeps nothing."""

    def __init__(self) -> None:
        self._ids = count(1)
        self._events: deque[LoggedEvent] = deque(maxlen=MEMORY_EVENTS_MAX)

    def append(self, topic: str, key: str | None, row: str) -> None:
        self._events.append(LoggedEvent(id=next(self._ids), topic=topic, key=key, row_id=row))

    def newest(self) -> int:
        return self._events[-1].id if self._events else 0

    def since(self, id: int, limit: int) -> Sequence[LoggedEvent]:
        return [each for each in tuple(self._events) if each.id > id][:limit]


class Listener:
    """Who hears of some topics. What happened before they listened is not for them."""

    def __init__(self, topics: Sequence[Topic], queue_size: int) -> None:
        self.topics = frozenset((each.name, each.key) for each in topics)
        self.queue: asyncio.Queue[LoggedEvent | None] = asyncio.Queue(queue_size + 1)
        self.queue_size, self.start_id = queue_size, 0
        self.slow = False

    def offer(self, event: LoggedEvent) -> None:
        if not {(event.topic, event.key), (event.topic, None)} & self.topics:
            return
        self.slow = self.slow or self.queue.qsize() >= self.queue_size
        if not self.slow:
            self.queue.put_nowait(event)

    def close(self) -> None:
        """Wakes whoever waits for what comes no more."""
        try:
            self.queue.put_nowait(None)
        except QueueFull:
            self.slow = True

    async def iterate_row_ids(self) -> AsyncIterator[str]:
        """The ids of the rows that events lead to. Raises TooSlow."""
        while not self.slow and (happened := await self.queue.get()) is not None:
            if self.slow:
                break
            if happened.id > self.start_id:
                yield happened.row_id
        if self.slow:
            raise SlowConsumer


class PubSub:
    """Tells listeners what is published, here or in another process on the same store."""

    def __init__(
        self, store: EventStore, *, poll_interval: float = POLL_INTERVAL_SECONDS, queue_size: int = QUEUE_SIZE_MAX
    ) -> None:
        self.store, self.poll_interval, self.queue_size = store, poll_interval, queue_size
        self._threads = build_thread_pool(2, "pubsub")
        self._listeners: set[Listener] = set()
        self._reader: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._last_id = 0
        self._loop: AbstractEventLoop | None = None

    async def publish(self, topic: Topic, row: str) -> None:
        """Once for each event; durable when it returns. Raises StateUnavailable."""
        await run_in_thread(self._threads, lambda: self.store.append(topic.name, topic.key, row))
        self.wake()

    def wake(self) -> None:
        """Reads the store at once: somebody wrote to it by themselves. It may be called in any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake.set)

    @asynccontextmanager
    async def listen(self, topics: Sequence[Topic]) -> AsyncIterator[AsyncIterator[str]]:
        """What happens from when it is entered, as ids of rows. Raises StateUnavailable."""
        self._loop = asyncio.get_running_loop()
        listener = Listener(topics, self.queue_size)
        self._listeners.add(listener)
        try:
            newest = listener.start_id = await run_in_thread(self._threads, self.store.newest)
            if self._reader is None or self._reader.done():
                self._last_id = newest
                self._reader = asyncio.create_task(
                    run_periodically(
                        self._deliver_new_events,
                        lambda: wait_for_event(self._wake, self.poll_interval),
                        while_needed=lambda: bool(self._listeners),
                    )
                )
            yield listener.iterate_row_ids()
        finally:
            self._listeners.discard(listener)

    async def close(self) -> None:
        for each in tuple(self._listeners):
            each.close()
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def _deliver_new_events(self) -> None:
        self._wake.clear()
        while await self._deliver_batch():
            pass

    async def _deliver_batch(self) -> bool:
        """Return whether there may be more."""
        try:
            happened = await run_in_thread(self._threads, lambda: self.store.since(self._last_id, EVENT_BATCH_SIZE))
        except MetadataDatabaseUnavailable:
            log.warning("events cannot be read now, they are read as soon as the state answers")
            return False
        for each in happened:
            self._last_id = each.id
            for listener in self._listeners:
                listener.offer(each)
        self._drop_slow_listeners()
        return len(happened) == EVENT_BATCH_SIZE

    def _drop_slow_listeners(self) -> None:
        for slow in [each for each in self._listeners if each.slow]:
            self._listeners.discard(slow)
            slow.close()
