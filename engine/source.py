"""What the engine needs of a source, and of a scratch table: the protocols at its seams."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from engine.words import Ask, Can, Kind, Row


class Source(Protocol):
    """One outside system. Correct with an empty promise; promise more when it is too slow."""

    def can(self, collection: str) -> Can:
        """What may be asked of `collection`; static, without I/O. KeyError: there is no such collection."""
        ...

    def read(self, ask: Ask) -> AsyncIterator[Sequence[Row]]:
        """The rows, a batch at a time. Raises engine.errors.SourceFailed, and nothing else, when it cannot answer."""
        ...

    async def ping(self) -> None:
        """One cheap question to the far end; raises SourceFailed when it does not answer."""
        ...

    async def close(self) -> None:
        """Gives back connections and threads."""
        ...


@runtime_checkable
class Explains(Protocol):
    """A source that can say in words how it is asked; not every source can."""

    def text(self, ask: Ask) -> str:
        """The statement of an ask, a mark in place of each value."""
        ...


@runtime_checkable
class Tells(Protocol):
    """A source that can say cheaply which rows are new; not every source can."""

    async def newer(self, collection: str, key: str, mark: str | None) -> tuple[str, Sequence[tuple[str, ...]]]:
        """Of the rows under `key`, the keys of those that came after the mark, oldest first, and the mark they leave.

        Without a mark, the mark there is now, and no keys. Raises SourceFailed.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Beyond:
    """What lies where a link leads, by key: values of these columns, and those of rows whose key leads nowhere."""

    kinds: Mapping[str, Kind]
    rows: Mapping[Row, Row]
    absent: Row


class Scratch(Protocol):
    """One table of our own for rows that outgrow memory: poured, then read, then closed; nothing is left of it.

    Takes every step of an `Ask` but `Exists`; its collection is not looked at. Each raises SourceFailed, and nothing
    else: LIMIT_EXCEEDED where the rows outgrow the scratch database, too.
    """

    async def pour(self, rows: Sequence[Row]) -> None:
        """More rows, their values in the order of the columns it was opened with."""
        ...

    async def join(self, here: Sequence[str], beyond: Beyond) -> None:
        """Adds to each row what lies beyond the key it has `here`; once all is poured, and while nothing is read."""
        ...

    def read(self, ask: Ask) -> AsyncIterator[Sequence[Row]]:
        """As a source is read; several reads may be under way, once all is poured."""
        ...

    async def close(self) -> None:
        """To be called whatever happened; not while it is being read."""
        ...
