"""Put/copy/delete common to all stores, markers."""

import asyncio
import re
import unicodedata
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol, TypeVar

from onedoor.connectors.files.model import FILES_COLLECTION
from onedoor.connectors.path_patterns import PathPattern
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.connector import (
    ChangeKind,
    ChangeRejected,
    ChangeResult,
    RowChange,
    RowValues,
    UploadRequest,
    WriteCapabilities,
)

CONTENT_MAX_BYTES = 4 * 2**20
"""Of what comes with a change; more goes by an address to upload to."""

WRITABLE_COLUMNS = frozenset({"content", "text", "copy_of", "content_type"})
"""`content`: base64; `text`: as UTF-8; `copy_of`: the id of another file of the same store. One of the three."""

FILE_WRITE_CAPABILITIES = WriteCapabilities(
    settable_columns={
        ChangeKind.CREATE: WRITABLE_COLUMNS,
        ChangeKind.PUT: WRITABLE_COLUMNS,
        ChangeKind.DELETE: frozenset(),
    },
    version_column="version",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileWritePolicy:
    """What the settings let be written: `below` the prefixes; none: anywhere."""

    writable: bool = False
    allowed_prefixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeMarker:
    """What a change leaves with the file: the change's own, and the version that the file had before; None: no file."""

    change_hash: str
    previous_version: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """One file to be there, or not. Of `octets` and `copy_of` there is one, and none where it is deleted."""

    id: str
    kind: ChangeKind
    change_hash: str
    content: bytes | None = None
    copy_of: str | None = None
    content_type: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileState:
    """A file as it stands: all columns of its row, and the marks of the last changes, the newest first."""

    values: RowValues
    markers: tuple[ChangeMarker, ...] = ()
    store_details: Mapping[str, str] = field(default_factory=dict)
    """What its own store must know of it to change it."""

    @property
    def version(self) -> str:
        return str(self.values["version"])


class WriteConflict(Exception):
    """The file is not as it stood a moment ago: somebody was faster, and nothing was changed."""


class FileWriter(Protocol):
    """A store that is written to. Each method raises Unmade where nothing was changed, else SourceFailed."""

    async def read_state(self, id: str) -> FileState | None: ...

    async def write_file(self, file_change: FileChange, before: FileState | None) -> RowValues:
        """Put or copied there, if the file still is as `before`: its row afterwards. Raises Outrun."""
        ...

    async def delete_file(self, file_change: FileChange, before: FileState) -> None:
        """If it still is as `before`. Raises Outrun."""
        ...

    def build_known_values(self, file_change: FileChange) -> RowValues:
        """What is known of its row without a look."""
        ...


def build_path_values(file_change: FileChange) -> RowValues:
    return {"id": file_change.id, "path": file_change.id, "name": file_change.id.rpartition("/")[2]}


def check_writable_prefixes(folders: tuple[str, ...]) -> tuple[str, ...]:
    """ValueError: one that would open more than what lies below a folder."""
    if any(not each.endswith("/") or each.startswith("/") for each in folders):
        raise ValueError("`writable_below` must name folders, such as `customers/`")
    return folders


MARKER_NAME = "onedoor_changes"
"""What the line is called in the metadata of a file: Azure takes names of code alone."""

MAX_MARKERS = 12
"""Of the last changes, so many: S3 keeps two thousand bytes with a file."""

MARKER_LINE_PATTERN = re.compile(r"[0-9a-f]{32}(?:=[!-+\--~]{1,100})?(?:,[0-9a-f]{32}(?:=[!-+\--~]{1,100})?)*")


def hash_change_id(change_id: str) -> str:
    """The same length for every id, and nothing that a header could not hold."""
    return sha256(change_id.encode()).hexdigest()[:32]


def build_markers(file_change: FileChange, before: FileState | None) -> tuple[ChangeMarker, ...]:
    """What is to stand with the file once it is made."""
    own = ChangeMarker(change_hash=file_change.change_hash, previous_version=None if before is None else before.version)
    return (own, *(() if before is None else before.markers))[:MAX_MARKERS]


def format_markers(markers: tuple[ChangeMarker, ...]) -> str:
    return ",".join(
        each.change_hash if each.previous_version is None else f"{each.change_hash}={each.previous_version}"
        for each in markers
    )


def parse_markers(line: str | None) -> tuple[ChangeMarker, ...]:
    """What somebody else wrote there is none."""
    if line is None or not MARKER_LINE_PATTERN.fullmatch(line):
        return ()
    cut = (each.partition("=") for each in line.split(","))
    return tuple(
        ChangeMarker(change_hash=change, previous_version=before if equals else None) for change, equals, before in cut
    )


MAX_ATTEMPTS = 6

RETRY_PAUSE_SECONDS = 0.05
"""Seconds before the second of them; so much more before each that follows."""

StoreResult = TypeVar("StoreResult")


def require_single_change(changes: Sequence[RowChange]) -> RowChange:
    if len(changes) != 1:
        raise ChangeRejected("files are changed one at a time", ErrorCode.CANNOT_ANSWER)
    return changes[0]


async def apply_file_change(writer: FileWriter, file_change: FileChange, *, dry_run: bool) -> Sequence[ChangeResult]:
    """Raises Unmade, SourceFailed."""
    for turn in range(MAX_ATTEMPTS):
        await asyncio.sleep(RETRY_PAUSE_SECONDS * turn)
        before = await await_or_reject(writer.read_state(file_change.id))
        check_preconditions(file_change, before)
        if dry_run:
            return [await predict_result(writer, file_change, before)]
        try:
            return [await execute_file_change(writer, file_change, before)]
        except WriteConflict:
            continue
    raise ChangeRejected("the file is changed by others again and again", ErrorCode.VERSION_CONFLICT)


async def await_or_reject(read: Awaitable[StoreResult]) -> StoreResult:
    """What fails before anything was told to be changed has changed nothing."""
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
    """What the file would be, but for what its store alone can give; what it is a copy of must be there."""
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
    """By the mark it left, of the last few changes; of a file that is deleted, by there being none."""
    try:
        id = parse_change(change).id
    except ChangeRejected:
        return None
    standing = await writer.read_state(id)
    if change.kind is ChangeKind.DELETE:
        return ChangeResult(before={"id": id}, after=None) if standing is None else None
    return None if standing is None else find_marked_result(standing, hash_change_id(change.id))


def find_marked_result(state: FileState, change_hash: str) -> ChangeResult | None:
    """What stood after a change is what stood before the next."""
    after: RowValues | None = state.values
    for each in state.markers:
        if each.change_hash == change_hash:
            return ChangeResult(before=build_version_values(state, each.previous_version), after=after)
        after = build_version_values(state, each.previous_version)
    return None


def build_version_values(state: FileState, version: str | None) -> RowValues | None:
    return None if version is None else {"id": state.values["id"], "version": version}


def build_missing_origin_error() -> ChangeRejected:
    return ChangeRejected("there is no such file as `copy_of` names", ErrorCode.NOT_FOUND)


async def read_written_values(writer: FileWriter, file_change: FileChange, version: str) -> RowValues:
    """It is made: what cannot be looked at now, or is another's by now, is told as far as it is known."""
    try:
        stands = await writer.read_state(file_change.id)
    except ConnectorError:
        stands = None
    if stands is not None and stands.version == version:
        return stands.values
    known = {**writer.build_known_values(file_change), "version": version}
    return known if file_change.content is None else {**known, "size": len(file_change.content)}


PATH_MAX_BYTES = 1024
"""Bytes of a path, as UTF-8: what S3 takes."""

PATH_PART_MAX_BYTES = 255
"""Bytes of one of its parts: what Linux takes."""

PATH_MAX_PARTS = 32

PERCENT_ENCODED_PATTERN = re.compile(r"%[0-9A-Fa-f]{2}")

FORBIDDEN_CHARACTERS = frozenset('"<>|?*:\\')
"""What Windows and Azure Files take in no name."""

INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls, directions, halves of characters, and what has no meaning for everybody."""

WINDOWS_DEVICE_PATTERN = re.compile(r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9¹²³])(?:\..*)?", re.IGNORECASE)
"""What Windows takes for a device, whatever ending follows."""

PATH_SYNTAX_CHARACTERS = frozenset("/.%\\")


def split_path_parts(path: str) -> list[str]:
    return path.split("/")


def has_invisible_character(path: str) -> bool:
    """A space of another kind than the usual one is no better."""
    return any(
        unicodedata.category(each) in INVISIBLE_CATEGORIES or (unicodedata.category(each) == "Zs" and each != " ")
        for each in path
    )


def has_path_lookalike(path: str) -> bool:
    """Whether a character would become a step of a path where a system makes characters plain."""
    return any(
        PATH_SYNTAX_CHARACTERS & set(unicodedata.normalize("NFKC", each))
        for each in path
        if each not in PATH_SYNTAX_CHARACTERS
    )


def is_too_deep(path: str) -> bool:
    return len(split_path_parts(path)) > PATH_MAX_PARTS or any(
        len(each.encode()) > PATH_PART_MAX_BYTES for each in split_path_parts(path)
    )


PATH_RULES: tuple[tuple[Callable[[str], bool], str], ...] = (
    (lambda path: path == "", "must not be empty"),
    (has_invisible_character, "must not hold a character that cannot be seen"),
    (lambda path: len(path.encode()) > PATH_MAX_BYTES, f"must not be longer than {PATH_MAX_BYTES} bytes"),
    (is_too_deep, f"must not have more than {PATH_MAX_PARTS} parts, or one of more than {PATH_PART_MAX_BYTES} bytes"),
    (lambda path: "" in split_path_parts(path), "must not begin or end with `/`, or hold two in a row"),
    (
        lambda path: any(each.startswith(".") for each in split_path_parts(path)),
        "must not have a part that begins with `.`",
    ),
    (
        lambda path: any(each[:1] in (" ", "~") for each in split_path_parts(path)),
        "must not have a part that begins so",
    ),
    (lambda path: any(each[-1:] in (" ", ".") for each in split_path_parts(path)), "must not have a part that ends so"),
    (
        lambda path: bool(FORBIDDEN_CHARACTERS & set(path)),
        'must not hold any of `"`, `<`, `>`, `|`, `?`, `*`, `:` and `\\`',
    ),
    (lambda path: PERCENT_ENCODED_PATTERN.search(path) is not None, "must not be percent-encoded"),
    (has_path_lookalike, "must not hold a character that is taken for `/`, `.`, `%` or `\\`"),
    (lambda path: not unicodedata.is_normalized("NFC", path), "must be in Unicode's normal form C"),
    (
        lambda path: any(map(WINDOWS_DEVICE_PATTERN.fullmatch, split_path_parts(path))),
        "must not have a part that is the name of a device",
    ),
)
"""In their order: each may rely on those before it."""


def explain_invalid_path(path: str, argument_name: str = "path") -> str | None:
    """None: it may be a file's. `called`: what the sentence calls it."""
    return next((f"`{argument_name}` {why}" for broken, why in PATH_RULES if broken(path)), None)


def is_below(path: str, allowed_prefixes: tuple[str, ...]) -> bool:
    """Whether it lies where the settings let files be written; without prefixes, anywhere."""
    return not allowed_prefixes or any(path.startswith(each) for each in allowed_prefixes)


MEDIA_TYPE_PATTERN = re.compile(
    r"[a-z0-9][a-z0-9!#$&^_.+-]{0,60}/[a-z0-9][a-z0-9!#$&^_.+-]{0,80}(?:; ?charset=[a-z0-9-]{1,20})?"
)

CONTENT_ARGUMENTS = ("content", "text", "copy_of")


def parse_file_change(change: RowChange, write_policy: FileWritePolicy, pattern: PathPattern | None) -> FileChange:
    """Of a store whose files are known by their paths. Raises Unmade."""
    check_change_allowed(change, write_policy)
    path = parse_file_path(change.key, pattern)
    check_writable_path(path, write_policy)
    return build_file_change(change, path)


def check_change_allowed(change: RowChange, write_policy: FileWritePolicy) -> None:
    if change.collection != FILES_COLLECTION or not write_policy.writable:
        raise ChangeRejected("the settings let nothing be written there", ErrorCode.CANNOT_ANSWER)
    if (
        change.kind not in FILE_WRITE_CAPABILITIES.settable_columns
        or not change.values.keys() <= FILE_WRITE_CAPABILITIES.settable_columns[change.kind]
    ):
        raise ChangeRejected(
            "a file is put, copied or deleted, and takes " + ", ".join(f"`{each}`" for each in sorted(WRITABLE_COLUMNS))
        )


def check_writable_path(path: str, write_policy: FileWritePolicy) -> None:
    why = explain_invalid_path(path)
    if why is not None:
        raise ChangeRejected(why)
    if not is_below(path, write_policy.allowed_prefixes):
        raise ChangeRejected(
            "`path` must be below " + " or ".join(f"`{each}`" for each in write_policy.allowed_prefixes)
        )


def parse_file_path(key: RowValues, pattern: PathPattern | None) -> str:
    """By `id` or `path`, by all columns of the pattern, or by several of these that say the same."""
    given = {name: value for name, value in key.items() if value is not None}
    columns = {} if pattern is None else pattern.columns
    unknown = given.keys() - {"id", "path", *columns}
    if unknown:
        raise ChangeRejected(f"a file is not named by `{min(unknown)}`")
    paths = {given[name] for name in ("id", "path") if name in given}
    if not paths and pattern is not None and columns.keys() <= given.keys():
        paths = {pattern.build_prefix(given)}
    if len(paths) != 1 or not isinstance(path := paths.pop(), str):
        raise ChangeRejected("give a file's `path`, or every part that it is made of")
    if not is_path_of_parts(path, {name: given[name] for name in columns if name in given}, pattern):
        raise ChangeRejected("`path` does not say what the other parts of the key say")
    return path


def is_path_of_parts(path: str, parts: Mapping[str, Any], pattern: PathPattern | None) -> bool:
    found = {} if pattern is None else pattern.match(path) or {}
    return all(found.get(name) == value for name, value in parts.items())


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
    given = [name for name in CONTENT_ARGUMENTS if name in values]
    if kind is ChangeKind.DELETE:
        return None
    if len(given) != 1 or not isinstance(values[given[0]], str):
        raise ChangeRejected("give one of " + ", ".join(f"`{each}`" for each in CONTENT_ARGUMENTS))
    if given[0] == "copy_of":
        return None
    found = encode_text(values["text"]) if "text" in values else decode_base64(values["content"])
    if len(found) > CONTENT_MAX_BYTES:
        raise ChangeRejected(
            f"content is over the limit of {CONTENT_MAX_BYTES} bytes, ask for an address to upload to",
            ErrorCode.LIMIT_EXCEEDED,
        )
    return found


def encode_text(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ChangeRejected("`text` holds half of a character") from None


def decode_base64(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (NotBase64, ValueError):
        raise ChangeRejected("`content` must be base64") from None


def check_copy_source(id: str, to: str) -> str:
    why = explain_invalid_path(id, "copy_of")
    if why is not None:
        raise ChangeRejected(why)
    if id == to:
        raise ChangeRejected("`copy_of` must be another file")
    return id


def check_media_type(given: Any) -> str | None:
    if given is not None and not (isinstance(given, str) and MEDIA_TYPE_PATTERN.fullmatch(given)):
        raise ChangeRejected("`content_type` must be a media type in small letters, such as `text/csv`")
    return given


UPLOAD_MAX_BYTES = 2**30
"""Of one file that is uploaded past us."""

UPLOAD_MAX_SECONDS = 300
"""How long an address takes a file, at the most."""

ParsedChange = TypeVar("ParsedChange")


def limit_upload_seconds(requested_seconds: int) -> int:
    return max(1, min(requested_seconds, UPLOAD_MAX_SECONDS))


def parse_upload(upload: UploadRequest, parse_change: Callable[[RowChange], ParsedChange]) -> ParsedChange:
    """As if it came with a change. Raises Unmade."""
    if not 0 <= upload.size <= UPLOAD_MAX_BYTES:
        raise ChangeRejected(f"`size` must be from 0 to {UPLOAD_MAX_BYTES} bytes", ErrorCode.LIMIT_EXCEEDED)
    verb = ChangeKind.PUT if upload.replace else ChangeKind.CREATE
    given = {"text": "", "content_type": upload.content_type}
    return parse_change(
        RowChange(id=upload.change_id, collection=upload.collection, kind=verb, key=upload.key, values=given)
    )  # fmt: skip


async def read_state_before(writer: FileWriter, file_change: FileChange) -> FileState | None:
    """What stands where it is to come. Raises Unmade."""
    standing = await await_or_reject(writer.read_state(file_change.id))
    check_preconditions(file_change, standing)
    return standing
