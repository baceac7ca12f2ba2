"""Let grants end and begin when their time has come."""

import asyncio
import logging

from auth.grant_store import GrantStore
from onedoor.runtime.concurrency import run_periodically
from onedoor.storage.database import MetadataDatabaseUnavailable

LOG = logging.getLogger("onedoor.grants")

SETTLE_SECONDS = 1.0
"""How long the next in a queue may wait after a grant has ended; what has ended gives nothing at once."""


async def settle_periodically(store: GrantStore) -> None:
    """Take every step that is due by itself, in any number of processes, until it is cancelled."""

    async def settle() -> None:
        try:
            await asyncio.to_thread(store.settle)
        except MetadataDatabaseUnavailable as reason:
            LOG.warning("grants are settled later: %s", reason)

    await run_periodically(settle, SETTLE_SECONDS)
