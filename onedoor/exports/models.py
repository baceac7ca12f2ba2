"""Define what an export is, the protocols of its host and its store, and the JSON that a store keeps.

The keys of that JSON never change: exports under way were begun with them.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import orjson

from auth.authentication import Principal


class Format(StrEnum):
    """What kind of files an export writes."""

    CSV = "CSV"
    JSONL = "JSONL"
    PARQUET = "PARQUET"
    ARROW = "ARROW"


class ExportState(StrEnum):
    """How an export ended."""

    DONE = "DONE"
    REFUSED = "REFUSED"
    """Whoever started it may not have it, or not any more."""
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """A request to export the rows of one list."""

    text: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    operation: str | None = None
    format: Format
    all_or_nothing: bool = False
    """Refuse the export where any requested field is denied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportColumn:
    """One column of the files."""

    name: str
    """The path, joined by `.`."""
    path: tuple[str, ...]
    """The response keys that lead from a row to the value."""
    scalar: str
    """The name of the scalar or enum of its values; empty for a list of rows."""
    is_list: bool = False
    enum_members: tuple[str, ...] = ()
    item_columns: tuple["ExportColumn", ...] = ()
    """The columns of the rows in a list of rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OmittedColumn:
    """A requested field that is in no file, and the reason."""

    name: str
    reason: str
    position: str
    """The schema coordinate of the field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRange:
    """The rows between two cursors, which are exported on their own. None: from the first row, or to the last."""

    number: int
    after: str | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportPlan:
    """An export as it was started. It never changes."""

    id: str
    person: str
    key_id: str
    started: str
    request: ExportRequest
    columns: tuple[ExportColumn, ...]
    omitted_columns: tuple[OmittedColumn, ...]
    ranges: tuple[KeyRange, ...]
    rows: int | None = None
    """About how many rows will be exported; None: not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportPart:
    """One file that is whole and durable: a line of its range's manifest."""

    range_number: int
    number: int
    rows: int
    bytes: int
    sha256: str
    cursor: str | None
    """The cursor of its last row, after which the next part begins."""
    is_last: bool
    """No row of its range follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportResult:
    """How an export ended. The first result that is stored stands."""

    state: ExportState
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFile:
    """One file as it is downloaded: its parts, one after the other."""

    name: str
    media_type: str
    rows: int
    bytes: int
    parts: tuple[ExportPart, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSummary:
    """An export that has ended. Only one that is DONE has files."""

    id: str
    state: ExportState
    reason: str | None
    rows: int
    files: tuple[ExportFile, ...]
    omitted_columns: tuple[OmittedColumn, ...]


class ExportStopped(Exception):
    """The export ends in this state, for a reason that may be shown."""

    def __init__(self, state: ExportState, reason: str) -> None:
        super().__init__(reason)
        self.state = state
        self.reason = reason


class ExportHost(Protocol):
    """Whatever runs an export, such as a job."""

    async def load_principal(self) -> Principal | None:
        """Return who started the export, with their present groups; None: their key or their account is not valid."""
        ...

    def is_cancelled(self) -> bool:
        """Return whether the export is to end now."""
        ...

    async def report_progress(self, rows: int, total: int | None) -> None:
        """Report how many rows of all ranges are durable; `total` is `ExportPlan.rows`."""
        ...


class ExportStore(Protocol):
    """Where exports are stored.

    Whatever stops a process at any point, the parts that a manifest names are whole, and only those are read.
    """

    def add_plan(self, plan: ExportPlan) -> bool:
        """Store the plan; False where there is one with this id."""
        ...

    def load_plan(self, id: str) -> ExportPlan | None: ...

    def claim_range(self, id: str, number: int) -> AbstractContextManager[bool]:
        """Hold the range during the context, or give False: one process holds it, and none that has died."""
        ...

    def list_parts(self, id: str, number: int) -> Sequence[ExportPart]:
        """Return the parts that the range's manifest names, in order."""
        ...

    def sweep_range(self, id: str, number: int) -> None:
        """Remove what the manifest does not name; only for whoever holds the range."""
        ...

    def new_part_path(self, id: str, number: int) -> Path:
        """Return a local path to write the next part of the range to."""
        ...

    def add_part(self, id: str, part: ExportPart, written: Path) -> None:
        """Return once the part and its line in the manifest are durable."""
        ...

    def add_result(self, id: str, result: ExportResult) -> ExportResult:
        """Store how the export ended and return the result that stands: this one, or the one that came first."""
        ...

    def load_result(self, id: str) -> ExportResult | None: ...

    def delete_before(self, before: datetime) -> None:
        """Remove the exports that were started before then, finished or not."""
        ...

    def read_part(self, id: str, part: ExportPart) -> AsyncIterator[bytes]:
        """Yield the bytes of a part. Raises ExportStopped (FAILED) where they are not the ones that were written."""
        ...


def encode_plan(plan: ExportPlan) -> bytes:
    return orjson.dumps(
        {
            "id": plan.id,
            "person": plan.person,
            "key_id": plan.key_id,
            "started": plan.started,
            "wish": _encode_request(plan.request),
            "columns": list(map(_encode_column, plan.columns)),
            "left_out": list(map(_encode_omitted_column, plan.omitted_columns)),
            "ranges": list(map(_encode_range, plan.ranges)),
            "rows": plan.rows,
        }
    )


def parse_plan(text: bytes) -> ExportPlan:
    members = orjson.loads(text)
    return ExportPlan(
        id=members["id"],
        person=members["person"],
        key_id=members["key_id"],
        started=members["started"],
        request=_parse_request(members["wish"]),
        columns=tuple(map(_parse_column, members["columns"])),
        omitted_columns=tuple(map(_parse_omitted_column, members["left_out"])),
        ranges=tuple(map(_parse_range, members["ranges"])),
        rows=members["rows"],
    )


def encode_part(part: ExportPart) -> bytes:
    return orjson.dumps(
        {
            "range": part.range_number,
            "number": part.number,
            "rows": part.rows,
            "bytes": part.bytes,
            "sha256": part.sha256,
            "cursor": part.cursor,
            "last": part.is_last,
        }
    )


def parse_part(line: bytes) -> ExportPart:
    members = orjson.loads(line)
    return ExportPart(
        range_number=members["range"],
        number=members["number"],
        rows=members["rows"],
        bytes=members["bytes"],
        sha256=members["sha256"],
        cursor=members["cursor"],
        is_last=members["last"],
    )


def encode_result(result: ExportResult) -> bytes:
    return orjson.dumps({"state": str(result.state), "reason": result.reason})


def parse_result(text: bytes) -> ExportResult:
    members = orjson.loads(text)
    return ExportResult(state=ExportState(members["state"]), reason=members["reason"])


def _encode_request(request: ExportRequest) -> dict[str, Any]:
    return {
        "text": request.text,
        "variables": request.variables,
        "operation": request.operation,
        "format": str(request.format),
        "all_or_nothing": request.all_or_nothing,
    }


def _parse_request(members: Mapping[str, Any]) -> ExportRequest:
    return ExportRequest(
        text=members["text"],
        variables=members["variables"],
        operation=members["operation"],
        format=Format(members["format"]),
        all_or_nothing=members["all_or_nothing"],
    )


def _encode_column(column: ExportColumn) -> dict[str, Any]:
    return {
        "name": column.name,
        "path": column.path,
        "scalar": column.scalar,
        "many": column.is_list,
        "members": column.enum_members,
        "inner": list(map(_encode_column, column.item_columns)),
    }


def _parse_column(members: Mapping[str, Any]) -> ExportColumn:
    return ExportColumn(
        name=members["name"],
        path=tuple(members["path"]),
        scalar=members["scalar"],
        is_list=members["many"],
        enum_members=tuple(members["members"]),
        item_columns=tuple(map(_parse_column, members["inner"])),
    )


def _encode_omitted_column(column: OmittedColumn) -> dict[str, Any]:
    return {"name": column.name, "reason": column.reason, "position": column.position}


def _parse_omitted_column(members: Mapping[str, Any]) -> OmittedColumn:
    return OmittedColumn(name=members["name"], reason=members["reason"], position=members["position"])


def _encode_range(key_range: KeyRange) -> dict[str, Any]:
    return {"number": key_range.number, "after": key_range.after, "before": key_range.before}


def _parse_range(members: Mapping[str, Any]) -> KeyRange:
    return KeyRange(number=members["number"], after=members["after"], before=members["before"])
