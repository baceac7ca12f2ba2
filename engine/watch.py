"""What others do in a source in, told to those who listen: it is asked every few seconds, once for all who do."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TypeAlias

from auth.events import Happened
from engine.bus import WAITING_MOST, Listener
from engine.errors import SourceFailed
from engine.names import written
from engine.topic import Topic

EVERY_SECONDS = 3.0
log = logging.getLogger("onedoor.watch")

Newer: TypeAlias = Callable[[str | None], Awaitable[tuple[str, Sequence[tuple[str, ...]]]]]
"""As `engine.source.Tells`, of one key. Raises SourceFailed."""


@dataclass(slots=True, kw_only=True)
class Watch:
    """One key that is watched, and who listens."""

    topic: Topic
    newer: Newer
    mark: str
    every: float
    listeners: set[Listener] = field(default_factory=set)
    numbers: count = field(default_factory=lambda: count(1))  # type: ignore[type-arg]

    async def run(self) -> None:
        """For as long as anybody listens; a source that is away is asked again."""
        while self.listeners:
            await asyncio.sleep(self.every)
            try:
                self.mark, keys = await self.newer(self.mark)
            except SourceFailed as failure:
                log.warning("`%s` cannot be watched now: %s", self.topic.name, failure.reason)
                continue
            for key in keys:
                self.tell(written(key))

    def tell(self, row: str) -> None:
        happened = Happened(id=next(self.numbers), topic=self.topic.name, key=self.topic.key, row=row)
        for each in tuple(self.listeners):
            each.hear(happened)
            if each.slow:
                self.listeners.discard(each)
                each.end()


class Watching:
    """All that is watched in this process."""

    def __init__(self, *, every: float = EVERY_SECONDS, most: int = WAITING_MOST) -> None:
        self._every, self._most = every, most
        self._watches: dict[Topic, tuple[Watch, asyncio.Task[None]]] = {}
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def listen(self, topic: Topic, newer: Newer) -> AsyncIterator[AsyncIterator[str]]:
        """What comes from when it is entered, as ids of rows. Raises SourceFailed."""
        listener = Listener((topic,), self._most)
        watch = await self._watch(topic, newer, listener)
        try:
            yield listener.rows()
        finally:
            watch.listeners.discard(listener)

    async def close(self) -> None:
        for watch, task in tuple(self._watches.values()):
            for each in tuple(watch.listeners):
                each.end()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch(self, topic: Topic, newer: Newer, listener: Listener) -> Watch:
        async with self._opening:
            known = self._watches.get(topic)
            if known is not None and not known[1].done() and known[0].listeners:
                known[0].listeners.add(listener)
                return known[0]
            mark, _ = await newer(None)
            watch = Watch(topic=topic, newer=newer, mark=mark, every=self._every, listeners={listener})
            task = asyncio.create_task(watch.run())
            self._watches[topic] = watch, task
            task.add_done_callback(lambda done: self._over(topic, done))
            return watch

    def _over(self, topic: Topic, task: "asyncio.Task[None]") -> None:
        if topic in self._watches and self._watches[topic][1] is task:
            del self._watches[topic]
