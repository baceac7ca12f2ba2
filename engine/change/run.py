"""The declared mutations in, an action for each out: one change, made once, on record before and after.

The order is: intent and first step on record, the source told, each outcome on record before the next step begins, the
end and its history committed, the reply. Whoever asked may go away meanwhile: what was begun is finished.
"""

import asyncio
from asyncio import get_running_loop
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.act import Act, Acted, Action
from engine.change import kept, once, steps
from engine.change.declared import Saga
from engine.change.doing import Doing, change_id
from engine.change.failed import unsettled
from engine.change.holding import held
from engine.change.stated import stated
from engine.change.tried import tried
from engine.change.workshop import Workshop, leading
from records.intents import Intent

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
        stamps = _stamps(self.shop, self.saga, given)
        asked = stated({**given, **stamps})
        saga = self.saga.of(asked.input)
        intent = _intent(self.shop, saga, act, given, stamps)
        begun = Doing(shop=self.shop, saga=saga, stated=asked, intent=intent)
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


def _stamps(shop: Workshop, saga: Saga, given: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is now; it is no part of what one sends again with an idempotency key."""
    return {name: shop.ledger.now() for name in saga.stamps if given.get(name) is None}


def _intent(shop: Workshop, saga: Saga, act: Act, given: Mapping[str, Any], stamps: Mapping[str, Any]) -> Intent:
    ledger, number = shop.ledger, leading(shop.house, saga)
    assert number is not None
    asked = {name: each for name, each in given.items() if name != "idempotencyKey"}
    new = ledger.new_id()
    return Intent(
        id=new,
        person=act.caller.person_id,
        key_id=act.caller.key_id,
        groups=tuple(sorted(act.caller.groups)),
        mutation=saga.field,
        idempotency_key=given.get("idempotencyKey"),
        body=ledger.digest(f"{saga.field} {kept.text(asked)}"),
        input=kept.text({**asked, **stamps}),
        reason=given.get("reason"),
        record=act.record,
        steps=len(saga.steps),
        leads=change_id(new, number),
        begun_at=ledger.now(),
    )


async def _changed(doing: Doing, until: float) -> Acted:
    earlier = await once.begun(doing, until)
    if earlier is not None:
        return earlier
    async with held(doing.shop.ledger, doing.intent.id):
        return await steps.taken(doing)
