"""Lines and progress of one run, kept together a few times a second, and told of once they are kept."""

import asyncio
import re
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field

from work import store
from work.shelf import Shelf
from work.words import Line, LineKind, Notifier, Run, Running

FLUSH_SECONDS = 0.1
WAITING_MOST = 500
"""Lines that wait to be kept; a script that writes more waits, of a function's own the oldest are dropped."""
UNSHOWABLE = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What a terminal would act on, or a database refuses."""


def shown(text: str) -> str:
    return UNSHOWABLE.sub("\ufffd", text)


@dataclass(slots=True, kw_only=True)
class Notes:
    """What one run has to say."""

    shelf: Shelf
    run: Run
    running: Running
    notifier: Notifier
    lines: deque[Line] = field(default_factory=lambda: deque(maxlen=WAITING_MOST * 2))
    progress: tuple[float, float | None] | None = None
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    room: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def line(self, kind: LineKind, text: str) -> None:
        """Each line of it a line, cut off where it is too long."""
        at = self.shelf.state.now()
        for each in text.split("\n"):
            self.lines.append(Line(at=at, kind=kind, text=shown(each.rstrip("\r"))[: self.running.line_characters]))
        self.changed.set()

    async def said(self, kind: LineKind, text: str) -> None:
        """As `line`, once there is room."""
        while len(self.lines) >= WAITING_MOST:
            self.room.clear()
            self.changed.set()
            await self.room.wait()
        self.line(kind, text)

    def far(self, done: float, total: float | None) -> None:
        self.progress = (done, total)
        self.changed.set()

    async def keeping(self) -> None:
        """Until it is over, and all of it is kept. Raises Lost."""
        while not self.over.is_set():
            await self.changed.wait()
            await self.keep()
            with suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self.over.wait()
        await self.keep()

    def end(self) -> None:
        """There is no more to say."""
        self.over.set()
        self.changed.set()

    async def keep(self) -> None:
        """All there is, in order. Raises Lost."""
        async with self.turn:
            self.changed.clear()
            lines, progress = tuple(self.lines), self.progress
            self.lines.clear()
            self.progress = None
            self.room.set()
            if lines or progress is not None:
                await asyncio.shield(self.shelf.do(store.noted, self.run, lines, progress, self.running.lines))
                self.notifier.told(self.run.id)
