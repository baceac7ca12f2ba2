"""The house as one caller sees it: what those with the same groups share, and the sources as they are read for one."""

from dataclasses import replace
from functools import cache, partial

from auth.caller import Caller
from auth.rules import fingerprint
from engine import guard
from engine.cache.key import scope
from engine.cache.through import Reader
from engine.desk import Desk, View
from engine.source import Source


def seen(desk: Desk, caller: Caller) -> View:
    """What callers with these groups share, made at the first of them."""
    known = desk.views.get(caller.groups)
    if known is None:
        house = desk.house
        met = fingerprint(house.rules, caller.groups)
        under = scope(met, house.version)
        personal = desk.personal(caller)
        known = View(
            met=met,
            scope=under,
            schema=house.view(caller.groups) if house.view else house.schema,
            readers={
                name: Reader(guard=each, scope=under, cache=desk.cache)
                for name, each in desk.guards.items()
                if name not in personal
            },
            service=cache(partial(house.service, caller.groups)) if house.service else None,
        )
        desk.views.put(caller.groups, known)
    return known


class Readers(dict[str, Reader]):
    """The sources as one caller reads them; of what is their own, made at its first use, nothing is kept."""

    def __init__(self, desk: Desk, view: View, caller: Caller, *, kept: bool) -> None:
        """`kept`: what was read a moment ago will do; after a change it will not."""
        super().__init__(
            view.readers if kept else {name: replace(each, cache=None) for name, each in view.readers.items()}
        )
        self.desk, self.caller = desk, caller

    def __missing__(self, name: str) -> Reader:
        personal = self.desk.personal(self.caller)
        made = {each: own(self.desk, each, source) for each, source in personal.items()}
        self.update(made)
        return made[name]


def own(desk: Desk, name: str, source: Source) -> Reader:
    """A source of one answer alone, as it is read: nothing of it is kept."""
    return Reader(guard=guard.guard(name, source, desk.house.limits, desk.clock))
