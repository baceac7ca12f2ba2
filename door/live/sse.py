"""A question over HTTP in, its answers out as an event stream: `next` for each, `complete` at the end.

As graphql-sse has it for a connection to each question.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping, Sequence
from contextlib import suppress
from typing import Any

import orjson

from auth.state import StateUnavailable
from door.counter import Coming, Counter
from door.live.stream import Revoked, Stream, judge, watched
from door.negotiate import EVENT_STREAM, media_for, takes_events
from door.origins import shared
from door.recorded import UNCHECKED, asked, recorded, settled, turned
from door.reply import UNAUTHENTICATED, shown
from door.safe import subscribes
from door.sending import HEADERS, sent
from door.turnstile import Turned
from engine.desk import Question
from engine.errors import Code, Fault
from engine.house import Limits
from records.record import client_request_id

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

COMPLETE = b"event: complete\ndata: \n\n"
BEAT = b":\n\n"
"""A comment, which clients pass over."""


def streams(accept: str, question: Question, limits: Limits) -> bool:
    """Whether the answer comes as a stream: that of a subscription where it is taken, any where nothing else is."""
    return takes_events(accept) and (media_for(accept) is None or subscribes(question, limits))


class Left(Exception):
    """The client went away, or the door is closing."""


async def streamed(counter: Counter, coming: Coming, receive: Receive, send: Send) -> None:
    """The caller is known and the question read; nothing is on record yet."""
    assert coming.question is not None
    assert coming.caller is not None
    events = Events(counter, coming, send)
    if not subscribes(coming.question, counter.desk.house.limits):
        await _once(counter, coming, events)
        return
    key, streams = coming.caller.key_id, counter.listening.streams
    most = counter.desk.house.limits.subscriptions_max
    if streams[key] >= most:
        found = turned(counter, coming, _too_many(most))
        await sent(found, send, id=coming.id, head=coming.head, allowed=counter.origins)
        return
    streams[key] += 1
    try:
        await _followed(counter, coming, events, receive)
    finally:
        streams[key] -= 1
        if not streams[key]:
            del streams[key]


def _too_many(most: int) -> Turned:
    message = f"there are more event streams of this key than the limit `subscriptions_max` of {most}, end one of them"
    return Turned(Fault(code=Code.LIMIT_EXCEEDED, message=message), 429, 1)


async def _once(counter: Counter, coming: Coming, events: "Events") -> None:
    """A question with one answer."""
    with counter.turnstile:
        found, outcome = await settled(counter, coming, asked(counter, coming))
        final = await recorded(counter, coming, found, outcome)
    await events.next(final.body)
    await events.end(())


async def _followed(counter: Counter, coming: Coming, events: "Events", receive: Receive) -> None:
    """Until its end, whoever makes it."""
    who = judge(counter, coming.head.key, lambda came: setattr(coming, "stopped", came))
    stream = Stream(counter=counter, coming=coming, who=who, give=events.next, begun=events.start)
    heartbeat = counter.desk.house.limits.heartbeat_seconds
    beside = (watched(who), events.beating(heartbeat), _left(receive), _leaving(counter.listening.leaving))
    with suppress(Left):
        await events.end(await _ended(stream, *beside))


async def _ended(stream: Stream, *beside: Coroutine[Any, Any, None]) -> Sequence[Fault]:
    """What there is to say of the end; what runs beside the stream ends with it, or ends it. Raises Left."""
    faults: Sequence[Fault] = ()
    left = False
    try:
        async with asyncio.TaskGroup() as group:
            watches = [group.create_task(each) for each in beside]
            faults = await stream.run()
            for each in watches:
                each.cancel()
    except* Revoked:
        faults = (UNAUTHENTICATED,)
    except* StateUnavailable:
        faults = (UNCHECKED,)
    except* Leaving:
        faults = ()
    except* (Left, OSError):
        left = True
    if left:
        raise Left
    return faults


class Leaving(Exception):
    """The door is closing."""


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    raise Left


async def _leaving(leaving: asyncio.Event) -> None:
    await leaving.wait()
    raise Leaving


class Events:
    """The stream as it is sent; its head with the first of it."""

    def __init__(self, counter: Counter, coming: Coming, send: Send) -> None:
        self.counter, self.coming, self.send = counter, coming, send
        self.started = False

    async def start(self) -> None:
        if not self.started:
            self.started = True
            await self.send({"type": "http.response.start", "status": 200, "headers": self._headers()})
            await self._more(BEAT)

    async def next(self, body: bytes) -> None:
        """`body` is JSON, so all on one line."""
        await self.start()
        await self._more(b"event: next\ndata: " + body + b"\n\n")

    async def end(self, faults: Sequence[Fault]) -> None:
        if faults:
            most = self.counter.desk.house.limits.errors_max
            await self.next(orjson.dumps({"errors": [shown(each) for each in faults[:most]]}))
        await self.start()
        await self.send({"type": "http.response.body", "body": COMPLETE})

    async def beating(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            if self.started:
                await self._more(BEAT)

    async def _more(self, body: bytes) -> None:
        await self.send({"type": "http.response.body", "body": body, "more_body": True})

    def _headers(self) -> list[tuple[bytes, bytes]]:
        headers = [
            (b"content-type", f"{EVENT_STREAM}; charset=utf-8".encode()),
            (b"x-accel-buffering", b"no"),
            (b"x-request-id", self.coming.id.encode()),
            *HEADERS,
            *shared(self.coming.head.origin, self.counter.origins),
        ]
        if (theirs := client_request_id(self.coming.head.request_id)) is not None:
            headers.append((b"x-client-request-id", theirs.encode()))
        return headers
