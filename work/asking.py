"""A job's question in, the door's answer out: the same permission, the same bounds, and a record of its own."""

import asyncio
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter

import orjson

from auth.caller import Caller
from engine.answer import answer
from engine.desk import Answer, Desk, Question
from engine.record import Visit, outcome, record
from records.journal import Journal
from records.record import RANDOM_BYTES, Outcome, record_id

SURFACE = "job"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """The door as jobs come to it."""

    desk: Desk
    journal: Journal
    records_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question of one job, under way."""

    asking: Asking
    caller: Caller
    question: Question
    job: str
    told: Answer
    at: datetime
    began: float


async def asked(asking: Asking, caller: Caller, question: Question, job: str) -> Answer:
    """Nothing is told before its record is durable. Raises JournalUnavailable."""
    one = Asked(
        asking=asking, caller=caller, question=question, job=job, told=Answer(), at=datetime.now(UTC),
        began=perf_counter(),
    )  # fmt: skip
    try:
        await answer(asking.desk, caller, question, one.told)
    except asyncio.CancelledError:
        await asyncio.shield(_recorded(one, Outcome.CANCELLED))
        raise
    except Exception:
        await _recorded(one, Outcome.CRASHED)
        raise
    await _recorded(one, outcome(one.told))
    return one.told


async def _recorded(one: Asked, came: Outcome) -> None:
    """The job's id stands where a client's own id of its request does."""
    size = len(orjson.dumps(one.told.data, option=orjson.OPT_UTC_Z)) if one.told.data is not None else 0
    visit = Visit(
        id=record_id(one.at, secrets.token_bytes(RANDOM_BYTES)),
        at=one.at,
        caller=one.caller,
        question=one.question,
        client_request_id=f"job {one.job}",
        status=200,
        bytes=size,
        ms=(perf_counter() - one.began) * 1000,
        surface=SURFACE,
    )
    await one.asking.journal.append(record(one.asking.desk, one.asking.records_key, visit, one.told, came))
