"""Picks and rows in, the reply's data out, a level at a time: all rows of a branch at once, where nothing went wrong.

Where anything did, `Unusual` is raised, and the answer is rendered row by row, which knows places and faults. For each
level a function is generated that makes all its objects in one comprehension: the way of a reply with 1,000 rows of 8
fields is 8 times as long without (benchmarks/, `flat`).
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from engine import entities
from engine.entities import ENTITIES
from engine.errors import SourceFailed
from engine.fetch.words import Fetched
from engine.names import is_list
from engine.permit import Verdicts, withheld
from engine.plan.words import Branch, Plan, every
from engine.render.columns import Shows, Unusual, shows, shows_each
from engine.render.entities import reader
from engine.render.lists import beside, cursor_of
from engine.render.lookups import looked_up
from engine.render.making import Maker, Objects, maker
from engine.render.words import Rendering, Slice
from engine.select import Pick
from engine.slots import filled
from engine.words import Row

NOWHERE: Row = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One branch, and those below it."""

    branch: Branch
    below: tuple["Level", ...]
    makers: dict[tuple[int, tuple[str, ...]], Maker] = field(default_factory=dict)
    """By pick that holds the selection, and columns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    picks: tuple[Pick, ...]
    below: tuple[Level, ...]


def levels(picks: Sequence[Pick], verdicts: Verdicts, plan: Plan) -> Levels | None:
    """None where something is withheld, whose nulls are counted row by row, or where rows may be of several types."""
    if any(withheld(each, verdicts) for each in _every(picks)) or any(each.meant for each in every(plan.branches)):
        return None
    return Levels(picks=tuple(picks), below=tuple(map(_level, plan.branches)))


def _every(picks: Sequence[Pick]) -> Iterator[Pick]:
    for pick in picks:
        yield pick
        for below in pick.picks.values():
            yield from _every(below)


def _level(branch: Branch) -> Level:
    return Level(branch=branch, below=tuple(map(_level, branch.branches)))


def data(run: Rendering, of: Levels) -> dict[str, Any]:
    """Raises Unusual where anything went wrong."""
    found = {each.branch.pick.number: _root(run, each) for each in of.below if each.branch.representations is None}
    found |= {each.number: _entities(run, each, of.below) for each in of.picks if each.field == ENTITIES}
    shown = {each.key: found.get(each.number, each.type if each.field == "__typename" else None) for each in of.picks}
    if run.faults.any:
        raise Unusual
    return shown


def _root(run: Rendering, level: Level) -> Any:
    by_key, absent = _rendered(run, level)
    return next(iter(by_key.values()), absent)


def _entities(run: Rendering, pick: Pick, levels: Sequence[Level]) -> list[Any]:
    """Of each representation what stands for its key; one that is not as it should be is for those who know places."""
    numbers = {each.number for below in pick.picks.values() for each in below}
    mine = {each.branch.type: each for each in levels if each.branch.pick.number in numbers}
    wanted = entities.given(pick.arguments["representations"], run.values.variables)
    if any(entities.complaint(each, mine) for each in wanted):
        raise Unusual
    found = {name: (_rendered(run, each)[0], reader(run, name)) for name, each in mine.items()}
    keys = ((entities.type_of(each), entities.id_of(each)) for each in wanted)
    return [_of_key(*found[name], id) for name, id in keys if name is not None and id is not None]


def _of_key(by_key: Mapping[Any, Any], read: Callable[[str], Row], id: str) -> Any:
    key = entities.key(read, id)
    return None if key is None else by_key.get(key[0] if len(key) == 1 else key)


def _rendered(run: Rendering, level: Level) -> tuple[Mapping[Any, Any], Any]:
    """What stands for each key that leads here, a key of one column bare; and what stands for any other."""
    result = run.results.get(level.branch.pick.number)
    if not isinstance(result, Fetched):
        raise Unusual
    if level.branch.many:
        return _lists(run, level, result)
    if level.branch.column is not None:
        return _looked_up(level.branch, result), None
    objects = _objects(run, level, result, level.branch.pick)
    keys = list(map(_bare(level.branch.there, result.columns), result.rows))
    return dict(zip(reversed(keys), reversed(objects), strict=True)), None


def _looked_up(branch: Branch, result: Fetched) -> Mapping[Any, Any]:
    found, returns = looked_up(branch, result), branch.pick.returns
    values = (shows_each if is_list(returns) else shows)(returns)(list(found.values()))
    keys = [key[0] for key in found] if len(branch.there) == 1 else list(found)
    return dict(zip(keys, values, strict=True))


def _bare(key: tuple[str, ...], columns: Sequence[str]) -> Callable[[Row], Any]:
    if not key:
        return lambda row: NOWHERE
    return itemgetter(*map(columns.index, key))


def _objects(run: Rendering, level: Level, result: Fetched, holder: Pick) -> Objects:
    """The rows of a branch as one selection of them asks."""
    if not result.rows:
        return []
    known = level.makers.get((holder.number, result.columns))
    if known is None:
        known = maker(run.house, level.branch, result.columns, holder.picks[level.branch.type])
        level.makers[holder.number, result.columns] = known
    held = list(zip(*result.rows, strict=True))
    taken = [held[at] if shown is None else shown(held[at]) for at, shown in known.takes]
    taken += [_computed(result, held, *each) for each in known.computed]
    return known.make(taken, [_rendered(run, each) for each in level.below])


def _computed(result: Fetched, held: Sequence[Sequence[Any]], number: int, needs: Sequence[int], shown: Shows) -> Any:
    values = result.computed[number]
    return shown([values[key] for key in zip(*(held[at] for at in needs), strict=True)])


def _lists(run: Rendering, level: Level, result: Fetched) -> tuple[Mapping[Any, Any], Any]:
    branch, picks = level.branch, level.branch.pick.below
    held = {each.number: _objects(run, level, result, each) for pick in picks for each in _holders(pick)}
    keys = map(_bare(branch.there, result.columns), result.rows) if result.rows else ()
    absent = _connection(run, branch, result, {each: [] for each in held})(NOWHERE, ())
    if [each.field for each in picks] == ["nodes"] and branch.page and branch.page.last is None:
        (objects,) = held.values()
        lists: defaultdict[Any, Objects] = defaultdict(list)
        for key, each in zip(keys, objects, strict=True):
            lists[key].append(each)
        return {key: {picks[0].key: found} for key, found in lists.items()}, absent
    places: defaultdict[Any, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        places[key].append(place)
    made = _connection(run, branch, result, held)
    every = dict.fromkeys((*places, *_told_of(result)))
    return {key: made(key, places.get(key, ())) for key in every}, absent


def _holders(pick: Pick) -> Iterator[Pick]:
    """The picks of a connection that hold a selection of its rows."""
    if pick.field == "nodes":
        yield pick
    elif pick.field == "edges":
        yield from (each for each in pick.below if each.field == "node")


def _told_of(result: Fetched) -> Iterator[Any]:
    """The keys that have something told of all their rows, though there may be none on this page."""
    told = [each for each in (result.tally, *result.groupings.values()) if each and not isinstance(each, SourceFailed)]
    for keys in (result.passed, result.ahead, *(each.rows for each in told)):
        yield from (key[0] if len(key) == 1 else key for key in keys)


def _connection(
    run: Rendering, branch: Branch, result: Fetched, held: Mapping[int, Objects]
) -> Callable[[Any, Sequence[int]], dict[str, Any]]:
    """Makes the connection of a key from the places of its rows."""
    assert branch.page is not None
    backward = branch.page.last is not None
    size = filled(branch.page.last if backward else branch.page.first, run.values.variables)
    bare = len(branch.there) == 1
    members = [(each.key, _member(run, branch, result, each, held)) for each in branch.pick.below]

    def made(key: Any, places: Sequence[int]) -> dict[str, Any]:
        kept = places[:size][::-1] if backward else places[:size]
        rows = [result.rows[each] for each in kept]
        cut = Slice(key=(key,) if bare and key is not NOWHERE else key, rows=rows, overflow=len(places) > size)
        return {name: member(cut, kept) for name, member in members}

    return made


Member = Callable[[Slice, Sequence[int]], Any]


def _member(run: Rendering, branch: Branch, result: Fetched, pick: Pick, held: Mapping[int, Objects]) -> Member:
    if pick.field == "nodes":
        objects = held[pick.number]
        return lambda cut, places: [objects[each] for each in places]
    if pick.field == "edges":
        return _edges(run, branch, result, pick, held)
    told = beside(run, branch, result, pick)
    return lambda cut, places: told(cut, None)


def _edges(run: Rendering, branch: Branch, result: Fetched, pick: Pick, held: Mapping[int, Objects]) -> Member:
    place_of = cursor_of(run, branch, result) if result.rows else None

    def part(each: Pick) -> Callable[[Row, int], Any]:
        if each.field == "node":
            objects = held[each.number]
            return lambda row, place: objects[place]
        if each.field == "cursor" and place_of is not None:
            return lambda row, place: place_of(row, None)
        return lambda row, place: each.type

    parts = [(each.key, part(each)) for each in pick.below]
    return lambda cut, places: [
        {key: one(row, place) for key, one in parts} for row, place in zip(cut.rows, places, strict=True)
    ]
