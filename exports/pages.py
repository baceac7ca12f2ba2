"""A place in an export in, the rows of the next page out: asked again with patience, and never fewer than there are."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from auth.caller import Caller
from auth.state import StateUnavailable
from engine.desk import Answer, Compiled
from engine.errors import Code, Fault, Refused
from exports.clerk import Clerk, asked
from exports.columns import Rows, left_out, lost, rows
from exports.paged import PAGE, Paged, paged
from exports.rows import found
from exports.words import Range, State, Stated, Stopped, Work
from records.journal import JournalUnavailable

PAUSES = (0.1, 0.3, 1.0, 3.0, 5.0, 5.0)
"""Seconds before a page that did not come is asked again; after them the export fails."""
AGAIN = frozenset({Code.SOURCE_UNAVAILABLE, Code.SOURCE_OVERLOADED, Code.RATE_LIMITED, Code.AUDIT_UNAVAILABLE})
"""What may go better a moment later."""
SHUT_OUT = "who started the export is shut out, or their key opens no more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    rows: Sequence[dict[str, Any]]
    cursor: str | None
    """Of its last row."""
    last: bool
    """No row follows."""


Place: TypeAlias = tuple[Range, str | None, int | None]
"""A range, the cursor of the row before, and how many rows are still wanted of it; None: all."""


class NotNow(Exception):
    """The page did not come; it may, if it is asked for again, or for less."""

    def __init__(self, reason: str, *, less: bool) -> None:
        super().__init__(reason)
        self.reason, self.less = reason, less


@dataclass(slots=True, kw_only=True)
class Pages:
    """The pages of one stated export, one after another."""

    clerk: Clerk
    work: Work
    stated: Stated
    paged: Paged
    size: int
    """The most rows asked for at once; it shrinks where so many cost too much."""
    known: dict[int, tuple[Compiled, Rows]] = field(default_factory=dict)
    """By id of what a question came to, where its rows are: the last one alone."""
    coming: tuple[Place, asyncio.Task[Page]] | None = None
    """The page that is asked for while the one before it is written."""

    async def next(self, place: Place) -> Page:
        """Raises Stopped where the export cannot go on."""
        if self.coming is None or self.coming[0] != place:
            self.ahead(place)
        assert self.coming is not None
        (_, coming), self.coming = self.coming, None
        return await coming

    def ahead(self, place: Place) -> None:
        """Begins to ask for a page that will be wanted."""
        self.coming = place, asyncio.create_task(self.patient(*place))

    async def close(self) -> None:
        """What was asked for ahead and is not wanted ends before this returns; its record is made all the same."""
        if self.coming is not None:
            self.coming[1].cancel()
            await asyncio.gather(self.coming[1], return_exceptions=True)
            self.coming = None

    async def patient(self, of: Range, after: str | None, most: int | None) -> Page:
        for pause in (*PAUSES, None):
            try:
                return await self.tried(of, after, most)
            except NotNow as reason:
                if pause is None:
                    raise Stopped(State.FAILED, f"rows are missing: {reason.reason}") from None
            await self.rest(pause)
        raise AssertionError("unreachable")

    async def rest(self, seconds: float) -> None:
        if self.work.cancelled():
            raise Stopped(State.CANCELLED, "it was cancelled")
        await asyncio.sleep(seconds)

    async def tried(self, of: Range, after: str | None, most: int | None) -> Page:
        while True:
            size = self.size if most is None else min(self.size, most)
            try:
                return await self.asked(of, after, size)
            except NotNow as reason:
                if not reason.less or size <= 1:
                    raise
                self.size = size // 2

    async def asked(self, of: Range, after: str | None, size: int) -> Page:
        if size == 0:
            return Page(rows=(), cursor=after, last=True)
        try:
            told = await asked(self.clerk, await self.caller(), self.paged.page(size, after, of.before))
        except JournalUnavailable as reason:
            raise NotNow(str(reason), less=False) from None
        where = self.judged(told)
        listed = (told.data or {})[self.paged.key]
        came = found(told.data or {}, where)
        if len(came) > size:
            raise Stopped(State.FAILED, "the list gave more rows than it was asked for")
        end = (listed[PAGE] or {}).get("endCursor")
        if came and end is None:
            raise NotNow("the list did not say where its page ends", less=False)
        return Page(rows=came, cursor=end or after, last=len(came) < size)

    async def caller(self) -> Caller:
        """As the key stands now."""
        try:
            caller = await self.work.caller()
        except StateUnavailable:
            raise NotNow("keys cannot be checked now", less=False) from None
        if caller is None:
            raise Stopped(State.REFUSED, SHUT_OUT)
        return caller

    def judged(self, told: Answer) -> Rows:
        """Where the rows of an answer are, if it is whole: all columns still allowed, and nothing of them missing."""
        if told.compiled is None or told.refused:
            raise _failed(told.faults[0])
        where = self.rows(told.compiled)
        gone = lost(self.stated.columns, where.columns)
        if gone is not None:
            reasons = {each.name: each.reason for each in left_out(where.denied, told.compiled.verdicts, told.faults)}
            raise Stopped(State.REFUSED, f"`{gone}` may be seen no longer: {reasons.get(gone, 'its group was left')}")
        known = {each.position for each in self.stated.left_out}
        for each in told.faults:
            if each.code is not Code.FORBIDDEN:
                raise _failed(each)
            if str((each.extensions or {}).get("position")) not in known:
                raise Stopped(State.REFUSED, each.message)
        if told.data is None or told.data.get(self.paged.key) is None:
            raise Stopped(State.FAILED, f"`{self.paged.key}` gave nothing, and did not say why")
        return where

    def rows(self, compiled: Compiled) -> Rows:
        known = self.known.get(id(compiled))
        if known is None:
            known = compiled, rows(compiled.picks, compiled.verdicts)
            self.known = {id(compiled): known}
        return known[1]


def pages(clerk: Clerk, work: Work, stated: Stated) -> Pages:
    """Begins with as many rows as anybody may ask for at once."""
    house = clerk.desk.house
    try:
        one = paged(stated.wish, house.limits)
    except Refused as refusal:
        raise _failed(refusal.faults[0]) from None
    return Pages(clerk=clerk, work=work, stated=stated, paged=one, size=house.limits.first_max)


def _failed(fault: Fault) -> Exception:
    if fault.code is Code.FORBIDDEN:
        return Stopped(State.REFUSED, fault.message)
    if fault.code is Code.BAD_CURSOR:
        return Stopped(State.FAILED, "what can be asked has changed since the export began: start it again")
    if fault.code in AGAIN or fault.code is Code.LIMIT_EXCEEDED:
        return NotNow(fault.message, less=fault.code is Code.LIMIT_EXCEEDED)
    return Stopped(State.FAILED, f"rows are missing: {fault.message}")
