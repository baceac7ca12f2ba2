"""What a client does while it is waited for: sends its body, or goes away."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, TypeVar

from door.request import Head
from door.shut import Shut
from engine.house import Limits

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Result = TypeVar("Result")


class Gone(Exception):
    """The client went away."""


async def body(head: Head, receive: Receive, limits: Limits) -> bytes:
    """The whole body. Raises Shut where it is too large or too slow, Gone where it stops coming."""
    too_large = Shut(413, f"the body is over the limit `body_bytes` of {limits.body_bytes}, ask for less at once")
    if (head.length or 0) > limits.body_bytes:
        raise too_large
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.body_seconds):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Gone
                parts.append(bytes(message.get("body", b"")))
                size += len(parts[-1])
                if size > limits.body_bytes:
                    raise too_large
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        limit = f"the limit `body_seconds` of {limits.body_seconds:g}"
        raise Shut(408, f"the body did not come within {limit}, send it faster") from None


async def unless_left(work: Coroutine[Any, Any, Result], receive: Receive) -> Result:
    """The work's result; it is cancelled, down to the sources, when the client goes away."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Gone
        return working.result()
    finally:
        leaving.cancel()
        working.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
