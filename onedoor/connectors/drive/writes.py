"""Put and copy files of a Drive, and move them to its trash, if they still are as they were read."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any
from weakref import WeakValueDictionary

import orjson
from yarl import URL

from onedoor.connectors.drive.client import (
    NOT_FOUND,
    SERVER_ERROR,
    TOO_MANY_REQUESTS,
    DriveClient,
    DriveItem,
    DriveNotFound,
    DriveRequest,
    map_drive_status,
    parse_json,
    parse_object,
)
from onedoor.connectors.drive.columns import FILE_COLUMNS, GOOGLE_MEDIA_TYPE_PREFIX, list_item_fields
from onedoor.connectors.drive.folders import (
    FILES_QUERY,
    FOLDER_MEDIA_TYPE,
    FOLDERS_QUERY,
    ID_PATTERN,
    LOCATION_FIELDS,
    PAGE_SIZE,
    DriveScope,
    FolderTree,
    FolderTreeLoader,
    build_list_field_mask,
    find_item,
)
from onedoor.connectors.drive.search import build_equals_term, build_parents_term, join_all
from onedoor.connectors.drive.uploads import (
    JSON_HEADERS,
    PROPERTIES_FIELD,
    DriveUpload,
    UploadSessions,
    start_upload,
    upload_chunks,
)
from onedoor.connectors.files.model import DEFAULT_MEDIA_TYPE, get_file_name, guess_media_type
from onedoor.connectors.files.paths import is_below
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
    parse_file_path,
)
from onedoor.connectors.path_patterns import PathPattern
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.connector import ChangeKind, ChangeRejected, ChangeResult, RowChange, RowValues, UploadAddress

ID_PREFIX, PATH_PREFIX = "id:", "path:"
"""Begin the id of a file change and say how the file is named, as an id of Drive may look like a path."""

MARKER_PREFIX = "onedoor-"

MARKER_VALUE_PATTERN = re.compile(r"(?P<turn>[0-9]{1,9})=(?P<before>.{0,70})")

CREATED_MARKER_VALUE = "0="
"""The marker of the change that created a file, always the same so that it can be searched for."""

WRITE_ITEM_FIELDS = frozenset(
    {*list_item_fields(FILE_COLUMNS, FILE_COLUMNS, with_location=True), *LOCATION_FIELDS, "mimeType", PROPERTIES_FIELD}
)

GOOGLE_FORMAT_MESSAGE = "files in Google's own formats cannot be written here"


def parse_drive_change(change: RowChange, write_policy: FileWritePolicy, pattern: PathPattern | None) -> FileChange:
    """Read a change of a file that is named by its id or by its path. Raises ChangeRejected."""
    check_change_allowed(change, write_policy)
    id = change.key.get("id")
    if id is None:
        path = parse_file_path(change.key, pattern)
        check_writable_path(path, write_policy)
        file_change = build_file_change(change, PATH_PREFIX + path)
    else:
        file_change = build_file_change(change, ID_PREFIX + check_file_id(change, id))
    if file_change.content_type is not None and file_change.content_type.startswith(GOOGLE_MEDIA_TYPE_PREFIX):
        raise ChangeRejected(GOOGLE_FORMAT_MESSAGE)
    return file_change


def check_file_id(change: RowChange, id: object) -> str:
    if change.kind is ChangeKind.CREATE:
        raise ChangeRejected("drive gives a new file its id: give its `path`")
    others = [name for name, value in change.key.items() if name != "id" and value is not None]
    if not isinstance(id, str) or not ID_PATTERN.fullmatch(id) or others:
        raise ChangeRejected("give a file's `id` alone, as drive gave it, or its `path`")
    return id


class DriveFileWriter:
    """Write files of a Drive, as its FileWriter.

    Drive has no conditional writes, so writers of this process take turns and compare versions just before they write.
    `build_values` builds the row of an item in its folders, None if the settings do not open it.
    """

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
        if id.startswith(PATH_PREFIX):
            item = await self.path_resolver.find_file(id.removeprefix(PATH_PREFIX))
        else:
            item = await self.load_file(id.removeprefix(ID_PREFIX))
        state = None if item is None else await self.build_state(item)
        if state is not None and not is_below(str(state.values["path"]), self.write_policy.allowed_prefixes):
            raise ChangeRejected("the settings let nothing be written there", ErrorCode.CANNOT_ANSWER)
        return state

    async def load_file(self, id: str) -> DriveItem | None:
        item = await find_item(self.client, self.scope, id, WRITE_ITEM_FIELDS)
        return None if item is None or item["mimeType"] == FOLDER_MEDIA_TYPE else item

    async def build_state(self, item: DriveItem) -> FileState | None:
        values = self.build_values(item, await self.tree_loader.load_ancestors([item]))
        markers = parse_marker_properties(item)
        details = {"next": str(max(markers, default=0) + 1), "type": item["mimeType"]}
        return (
            None if values is None else FileState(values=values, markers=tuple(markers.values()), store_details=details)
        )

    async def write_file(self, file_change: FileChange, before: FileState | None) -> RowValues:
        async with self.get_file_lock(file_change, before):
            await self.check_unchanged(file_change, before)
            if file_change.copy_of is None:
                item = await self.upload_content(file_change, before)
            else:
                item = await self.copy_file(file_change, file_change.copy_of, before)
        return await self.read_written_values(file_change, str(item["id"]))

    async def delete_file(self, file_change: FileChange, before: FileState) -> None:
        """Move the file to the trash, where its marker can still be found and where it can be restored."""
        async with self.get_file_lock(file_change, before):
            await self.check_unchanged(file_change, before)
            payload = {"trashed": True, PROPERTIES_FIELD: build_marker_properties(file_change, before)}
            await self.send_change("PATCH", f"files/{before.values['id']}", payload)

    def build_known_values(self, file_change: FileChange) -> RowValues:
        if file_change.id.startswith(ID_PREFIX):
            return {"id": file_change.id.removeprefix(ID_PREFIX)}
        path = file_change.id.removeprefix(PATH_PREFIX)
        return {"path": path, "name": get_file_name(path)}

    def get_file_lock(self, file_change: FileChange, before: FileState | None) -> asyncio.Lock:
        """Return the lock of a file by its id, however the change names it; a lock lasts while somebody uses it."""
        name = file_change.id if before is None else ID_PREFIX + str(before.values["id"])
        return self.file_locks.setdefault(name, asyncio.Lock())

    async def check_unchanged(self, file_change: FileChange, before: FileState | None) -> None:
        """Read the file again and compare its version. Raises WriteConflict."""
        now = await await_or_reject(self.read_state(file_change.id))
        if (None if now is None else now.version) != (None if before is None else before.version):
            raise WriteConflict

    async def upload_content(self, file_change: FileChange, before: FileState | None) -> DriveItem:
        content = file_change.content or b""
        session = await await_or_reject(self.open_session(file_change, before, len(content)))
        await self.check_unchanged(file_change, before)
        return await upload_chunks(self.client, session, yield_content(content))

    async def open_session(self, file_change: FileChange, before: FileState | None, size: int) -> URL:
        """Return the URL that takes the content of this file and nothing else."""
        if before is not None and before.store_details["type"].startswith(GOOGLE_MEDIA_TYPE_PREFIX):
            raise ChangeRejected(GOOGLE_FORMAT_MESSAGE)
        return await start_upload(self.client, self.scope, await self.build_upload(file_change, before, size))

    async def create_upload_address(
        self, file_change: FileChange, before: FileState | None, size: int, requested_seconds: int
    ) -> UploadAddress:
        session = await await_or_reject(self.open_session(file_change, before, size))
        id = None if before is None else str(before.values["id"])
        return self.upload_sessions.create_upload_address(session, id, size, requested_seconds)

    async def build_upload(self, file_change: FileChange, before: FileState | None, size: int) -> DriveUpload:
        properties = build_marker_properties(file_change, before)
        if before is not None:
            return DriveUpload(
                id=str(before.values["id"]),
                name="",
                parent_id="",
                content_type=file_change.content_type or before.store_details["type"],
                properties=properties,
                size=size,
            )
        name, parent_id = await self.find_new_file_location(file_change)
        return DriveUpload(
            name=name,
            parent_id=parent_id,
            content_type=file_change.content_type or guess_media_type(name) or DEFAULT_MEDIA_TYPE,
            properties=properties,
            size=size,
        )

    async def find_new_file_location(self, file_change: FileChange) -> tuple[str, str]:
        """Return the name of a new file and the id of its folder. Raises ChangeRejected."""
        if file_change.id.startswith(ID_PREFIX):
            raise ChangeRejected("there is no such file", ErrorCode.NOT_FOUND)
        path = file_change.id.removeprefix(PATH_PREFIX)
        parent_id = await await_or_reject(self.path_resolver.find_folder_id(path))
        if parent_id is None:
            raise ChangeRejected("`path` names a folder that is not there", ErrorCode.NOT_FOUND)
        return get_file_name(path), parent_id

    async def copy_file(self, file_change: FileChange, origin_id: str, before: FileState | None) -> DriveItem:
        if before is not None:
            raise ChangeRejected("drive copies only to a new file", ErrorCode.ALREADY_EXISTS)
        origin = await await_or_reject(self.load_file(origin_id))
        if origin is None or await await_or_reject(self.build_state(origin)) is None:
            raise build_missing_origin_error()
        name, parent_id = await self.find_new_file_location(file_change)
        payload = {
            "name": name,
            "parents": [parent_id],
            PROPERTIES_FIELD: build_marker_properties(file_change, None),
            **({} if file_change.content_type is None else {"mimeType": file_change.content_type}),
        }
        return await self.send_change("POST", f"files/{origin_id}/copy", payload)

    async def send_change(self, method: str, path: str, payload: Mapping[str, Any]) -> DriveItem:
        """Check an answer. Raises WriteConflict if the file is gone, and ChangeRejected if Drive refused the call."""
        url = self.client.build_url(f"/drive/v3/{path}", {"fields": "id", **self.scope.item_parameters})
        response = await self.client.send(
            DriveRequest(method=method, url=url, headers=JSON_HEADERS, data=orjson.dumps(payload))
        )
        if response.status == NOT_FOUND:
            raise WriteConflict
        if 400 <= response.status < SERVER_ERROR and response.status != TOO_MANY_REQUESTS:
            failure = map_drive_status(response.status, parse_json(response))
            raise ChangeRejected(failure.reason, ErrorCode.SOURCE_UNAVAILABLE)
        return parse_object(response)

    async def read_written_values(self, file_change: FileChange, id: str) -> RowValues:
        """Return the row of a file that was just written, or what is known of it if it cannot be read."""
        known = {**self.build_known_values(file_change), "id": id}
        try:
            state = await self.read_state(ID_PREFIX + id)
        except (ConnectorError, ChangeRejected, DriveNotFound):
            return known
        return known if state is None else state.values

    async def find_change(self, change: RowChange, file_change: FileChange) -> ChangeResult | None:
        for item in await self.list_candidates(file_change):
            state = await self.build_state(item)
            result = None if state is None else find_marked_result(state, hash_change_id(change.id))
            if result is not None:
                is_deletion = file_change.kind is ChangeKind.DELETE
                return ChangeResult(before=result.before, after=None) if is_deletion else result
        return None

    async def list_candidates(self, file_change: FileChange) -> Sequence[DriveItem]:
        """List the files that the change may have left its marker with, also those in the trash."""
        if file_change.id.startswith(ID_PREFIX):
            id = file_change.id.removeprefix(ID_PREFIX)
            fields = ",".join(sorted(WRITE_ITEM_FIELDS))
            item = await self.client.get_item(f"files/{id}", fields=fields, **self.scope.item_parameters)
            return [] if item is None else [item]
        path = file_change.id.removeprefix(PATH_PREFIX)
        if file_change.kind is ChangeKind.DELETE:
            return await self.path_resolver.list_items(path, "trashed = true")
        created = await self.path_resolver.search_items(build_marker_term(file_change.change_hash))
        return [*created, *await self.path_resolver.list_items(path, FILES_QUERY)]


class DrivePathResolver:
    """Find what a path names; if two files or folders have the same path, neither can be named by it."""

    def __init__(
        self, client: DriveClient, scope: DriveScope, tree_loader: FolderTreeLoader, fields: frozenset[str]
    ) -> None:
        self.client = client
        self.scope = scope
        self.tree_loader = tree_loader
        self.fields = fields

    async def find_file(self, path: str) -> DriveItem | None:
        return require_single_item(await self.list_items(path, FILES_QUERY), "file")

    async def list_items(self, path: str, query: str) -> Sequence[DriveItem]:
        folder_id = await self.find_folder_id(path)
        return [] if folder_id is None else await self.list_named_items(folder_id, get_file_name(path), query)

    async def find_folder_id(self, path: str) -> str | None:
        """Return the id of the folder that a path's last name lies in."""
        id = await self.tree_loader.resolve_folder_id(None)
        for name in path.split("/")[:-1]:
            folder = require_single_item(await self.list_named_items(id, name, FOLDERS_QUERY), "folder")
            if folder is None:
                return None
            id = folder["id"]
        return id

    async def list_named_items(self, folder_id: str, name: str, query: str) -> Sequence[DriveItem]:
        """List the items of exactly this name; Drive itself ignores the case of letters."""
        name_term = build_equals_term("name", name)
        if name_term is None:
            raise ChangeRejected("a part of `path` is too long to be looked for", ErrorCode.LIMIT_EXCEEDED)
        items = await self.search_items(join_all(query, name_term, build_parents_term([folder_id])))
        return [item for item in items if item["name"] == name]

    async def search_items(self, query: str) -> Sequence[DriveItem]:
        pages = self.client.list_pages(
            "files",
            "files",
            q=query,
            pageSize=PAGE_SIZE,
            fields=build_list_field_mask(self.fields),
            **self.scope.list_parameters,
        )
        return [item async for page in pages for item in page]


def require_single_item(items: Sequence[DriveItem], kind: str) -> DriveItem | None:
    if len(items) > 1:
        raise ChangeRejected(f"more than one {kind} has this `path`: give the file's `id`")
    return items[0] if items else None


def parse_marker_properties(item: DriveItem) -> Mapping[int, ChangeMarker]:
    """Return the markers by their numbers, the newest first."""
    properties = item.get(PROPERTIES_FIELD) or {}
    matches = {
        name.removeprefix(MARKER_PREFIX): MARKER_VALUE_PATTERN.fullmatch(value)
        for name, value in properties.items()
        if name.startswith(MARKER_PREFIX)
    }
    markers = {
        int(match["turn"]): ChangeMarker(change_hash=change_hash, previous_version=match["before"] or None)
        for change_hash, match in matches.items()
        if match is not None
    }
    return dict(sorted(markers.items(), reverse=True))


def build_marker_properties(file_change: FileChange, before: FileState | None) -> Mapping[str, str | None]:
    """Return the property of a change, and None for the properties of changes that are too old to be remembered."""
    name = MARKER_PREFIX + file_change.change_hash
    if before is None:
        return {name: CREATED_MARKER_VALUE}
    forgotten = {MARKER_PREFIX + marker.change_hash: None for marker in before.markers[MAX_MARKERS - 1 :]}
    return {**forgotten, name: f"{before.store_details['next']}={before.version[:70]}"}


def build_marker_term(change_hash: str) -> str:
    """Return the search term that finds the file that a change created."""
    return f"{PROPERTIES_FIELD} has {{ key='{MARKER_PREFIX}{change_hash}' and value='{CREATED_MARKER_VALUE}' }}"


async def yield_content(content: bytes) -> AsyncIterator[bytes]:
    yield content
