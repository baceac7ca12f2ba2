"""A plan and this request's values in, rows out: sibling branches at once, one read per level and source.

A branch whose source fails is a `SourceFailed` in place of rows; everything else is served.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from engine import guard
from engine.bind import Bound, fill
from engine.errors import SourceFailed
from engine.finish import grouped, key_of, limited, ordered, predicate
from engine.guard import Guard
from engine.names import NoSuchId, id_reader
from engine.plan.words import Branch, Plan, Read
from engine.reckon import measured
from engine.slots import filled
from engine.together import together
from engine.words import EVERY_ROW, Ask, Can, Keys, Row

ROOT_KEY: Row = ()


@dataclass(slots=True, kw_only=True)
class Call:
    """One read of one collection, for the record: how many calls, rows and milliseconds it took."""

    source: str
    collection: str
    calls: int = 0
    rows: int = 0
    ms: float = 0.0
    failed: str | None = None


@dataclass(slots=True, kw_only=True)
class Fetched:
    """What one branch came to: rows by the key that leads to them, and what was asked beside them."""

    columns: tuple[str, ...] = ()
    groups: Mapping[Row, Sequence[Row]] = field(default_factory=dict)
    counts: Mapping[Row, int] | SourceFailed | None = None
    passed: frozenset[Row] = frozenset()
    ahead: frozenset[Row] = frozenset()
    computed: dict[int, Mapping[Row, Any]] = field(default_factory=dict)
    """By pick number, then by row."""


Results = dict[int, Fetched | SourceFailed]
"""By pick number of the branch."""


@dataclass(slots=True, kw_only=True)
class Fetching:
    """One request's fetch under way."""

    guards: Mapping[str, Guard]
    values: Bound
    calls: list[Call]
    results: Results = field(default_factory=dict)


async def fetch(guards: Mapping[str, Guard], plan: Plan, values: Bound, calls: list[Call]) -> Results:
    """`calls` is filled as they are made, so that a fetch that is cancelled still tells what it asked."""
    run = Fetching(guards=guards, values=values, calls=calls)
    await _all(run, plan.branches, (), ())
    return run.results


async def _all(run: Fetching, branches: Sequence[Branch], columns: tuple[str, ...], parents: Sequence[Row]) -> None:
    await together(_branch(run, branch, columns, parents) for branch in branches)


async def _branch(run: Fetching, branch: Branch, columns: tuple[str, ...], parents: Sequence[Row]) -> None:
    try:
        found = await _found(run, branch, _keys(run, branch, columns, parents))
    except SourceFailed as failure:
        run.results[branch.pick.number] = failure
        return
    run.results[branch.pick.number] = found
    rows = [row for group in found.groups.values() for row in group]
    _compute(branch, found, rows)
    await _all(run, branch.branches, found.columns, rows)


def _keys(run: Fetching, branch: Branch, columns: tuple[str, ...], parents: Sequence[Row]) -> tuple[Row, ...] | None:
    """The distinct keys that lead to this branch's rows, None where all rows are meant."""
    if branch.named is not None:
        return _named(run, branch)
    if not branch.here:
        return None
    here = key_of(branch.here, columns)
    return tuple(key for key in dict.fromkeys(here(row) for row in parents) if None not in key)


def _named(run: Fetching, branch: Branch) -> tuple[Row, ...]:
    assert branch.rows is not None
    try:
        read = id_reader(_can(run, branch.rows), branch.there)
        return (read(filled(branch.named, run.values.variables)),)
    except NoSuchId:
        return ()


async def _found(run: Fetching, branch: Branch, keys: tuple[Row, ...] | None) -> Fetched:
    found = Fetched()
    if keys == ():
        found.columns = branch.rows.columns if branch.rows else ()
        return found
    parts = ((branch.rows, _window), (branch.count, _count), (branch.passed, _passed), (branch.ahead, _ahead))
    await together(part(run, planned, keys, found) for planned, part in parts if planned is not None)
    return found


async def _window(run: Fetching, planned: Read, keys: tuple[Row, ...] | None, found: Fetched) -> None:
    rows = await read(run, planned, keys)
    found.columns = planned.asked
    found.groups = _by_key(planned, rows)


async def _count(run: Fetching, planned: Read, keys: tuple[Row, ...] | None, found: Fetched) -> None:
    """How many rows there are for each key; its failure is its own, the rows are served."""
    try:
        found.counts = {row[:-1]: row[-1] for row in await read(run, planned, keys)}
    except SourceFailed as failure:
        found.counts = failure


async def _passed(run: Fetching, planned: Read, keys: tuple[Row, ...] | None, found: Fetched) -> None:
    found.passed = frozenset(_by_key(planned, await read(run, planned, keys)))


async def _ahead(run: Fetching, planned: Read, keys: tuple[Row, ...] | None, found: Fetched) -> None:
    found.ahead = frozenset(_by_key(planned, await read(run, planned, keys)))


def _by_key(read: Read, rows: Sequence[Row]) -> Mapping[Row, Sequence[Row]]:
    if not read.keyed:
        return {ROOT_KEY: rows} if rows else {}
    return grouped(rows, key_of(read.keyed, read.asked))


def _compute(branch: Branch, found: Fetched, rows: Sequence[Row]) -> None:
    for number, batch in (branch.batches or {}).items():
        assert branch.needs is not None
        needs = key_of(branch.needs[number], found.columns)
        values = batch.compute([needs(row) for row in rows])
        found.computed[number] = dict(zip((needs(row) for row in rows), values, strict=True))


async def read(run: Fetching, planned: Read, keys: tuple[Row, ...] | None) -> list[Row]:
    """The rows of one planned read, finished: as `planned.asked`, or as `planned.columns` and the measures."""
    carried = await together(_carry(run, each) for each in planned.carries)
    call = Call(source=planned.source, collection=planned.collection)
    run.calls.append(call)
    rows = await _asked(run, planned, keys, call)
    return _finished(planned, rows, keys, fill(planned.rest, run.values, carried), _limit(run, planned))


async def _carry(run: Fetching, keys: Read) -> frozenset[Row]:
    """The keys that meet a filter elsewhere; a null equals nothing, so it is no key."""
    take = key_of(keys.columns, keys.asked)
    return frozenset(key for key in map(take, await read(run, keys, None)) if None not in key)


async def _asked(run: Fetching, planned: Read, keys: tuple[Row, ...] | None, call: Call) -> list[Row]:
    """In waves as wide as the source's bulkhead, so that one question does not overflow its own queue."""
    asks = list(_asks(run, planned, keys))
    wide = run.guards[planned.source].limits.source_calls
    start = perf_counter()
    found: list[Row] = []
    try:
        for first in range(0, len(asks), wide):
            for rows in await together(_answered(run, each, call) for each in asks[first : first + wide]):
                found.extend(rows)
        return found
    except SourceFailed as failure:
        call.failed = failure.code
        raise
    finally:
        call.ms += (perf_counter() - start) * 1000


async def _answered(run: Fetching, ask: Ask, call: Call) -> list[Row]:
    call.calls += 1
    rows = await guard.rows(run.guards[call.source], ask)
    call.rows += len(rows)
    return rows


def _asks(run: Fetching, planned: Read, keys: tuple[Row, ...] | None) -> Iterator[Ask]:
    """One ask, or as many as the keys have batches."""
    base = Ask(
        collection=planned.collection,
        columns=planned.columns if planned.pushes_measures else planned.asked,
        where=fill(planned.pushed, run.values),
        measures=planned.measures if planned.pushes_measures else (),
        order=planned.order if planned.pushes_order else (),
        limit=_limit(run, planned) if planned.pushes_limit else None,
    )
    if not planned.keyed or not planned.batch or keys is None:
        yield base
        return
    for start in range(0, len(keys), planned.batch):
        yield Ask(
            collection=base.collection,
            columns=base.columns,
            keys=Keys(planned.keyed, keys[start : start + planned.batch]),
            where=base.where,
            measures=base.measures,
            order=base.order,
            limit=base.limit,
        )


def _limit(run: Fetching, planned: Read) -> int | None:
    limit: int | None = filled(planned.limit, run.values.variables)
    return limit


def _finished(planned: Read, rows: list[Row], keys: tuple[Row, ...] | None, rest: Any, limit: int | None) -> list[Row]:
    """The steps the source was not asked to take."""
    if planned.pushes_measures:
        return rows
    kept = list(filter(_picks(planned, keys), rows)) if _unpicked(planned, keys) else rows
    if rest != EVERY_ROW:
        kept = list(filter(predicate(rest, planned.asked), kept))
    if planned.measures:
        return measured(kept, planned.columns, planned.measures, planned.asked)
    if planned.order and not planned.pushes_order:
        kept = ordered(kept, planned.order, planned.asked)
    if limit is not None and not planned.pushes_limit:
        kept = limited(kept, limit, key_of(planned.keyed, planned.asked))
    return kept


def _unpicked(planned: Read, keys: tuple[Row, ...] | None) -> bool:
    return bool(planned.keyed) and not planned.batch and keys is not None


def _picks(planned: Read, keys: tuple[Row, ...] | None) -> Callable[[Row], bool]:
    wanted, key = frozenset(keys or ()), key_of(planned.keyed, planned.asked)
    return lambda row: key(row) in wanted


def _can(run: Fetching, planned: Read) -> Can:
    return run.guards[planned.source].source.can(planned.collection)
