"""The words of changing: what a source is told to change, what it promises to, and what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, TypeAlias, runtime_checkable

from engine.errors import Code
from engine.source import Source

Values: TypeAlias = Mapping[str, Any]
"""By column, values as a read gives them."""


class Verb(StrEnum):
    """What is done to one row."""

    CREATE = "create"
    """It was not there; else Unmade, ALREADY_EXISTS."""
    UPDATE = "update"
    """It is there; else Unmade, NOT_FOUND."""
    PUT = "put"
    """It is as given afterwards, whether it was there or not."""
    DELETE = "delete"
    """It is there, and then no more; else Unmade, NOT_FOUND."""


ROW_VERBS = (Verb.CREATE, Verb.UPDATE, Verb.DELETE)
"""What is done to rows of tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One row to change. Its id is its own for ever: the source keeps it with what it wrote, for `made` to find."""

    id: str
    collection: str
    verb: Verb
    key: Values = field(default_factory=dict)
    """The columns that name the row, each with its value; of CREATE, as far as they are not the source's to give."""
    values: Values = field(default_factory=dict)
    """New values by column; what is absent stays as it is, or is the source's default. None: no value."""
    version: str | None = None
    """The version the row must be at, else Unmade, VERSION_CONFLICT; None: any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """One change that was made: the row before and after, with all columns that its source tells cheaply.

    None: there was, or is, no such row.
    """

    before: Values | None
    after: Values | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Writes:
    """What a source promises to change in one collection."""

    verbs: Mapping[Verb, frozenset[str]]
    """By verb, the columns it may be given values for."""
    version: str | None = None
    """The column that holds a row's version, which every change makes another; None: rows have none."""
    together: bool = False
    """Several changes are made in one transaction: all, or none."""
    fenced: bool = False
    """Once `made` said that a change was not made, it cannot be made any more. Without it, one under way may be."""


class Unmade(Exception):
    """It is certain that nothing was changed. `reason` is safe to show a client."""

    def __init__(self, reason: str, code: Code = Code.BAD_USER_INPUT) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


@runtime_checkable
class Writable(Source, Protocol):
    """A source that can be changed."""

    def writes(self, collection: str) -> Writes | None:
        """What may be changed in `collection`; static, without I/O. None: nothing."""
        ...

    async def write(self, changes: Sequence[Change], *, dry: bool = False) -> Sequence[Made]:
        """All of them, or none. Dry: all is tried as far as it can be, and nothing is changed.

        Several only where `Writes.together` is said of each collection. Raises Unmade where it is certain that nothing
        was changed, and SourceFailed where that is not known. Cancelled, it may or may not have been made.
        """
        ...

    async def made(self, change: Change) -> Made | None:
        """What came of a change, however long ago it was told; None: it was not made. Raises SourceFailed."""
        ...
