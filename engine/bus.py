"""What happened in, told to all who listen, in this process and, through the state, in all others.

There is one way to a listener: every event is written to the store, and read from there by whoever listens, in the
order of its id. An event of this process is read at once, one of another within `every`; so each is told once.
"""

import asyncio
import logging
from asyncio import AbstractEventLoop, QueueFull
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from itertools import count
from typing import Protocol, TypeVar

from auth.events import Happened
from auth.state import StateUnavailable
from engine.topic import Topic

log = logging.getLogger("onedoor.bus")
Result = TypeVar("Result")
EVERY_SECONDS = 0.5
AT_ONCE = 1000
"""Events that are read from the store in one go."""
WAITING_MOST = 1000
"""Events that wait for one listener."""
KEPT_HERE = 10_000


class TooSlow(Exception):
    """A listener took in events slower than they came, and was let go rather than told only some of them."""


class Store(Protocol):
    """Where events are kept; its methods block. Raises StateUnavailable."""

    def append(self, topic: str, key: str | None, row: str) -> None: ...

    def newest(self) -> int: ...

    def since(self, id: int, most: int) -> Sequence[Happened]: ...


class Here:
    """A store for a house of one process that keeps nothing."""

    def __init__(self) -> None:
        self._ids = count(1)
        self._kept: deque[Happened] = deque(maxlen=KEPT_HERE)

    def append(self, topic: str, key: str | None, row: str) -> None:
        self._kept.append(Happened(id=next(self._ids), topic=topic, key=key, row=row))

    def newest(self) -> int:
        return self._kept[-1].id if self._kept else 0

    def since(self, id: int, most: int) -> Sequence[Happened]:
        return [each for each in tuple(self._kept) if each.id > id][:most]


class Listener:
    """Who hears of some topics. What happened before they listened is not for them."""

    def __init__(self, topics: Sequence[Topic], most: int) -> None:
        self.wanted = frozenset((each.name, each.key) for each in topics)
        self.waiting: asyncio.Queue[Happened | None] = asyncio.Queue(most + 1)
        self.most, self.after = most, 0
        self.slow = False

    def hear(self, happened: Happened) -> None:
        if not {(happened.topic, happened.key), (happened.topic, None)} & self.wanted:
            return
        self.slow = self.slow or self.waiting.qsize() >= self.most
        if not self.slow:
            self.waiting.put_nowait(happened)

    def end(self) -> None:
        """Wakes whoever waits for what comes no more."""
        try:
            self.waiting.put_nowait(None)
        except QueueFull:
            self.slow = True

    async def rows(self) -> AsyncIterator[str]:
        """The ids of the rows that events lead to. Raises TooSlow."""
        while not self.slow and (happened := await self.waiting.get()) is not None:
            if self.slow:
                break
            if happened.id > self.after:
                yield happened.row
        if self.slow:
            raise TooSlow


class Bus:
    """Tells listeners what is published, here or in another process on the same store."""

    def __init__(self, store: Store, *, every: float = EVERY_SECONDS, most: int = WAITING_MOST) -> None:
        self.store, self.every, self.most = store, every, most
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="onedoor-bus")
        self._listeners: set[Listener] = set()
        self._reading: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._seen = 0
        self._loop: AbstractEventLoop | None = None

    async def publish(self, topic: Topic, row: str) -> None:
        """Once for each event; durable when it returns. Raises StateUnavailable."""
        await self._asked(lambda: self.store.append(topic.name, topic.key, row))
        self.wake()

    def wake(self) -> None:
        """Reads the store at once: somebody wrote to it by themselves. It may be called in any thread."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake.set)

    @asynccontextmanager
    async def listen(self, topics: Sequence[Topic]) -> AsyncIterator[AsyncIterator[str]]:
        """What happens from when it is entered, as ids of rows. Raises StateUnavailable."""
        self._loop = asyncio.get_running_loop()
        listener = Listener(topics, self.most)
        self._listeners.add(listener)
        try:
            newest = listener.after = await self._asked(self.store.newest)
            if self._reading is None or self._reading.done():
                self._seen = newest
                self._reading = asyncio.create_task(self._read())
            yield listener.rows()
        finally:
            self._listeners.discard(listener)

    async def close(self) -> None:
        for each in tuple(self._listeners):
            each.end()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def _read(self) -> None:
        """For as long as anybody listens."""
        while self._listeners:
            self._wake.clear()
            if not await self._told():
                await self._rested()

    async def _told(self) -> bool:
        """Whether there may be more."""
        try:
            happened = await self._asked(lambda: self.store.since(self._seen, AT_ONCE))
        except StateUnavailable:
            log.warning("events cannot be read now, they are read as soon as the state answers")
            return False
        for each in happened:
            self._seen = each.id
            for listener in self._listeners:
                listener.hear(each)
        self._let_go()
        return len(happened) == AT_ONCE

    def _let_go(self) -> None:
        for slow in [each for each in self._listeners if each.slow]:
            self._listeners.discard(slow)
            slow.end()

    async def _rested(self) -> None:
        try:
            async with asyncio.timeout(self.every):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _asked(self, call: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)
