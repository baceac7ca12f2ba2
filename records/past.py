"""What is wanted of history in, its rows out. Blocks: `records.ledger` calls it in threads."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from sqlalchemy import Connection, and_, false, func, not_, or_, select, text, true

from auth.state import State as Store
from records.intents import Left
from records.tables import change

TESTED = frozenset({"id", "at", "person", "verb", "mutation", "state", "record", "row"})
"""What can be tested and ordered by: columns that every change has a value in."""
COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    "lt": operator.lt,
    "gt": operator.gt,
    "eq": operator.eq,
    "gte": operator.ge,
    "never": lambda *_: false(),
}
UNHELD = {"lt": "lt", "gt": "gte", "eq": "never"}
"""Of a text that cannot be kept: the same of the first past it that can."""
Condition: TypeAlias = Any
"""SQLAlchemy's."""
JOINED: Mapping[str, Callable[..., Any]] = {"all": and_, "some": or_}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Changes of one type, at most `most`, past `after`, which has a value for each column of the order."""

    type: str
    among: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """By column, the values that it has one of."""
    where: tuple[Any, ...] = ("all", ())
    """`("all" | "some", tests)`, `("not", test)` or `(operator, column, value)`."""
    order: tuple[tuple[str, bool], ...] = (("id", False),)
    """Of TESTED, the last of them `id`, and whether it goes down."""
    after: tuple[Any, ...] | None = None
    most: int = 1000


def left(store: Store, wanted: Wanted) -> tuple[Left, ...]:
    with store.reading() as connection:
        asked = select(change).where(*_met(connection, wanted))
        if wanted.after is not None:
            asked = asked.where(_beyond(connection, wanted.order, wanted.after))
        order = [_by(connection, name).desc() if down else _by(connection, name) for name, down in wanted.order]
        rows = connection.execute(asked.order_by(*order).limit(wanted.most)).mappings()
        return tuple(Left.from_row(row) for row in rows)


def counted(store: Store, wanted: Wanted, by: Sequence[str]) -> tuple[tuple[Any, ...], ...]:
    """How many there are with the same values of these columns, which come first; of no columns, one row."""
    columns = [change.c[each] for each in by]
    with store.reading() as connection:
        asked = select(*columns, func.count()).where(*_met(connection, wanted)).group_by(*columns)
        return tuple(tuple(row) for row in connection.execute(asked))


def _met(connection: Connection, wanted: Wanted) -> list[Condition]:
    among = [met(connection, ("in", name, values)) for name, values in wanted.among.items()]
    return [change.c.type == wanted.type, met(connection, wanted.where), *among]


def met(connection: Connection, where: tuple[Any, ...]) -> Condition:
    said, *given = where
    if said in JOINED:
        start = true() if said == "all" else false()
        return JOINED[said](start, *(met(connection, each) for each in given[0]))
    if said == "not":
        return not_(met(connection, given[0]))
    name, value = given
    if said == "isNull":
        return false() if value else true()
    if said == "in":
        return change.c[name].in_([each for each in value if _holds(each)])
    if not _holds(value):
        said, value = UNHELD[said], _first_past(value)
    return COMPARE[said](_by(connection, name), value)


def _beyond(connection: Connection, order: Sequence[tuple[str, bool]], after: Sequence[Any]) -> Condition:
    parts: tuple[Any, ...] = ()
    same: tuple[Any, ...] = ()
    for (name, down), value in zip(order, after, strict=True):
        parts = (*parts, ("all", (*same, ("lt" if down else "gt", name, value))))
        same = (*same, ("eq", name, value))
    return met(connection, ("some", parts))


def _by(connection: Connection, name: str) -> Any:
    """Text by code point, whatever a database is wont to."""
    column = change.c[name]
    return column.collate("C") if connection.dialect.name == "postgresql" and name != "at" else column


def _holds(value: Any) -> bool:
    return not isinstance(value, str) or keepable(value)


def _first_past(value: str) -> str:
    at = next(place for place, each in enumerate(value) if not keepable(each))
    return value[:at] + ("\x01" if value[at] == "\0" else "\ue000")


def keepable(value: str) -> bool:
    """Whether a database can hold it as text: no NUL in it, nor half a surrogate pair."""
    return kept(value) == value


def kept(value: str) -> str:
    """The text as it is kept, with a mark in place of what cannot be."""
    return value.encode(errors="replace").decode().replace("\0", "\ufffd")


def ping(store: Store) -> None:
    with store.reading() as connection:
        connection.execute(text("SELECT 1"))
