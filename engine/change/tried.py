"""A change that is only tried in, the rows of history it would leave out; nothing is changed or kept."""

from collections.abc import Sequence
from dataclasses import replace

from engine.act import Acted
from engine.change import guarded
from engine.change.bindings import SOURCE
from engine.change.doing import Doing
from engine.change.history import History, Overlay
from engine.change.leaving import noted, of_change
from engine.change.words import Change, Made, Unmade
from engine.change.workshop import Numbered, groups
from engine.errors import SourceFailed
from records.intents import Left, State


async def tried(doing: Doing) -> Acted:
    """Steps that need what earlier ones would make cannot be tried; all others are. Raises SourceFailed."""
    found = [each for group in groups(doing.shop, doing.saga) for each in await _tried(doing, group)]
    base = doing.shop.house.sources.get(SOURCE)
    sources = {SOURCE: Overlay(base, {each.id: each for each in found})} if isinstance(base, History) else {}
    leads = next((each.id for each in found if each.id == doing.intent.leads), None)
    return Acted(id=leads, sources=sources, noted=noted(doing.shop, found))


async def _tried(doing: Doing, group: Sequence[Numbered]) -> Sequence[Left]:
    if any(step.needs for _, step in group):
        return ()
    try:
        changes = doing.told(group)
        made = await guarded.write(doing.shop.guards[group[0][1].source], changes, dry=True)
    except Unmade as failure:
        raise SourceFailed(failure.reason, failure.code) from None
    doing.begin(group, changes)
    return [_left(doing, *each) for each in zip(group, changes, made, strict=True)]


def _left(doing: Doing, numbered: Numbered, change: Change, made: Made) -> Left:
    taken = doing.taken[numbered[0], 1]
    return replace(of_change(doing, taken, change, made), state=State.TRIED)
