"""What a client does while it is waited for: sends its body, or goes away."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from types import TracebackType
from typing import Any, TypeVar

from door.begun import Begun
from door.request import Head
from door.shut import Shut
from engine.deadline import Deadline, Later
from engine.house import Limits

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Result = TypeVar("Result")

LOOK_SECONDS = 0.02
"""From then on somebody looks whether the client is still there; most answers do not take so long."""


class Gone(Exception):
    """The client went away."""


async def body(head: Head, receive: Receive, limits: Limits) -> bytes:
    """The whole body. Raises Shut where it is too large or too slow, Gone where it stops coming."""
    if (head.length or 0) > limits.body_bytes:
        raise _too_large(limits)
    begun = Begun(receive())
    come = bytearray()
    if begun.done and _last(begun.result, come, limits):
        return bytes(come)
    try:
        with Deadline(asyncio.get_running_loop().time() + limits.body_seconds):
            last = not begun.done and _last(await begun.rest(), come, limits)
            while not last:
                last = _last(await receive(), come, limits)
            return bytes(come)
    except TimeoutError:
        limit = f"the limit `body_seconds` of {limits.body_seconds:g}"
        raise Shut(408, f"the body did not come within {limit}, send it faster") from None


def _last(message: MutableMapping[str, Any], come: bytearray, limits: Limits) -> bool:
    """Whether this part of the body, now behind the others, is its last."""
    if message["type"] == "http.disconnect":
        raise Gone
    come += message.get("body", b"")
    if len(come) > limits.body_bytes:
        raise _too_large(limits)
    return not message.get("more_body")


def _too_large(limits: Limits) -> Shut:
    return Shut(413, f"the body is over the limit `body_bytes` of {limits.body_bytes}, ask for less at once")


async def unless_left(work: Coroutine[Any, Any, Result], receive: Receive) -> Result:
    """The work's result; it is cancelled, down to the sources, when the client goes away."""
    begun = Begun(work)
    if begun.done:
        return await begun.rest()
    with _Leaving(receive):
        return await begun.rest()


class _Leaving:
    """Cancels the task it was entered in when the client goes away, and raises Gone then."""

    __slots__ = ("_before", "_later", "_looks", "_over", "_receive", "_task", "gone")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._looks: asyncio.Future[None] | None = None
        self.gone = self._over = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._before = task, task.cancelling()
        self._later = Later(asyncio.get_running_loop().time() + LOOK_SECONDS, self._look)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._later.cancel()
        self._over = True
        if self._looks is not None:
            self._looks.cancel()
        if self.gone and self._task.uncancel() <= self._before and kind is asyncio.CancelledError:
            raise Gone from error

    def _look(self) -> None:
        self._looks = asyncio.ensure_future(_left(self._receive))
        self._looks.add_done_callback(self._left)

    def _left(self, looks: "asyncio.Future[None]") -> None:
        """Its client may go away while the work ends; what comes after is no longer ours to cancel."""
        if not self._over and not looks.cancelled() and looks.exception() is None:
            self.gone = True
            self._task.cancel()


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
