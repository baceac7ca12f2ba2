"""A question asked on someone's behalf in, its answer out: the same plan, permission and limits as at the door.

Each leaves one record, of the surface `export`, and no answer is used before it is durable.
"""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import TypeAlias

from auth.caller import Caller
from engine.answer import answer
from engine.desk import Answer, Desk, Question
from engine.record import Visit, line, outcome
from exports.words import State, Stopped
from records.journal import Journal
from records.record import RANDOM_BYTES, Outcome, record_id

SURFACE = "export"
STATUS = {Outcome.REFUSED: 400, Outcome.CRASHED: 500, Outcome.CANCELLED: 499}


@dataclass(frozen=True, slots=True, kw_only=True)
class Clerk:
    """What asking takes."""

    desk: Desk
    journal: Journal
    records_key: bytes


Reads: TypeAlias = Callable[[Answer], int | None]
"""Of a question that was only planned, how many bytes its caller reads in place of an answer; None: they may not."""


async def asked(clerk: Clerk, caller: Caller, question: Question, reads: Reads | None = None) -> Answer:
    """Raises JournalUnavailable where no record can be made."""
    at, began, told = datetime.now(UTC), perf_counter(), Answer()
    size = 0
    id = record_id(at, secrets.token_bytes(RANDOM_BYTES))

    async def recorded(came: Outcome) -> None:
        visit = Visit(
            id=id,
            at=at,
            caller=caller,
            question=question,
            client_request_id=None,
            status=STATUS.get(came, 200),
            bytes=size,
            ms=(perf_counter() - began) * 1000,
            surface=SURFACE,
        )
        await clerk.journal.appended(line(clerk.desk, clerk.records_key, visit, told, came))

    try:
        await answer(clerk.desk, caller, question, told)
    except asyncio.CancelledError:
        await asyncio.shield(recorded(Outcome.CANCELLED))
        raise
    except Exception:
        await recorded(Outcome.CRASHED)
        raise Stopped(State.FAILED, f"something went wrong here; it is on record as {id}") from None
    if reads is not None and not told.refused:
        may = reads(told)
        size, told.refused = may or 0, may is None
        told.data = None if may is None else {}  # what the file holds is served
    await recorded(outcome(told))
    return told
