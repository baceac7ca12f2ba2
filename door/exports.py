"""/exports/<id>/<file> as ASGI: an export's file for who started it, judged again; one record whatever comes of it."""

import logging
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

import orjson

from auth.caller import Caller
from auth.state import StateUnavailable
from door.counter import Counter
from door.graphql import Send
from door.recorded import where
from door.reply import AUDIT_UNAVAILABLE, UNAUTHENTICATED, Reply, reply
from door.request import Head, head
from door.sending import HEADERS, sent
from door.turnstile import TurnedAway, passed
from engine.desk import Answer
from engine.errors import Code, Fault
from engine.record import Visit, line
from exports.clerk import SURFACE, Clerk
from exports.download import Download, download
from exports.words import Stopped, Store
from records.journal import JournalUnavailable
from records.record import RANDOM_BYTES, Outcome, record_id

log = logging.getLogger("onedoor.door")
JSON = "application/json"
NOTHING = Fault(code=Code.NOT_FOUND, message="there is no such file, or it is not for you: start the export again")
METHOD = Fault(code=Code.BAD_REQUEST, message="a file is read with GET")
LATER = Fault(code=Code.INTERNAL, message="keys cannot be checked now, ask again")
CRASHED = Fault(code=Code.INTERNAL, message="something went wrong here, ask again")
WAYS = {401: Outcome.UNAUTHENTICATED, 429: Outcome.LIMITED, 503: Outcome.FAILED, 500: Outcome.CRASHED}


@dataclass(slots=True, kw_only=True)
class Coming:
    """One request under way."""

    id: str
    at: datetime
    began: float
    head: Head
    address: str
    caller: Caller | None = None


async def exports(counter: Counter, store: Store, scope: Any, send: Send) -> None:
    at = datetime.now(UTC)
    coming = Coming(
        id=record_id(at, secrets.token_bytes(RANDOM_BYTES)),
        at=at,
        began=perf_counter(),
        head=head(scope),
        address=(scope.get("client") or ("",))[0],
    )
    if (turned := counter.turnstile.crowded()) is not None:
        await _shut(counter, coming, _reply(turned.status, turned.fault), send)
        return
    with counter.turnstile:
        found = await _found(counter, store, coming, scope["path"])
        if isinstance(found, Reply):
            await _shut(counter, coming, found, send)
        else:
            await _streamed(found, coming, send)


async def _found(counter: Counter, store: Store, coming: Coming, path: str) -> Download | Reply:
    """The file, its record durable; or a reply whose record is still to be made."""
    try:
        coming.caller = await counter.callers.caller(coming.head.key)
        if coming.caller is None:
            passed(counter.turnstile.failed(coming.address))
            return _reply(401, UNAUTHENTICATED, {"www-authenticate": "Bearer"})
        passed(counter.turnstile.asked(coming.caller.key_id))
        if coming.head.method != "GET":
            return _reply(405, METHOD, {"allow": "GET"})
        id, _, name = path.removeprefix("/exports/").partition("/")
        clerk = Clerk(desk=counter.desk, journal=counter.journal, records_key=counter.records_key)
        return await download(clerk, store, coming.caller, id, name) or _reply(404, NOTHING)
    except TurnedAway as away:
        return _reply(away.turned.status, away.turned.fault, {"retry-after": str(away.turned.after)})
    except StateUnavailable:
        return _reply(503, LATER, {"retry-after": "1"})
    except JournalUnavailable:
        return _reply(503, AUDIT_UNAVAILABLE, {"retry-after": "1"})
    except Exception as error:
        log.error("request %s crashed: %s", coming.id, where(error))
        return _reply(500, CRASHED)


def _reply(status: int, fault: Fault, headers: Any = None) -> Reply:
    return reply(status, JSON, (fault,), 1, headers=headers)


async def _shut(counter: Counter, coming: Coming, found: Reply, send: Send) -> None:
    """Who gets no file leaves a record, too; a flood's is not waited for."""
    visit = Visit(
        id=coming.id,
        at=coming.at,
        caller=coming.caller,
        question=None,
        client_request_id=coming.head.request_id,
        status=found.status,
        bytes=len(found.body),
        ms=(perf_counter() - coming.began) * 1000,
        surface=SURFACE,
    )
    made = line(counter.desk, counter.records_key, visit, Answer(), WAYS.get(found.status, Outcome.REFUSED))
    try:
        await counter.journal.appended(made)
    except JournalUnavailable:
        found = _reply(503, AUDIT_UNAVAILABLE, {"retry-after": "1"})
    await sent(found, send, id=coming.id, head=coming.head, allowed=counter.origins)


async def _streamed(found: Download, coming: Coming, send: Send) -> None:
    """A file that turns out not to be what was written is cut off, so that its reader notices."""
    headers = [
        (b"content-type", found.file.media.encode()),
        (b"content-length", str(found.file.bytes).encode()),
        (b"content-disposition", f'attachment; filename="{found.file.name}"'.encode()),
        (b"x-request-id", coming.id.encode()),
        *HEADERS,
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    try:
        async for chunk in found.chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except Stopped as stopped:
        log.error("request %s was cut off: %s", coming.id, orjson.dumps(stopped.reason).decode())
        return
    await send({"type": "http.response.body", "body": b""})
