"""Work in, an end to its time: as `asyncio.timeout`, at a tenth of its cost where the work is done in time.

A timer of the loop costs 3 us to set and to take back, and nearly all are taken back. Here all that wait in a thread
share one, set for the first of them; it looks who is late when it goes off.
"""

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType

NEVER = float("inf")


class Later:
    """What is called once the loop's clock is past `at`, unless it was taken back before."""

    __slots__ = ("_watch", "at", "call")

    def __init__(self, at: float, call: Callable[[], object]) -> None:
        self.at, self.call, self._watch = at, call, _watching()
        self._watch.waiting[self] = None
        if at < self._watch.due:
            self._watch.set(at)

    def move(self, at: float) -> None:
        self.at = at
        if at < self._watch.due:
            self._watch.set(at)

    def cancel(self) -> None:
        self._watch.waiting.pop(self, None)


class Deadline:
    """`with Deadline(at):` raises TimeoutError once the loop's clock is past `at`, which may be moved meanwhile."""

    __slots__ = ("_before", "_later", "_task", "at", "late")

    def __init__(self, at: float) -> None:
        self.at, self.late = at, False

    def __enter__(self) -> "Deadline":
        task = asyncio.current_task()
        assert task is not None
        self._task, self._before = task, task.cancelling()
        self._later = Later(self.at, self._passed)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._later.cancel()
        if self.late and self._task.uncancel() <= self._before and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def move(self, at: float) -> None:
        self._later.move(at)

    def _passed(self) -> None:
        self.late = True
        self._task.cancel()


class _Watch:
    """All that waits in one loop."""

    __slots__ = ("due", "loop", "timer", "waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.waiting: dict[Later, None] = {}
        self.timer: asyncio.TimerHandle | None = None
        self.due = NEVER

    def set(self, at: float) -> None:
        """Sees to it that somebody looks at that time at the latest."""
        if self.timer is not None:
            self.timer.cancel()
        self.due, self.timer = at, self.loop.call_at(at, self.look)

    def look(self) -> None:
        now = self.loop.time()
        self.due, self.timer = NEVER, None
        for one in [each for each in self.waiting if each.at <= now]:
            del self.waiting[one]
            one.call()
        due = min((each.at for each in self.waiting), default=NEVER)
        if due < self.due:
            self.set(due)


_here = threading.local()


def _watching() -> _Watch:
    """The watch of the loop that runs in this thread."""
    loop = asyncio.get_running_loop()
    watch: _Watch | None = getattr(_here, "watch", None)
    if watch is None or watch.loop is not loop:
        watch = _here.watch = _Watch(loop)
    return watch
