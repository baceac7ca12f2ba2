"""Changes and uploads in, what a guarded source says out: a slot, a breaker, an end to its time; never a retry."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar, cast

from engine.change.addresses import Address, Upload
from engine.change.words import Change, Made, Unmade, Writable, Writes
from engine.deadline import Deadline
from engine.errand import rests
from engine.errors import SourceFailed
from engine.guard import ALIVE, Guard, Seat, closed, failed, queue

Result = TypeVar("Result")


def writes(guarded: Guard, collection: str) -> Writes | None:
    """What the source promises to change there; None: nothing, or it is none that can be changed."""
    promises = getattr(guarded.source, "writes", None)
    return None if promises is None else cast(Writes | None, promises(collection))


async def write(guarded: Guard, changes: Sequence[Change], *, dry: bool = False) -> Sequence[Made]:
    """As `Writable.write`. What is turned away before the source is called is Unmade, too."""
    try:
        seat = await _seated(guarded)
    except SourceFailed as refusal:
        raise Unmade(refusal.reason, refusal.code) from None
    return await _within(seat, _writable(guarded).write(changes, dry=dry))


async def made(guarded: Guard, change: Change) -> Made | None:
    """As `Writable.made`."""
    seat = await _seated(guarded)
    return await _within(seat, _writable(guarded).made(change))


async def called(guarded: Guard, work: Callable[[], Awaitable[Result]]) -> Result:
    """Any other call that its source takes. Raises SourceFailed."""
    seat = await _seated(guarded)
    return await _within(seat, work())


async def address(guarded: Guard, upload: Upload) -> Address | None:
    """As `Addresses.upload_address`; None, too, where the source has none to give."""
    asked = getattr(guarded.source, "upload_address", None)
    if asked is None:
        return None
    seat = await _seated(guarded)
    return cast(Address | None, await _within(seat, asked(upload)))


def _writable(guarded: Guard) -> Writable:
    """A source in another dress still has its methods, which `isinstance` may not see."""
    return cast(Writable, guarded.source)


async def _seated(guarded: Guard) -> Seat:
    if guarded.reads is not None:
        await guarded.reads.turn()
    await queue(guarded)
    seat = Seat(guard=guarded, by=asyncio.get_running_loop().time() + guarded.limits.source_seconds)
    try:
        closed(guarded)
    except BaseException:
        seat.leave()
        raise
    return seat


async def _within(seat: Seat, work: Awaitable[Result]) -> Result:
    guarded = seat.guard
    guarded.tally["calls"] += 1
    try:
        with rests(seat.rest), Deadline(seat.by) as seat.waiting:
            done = await work
    except TimeoutError:
        failed(guarded)
        raise SourceFailed(f"`{guarded.name}` did not answer within {guarded.limits.source_seconds:g} s") from None
    except Unmade:
        guarded.failures = 0
        raise
    except SourceFailed as failure:
        if failure.code in ALIVE:
            guarded.failures = 0
        else:
            failed(guarded)
        raise
    finally:
        seat.leave()
    guarded.failures = 0
    return done
