"""One intent as it is being made or settled: its steps as they stand, what each is told, and what it comes to."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from engine.change import kept
from engine.change.declared import Saga
from engine.change.guarded import writes
from engine.change.stated import Stated
from engine.change.words import Change, Made, Verb
from engine.change.workshop import Numbered, Workshop, leading
from engine.errors import Code, SourceFailed
from records.intents import Intent, Outcome, State, Taken

STANDING = frozenset({Outcome.MADE, Outcome.UNKNOWN, Outcome.BEGUN})
SAID = {
    Outcome.MADE: "`{name}` stands",
    Outcome.UNDONE: "`{name}` was undone",
    Outcome.NOT_MADE: "`{name}` was not made",
    Outcome.UNKNOWN: "it is not known whether `{name}` was made",
    Outcome.BEGUN: "it is not known whether `{name}` was made",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Doing:
    """`taken` is what the ledger knows, or is to know next: by step and attempt."""

    shop: Workshop
    saga: Saga
    stated: Stated
    intent: Intent
    taken: dict[tuple[int, int], Taken] = field(default_factory=dict)

    def told(self, group: Sequence[Numbered]) -> tuple[Change, ...]:
        """What the source of these steps is told; raises what their callables raise."""
        made = self.made()
        lead = leading(self.shop.house, self.saga)
        self._versioned(group, lead)
        return tuple(
            Change(
                id=change_id(self.intent.id, number),
                collection=step.collection,
                verb=step.verb,
                key=step.key(self.stated.input, made),
                values=step.values(self.stated.input, made),
                version=self.stated.if_version if number == lead else None,
            )
            for number, step in group
        )

    def _versioned(self, group: Sequence[Numbered], lead: int | None) -> None:
        step = dict(group).get(lead) if self.stated.if_version is not None and lead is not None else None
        promise = None if step is None else writes(self.shop.guards[step.source], step.collection)
        if promise is not None and (promise.version is None or (step is not None and step.verb is Verb.CREATE)):
            reason = f"what `{self.saga.field}` changes has no versions, leave `ifVersion` out"
            raise SourceFailed(reason, Code.BAD_USER_INPUT)

    def made(self) -> dict[str, Made]:
        """By name, what the steps so far made and still stands."""
        firsts = (each for each in self.firsts() if each.outcome is Outcome.MADE)
        return {each.name: made_of(each) for each in firsts}

    def firsts(self) -> Sequence[Taken]:
        """The steps that were begun, in order, as they stand."""
        return [each for (_, attempt), each in sorted(self.taken.items()) if attempt == 1]

    def latest(self, number: int) -> Taken:
        """The last attempt at a step."""
        return max((each for (at, _), each in self.taken.items() if at == number), key=lambda each: each.attempt)

    def begin(self, group: Sequence[Numbered], changes: Sequence[Change]) -> None:
        for (number, step), change in zip(group, changes, strict=True):
            self.put(begun(self.shop, number, step.name, step.source, change))

    def end(self, numbers: Sequence[int], outcome: Outcome, why: str | None = None) -> None:
        for number in numbers:
            self.put(replace(self.taken[number, 1], outcome=outcome, why=why))

    def keep(self, number: int, made: Made, attempt: int = 1) -> None:
        before, after = kept.row_text(made.before), kept.row_text(made.after)
        known = self.taken[number, attempt]
        self.put(replace(known, outcome=Outcome.MADE, before=before, after=after, why=None))

    def put(self, taken: Taken) -> None:
        self.taken[taken.number, taken.attempt] = taken

    def all(self) -> tuple[Taken, ...]:
        return tuple(each for _, each in sorted(self.taken.items()))

    def state(self) -> State:
        """What it comes to if nothing more is done."""
        firsts = self.firsts()
        if len(firsts) == self.intent.steps and all(each.outcome is Outcome.MADE for each in firsts):
            return State.DONE
        if any(each.outcome in STANDING for each in firsts):
            return State.PARTLY
        return State.UNDONE if any(each.outcome is Outcome.UNDONE for each in firsts) else State.NOT_MADE

    def stands(self) -> str:
        """Each step, and whether it stands."""
        begun = {each.number: each for each in self.firsts()}
        parts = [self._said(each) for each in begun.values()]
        never = [step.name for number, step in enumerate(self.saga.steps, 1) if number not in begun]
        return ", ".join(parts + [SAID[Outcome.NOT_MADE].format(name=name) for name in never])

    def _said(self, first: Taken) -> str:
        last = self.latest(first.number)
        why = last.why if first.outcome is Outcome.MADE else first.why
        said = SAID[first.outcome].format(name=first.name)
        return f"{said} ({why})" if why else said


def change_id(intent_id: str, number: int, attempt: int = 1) -> str:
    """Its own for ever: another attempt is another change."""
    return f"{intent_id}-{number}" if attempt == 1 else f"{intent_id}-{number}-{attempt}"


def begun(shop: Workshop, number: int, name: str, source: str, change: Change, attempt: int = 1) -> Taken:
    return Taken(
        number=number,
        attempt=attempt,
        change_id=change.id,
        name=name,
        source=source,
        collection=change.collection,
        verb=str(change.verb),
        change=kept.change_text(change),
        begun_at=shop.ledger.now(),
    )


def made_of(taken: Taken) -> Made:
    return Made(before=kept.row(taken.before), after=kept.row(taken.after))


def change_of(taken: Taken) -> Change:
    return kept.change(taken.change, taken.change_id, taken.collection, taken.verb)
