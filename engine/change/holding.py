"""An intent held by this process while it is worked on: its lease is renewed until the work is done."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from records.entries import Lost
from records.ledger import Ledger, LedgerUnavailable

BEATS = 4
"""How often a lease is renewed before it would be over."""


@asynccontextmanager
async def held(ledger: Ledger, intent_id: str) -> AsyncIterator[None]:
    beating = asyncio.create_task(_beat(ledger, intent_id))
    ledger.at_work.add(intent_id)
    try:
        yield
    finally:
        ledger.at_work.discard(intent_id)
        beating.cancel()
        await asyncio.wait([beating])


async def _beat(ledger: Ledger, intent_id: str) -> None:
    """Ends where the intent is over, or another's: whoever writes next will hear of it."""
    while True:
        await asyncio.sleep(ledger.lease_seconds / BEATS)
        try:
            await ledger.renew(intent_id)
        except LedgerUnavailable:
            continue
        except Lost:
            return
