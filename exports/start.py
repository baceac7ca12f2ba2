"""A wish and who has it in, a stated export out: judged as their question would be, before anything is read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from auth.caller import Caller
from engine import cursor
from engine.bind import bound
from engine.desk import Answer
from engine.errors import Code, Fault, Refused
from engine.plan.words import Branch, Page, Step
from engine.variables import variables
from engine.words import Kind
from exports.clerk import Clerk, Reads, asked
from exports.columns import Rows, left_out, rows
from exports.paged import ONE_LIST, Paged, paged
from exports.words import Range, Stated, Store, Wish, fault

SPLIT_ROWS = 500_000
"""An export of fewer rows is one range."""
RANGE_ROWS = 250_000
RANGES_MOST = 16
NO_LIST = "Unknown argument 'after' on field 'Query."
"""What validation says of a root field that is no list."""
ENDS = (
    ("first", "pageInfo", "startCursor"),
    ("last", "pageInfo", "startCursor"),
    ("all", "totalCount"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A wish that may be met: how it is asked, where its rows are, and what came of planning it."""

    paged: Paged
    rows: Rows
    told: Answer


async def judge(clerk: Clerk, caller: Caller, wish: Wish, reads: Reads | None = None) -> Judged:
    """Raises Refused, each reason with what would do: no one list, no permission for any of it, a row too costly."""
    one = paged(wish, clerk.desk.house.limits)
    told = await asked(clerk, caller, one.page(1, one.after, plan="ONLY"), reads)
    if told.refused or told.compiled is None:
        raise Refused(*(_said(one, told.faults) or [fault(Code.FORBIDDEN, "what it shows may be seen no longer")]))
    compiled = told.compiled
    found = rows(compiled.picks, compiled.verdicts)
    if told.faults and (wish.all_or_nothing or not found.columns):
        raise Refused(*told.faults)
    return Judged(paged=one, rows=found, told=told)


def _said(one: Paged, faults: Sequence[Fault]) -> Sequence[Fault]:
    """Of a field that takes no place to read on from, that it is no list; of the rest, no places in our own text."""
    if any(each.message.startswith(NO_LIST) for each in faults):
        return [fault(Code.BAD_USER_INPUT, f"`{one.key}` at the root is no one list: {ONE_LIST}")]
    return [replace(each, locations=()) for each in faults]


async def start(clerk: Clerk, store: Store, caller: Caller, id: str, wish: Wish) -> Stated:
    """Once for each id: of the same caller and wish the export that was stated before, of another Refused."""
    if (known := store.stated(id)) is None:
        judged = await judge(clerk, caller, wish)
        ranges, count = await _ranges(clerk, caller, judged)
        store.state(_stated(caller, id, wish, judged, ranges, count))
        known = store.stated(id)
    assert known is not None
    if (known.person, known.wish) != (caller.person_id, wish):
        raise Refused(fault(Code.IDEMPOTENCY_KEY_REUSED, "another export has this id: take a new one"))
    return known


def _stated(caller: Caller, id: str, wish: Wish, judged: Judged, ranges: Sequence[Range], count: int | None) -> Stated:
    assert judged.told.compiled is not None
    return Stated(
        id=id,
        person=caller.person_id,
        key_id=caller.key_id,
        started=datetime.now(UTC).isoformat(timespec="microseconds"),
        wish=wish,
        columns=judged.rows.columns,
        left_out=left_out(judged.rows.denied, judged.told.compiled.verdicts, judged.told.faults),
        ranges=tuple(ranges),
        rows=count,
    )


async def _ranges(clerk: Clerk, caller: Caller, judged: Judged) -> tuple[Sequence[Range], int | None]:
    """One range, or several of about as many keys each where the order is that of a key of whole numbers."""
    one, whole = judged.paged, Range(number=1, after=judged.paged.after)
    assert judged.told.compiled is not None
    (branch,) = judged.told.compiled.plan.branches
    if one.total is not None or one.after is not None or not _quick(branch):
        return [whole], one.total
    found = await asked(clerk, caller, one.both_ends())
    first, last, count = (_told(found, *path) for path in ENDS)
    if branch.page is None or not _whole_numbers(branch.page) or (count or 0) < SPLIT_ROWS or not (first and last):
        return [whole], count
    seal = _seal(clerk, judged, branch.page)
    low, high = (cursor.read(each, branch.page.kinds, seal)[0] for each in (first, last))
    return list(_split(low, high, min(RANGES_MOST, -(-count // RANGE_ROWS)), seal)), count


def _quick(branch: Branch) -> bool:
    """The source finds the first row and the last without reading all between them."""
    return branch.rows is not None and {Step.ORDER, Step.LIMIT} <= branch.rows.takes


def _whole_numbers(page: Page) -> bool:
    return page.kinds == (Kind.INTEGER,) and not page.order[0].descending


def _told(found: Answer, *path: str) -> Any:
    value: Any = found.data
    for key in path:
        value = value and value.get(key)
    return value


def _seal(clerk: Clerk, judged: Judged, page: Page) -> bytes:
    """What the cursors of this list are signed with."""
    told, house = judged.told, clerk.desk.house
    assert told.compiled is not None
    assert told.operation is not None
    given = variables(house.schema, told.operation, judged.paged.page(1).variables)
    return bound(house, told.compiled.windows, given.values).sealing[id(page)]


def _split(low: int, high: int, count: int, seal: bytes) -> Iterator[Range]:
    """Rows that come meanwhile, before the first or after the last, are in the outer ranges."""
    step = -(-(high - low + 1) // count)
    starts = range(low, high + 1, step)
    for number, start in enumerate(starts, 1):
        after = None if number == 1 else cursor.written((start - 1,), seal)
        before = None if number == len(starts) else cursor.written((start + step,), seal)
        yield Range(number=number, after=after, before=before)
