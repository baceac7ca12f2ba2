"""Connector, WritableConnector, UploadTarget protocols."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, TypeAlias, runtime_checkable

from onedoor.errors import ErrorCode
from onedoor.spi.capabilities import Capabilities, ColumnType
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest


class Connector(Protocol):
    """One outside system. Correct with an empty promise; promise more when it is too slow."""

    def capabilities(self, collection: str) -> Capabilities:
        """What may be asked of `collection`; static, without I/O. KeyError: there is no such collection."""
        ...

    def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        """The rows, a batch at a time. Raises engine.errors.SourceFailed, and nothing else, when it cannot answer."""
        ...

    async def ping(self) -> None:
        """One cheap question to the far end; raises SourceFailed when it does not answer."""
        ...

    async def close(self) -> None:
        """Gives back connections and threads."""
        ...


@runtime_checkable
class ExplainableConnector(Protocol):
    """A source that can say in words how it is asked; not every source can."""

    def statement_text(self, request: ScanRequest) -> str:
        """The statement of an ask, a mark in place of each value."""
        ...


@runtime_checkable
class ChangeFeed(Protocol):
    """A source that can say cheaply which rows are new; not every source can."""

    async def read_new_keys(
        self, collection: str, key: str, watermark: str | None
    ) -> tuple[str, Sequence[tuple[str, ...]]]:
        """Of the rows under `key`, the keys of those that came after the mark, oldest first, and the mark they leave.

        Without a mark, the mark there is now, and no keys. Raises SourceFailed.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedColumns:
    """What lies where a link leads, by key: values of these columns, and those of rows whose key leads nowhere."""

    column_types: Mapping[str, ColumnType]
    rows_by_key: Mapping[Row, Row]
    absent_row: Row


class SpillTable(Protocol):
    """One table of our own for rows that outgrow memory: poured, then read, then closed; nothing is left of it.

    Takes every step of an `Ask` but `Exists`; its collection is not looked at. Each raises SourceFailed, and nothing
    else: LIMIT_EXCEEDED where the rows outgrow the scratch database, too.
    """

    async def append_rows(self, rows: Sequence[Row]) -> None:
        """More rows, their values in the order of the columns it was opened with."""
        ...

    async def join(self, local_columns: Sequence[str], joined: JoinedColumns) -> None:
        """Adds to each row what lies beyond the key it has `here`; once all is poured, and while nothing is read."""
        ...

    def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        """As a source is read; several reads may be under way, once all is poured."""
        ...

    async def close(self) -> None:
        """To be called whatever happened; not while it is being read."""
        ...


RowValues: TypeAlias = Mapping[str, Any]
"""By column, values as a read gives them."""


class ChangeKind(StrEnum):
    """What is done to one row."""

    CREATE = "create"
    """It was not there; else Unmade, ALREADY_EXISTS."""
    UPDATE = "update"
    """It is there; else Unmade, NOT_FOUND."""
    PUT = "put"
    """It is as given afterwards, whether it was there or not."""
    DELETE = "delete"
    """It is there, and then no more; else Unmade, NOT_FOUND."""


TABLE_CHANGE_KINDS = (ChangeKind.CREATE, ChangeKind.UPDATE, ChangeKind.DELETE)
"""What is done to rows of tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChange:
    """One row to change. Its id is its own for ever: the source keeps it with what it wrote, for `made` to find."""

    id: str
    collection: str
    kind: ChangeKind
    key: RowValues = field(default_factory=dict)
    """The columns that name the row, each with its value; of CREATE, as far as they are not the source's to give."""
    values: RowValues = field(default_factory=dict)
    """New values by column; what is absent stays as it is, or is the source's default. None: no value."""
    version: str | None = None
    """The version the row must be at, else Unmade, VERSION_CONFLICT; None: any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeResult:
    """One change that was made: the row before and after, with all columns that its source tells cheaply.

    None: there was, or is, no such row.
    """

    before: RowValues | None
    after: RowValues | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteCapabilities:
    """What a source promises to change in one collection."""

    settable_columns: Mapping[ChangeKind, frozenset[str]]
    """By verb, the columns it may be given values for."""
    version_column: str | None = None
    """The column that holds a row's version, which every change makes another; None: rows have none."""
    transactional: bool = False
    """Several changes are made in one transaction: all, or none."""
    fenced: bool = False
    """Once `made` said that a change was not made, it cannot be made any more. Without it, one under way may be."""


class ChangeRejected(Exception):
    """It is certain that nothing was changed. `reason` is safe to show a client."""

    def __init__(self, reason: str, code: ErrorCode = ErrorCode.BAD_USER_INPUT) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


@runtime_checkable
class WritableConnector(Connector, Protocol):
    """A source that can be changed."""

    def write_capabilities(self, collection: str) -> WriteCapabilities | None:
        """What may be changed in `collection`; static, without I/O. None: nothing."""
        ...

    async def apply(self, changes: Sequence[RowChange], *, dry_run: bool = False) -> Sequence[ChangeResult]:
        """All of them, or none. Dry: all is tried as far as it can be, and nothing is changed.

        Several only where `Writes.together` is said of each collection. Raises Unmade where it is certain that nothing
        was changed, and SourceFailed where that is not known. Cancelled, it may or may not have been made.
        """
        ...

    async def find_change(self, change: RowChange) -> ChangeResult | None:
        """What came of a change, however long ago it was told; None: it was not made. Raises SourceFailed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRequest:
    """One file to come. `change`: an id of its own, kept with the file as that of any change is."""

    change_id: str
    collection: str
    key: RowValues
    size: int
    """Bytes, exactly."""
    content_type: str
    valid_seconds: int
    """How long the address is to be good for; the source may give less."""
    replace: bool = False
    """It may be there already; else the store refuses to write over a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadStep:
    """One call to make, in plain HTTP, in the order of the steps: octets `first` to `first + length` are its body."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str]
    offset: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadAddress:
    """Opens one file to whoever holds it, and nothing else."""

    id: str | None
    """The file's, None where its store gives it one only then."""
    steps: tuple[UploadStep, ...]
    expires_at: datetime
    is_bounded: bool
    """The store itself refuses another size or type; else they are what was asked for, and no more."""


@runtime_checkable
class UploadTarget(Connector, Protocol):
    """A source that can be uploaded to past us."""

    async def upload_address(self, request: UploadRequest) -> UploadAddress | None:
        """None: it has none to give. Raises Unmade: what is asked for cannot be; SourceFailed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorKind:
    """What the module of a connector's kind exports: how its settings are read and how it is opened."""

    options: type[Any]
    """A frozen dataclass; its fields are the settings of `[sources.<name>]`."""
    connect: Callable[..., Awaitable[Any]]
    """Takes the options, and rate limiters where there are `quotas`. Raises ValueError for impossible options."""
    quotas: Mapping[str, int] | None = None
    """By what is called, how many calls a minute the far end grants; None: the connector limits nothing itself."""
