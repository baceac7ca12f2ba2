"""A subscription in, its answers out as things happen; each is on record before it is given, as are start and end."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from auth.caller import Caller
from auth.state import StateUnavailable
from door.counter import Coming, Counter, coming
from door.recorded import UNCHECKED, crashed, noted, remembered, told
from door.reply import AUDIT_UNAVAILABLE, Reply
from engine.bus import TooSlow
from engine.errors import Code, Fault, Refused
from engine.live import Happening
from engine.record import outcome
from records.journal import JournalUnavailable
from records.record import Outcome

SURFACE = "subscription"
RECHECK_SECONDS = 2.0
"""How often a key is looked up again while nothing happens; what is found is believed for another second."""
NOTHING = Reply(status=200, body=b"", media="", headers={})
SLOW = Fault(
    code=Code.LIMIT_EXCEEDED, message="more happened than was taken in, so some would be missing: subscribe again"
)

Who = Callable[[], Awaitable[Caller]]
"""The caller as they are now. Raises Revoked, StateUnavailable."""
Give = Callable[[bytes], Awaitable[None]]
Faults = Sequence[Fault]


class Revoked(Exception):
    """The key that it began with opens no more."""


async def nobody() -> None:
    """Is told that it has begun."""


@dataclass(slots=True, kw_only=True)
class Stream:
    """One subscription under way. `begun` is told once it is on record."""

    counter: Counter
    coming: Coming
    who: Who
    give: Give
    begun: Callable[[], Awaitable[None]] = nobody
    events: int | None = None
    """How many were given; None: it has not begun."""

    async def run(self) -> Faults:
        """What there is to say of its end; nothing where it came to its own. Raises Revoked, or OSError of `give`."""
        try:
            await self._run()
        except asyncio.CancelledError:
            await asyncio.shield(self._left())
            raise
        except Revoked:
            await self._end(Outcome.UNAUTHENTICATED, ())
            raise
        except Refused as refusal:
            self.coming.told.faults, self.coming.told.refused = refusal.faults, True
            return await self._end(Outcome.REFUSED, refusal.faults)
        except TooSlow:
            return await self._end(Outcome.LIMITED, (SLOW,))
        except StateUnavailable:
            return await self._end(Outcome.FAILED, (UNCHECKED,))
        except JournalUnavailable:
            return await self._end(Outcome.FAILED, (AUDIT_UNAVAILABLE,))
        except OSError:
            await self._left()
            raise
        except Exception as error:
            return await self._end(Outcome.CRASHED, (crashed(self.coming, error),))
        return await self._end(Outcome.ANSWERED, ())

    async def _run(self) -> None:
        counter, coming = self.counter, self.coming
        assert coming.question is not None
        coming.surface, coming.subscription, coming.caller = SURFACE, coming.id, await self.who()
        asked = counter.subscribe(counter.desk, counter.bus, coming.caller, coming.question, coming.told)
        async with asked as happenings:
            remembered(counter, coming)
            await noted(counter, coming, NOTHING, Outcome.ANSWERED)
            self.events = 0
            await self.begun()
            async for each in happenings:
                await self.give(await self._answered(each))
                self.events += 1

    async def _answered(self, happening: Happening) -> bytes:
        """For who they are by now; on record."""
        one = self._next()
        async with self.counter.listening.turn:
            one.caller = self.coming.caller = await self.who()
            one.told = await happening(one.caller)
        found = told(self.counter, one)
        await noted(self.counter, one, found, outcome(one.told))
        return found.body

    async def _end(self, came: Outcome, faults: Faults) -> Faults:
        try:
            await noted(self.counter, self._last(), NOTHING, came)
        except JournalUnavailable:
            return (AUDIT_UNAVAILABLE,)
        return faults

    async def _left(self) -> None:
        with suppress(JournalUnavailable):
            await noted(self.counter, self._last(), NOTHING, self.coming.stopped)

    def _last(self) -> Coming:
        """What the record of the end is of: what never began has but one."""
        if self.events is None:
            return self.coming
        last = self._next()
        last.caller, last.told, last.events = self.coming.caller, self.coming.told, self.events
        return last

    def _next(self) -> Coming:
        known = self.coming
        return coming(
            known.head, known.address, question=known.question, surface=SURFACE, subscription=known.subscription
        )


def judge(counter: Counter, key: str | None, stopping: Callable[[Outcome], object]) -> Who:
    """Looks a key up again; before it raises, `stopping` is told what that makes of all that goes on with it."""

    async def who() -> Caller:
        try:
            caller = await counter.callers.caller(key)
        except StateUnavailable:
            stopping(Outcome.FAILED)
            raise
        if caller is None:
            stopping(Outcome.UNAUTHENTICATED)
            raise Revoked
        return caller

    return who


async def watched(who: Who) -> None:
    """Raises Revoked soon after the key opens no more, though nothing happens."""
    while True:
        await asyncio.sleep(RECHECK_SECONDS)
        await who()
