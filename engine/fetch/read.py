"""One planned read in, its finished rows out: keys from elsewhere first, then the source, then what is ours to do."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import Any

from engine.bind import fill
from engine.cache import through
from engine.errors import SourceFailed
from engine.fetch import ours, outgrown
from engine.fetch.outgrown import Outgrown
from engine.fetch.settle import Settled, settled
from engine.fetch.words import Call, Fetching, Seen, too_many_keys
from engine.finish import key_of
from engine.overflow import Inflow, Overflow
from engine.plan import push
from engine.plan.words import Carried, Reach, Read, Step, Wanted
from engine.reckon import named
from engine.together import together
from engine.words import EVERY_ROW, Ask, Keys, Row

NULL_AND_ONE_TOO_MANY = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Finished rows, and what they hold."""

    names: tuple[str, ...]
    rows: list[Row]


async def read(
    run: Fetching,
    planned: Read,
    keys: Sequence[Row] | None,
    origin: Wanted | None = None,
    most: int | None = None,
) -> Table:
    """Raises SourceFailed where a source it needs does not answer, or a limit is passed.

    `origin`: what of the plan it is for, where that is not what is wanted now. `most`: rows of a key that are of any
    use, where no limit is wanted; there may be more.
    """
    origin = origin or planned.wanted
    one = Settled(read=planned)
    if planned.open:
        one = await settled(run, planned.wanted, keys, lambda carried: _first(run, carried))
    if one.empty:
        return await _finished(run, one.read, keys, [])
    overflow = outgrown.overflow(run, one.read, keys)
    if overflow is None:
        return await _finished(run, one.read, keys, await _asked(run, one, keys, origin))
    async with overflow:
        rows = await _asked(run, one, keys, origin, overflow)
        if overflow.table is None:
            return await _finished(run, one.read, keys, rows)
        rows = await _outgrown(run, one.read, keys, most).finished(overflow.table)
        return Table(names=one.read.names, rows=rows)


async def _finished(run: Fetching, planned: Read, keys: Sequence[Row] | None, rows: list[Row]) -> Table:
    rows = ours.picked(planned, rows, keys)
    names = named(planned.asked, planned.measures)
    if planned.rest != EVERY_ROW:
        rows = ours.kept(rows, await _filled(run, planned, rows, names), names)
    for reach in planned.wanted.reaches:
        rows, names = await _reached(run, reach, rows, names), (*names, *reach.names)
    return Table(names=planned.names, rows=ours.ended(run, planned, rows, names))


def _outgrown(run: Fetching, planned: Read, keys: Sequence[Row] | None, most: int | None) -> Outgrown:
    limit = ours.limit(run, planned)
    return Outgrown(
        run=run,
        planned=replace(planned, takes=frozenset()),
        keys=keys,
        limit=most if limit is None else limit,
        meeting=partial(_meeting, run),
        leading=partial(_leading, run),
    )


async def _asked(
    run: Fetching, one: Settled, keys: Sequence[Row] | None, origin: Wanted, overflow: Overflow | None = None
) -> list[Row]:
    """In waves as wide as the source's bulkhead, so that one question does not overflow its own queue.

    Without those that went into `overflow`, which are all or none.
    """
    planned = one.read
    call = Call(source=planned.wanted.source, collection=planned.wanted.collection)
    run.calls.append(call)
    asks = list(asks_of(run, one, keys))
    wide = run.limits.source_calls
    start = perf_counter()
    found: list[Row] = []
    if run.seen is not None:
        spread = one.spread[0] if one.spread else ()
        run.seen.append(
            Seen(wanted=origin, read=planned, call=call, asks=asks, spread=spread, rows=found, overflow=overflow)
        )
    try:
        for first in range(0, len(asks), wide):
            for rows in await together(_answered(run, each, call, overflow) for each in asks[first : first + wide]):
                found.extend(rows)
            if overflow is not None:
                await overflow.end(found)
        return found
    except SourceFailed as failure:
        call.failed = failure.code
        raise
    finally:
        call.outgrown = 0 if overflow is None else overflow.poured
        call.ms += (perf_counter() - start) * 1000


async def _answered(run: Fetching, ask: Ask, call: Call, overflow: Overflow | None) -> list[Row]:
    call.calls += 1
    inflow = None if overflow is None else Inflow(overflow)
    got = await through.rows(run.guards[call.source], ask, inflow)
    if got.cached:
        call.calls, call.cached = call.calls - 1, call.cached + 1
    call.at = min(call.at or got.kept.at, got.kept.at)
    call.rows += len(got.kept.rows)
    rows = list(got.kept.rows)
    if inflow is not None:
        call.rows += inflow.poured
        await inflow.take(rows)
    return rows


def asks_of(run: Fetching, one: Settled, keys: Sequence[Row] | None) -> Iterator[Ask]:
    """One ask, or as many as the keys have batches."""
    planned, wanted = one.read, one.read.wanted
    base = Ask(
        collection=wanted.collection,
        columns=planned.asked,
        where=fill(planned.pushed, run.values),
        measures=planned.measures,
        cuts=tuple(each for each in wanted.cuts if planned.measures and each.column in planned.asked),
        having=fill(wanted.having, run.values) if Step.HAVING in planned.takes else EVERY_ROW,
        order=wanted.order if Step.ORDER in planned.takes else (),
        limit=ours.limit(run, planned) if Step.LIMIT in planned.takes else None,
    )
    columns, batch, values = (wanted.keyed, planned.batch, keys) if one.spread is None else one.spread
    if not batch or values is None:
        yield base
        return
    for start in range(0, len(values), batch):
        yield replace(base, keys=Keys(columns, tuple(values[start : start + batch])))


async def _reached(run: Fetching, reach: Reach, rows: list[Row], names: Sequence[str]) -> list[Row]:
    """Each row, and what lies where its link leads."""
    here = key_of(reach.here, names)
    found = await _leading(run, reach, _distinct(run, map(here, rows), reach.wanted))
    return [row + found.get(here(row), reach.absent) for row in rows]


async def _leading(run: Fetching, reach: Reach, keys: Sequence[Row]) -> dict[Row, Row]:
    """By key, what lies there."""
    if not keys:
        return {}
    there = await read(run, push.read(run.source(reach.wanted.source), reach.wanted), keys)
    key, take = key_of(reach.wanted.keyed, there.names), key_of(reach.takes, there.names)
    return {key(row): take(row) for row in there.rows}


async def _filled(run: Fetching, planned: Read, rows: list[Row], names: Sequence[str]) -> Any:
    """The filter that is left to us; of a side that was not read first, the keys that these rows name."""
    late = list(ours.late(planned.rest))
    keys = [_distinct(run, map(key_of(each.here, names), rows), each.wanted) for each in late]
    found = await together(_meeting(run, each, named) for each, named in zip(late, keys, strict=True))
    return fill(planned.rest, run.values, dict(zip(late, found, strict=True)))


async def _meeting(run: Fetching, carried: Carried, keys: Sequence[Row]) -> frozenset[Row]:
    """Which of the keys lead to a row that is wanted."""
    if not keys:
        return frozenset()
    wanted = replace(carried.wanted, keyed=carried.wanted.columns)
    found = await read(run, push.read(run.source(wanted.source), wanted), keys, carried.wanted)
    return frozenset(map(key_of(wanted.columns, found.names), found.rows))


def _distinct(run: Fetching, keys: Any, wanted: Wanted) -> tuple[Row, ...]:
    found = tuple(key for key in dict.fromkeys(keys) if None not in key)
    if len(found) > run.limits.keys_carried:
        raise too_many_keys(run, wanted.source)
    return found


async def _first(run: Fetching, carried: Carried) -> frozenset[Row]:
    """The keys of all rows that are wanted there; a null equals nothing, so it is no key."""
    async with run.carrying[carried]:
        if carried not in run.carried:
            run.carried[carried] = await _told(run, carried)
    known = run.carried[carried]
    if isinstance(known, SourceFailed):
        raise known
    return known


async def _told(run: Fetching, carried: Carried) -> frozenset[Row] | SourceFailed:
    try:
        wanted = carried.wanted
        most = run.limits.keys_carried + NULL_AND_ONE_TOO_MANY if len(wanted.columns) == 1 else None
        found = await read(run, push.read(run.source(wanted.source), wanted), None, most=most)
        return frozenset(_distinct(run, map(key_of(carried.wanted.columns, found.names), found.rows), carried.wanted))
    except SourceFailed as failure:
        return failure
