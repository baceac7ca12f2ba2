"""What was made in, the rows of history it leaves out. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from engine.binding import Binding
from engine.change import guarded, kept
from engine.change.columns import id_columns
from engine.change.doing import Doing, change_of, made_of
from engine.change.words import Change, Made, Values, Verb
from engine.change.workshop import Workshop, binding_of
from engine.names import plain, written
from records import past
from records.changed import changed
from records.intents import Ending, Left, Outcome, State, Taken


def ending(doing: Doing) -> Ending:
    """The intent as it is, for good."""
    state = doing.state()
    return Ending(
        intent_id=doing.intent.id,
        state=state,
        stands=doing.stands() if state is State.PARTLY else None,
        taken=doing.all(),
        left=tuple(_left(doing, each, state) for each in doing.all() if _was_made(doing, each)),
    )


def noted(shop: Workshop, left: Sequence[Left]) -> Mapping[str, Any]:
    """For the record: what was changed, no value in clear."""
    return {"changes": [changed(each, shop.secret).to_json() for each in left]}


def _was_made(doing: Doing, taken: Taken) -> bool:
    return taken.outcome in (Outcome.MADE, Outcome.UNDONE)


def _left(doing: Doing, taken: Taken, state: State) -> Left:
    """What undoes a change is a change of its own, and says which one it undoes."""
    change, made = change_of(taken), made_of(taken)
    found = of_change(doing, taken, change, made)
    if taken.attempt > 1:
        return replace(found, state=State.DONE, reason=f"undoes {doing.taken[taken.number, 1].change_id}")
    return replace(found, state=State.UNDONE if taken.outcome is Outcome.UNDONE else state)


def of_change(doing: Doing, taken: Taken, change: Change, made: Made) -> Left:
    shop, intent = doing.shop, doing.intent
    binding = binding_of(shop, doing.saga.type, taken.source, taken.collection)
    fixed = binding.constants if binding else {}
    return Left(
        id=taken.change_id,
        intent_id=intent.id,
        type=binding.type if binding else f"{taken.source}.{taken.collection}",
        row=past.kept(row_id(binding, change, made)),
        verb=taken.verb,
        state=State.DONE,
        version_before=version(shop, taken, made.before),
        version_after=version(shop, taken, made.after),
        before=kept.row_text(made.before and {**made.before, **fixed}),
        after=kept.row_text(made.after and {**made.after, **fixed}),
        at=shop.ledger.now(),
        person=intent.person,
        reason=intent.reason,
        mutation=intent.mutation,
        record=intent.record,
    )


def row_id(binding: Binding | None, change: Change, made: Made) -> str:
    """The GraphQL id of the row; of a row that no type shows, its key."""
    known = known_key(change, made)
    if binding is None:
        return written(tuple(change.key.values())) if change.key else ""
    known = {**known, **binding.constants}
    return written(tuple(known.get(each, "") for each in id_columns(binding)))


def known_key(change: Change, made: Made) -> Values:
    """All that is known of which row it is, as it was called where it is no more."""
    row = made.before if change.verb is Verb.DELETE else made.after
    return {**change.key, **(row or {})}


def version(shop: Workshop, taken: Taken, row: Values | None) -> str | None:
    """As a client gives it to `ifVersion`."""
    promise = guarded.writes(shop.guards[taken.source], taken.collection) if taken.source in shop.guards else None
    if promise is None or promise.version is None or row is None or row.get(promise.version) is None:
        return None
    return past.kept(plain(row[promise.version]))
