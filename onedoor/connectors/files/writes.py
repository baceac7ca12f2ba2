"""Create, replace, copy and delete files the same way in every store, and find a change again by its marker."""

import asyncio
import re
from base64 import b64decode
from binascii import Error as InvalidBase64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol, TypeVar

from onedoor.connectors.files.model import DEFAULT_MEDIA_TYPE, FILES_COLLECTION, get_file_name, guess_media_type
from onedoor.connectors.files.paths import explain_invalid_path, is_below
from onedoor.connectors.path_patterns import PathPattern
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.connector import (
    ChangeKind,
    ChangeRejected,
    ChangeResult,
    RowChange,
    RowValues,
    UploadAddress,
    UploadRequest,
    WriteCapabilities,
)

CONTENT_MAX_BYTES = 4 * 2**20
"""Bytes of content that come with a change; larger files are uploaded to an address."""

CONTENT_ARGUMENTS = ("content", "text", "copy_of")

WRITABLE_COLUMNS = frozenset({*CONTENT_ARGUMENTS, "content_type"})
"""`content`: base64. `text`: stored as UTF-8. `copy_of`: the id of another file of the store. A file takes one."""

FILE_WRITE_CAPABILITIES = WriteCapabilities(
    settable_columns={
        ChangeKind.CREATE: WRITABLE_COLUMNS,
        ChangeKind.PUT: WRITABLE_COLUMNS,
        ChangeKind.DELETE: frozenset(),
    },
    version_column="version",
)

MEDIA_TYPE_PATTERN = re.compile(
    r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,80}(?:; ?charset=[a-z0-9-]{1,20})?"
)

MARKER_NAME = "onedoor_changes"
"""The name of the markers in a file's metadata; Azure takes only identifiers."""

MAX_MARKERS = 12
"""Changes that a file remembers; S3 holds two thousand bytes of metadata."""

MARKER_LINE_PATTERN = re.compile(r"[0-9a-f]{32}(?:=[!-+\--~]{1,100})?(?:,[0-9a-f]{32}(?:=[!-+\--~]{1,100})?)*")

MAX_ATTEMPTS = 6

RETRY_PAUSE_SECONDS = 0.05
"""Seconds before the second attempt; each attempt after it waits so much longer."""

UPLOAD_MAX_BYTES = 2**30

UPLOAD_MAX_SECONDS = 300
"""Seconds for which an upload address is valid at most."""

StoreResult = TypeVar("StoreResult")
ParsedChange = TypeVar("ParsedChange")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileWritePolicy:
    """Whether files may be written, and below which prefixes; without prefixes, anywhere."""

    writable: bool = False
    allowed_prefixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeMarker:
    """What a change leaves with a file: a hash of the change's id, and the version before it, None for a new file."""

    change_hash: str
    previous_version: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """One file to write or delete: a write has either `content` or `copy_of`, a deletion has neither."""

    id: str
    kind: ChangeKind
    change_hash: str
    content: bytes | None = None
    copy_of: str | None = None
    content_type: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileState:
    """A file as it stands: all columns of its row, the markers of its last changes, the newest first.

    `store_details` holds what the store's own writer needs to change the file.
    """

    values: RowValues
    markers: tuple[ChangeMarker, ...] = ()
    store_details: Mapping[str, str] = field(default_factory=dict)

    @property
    def version(self) -> str:
        return str(self.values["version"])


class WriteConflict(Exception):
    """The file is no longer in the state that was read, and nothing was changed."""


class FileWriter(Protocol):
    """Write to one store.

    Every method raises ChangeRejected if nothing was changed, and ConnectorError if that is not known.
    """

    async def read_state(self, id: str) -> FileState | None: ...

    async def write_file(self, file_change: FileChange, before: FileState | None) -> RowValues:
        """Write or copy the file and return its row. Raises WriteConflict if it is no longer as `before`."""
        ...

    async def delete_file(self, file_change: FileChange, before: FileState) -> None:
        """Delete the file. Raises WriteConflict if it is no longer as `before`."""
        ...

    async def create_upload_address(
        self, file_change: FileChange, before: FileState | None, size: int, requested_seconds: int
    ) -> UploadAddress | None:
        """Return an address that takes this one file of `size` bytes, or None if the store has none to give."""
        ...

    def build_known_values(self, file_change: FileChange) -> RowValues:
        """Return what is known of the file's row without asking the store."""
        ...


def build_write_policy(*, writable: bool, allowed_prefixes: tuple[str, ...]) -> FileWritePolicy:
    """Check the prefixes that may be written. Raises ValueError for one that would open more than a folder."""
    if any(not prefix.endswith("/") or prefix.startswith("/") for prefix in allowed_prefixes):
        raise ValueError("`writable_below` must name folders, such as `customers/`")
    return FileWritePolicy(writable=writable, allowed_prefixes=allowed_prefixes)


async def apply_file_changes(
    writer: FileWriter,
    changes: Sequence[RowChange],
    parse_change: Callable[[RowChange], FileChange],
    *,
    dry_run: bool,
) -> Sequence[ChangeResult]:
    """Apply the one change, again if somebody else changes the file meanwhile.

    Raises ChangeRejected, and ConnectorError if it is not known whether the change was made.
    """
    if len(changes) != 1:
        raise ChangeRejected("files are changed one at a time", ErrorCode.CANNOT_ANSWER)
    file_change = parse_change(changes[0])
    for attempt in range(MAX_ATTEMPTS):
        await asyncio.sleep(RETRY_PAUSE_SECONDS * attempt)
        before = await read_state_before(writer, file_change)
        if dry_run:
            return [await predict_result(writer, file_change, before)]
        try:
            return [await execute_file_change(writer, file_change, before)]
        except WriteConflict:
            continue
    raise ChangeRejected("others keep changing the file; try again later", ErrorCode.VERSION_CONFLICT)


async def read_state_before(writer: FileWriter, file_change: FileChange) -> FileState | None:
    """Return the file that the change would replace. Raises ChangeRejected if its preconditions do not hold."""
    before = await await_or_reject(writer.read_state(file_change.id))
    check_preconditions(file_change, before)
    return before


async def await_or_reject(read: Awaitable[StoreResult]) -> StoreResult:
    """Await a read that comes before any write, so that its failure means that nothing was changed."""
    try:
        return await read
    except ConnectorError as failure:
        raise ChangeRejected(failure.reason, failure.code) from failure


def check_preconditions(file_change: FileChange, before: FileState | None) -> None:
    if file_change.kind is ChangeKind.CREATE and before is not None:
        raise ChangeRejected("there is a file of this name already", ErrorCode.ALREADY_EXISTS)
    if file_change.kind is ChangeKind.DELETE and before is None:
        raise ChangeRejected("there is no such file", ErrorCode.NOT_FOUND)
    if file_change.version is not None and (before is None or before.version != file_change.version):
        raise ChangeRejected("the file is at another version", ErrorCode.VERSION_CONFLICT)


async def execute_file_change(writer: FileWriter, file_change: FileChange, before: FileState | None) -> ChangeResult:
    values = None if before is None else before.values
    if file_change.kind is ChangeKind.DELETE and before is not None:
        await writer.delete_file(file_change, before)
        return ChangeResult(before=values, after=None)
    return ChangeResult(before=values, after=await writer.write_file(file_change, before))


async def predict_result(writer: FileWriter, file_change: FileChange, before: FileState | None) -> ChangeResult:
    """Return what the change would make of the file, without the columns that only its store can give.

    Raises ChangeRejected if the file to copy is not there.
    """
    values = None if before is None else before.values
    if file_change.kind is ChangeKind.DELETE:
        return ChangeResult(before=values, after=None)
    size = len(file_change.content or b"")
    if file_change.copy_of is not None:
        origin = await await_or_reject(writer.read_state(file_change.copy_of))
        if origin is None:
            raise build_missing_origin_error()
        size = origin.values["size"]
    return ChangeResult(before=values, after={**writer.build_known_values(file_change), "size": size})


async def find_file_change(
    writer: FileWriter, change: RowChange, parse_change: Callable[[RowChange], FileChange]
) -> ChangeResult | None:
    """Find a change by the marker that it left with the file, and a deletion by the absence of the file."""
    try:
        id = parse_change(change).id
    except ChangeRejected:
        return None
    state = await writer.read_state(id)
    if change.kind is ChangeKind.DELETE:
        return ChangeResult(before={"id": id}, after=None) if state is None else None
    return None if state is None else find_marked_result(state, hash_change_id(change.id))


def find_marked_result(state: FileState, change_hash: str) -> ChangeResult | None:
    """Return what a change made of the file: the version after it is the one before the next change."""
    after: RowValues | None = state.values
    for marker in state.markers:
        before = build_version_values(state, marker.previous_version)
        if marker.change_hash == change_hash:
            return ChangeResult(before=before, after=after)
        after = before
    return None


def build_version_values(state: FileState, version: str | None) -> RowValues | None:
    return None if version is None else {"id": state.values["id"], "version": version}


async def read_written_values(writer: FileWriter, file_change: FileChange, version: str) -> RowValues:
    """Return the row of a file that was just written, or what is known of it if it cannot be read at this version."""
    try:
        state = await writer.read_state(file_change.id)
    except ConnectorError:
        state = None
    if state is not None and state.version == version:
        return state.values
    known = {**writer.build_known_values(file_change), "version": version}
    return known if file_change.content is None else {**known, "size": len(file_change.content)}


def build_path_values(file_change: FileChange) -> RowValues:
    return {"id": file_change.id, "path": file_change.id, "name": get_file_name(file_change.id)}


def build_missing_origin_error() -> ChangeRejected:
    return ChangeRejected("there is no such file as `copy_of` names", ErrorCode.NOT_FOUND)


def choose_media_type(file_change: FileChange) -> str:
    return file_change.content_type or guess_media_type(get_file_name(file_change.id)) or DEFAULT_MEDIA_TYPE


def hash_change_id(change_id: str) -> str:
    """Return a text of a fixed length that every header can hold."""
    return sha256(change_id.encode()).hexdigest()[:32]


def build_markers(file_change: FileChange, before: FileState | None) -> tuple[ChangeMarker, ...]:
    """Return the markers that the file bears after the change."""
    if before is None:
        return (ChangeMarker(change_hash=file_change.change_hash, previous_version=None),)
    marker = ChangeMarker(change_hash=file_change.change_hash, previous_version=before.version)
    return (marker, *before.markers)[:MAX_MARKERS]


def format_markers(markers: tuple[ChangeMarker, ...]) -> str:
    return ",".join(
        marker.change_hash if marker.previous_version is None else f"{marker.change_hash}={marker.previous_version}"
        for marker in markers
    )


def parse_markers(line: str | None) -> tuple[ChangeMarker, ...]:
    """Return no markers for a line that Onedoor did not write."""
    if line is None or not MARKER_LINE_PATTERN.fullmatch(line):
        return ()
    fields = (text.partition("=") for text in line.split(","))
    return tuple(
        ChangeMarker(change_hash=change_hash, previous_version=version if equals else None)
        for change_hash, equals, version in fields
    )


def parse_file_change(change: RowChange, write_policy: FileWritePolicy, pattern: PathPattern | None) -> FileChange:
    """Read a change in a store whose files are named by their paths. Raises ChangeRejected."""
    check_change_allowed(change, write_policy)
    path = parse_file_path(change.key, pattern)
    check_writable_path(path, write_policy)
    return build_file_change(change, path)


def check_change_allowed(change: RowChange, write_policy: FileWritePolicy) -> None:
    if change.collection != FILES_COLLECTION or not write_policy.writable:
        raise ChangeRejected("the settings let nothing be written there", ErrorCode.CANNOT_ANSWER)
    settable = FILE_WRITE_CAPABILITIES.settable_columns.get(change.kind)
    if settable is None or not change.values.keys() <= settable:
        columns = ", ".join(f"`{name}`" for name in sorted(WRITABLE_COLUMNS))
        raise ChangeRejected(f"a file is put, copied or deleted, and takes {columns}")


def check_writable_path(path: str, write_policy: FileWritePolicy) -> None:
    why = explain_invalid_path(path)
    if why is not None:
        raise ChangeRejected(why)
    if not is_below(path, write_policy.allowed_prefixes):
        prefixes = " or ".join(f"`{prefix}`" for prefix in write_policy.allowed_prefixes)
        raise ChangeRejected(f"`path` must be below {prefixes}")


def parse_file_path(key: RowValues, pattern: PathPattern | None) -> str:
    """Return the path that a key gives by `id`, by `path`, by all columns of the pattern, or by several that agree."""
    parts = {name: value for name, value in key.items() if value is not None}
    pattern_columns = {} if pattern is None else pattern.columns
    unknown = parts.keys() - {"id", "path", *pattern_columns}
    if unknown:
        raise ChangeRejected(f"a file is not named by `{min(unknown)}`")
    paths = {parts[name] for name in ("id", "path") if name in parts}
    if not paths and pattern is not None and pattern_columns.keys() <= parts.keys():
        paths = {pattern.build_prefix(parts)}
    if len(paths) != 1 or not isinstance(path := paths.pop(), str):
        raise ChangeRejected("give a file's `path`, or every part that it is made of")
    if not is_path_of_parts(path, {name: parts[name] for name in pattern_columns if name in parts}, pattern):
        raise ChangeRejected("`path` does not agree with the other parts of the key")
    return path


def is_path_of_parts(path: str, parts: Mapping[str, Any], pattern: PathPattern | None) -> bool:
    path_values = {} if pattern is None else pattern.match(path) or {}
    return all(path_values.get(name) == value for name, value in parts.items())


def build_file_change(change: RowChange, id: str) -> FileChange:
    values = {name: value for name, value in change.values.items() if value is not None}
    copy_of = values.get("copy_of")
    return FileChange(
        id=id,
        kind=change.kind,
        change_hash=hash_change_id(change.id),
        content=parse_content(change.kind, values),
        copy_of=None if copy_of is None else check_copy_source(copy_of, id),
        content_type=check_media_type(values.get("content_type")),
        version=change.version,
    )


def parse_content(kind: ChangeKind, values: RowValues) -> bytes | None:
    """Return the content that a change brings; None for a deletion and for a copy."""
    if kind is ChangeKind.DELETE:
        return None
    names = [name for name in CONTENT_ARGUMENTS if name in values]
    if len(names) != 1 or not isinstance(values[names[0]], str):
        raise ChangeRejected("give one of " + ", ".join(f"`{name}`" for name in CONTENT_ARGUMENTS))
    if names == ["copy_of"]:
        return None
    content = encode_text(values["text"]) if "text" in values else decode_base64(values["content"])
    if len(content) > CONTENT_MAX_BYTES:
        raise ChangeRejected(
            f"content is over the limit of {CONTENT_MAX_BYTES} bytes; ask for an address to upload to",
            ErrorCode.LIMIT_EXCEEDED,
        )
    return content


def encode_text(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ChangeRejected("`text` holds half of a character") from None


def decode_base64(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (InvalidBase64, ValueError):
        raise ChangeRejected("`content` must be base64") from None


def check_copy_source(id: str, target_id: str) -> str:
    why = explain_invalid_path(id, "copy_of")
    if why is not None:
        raise ChangeRejected(why)
    if id == target_id:
        raise ChangeRejected("`copy_of` must be another file")
    return id


def check_media_type(media_type: Any) -> str | None:
    if media_type is not None and not (isinstance(media_type, str) and MEDIA_TYPE_PATTERN.fullmatch(media_type)):
        raise ChangeRejected("`content_type` must be a media type in small letters, such as `text/csv`")
    return media_type


def parse_upload(upload: UploadRequest, parse_change: Callable[[RowChange], ParsedChange]) -> ParsedChange:
    """Read an upload as if its content came with a change. Raises ChangeRejected."""
    if not 0 <= upload.size <= UPLOAD_MAX_BYTES:
        raise ChangeRejected(f"`size` must be from 0 to {UPLOAD_MAX_BYTES} bytes", ErrorCode.LIMIT_EXCEEDED)
    return parse_change(
        RowChange(
            id=upload.change_id,
            collection=upload.collection,
            kind=ChangeKind.PUT if upload.replace else ChangeKind.CREATE,
            key=upload.key,
            values={"text": "", "content_type": upload.content_type},
        )
    )


def limit_upload_seconds(requested_seconds: int) -> int:
    return max(1, min(requested_seconds, UPLOAD_MAX_SECONDS))
