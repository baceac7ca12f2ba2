"""Work in, begun at once: its result where it need not wait, else the rest of it, to be awaited.

A task costs 12 us; most of what the door awaits is there already.
"""

from collections.abc import Awaitable, Generator
from types import coroutine
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class Begun(Generic[Result]):
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

    async def rest(self) -> Result:
        return self.result if self.done else await _rest(self._steps, self._waits)


@coroutine
def _rest(steps: Generator[Any, Any, Result], waits: Any) -> Generator[Any, Any, Result]:
    """Hands on what the work waits for, and what came of that; as `yield from`, for what has begun."""
    while True:
        thrown: BaseException | None = None
        came = None
        try:
            came = yield waits
        except BaseException as error:
            thrown = error
        try:
            waits = steps.send(came) if thrown is None else steps.throw(thrown)
        except StopIteration as end:
            result: Result = end.value
            return result
