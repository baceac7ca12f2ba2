"""What every change needs at hand, and what was declared, checked at the start."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, TypeAlias

from auth.mistake import Mistake
from engine.binding import Binding
from engine.change import columns, inputs
from engine.change.declared import Changes, Declared, Saga, Step, always
from engine.change.guarded import writes
from engine.desk import Desk
from engine.guard import Guard
from engine.house import House
from records.ledger import Ledger

UNFENCED_SECONDS = 60.0
GIVE_UP_SECONDS = 86_400.0

Published: TypeAlias = Callable[[str, str, str], None]
"""Takes type, the row's id and the change's id, once that is committed; must not block."""
Numbered: TypeAlias = tuple[int, Step]
"""Steps are counted from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """`sagas` by mutation, as `sagas` makes them; `secret` keys what records say of values, as
    `records.redact.records_key` makes it; `tasks` are the changes under way."""

    house: House
    guards: Mapping[str, Guard]
    sagas: Mapping[str, Saga]
    ledger: Ledger
    secret: bytes = field(repr=False)
    published: Published = lambda _, __, ___: None
    unfenced_seconds: float = UNFENCED_SECONDS
    """How long after it was told a source without fences may still make a change that it says was not made."""
    give_up_seconds: float = GIVE_UP_SECONDS
    """How long a source that does not answer is asked what came of a change, before that is called unknown."""
    tasks: set[asyncio.Task[object]] = field(default_factory=set)


def workshop(at: Desk, declared: Sequence[Declared], **more: Any) -> Workshop:
    """With `more` of its fields. Raises Mistake where a mutation that is declared cannot be made."""
    return Workshop(house=at.house, guards=at.guards, sagas=sagas(at.house, at.guards, declared), **more)


def sagas(house: House, guards: Mapping[str, Guard], declared: Sequence[Declared]) -> Mapping[str, Saga]:
    """By mutation. Raises Mistake where one cannot be made."""
    found = {}
    for each in declared:
        if each.type not in house.bindings:
            raise Mistake(f"`{each.field}` changes `{each.type}`, which has no binding: give it one in resolvers/")
        found[each.field] = columns.saga(house, each) if isinstance(each, Changes) else each
        for complaint in chain(complaints(house, guards, found[each.field]), _given(house, guards, each)):
            raise Mistake(complaint)
    return found


def _given(house: House, guards: Mapping[str, Guard], declared: Declared) -> Iterator[str]:
    if isinstance(declared, Changes):
        binding = house.bindings[declared.type]
        yield from inputs.complaints(house, declared, writes(guards[binding.source], binding.collection))


def complaints(house: House, guards: Mapping[str, Guard], saga: Saga) -> Iterator[str]:
    names, seen = [each.name for each in saga.steps], set[str]()
    for step in saga.steps:
        at = f"step `{step.name}` of `{saga.field}`"
        promise = writes(guards[step.source], step.collection) if step.source in guards else None
        if promise is None or step.verb not in promise.verbs:
            yield f"{at}: `{step.source}` does not {step.verb} in `{step.collection}`"
        if names.count(step.name) > 1 or not seen.issuperset(step.needs):
            yield f"{at}: names are of one step each, and what a step needs comes before it, always"
        if step.when is always:
            seen.add(step.name)
    if leading(house, saga) is None:
        yield f"`{saga.field}` has no step that changes `{saga.type}`"


def leading(house: House, saga: Saga) -> int | None:
    """The number of the step that the mutation answers with."""
    binding = house.bindings[saga.type]
    at = (binding.source, binding.collection)
    sure = [(number, step) for number, step in numbered(saga) if step.when is always]
    return next((number for number, step in sure if (step.source, step.collection) == at), None)


def numbered(saga: Saga) -> Sequence[Numbered]:
    return tuple(enumerate(saga.steps, 1))


def groups(shop: Workshop, saga: Saga) -> Sequence[Sequence[Numbered]]:
    """Steps that are one transaction each."""
    found: list[list[Numbered]] = []
    for number, step in numbered(saga):
        if found and _together(shop, [each for _, each in found[-1]], step):
            found[-1].append((number, step))
        else:
            found.append([(number, step)])
    return found


def _together(shop: Workshop, group: Sequence[Step], step: Step) -> bool:
    names = {each.name for each in group}
    promises = [writes(shop.guards[each.source], each.collection) for each in (*group, step)]
    together = all(each is not None and each.together for each in promises)
    return group[0].source == step.source and together and names.isdisjoint(step.needs)


def binding_of(shop: Workshop, type_name: str, source: str, collection: str) -> Binding | None:
    """The binding of the rows there, that of `type_name` before others; None: no type shows them."""
    found = [shop.house.bindings[type_name], *shop.house.bindings.values()]
    return next((each for each in found if (each.source, each.collection) == (source, collection)), None)
