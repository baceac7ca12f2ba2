"""An intent of which only a part was made in; what was made undone, from the last to the first, as far as it can be."""

import logging
from dataclasses import replace

from engine.change import guarded
from engine.change.columns import id_columns
from engine.change.declared import Step, Undo
from engine.change.doing import Doing, begun, change_id, change_of, made_of
from engine.change.leaving import known_key, version
from engine.change.making import Unknown, make, settled
from engine.change.words import Change, Made, Unmade, Values, Verb
from engine.change.workshop import binding_of
from engine.errors import Code
from records.intents import Outcome, Taken

LOG = logging.getLogger("onedoor.changes")
CANNOT = "it cannot be undone"


async def undo(doing: Doing) -> None:
    """Every step that stands and can be undone is; one that cannot be keeps none before it from it. Raises Unknown."""
    for first in reversed(doing.firsts()):
        if first.outcome is Outcome.MADE:
            await _undo(doing, first)


async def _undo(doing: Doing, first: Taken) -> None:
    last = doing.latest(first.number)
    if last.attempt > 1 and last.outcome in (Outcome.BEGUN, Outcome.UNKNOWN) and await _was_undone(doing, first, last):
        return
    try:
        change = opposite(doing, first)
    except Exception:  # of a callable that was declared
        LOG.exception("what undoes `%s` of `%s` cannot be worked out", first.name, doing.saga.field)
        change = None
    if change is None:
        doing.put(replace(first, why=CANNOT))
        return
    attempt = doing.latest(first.number).attempt + 1
    change = replace(change, id=change_id(doing.intent.id, first.number, attempt))
    doing.put(begun(doing.shop, first.number, first.name, first.source, change, attempt))
    await doing.shop.ledger.take(doing.intent.id, doing.all())
    await _made(doing, first, change, attempt)


async def _made(doing: Doing, first: Taken, change: Change, attempt: int) -> None:
    at = (first.number, attempt)
    try:
        (made,) = await make(doing.shop, first.source, [change])
    except Unmade as failure:
        doing.put(replace(doing.taken[at], outcome=Outcome.NOT_MADE, why=failure.reason))
        if change.verb is Verb.DELETE and failure.code is Code.NOT_FOUND:
            doing.put(replace(first, outcome=Outcome.UNDONE))
    except Unknown as unknown:
        doing.put(replace(doing.taken[at], outcome=Outcome.UNKNOWN, why=unknown.reason))
        raise
    else:
        _undone(doing, first, attempt, made)


async def _was_undone(doing: Doing, first: Taken, last: Taken) -> bool:
    """What came of an attempt that nobody heard of; raises Unknown."""
    made = await settled(doing.shop, last.source, [change_of(last)], last.begun_at)
    if made is None:
        doing.put(replace(last, outcome=Outcome.NOT_MADE))
        return False
    _undone(doing, first, last.attempt, made[0])
    return True


def _undone(doing: Doing, first: Taken, attempt: int, made: Made) -> None:
    doing.keep(first.number, made, attempt)
    doing.put(replace(first, outcome=Outcome.UNDONE))


def opposite(doing: Doing, first: Taken) -> Change | None:
    """What undoes a step, guarded by the version it left; None: nothing does."""
    step = next((each for each in doing.saga.steps if each.name == first.name), None)
    if step is None or step.undo is Undo.NONE:
        return None
    if not isinstance(step.undo, Undo):
        return step.undo(doing.stated.input, made_of(first))
    change = _opposite(doing, first, step)
    promise = guarded.writes(doing.shop.guards[first.source], first.collection)
    allowed = None if promise is None or change is None else promise.verbs.get(change.verb)
    return change if change is not None and allowed is not None and allowed.issuperset(change.values) else None


def _opposite(doing: Doing, first: Taken, step: Step) -> Change | None:
    change, made = change_of(first), made_of(first)
    there = replace(change, values={}, version=version(doing.shop, first, made.after))
    if step.verb is Verb.CREATE or (step.verb is Verb.PUT and made.before is None):
        key = _key(doing, first, change, made)
        return replace(there, verb=Verb.DELETE, key=key) if key else None
    if made.before is None or not made.before.keys() >= change.values.keys():
        return None
    if step.verb is Verb.DELETE:
        values = {name: each for name, each in made.before.items() if name in _given(doing, first)}
        return replace(there, verb=Verb.CREATE, values={n: each for n, each in values.items() if n not in change.key})
    return replace(there, values={name: made.before[name] for name in change.values})


def _given(doing: Doing, first: Taken) -> frozenset[str]:
    """The columns that a new row may be given values for."""
    promise = guarded.writes(doing.shop.guards[first.source], first.collection)
    return frozenset() if promise is None else promise.verbs.get(Verb.CREATE, frozenset())


def _key(doing: Doing, first: Taken, change: Change, made: Made) -> Values | None:
    """What names the row that was made; its source may have given it."""
    binding = binding_of(doing.shop, doing.saga.type, first.source, first.collection)
    if binding is None:
        return change.key or None
    known = known_key(change, made)
    names = [each for each in id_columns(binding) if each not in binding.constants]
    return {each: known[each] for each in names} if known.keys() >= set(names) else None
