"""A WebSocket in, its questions answered out, as graphql-transport-ws has it; none is read before its key is judged."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from auth.state import StateUnavailable
from door.counter import Coming, Counter, address, coming
from door.live.handshake import SUBPROTOCOL, known, turned_away, wrong
from door.live.messages import ACK, PONG, Close, Closed, Kind, Message, complete, error, message, next_
from door.live.stream import Revoked, Stream, Who, judge, watched
from door.recorded import Streams, asked, recorded, replied, settled, turned
from door.reply import UNAUTHENTICATED, Reply, shown
from door.request import Head
from door.request import asked as question
from door.safe import subscribes
from door.turnstile import Turned, TurnedAway, passed
from engine.errors import Code, Fault
from records.record import Outcome

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
SURFACE = "websocket"


async def socket(counter: Counter, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
    """Until its end; whatever goes on over it ends with it."""
    await receive()
    if refusal := wrong(counter, scope):
        await turned_away(send, *refusal)
        return
    await send({"type": "websocket.accept", "subprotocol": SUBPROTOCOL})
    made = Socket(counter=counter, scope=scope, receive=receive, send=send, head=known(scope, {}))
    closed = await made.run()
    if closed.close is not None:
        with suppress(OSError):
            await send({"type": "websocket.close", "code": int(closed.close), "reason": closed.reason})


def _closed(error: BaseException) -> Closed:
    match error:
        case Closed():
            return error
        case Revoked():
            return Closed(Close.REVOKED, "the key opens no more")
        case StateUnavailable():
            return Closed(Close.UNCHECKED, "keys cannot be checked now, come again")
    return Closed(None)


@dataclass(slots=True, kw_only=True)
class Socket:
    """One WebSocket. `running` are its questions under way, `following` those of them that go on."""

    counter: Counter
    scope: Mapping[str, Any]
    receive: Receive
    send: Send
    head: Head
    running: dict[str, "asyncio.Task[None]"] = field(default_factory=dict)
    following: dict[str, Coming] = field(default_factory=dict)

    async def run(self) -> Closed:
        """Why it is at its end."""
        closed = Closed(None)
        try:
            async with asyncio.TaskGroup() as group:
                who = await self._opened()
                group.create_task(watched(who))
                await self._say(ACK)
                while True:
                    await self._heard(await self._said(), who, group)
        except* (Closed, Revoked, StateUnavailable, OSError) as ended:
            closed = _closed(ended.exceptions[0])
        return closed

    async def _said(self) -> Message:
        return message(await self.receive())

    async def _say(self, text: str) -> None:
        await self.send({"type": "websocket.send", "text": text})

    async def _opened(self) -> Who:
        """Raises Closed unless a key that opens the door comes in time, in the head or in `connection_init`."""
        seconds = self.counter.desk.house.limits.init_seconds
        try:
            async with asyncio.timeout(seconds):
                said = await self._said()
                while said.kind is Kind.PING or said.kind is Kind.PONG:
                    said = await self._said()
        except TimeoutError:
            limit = f"the limit `init_seconds` of {seconds:g}"
            raise Closed(Close.INIT_TIMEOUT, f"`connection_init` did not come within {limit}, send it first") from None
        if said.kind is not Kind.INIT:
            raise Closed(Close.UNAUTHENTICATED, "begin with `connection_init`")
        self.head = known(self.scope, said.payload)
        await self._judged(coming(self.head, address(self.scope), surface=SURFACE))
        return judge(self.counter, self.head.key, self._stopping)

    async def _judged(self, one: Coming) -> None:
        """What is turned away here is on record."""
        one.caller = await self.counter.callers.caller(self.head.key)
        away = self.counter.turnstile.asked(one.caller.key_id) if one.caller else self._failed(one)
        if away is not None:
            turned(self.counter, one, away)
            raise Closed(Close.TOO_MANY, away.fault.message)
        if one.caller is None:
            found = replied(self.counter, one, 401, (UNAUTHENTICATED,))
            await recorded(self.counter, one, found, Outcome.UNAUTHENTICATED)
            raise Closed(Close.UNAUTHENTICATED, "no valid key came, in the head or in `connection_init`")

    def _failed(self, one: Coming) -> Turned | None:
        return self.counter.turnstile.failed(one.address)

    def _stopping(self, came: Outcome) -> None:
        for each in self.following.values():
            each.stopped = came

    async def _heard(self, said: Message, who: Who, group: asyncio.TaskGroup) -> None:
        match said.kind:
            case Kind.INIT:
                raise Closed(Close.TOO_MANY, "`connection_init` came before, send it once")
            case Kind.SUBSCRIBE if said.id in self.running:
                raise Closed(Close.SUBSCRIBER_EXISTS, "a question with this `id` is under way, give each its own")
            case Kind.SUBSCRIBE:
                self.running[said.id] = group.create_task(self._answered(said, who))
            case Kind.COMPLETE if said.id in self.running:
                self.running.pop(said.id).cancel()
            case Kind.PING:
                self._count(await who())
                await self._say(PONG)

    def _count(self, caller: Any) -> None:
        if away := self.counter.turnstile.asked(caller.key_id):
            raise Closed(Close.TOO_MANY, away.fault.message)

    async def _answered(self, said: Message, who: Who) -> None:
        """One question, whatever comes of it."""
        one = coming(self.head, address(self.scope), surface=SURFACE)
        try:
            found = await self._once(one, said)
            self._over(said.id)
            await self._told(said.id, found)
        except Streams:
            await self._followed(one, said.id, who)
        finally:
            self.following.pop(said.id, None)

    async def _once(self, one: Coming, said: Message) -> Reply:
        """The reply to a question with one answer, on record. Raises Streams; Revoked."""
        try:
            with self.counter.turnstile:
                found, outcome = await settled(self.counter, one, self._found(one, said))
        except TurnedAway as away:
            return turned(self.counter, one, away.turned)
        except asyncio.CancelledError:
            gone = replied(self.counter, one, 499, ())
            await asyncio.shield(recorded(self.counter, one, gone, Outcome.CANCELLED))
            raise
        final = await recorded(self.counter, one, found, outcome)
        if one.caller is None and outcome is Outcome.UNAUTHENTICATED:
            raise Revoked
        return final

    async def _found(self, one: Coming, said: Message) -> tuple[Reply, Outcome]:
        counter, limits = self.counter, self.counter.desk.house.limits
        one.caller = await counter.callers.caller(self.head.key)
        if one.caller is None:
            return replied(counter, one, 401, (UNAUTHENTICATED,)), Outcome.UNAUTHENTICATED
        passed(counter.turnstile.asked(one.caller.key_id))
        one.question = question(said.payload, limits.variables_depth, counter.documents)
        if not subscribes(one.question, limits):
            passed(counter.turnstile.crowded())
            return await asked(counter, one)
        passed(_one_more(len(self.following), limits.subscriptions_max))
        self.following[said.id] = one
        raise Streams

    async def _followed(self, one: Coming, id: str, who: Who) -> None:
        stream = Stream(counter=self.counter, coming=one, who=who, give=partial(self._next, id))
        faults = await stream.run()
        self._over(id)
        shown_faults = [shown(each) for each in faults[: self.counter.desk.house.limits.errors_max]]
        await self._say(error(id, orjson.dumps(shown_faults)) if faults else complete(id))

    def _over(self, id: str) -> None:
        """From now on the client may call another question so."""
        self.running.pop(id, None)
        self.following.pop(id, None)

    async def _next(self, id: str, body: bytes) -> None:
        await self._say(next_(id, body))

    async def _told(self, id: str, found: Reply) -> None:
        if found.status != 200:
            await self._say(error(id, orjson.dumps(orjson.loads(found.body)["errors"])))
            return
        await self._next(id, found.body)
        await self._say(complete(id))


def _one_more(now: int, most: int) -> Turned | None:
    """Why there may not be one more than now."""
    if now < most:
        return None
    limit = f"the limit `subscriptions_max` of {most}"
    message = f"there are more subscriptions over this WebSocket than {limit}, end one of them"
    return Turned(Fault(code=Code.LIMIT_EXCEEDED, message=message), 429, 1)
