"""The words of writing: what may be changed in a table, a transaction, and what a database may have against it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from engine.change.words import Change, Made, Writes
from sources.sql.columns import Stock, Stored
from sources.sql.shape import Slot
from sources.sql.statement import Expression

MARKER = "onedoor_change"
"""The table that keeps what came of each change."""


class Sort(StrEnum):
    """What a database may have against a change, or the lack of a database."""

    UNIQUE = "unique"
    REFERENCE = "reference"
    """To a row that is not there, or from others to the one that is to go."""
    EMPTY = "empty"
    CHECK = "check"
    UNFIT = "unfit"
    """Too long, too large, or none of what the column's type has."""
    DENIED = "denied"
    BUSY = "busy"
    """Others hold what it needs, or a deadlock was ended: it may be tried again."""
    LOST = "lost"
    """The connection is gone; before the end of a transaction that undoes it."""
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A foreign key: `columns` of `table` name `there` of `to`, both collections."""

    name: str
    table: str
    columns: tuple[str, ...]
    to: str
    there: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """`columns` and `reference` as far as the database names them; `key` is the name of a unique one."""

    sort: Sort
    columns: tuple[str, ...] = ()
    key: str = ""
    reference: Reference | None = None


class Objected(Exception):
    """A statement of a transaction failed; all of it is undone."""

    def __init__(self, objection: Objection) -> None:
        super().__init__(objection.sort)
        self.objection = objection


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a database tells of all its tables: by table their keys and their columns' types, and what is computed.

    `unique`: by table and name of a key, its columns.
    """

    keys: Mapping[str, tuple[str, ...]]
    types: Mapping[str, Mapping[str, str]]
    computed: frozenset[tuple[str, str]]
    references: tuple[Reference, ...]
    unique: Mapping[tuple[str, str], tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A table that may be changed. `types` are its columns' types as it was declared with."""

    name: str
    stock: Stock
    key: tuple[str, ...]
    writes: Writes
    types: Mapping[str, str]

    @property
    def version(self) -> str | None:
        return self.writes.version


class Told(NamedTuple):
    """What came of a statement: its rows, how many it changed or gave, and the number it made for a new row."""

    rows: Sequence[Sequence[Any]]
    changed: int = 0
    number: int = 0


class Session(Protocol):
    """One transaction. Each method raises Objected, and nothing else."""

    async def run(self, sql: str, values: Sequence[Any]) -> Told: ...

    async def commit(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """What each kind of database says in its own way."""

    session: Callable[[], AbstractAsyncContextManager[Session]]
    """Begins a transaction, which is undone at its end unless it was committed. Raises Objected."""
    locked: str
    """Stands behind a read of a row that is about to be changed."""
    claim: Any
    """An insertion of the id `v0` into the marker table that leaves a row that is there as it is, and counts none."""
    returning: bool
    """An insertion gives the columns that the database has filled in; without it, the one number it made."""
    given: Callable[[Slot, Stored, str], Expression]
    """A value as it is stored in a column of a declared type."""
    checked: Callable[[Session, Sequence[Change], Sequence[Made]], Awaitable[None]]
    """Has the database say now what it would have against a commit."""
    close: Callable[[], Awaitable[None]]
    unique: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    """By table and name, the columns of unique keys that the database tells by their names alone."""
