"""Serve each collection of a Drive: files, folders, permissions and searches, and the content of files."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from onedoor.connectors.drive.client import (
    NOT_FOUND,
    OK,
    PARTIAL,
    RANGE_NOT_SATISFIABLE,
    DriveClient,
    DriveItem,
    DriveNotFound,
    DriveResponse,
    build_missing_file_error,
    build_unreadable_error,
    map_drive_status,
    parse_json,
)
from onedoor.connectors.drive.columns import (
    FILE_COLUMNS,
    FOLDER_COLUMNS,
    GOOGLE_MEDIA_TYPE_PREFIX,
    ID_KEY,
    PATH_COLUMN,
    DriveColumn,
    DriveColumns,
    build_files_capabilities,
    build_folders_capabilities,
    list_item_fields,
    parse_drive_time,
    read_size,
    read_version,
)
from onedoor.connectors.drive.folders import (
    FILES_QUERY,
    FOLDER_ITEM_FIELDS,
    FOLDER_MEDIA_TYPE,
    FOLDERS_QUERY,
    ID_PATTERN,
    LOCATION_FIELDS,
    DriveScope,
    FolderTree,
    FolderTreeLoader,
    find_item,
)
from onedoor.connectors.drive.listing import DriveFileListing, drop_seen_items
from onedoor.connectors.drive.search import build_full_text_term, join_all
from onedoor.connectors.files.model import MAX_KEYS, FileStat
from onedoor.connectors.path_patterns import PathPattern
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.concurrency import fan_out
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.operators import compile_key, compile_predicate
from onedoor.spi.predicates import Row, Value, split_conjuncts
from onedoor.spi.scan import KeyFilter, ScanRequest

FILE_ID, TEXT_COLUMN, RANK_COLUMN = "file_id", "text", "rank"

PERMISSION_PAGE_SIZE = "100"

PERMISSION_FIELD_MASK = "nextPageToken,permissions(id,type,role,emailAddress)"

PERMISSION_COLUMNS: DriveColumns = {
    FILE_ID: DriveColumn(type=ColumnType.TEXT, fields=(), read=lambda item: str(item[FILE_ID])),
    "id": DriveColumn(type=ColumnType.TEXT, fields=("id",), read=lambda item: str(item["id"])),
    "kind": DriveColumn(type=ColumnType.TEXT, fields=("type",), read=lambda item: str(item["type"])),
    "role": DriveColumn(type=ColumnType.TEXT, fields=("role",), read=lambda item: str(item["role"])),
    "email": DriveColumn(
        type=ColumnType.TEXT, fields=("emailAddress",), read=lambda item: item.get("emailAddress") or None
    ),
}

MAX_SEARCHES = 20
"""Texts in one scan; each is a search of its own."""

HIT_COLUMNS: DriveColumns = {
    TEXT_COLUMN: DriveColumn(type=ColumnType.TEXT, fields=(), read=lambda item: str(item[TEXT_COLUMN])),
    FILE_ID: FILE_COLUMNS["id"],
    RANK_COLUMN: DriveColumn(type=ColumnType.INTEGER, fields=(), read=lambda item: int(item[RANK_COLUMN])),
    **{name: FILE_COLUMNS[name] for name in ("name", "content_type", "modified", "link")},
}

SEARCH_COLUMNS: DriveColumns = {TEXT_COLUMN: HIT_COLUMNS[TEXT_COLUMN]}

EXPORT_MEDIA_TYPES: Mapping[str, str] = {
    f"{GOOGLE_MEDIA_TYPE_PREFIX}document": "text/plain",
    f"{GOOGLE_MEDIA_TYPE_PREFIX}spreadsheet": "text/csv",
    f"{GOOGLE_MEDIA_TYPE_PREFIX}presentation": "text/plain",
}
"""By Google's own media types, the type they are exported as; Drive exports the first sheet of a spreadsheet."""

EXPORT_MAX_BYTES = 10_485_760
"""Bytes of the longest export that Drive makes."""

CONTENT_ITEM_FIELDS = list_item_fields(
    FILE_COLUMNS, ("name", "size", "content_type", "modified", "version"), with_location=True
)


def build_required_key_capabilities(columns: DriveColumns, key_column: str, max_keys: int) -> Capabilities:
    """Return the capabilities of a collection that is only found by the values of one column."""
    return Capabilities(
        columns={name: Column(column.type) for name, column in columns.items()},
        max_keys=max_keys,
        key_columns=frozenset({(key_column,)}),
        required_columns=(key_column,),
    )


PERMISSION_CAPABILITIES = build_required_key_capabilities(PERMISSION_COLUMNS, FILE_ID, MAX_KEYS)

SEARCH_CAPABILITIES: Mapping[str, Capabilities] = {
    "searches": build_required_key_capabilities(SEARCH_COLUMNS, TEXT_COLUMN, MAX_SEARCHES),
    "hits": build_required_key_capabilities(HIT_COLUMNS, TEXT_COLUMN, MAX_SEARCHES),
}


class DriveFiles:
    """Serve the files that are not in the trash."""

    def __init__(
        self, client: DriveClient, scope: DriveScope, tree_loader: FolderTreeLoader, pattern: PathPattern | None
    ) -> None:
        self.client = client
        self.scope = scope
        self.tree_loader = tree_loader
        self.pattern = pattern
        self.capabilities = build_files_capabilities(pattern)

    async def scan(self, request: ScanRequest) -> AsyncIterator[list[Row]]:
        names = list_needed_columns(request)
        with_tree = any(name not in FILE_COLUMNS for name in names)
        fields = list_item_fields(FILE_COLUMNS, names, with_location=with_tree or self.tree_loader.confined)
        listing = DriveFileListing(self.client, self.scope, self.tree_loader, fields=fields, with_tree=with_tree)
        seen: set[str] = set()
        async for items, tree in listing.list_files(request, self.pattern):
            fresh = drop_seen_items(items, seen)
            seen |= fresh.keys()
            yield build_drive_rows(list(fresh.values()), tree, request, FILE_COLUMNS, self.pattern)


class DriveFolders:
    """Serve the folders that are not in the trash, except the root.

    The folders above are always loaded, as it is they that tell which folder is the root.
    """

    def __init__(self, client: DriveClient, scope: DriveScope, tree_loader: FolderTreeLoader) -> None:
        self.client = client
        self.scope = scope
        self.tree_loader = tree_loader
        self.capabilities = build_folders_capabilities()

    async def scan(self, request: ScanRequest) -> AsyncIterator[list[Row]]:
        if request.keys is None:
            tree = await self.tree_loader.load_all()
            yield build_drive_rows(tuple(tree.folders.values()), tree, request, FOLDER_COLUMNS, None)
            return
        load = self.load_by_id if request.keys.columns == ID_KEY else self.load_by_parent
        items = await load(request.keys)
        yield build_drive_rows(items, await self.tree_loader.load_ancestors(items), request, FOLDER_COLUMNS, None)

    async def load_by_id(self, keys: KeyFilter) -> list[DriveItem]:
        folders = await fan_out(
            lambda key: self.tree_loader.find_folder(key[0]), keys.values, self.client.max_concurrency
        )
        return [folder for folder in folders if folder is not None]

    async def load_by_parent(self, keys: KeyFilter) -> list[DriveItem]:
        listing = DriveFileListing(
            self.client, self.scope, self.tree_loader, fields=set(FOLDER_ITEM_FIELDS), with_tree=True
        )
        parent_ids = [id for (id,) in keys.values if ID_PATTERN.fullmatch(id)]
        return [item async for items in listing.list_in_folders(parent_ids, FOLDERS_QUERY) for item in items]


class DrivePermissions:
    """Serve the permissions of the files that the settings open."""

    capabilities = PERMISSION_CAPABILITIES

    def __init__(self, client: DriveClient, scope: DriveScope, tree_loader: FolderTreeLoader) -> None:
        self.client = client
        self.scope = scope
        self.tree_loader = tree_loader

    async def scan(self, request: ScanRequest) -> AsyncIterator[list[Row]]:
        files = await fan_out(
            lambda id: find_item(self.client, self.scope, id, LOCATION_FIELDS),
            list_required_keys(request),
            self.client.max_concurrency,
        )
        items = [item for item in files if item is not None]
        tree = await self.tree_loader.load_ancestors(items)
        open_ids = [item["id"] for item in items if tree.contains(item)]
        for permissions in await fan_out(self.list_permissions, open_ids, self.client.max_concurrency):
            yield build_drive_rows(permissions, None, request, PERMISSION_COLUMNS, None)

    async def list_permissions(self, id: str) -> list[DriveItem]:
        """Return no permissions of a file that is deleted meanwhile."""
        pages = self.client.list_pages(
            f"files/{id}/permissions",
            "permissions",
            pageSize=PERMISSION_PAGE_SIZE,
            fields=PERMISSION_FIELD_MASK,
            **self.scope.item_parameters,
        )
        try:
            return [{**item, FILE_ID: id} async for page in pages for item in page]
        except DriveNotFound:
            return []


class DriveSearches:
    """Serve one row for each text that can be searched for, without a call."""

    capabilities = SEARCH_CAPABILITIES["searches"]

    async def scan(self, request: ScanRequest) -> AsyncIterator[list[Row]]:
        texts = [text for text in list_required_keys(request) if build_full_text_term(text) is not None]
        yield build_drive_rows([{TEXT_COLUMN: text} for text in texts], None, request, SEARCH_COLUMNS, None)


class DriveSearchHits:
    """Serve what Drive finds for a text among the files that the settings open; their ranks count only those."""

    capabilities = SEARCH_CAPABILITIES["hits"]

    def __init__(self, client: DriveClient, scope: DriveScope, tree_loader: FolderTreeLoader) -> None:
        self.client = client
        self.scope = scope
        self.tree_loader = tree_loader

    async def scan(self, request: ScanRequest) -> AsyncIterator[list[Row]]:
        """Yield a page at a time, as all files there are may hold a word."""
        fields = list_item_fields(HIT_COLUMNS, list_needed_columns(request), with_location=self.tree_loader.confined)
        for text in list_required_keys(request):
            async for items in self.find_hits(text, fields):
                yield build_drive_rows(items, None, request, HIT_COLUMNS, None)

    async def find_hits(self, text: str, fields: set[str]) -> AsyncIterator[list[DriveItem]]:
        term = build_full_text_term(text)
        if term is None:
            return
        listing = DriveFileListing(self.client, self.scope, self.tree_loader, fields=fields, with_tree=False)
        seen, rank = set[str](), 0
        async for page in listing.search_pages(join_all(FILES_QUERY, term)):
            fresh = drop_seen_items(page, seen)
            seen |= fresh.keys()
            items = await self.filter_open(list(fresh.values()))
            yield [
                {**item, TEXT_COLUMN: text, RANK_COLUMN: item_rank} for item_rank, item in enumerate(items, rank + 1)
            ]
            rank += len(items)

    async def filter_open(self, items: list[DriveItem]) -> list[DriveItem]:
        if not self.tree_loader.confined:
            return items
        tree = await self.tree_loader.load_ancestors(items)
        return [item for item in items if tree.contains(item)]


class DriveContents:
    """Read the content of the files that the settings open, and of Google's own kinds their exports."""

    def __init__(self, client: DriveClient, scope: DriveScope, tree_loader: FolderTreeLoader) -> None:
        self.client = client
        self.scope = scope
        self.tree_loader = tree_loader

    async def stat(self, id: str) -> FileStat | None:
        item = await self.load_file(id)
        return None if item is None else build_file_stat(item)

    async def read_range(self, id: str, start: int, length: int) -> bytes:
        item = await self.load_file(id)
        if item is None:
            raise build_missing_file_error()
        if length <= 0:
            return b""
        if item["mimeType"].startswith(GOOGLE_MEDIA_TYPE_PREFIX):
            return await self.export_range(item, start, length)
        return await self.download_range(id, start, length)

    async def load_file(self, id: str) -> DriveItem | None:
        item = await find_item(self.client, self.scope, id, CONTENT_ITEM_FIELDS | set(LOCATION_FIELDS))
        if item is None or item["mimeType"] == FOLDER_MEDIA_TYPE:
            return None
        if not self.tree_loader.confined:
            return item
        return item if (await self.tree_loader.load_ancestors([item])).contains(item) else None

    async def download_range(self, id: str, start: int, length: int) -> bytes:
        """Return nothing for a range past the end of the file."""
        headers = {"range": f"bytes={start}-{start + length - 1}"}
        parameters = {"alt": "media", **self.scope.item_parameters}
        response = await self.client.get_content(f"files/{id}", length, headers, **parameters)
        if response.status == RANGE_NOT_SATISFIABLE:
            return b""
        if response.status == OK and start:
            raise build_unreadable_error()
        if response.status not in (OK, PARTIAL):
            raise map_content_error(response)
        return response.content

    async def export_range(self, item: DriveItem, start: int, length: int) -> bytes:
        """Read an export from its beginning and no further than asked for, as exports have no ranges."""
        media_type = EXPORT_MEDIA_TYPES.get(item["mimeType"])
        if media_type is None:
            raise ConnectorError("drive has no content of such a file", ErrorCode.CANNOT_ANSWER)
        max_bytes = min(start + length, EXPORT_MAX_BYTES)
        response = await self.client.get_content(f"files/{item['id']}/export", max_bytes, {}, mimeType=media_type)
        if response.status != OK:
            raise map_content_error(response)
        return response.content[start:]


def map_content_error(response: DriveResponse) -> ConnectorError:
    if response.status == NOT_FOUND:
        return build_missing_file_error()
    return map_drive_status(response.status, parse_json(response))


def build_file_stat(item: DriveItem) -> FileStat:
    """Describe a file by its bytes: the media type of an exported one is that of its export."""
    return FileStat(
        id=item["id"],
        name=item["name"],
        size=read_size(item),
        content_type=EXPORT_MEDIA_TYPES.get(item["mimeType"], item["mimeType"]),
        modified=parse_drive_time(item["modifiedTime"]),
        version=read_version(item),
    )


def build_drive_rows(
    items: Sequence[DriveItem],
    tree: FolderTree | None,
    request: ScanRequest,
    columns: DriveColumns,
    pattern: PathPattern | None,
) -> list[Row]:
    """Return the rows of the items that lie in the tree, if there is one, and pass the request's keys and filter."""
    names = list_needed_columns(request)
    inside = items if tree is None else [item for item in items if tree.contains(item)]
    readers = [build_column_reader(name, columns, tree, pattern) for name in names]
    rows = [tuple(read(item) for read in readers) for item in inside]
    passes, width = compile_row_filter(request, names), len(request.columns)
    return [row[:width] for row in rows if passes(row)]


def list_needed_columns(request: ScanRequest) -> tuple[str, ...]:
    """Return the columns that the request reads: those it asks for, then those of its keys and filter."""
    key_columns = () if request.keys is None else request.keys.columns
    filter_columns = (part.column for part in split_conjuncts(request.filter))
    further = dict.fromkeys((*key_columns, *filter_columns))
    return (*request.columns, *(name for name in further if name not in request.columns))


def list_required_keys(request: ScanRequest) -> list[str]:
    assert request.keys is not None  # INVARIANT: the planner gives every required column as a key
    return [key for (key,) in request.keys.values]


def compile_row_filter(request: ScanRequest, names: Sequence[str]) -> Callable[[Row], bool]:
    """Return a function that says whether a row has one of the keys and passes the filter."""
    passes = compile_predicate(request.filter, names)
    if request.keys is None:
        return passes
    get_key, keys = compile_key(request.keys.columns, names), frozenset(request.keys.values)
    return lambda row: get_key(row) in keys and passes(row)


def build_column_reader(
    name: str, columns: DriveColumns, tree: FolderTree | None, pattern: PathPattern | None
) -> Callable[[DriveItem], Value]:
    if name in columns:
        return columns[name].read
    assert tree is not None  # INVARIANT: the tree is loaded for every request that reads a column of the path
    if name == PATH_COLUMN:
        return tree.find_path
    return lambda item: parse_path_columns(tree.find_path(item), pattern).get(name)


def parse_path_columns(path: str | None, pattern: PathPattern | None) -> Mapping[str, Value]:
    return {} if path is None or pattern is None else pattern.match(path) or {}
