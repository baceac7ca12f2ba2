"""The words of an export: what is wished, what its rows hold, what is kept of it, and the protocols at its seams."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from auth.caller import Caller
from engine.errors import Code, Fault


class Format(StrEnum):
    CSV = "CSV"
    JSONL = "JSONL"
    PARQUET = "PARQUET"
    ARROW = "ARROW"


class State(StrEnum):
    """How an export ended."""

    DONE = "DONE"
    REFUSED = "REFUSED"
    """Its caller may not have it, or no longer."""
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be exported, as the caller wrote it."""

    text: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    operation: str | None = None
    format: Format
    all_or_nothing: bool = False
    """Refused where any of it is withheld."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of the files: the response keys that lead to it from a row, joined by `.`."""

    name: str
    path: tuple[str, ...]
    scalar: str
    """The scalar or the enum of its values; empty where they are rows themselves."""
    many: bool = False
    """A list of such values."""
    members: tuple[str, ...] = ()
    """Of an enum, its names."""
    inner: tuple["Column", ...] = ()
    """Of a list of rows, the columns of those."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """What was asked for and is in no file, with the reason."""

    name: str
    reason: str
    position: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A part of the rows, by the cursors between which they lie; exported on its own."""

    number: int
    after: str | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """An export as it was started; never changed afterwards."""

    id: str
    person: str
    key_id: str
    started: str
    wish: Wish
    columns: tuple[Column, ...]
    left_out: tuple[LeftOut, ...]
    ranges: tuple[Range, ...]
    rows: int | None = None
    """About how many rows there are to come; None: nobody counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One file that is whole and durable. A line of its range's manifest."""

    range: int
    number: int
    rows: int
    bytes: int
    sha256: str
    cursor: str | None
    """Of its last row: where the next part begins."""
    last: bool
    """Nothing follows in its range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What came of an export; the first word is the last."""

    state: State
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file as it is downloaded: the parts that it is made of, in order."""

    name: str
    media: str
    rows: int
    bytes: int
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """An export that ended. Files there are only of one that is DONE."""

    id: str
    state: State
    reason: str | None
    rows: int
    files: tuple[File, ...]
    left_out: tuple[LeftOut, ...]


class Stopped(Exception):
    """The export ends here, in this state."""

    def __init__(self, state: State, reason: str) -> None:
        super().__init__(reason)
        self.state = state
        self.reason = reason


class Work(Protocol):
    """Who runs an export, and what they are told of it meanwhile."""

    async def caller(self) -> Caller | None:
        """Who started it, as the key stands now, with the groups they are in now; None: the key opens no more."""
        ...

    def cancelled(self) -> bool:
        """Whether nobody wants it any more."""
        ...

    async def progress(self, rows: int, of: int | None) -> None:
        """How many rows are durable, all ranges counted; `of` as in `Stated.rows`."""
        ...


class Store(Protocol):
    """Where exports are kept. Whatever stops a process at any point, what a manifest names is whole, and nothing else
    is believed."""

    def state(self, stated: Stated) -> bool:
        """Keeps it; False where this id was stated before."""
        ...

    def stated(self, id: str) -> Stated | None: ...

    def claim(self, id: str, number: int) -> AbstractContextManager[bool]:
        """Whether this range is ours while the context lasts: one process at a time, and none that died."""
        ...

    def parts(self, id: str, number: int) -> Sequence[Part]:
        """What the manifest of a range names, in order."""
        ...

    def sweep(self, id: str, number: int) -> None:
        """Removes what no manifest names; only of a range that is ours."""
        ...

    def fresh(self, id: str, number: int) -> Path:
        """A file of this machine to write the next part of a range to."""
        ...

    def keep(self, id: str, part: Part, written: Path) -> None:
        """Returns once the part and its line are durable."""
        ...

    def end(self, id: str, ending: Ending) -> Ending:
        """The ending that stands: this one, or the one that came first."""
        ...

    def ended(self, id: str) -> Ending | None: ...

    def forget(self, before: datetime) -> None:
        """Removes the exports that were started before then."""
        ...

    def read(self, id: str, part: Part) -> AsyncIterator[bytes]:
        """The bytes of a part as they were kept; raises Stopped (FAILED) where they are others."""
        ...


def fault(code: Code, message: str) -> Fault:
    return Fault(code=code, message=message)
