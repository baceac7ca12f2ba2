"""A plan and this request's values in, rows out: sibling branches at once, one read per level and source.

A branch whose source fails is a `SourceFailed` in place of rows; everything else is served.
"""

from collections.abc import Mapping, Sequence

from engine import entities
from engine.constant import could
from engine.errors import Code, SourceFailed
from engine.fetch.merge import merged
from engine.fetch.read import Table, read
from engine.fetch.words import ROOT_KEY, Fetched, Fetching, Groups, Results, Tallied
from engine.finish import grouped, key_of
from engine.names import NoSuchId, id_reader
from engine.plan.words import Branch, Grouping, Plan, Read
from engine.slots import filled
from engine.together import together
from engine.words import Can, Row


async def fetch(run: Fetching, plan: Plan) -> Results:
    """`run.calls` is filled as they are made, so that a fetch that is cancelled still tells what it asked."""
    await _all(run, plan.branches, (), ())
    return run.results


async def _all(run: Fetching, branches: Sequence[Branch], columns: tuple[str, ...], parents: Sequence[Row]) -> None:
    await together(_branch(run, branch, columns, parents) for branch in branches)


async def _branch(run: Fetching, branch: Branch, columns: tuple[str, ...], parents: Sequence[Row]) -> None:
    if branch.meant:
        await _interface(run, branch, columns, parents)
        return
    found = run.results[branch.pick.number] = await _tried(run, branch, columns, parents)
    if isinstance(found, Fetched):
        await _below(run, branch, found)


async def _tried(
    run: Fetching, branch: Branch, columns: tuple[str, ...], parents: Sequence[Row]
) -> Fetched | SourceFailed:
    try:
        return await _found(run, branch, _keys(run, branch, columns, parents))
    except SourceFailed as failure:
        return failure


async def _below(run: Fetching, branch: Branch, found: Fetched) -> None:
    _compute(branch, found)
    await _all(run, branch.branches, found.columns, found.rows)


async def _interface(run: Fetching, branch: Branch, columns: tuple[str, ...], parents: Sequence[Row]) -> None:
    """All concrete types that can have such rows at once; what lies below them is read of rows that are shown."""
    meant = {
        each.type: each for each in branch.meant if could(each.where, each.fixed, run.values.variables) is not False
    }
    asked = [each for each in branch.members if each.type in meant]
    found = await together(_tried(run, each, columns, parents) for each in asked)
    shut = tuple(each for each in meant.values() if each.verdict is not None)
    rows = merged(branch, dict(zip([each.type for each in asked], found, strict=True)), run.values.variables, shut)
    run.results[branch.pick.number] = rows
    if isinstance(rows, Fetched):
        below = [(each, rows.parts[each.type]) for each in asked if each.type in rows.parts]
        await together(_below(run, each, part) for each, part in below)


def _keys(run: Fetching, branch: Branch, columns: tuple[str, ...], parents: Sequence[Row]) -> tuple[Row, ...] | None:
    """The distinct keys that lead to this branch's rows, None where all rows are meant."""
    if branch.named is not None:
        return _named(run, branch)
    if branch.representations is not None:
        return _represented(run, branch)
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


def _represented(run: Fetching, branch: Branch) -> tuple[Row, ...]:
    assert branch.rows is not None
    read = id_reader(_can(run, branch.rows), branch.there)
    ids = entities.of_type(entities.given(branch.representations, run.values.variables), branch.type)
    found = dict.fromkeys(entities.key(read, each) for each in ids)
    return tuple(each for each in found if each is not None)


async def _found(run: Fetching, branch: Branch, keys: tuple[Row, ...] | None) -> Fetched:
    if keys == ():
        return nothing(branch)
    found = Fetched()
    parts = ((branch.rows, _window), (branch.tally, _tally), (branch.passed, _passed), (branch.ahead, _ahead))
    await together(
        (
            *(part(run, planned, keys, found) for planned, part in parts if planned is not None),
            *(_grouping(run, each, keys, found) for each in branch.groupings),
        )
    )
    return found


def nothing(branch: Branch) -> Fetched:
    """What there is of no parents."""
    return Fetched(
        columns=branch.rows.names if branch.rows else (),
        tally=Tallied(names=branch.tally.names, rows={}) if branch.tally else None,
        groupings={each.pick.number: Groups(names=each.read.names, rows={}) for each in branch.groupings},
    )


async def _window(run: Fetching, planned: Read, keys: tuple[Row, ...] | None, found: Fetched) -> None:
    table = await read(run, planned, keys)
    found.columns, found.rows, found.keyed = table.names, table.rows, planned.wanted.keyed


async def _tally(run: Fetching, planned: Read, keys: tuple[Row, ...] | None, found: Fetched) -> None:
    """What is measured for each key; its failure is its own, the rows are served."""
    try:
        table = await read(run, planned, keys)
    except SourceFailed as failure:
        found.tally = failure
        return
    key = key_of(planned.wanted.keyed, table.names)
    found.tally = Tallied(names=table.names, rows={key(row): row for row in table.rows})


async def _grouping(run: Fetching, one: Grouping, keys: tuple[Row, ...] | None, found: Fetched) -> None:
    try:
        most = run.limits.first_max + 1 if one.first is None else None
        table = await read(run, one.read, keys, most=most)
        groups = _by_key(one.read, table)
        if one.first is None and any(len(each) > run.limits.first_max for each in groups.values()):
            raise _too_many_groups(run, one)
        found.groupings[one.pick.number] = Groups(names=table.names, rows=groups)
    except SourceFailed as failure:
        found.groupings[one.pick.number] = failure


def _too_many_groups(run: Fetching, one: Grouping) -> SourceFailed:
    limit = f"the limit `first_max` of {run.limits.first_max}"
    message = f"`{one.pick.field}` has more groups than {limit}, ask for some with `first` and `orderBy`, or filter"
    return SourceFailed(message, Code.LIMIT_EXCEEDED)


async def _passed(run: Fetching, planned: Read, keys: tuple[Row, ...] | None, found: Fetched) -> None:
    found.passed = frozenset(_by_key(planned, await read(run, planned, keys)))


async def _ahead(run: Fetching, planned: Read, keys: tuple[Row, ...] | None, found: Fetched) -> None:
    found.ahead = frozenset(_by_key(planned, await read(run, planned, keys)))


def _by_key(planned: Read, table: Table) -> Mapping[Row, Sequence[Row]]:
    keyed = planned.wanted.keyed
    if not keyed:
        return {ROOT_KEY: table.rows} if table.rows else {}
    return grouped(table.rows, key_of(keyed, table.names))


def _compute(branch: Branch, found: Fetched) -> None:
    for number, batch in (branch.batches or {}).items():
        assert branch.needs is not None
        needs = key_of(branch.needs[number], found.columns)
        rows = [needs(row) for row in found.rows]
        found.computed[number] = dict(zip(rows, batch.compute(rows), strict=True))


def _can(run: Fetching, planned: Read) -> Can:
    return run.source(planned.wanted.source).can(planned.wanted.collection)
