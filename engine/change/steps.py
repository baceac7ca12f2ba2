"""An intent on record in, its steps made one after the other; or undone, where one of them cannot be."""

from collections.abc import Sequence
from contextlib import nullcontext, suppress

from engine.act import Acted
from engine.change.doing import Doing
from engine.change.ending import ended
from engine.change.failed import ChangeFailed, partly, unsettled
from engine.change.leaving import noted
from engine.change.making import Unknown, make
from engine.change.undo import undo
from engine.change.words import Change, Unmade
from engine.change.workshop import Numbered, groups
from engine.errors import SourceFailed
from records.entries import Lost
from records.intents import Outcome, State
from records.ledger import LedgerUnavailable


def first(doing: Doing) -> None:
    """What the first source is to be told, as it goes on record with the intent; raises SourceFailed."""
    group, *_ = groups(doing.shop, doing.saga)
    try:
        doing.begin(group, _told(doing, group))
    except Unmade as refusal:
        raise SourceFailed(refusal.reason, refusal.code) from None


async def taken(doing: Doing) -> Acted:
    """Raises ChangeFailed. Where it cannot be put on record any more, whoever settles finds out what stands."""
    try:
        return await _made(doing)
    except (LedgerUnavailable, Lost):
        raise await _left_open(doing, "it could not be put on record") from None
    except Unknown as unknown:
        raise await _left_open(doing, unknown.reason) from None


async def _left_open(doing: Doing, reason: str) -> ChangeFailed:
    """Whoever settles may take it at once."""
    with suppress(LedgerUnavailable, Lost):
        await doing.shop.ledger.take(doing.intent.id, doing.all())
        await doing.shop.ledger.let_go(doing.intent.id)
    return unsettled(doing.intent.id, reason)


async def _made(doing: Doing) -> Acted:
    for group in groups(doing.shop, doing.saga):
        try:
            await _step(doing, group)
        except Unmade as failure:
            return await _unmade(doing, failure)
    left = await ended(doing)
    return Acted(id=doing.intent.leads, noted=noted(doing.shop, left))


async def _step(doing: Doing, group: Sequence[Numbered]) -> None:
    """Raises Unmade, and Unknown."""
    changes, numbers = _told(doing, group), [number for number, _ in group]
    if (numbers[0], 1) not in doing.taken:
        doing.begin(group, changes)
        await doing.shop.ledger.take(doing.intent.id, doing.all())
    try:
        made = await make(doing.shop, group[0][1].source, changes)
    except Unmade as failure:
        doing.end(numbers, Outcome.NOT_MADE, failure.reason)
        raise
    except Unknown as unknown:
        doing.end(numbers, Outcome.UNKNOWN, unknown.reason)
        raise
    for number, each in zip(numbers, made, strict=True):
        doing.keep(number, each)


async def _unmade(doing: Doing, failure: Unmade) -> Acted:
    """Undoes what was made before, and says what stands; raises ChangeFailed, always."""
    await undo(doing)
    with suppress(LedgerUnavailable, Lost) if doing.state() is State.NOT_MADE else nullcontext():
        left = await ended(doing)
    state, intent = doing.state(), doing.intent
    if state is State.PARTLY:
        raise partly(intent.id, doing.stands(), noted(doing.shop, left))
    if state is State.UNDONE:
        undone = f"{failure.reason}; what was made of change `{intent.id}` was undone"
        raise ChangeFailed(undone, failure.code, noted(doing.shop, left))
    raise ChangeFailed(failure.reason, failure.code)


def _told(doing: Doing, group: Sequence[Numbered]) -> Sequence[Change]:
    """Raises Unmade: what cannot be worked out is not told."""
    try:
        return doing.told(group)
    except SourceFailed as refusal:
        raise Unmade(refusal.reason, refusal.code) from None
