"""What came of each concrete type of an interface in, one list out: by the order asked for, then the key."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from engine.errors import SourceFailed
from engine.fetch.words import Fetched, Tallied
from engine.finish import grouped, key_of, limited, ordered
from engine.plan.listing import flipped
from engine.plan.words import Branch, Meant, Page
from engine.slots import filled
from engine.words import COUNT, Order, Row

TYPE, ROW = "its type", "the row"
"""What a merged row ends in; no column is called so."""
Found = Mapping[str, Fetched | SourceFailed]
"""By concrete type, in the order of what tells them apart."""


def merged(
    branch: Branch, found: Found, variables: Mapping[str, Any], shut: tuple[Meant, ...]
) -> Fetched | SourceFailed:
    """The rows there are; where all failed, why the first did.

    A merged row is the key that leads to it, its place in the order, its type, and the row as its source gave it.
    """
    lost = {kind: each for kind, each in found.items() if isinstance(each, SourceFailed)}
    if lost and len(lost) == len(found):
        return next(iter(lost.values()))
    parts = {kind: each for kind, each in found.items() if isinstance(each, Fetched)}
    keyed = tuple(f"key {at}" for at in range(len(branch.there)))
    order = _order(branch.page)
    columns = (*keyed, *(each.column for each in order), TYPE, ROW)
    rows = ordered(list(_rows(branch, parts)), order, columns)
    limit = _limit(branch, variables)
    if limit is not None:
        rows = limited(rows, limit, key_of(keyed, columns))
    _shown_alone(parts, rows)
    return Fetched(
        columns=columns,
        rows=rows,
        keyed=keyed,
        tally=None if lost else _tally(parts),
        passed=frozenset().union(*(each.passed for each in parts.values())),
        ahead=frozenset().union(*(each.ahead for each in parts.values())),
        parts=parts,
        lost=lost,
        shut=shut,
    )


def _order(page: Page | None) -> Sequence[Order]:
    if page is None:
        return ()
    return [flipped(each) for each in page.order] if page.last is not None else page.order


def _rows(branch: Branch, parts: Mapping[str, Fetched]) -> Iterator[Row]:
    for member in branch.members:
        part = parts.get(member.type)
        if part is None or not part.rows:
            continue
        key = key_of(member.there, part.columns)
        place = key_of([each.column for each in member.page.order] if member.page else (), part.columns)
        yield from ((*key(row), *place(row), member.type, row) for row in part.rows)


def _limit(branch: Branch, variables: Mapping[str, Any]) -> int | None:
    """The rows of a page that are wanted, and one more where each concrete type was asked for that."""
    limits = (each.rows.wanted.limit for each in branch.members if each.rows is not None and branch.many)
    limit: int | None = filled(next(limits, None), variables)
    return limit


def _shown_alone(parts: Mapping[str, Fetched], rows: Sequence[Row]) -> None:
    """What lies below rows is read only of those that are shown."""
    shown = grouped(rows, lambda row: (row[-2],))
    for kind, part in parts.items():
        part.rows = [row[-1] for row in shown.get((kind,), ())]


def _tally(parts: Mapping[str, Fetched]) -> Tallied | SourceFailed | None:
    """Counts added up; where one is not known, nor is their sum."""
    counts: dict[Row, int] = {}
    for tally in (each.tally for each in parts.values()):
        if isinstance(tally, SourceFailed):
            return tally
        if tally is not None:
            at = tally.names.index(COUNT.name)
            for key, row in tally.rows.items():
                counts[key] = counts.get(key, 0) + row[at]
    return Tallied(names=(COUNT.name,), rows={key: (count,) for key, count in counts.items()})
