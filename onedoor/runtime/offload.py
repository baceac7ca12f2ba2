"""Run work that would hold up the event loop in a thread, by turns of people, and charge it to their keys."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from time import thread_time
from typing import TypeVar

from onedoor.errors import ErrorCode, HTTPError
from onedoor.runtime.fair_slots import FairSlots
from onedoor.runtime.loop_time import describe_used_up, get_meter

Result = TypeVar("Result")

THREADS = 2
"""They share the interpreter's lock with the loop, which wins it back within milliseconds: more would only slow it."""

_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="onedoor-offload")


class Offload:
    """Runs calls in threads: one at a time for a person, whose other calls wait for their turn."""

    def __init__(self) -> None:
        self.slots = FairSlots(THREADS)

    async def run(
        self,
        call: Callable[[], Result],
        *,
        look_up: Callable[[], Result | None] = lambda: None,
        keep: Callable[[Result], None] = lambda _: None,
    ) -> Result:
        """Return the result of `call`, or what `look_up` finds once it is its turn.

        Raises HTTPError where the key has used up its seconds meanwhile. A call whose request is cancelled runs to its
        end and keeps its turn until then. Its result is given to `keep` before the next turn.
        """
        meter = get_meter()
        async with nullcontext() if meter is None else meter.take_offload_turn():
            person = await self.slots.acquire()
        work: asyncio.Future[Result] | None = None
        try:
            found = look_up()
            if found is not None:
                return found
            check_loop_seconds()
            work = asyncio.get_running_loop().run_in_executor(_threads, charge_call(call))
        finally:
            if work is None:
                self.slots.release(person)

        def end_turn(work: asyncio.Future[Result]) -> None:
            # the exception is looked at, as a request that was cancelled does not do so, and asyncio would warn
            if not work.cancelled() and work.exception() is None:
                keep(work.result())
            self.slots.release(person)

        work.add_done_callback(end_turn)
        try:
            return await asyncio.shield(work)
        finally:
            del work  # its exception leads to this frame, and both would wait for the garbage collector


def check_loop_seconds() -> None:
    """Raise HTTPError where the key of this request has used up its seconds of the event loop."""
    meter = get_meter()
    wait = None if meter is None else meter.get_wait()
    if meter is not None and wait is not None:
        message, retry_after = describe_used_up(meter.account.limit, wait)
        raise HTTPError(429, message, {"retry-after": str(retry_after)}, code=ErrorCode.LIMIT_EXCEEDED)


def charge_call(call: Callable[[], Result]) -> Callable[[], Result]:
    """Wrap a call for another thread, where its processor time counts for the request that makes it."""
    meter, loop = get_meter(), asyncio.get_running_loop()
    if meter is None:
        return call

    def charged() -> Result:
        started = thread_time()
        try:
            return call()
        finally:
            with suppress(RuntimeError):  # the loop is closed, so nobody counts any more
                loop.call_soon_threadsafe(meter.add, thread_time() - started)

    return charged
