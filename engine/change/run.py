"""The declared mutations in, an action for each out: one change, made once, on record before and after.

The order is: intent and first step on record, the source told, each outcome on record before the next step begins, the
end and its history committed, the reply. Whoever asked may go away meanwhile: what was begun is finished.
"""

import asyncio
from asyncio import get_running_loop
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any

from engine.act import Act, Acted, Action
from engine.change import kept
from engine.change.declared import Saga
from engine.change.doing import Doing, change_id
from engine.change.ending import ended
from engine.change.failed import ChangeFailed, partly, unsettled
from engine.change.holding import held
from engine.change.leaving import noted
from engine.change.making import Unknown, make
from engine.change.stated import stated
from engine.change.tried import tried
from engine.change.undo import undo
from engine.change.words import Change, Unmade
from engine.change.workshop import Numbered, Workshop, groups, leading
from engine.errors import Code, SourceFailed
from records.entries import Lost
from records.intents import Intent, Outcome, State
from records.ledger import LedgerUnavailable

POLL_SECONDS = 0.05
LONGEST_POLL_SECONDS = 0.4
SPARE_SECONDS = 0.1
"""Before a request's end: to say that its change is still under way."""


def changing(shop: Workshop) -> Mapping[str, Action]:
    """By root field of `Mutation`."""
    return {field: Changing(shop=shop, saga=saga) for field, saga in shop.sagas.items()}


async def finished(shop: Workshop) -> None:
    """Returns when no change is under way, for a process that is about to stop."""
    while shop.tasks:
        await asyncio.wait(shop.tasks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changing:
    """An `Action`."""

    shop: Workshop
    saga: Saga

    async def __call__(self, act: Act) -> Acted:
        """Raises SourceFailed; ChangeFailed where something was begun."""
        given = kept.value(kept.text(act.arguments["input"]))  # as whoever settles it will have it
        asked = stated(given)
        begun = Doing(shop=self.shop, saga=self.saga, stated=asked, intent=_intent(self.shop, self.saga, act, given))
        if asked.dry:
            return await tried(begun)
        task = asyncio.create_task(_changed(begun, act.until))
        self.shop.tasks.add(task)
        task.add_done_callback(self.shop.tasks.discard)
        task.add_done_callback(_heard)
        await asyncio.wait([task], timeout=max(0.0, act.until - SPARE_SECONDS - get_running_loop().time()))
        if not task.done():
            raise unsettled(begun.intent.id, "the change takes longer than this answer may")
        return task.result()


def _heard(task: "asyncio.Task[Acted]") -> None:
    """Of a change whose caller went away, nobody else takes the failure."""
    if not task.cancelled():
        task.exception()


def _intent(shop: Workshop, saga: Saga, act: Act, given: Mapping[str, Any]) -> Intent:
    ledger, number = shop.ledger, leading(shop.house, saga)
    assert number is not None
    body = kept.text({name: each for name, each in given.items() if name != "idempotencyKey"})
    new = ledger.new_id()
    return Intent(
        id=new,
        person=act.caller.person_id,
        key_id=act.caller.key_id,
        groups=tuple(sorted(act.caller.groups)),
        mutation=saga.field,
        idempotency_key=given.get("idempotencyKey"),
        body=ledger.digest(f"{saga.field} {body}"),
        input=body,
        reason=given.get("reason"),
        record=act.record,
        steps=len(saga.steps),
        leads=change_id(new, number),
        begun_at=ledger.now(),
    )


async def _changed(doing: Doing, until: float) -> Acted:
    """What was asked, made; or what came of it when it was asked before with the same idempotency key."""
    first, *_ = groups(doing.shop, doing.saga)
    try:
        doing.begin(first, _told(doing, first))
    except Unmade as refusal:
        raise SourceFailed(refusal.reason, refusal.code) from None
    while True:
        earlier = await _begun(doing)
        if earlier is None:
            break
        if earlier.body != doing.intent.body:
            reason = "the `idempotencyKey` was used before with another input, take a new one"
            raise SourceFailed(reason, Code.IDEMPOTENCY_KEY_REUSED)
        if earlier.state is State.DONE:
            return Acted(id=earlier.leads)
        if earlier.state is State.PARTLY:
            raise partly(earlier.id, earlier.stands or "")
        await _over(doing.shop, earlier, until)
    async with held(doing.shop.ledger, doing.intent.id):
        return await _kept(doing)


async def _over(shop: Workshop, earlier: Intent, until: float) -> None:
    """Returns when it is open no more, here or in another process; raises ChangeFailed where that takes too long."""
    pause = POLL_SECONDS
    while get_running_loop().time() < until - 2 * SPARE_SECONDS:
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


async def _kept(doing: Doing) -> Acted:
    """Where it cannot be put on record any more, whoever settles finds out what stands."""
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


def _told(doing: Doing, group: Sequence[Numbered]) -> Sequence[Change]:
    """Raises Unmade: what cannot be worked out is not told."""
    try:
        return doing.told(group)
    except SourceFailed as refusal:
        raise Unmade(refusal.reason, refusal.code) from None


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
