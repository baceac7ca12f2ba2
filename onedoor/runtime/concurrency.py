"""Run threads, tasks, deadlines and periodic loops beside one event loop."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from types import TracebackType, coroutine
from typing import Any, Generic, TypeVar

from onedoor.runtime.loop_time import meter_task

Input = TypeVar("Input")

Result = TypeVar("Result")


def build_thread_pool(count: int, name: str) -> ThreadPoolExecutor:
    """Create the threads of one source; their number is its bulkhead."""
    return ThreadPoolExecutor(max_workers=count, thread_name_prefix=f"onedoor-{name}")


PROBE_THREADS = 1
"""Threads of a source beyond those that calls take in turns, so that a probe never waits behind slow calls."""


async def run_in_thread(pool: Executor, call: Callable[[], Result]) -> Result:
    """Run a blocking call in a thread of `pool` and return its result.

    When the caller is cancelled, a call that has begun runs on: its result is dropped and its thread is not free
    before it ends, so the far end never sees more calls than the pool has threads.
    """
    return await asyncio.get_running_loop().run_in_executor(pool, call)


def shut_down_pool(pool: Executor) -> None:
    """Stop a pool without waiting for the calls that have begun."""
    pool.shutdown(wait=False, cancel_futures=True)


async def run_periodically(
    step: Callable[[], Awaitable[object]],
    pause: float | Callable[[], Awaitable[object]],
    *,
    delay: float = 0.0,
    while_needed: Callable[[], bool] = lambda: True,
) -> None:
    """Run `step` and pause, again and again, until it is cancelled, fails or is no longer needed.

    `pause` is a number of seconds or a function that waits; `delay` is the seconds before the first step. What the
    step may survive, the step itself handles.
    """
    await asyncio.sleep(delay)
    while while_needed():
        await step()
        await (asyncio.sleep(pause) if isinstance(pause, int | float) else pause())


async def wait_for_event(event: asyncio.Event, seconds: float) -> bool:
    """Wait until the event is set, for at most so many seconds; return whether it is set."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return event.is_set()


async def fan_out(
    call: Callable[[Input], Awaitable[Result]], inputs: Iterable[Input], max_concurrency: int
) -> list[Result]:
    """Call with every input, at most `max_concurrency` at a time; the first failure cancels the rest and is raised."""
    semaphore = asyncio.Semaphore(max_concurrency)

    async def call_in_turn(value: Input) -> Result:
        async with semaphore:
            return await call(value)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call_in_turn(value)) for value in inputs]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


async def run_unless(watch: Coroutine[Any, Any, None], work: Coroutine[Any, Any, Result]) -> Result:
    """Return the result of `work`; where `watch` ends first, by an exception, that is raised and `work` cancelled."""
    working, watching = asyncio.ensure_future(meter_task(work)), asyncio.ensure_future(meter_task(watch))
    try:
        done, _ = await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
        if working not in done:
            watching.result()
        return working.result()
    finally:
        working.cancel()
        watching.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


class ShieldedTasks:
    """Run short work to its end, whoever stops waiting for it."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Return the result of `work`; a caller that is cancelled meanwhile waits for its end first."""
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self._forget_task)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            raise

    def _forget_task(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if not task.cancelled():
            task.exception()  # a caller that was cancelled does not look at it, and asyncio would warn

    async def close(self) -> None:
        """Wait until nothing is under way."""
        await asyncio.gather(*self.tasks, return_exceptions=True)


NEVER = float("inf")


class ScheduledCall:
    """Call a function once the loop's clock is past `at`, unless it is cancelled before."""

    __slots__ = ("_queue", "at", "call")

    def __init__(self, at: float, call: Callable[[], object]) -> None:
        self.at, self.call, self._queue = at, call, _get_timer_queue()
        self._queue.calls[self] = None
        if at < self._queue.due:
            self._queue.schedule(at)

    def move(self, at: float) -> None:
        """Set another time."""
        self.at = at
        if at < self._queue.due:
            self._queue.schedule(at)

    def cancel(self) -> None:
        """Forget the call; it does not matter whether it was made."""
        self._queue.calls.pop(self, None)
        self.call = do_nothing  # whoever is called mostly leads here: both would wait for the garbage collector


class Deadline:
    """Raise TimeoutError out of its `with` block once the loop's clock is past `at`, which may be moved meanwhile."""

    __slots__ = ("_before", "_expiry", "_task", "at", "expired")

    def __init__(self, at: float) -> None:
        self.at, self.expired = at, False

    def __enter__(self) -> "Deadline":
        task = asyncio.current_task()
        assert task is not None
        self._task, self._before = task, task.cancelling()
        self._expiry = ScheduledCall(self.at, self._expire)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._expiry.cancel()
        if self.expired and self._task.uncancel() <= self._before and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def move(self, at: float) -> None:
        """Set another time."""
        self._expiry.move(at)

    def _expire(self) -> None:
        self.expired = True
        self._task.cancel()


def do_nothing() -> None:
    """Do nothing."""


class _TimerQueue:
    """All scheduled calls of one event loop, behind one timer: a timer for each would cost more than the calls."""

    __slots__ = ("calls", "due", "loop", "timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.calls: dict[ScheduledCall, None] = {}
        self.timer: asyncio.TimerHandle | None = None
        self.due = NEVER

    def schedule(self, at: float) -> None:
        """Set the timer to a time earlier than the one it is set to."""
        if self.timer is not None:
            self.timer.cancel()
        self.due, self.timer = at, self.loop.call_at(at, self.run_due)

    def run_due(self) -> None:
        """Make the calls that are due and set the timer to the next."""
        now = self.loop.time()
        self.due, self.timer = NEVER, None
        for scheduled in [call for call in self.calls if call.at <= now]:
            del self.calls[scheduled]
            scheduled.call()
        due = min((scheduled.at for scheduled in self.calls), default=NEVER)
        if due < self.due:
            self.schedule(due)


_thread = threading.local()


def _get_timer_queue() -> _TimerQueue:
    """Return the queue of the loop that runs in this thread."""
    loop = asyncio.get_running_loop()
    queue: _TimerQueue | None = getattr(_thread, "timer_queue", None)
    if queue is None or queue.loop is not loop:
        queue = _thread.timer_queue = _TimerQueue(loop)
    return queue


async def gather_or_cancel(coroutines: Iterable[Coroutine[Any, Any, Any]]) -> list[Any]:
    """Return the results in order; the first failure cancels the rest and is raised as itself, not in a group."""
    pending = list(coroutines)
    if len(pending) < 2:
        return [await work for work in pending]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(meter_task(work)) for work in pending]
    except BaseExceptionGroup as failures:
        raise _unwrap_first_error(failures) from None
    return [task.result() for task in tasks]


def _unwrap_first_error(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = failures.exceptions[0]
    return _unwrap_first_error(inner) if isinstance(inner, BaseExceptionGroup) else inner


class EagerTask(Generic[Result]):
    """Run work at once up to its first wait; `result` is there when it is `done`, and its failures are raised."""

    __slots__ = ("_steps", "_waits", "done", "result")

    def __init__(self, work: Awaitable[Result]) -> None:
        self._steps = work.__await__()
        try:
            self._waits = next(self._steps)
        except StopIteration as end:
            self.done, self.result = True, end.value
        else:
            self.done = False

    async def wait(self) -> Result:
        """Return the result, running the rest of the work if there is any."""
        return self.result if self.done else await _resume(self._steps, self._waits)


@coroutine
def _resume(iterator: Generator[Any, Any, Result], awaited: Any) -> Generator[Any, Any, Result]:
    """Do what `yield from` does, for an iterator that has begun."""
    while True:
        error: BaseException | None = None
        value = None
        try:
            value = yield awaited
        except BaseException as thrown:
            error = thrown
        awaited = None
        try:
            awaited = iterator.send(value) if error is None else iterator.throw(error)
        except StopIteration as end:
            result: Result = end.value
            return result
        finally:
            del error  # what fails leads to this frame: neither may lead back, or both wait for the garbage collector
