"""Define what a connector implements to be read, changed and uploaded to."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol, TypeAlias, runtime_checkable

from onedoor.errors import ErrorCode
from onedoor.spi.capabilities import Capabilities, ValueType
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest


class Connector(Protocol):
    """One outside system. It is correct without any promise; promise more when it is too slow."""

    def capabilities(self, collection: str) -> Capabilities:
        """Return what a scan of `collection` may ask for, without I/O. Raises KeyError for an unknown collection."""
        ...

    def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        """Yield the rows in batches. Raises ConnectorError, and nothing else, when it cannot answer."""
        ...

    async def ping(self) -> None:
        """Make one cheap call to the far end. Raises ConnectorError when it does not answer."""
        ...

    async def close(self) -> None:
        """Release connections and threads."""
        ...


@runtime_checkable
class ExplainableConnector(Protocol):
    """A source that sends statements in a language of its own, such as SQL."""

    def statement_text(self, request: ScanRequest) -> str:
        """Return the statement for a request, with a placeholder for each value."""
        ...


@runtime_checkable
class ChangeFeed(Protocol):
    """A source that can tell cheaply which rows are new."""

    async def read_new_keys(
        self, collection: str, key: str, watermark: str | None
    ) -> tuple[str, Sequence[tuple[str, ...]]]:
        """Return a new watermark, and the keys of the rows under `key` since the old one, oldest first.

        Without a watermark, return the present one and no keys. Raises ConnectorError.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedColumns:
    """The columns that a join adds, by key, and their values for rows whose key is not found."""

    column_types: Mapping[str, ValueType]
    rows_by_key: Mapping[Row, Row]
    absent_row: Row


class SpillTable(Protocol):
    """A temporary table for rows that do not fit in memory: filled, then read, then closed.

    It takes every step of a ScanRequest but Exists, whatever the request's collection. Its methods raise
    ConnectorError and nothing else: LIMIT_EXCEEDED where the rows do not fit in the spill database either.
    """

    async def append_rows(self, rows: Sequence[Row]) -> None:
        """Add rows, their values in the order of the columns that the table was opened with."""
        ...

    async def join(self, local_columns: Sequence[str], joined: JoinedColumns) -> None:
        """Add columns to each row by its key; call it after the last append and before the first scan."""
        ...

    def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        """Read the table as a connector is read; several scans may run at once, after the last append."""
        ...

    async def close(self) -> None:
        """Drop the table; call it whatever happened, but not during a scan."""
        ...


RowValues: TypeAlias = Mapping[str, Any]
"""By column, values as a scan gives them."""


class ChangeKind(StrEnum):
    """How one row is changed."""

    CREATE = "create"
    """The row must not exist, else ChangeRejected with ALREADY_EXISTS."""
    UPDATE = "update"
    """The row must exist, else ChangeRejected with NOT_FOUND."""
    PUT = "put"
    """The row is replaced or created."""
    DELETE = "delete"
    """The row must exist, else ChangeRejected with NOT_FOUND."""


TABLE_CHANGE_KINDS = (ChangeKind.CREATE, ChangeKind.UPDATE, ChangeKind.DELETE)
"""How rows of tables are changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChange:
    """Change one row. The source stores the id, unique for ever, with what it writes, for `find_change` to find."""

    id: str
    collection: str
    kind: ChangeKind
    key: RowValues = field(default_factory=dict)
    """The columns that identify the row; for CREATE, those that the source does not assign itself."""
    values: RowValues = field(default_factory=dict)
    """New values by column; absent columns keep their value or get the source's default. None: no value."""
    version: str | None = None
    """The version the row must have, else ChangeRejected with VERSION_CONFLICT; None: any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeResult:
    """The row before and after a change, with all columns that the source returns cheaply; None: no such row."""

    before: RowValues | None
    after: RowValues | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteCapabilities:
    """What a source promises of changes to one collection."""

    settable_columns: Mapping[ChangeKind, frozenset[str]]
    """By kind, the columns that values may be given for."""
    version_column: str | None = None
    """The column of a row's version, which every change replaces; None: rows have no version."""
    transactional: bool = False
    """Whether several changes are made in one transaction: all of them or none."""
    fenced: bool = False
    """Whether a change that `find_change` did not find can never happen any more; otherwise one under way still may."""


class ChangeRejected(Exception):
    """Nothing was changed, for certain. `reason` is safe to show to a client."""

    def __init__(self, reason: str, code: ErrorCode = ErrorCode.BAD_USER_INPUT) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


@runtime_checkable
class WritableConnector(Connector, Protocol):
    """A source that can be changed."""

    def write_capabilities(self, collection: str) -> WriteCapabilities | None:
        """Return what may be changed in `collection`, without I/O; None: nothing."""
        ...

    async def apply(self, changes: Sequence[RowChange], *, dry_run: bool = False) -> Sequence[ChangeResult]:
        """Make all of the changes or none; in a dry run, try them as far as possible and change nothing.

        There are several only where each collection is `transactional`. Raises ChangeRejected where nothing was
        changed for certain, and ConnectorError where that is unknown, as it is after a cancellation.
        """
        ...

    async def find_change(self, change: RowChange) -> ChangeResult | None:
        """Return the result of a change, however old; None: it was not made. Raises ConnectorError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRequest:
    """One file to be uploaded; its `change_id` is stored with it like that of any change."""

    change_id: str
    collection: str
    key: RowValues
    size: int
    """In bytes, exactly."""
    content_type: str
    valid_seconds: int
    """How long the address is to be valid; the source may make it less."""
    replace: bool = False
    """Whether a file of this key may exist already and be replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadStep:
    """One HTTP call of an upload, its body the `length` bytes of the file from `offset`; steps are made in order."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str]
    offset: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadAddress:
    """Allow whoever has it to upload one file, and nothing else."""

    id: str | None
    """The id of the file; None where the store assigns it with the upload."""
    steps: tuple[UploadStep, ...]
    expires_at: datetime
    is_bounded: bool
    """Whether the store itself refuses another size or type."""


@runtime_checkable
class UploadTarget(Connector, Protocol):
    """A source that clients can upload to directly."""

    async def upload_address(self, request: UploadRequest) -> UploadAddress | None:
        """Return an address, or None where uploads are impossible. Raises ChangeRejected or ConnectorError."""
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
