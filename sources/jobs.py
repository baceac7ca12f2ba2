"""The jobs that one caller may see, as a source: any other is not there, on whatever path it is asked for."""

import operator
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    String,
    and_,
    case,
    false,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.exc import SQLAlchemyError

from auth.caller import Caller
from auth.state import State
from engine.errors import SourceFailed
from engine.words import All, Ask, Can, Column, Kind, Op, Order, Row, Test
from work.declared import Job
from work.rows import sees, starts
from work.shelf import Shelf
from work.tables import job, job_file, job_line

EQUAL = frozenset({Op.EQ, Op.IN, Op.IS_NULL})
ORDERED = EQUAL | {Op.LT, Op.LTE, Op.GT, Op.GTE}
TEXT, WHOLE = Column(Kind.TEXT, EQUAL, True), Column(Kind.INTEGER, ORDERED, True)
TIME, NUMBER = Column(Kind.TIME, ORDERED, True), Column(Kind.FLOAT, ORDERED, True)
SAID = Column(Kind.TEXT)
KEYS = 500

COLUMNS: Mapping[str, Mapping[str, Column]] = {
    "job": {
        "id": TEXT, "name": TEXT, "state": TEXT, "person_id": TEXT, "person_name": TEXT, "reason": SAID,
        "parent_id": TEXT, "input": SAID, "done": NUMBER, "total": NUMBER, "attempts": WHOLE, "created_at": TIME,
        "started_at": TIME, "ended_at": TIME, "cancelled_by": SAID, "error": SAID, "result": SAID,
    },
    "job_line": {"job_id": TEXT, "number": WHOLE, "at": TIME, "kind": TEXT, "text": SAID},
    "job_file": {
        "job_id": TEXT, "name": TEXT, "content_type": TEXT, "size": WHOLE, "sha256": TEXT, "at": TIME, "text": SAID,
    },
}  # fmt: skip
KEYED: Mapping[str, frozenset[tuple[str, ...]]] = {
    "job": frozenset({("id",), ("parent_id",), ("person_id",), ("name",)}),
    "job_line": frozenset({("job_id",), ("job_id", "number")}),
    "job_file": frozenset({("job_id",), ("job_id", "name")}),
}
CANS: Mapping[str, Can] = {
    name: Can(columns=columns, keys=KEYS, key_columns=KEYED[name], limit=True, limit_per_key=True)
    for name, columns in COLUMNS.items()
}
TABLES: Mapping[str, Any] = {"job": job, "job_line": job_line, "job_file": job_file}
COMPARE: Mapping[Op, Callable[[Any, Any], Any]] = {
    Op.EQ: operator.eq, Op.LT: operator.lt, Op.LTE: operator.le, Op.GT: operator.gt, Op.GTE: operator.ge,
    Op.IN: lambda column, values: column.in_(values),
    Op.IS_NULL: lambda column, wanted: column.is_(None) if wanted else column.is_not(None),
}  # fmt: skip
TEXT_BYTES = 262_144
"""Of a file's text; a larger one, or one that is no text, has none."""


class JobsSource:
    """`job`, `job_line` and `job_file`, of the caller alone; of nobody, none."""

    def __init__(self, shelf: Shelf | None, jobs: Mapping[str, Job], caller: Caller | None) -> None:
        self.shelf, self.jobs, self.caller = shelf, jobs, caller

    def can(self, collection: str) -> Can:
        return CANS[collection]

    async def read(self, ask: Ask) -> AsyncIterator[Sequence[Row]]:
        if self.shelf is None or self.caller is None:
            return
        try:
            yield await self.shelf.do(rows, ask, self.jobs, self.caller)
        except SQLAlchemyError:
            raise SourceFailed("the jobs cannot be read now") from None

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        return None


def nobodys() -> JobsSource:
    """What the source promises, before anyone asks."""
    return JobsSource(None, {}, None)


def rows(state: State, ask: Ask, jobs: Mapping[str, Job], caller: Caller) -> list[Row]:
    wanted = statement(ask, jobs, caller, collated=state.engine.dialect.name == "postgresql")
    with state.reading() as connection:
        found = connection.execute(wanted).all()
    if ask.collection != "job_file" or "text" not in ask.columns:
        return [tuple(row)[: len(ask.columns)] for row in found]
    at = ask.columns.index("text")
    return [(*row[:at], _text(row[at]), *row[at + 1 :]) for row in found]


def _text(content: bytes | None) -> str | None:
    try:
        return None if content is None else content.decode()
    except UnicodeDecodeError:
        return None


def statement(ask: Ask, jobs: Mapping[str, Job], caller: Caller, *, collated: bool) -> Select[Any]:
    """One statement, its values bound. `collated`: text has an order other than by code point unless told."""
    seen, own = job.c.name.in_(sees(jobs, caller)), job.c.person_id == caller.person_id
    inside = or_(seen, and_(own, job.c.name.in_(starts(jobs, caller))))
    table = TABLES[ask.collection]
    columns = [_column(ask.collection, each, inside).label(each) for each in ask.columns]
    found = select(*columns) if columns else select(literal(1))  # rows may be wanted for their number alone
    if ask.collection == "job":
        found = found.where(or_(seen, own))
    else:
        found = found.join_from(table, job, table.c.job_id == job.c.id).where(inside)
    found = found.where(_tests(ask.collection, ask.where))
    if ask.keys is not None:
        found = found.where(_keyed(ask))
    order = [_ordered(table.c[each.column], each, collated) for each in ask.order]
    if ask.keys is not None and ask.limit is not None:
        return _limited(found, ask, order)
    return found.order_by(*order).limit(ask.limit)


def _column(collection: str, name: str, inside: ColumnElement[bool]) -> ColumnElement[Any]:
    if (collection, name) == ("job", "result"):
        return case((inside, job.c.result), else_=None)
    if (collection, name) == ("job_file", "text"):
        return case((job_file.c.size <= TEXT_BYTES, job_file.c.content), else_=None)
    column: ColumnElement[Any] = TABLES[collection].c[name]
    return column


def _tests(collection: str, where: Any) -> ColumnElement[bool]:
    if isinstance(where, All):
        return and_(true(), *(_tests(collection, each) for each in where.parts))
    assert isinstance(where, Test)
    column, value = TABLES[collection].c[where.column], where.value
    if isinstance(value, tuple):
        value = tuple(_within(column, each) for each in value if _sayable(each))
    elif not _sayable(value):
        return false()
    found: ColumnElement[bool] = COMPARE[where.op](column, _within(column, value))
    return found


def _keyed(ask: Ask) -> ColumnElement[bool]:
    assert ask.keys is not None
    columns = [TABLES[ask.collection].c[each] for each in ask.keys.columns]
    said = (each for each in ask.keys.values if all(map(_sayable, each)))
    values = [tuple(map(_within, columns, each)) for each in said]
    if len(columns) == 1:
        found: ColumnElement[bool] = columns[0].in_([each[0] for each in values])
        return found
    return tuple_(*columns).in_(values) if values else false()


def _limited(found: Select[Any], ask: Ask, order: Sequence[Any]) -> Select[Any]:
    """So many for each key, in one statement."""
    assert ask.keys is not None
    table = TABLES[ask.collection]
    place = func.row_number().over(partition_by=[table.c[each] for each in ask.keys.columns], order_by=order or None)
    inner = found.add_columns(place.label("place_of_row")).subquery()
    return (
        select(*(inner.c[each] for each in ask.columns))
        .where(inner.c.place_of_row <= ask.limit)
        .order_by(inner.c.place_of_row)
    )


def _ordered(column: Any, order: Order, collated: bool) -> Any:
    if collated and isinstance(column.type, String):
        column = column.collate("C")
    directed = column.desc() if order.descending else column.asc()
    return directed.nulls_first() if order.nulls_first else directed.nulls_last()


def _sayable(value: Any) -> bool:
    """Text that a database could hold; no row has any other."""
    return not isinstance(value, str) or ("\0" not in value and not any("\ud800" <= each <= "\udfff" for each in value))


def _within(column: Any, value: Any) -> Any:
    """A whole number past what the column can hold stands where the largest or the smallest does, and equals none."""
    if type(value) is not int or not isinstance(column.type, Integer):
        return value
    most = 2**63 - 1 if isinstance(column.type, BigInteger) else 2**31 - 1
    return max(-most, min(value, most))
