"""Where sync vendor SDKs enter: a call goes in, its result comes out, and the event loop never waits for it."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from types import TracebackType, coroutine
from typing import Any, Generic, TypeVar

ThreadResult = TypeVar("ThreadResult")


def build_thread_pool(count: int, name: str) -> ThreadPoolExecutor:
    """As many threads as one source may have calls under way: its bulkhead."""
    return ThreadPoolExecutor(max_workers=count, thread_name_prefix=f"onedoor-{name}")


async def run_in_thread(pool: Executor, call: Callable[[], ThreadResult]) -> ThreadResult:
    """The call's result, from a thread of `pool`.

    When the caller is cancelled a call that has begun runs on: its result is dropped and its thread is not free
    before it ends, so the far end never sees more calls than the pool has threads.
    """
    return await asyncio.get_running_loop().run_in_executor(pool, call)


def shut_down_pool(pool: Executor) -> None:
    """Starts no more calls and waits for none."""
    pool.shutdown(wait=False, cancel_futures=True)


TaskInput = TypeVar("TaskInput")

TaskResult = TypeVar("TaskResult")


async def fan_out(
    call: Callable[[TaskInput], Awaitable[TaskResult]], inputs: Iterable[TaskInput], max_concurrency: int
) -> list[TaskResult]:
    """`act` of every input, at most `at_once` under way; the first to fail cancels the others and is raised."""
    free = asyncio.Semaphore(max_concurrency)

    async def turn(one: TaskInput) -> TaskResult:
        async with free:
            return await call(one)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(turn(one)) for one in inputs]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


ShieldedResult = TypeVar("ShieldedResult")


class ShieldedTasks:
    """What is under way of one source."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[Any]] = set()

    async def run(self, work: Coroutine[Any, Any, ShieldedResult]) -> ShieldedResult:
        """`work` ends of its own, soon."""
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
            task.exception()  # somebody who left does not look at it

    async def close(self) -> None:
        await asyncio.gather(*self.tasks, return_exceptions=True)


NEVER = float("inf")


class ScheduledCall:
    """What is called once the loop's clock is past `at`, unless it was taken back before."""

    __slots__ = ("_queue", "at", "call")

    def __init__(self, at: float, call: Callable[[], object]) -> None:
        self.at, self.call, self._queue = at, call, _get_timer_queue()
        self._queue.calls[self] = None
        if at < self._queue.due:
            self._queue.schedule(at)

    def move(self, at: float) -> None:
        self.at = at
        if at < self._queue.due:
            self._queue.schedule(at)

    def cancel(self) -> None:
        self._queue.calls.pop(self, None)


class Deadline:
    """`with Deadline(at):` raises TimeoutError once the loop's clock is past `at`, which may be moved meanwhile."""

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
        self._expiry.move(at)

    def _expire(self) -> None:
        self.expired = True
        self._task.cancel()


class _TimerQueue:
    """All that waits in one loop."""

    __slots__ = ("calls", "due", "loop", "timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.calls: dict[ScheduledCall, None] = {}
        self.timer: asyncio.TimerHandle | None = None
        self.due = NEVER

    def schedule(self, at: float) -> None:
        """Sees to it that somebody looks at that time at the latest."""
        if self.timer is not None:
            self.timer.cancel()
        self.due, self.timer = at, self.loop.call_at(at, self.run_due)

    def run_due(self) -> None:
        now = self.loop.time()
        self.due, self.timer = NEVER, None
        for one in [each for each in self.calls if each.at <= now]:
            del self.calls[one]
            one.call()
        due = min((each.at for each in self.calls), default=NEVER)
        if due < self.due:
            self.schedule(due)


_thread = threading.local()


def _get_timer_queue() -> _TimerQueue:
    """The watch of the loop that runs in this thread."""
    loop = asyncio.get_running_loop()
    watch: _TimerQueue | None = getattr(_thread, "watch", None)
    if watch is None or watch.loop is not loop:
        watch = _thread.watch = _TimerQueue(loop)
    return watch


async def gather_or_cancel(coroutines: Iterable[Coroutine[Any, Any, Any]]) -> list[Any]:
    """The results, in order; the first failure cancels the rest and is raised as itself, not in a group."""
    waiting = list(coroutines)
    if len(waiting) < 2:
        return [await each for each in waiting]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in waiting]
    except BaseExceptionGroup as failures:
        raise _unwrap_first_error(failures) from None
    return [task.result() for task in tasks]


def _unwrap_first_error(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    inner = failures.exceptions[0]
    return _unwrap_first_error(inner) if isinstance(inner, BaseExceptionGroup) else inner


Result = TypeVar("Result")


class EagerTask(Generic[Result]):
    """`result` is what the work came to, once it is `done`; its failures are raised."""

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
        return self.result if self.done else await _resume(self._steps, self._waits)


@coroutine
def _resume(iterator: Generator[Any, Any, Result], awaited: Any) -> Generator[Any, Any, Result]:
    """Hands on what the work waits for, and what came of that; as `yield from`, for what has begun."""
    while True:
        thrown: BaseException | None = None
        came = None
        try:
            came = yield awaited
        except BaseException as error:
            thrown = error
        try:
            awaited = iterator.send(came) if thrown is None else iterator.throw(thrown)
        except StopIteration as end:
            result: Result = end.value
            return result
