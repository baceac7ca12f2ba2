"""ExportRequest, Column, Part, protocols; JSON."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import orjson

from auth.authentication import Principal
from onedoor.errors import ErrorCode, GraphQLErrorInfo


class Format(StrEnum):
    CSV = "CSV"
    JSONL = "JSONL"
    PARQUET = "PARQUET"
    ARROW = "ARROW"


class ExportState(StrEnum):
    """How an export ended."""

    DONE = "DONE"
    REFUSED = "REFUSED"
    """Its caller may not have it, or no longer."""
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """What is to be exported, as the caller wrote it."""

    text: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    operation: str | None = None
    format: Format
    all_or_nothing: bool = False
    """Refused where any of it is withheld."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportColumn:
    """One column of the files: the response keys that lead to it from a row, joined by `.`."""

    name: str
    path: tuple[str, ...]
    scalar: str
    """The scalar or the enum of its values; empty where they are rows themselves."""
    many: bool = False
    """A list of such values."""
    members: tuple[str, ...] = ()
    """Of an enum, its names."""
    inner: tuple["ExportColumn", ...] = ()
    """Of a list of rows, the columns of those."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OmittedColumn:
    """What was asked for and is in no file, with the reason."""

    name: str
    reason: str
    position: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRange:
    """A part of the rows, by the cursors between which they lie; exported on its own."""

    number: int
    after: str | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportPlan:
    """An export as it was started; never changed afterwards."""

    id: str
    person: str
    key_id: str
    started: str
    wish: ExportRequest
    columns: tuple[ExportColumn, ...]
    left_out: tuple[OmittedColumn, ...]
    ranges: tuple[KeyRange, ...]
    rows: int | None = None
    """About how many rows there are to come; None: nobody counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportPart:
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
class ExportResult:
    """What came of an export; the first word is the last."""

    state: ExportState
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFile:
    """One file as it is downloaded: the parts that it is made of, in order."""

    name: str
    media_type: str
    rows: int
    bytes: int
    parts: tuple[ExportPart, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSummary:
    """An export that ended. Files there are only of one that is DONE."""

    id: str
    state: ExportState
    reason: str | None
    rows: int
    files: tuple[ExportFile, ...]
    left_out: tuple[OmittedColumn, ...]


class ExportStopped(Exception):
    """The export ends here, in this state."""

    def __init__(self, state: ExportState, reason: str) -> None:
        super().__init__(reason)
        self.state = state
        self.reason = reason


class ExportHost(Protocol):
    """Who runs an export, and what they are told of it meanwhile."""

    async def load_principal(self) -> Principal | None:
        """Who started it, as the key stands now, with the groups they are in now; None: the key opens no more."""
        ...

    def is_cancelled(self) -> bool:
        """Whether nobody wants it any more."""
        ...

    async def report_progress(self, rows: int, total: int | None) -> None:
        """How many rows are durable, all ranges counted; `of` as in `Stated.rows`."""
        ...


class ExportStore(Protocol):
    """Where exports are kept. Whatever stops a process at any point, what a manifest names is whole, and nothing else
    is believed."""

    def add_plan(self, plan: ExportPlan) -> bool:
        """Keeps it; False where this id was stated before."""
        ...

    def load_plan(self, id: str) -> ExportPlan | None: ...

    def claim_range(self, id: str, number: int) -> AbstractContextManager[bool]:
        """Whether this range is ours while the context lasts: one process at a time, and none that died."""
        ...

    def list_parts(self, id: str, number: int) -> Sequence[ExportPart]:
        """What the manifest of a range names, in order."""
        ...

    def sweep_range(self, id: str, number: int) -> None:
        """Removes what no manifest names; only of a range that is ours."""
        ...

    def new_part_path(self, id: str, number: int) -> Path:
        """A file of this machine to write the next part of a range to."""
        ...

    def keep_part(self, id: str, part: ExportPart, written: Path) -> None:
        """Returns once the part and its line are durable."""
        ...

    def add_result(self, id: str, result: ExportResult) -> ExportResult:
        """The ending that stands: this one, or the one that came first."""
        ...

    def load_result(self, id: str) -> ExportResult | None: ...

    def delete_before(self, before: datetime) -> None:
        """Removes the exports that were started before then."""
        ...

    def read_part(self, id: str, part: ExportPart) -> AsyncIterator[bytes]:
        """The bytes of a part as they were kept; raises Stopped (FAILED) where they are others."""
        ...


def build_export_error(code: ErrorCode, message: str) -> GraphQLErrorInfo:
    return GraphQLErrorInfo(code=code, message=message)


def encode_export_json(value: ExportPlan | ExportPart | ExportResult) -> bytes:
    match value:
        case ExportPlan():
            return orjson.dumps(_stated_json(value))
        case ExportPart():
            return orjson.dumps(_part_json(value))
        case ExportResult():
            return orjson.dumps({"state": str(value.state), "reason": value.reason})


def parse_plan(line: bytes) -> ExportPlan:
    given = orjson.loads(line)
    return ExportPlan(
        id=given["id"],
        person=given["person"],
        key_id=given["key_id"],
        started=given["started"],
        wish=_wish(given["wish"]),
        columns=tuple(map(_parse_column, given["columns"])),
        left_out=tuple(map(_left_out, given["left_out"])),
        ranges=tuple(map(_range, given["ranges"])),
        rows=given["rows"],
    )


def parse_part(line: bytes) -> ExportPart:
    given = orjson.loads(line)
    return ExportPart(
        range=given["range"],
        number=given["number"],
        rows=given["rows"],
        bytes=given["bytes"],
        sha256=given["sha256"],
        cursor=given["cursor"],
        last=given["last"],
    )


def parse_result(line: bytes) -> ExportResult:
    given = orjson.loads(line)
    return ExportResult(state=ExportState(given["state"]), reason=given["reason"])


def _stated_json(stated: ExportPlan) -> dict[str, Any]:
    return {
        "id": stated.id,
        "person": stated.person,
        "key_id": stated.key_id,
        "started": stated.started,
        "wish": _wish_json(stated.wish),
        "columns": list(map(_column_json, stated.columns)),
        "left_out": list(map(_left_out_json, stated.left_out)),
        "ranges": list(map(_range_json, stated.ranges)),
        "rows": stated.rows,
    }


def _part_json(part: ExportPart) -> dict[str, Any]:
    return {
        "range": part.range,
        "number": part.number,
        "rows": part.rows,
        "bytes": part.bytes,
        "sha256": part.sha256,
        "cursor": part.cursor,
        "last": part.last,
    }


def _wish_json(wish: ExportRequest) -> dict[str, Any]:
    return {
        "text": wish.text,
        "variables": wish.variables,
        "operation": wish.operation,
        "format": str(wish.format),
        "all_or_nothing": wish.all_or_nothing,
    }


def _wish(given: Mapping[str, Any]) -> ExportRequest:
    return ExportRequest(
        text=given["text"],
        variables=given["variables"],
        operation=given["operation"],
        format=Format(given["format"]),
        all_or_nothing=given["all_or_nothing"],
    )


def _column_json(column: ExportColumn) -> dict[str, Any]:
    return {
        "name": column.name,
        "path": column.path,
        "scalar": column.scalar,
        "many": column.many,
        "members": column.members,
        "inner": list(map(_column_json, column.inner)),
    }


def _parse_column(given: Mapping[str, Any]) -> ExportColumn:
    return ExportColumn(
        name=given["name"],
        path=tuple(given["path"]),
        scalar=given["scalar"],
        many=given["many"],
        members=tuple(given["members"]),
        inner=tuple(map(_parse_column, given["inner"])),
    )


def _left_out_json(left_out: OmittedColumn) -> dict[str, Any]:
    return {"name": left_out.name, "reason": left_out.reason, "position": left_out.position}


def _left_out(given: Mapping[str, Any]) -> OmittedColumn:
    return OmittedColumn(name=given["name"], reason=given["reason"], position=given["position"])


def _range_json(range: KeyRange) -> dict[str, Any]:
    return {"number": range.number, "after": range.after, "before": range.before}


def _range(given: Mapping[str, Any]) -> KeyRange:
    return KeyRange(number=given["number"], after=given["after"], before=given["before"])
