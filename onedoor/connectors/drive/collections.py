"""Files, permissions, search hits; contents."""

import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

from onedoor.connectors.drive.client import (
    NOT_FOUND,
    OK,
    PARTIAL,
    RANGE_NOT_SATISFIABLE,
    DriveClient,
    DriveItem,
    DriveNotFound,
    build_missing_file_error,
    build_unreadable_error,
    map_drive_status,
    parse_json,
)
from onedoor.connectors.drive.listing import (
    FILE_COLUMNS,
    FILES_QUERY,
    FOLDER_COLUMNS,
    FOLDER_ITEM_FIELDS,
    FOLDER_MEDIA_TYPE,
    FOLDERS_QUERY,
    GOOGLE_MEDIA_TYPE_PREFIX,
    ID_KEY,
    ID_PATTERN,
    LOCATION_FIELDS,
    MAX_KEYS,
    PATH_COLUMN,
    DriveColumn,
    DriveColumns,
    DriveFileListing,
    DriveScope,
    FolderTree,
    FolderTreeLoader,
    build_files_capabilities,
    build_folders_capabilities,
    find_item,
    join_all,
    list_item_fields,
    parse_drive_time,
    quote_text,
    read_size,
    read_version,
)
from onedoor.connectors.files.model import FileStat
from onedoor.connectors.path_patterns import PathPattern
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.concurrency import fan_out
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.operators import compile_key, compile_predicate
from onedoor.spi.predicates import And, Comparison, Row, Value
from onedoor.spi.scan import ScanRequest


def list_needed_columns(request: ScanRequest) -> tuple[str, ...]:
    """The columns that are looked at, those of the answer first."""
    keys = () if request.keys is None else request.keys.columns
    more = dict.fromkeys((*keys, *list_filter_columns(request.filter)))
    return (*request.columns, *(name for name in more if name not in request.columns))


def list_filter_columns(predicate_tree: object) -> Iterable[str]:
    match predicate_tree:
        case Comparison():
            return (predicate_tree.column,)
        case And():
            return tuple(name for part in predicate_tree.parts for name in list_filter_columns(part))
    raise TypeError(f"drive does not take {type(predicate_tree).__name__}")


def needs_location(names: Iterable[str], columns: DriveColumns) -> bool:
    """Whether where an item lies is looked at."""
    return any(name not in columns for name in names)


def build_drive_rows(
    items: Sequence[DriveItem],
    tree: FolderTree | None,
    request: ScanRequest,
    columns: DriveColumns,
    pattern: PathPattern | None,
) -> list[Row]:
    names = list_needed_columns(request)
    opened = items if tree is None else [item for item in items if tree.contains(item)]
    reading = [build_column_reader(name, columns, tree, pattern) for name in names]
    found = [tuple(read(item) for read in reading) for item in opened]
    meets, width = compile_row_filter(request, names), len(request.columns)
    return [row[:width] for row in found if meets(row)]


def compile_row_filter(request: ScanRequest, names: Sequence[str]) -> Callable[[Row], bool]:
    """Whether a row has one of the keys, and meets the filter."""
    meets = compile_predicate(request.filter, names)
    if request.keys is None:
        return meets
    key, wanted = compile_key(request.keys.columns, names), frozenset(request.keys.values)
    return lambda row: key(row) in wanted and meets(row)


def build_column_reader(
    name: str, columns: DriveColumns, tree: FolderTree | None, pattern: PathPattern | None
) -> Callable[[DriveItem], Value]:
    if name in columns:
        return columns[name].read
    assert tree is not None  # INVARIANT: asked for wherever it is looked at
    if name == PATH_COLUMN:
        return tree.find_path
    return lambda item: parse_path_columns(tree.find_path(item), pattern).get(name)


def parse_path_columns(path: str | None, pattern: PathPattern | None) -> Mapping[str, Value]:
    """The pattern's columns of a path."""
    return {} if path is None or pattern is None else pattern.match(path) or {}


def drop_seen_items(items: Sequence[DriveItem], seen: set[str]) -> list[DriveItem]:
    """Each once: what is moved meanwhile moves the pages."""
    found = {item["id"]: item for item in items if item["id"] not in seen}
    seen |= found.keys()
    return list(found.values())


class DriveFiles:
    """What is neither a folder nor in the trash."""

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
        lies = needs_location(names, FILE_COLUMNS)
        wanted = list_item_fields(FILE_COLUMNS, names, with_location=lies or self.tree_loader.confined)
        listing = DriveFileListing(self.client, self.scope, self.tree_loader, fields=wanted, with_tree=lies)
        seen: set[str] = set()
        async for items, tree in listing.list_files(request, self.pattern):
            yield build_drive_rows(drop_seen_items(items, seen), tree, request, FILE_COLUMNS, self.pattern)


class DriveFolders:
    """What is not in the trash, and not what everything lies in."""

    def __init__(self, client: DriveClient, scope: DriveScope, tree_loader: FolderTreeLoader) -> None:
        self.client = client
        self.scope = scope
        self.tree_loader = tree_loader
        self.capabilities = build_folders_capabilities()

    async def scan(self, request: ScanRequest) -> AsyncIterator[list[Row]]:
        """Where each lies is always looked at: the one that holds all others is told by that."""
        if request.keys is None:
            tree = await self.tree_loader.load_all()
            yield build_drive_rows(tuple(tree.folders.values()), tree, request, FOLDER_COLUMNS, None)
            return
        items = await (self.load_by_id(request) if request.keys.columns == ID_KEY else self.load_by_parent(request))
        yield build_drive_rows(items, await self.tree_loader.load_ancestors(items), request, FOLDER_COLUMNS, None)

    async def load_by_id(self, request: ScanRequest) -> list[DriveItem]:
        assert request.keys is not None  # INVARIANT: asked for nowhere else
        found = await fan_out(
            lambda key: self.tree_loader.find_folder(key[0]), request.keys.values, self.client.max_concurrency
        )
        return [item for item in found if item is not None]

    async def load_by_parent(self, request: ScanRequest) -> list[DriveItem]:
        assert request.keys is not None  # INVARIANT: asked for nowhere else
        listing = DriveFileListing(
            self.client, self.scope, self.tree_loader, fields=set(FOLDER_ITEM_FIELDS), with_tree=True
        )
        parents = [id for (id,) in request.keys.values if ID_PATTERN.fullmatch(id)]
        return [item async for items in listing.list_in_folders(parents, FOLDERS_QUERY) for item in items]


FILE_ID = "file_id"

PERMISSION_PAGE_SIZE = "100"

PERMISSION_FIELD_MASK = "nextPageToken,permissions(id,type,role,emailAddress)"

PERMISSION_COLUMNS = {
    FILE_ID: DriveColumn(type=ColumnType.TEXT, fields=(), read=lambda item: str(item[FILE_ID])),
    "id": DriveColumn(type=ColumnType.TEXT, fields=("id",), read=lambda item: str(item["id"])),
    "kind": DriveColumn(type=ColumnType.TEXT, fields=("type",), read=lambda item: str(item["type"])),
    "role": DriveColumn(type=ColumnType.TEXT, fields=("role",), read=lambda item: str(item["role"])),
    "email": DriveColumn(
        type=ColumnType.TEXT, fields=("emailAddress",), read=lambda item: item.get("emailAddress") or None
    ),
}

PERMISSION_CAPABILITIES = Capabilities(
    columns={name: Column(said.type) for name, said in PERMISSION_COLUMNS.items()},
    max_keys=MAX_KEYS,
    key_columns=frozenset({(FILE_ID,)}),
    required_columns=(FILE_ID,),
)


class DrivePermissions:
    """Those of what the settings open, alone."""

    def __init__(self, client: DriveClient, scope: DriveScope, tree_loader: FolderTreeLoader) -> None:
        self.client = client
        self.scope = scope
        self.tree_loader = tree_loader
        self.capabilities = PERMISSION_CAPABILITIES

    async def scan(self, request: ScanRequest) -> AsyncIterator[list[Row]]:
        assert request.keys is not None  # INVARIANT: `requires` is met by the planner
        asked = [id for (id,) in request.keys.values]
        found = await fan_out(
            lambda id: find_item(self.client, self.scope, id, LOCATION_FIELDS), asked, self.client.max_concurrency
        )
        items = [item for item in found if item is not None]
        tree = await self.tree_loader.load_ancestors(items)
        opened = [item["id"] for item in items if tree.contains(item)]
        for permissions in await fan_out(self.list_permissions, opened, self.client.max_concurrency):
            yield build_drive_rows(permissions, None, request, PERMISSION_COLUMNS, None)

    async def list_permissions(self, id: str) -> list[DriveItem]:
        """Of what is deleted meanwhile: none."""
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


TEXT_COLUMN, RANK_COLUMN = "text", "rank"

MAX_SEARCHES = 20
"""Texts in one read; each is a search of its own."""

SEARCHABLE_CHARACTER = re.compile(r"[^\W_]")
"""Drive looks at letters and digits alone: a text without any finds nothing."""

LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")
"""Half a character, which is in no file."""

HIT_COLUMNS: DriveColumns = {
    TEXT_COLUMN: DriveColumn(type=ColumnType.TEXT, fields=(), read=lambda item: str(item[TEXT_COLUMN])),
    "file_id": FILE_COLUMNS["id"],
    RANK_COLUMN: DriveColumn(type=ColumnType.INTEGER, fields=(), read=lambda item: int(item[RANK_COLUMN])),
    **{name: FILE_COLUMNS[name] for name in ("name", "content_type", "modified", "link")},
}

SEARCH_COLUMNS = {name: HIT_COLUMNS[name] for name in (TEXT_COLUMN,)}


def build_search_capabilities(columns: DriveColumns) -> Capabilities:
    return Capabilities(
        columns={name: Column(said.type) for name, said in columns.items()},
        max_keys=MAX_SEARCHES,
        key_columns=frozenset({(TEXT_COLUMN,)}),
        required_columns=(TEXT_COLUMN,),
    )


SEARCH_CAPABILITIES: Mapping[str, Capabilities] = {
    "searches": build_search_capabilities(SEARCH_COLUMNS),
    "hits": build_search_capabilities(HIT_COLUMNS),
}


class DriveSearches:
    """One for each text that can be searched for: nothing is asked."""

    capabilities = SEARCH_CAPABILITIES["searches"]

    async def scan(self, request: ScanRequest) -> AsyncIterator[list[Row]]:
        found = [{TEXT_COLUMN: text} for text in list_search_texts(request) if build_full_text_term(text) is not None]
        yield build_drive_rows(found, None, request, SEARCH_COLUMNS, None)


class DriveSearchHits:
    """Of what the settings open alone, without the trash; what else Drive found is not counted."""

    def __init__(self, client: DriveClient, scope: DriveScope, tree_loader: FolderTreeLoader) -> None:
        self.client = client
        self.scope = scope
        self.tree_loader = tree_loader
        self.capabilities = SEARCH_CAPABILITIES["hits"]

    async def scan(self, request: ScanRequest) -> AsyncIterator[list[Row]]:
        """A page at a time: one word may be in all files there are."""
        wanted = list_item_fields(HIT_COLUMNS, list_needed_columns(request), with_location=self.tree_loader.confined)
        for text in list_search_texts(request):
            async for items in self.find_hits(text, wanted):
                yield build_drive_rows(items, None, request, HIT_COLUMNS, None)

    async def find_hits(self, text: str, wanted: set[str]) -> AsyncIterator[list[DriveItem]]:
        listing = DriveFileListing(self.client, self.scope, self.tree_loader, fields=wanted, with_tree=False)
        said, seen, rank = build_full_text_term(text), set[str](), 0
        async for page in listing.search_pages(join_all(FILES_QUERY, said)) if said else yield_no_pages():
            opened = await self.keep_opened(drop_seen_items(page, seen))
            yield [{**item, TEXT_COLUMN: text, RANK_COLUMN: rank + place} for place, item in enumerate(opened, start=1)]
            rank += len(opened)

    async def keep_opened(self, items: list[DriveItem]) -> list[DriveItem]:
        if not self.tree_loader.confined:
            return items
        tree = await self.tree_loader.load_ancestors(items)
        return [item for item in items if tree.contains(item)]


async def yield_no_pages() -> AsyncIterator[list[DriveItem]]:
    return
    yield


def build_full_text_term(text: str) -> str | None:
    """As it stands, quotes and all: what they mean is Drive's. None: no file says this, and Drive is not asked."""
    if not SEARCHABLE_CHARACTER.search(text) or LONE_SURROGATE.search(text):
        return None
    return f"fullText contains {quote_text(''.join(each if each.isprintable() else ' ' for each in text))}"


def list_search_texts(request: ScanRequest) -> list[str]:
    assert request.keys is not None  # INVARIANT: `requires` is met by the planner
    return [text for (text,) in request.keys.values]


EXPORT_MEDIA_TYPES: Mapping[str, str] = {
    f"{GOOGLE_MEDIA_TYPE_PREFIX}document": "text/plain",
    f"{GOOGLE_MEDIA_TYPE_PREFIX}spreadsheet": "text/csv",
    f"{GOOGLE_MEDIA_TYPE_PREFIX}presentation": "text/plain",
}
"""What each of Google's own kinds is read as; of a spreadsheet Drive gives the first sheet."""

EXPORT_MAX_BYTES = 10_485_760
"""Drive exports no more."""

CONTENT_ITEM_FIELDS = list_item_fields(
    FILE_COLUMNS, ("name", "size", "content_type", "modified", "version"), with_location=True
)


class DriveContents:
    """The files that the settings open."""

    def __init__(self, client: DriveClient, scope: DriveScope, tree_loader: FolderTreeLoader) -> None:
        self.client = client
        self.scope = scope
        self.tree_loader = tree_loader

    async def stat(self, id: str) -> FileStat | None:
        """Its type is that of its bytes: of what is exported, the export's."""
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
        """By a range; a file that is shorter has none there."""
        span = {"range": f"bytes={start}-{start + length - 1}"}
        answer = await self.client.get_content(f"files/{id}", length, span, alt="media", **self.scope.item_parameters)
        if answer.status == RANGE_NOT_SATISFIABLE:
            return b""
        if answer.status == OK and start:
            raise build_unreadable_error()
        if answer.status not in (OK, PARTIAL):
            raise (
                build_missing_file_error()
                if answer.status == NOT_FOUND
                else map_drive_status(answer.status, parse_json(answer))
            )
        return answer.content

    async def export_range(self, item: DriveItem, start: int, length: int) -> bytes:
        """There is no range of an export: it is read from its beginning, and no further than wanted."""
        kind = EXPORT_MEDIA_TYPES.get(item["mimeType"])
        if kind is None:
            raise ConnectorError("drive has no content of such a file", ErrorCode.CANNOT_ANSWER)
        most = min(start + length, EXPORT_MAX_BYTES)
        answer = await self.client.get_content(f"files/{item['id']}/export", most, {}, mimeType=kind)
        if answer.status != OK:
            raise (
                build_missing_file_error()
                if answer.status == NOT_FOUND
                else map_drive_status(answer.status, parse_json(answer))
            )
        return answer.content[start:]


def build_file_stat(item: DriveItem) -> FileStat:
    return FileStat(
        id=item["id"],
        name=item["name"],
        size=read_size(item),
        content_type=EXPORT_MEDIA_TYPES.get(item["mimeType"], item["mimeType"]),
        modified=parse_drive_time(item["modifiedTime"]),
        version=read_version(item),
    )
