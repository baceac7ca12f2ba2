"""Put, copy, trash, resumable uploads."""

import asyncio
import re
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from weakref import WeakValueDictionary

import orjson
from aiohttp import ClientError
from yarl import URL

from onedoor.connectors.drive.client import (
    CREATED,
    NOT_FOUND,
    OK,
    RESUME_INCOMPLETE,
    SERVER_ERROR,
    TOO_MANY_REQUESTS,
    DriveClient,
    DriveItem,
    DriveNotFound,
    DriveRequest,
    DriveResponse,
    build_unreadable_error,
    map_drive_error,
    map_drive_status,
    parse_json,
    parse_object,
)
from onedoor.connectors.drive.listing import (
    FILE_COLUMNS,
    FILES_QUERY,
    FOLDER_MEDIA_TYPE,
    FOLDERS_QUERY,
    GOOGLE_MEDIA_TYPE_PREFIX,
    ID_PATTERN,
    LOCATION_FIELDS,
    PAGE_SIZE,
    DriveScope,
    FolderTree,
    FolderTreeLoader,
    build_equals_term,
    build_list_field_mask,
    build_parents_term,
    find_item,
    join_all,
    list_item_fields,
)
from onedoor.connectors.files.model import guess_media_type
from onedoor.connectors.files.writes import (
    MAX_MARKERS,
    ChangeMarker,
    FileChange,
    FileState,
    FileWritePolicy,
    WriteConflict,
    await_or_reject,
    build_file_change,
    build_missing_origin_error,
    check_change_allowed,
    check_writable_path,
    find_marked_result,
    hash_change_id,
    is_below,
    limit_upload_seconds,
    parse_file_path,
)
from onedoor.connectors.path_patterns import PathPattern
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.connector import (
    ChangeKind,
    ChangeRejected,
    ChangeResult,
    RowChange,
    RowValues,
    UploadAddress,
    UploadStep,
)

ID_PREFIX, PATH_PREFIX = "id:", "path:"
"""How a name begins that says of which kind it is: an id may look like a path."""


def parse_drive_change(change: RowChange, write_policy: FileWritePolicy, pattern: PathPattern | None) -> FileChange:
    """Raises Unmade."""
    check_change_allowed(change, write_policy)
    id = change.key.get("id")
    if id is None:
        path = parse_file_path(change.key, pattern)
        check_writable_path(path, write_policy)
        made = build_file_change(change, PATH_PREFIX + path)
    else:
        made = build_file_change(change, ID_PREFIX + check_file_id(change, id))
    if made.content_type is not None and made.content_type.startswith(GOOGLE_MEDIA_TYPE_PREFIX):
        raise ChangeRejected("what Google keeps in a form of its own is not written here")
    return made


def check_file_id(change: RowChange, id: object) -> str:
    if change.kind is ChangeKind.CREATE:
        raise ChangeRejected("drive gives a new file its id: give its `path`")
    if (
        not isinstance(id, str)
        or not ID_PATTERN.fullmatch(id)
        or any(v is not None for n, v in change.key.items() if n != "id")
    ):
        raise ChangeRejected("give a file's `id` alone, as drive gave it, or its `path`")
    return id


class DrivePathResolver:
    """Where paths lead. Two files or folders may have the same: then none of them is meant."""

    def __init__(
        self, client: DriveClient, scope: DriveScope, tree_loader: FolderTreeLoader, fields: frozenset[str]
    ) -> None:
        self.client = client
        self.scope = scope
        self.tree_loader = tree_loader
        self.fields = fields

    async def find_file(self, path: str) -> DriveItem | None:
        folder = await self.find_folder_id(path)
        return (
            None
            if folder is None
            else require_single_item(await self.list_named_items(folder, path, FILES_QUERY), "file")
        )

    async def list_items(self, path: str, kind: str) -> Sequence[DriveItem]:
        folder = await self.find_folder_id(path)
        return [] if folder is None else await self.list_named_items(folder, path, kind)

    async def find_folder_id(self, path: str) -> str | None:
        """The id of the folder that a path's last name lies in; None: there is none."""
        id = await self.tree_loader.resolve_folder_id(None)
        for name in path.split("/")[:-1]:
            found = require_single_item(await self.list_named_items(id, name, FOLDERS_QUERY), "folder")
            if found is None:
                return None
            id = found["id"]
        return id

    async def list_named_items(self, folder: str, path: str, kind: str) -> Sequence[DriveItem]:
        """Drive finds names in any case; here they are the same or not."""
        name = path.rpartition("/")[2]
        said = build_equals_term("name", name)
        if said is None:
            raise ChangeRejected("a part of `path` is too long to be looked for", ErrorCode.LIMIT_EXCEEDED)
        return [
            each
            for each in await self.search_items(join_all(kind, said, build_parents_term([folder])))
            if each["name"] == name
        ]

    async def search_items(self, text: str) -> Sequence[DriveItem]:
        fields = build_list_field_mask(self.fields)
        pages = self.client.list_pages(
            "files", "files", q=text, pageSize=PAGE_SIZE, fields=fields, **self.scope.list_parameters
        )
        return [each async for page in pages for each in page]


def require_single_item(items: Sequence[DriveItem], what: str) -> DriveItem | None:
    if len(items) > 1:
        raise ChangeRejected(f"more than one {what} has this `path`: give the file's `id`")
    return items[0] if items else None


PROPERTIES_FIELD = "appProperties"

MARKER_PREFIX = "onedoor-"

MARKER_VALUE_PATTERN = re.compile(r"(?P<turn>[0-9]{1,9})=(?P<before>.{0,70})")

CREATED_MARKER_VALUE = "0="
"""Of a change that made the file, so that it can be searched for."""


def parse_marker_properties(item: DriveItem) -> Mapping[int, ChangeMarker]:
    """By their numbers, the newest first."""
    said = item.get(PROPERTIES_FIELD) or {}
    found = {
        name: MARKER_VALUE_PATTERN.fullmatch(value) for name, value in said.items() if name.startswith(MARKER_PREFIX)
    }
    marks = {
        int(each["turn"]): ChangeMarker(
            change_hash=name.removeprefix(MARKER_PREFIX), previous_version=each["before"] or None
        )
        for name, each in found.items()
        if each is not None
    }
    return dict(sorted(marks.items(), reverse=True))


def build_marker_properties(file_change: FileChange, before: FileState | None) -> Mapping[str, str | None]:
    """What is written with a change; the oldest goes."""
    if before is None:
        return {MARKER_PREFIX + file_change.change_hash: CREATED_MARKER_VALUE}
    gone = {MARKER_PREFIX + each.change_hash: None for each in before.markers[MAX_MARKERS - 1 :]}
    return {**gone, MARKER_PREFIX + file_change.change_hash: f"{before.store_details['next']}={before.version[:70]}"}


def build_marker_term(change_hash: str) -> str:
    """What finds the file that a change made."""
    return f"{PROPERTIES_FIELD} has {{ key='{MARKER_PREFIX}{change_hash}' and value='{CREATED_MARKER_VALUE}' }}"


JSON_HEADERS = {"content-type": "application/json; charset=UTF-8"}

CHUNK_MULTIPLE = 262_144
"""Drive takes chunks of multiples of it, but for the last."""

CHUNK_BYTES = 4 * CHUNK_MULTIPLE

MAX_ATTEMPTS = 5
"""So often in a row nothing may come of it."""

RETRY_PAUSE_SECONDS = 0.1
"""Seconds before the second of them, doubled each time."""

UPLOADED_ITEM_FIELDS = "id,name,mimeType,size,version,headRevisionId,modifiedTime,parents,webViewLink"

RECEIVED_RANGE_PATTERN = re.compile(r"(?:bytes=)?0-(?P<last>[0-9]{1,15})")


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveUpload:
    """What is to be made, and in which folder; or, of the file `id`, what its content is to be."""

    name: str
    parent_id: str
    content_type: str
    properties: Mapping[str, str | None] = field(default_factory=dict)
    """Of ours, kept with the file; None: no more."""
    id: str | None = None
    size: int | None = None
    """In bytes, where that is known before they come."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        own = {"appProperties": self.properties} if self.properties else {}
        new = {"name": self.name, "parents": [self.parent_id]} if self.id is None else {}
        return {**new, "mimeType": self.content_type, **own}


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadChunk:
    """Octets, and where they stand in the whole."""

    content: bytes
    offset: int
    is_last: bool

    @property
    def end(self) -> int:
        return self.offset + len(self.content)

    @property
    def total(self) -> str:
        return str(self.end) if self.is_last else "*"

    def build_remaining_request(self, received: int) -> tuple[Mapping[str, str], bytes]:
        """What is to be sent when all before `had` has come through; of a file without bytes nothing is said."""
        if received == self.end:
            return self.status_request if self.end else ({}, b"")
        return {"content-range": f"bytes {received}-{self.end - 1}/{self.total}"}, self.content[
            received - self.offset :
        ]

    @property
    def status_request(self) -> tuple[Mapping[str, str], bytes]:
        """How far it has come."""
        return {"content-range": f"bytes */{self.total}"}, b""


async def upload_file(
    client: DriveClient, scope: DriveScope, upload: DriveUpload, chunks: AsyncIterable[bytes]
) -> DriveItem:
    """What Drive says of the new file; raises SourceFailed. One chunk is held, and what comes in."""
    return await upload_chunks(client, await start_upload(client, scope, upload), chunks)


async def upload_chunks(client: DriveClient, session: URL, chunks: AsyncIterable[bytes]) -> DriveItem:
    async for chunk in split_chunks(chunks):
        made = await send_chunk(client, session, chunk)
        if made is not None:
            return made
    raise build_unreadable_error()


async def start_upload(client: DriveClient, scope: DriveScope, upload: DriveUpload) -> URL:
    """Where the bytes go: an address of Drive's own, as they go nowhere else."""
    verb, path = ("POST", "") if upload.id is None else ("PATCH", f"/{upload.id}")
    url = client.build_url(
        f"/upload/drive/v3/files{path}",
        {"uploadType": "resumable", "fields": UPLOADED_ITEM_FIELDS, **scope.item_parameters},
    )
    sized = {} if upload.size is None else {"x-upload-content-length": str(upload.size)}
    headers = {**JSON_HEADERS, "x-upload-content-type": upload.content_type, **sized}
    answer = await client.send(DriveRequest(method=verb, url=url, headers=headers, data=orjson.dumps(upload.metadata)))
    if answer.status != OK:
        raise map_drive_status(answer.status, parse_json(answer))
    session = URL(answer.headers.get("location", ""), encoded=True)
    if not session.absolute or session.origin() != url.origin():
        raise build_unreadable_error()
    return session


async def split_chunks(chunks: AsyncIterable[bytes]) -> AsyncIterator[UploadChunk]:
    """Of CHUNK octets each, but for the last; of no octets at all, one without any."""
    held, at = bytearray(), 0
    async for part in chunks:
        held += part
        while len(held) > CHUNK_BYTES:
            yield UploadChunk(content=bytes(held[:CHUNK_BYTES]), offset=at, is_last=False)
            at += CHUNK_BYTES
            del held[:CHUNK_BYTES]
    yield UploadChunk(content=bytes(held), offset=at, is_last=True)


async def send_chunk(client: DriveClient, session: URL, chunk: UploadChunk) -> DriveItem | None:
    """Until Drive has all of it; the file, where it was the last."""
    had, idle, lost = chunk.offset, 0, False
    while idle < MAX_ATTEMPTS:
        await asyncio.sleep(RETRY_PAUSE_SECONDS * 2 ** (idle - 1) if idle else 0)
        answer = await send_upload_request(
            client, session, *(chunk.status_request if lost else chunk.build_remaining_request(had))
        )
        lost = answer is None
        if answer is not None and answer.status != RESUME_INCOMPLETE:
            return parse_object(answer)
        now = had if answer is None else parse_received_bytes(answer, chunk)
        if now == chunk.end and not chunk.is_last:
            return None
        idle = 0 if now > had else idle + 1
        had = now
    raise ConnectorError("drive did not take the file: its connections broke again and again")


async def send_upload_request(
    client: DriveClient, session: URL, headers: Mapping[str, str], content: bytes
) -> DriveResponse | None:
    """None: it is not known how far it came."""
    try:
        answer = await client.send_once(DriveRequest(method="PUT", url=session, headers=headers, data=content))
    except (ClientError, OSError, TimeoutError):
        return None
    except Exception as error:
        raise map_drive_error(error, client.timeout) from error
    if answer.status >= SERVER_ERROR or client.should_retry(answer):
        return None
    if answer.status not in (OK, CREATED, RESUME_INCOMPLETE):
        raise map_drive_status(answer.status, parse_json(answer))
    return answer


def parse_received_bytes(response: DriveResponse, chunk: UploadChunk) -> int:
    """How many octets of the whole Drive has; without a word, none."""
    said = response.headers.get("range")
    found = None if said is None else RECEIVED_RANGE_PATTERN.fullmatch(said)
    if said is not None and found is None:
        raise build_unreadable_error()
    now = 0 if found is None else int(found["last"]) + 1
    if not chunk.offset <= now <= chunk.end:
        raise build_unreadable_error()
    return now


class UploadSessions:
    """Those of this process; of one that died they end as Google ends them."""

    def __init__(self, client: DriveClient) -> None:
        self.client = client
        self.expiry_tasks: set[asyncio.Task[None]] = set()

    def create_upload_address(self, session: URL, id: str | None, size: int, requested_seconds: int) -> UploadAddress:
        """Drive was told size and type when it was begun; who holds it may send them in parts."""
        span = limit_upload_seconds(requested_seconds)
        task = asyncio.create_task(self.expire_session(session, span))
        self.expiry_tasks.add(task)
        task.add_done_callback(self.expiry_tasks.discard)
        step = UploadStep(method="PUT", url=str(session), headers={}, offset=0, length=size)
        return UploadAddress(
            id=id, steps=(step,), expires_at=datetime.now(UTC) + timedelta(seconds=span), is_bounded=False
        )

    async def expire_session(self, session: URL, seconds_left: int) -> None:
        await asyncio.sleep(seconds_left)
        with suppress(ConnectorError):
            await self.client.send(DriveRequest(method="DELETE", url=session, headers={}))

    async def close(self) -> None:
        for each in self.expiry_tasks:
            each.cancel()
        await asyncio.gather(*self.expiry_tasks, return_exceptions=True)


WRITE_ITEM_FIELDS = frozenset(
    {*list_item_fields(FILE_COLUMNS, FILE_COLUMNS, with_location=True), *LOCATION_FIELDS, "mimeType", PROPERTIES_FIELD}
)

DEFAULT_MEDIA_TYPE = "application/octet-stream"


class DriveFileWriter:
    """As sources.writing.words.Keeper. `row`: an item and its folders in, all its columns out; None: it is outside."""

    def __init__(
        self,
        client: DriveClient,
        scope: DriveScope,
        tree_loader: FolderTreeLoader,
        build_values: Callable[[DriveItem, FolderTree], RowValues | None],
        write_policy: FileWritePolicy,
    ) -> None:
        self.client = client
        self.scope = scope
        self.tree_loader = tree_loader
        self.build_values = build_values
        self.write_policy = write_policy
        self.path_resolver = DrivePathResolver(client, scope, tree_loader, WRITE_ITEM_FIELDS)
        self.upload_sessions = UploadSessions(client)
        self.file_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def read_state(self, id: str) -> FileState | None:
        path = id.startswith(PATH_PREFIX)
        item = await (
            self.path_resolver.find_file(id.removeprefix(PATH_PREFIX))
            if path
            else self.load_file(id.removeprefix(ID_PREFIX))
        )
        stands = None if item is None else await self.build_state(item)
        if stands is not None and not is_below(str(stands.values["path"]), self.write_policy.allowed_prefixes):
            raise ChangeRejected("the settings let nothing be written there", ErrorCode.CANNOT_ANSWER)
        return stands

    async def load_file(self, id: str) -> DriveItem | None:
        item = await find_item(self.client, self.scope, id, WRITE_ITEM_FIELDS)
        return None if item is None or item["mimeType"] == FOLDER_MEDIA_TYPE else item

    async def build_state(self, item: DriveItem) -> FileState | None:
        values = self.build_values(item, await self.tree_loader.load_ancestors([item]))
        marks = parse_marker_properties(item)
        more = {"next": str(max(marks, default=0) + 1), "type": item["mimeType"]}
        return None if values is None else FileState(values=values, markers=tuple(marks.values()), store_details=more)

    async def write_file(self, file_change: FileChange, before: FileState | None) -> RowValues:
        async with self.get_file_lock(file_change, before):
            await self.check_unchanged(file_change, before)
            made = await (
                self.upload_content(file_change, before)
                if file_change.copy_of is None
                else self.copy_file(file_change, before)
            )
        return await self.read_written_values(file_change, str(made["id"]))

    async def delete_file(self, file_change: FileChange, before: FileState) -> None:
        """Into the trash: there it can still be told what was done, and be taken back."""
        async with self.get_file_lock(file_change, before):
            await self.check_unchanged(file_change, before)
            said = {"trashed": True, PROPERTIES_FIELD: build_marker_properties(file_change, before)}
            await self.send_change("PATCH", f"files/{before.values['id']}", said)

    def build_known_values(self, file_change: FileChange) -> RowValues:
        if file_change.id.startswith(ID_PREFIX):
            return {"id": file_change.id.removeprefix(ID_PREFIX)}
        path = file_change.id.removeprefix(PATH_PREFIX)
        return {"path": path, "name": path.rpartition("/")[2]}

    def get_file_lock(self, file_change: FileChange, before: FileState | None) -> asyncio.Lock:
        """Held by who waits for it; by its id, however it was named."""
        name = file_change.id if before is None else ID_PREFIX + str(before.values["id"])
        return self.file_locks.setdefault(name, asyncio.Lock())

    async def check_unchanged(self, file_change: FileChange, before: FileState | None) -> None:
        now = await await_or_reject(self.read_state(file_change.id))
        if (None if now is None else now.version) != (None if before is None else before.version):
            raise WriteConflict

    async def upload_content(self, file_change: FileChange, before: FileState | None) -> DriveItem:
        session = await await_or_reject(self.open_session(file_change, before, len(file_change.content or b"")))
        await self.check_unchanged(file_change, before)
        return await upload_chunks(self.client, session, yield_content(file_change.content or b""))

    async def open_session(self, file_change: FileChange, before: FileState | None, size: int) -> URL:
        """The address that its octets go to, and nothing else."""
        if before is not None and before.store_details["type"].startswith(GOOGLE_MEDIA_TYPE_PREFIX):
            raise ChangeRejected("what Google keeps in a form of its own is not written here")
        return await start_upload(self.client, self.scope, await self.build_upload(file_change, before, size))

    async def create_upload_address(
        self, file_change: FileChange, before: FileState | None, size: int, requested_seconds: int
    ) -> UploadAddress:
        session = await await_or_reject(self.open_session(file_change, before, size))
        return self.upload_sessions.create_upload_address(
            session, None if before is None else str(before.values["id"]), size, requested_seconds
        )

    async def build_upload(self, file_change: FileChange, before: FileState | None, size: int) -> DriveUpload:
        if before is not None:
            kind = file_change.content_type or before.store_details["type"]
            own = {"id": str(before.values["id"]), "name": "", "parent": ""}
        else:
            place = await self.find_new_file_location(file_change)
            kind = file_change.content_type or guess_media_type(place["name"]) or DEFAULT_MEDIA_TYPE
            own = dict(place)
        return DriveUpload(**own, content_type=kind, properties=build_marker_properties(file_change, before), size=size)

    async def find_new_file_location(self, file_change: FileChange) -> Mapping[str, str]:
        """Where a new file is to be. Raises Unmade."""
        if file_change.id.startswith(ID_PREFIX):
            raise ChangeRejected("there is no such file", ErrorCode.NOT_FOUND)
        path = file_change.id.removeprefix(PATH_PREFIX)
        parent = await await_or_reject(self.path_resolver.find_folder_id(path))
        if parent is None:
            raise ChangeRejected("`path` names a folder that is not there", ErrorCode.NOT_FOUND)
        return {"name": path.rpartition("/")[2], "parent": parent}

    async def copy_file(self, file_change: FileChange, before: FileState | None) -> DriveItem:
        if before is not None:
            raise ChangeRejected("drive copies to a new file alone", ErrorCode.ALREADY_EXISTS)
        assert file_change.copy_of is not None  # INVARIANT: asked for nowhere else
        origin = await await_or_reject(self.load_file(file_change.copy_of))
        if origin is None or await await_or_reject(self.build_state(origin)) is None:
            raise build_missing_origin_error()
        place = await self.find_new_file_location(file_change)
        kind = {} if file_change.content_type is None else {"mimeType": file_change.content_type}
        said = {
            "name": place["name"],
            "parents": [place["parent"]],
            PROPERTIES_FIELD: build_marker_properties(file_change, None),
            **kind,
        }
        return await self.send_change("POST", f"files/{file_change.copy_of}/copy", said)

    async def send_change(self, method: str, path: str, payload: Mapping[str, Any]) -> DriveItem:
        """Raises Outrun where it is gone, and Unmade where Drive said no."""
        url = self.client.build_url(f"/drive/v3/{path}", {"fields": "id", **self.scope.item_parameters})
        answer = await self.client.send(
            DriveRequest(method=method, url=url, headers=JSON_HEADERS, data=orjson.dumps(payload))
        )
        if answer.status == NOT_FOUND:
            raise WriteConflict
        if 400 <= answer.status < SERVER_ERROR and answer.status != TOO_MANY_REQUESTS:
            raise ChangeRejected(
                map_drive_status(answer.status, parse_json(answer)).reason, ErrorCode.SOURCE_UNAVAILABLE
            )
        return parse_object(answer)

    async def read_written_values(self, file_change: FileChange, id: str) -> RowValues:
        """It is made, whatever can be seen of it now."""
        known = {**self.build_known_values(file_change), "id": id}
        try:
            stands = await self.read_state(ID_PREFIX + id)
        except (ConnectorError, ChangeRejected, DriveNotFound):
            return known
        return known if stands is None else stands.values

    async def find_change(self, change: RowChange, file_change: FileChange) -> ChangeResult | None:
        for item in await self.list_candidates(file_change):
            stands = await self.build_state(item)
            came = None if stands is None else find_marked_result(stands, hash_change_id(change.id))
            if came is not None:
                return ChangeResult(before=came.before, after=None) if file_change.kind is ChangeKind.DELETE else came
        return None

    async def list_candidates(self, file_change: FileChange) -> Sequence[DriveItem]:
        """The files that a change may have left its mark with, in the trash or not."""
        if file_change.id.startswith(ID_PREFIX):
            id = file_change.id.removeprefix(ID_PREFIX)
            item = await self.client.get_item(
                f"files/{id}", fields=",".join(sorted(WRITE_ITEM_FIELDS)), **self.scope.item_parameters
            )
            return [] if item is None else [item]
        path = file_change.id.removeprefix(PATH_PREFIX)
        if file_change.kind is ChangeKind.DELETE:
            return await self.path_resolver.list_items(path, "trashed = true")
        return [
            *await self.path_resolver.search_items(build_marker_term(file_change.change_hash)),
            *await self.path_resolver.list_items(path, FILES_QUERY),
        ]


async def yield_content(content: bytes) -> AsyncIterator[bytes]:
    yield content
