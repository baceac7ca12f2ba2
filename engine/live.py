"""What a subscription listens to; a question that is answered each time something happens."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

from auth.caller import Caller
from engine.admit import admit, operation
from engine.bus import Bus
from engine.desk import Answer, Desk, Question
from engine.errors import Code, Fault, Refused
from engine.topic import Topic

Happening = Callable[[Caller], Awaitable[Answer]]
"""One event: who is asking, as they are by then, in; their answer, judged anew, out. It raises nothing of its own."""
Happenings = AsyncIterator[Happening]


class Feed(Protocol):
    """Declared for each root field of Subscription: what to listen to for its arguments.

    An event on one of these topics brings the id of the row that the field leads to.
    """

    def topics(self, arguments: Mapping[str, Any]) -> Sequence[Topic]: ...


class Subscribe(Protocol):
    """Entered: the question is judged and listened for, so that nothing that happens from then on is lost.

    Raises Refused, with `told` saying how far it came, or StateUnavailable. The iterator gives the events in order, and
    raises TooSlow. Left: nobody listens any more.
    """

    def __call__(
        self, desk: Desk, bus: Bus, caller: Caller, question: Question, told: Answer
    ) -> AbstractAsyncContextManager[Happenings]: ...


@asynccontextmanager
async def subscribe(
    desk: Desk, bus: Bus, caller: Caller, question: Question, told: Answer
) -> AsyncIterator[Happenings]:
    """For a schema without the root Subscription: whatever is asked is refused."""
    told.document = admit(desk.house.schema, question.text, desk.house.limits)
    told.operation = operation(told.document, question.operation)
    raise Refused(Fault(code=Code.BAD_REQUEST, message="there is nothing to subscribe to here"))
    yield  # a generator, as the real one is
