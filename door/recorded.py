"""Work on a question in, its reply out; whatever came of it is on record before the reply may be sent."""

import logging
import traceback
from collections.abc import Awaitable
from pathlib import Path
from time import perf_counter
from typing import Any

from auth.state import StateUnavailable
from door.counter import Coming, Counter
from door.documents import keep
from door.negotiate import JSON, media_for
from door.reply import AUDIT_UNAVAILABLE, Reply, answered, reply
from door.shut import Shut
from door.turnstile import Turned, TurnedAway
from door.waiting import Gone
from engine.answer import answer
from engine.errors import Code, Fault, Refused
from engine.record import Visit, line, outcome, record
from records.journal import JournalUnavailable
from records.record import Outcome

log = logging.getLogger("onedoor.door")
FRAMES = 12
LOGGED_MOST = 1_500

UNCHECKED = Fault(code=Code.INTERNAL, message="keys cannot be checked now, ask again")


class Streams(Exception):
    """The question's answer comes as a stream of events."""


async def settled(counter: Counter, coming: Coming, work: Awaitable[tuple[Reply, Outcome]]) -> tuple[Reply, Outcome]:
    """The reply to be, and what came of the request; whatever goes wrong is one of the two, or TurnedAway."""
    try:
        return await work
    except (TurnedAway, Streams):
        raise
    except Gone:
        return replied(counter, coming, 499, ()), Outcome.CANCELLED
    except Shut as shut:
        return replied(counter, coming, shut.status, (shut.fault,), shut.headers), Outcome.REFUSED
    except Refused as refusal:
        coming.told.faults, coming.told.refused = refusal.faults, True
        return told(counter, coming), Outcome.REFUSED
    except StateUnavailable:
        return replied(counter, coming, 503, (UNCHECKED,), {"retry-after": "1"}), Outcome.FAILED
    except Exception as error:
        return replied(counter, coming, 500, (crashed(coming, error),)), Outcome.CRASHED


def crashed(coming: Coming, error: Exception) -> Fault:
    """What a client is told of what should not have happened; the log is told where."""
    log.error("request %s crashed: %s", coming.id, where(error))
    return Fault(code=Code.INTERNAL, message=f"something went wrong here; it is on record as {coming.id}")


def where(error: BaseException) -> str:
    """One line for the log: the kind of error and where it was; its message may hold values, so it stays out."""
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES:]
    places = " < ".join(f"{Path(each.filename).name}:{each.lineno} {each.name}" for each in reversed(frames))
    return f"{type(error).__name__} at {places}"[:LOGGED_MOST]


async def asked(counter: Counter, coming: Coming) -> tuple[Reply, Outcome]:
    """What the engine tells a caller who is known of a question that is read."""
    assert coming.caller is not None
    assert coming.question is not None
    await answer(counter.desk, coming.caller, coming.question, coming.told)
    remembered(counter, coming)
    return told(counter, coming), outcome(coming.told)


def remembered(counter: Counter, coming: Coming) -> None:
    """A valid document is kept where its digest came with it; the client is told of the record where it wishes."""
    assert coming.question is not None
    if coming.told.document is not None:
        keep(counter.documents, coming.question.document, coming.question.text)
    if coming.question.options.get("record"):
        coming.told.extensions["record"] = coming.id


def replied(counter: Counter, coming: Coming, status: int, faults: Any, headers: Any = None) -> Reply:
    limits = counter.desk.house.limits
    return reply(status, media_for(coming.head.accept) or JSON, faults, limits.errors_max, headers=headers)


def told(counter: Counter, coming: Coming) -> Reply:
    return answered(coming.told, media_for(coming.head.accept) or JSON, counter.desk.house.limits.errors_max)


def turned(counter: Counter, coming: Coming, away: Turned) -> Reply:
    """The reply to one too many; it is on record, but not waited for, or a flood would be waited for too."""
    found = replied(counter, coming, away.status, (away.fault,), {"retry-after": str(away.after)})
    visit = _visit(coming, found)
    counter.journal.append_later(record(counter.desk, counter.records_key, visit, coming.told, Outcome.LIMITED))
    return found


async def recorded(counter: Counter, coming: Coming, found: Reply, came: Outcome) -> Reply:
    """The reply, once its record is durable; in its place 503 where it cannot be made so."""
    try:
        await noted(counter, coming, found, came)
    except JournalUnavailable:
        return replied(counter, coming, 503, (AUDIT_UNAVAILABLE,), {"retry-after": "1"})
    return found


async def noted(counter: Counter, coming: Coming, found: Reply, came: Outcome) -> None:
    """Returns when the record is durable. Raises JournalUnavailable."""
    visit = _visit(coming, found)
    await counter.journal.appended(line(counter.desk, counter.records_key, visit, coming.told, came))


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
        surface=coming.surface,
        subscription=coming.subscription,
        events=coming.events,
    )
