"""What was left open in, by a process that died or a source that did not say, each intent at its end out.

Each source is asked what it made. All of it: done. Nothing: not made, and the same idempotency key may make it. A part:
undone as far as it can be, and what stands is said.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import groupby
from typing import TypeAlias

from engine.change import kept
from engine.change.declared import Saga
from engine.change.doing import Doing, change_of
from engine.change.ending import publish
from engine.change.holding import held
from engine.change.leaving import ending
from engine.change.making import Unknown, settled
from engine.change.stated import stated
from engine.change.undo import undo
from engine.change.workshop import Workshop, groups
from records.changed import changed
from records.entries import Lost
from records.intents import Ending, Intent, Outcome, State, Taken
from records.ledger import LedgerUnavailable
from records.record import Outcome as Came
from records.record import Record, stamp

MOST = 20
"""Intents of one pass."""
EVERY_SECONDS = 3.0
LOG = logging.getLogger("onedoor.changes")
CAME = {State.DONE: Came.ANSWERED, State.PARTLY: Came.PARTIAL}

Journal: TypeAlias = Callable[[Record], Awaitable[None]]


async def settling(shop: Workshop, journal: Journal) -> None:
    """Settles now and every EVERY_SECONDS, until it is cancelled."""
    while True:
        with suppress(LedgerUnavailable):  # the next pass may do better
            await settle(shop, journal)
        await asyncio.sleep(EVERY_SECONDS)


async def settle(shop: Workshop, journal: Journal) -> int:
    """One pass: how many intents it ended. `journal` keeps a record of each, before its end is committed."""
    count = 0
    for each in await shop.ledger.overdue(MOST):
        try:
            count += await _settled(shop, journal, each)
        except Exception:  # no intent keeps the others open
            LOG.exception("change `%s` could not be settled", each)
    return count


async def _settled(shop: Workshop, journal: Journal, intent_id: str) -> bool:
    if not await shop.ledger.take_over(intent_id):
        return False
    async with held(shop.ledger, intent_id):
        try:
            return await _ended(shop, journal, await _found(shop, intent_id))
        except Lost:
            return False


async def _found(shop: Workshop, intent_id: str) -> Doing:
    intent, steps = await shop.ledger.found(intent_id), await shop.ledger.steps(intent_id)
    assert intent is not None
    asked = stated(kept.value(intent.input))
    return Doing(
        shop=shop,
        saga=shop.sagas.get(intent.mutation, _gone(shop, intent)).of(asked.input),
        stated=asked,
        intent=intent,
        taken={(each.number, each.attempt): each for each in steps},
    )


def _gone(shop: Workshop, intent: Intent) -> Saga:
    """A mutation that is declared no more: what it made can be told, and not be undone."""
    return Saga(field=intent.mutation, type=next(iter(shop.house.bindings)), steps=())


async def _ended(shop: Workshop, journal: Journal, doing: Doing) -> bool:
    try:
        await _resolve(doing)
        if doing.state() is State.PARTLY:
            await undo(doing)
    except Unknown:
        if shop.ledger.now() - doing.intent.begun_at < timedelta(seconds=shop.give_up_seconds):
            await shop.ledger.take(doing.intent.id, doing.all())
            await shop.ledger.let_go(doing.intent.id, EVERY_SECONDS)
            return False
    over = ending(doing)
    await journal(_record(doing, over))
    await shop.ledger.end(over)
    publish(shop, over)
    return True


async def _resolve(doing: Doing) -> None:
    """What came of the steps nobody heard of; those of one transaction are asked for together. Raises Unknown."""
    for unheard in _unheard(doing):
        numbers = [each.number for each in unheard]
        try:
            changes = [change_of(each) for each in unheard]
            made = await settled(doing.shop, unheard[0].source, changes, unheard[0].begun_at)
        except Unknown as unknown:
            doing.end(numbers, Outcome.UNKNOWN, unknown.reason)
            raise
        if made is None:
            doing.end(numbers, Outcome.NOT_MADE)
        for number, each in zip(numbers, made or (), strict=made is not None):
            doing.keep(number, each)


def _unheard(doing: Doing) -> Sequence[Sequence[Taken]]:
    """By transaction."""
    place = {number: at for at, group in enumerate(groups(doing.shop, doing.saga)) for number, _ in group}
    open_steps = [each for each in doing.firsts() if each.outcome in (Outcome.BEGUN, Outcome.UNKNOWN)]
    grouped = groupby(open_steps, key=lambda each: place.get(each.number, -each.number))
    return [list(each) for _, each in grouped]


def _record(doing: Doing, over: Ending) -> Record:
    """In the name of whoever asked for the change, under an id of its own."""
    shop, intent = doing.shop, doing.intent
    return Record(
        id=shop.ledger.new_id(),
        time=stamp(shop.ledger.now()),
        surface="settling",
        outcome=CAME.get(over.state, Came.FAILED),
        status=0,
        person=intent.person,
        key_id=intent.key_id,
        groups=intent.groups,
        operation=intent.mutation,
        text=json.dumps({"intent": intent.id, "record": intent.record, "state": over.state, "stands": over.stands}),
        changes=tuple(changed(each, shop.secret) for each in over.left),
    )
