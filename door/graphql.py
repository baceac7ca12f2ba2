"""/graphql as an ASGI app: every request leaves one record, and no reply goes out before it is durable."""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

from auth.caller import Caller
from auth.callers import Callers
from auth.state import StateUnavailable
from door.negotiate import JSON, media_for
from door.origins import preflight
from door.reply import AUDIT_UNAVAILABLE, UNAUTHENTICATED, Reply, answered, outcome, reply
from door.request import Head, Shut, head, question
from door.safe import safe
from door.sending import sent
from engine.answer import Answer, Desk, Question, answer
from engine.errors import Code, Fault, Refused
from engine.record import Visit, record
from records.journal import Journal, JournalUnavailable
from records.record import RANDOM_BYTES, Outcome, record_id

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

log = logging.getLogger("onedoor.door")
BODY_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """What the door needs at hand."""

    desk: Desk
    callers: Callers
    journal: Journal
    records_key: bytes
    origins: frozenset[str] = frozenset()
    """Of the web pages that may call from a browser."""


@dataclass(slots=True, kw_only=True)
class Coming:
    """One request under way, as far as it has come."""

    id: str
    at: datetime
    began: float
    head: Head
    caller: Caller | None = None
    question: Question | None = None
    told: Answer = field(default_factory=Answer)


async def graphql(counter: Counter, scope: Any, receive: Receive, send: Send) -> None:
    at, asked = datetime.now(UTC), head(scope)
    if asked.method == "OPTIONS":
        await preflight(asked.origin, counter.origins, send)
        return
    coming = Coming(id=record_id(at, secrets.token_bytes(RANDOM_BYTES)), at=at, began=perf_counter(), head=asked)
    try:
        found, came = await _found(counter, coming, receive)
    except asyncio.CancelledError:
        found, came = _reply(counter, coming, 499, ()), Outcome.CANCELLED
        await asyncio.shield(_recorded(counter, coming, found, came))
        raise
    final = await _recorded(counter, coming, found, came)
    await sent(final, send, id=coming.id, head=coming.head, allowed=counter.origins)


async def _found(counter: Counter, coming: Coming, receive: Receive) -> tuple[Reply, Outcome]:
    """The reply to be, and what came of the request; whatever goes wrong is one of the two."""
    try:
        body = await _body(counter, coming.head, receive)
        coming.caller = await counter.callers.caller(coming.head.key)
        if coming.caller is None:
            found = _reply(counter, coming, 401, (UNAUTHENTICATED,), {"www-authenticate": "Bearer"})
            return found, Outcome.UNAUTHENTICATED
        coming.question = question(coming.head, body)
        safe(coming.head.method, coming.question, counter.desk.house.limits)
        return await _unless_left(_answered(counter, coming, coming.caller, coming.question), receive)
    except Gone:
        return _reply(counter, coming, 499, ()), Outcome.CANCELLED
    except Shut as shut:
        return _reply(counter, coming, shut.status, (shut.fault,), shut.headers), Outcome.REFUSED
    except Refused as refusal:
        coming.told.faults, coming.told.refused = refusal.faults, True
        return _told(counter, coming), Outcome.REFUSED
    except StateUnavailable:
        fault = Fault(code=Code.INTERNAL, message="keys cannot be checked now, ask again")
        return _reply(counter, coming, 503, (fault,), {"retry-after": "1"}), Outcome.FAILED
    except Exception:
        log.exception("request %s crashed", coming.id)
        fault = Fault(code=Code.INTERNAL, message=f"something went wrong here; it is on record as {coming.id}")
        return _reply(counter, coming, 500, (fault,)), Outcome.CRASHED


def _reply(counter: Counter, coming: Coming, status: int, faults: Any, headers: Any = None) -> Reply:
    limits = counter.desk.house.limits
    return reply(status, media_for(coming.head.accept) or JSON, faults, limits.errors_max, headers=headers)


def _told(counter: Counter, coming: Coming) -> Reply:
    return answered(coming.told, media_for(coming.head.accept) or JSON, counter.desk.house.limits.errors_max)


async def _answered(counter: Counter, coming: Coming, caller: Caller, asked: Question) -> tuple[Reply, Outcome]:
    await answer(counter.desk, caller, asked, coming.told)
    if asked.options.get("record"):
        coming.told.extensions["record"] = coming.id
    return _told(counter, coming), outcome(coming.told)


async def _body(counter: Counter, head: Head, receive: Receive) -> bytes:
    limit = counter.desk.house.limits.body_bytes
    too_large = Shut(413, f"the body is over the limit `body_bytes` of {limit}, ask for less at once")
    if (head.length or 0) > limit:
        raise too_large
    body = b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Gone
                body += bytes(message.get("body", b""))
                if len(body) > limit:
                    raise too_large
                if not message.get("more_body"):
                    return body
    except TimeoutError:
        raise Shut(408, f"the body did not arrive within {BODY_SECONDS:g} s") from None


class Gone(Exception):
    """The client went away."""


async def _unless_left(work: Any, receive: Receive) -> tuple[Reply, Outcome]:
    """The work's result; it is cancelled, down to the sources, when the client goes away."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Gone
        found: tuple[Reply, Outcome] = working.result()
        return found
    finally:
        leaving.cancel()
        working.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _recorded(counter: Counter, coming: Coming, found: Reply, came: Outcome) -> Reply:
    """The reply, once its record is durable; in its place 503 where it cannot be made so."""
    visit = Visit(
        id=coming.id,
        at=coming.at,
        caller=coming.caller,
        question=coming.question,
        client_request_id=coming.head.request_id,
        status=found.status,
        bytes=len(found.body),
        ms=(perf_counter() - coming.began) * 1000,
    )
    try:
        await counter.journal.append(record(counter.desk, counter.records_key, visit, coming.told, came))
    except JournalUnavailable:
        return _reply(counter, coming, 503, (AUDIT_UNAVAILABLE,), {"retry-after": "1"})
    return found
