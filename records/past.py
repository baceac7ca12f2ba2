"""What is wanted of history in, its rows out. Blocks: `records.ledger` calls it in threads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import select, text

from auth.state import State as Store
from records import entries
from records.intents import Left
from records.tables import change

TESTED = frozenset({"id", "row"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Changes of one type, by id: those past `after`, at most `most`, whose columns each are among the values given."""

    type: str
    among: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Of TESTED alone."""
    after: str = ""
    most: int = 1000


def left(store: Store, wanted: Wanted) -> tuple[Left, ...]:
    asked = select(change).where(change.c.type == wanted.type, change.c.id > wanted.after)
    for name, values in wanted.among.items():
        asked = asked.where(change.c[name].in_([each for each in values if keepable(each)]))
    with store.reading() as connection:
        rows = connection.execute(asked.order_by(change.c.id).limit(wanted.most)).mappings()
        return tuple(entries.left(row) for row in rows)


def keepable(value: str) -> bool:
    """Whether a database can hold it as text: no NUL in it, nor half a surrogate pair."""
    return kept(value) == value


def kept(value: str) -> str:
    """The text as it is kept, with a mark in place of what cannot be."""
    return value.encode(errors="replace").decode().replace("\0", "\ufffd")


def ping(store: Store) -> None:
    with store.reading() as connection:
        connection.execute(text("SELECT 1"))
