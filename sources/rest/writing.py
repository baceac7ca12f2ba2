"""A change in, what came of it out: what is there is read, the API is told, and what it then holds is read."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from engine.change.words import Change, Made, Unmade, Values, Verb
from engine.errors import Code, SourceFailed
from engine.overflow import closing
from engine.words import All, Ask, Keys, Op, Row, Test
from sources.rest.calls import Calls
from sources.rest.collection import Collection, Writing
from sources.rest.requests import filled, in_path
from sources.rest.tell import nothing_yet, tell
from sources.rest.told import NO_ROW, marks, told
from sources.rest.values import inside, rows

Read: TypeAlias = Callable[[Ask], AsyncIterator[Sequence[Row]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """One collection of an API: how it is told, and how it is read."""

    calls: Calls
    collection: Collection
    read: Read


async def write(at: Desk, change: Change, *, dry: bool) -> Made:
    """Raises Unmade or SourceFailed."""
    way = at.collection.writes[change.verb]
    call = told(change, way, at.collection)
    with nothing_yet(at.calls.bounds.timeout):
        before = await standing(at, change)
        if dry and change.verb is Verb.CREATE:
            await leads_somewhere(at, change)
    if dry:
        return Made(before=before, after=None if change.verb is Verb.DELETE else forecast(change, before))
    said = await tell(at.calls, call, way)
    if change.verb is Verb.DELETE:
        return Made(before=before, after=None)
    return Made(before=before, after=await afterwards(at, change, before, said))


async def made(at: Desk, change: Change) -> Made | None:
    """What was there before is not told any more. Of what was to go, and is not there, nobody knows who did it."""
    way = at.collection.writes[change.verb]
    if change.verb is Verb.DELETE:
        return Made(before=None, after=None) if await by_key(at, change) is None else None
    if change.verb is Verb.CREATE and way.id:
        found = await by_mark(at, change, way)
    else:
        found = await by_key(at, change)
        if found is not None and not left(found, change, way):
            return None
    return None if found is None else Made(before=None, after=found)


def left(row: Values, change: Change, way: Writing) -> bool:
    """Whether a row is as a change leaves it."""
    if way.id:
        return marks(row[way.id], change, way)
    return all(row[name] == value for name, value in change.values.items())


async def standing(at: Desk, change: Change) -> Values | None:
    """The row that is to be changed; raises Unmade where it is not as it must be."""
    key = key_of(at.collection, change)
    if key is None and change.verb is Verb.CREATE:
        return None
    found = await by_key(at, change)
    if found is None and change.verb in (Verb.UPDATE, Verb.DELETE):
        raise Unmade(NO_ROW, Code.NOT_FOUND)
    if found is not None and change.verb is Verb.CREATE:
        raise Unmade("the API has such a row already", Code.ALREADY_EXISTS)
    if change.version is not None:
        compared(at.collection, change.version, found)
    return found


def compared(collection: Collection, version: str, found: Values | None) -> None:
    """Raises Unmade where a row is not, or not any more, at its version."""
    if not collection.version:
        raise Unmade("the API's rows have no version: leave it out")
    if found is None or str(found[collection.version]) != version:
        raise Unmade("the row was changed meanwhile: read it again", Code.VERSION_CONFLICT)


async def leads_somewhere(at: Desk, change: Change) -> None:
    """Whether there is what a new row would stand under."""
    given = given_of(at.collection, change)
    if not given:
        return
    if in_path(tuple(given.values())) is None or await at.calls.get(filled(at.collection.path, given)) is None:
        raise Unmade(NO_ROW, Code.NOT_FOUND)


async def afterwards(at: Desk, change: Change, before: Values | None, said: Any) -> Values:
    """What the API answered, or holds now. That it was done is known, whether or not it can be read."""
    way, columns = at.collection.writes[change.verb], tuple(at.collection.columns)
    if way.answers and said is not None:
        (row,) = rows([inside(said, way.rows)], columns, at.collection, given_of(at.collection, change))
        return dict(zip(columns, row, strict=True))
    try:
        found = await (by_mark(at, change, way) if change.verb is Verb.CREATE and way.id else by_key(at, change))
    except SourceFailed:
        found = None
    return forecast(change, before) if found is None else found


def forecast(change: Change, before: Values | None) -> Values:
    return {**(before or {}), **change.key, **change.values}


async def by_key(at: Desk, change: Change) -> Values | None:
    key, given = key_of(at.collection, change), {**change.values, **change.key}
    if key is None:
        raise SourceFailed("the API is not asked without a row's whole key", Code.CANNOT_ANSWER)
    return await first(at, asking(at, keys=Keys(key, (tuple(given[name] for name in key),))), lambda row: True)


async def by_mark(at: Desk, change: Change, way: Writing) -> Values | None:
    """Among all rows that stand where it would, page by page."""
    given = {**change.values, **change.key}
    place = at.collection.given
    keys = Keys(place, (tuple(given[name] for name in place),)) if place else None
    tests = tuple(Test(name, Op.EQ, given[name]) for name in way.by if given.get(name) is not None)
    ask = asking(at, keys=keys, where=All(tests))
    return await first(at, ask, lambda row: marks(row[way.id], change, way))


def asking(at: Desk, **more: Any) -> Ask:
    return Ask(collection=at.collection.name, columns=tuple(at.collection.columns), **more)


async def first(at: Desk, ask: Ask, meant: Callable[[Values], bool]) -> Values | None:
    async with closing(at.read(ask)) as batches:
        async for batch in batches:
            for row in batch:
                found = dict(zip(ask.columns, row, strict=True))
                if meant(found):
                    return found
    return None


def key_of(collection: Collection, change: Change) -> tuple[str, ...] | None:
    """The columns that name its row, of those that have a value."""
    given = {name for name, value in {**change.values, **change.key}.items() if value is not None}
    for name in collection.keys:
        if {*collection.given, name} <= given:
            return (*collection.given, name)
    return None


def given_of(collection: Collection, change: Change) -> Mapping[str, Any]:
    """What stands in the collection's own path."""
    given = {**change.values, **change.key}
    return {name: given[name] for name in collection.given}
