"""Publish events to the listeners of this process and, through the metadata database, of all others.

There is one way to a listener: every event is written to a store and read from there, in the order of its id. An event
of this process is read at once, one of another within the poll interval; so each is delivered once.
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

log = logging.getLogger("onedoor.pubsub")

POLL_INTERVAL_SECONDS = 0.5

EVENT_BATCH_SIZE = 1000
"""Events that are read from the store at a time."""

QUEUE_SIZE_MAX = 1000
"""Events that wait for one listener."""

MEMORY_EVENTS_MAX = 10_000


class SlowConsumer(Exception):
    """A listener took events more slowly than they came, and was dropped rather than given only some of them."""


class EventStore(Protocol):
    """Where events are stored. Its methods block, and raise MetadataDatabaseUnavailable."""

    def append(self, topic: str, key: str | None, row: str) -> None:
        """Store an event."""
        ...

    def newest(self) -> int:
        """Return the id of the newest event, 0 before the first."""
        ...

    def since(self, id: int, limit: int) -> Sequence[LoggedEvent]:
        """Return the first events after this id, in order."""
        ...


class InMemoryEventStore:
    """Store the latest events of this process in its memory."""

    def __init__(self) -> None:
        self._ids = count(1)
        self._events: deque[LoggedEvent] = deque(maxlen=MEMORY_EVENTS_MAX)

    def append(self, topic: str, key: str | None, row: str) -> None:
        """Store an event, in place of the oldest if there are too many."""
        self._events.append(LoggedEvent(id=next(self._ids), topic=topic, key=key, row_id=row))

    def newest(self) -> int:
        """Return the id of the newest event, 0 before the first."""
        return self._events[-1].id if self._events else 0

    def since(self, id: int, limit: int) -> Sequence[LoggedEvent]:
        """Return the first events after this id, in order."""
        return [event for event in tuple(self._events) if event.id > id][:limit]


class Listener:
    """Queue the events of some topics for one subscription, from when it began to listen."""

    def __init__(self, topics: Sequence[Topic], queue_size: int) -> None:
        self.topics = frozenset((topic.name, topic.key) for topic in topics)
        self.queue: asyncio.Queue[LoggedEvent | None] = asyncio.Queue(queue_size + 1)
        self.queue_size, self.start_id = queue_size, 0
        self.slow = False

    def offer(self, event: LoggedEvent) -> None:
        """Queue an event of its topics; without room for it the listener becomes slow."""
        if not {(event.topic, event.key), (event.topic, None)} & self.topics:
            return
        self.slow = self.slow or self.queue.qsize() >= self.queue_size
        if not self.slow:
            self.queue.put_nowait(event)

    def close(self) -> None:
        """End the iteration."""
        try:
            self.queue.put_nowait(None)
        except QueueFull:
            self.slow = True

    async def iterate_row_ids(self) -> AsyncIterator[str]:
        """Yield the row ids of the events. Raises SlowConsumer."""
        while not self.slow and (event := await self.queue.get()) is not None:
            if self.slow:
                break
            if event.id > self.start_id:
                yield event.row_id
        if self.slow:
            raise SlowConsumer


class PubSub:
    """Deliver events to listeners, whether published here or in another process on the same store."""

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
        """Publish an event, which is durable on return. Raises MetadataDatabaseUnavailable."""
        await run_in_thread(self._threads, lambda: self.store.append(topic.name, topic.key, row))
        self.wake()

    def wake(self) -> None:
        """Read the store at once, as an event was written to it directly; any thread may call this."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake.set)

    @asynccontextmanager
    async def listen(self, topics: Sequence[Topic]) -> AsyncIterator[AsyncIterator[str]]:
        """Listen for the row ids of events from now on. Raises MetadataDatabaseUnavailable."""
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
        """End all listening."""
        for listener in tuple(self._listeners):
            listener.close()
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
            events = await run_in_thread(self._threads, lambda: self.store.since(self._last_id, EVENT_BATCH_SIZE))
        except MetadataDatabaseUnavailable:
            log.warning("events cannot be read now; they are read as soon as the metadata database answers")
            return False
        for event in events:
            self._last_id = event.id
            for listener in self._listeners:
                listener.offer(event)
        self._drop_slow_listeners()
        return len(events) == EVENT_BATCH_SIZE

    def _drop_slow_listeners(self) -> None:
        for listener in [listener for listener in self._listeners if listener.slow]:
            self._listeners.discard(listener)
            listener.close()
