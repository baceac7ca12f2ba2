"""A read whose filter waits for keys from elsewhere in, the read with those keys in place out.

A filter through a link into another source, or past what its source can relate, is two reads. The one that is thought
to give fewer rows goes first and its keys narrow the other: the far side's keys become part of our filter (`Among`),
or our rows' keys are asked for on the far side once we have them (`Carried` stays, and is filled in later).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.errors import Code, SourceFailed
from engine.fetch.words import Fetching
from engine.plan import push
from engine.plan.estimate import rows_given
from engine.plan.push import conjuncts, keys_at_once, pending, pushable, split
from engine.plan.words import Carried, Read, Wanted, distinct
from engine.together import together
from engine.words import NO_ROW, All, Among, Can, Exists, Not, Row, Some

ROWS_A_KEY = 10
"""About how many rows a key of a list leads to."""

First = Callable[[Carried], Awaitable[frozenset[Row]]]
"""Reads the far side, whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What is asked now."""

    read: Read
    spread: tuple[tuple[str, ...], int, tuple[Row, ...]] | None = None
    """Columns, how many keys at once, and the keys, where they are too many for one filter."""
    empty: bool = False
    """No row can meet the filter, so nothing is asked."""


async def settled(run: Fetching, wanted: Wanted, keys: Sequence[Row] | None, first: First) -> Settled:
    settling = Settling(run=run, wanted=wanted, keys=keys, first=first)
    source = run.source(wanted.source)
    where = await settling.resolved(wanted.where)
    pushed, ours = split(where, source.can(wanted.collection), source.can)
    if pending(ours):
        where = All((pushed, await replace(settling, relates=False).resolved(ours)))
    if NO_ROW in conjuncts(where):
        none = push.read(source, replace(wanted, where=NO_ROW), spread=True)
        return Settled(read=replace(none, partial=bool(none.measures), rest=All(()), last=All(())), empty=True)
    can = source.can(wanted.collection)
    many = _spread(can, wanted, where)
    if many is None:
        return Settled(read=push.read(source, replace(wanted, where=where)))
    rest = All(tuple(each for each in conjuncts(where) if each is not many))
    return Settled(
        read=push.read(source, replace(wanted, where=rest), spread=True),
        spread=(many.columns, can.keys, tuple(sorted(many.keys))),
    )


def _spread(can: Can, wanted: Wanted, where: Any) -> Among | None:
    """Keys the source takes only as the keys of a read: too many for its filter, or it takes none there."""
    if wanted.keyed:
        return None
    many = (each for each in conjuncts(where) if isinstance(each, Among) and isinstance(each.keys, frozenset))
    return next((each for each in many if len(each.keys) > can.among and keys_at_once(can, each.columns)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settling:
    """One read's filter under way."""

    run: Fetching
    wanted: Wanted
    keys: Sequence[Row] | None
    first: First
    inside: bool = False
    """Within an `Exists`: no rows of ours will be there to ask by."""
    relates: bool = True
    """Whether the source may be left to look beside; not in a part of the filter that it does not take."""

    async def resolved(self, where: Any) -> Any:
        """The filter with what can be known before its rows are read."""
        match where:
            case All() | Some():
                return type(where)(tuple(await together(self.resolved(each) for each in where.parts)))
            case Not():
                return Not(await self.resolved(where.part))
            case Exists():
                return await self.related(where)
            case Carried():
                return await self.carried(where)
            case _:
                return where

    async def related(self, where: Exists) -> Any:
        """Rows beside, in the same source: its own work, where it can do it with the keys it is given."""
        source = self.run.source(self.wanted.source)
        can = source.can(self.wanted.collection)
        beside = distinct(self.wanted.source, where.collection, where.there, where.where)
        keys = self.run.beside.setdefault(id(where), Carried(where.here, beside))
        if can.related and self.relates and not self.led(self.wanted.source, where.where):
            inner = await replace(self, wanted=beside, keys=None, inside=True).resolved(where.where)
            if pushable(made := replace(where, where=inner), can, source.can):
                self.run.beside[id(made)] = keys
                return made
        return await self.carried(keys)

    async def carried(self, where: Carried) -> Any:
        """The far side's keys if it goes first; the filter as it is where our rows do, or there are too many keys."""
        if not self.far_first(where):
            return where
        try:
            keys = await self.first(where)
        except SourceFailed as failure:
            if failure.code is not Code.LIMIT_EXCEEDED or self.inside or not self.askable(where):
                raise
            return where
        return Among(where.here, keys) if keys else NO_ROW

    def askable(self, where: Carried) -> bool:
        """Whether the far side can be asked for the keys that our rows name."""
        can = self.run.source(where.wanted.source).can(where.wanted.collection)
        return keys_at_once(can, where.wanted.columns) > 0

    def led(self, source: str, where: Any) -> bool:
        """Whether a filter looks at rows that nobody can read without keys of those it filters."""
        match where:
            case All() | Some():
                return any(self.led(source, each) for each in where.parts)
            case Not():
                return self.led(source, where.part)
            case Exists():
                return self.requires(source, where.collection) or self.led(source, where.where)
            case Carried():
                far = where.wanted
                return self.requires(far.source, far.collection) or self.led(far.source, far.where)
            case _:
                return False

    def requires(self, source: str, collection: str) -> bool:
        return bool(self.run.source(source).can(collection).requires)

    def far_first(self, where: Carried) -> bool:
        ours = self.run.source(self.wanted.source)
        if self.askable(where) and self.requires(where.wanted.source, where.wanted.collection):
            return False
        if self.inside or not self.askable(where) or ours.can(self.wanted.collection).requires:
            return True
        near = rows_given(ours, self.wanted) if self.keys is None else float(len(self.keys) * ROWS_A_KEY)
        return rows_given(self.run.source(where.wanted.source), where.wanted) <= near
