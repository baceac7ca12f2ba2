"""An intent in, on record out; or what came of the one that was asked before with the same idempotency key."""

import asyncio
from asyncio import get_running_loop
from contextlib import suppress

from engine.act import Acted
from engine.change.doing import Doing
from engine.change.failed import partly, unsettled
from engine.change.steps import first
from engine.change.workshop import Workshop
from engine.errors import Code, SourceFailed
from records.entries import Lost
from records.intents import Intent, State
from records.ledger import LedgerUnavailable

POLL_SECONDS = 0.05
LONGEST_POLL_SECONDS = 0.4
SPARE_SECONDS = 0.2
"""Before a request's end: to say that the same change is under way."""


async def begun(doing: Doing, until: float) -> Acted | None:
    """None: it is on record with its first step, and this process's to make. Raises SourceFailed."""
    while True:
        first(doing)
        earlier = await _begun(doing)
        if earlier is None:
            return None
        if earlier.body != doing.intent.body:
            reason = "the `idempotencyKey` was used before with another input, take a new one"
            raise SourceFailed(reason, Code.IDEMPOTENCY_KEY_REUSED)
        if earlier.state is State.DONE:
            return Acted(id=earlier.leads)
        if earlier.state is State.PARTLY:
            raise partly(earlier.id, earlier.stands or "")
        await _over(doing.shop, earlier, until)


async def _over(shop: Workshop, earlier: Intent, until: float) -> None:
    """Returns when it is open no more, here or in another process; raises ChangeFailed where that takes too long."""
    pause = POLL_SECONDS
    while get_running_loop().time() < until - SPARE_SECONDS:
        with suppress(LedgerUnavailable):
            known = await shop.ledger.found(earlier.id)
            if known is None or known.state is not State.OPEN:
                return
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_POLL_SECONDS)
    raise unsettled(earlier.id, "the same change is under way")


async def _begun(doing: Doing) -> Intent | None:
    try:
        return await doing.shop.ledger.begin(doing.intent, doing.all())
    except (LedgerUnavailable, Lost):
        raise SourceFailed("changes cannot be put on record now, so nothing was changed: ask again") from None
