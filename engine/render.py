"""Picks, rows and verdicts in, the reply's data and its faults out.

Each pick is compiled once, with its plan, into a function from a row to a value. A null in a place that is never null
travels up to the nearest place that may be null, as the specification says (section 6.4.4).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLNonNull, get_named_type

from engine import cursor
from engine.bind import Bound
from engine.errors import Code, Fault, SourceFailed
from engine.faults import Faults, Path, forbidden, unavailable
from engine.fetch import Fetched, Results
from engine.finish import key_of
from engine.house import House
from engine.leaves import BadValue, leaf
from engine.names import columns_of, written
from engine.permit import Verdicts, withheld
from engine.plan.words import Branch, Plan
from engine.select import Pick
from engine.slots import filled
from engine.words import Row


class Null:
    """In place of a value: a null that its place cannot hold."""


NULL = Null()
Value = Callable[[Any, Path], Any]
"""From what a pick is taken of (a row; for connections and pages a `Slice`), and its place, to its value or NULL."""


@dataclass(slots=True, kw_only=True)
class Rendering:
    """One answer under way."""

    house: House
    verdicts: Verdicts
    results: Results
    values: Bound
    faults: Faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One list of one parent: its rows in order, and what is known of those around them."""

    key: Row
    rows: Sequence[Row]
    overflow: bool


def render(
    house: House, picks: Sequence[Pick], verdicts: Verdicts, plan: Plan, results: Results, values: Bound
) -> tuple[dict[str, Any] | None, Faults]:
    """The data of the reply; None when a null reached the top."""
    run = Rendering(house=house, verdicts=verdicts, results=results, values=values, faults=Faults())
    data = _object(run, picks, {each.pick.number: each for each in plan.branches}, ())((), None)
    return (None if data is NULL else data), run.faults


def faults(house: House, picks: Sequence[Pick], verdicts: Verdicts, results: Results, noted: Faults) -> list[Fault]:
    """One fault for each pick that showed null where it was withheld or its source failed."""
    numbered = by_number(picks)
    denied = [
        forbidden(house.rules, numbered[number], verdicts[number], nulls) for number, nulls in noted.withheld.items()
    ]
    failed = [unavailable(_failure(results, numbered, number), nulls) for number, nulls in noted.failed.items()]
    return [*denied, *failed, *noted.broken]


def by_number(picks: Sequence[Pick]) -> dict[int, Pick]:
    found: dict[int, Pick] = {}
    waiting = list(picks)
    while waiting:
        pick = waiting.pop()
        found[pick.number] = pick
        waiting.extend(each for below in pick.picks.values() for each in below)
    return found


def _failure(results: Results, numbered: Mapping[int, Pick], number: int) -> SourceFailed:
    """Why the pick is null: its branch failed, or, of a `totalCount`, the counting of its branch."""
    result = results.get(number)
    if isinstance(result, SourceFailed):
        return result
    counted = next(
        each for key, each in results.items() if isinstance(each, Fetched) and number in _numbers(numbered[key])
    )
    assert isinstance(counted.counts, SourceFailed)
    return counted.counts


def _numbers(pick: Pick) -> set[int]:
    return {each.number for each in pick.below}


def _object(run: Rendering, picks: Sequence[Pick], branches: Mapping[int, Branch], columns: tuple[str, ...]) -> Value:
    """A dict in the order of the picks."""
    members = [(pick.key, _member(run, pick, branches, columns)) for pick in picks]

    def value(row: Any, path: Path) -> Any:
        made = {}
        for key, member in members:
            made[key] = found = member(row, path)
            if found is NULL:
                return NULL
        return made

    return value


def _member(run: Rendering, pick: Pick, branches: Mapping[int, Branch], columns: tuple[str, ...]) -> Value:
    if pick.field == "__typename":
        return lambda row, path: pick.type
    if withheld(pick, run.verdicts):
        return _noting(run.faults.withhold, pick)
    branch = branches.get(pick.number)
    if branch is not None:
        return _branch(run, branch, columns)
    return _leaf(run, pick, columns)


def _noting(note: Callable[[Pick, Path], None], pick: Pick) -> Value:
    def value(row: Any, path: Path) -> Any:
        note(pick, path)
        return None

    return value


def _leaf(run: Rendering, pick: Pick, columns: tuple[str, ...]) -> Value:
    """A column's value as its scalar is written; a null or a value that cannot be is a fault of its source."""
    binding = run.house.bindings[pick.type]
    convert = leaf(pick.returns)
    never_null = isinstance(pick.returns, GraphQLNonNull)
    take = _taking(run, pick, columns)

    def value(row: Any, path: Path) -> Any:
        found = take(row)
        if found is not None:
            try:
                return convert(found)
            except BadValue as bad:
                run.faults.broke(pick, path, Code.SOURCE_INVALID, f"`{pick.type}.{pick.field}` holds {bad}")
                return NULL if never_null else None
        if never_null:
            run.faults.broke(
                pick, path, Code.NULL_VALUE, f"`{binding.type}.{pick.field}` is never null, but has no value"
            )
            return NULL
        return None

    return value


def _taking(run: Rendering, pick: Pick, columns: tuple[str, ...]) -> Callable[[Row], Any]:
    binding = run.house.bindings[pick.type]
    if pick.field in binding.batches:
        needs = binding.batches[pick.field].needs
        key = key_of([column for field in needs for column in columns_of(binding, field)], columns)
        computed = next(
            each.computed[pick.number]
            for each in run.results.values()
            if isinstance(each, Fetched) and pick.number in each.computed
        )
        return lambda row: computed[key(row)]
    of = columns_of(binding, pick.field)
    if len(of) > 1:
        key = key_of(of, columns)
        return lambda row: written(key(row))
    at = columns.index(of[0])
    return lambda row: row[at]


def _branch(run: Rendering, branch: Branch, columns: tuple[str, ...]) -> Value:
    result = run.results.get(branch.pick.number)
    if result is None:
        return lambda row, path: None
    if isinstance(result, SourceFailed):
        return _noting(run.faults.fail, branch.pick)
    key = key_of(branch.here, columns) if branch.here else _root_key(branch, result)
    below = _connection(run, branch, result) if branch.many else _single(run, branch, result)

    def value(row: Any, path: Path) -> Any:
        found = below(key(row), (path, branch.pick.key))
        return None if found is NULL else found

    return value


def _root_key(branch: Branch, result: Fetched) -> Callable[[Any], Row]:
    only = next(iter(result.groups), ()) if branch.there else ()
    return lambda row: only


def _single(run: Rendering, branch: Branch, result: Fetched) -> Value:
    inner = _object(run, branch.pick.picks[branch.type], _branches(branch), result.columns)

    def value(key: Row, path: Path) -> Any:
        rows = result.groups.get(key)
        return inner(rows[0], path) if rows else None

    return value


def _branches(branch: Branch) -> dict[int, Branch]:
    return {each.pick.number: each for each in branch.branches}


def _connection(run: Rendering, branch: Branch, result: Fetched) -> Value:
    assert branch.page is not None
    page = branch.page
    backward = page.last is not None
    size = filled(page.last if backward else page.first, run.values.variables)
    members = [(pick.key, _of_connection(run, branch, result, pick)) for pick in branch.pick.below]

    def value(key: Row, path: Path) -> Any:
        rows = result.groups.get(key, ())
        kept = rows[:size]
        cut = Slice(key=key, rows=kept[::-1] if backward else kept, overflow=len(rows) > size)
        return {name: member(cut, path) for name, member in members}

    return value


def _of_connection(run: Rendering, branch: Branch, result: Fetched, pick: Pick) -> Value:
    if withheld(pick, run.verdicts):
        return _noting(run.faults.withhold, pick)
    match pick.field:
        case "__typename":
            return lambda cut, path: pick.type
        case "nodes":
            node = _object(run, pick.below, _branches(branch), result.columns)
            return _listing(pick, node)
        case "edges":
            return _listing(pick, _edge(run, branch, result, pick))
        case "pageInfo":
            return _page_info(run, branch, result, pick)
        case _:
            return _total(run, result, pick)


def _listing(pick: Pick, each: Value) -> Value:
    """The list, or null if one of its items, which are never null, came to nothing."""

    def value(cut: Slice, path: Path) -> Any:
        place = (path, pick.key)
        made = []
        for index, row in enumerate(cut.rows):
            found = each(row, (place, index))
            if found is NULL:
                return None
            made.append(found)
        return made

    return value


def _edge(run: Rendering, branch: Branch, result: Fetched, pick: Pick) -> Value:
    members: list[tuple[str, Value]] = []
    for each in pick.below:
        if each.field == "node":
            members.append((each.key, _node(run, branch, result, each)))
        elif each.field == "cursor":
            members.append((each.key, _cursor(run, branch, result)))
        else:
            members.append((each.key, lambda row, path: pick.below[0].type))

    def value(row: Row, path: Path) -> Any:
        made = {}
        for key, member in members:
            made[key] = found = member(row, path)
            if found is NULL:
                return NULL
        return made

    return value


def _node(run: Rendering, branch: Branch, result: Fetched, pick: Pick) -> Value:
    inner = _object(run, pick.below, _branches(branch), result.columns)
    return lambda row, path: inner(row, (path, pick.key))


def _cursor(run: Rendering, branch: Branch, result: Fetched) -> Value:
    assert branch.page is not None
    place = key_of([each.column for each in branch.page.order], result.columns)
    seal = run.values.sealing[id(branch.page)]
    return lambda row, path: cursor.written(place(row), seal)


def _page_info(run: Rendering, branch: Branch, result: Fetched, pick: Pick) -> Value:
    assert branch.page is not None
    place = _cursor(run, branch, result)
    backward = branch.page.last is not None
    facts: dict[str, Callable[[Slice], Any]] = {
        "hasNextPage": lambda cut: cut.key in result.ahead or (cut.overflow and not backward),
        "hasPreviousPage": lambda cut: cut.key in result.passed or (cut.overflow and backward),
        "startCursor": lambda cut: place(cut.rows[0], None) if cut.rows else None,
        "endCursor": lambda cut: place(cut.rows[-1], None) if cut.rows else None,
        "__typename": lambda cut: get_named_type(pick.returns).name,
    }
    return lambda cut, path: {each.key: facts[each.field](cut) for each in pick.below}


def _total(run: Rendering, result: Fetched, pick: Pick) -> Value:
    counts = result.counts
    if isinstance(counts, SourceFailed):
        return _noting(run.faults.fail, pick)
    return lambda cut, path: (counts or {}).get(cut.key, 0)
