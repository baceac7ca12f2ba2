"""Uploads that were begun for others: each has an end, though Google would leave them open for a week."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from yarl import URL

from engine.change.addresses import Address, Step
from engine.errors import SourceFailed
from sources.drive.calls import Call, Calls
from sources.writing.uploads import seconds


class Sessions:
    """Those of this process; of one that died they end as Google ends them."""

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.ending: set[asyncio.Task[None]] = set()

    def address(self, session: URL, id: str | None, size: int, wanted: int) -> Address:
        """Drive was told size and type when it was begun; who holds it may send them in parts."""
        span = seconds(wanted)
        task = asyncio.create_task(self.ended(session, span))
        self.ending.add(task)
        task.add_done_callback(self.ending.discard)
        step = Step(method="PUT", url=str(session), headers={}, first=0, length=size)
        return Address(id=id, steps=(step,), expires=datetime.now(UTC) + timedelta(seconds=span), bounded=False)

    async def ended(self, session: URL, span: int) -> None:
        await asyncio.sleep(span)
        with suppress(SourceFailed):
            await self.calls.asked(Call(verb="DELETE", url=session, headers={}))

    async def close(self) -> None:
        for each in self.ending:
            each.cancel()
        await asyncio.gather(*self.ending, return_exceptions=True)
