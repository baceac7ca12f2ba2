"""/graphql as an ASGI app: every request leaves one record, and no reply goes out before it is durable."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from door.counter import Coming, Counter, came
from door.live.sse import streamed, streams
from door.origins import preflight
from door.recorded import Streams, asked, recorded, replied, settled, turned
from door.reply import UNAUTHENTICATED, Reply
from door.request import question
from door.safe import safe
from door.sending import sent
from door.turnstile import TurnedAway, passed
from door.waiting import body, unless_left
from records.record import Outcome

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def graphql(counter: Counter, scope: Any, receive: Receive, send: Send) -> None:
    coming = came(scope)
    if coming.head.method == "OPTIONS":
        await preflight(coming.head.origin, counter.origins, send)
        return
    if away := counter.turnstile.crowded():
        found = turned(counter, coming, away)
        await sent(found, send, id=coming.id, head=coming.head, allowed=counter.origins)
        return
    with counter.turnstile:
        final = await _final(counter, coming, receive)
        if final is not None:
            await sent(final, send, id=coming.id, head=coming.head, allowed=counter.origins)
            return
    await streamed(counter, coming, receive, send)


async def _final(counter: Counter, coming: Coming, receive: Receive) -> Reply | None:
    """The reply, its record durable; None: it comes as a stream."""
    try:
        found, outcome = await settled(counter, coming, _found(counter, coming, receive))
    except Streams:
        return None
    except TurnedAway as away:
        return turned(counter, coming, away.turned)
    except asyncio.CancelledError:
        await asyncio.shield(recorded(counter, coming, replied(counter, coming, 499, ()), Outcome.CANCELLED))
        raise
    return await recorded(counter, coming, found, outcome)


async def _found(counter: Counter, coming: Coming, receive: Receive) -> tuple[Reply, Outcome]:
    coming.caller = await counter.callers.caller(coming.head.key)
    if coming.caller is None:
        passed(counter.turnstile.failed(coming.address))
        found = replied(counter, coming, 401, (UNAUTHENTICATED,), {"www-authenticate": "Bearer"})
        return found, Outcome.UNAUTHENTICATED
    passed(counter.turnstile.asked(coming.caller.key_id))
    limits = counter.desk.house.limits
    coming.question = question(coming.head, await body(coming.head, receive, limits), limits, counter.documents)
    safe(coming.head.method, coming.question, limits)
    if streams(coming.head.accept, coming.question, limits):
        raise Streams
    return await unless_left(asked(counter, coming), receive)
