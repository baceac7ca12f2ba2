"""/graphql as an ASGI app: every request leaves one record, and no reply goes out before it is durable."""

import asyncio
import logging
import secrets
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from auth.caller import Caller
from auth.callers import Callers
from auth.state import StateUnavailable
from door.documents import Documents, keep
from door.negotiate import JSON, media_for
from door.origins import preflight
from door.reply import AUDIT_UNAVAILABLE, UNAUTHENTICATED, Reply, answered, reply
from door.request import Head, head, question
from door.safe import safe
from door.sending import sent
from door.shut import Shut
from door.turnstile import Turned, TurnedAway, Turnstile, passed
from door.waiting import Gone, body, unless_left
from engine.answer import answer
from engine.desk import Answer, Desk, Question
from engine.errors import Code, Fault, Refused
from engine.record import Visit, line, outcome, record
from records.journal import Journal, JournalUnavailable
from records.record import RANDOM_BYTES, Outcome, Record, record_id
from work.works import Works

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

log = logging.getLogger("onedoor.door")
FRAMES = 12
LOGGED_MOST = 1_500


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """What the door needs at hand."""

    desk: Desk
    callers: Callers
    journal: Journal
    records_key: bytes
    turnstile: Turnstile
    origins: frozenset[str] = frozenset()
    """Of the web pages that may call from a browser."""
    documents: Documents = field(default_factory=Documents)
    works: Works | None = None


@dataclass(slots=True, kw_only=True)
class Coming:
    """One request under way, as far as it has come."""

    id: str
    at: datetime
    began: float
    head: Head
    address: str
    caller: Caller | None = None
    question: Question | None = None
    told: Answer = field(default_factory=Answer)


async def graphql(counter: Counter, scope: Any, receive: Receive, send: Send) -> None:
    at, asked = datetime.now(UTC), head(scope)
    if asked.method == "OPTIONS":
        await preflight(asked.origin, counter.origins, send)
        return
    id, address = record_id(at, secrets.token_bytes(RANDOM_BYTES)), (scope.get("client") or ("",))[0]
    coming = Coming(id=id, at=at, began=perf_counter(), head=asked, address=address)
    if turned := counter.turnstile.crowded():
        await sent(_turned(counter, coming, turned), send, id=id, head=asked, allowed=counter.origins)
        return
    with counter.turnstile:
        final = await _final(counter, coming, receive)
        await sent(final, send, id=id, head=asked, allowed=counter.origins)


async def _final(counter: Counter, coming: Coming, receive: Receive) -> Reply:
    """The reply, its record durable."""
    try:
        found, came = await _found(counter, coming, receive)
    except TurnedAway as away:
        return _turned(counter, coming, away.turned)
    except asyncio.CancelledError:
        await asyncio.shield(_recorded(counter, coming, _reply(counter, coming, 499, ()), Outcome.CANCELLED))
        raise
    return await _recorded(counter, coming, found, came)


def _turned(counter: Counter, coming: Coming, turned: Turned) -> Reply:
    """The reply to one too many; it is on record, but not waited for, or a flood would be waited for too."""
    found = _reply(counter, coming, turned.status, (turned.fault,), {"retry-after": str(turned.after)})
    counter.journal.append_later(_record(counter, coming, found, Outcome.LIMITED))
    return found


async def _found(counter: Counter, coming: Coming, receive: Receive) -> tuple[Reply, Outcome]:
    """The reply to be, and what came of the request; whatever goes wrong is one of the two, or TurnedAway."""
    try:
        coming.caller = await counter.callers.caller(coming.head.key)
        if coming.caller is None:
            passed(counter.turnstile.failed(coming.address))
            found = _reply(counter, coming, 401, (UNAUTHENTICATED,), {"www-authenticate": "Bearer"})
            return found, Outcome.UNAUTHENTICATED
        passed(counter.turnstile.asked(coming.caller.key_id))
        limits = counter.desk.house.limits
        coming.question = question(coming.head, await body(coming.head, receive, limits), limits, counter.documents)
        safe(coming.head.method, coming.question, counter.desk.house.limits)
        return await unless_left(_answered(counter, coming, coming.caller, coming.question), receive)
    except TurnedAway:
        raise
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
    except Exception as error:
        log.error("request %s crashed: %s", coming.id, where(error))
        fault = Fault(code=Code.INTERNAL, message=f"something went wrong here; it is on record as {coming.id}")
        return _reply(counter, coming, 500, (fault,)), Outcome.CRASHED


def where(error: BaseException) -> str:
    """One line for the log: the kind of error and where it was; its message may hold values, so it stays out."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    places = " < ".join(f"{Path(each.filename).name}:{each.lineno} {each.name}" for each in reversed(frames))
    return f"{type(error).__name__} at {places}"[:LOGGED_MOST]


def _reply(counter: Counter, coming: Coming, status: int, faults: Any, headers: Any = None) -> Reply:
    limits = counter.desk.house.limits
    return reply(status, media_for(coming.head.accept) or JSON, faults, limits.errors_max, headers=headers)


def _told(counter: Counter, coming: Coming) -> Reply:
    return answered(coming.told, media_for(coming.head.accept) or JSON, counter.desk.house.limits.errors_max)


async def _answered(counter: Counter, coming: Coming, caller: Caller, asked: Question) -> tuple[Reply, Outcome]:
    await answer(counter.desk, caller, asked, coming.told)
    if coming.told.document is not None:
        keep(counter.documents, asked.document, asked.text)
    if asked.options.get("record"):
        coming.told.extensions["record"] = coming.id
    return _told(counter, coming), outcome(coming.told)


async def _recorded(counter: Counter, coming: Coming, found: Reply, came: Outcome) -> Reply:
    """The reply, once its record is durable; in its place 503 where it cannot be made so."""
    try:
        await counter.journal.appended(_line(counter, coming, found, came))
    except JournalUnavailable:
        return _reply(counter, coming, 503, (AUDIT_UNAVAILABLE,), {"retry-after": "1"})
    return found


def _record(counter: Counter, coming: Coming, found: Reply, came: Outcome) -> Record:
    return record(counter.desk, counter.records_key, _visit(coming, found), coming.told, came)


def _line(counter: Counter, coming: Coming, found: Reply, came: Outcome) -> bytes:
    return line(counter.desk, counter.records_key, _visit(coming, found), coming.told, came)


def _visit(coming: Coming, found: Reply) -> Visit:
    return Visit(
        id=coming.id,
        at=coming.at,
        caller=coming.caller,
        question=coming.question,
        client_request_id=coming.head.request_id,
        status=found.status,
        bytes=len(found.body),
        ms=(perf_counter() - coming.began) * 1000,
    )
