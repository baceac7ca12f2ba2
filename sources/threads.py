"""Where sync vendor SDKs enter: a call goes in, its result comes out, and the event loop never waits for it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


def threads(count: int, name: str) -> ThreadPoolExecutor:
    """As many threads as one source may have calls under way: its bulkhead."""
    return ThreadPoolExecutor(max_workers=count, thread_name_prefix=f"onedoor-{name}")


async def in_thread(pool: Executor, call: Callable[[], Result]) -> Result:
    """The call's result, from a thread of `pool`.

    When the caller is cancelled a call that has begun runs on: its result is dropped and its thread is not free
    before it ends, so the far end never sees more calls than the pool has threads.
    """
    return await asyncio.get_running_loop().run_in_executor(pool, call)


def shut(pool: Executor) -> None:
    """Starts no more calls and waits for none."""
    pool.shutdown(wait=False, cancel_futures=True)
