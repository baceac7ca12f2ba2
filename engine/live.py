"""What a subscription listens to; a question that is answered each time something happens."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any, Protocol, cast

from auth.caller import Caller
from engine.admit import EVENTS
from engine.answer import answer, denials, prepare
from engine.bus import Bus
from engine.change.guarded import called
from engine.cost import cost
from engine.desk import Answer, Desk, Question
from engine.errors import Code, Fault, Refused, SourceFailed
from engine.feed import Watches
from engine.slots import filled
from engine.source import Tells
from engine.topic import Topic

Happening = Callable[[Caller], Awaitable[Answer]]
"""One event: who is asking, as they are by then, in; their answer, judged anew, out. It raises nothing of its own."""
Happenings = AsyncIterator[Happening]


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
    """Each event is answered as a question is, by the stages of `engine.answer`."""
    arguments = _judged(desk, caller, question, told)
    assert told.compiled is not None
    (pick,) = told.compiled.picks
    feed = desk.house.feeds[pick.field]
    (topic,) = topics = feed.topics(arguments)
    heard = _watched(desk, feed, topic) if isinstance(feed, Watches) else bus.listen(topics)
    try:
        async with heard as rows:
            yield _happenings(desk, question, rows)
    except SourceFailed as failure:
        raise Refused(Fault(code=failure.code, message=failure.reason)) from None


def _judged(desk: Desk, caller: Caller, question: Question, told: Answer) -> Mapping[str, Any]:
    """The arguments of its one field. Raises Refused, also where nothing of it could ever be shown."""
    house = desk.house
    prepared = prepare(desk, caller, question, told, EVENTS)
    told.compiled = compiled = prepared.compiled
    cost(house, compiled.plan, prepared.values)
    if not compiled.plan.branches:
        denied = denials(house, compiled, prepared.values)
        message = "there is nothing to listen to in it"
        raise Refused(*(denied or [Fault(code=Code.BAD_USER_INPUT, message=message)]))
    return {name: filled(value, prepared.values) for name, value in compiled.picks[0].arguments.items()}


def _watched(desk: Desk, feed: Watches, topic: Topic) -> AbstractAsyncContextManager[AsyncIterator[str]]:
    guarded = desk.guards[feed.source]
    source = cast(Tells, guarded.source)
    key = topic.key or ""
    return desk.watching.listen(topic, lambda mark: called(guarded, lambda: source.newer(feed.collection, key, mark)))


async def _happenings(desk: Desk, question: Question, rows: AsyncIterator[str]) -> AsyncIterator[Happening]:
    async for row in rows:
        yield partial(_happened, desk, question, row)


async def _happened(desk: Desk, question: Question, row: str, caller: Caller) -> Answer:
    told = Answer()
    await answer(desk, caller, question, told, row)
    return told
