"""Scope, folder tree, search syntax, columns."""

import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice, takewhile
from typing import Any, TypeAlias

from onedoor.connectors.drive.client import DriveClient, DriveItem, DriveNotFound
from onedoor.connectors.path_patterns import PathPattern
from onedoor.runtime.concurrency import fan_out
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.predicates import And, Comparison, Op, Value
from onedoor.spi.scan import KeyFilter, ScanRequest

ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""What Drive's ids look like; no file has any other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveScope:
    """`folder`: only what lies below it. `drive`: only what is in this shared drive."""

    folder_id: str | None
    drive_id: str | None

    @property
    def item_parameters(self) -> Mapping[str, str]:
        """What a call for one item says beside its id."""
        return {} if self.drive_id is None else {"supportsAllDrives": "true"}

    @property
    def list_parameters(self) -> Mapping[str, str]:
        """What a listing says beside its query."""
        if self.drive_id is None:
            return {}
        return {
            **self.item_parameters,
            "includeItemsFromAllDrives": "true",
            "corpora": "drive",
            "driveId": self.drive_id,
        }

    def contains(self, item: DriveItem) -> bool:
        """Whether an item that was asked for by its id is one that a listing shows, folders aside."""
        return not item.get("trashed") and (self.drive_id is None or item.get("driveId") == self.drive_id)


class RootFolder:
    """Where paths begin: asked once, as nobody's own folder ever changes."""

    def __init__(self, scope: DriveScope) -> None:
        self.folder_id = scope.folder_id or scope.drive_id

    async def load_id(self, client: DriveClient) -> str | None:
        """None: there is no such folder, as a service account that speaks for itself may have none."""
        if self.folder_id is None:
            said = await client.get_item("files/root", fields="id")
            self.folder_id = None if said is None else said.get("id")
        return self.folder_id


FOLDER_MEDIA_TYPE = "application/vnd.google-apps.folder"

FOLDERS_QUERY = f"mimeType = '{FOLDER_MEDIA_TYPE}' and trashed = false"

PAGE_SIZE = "1000"

FOLDER_ITEM_FIELDS = ("id", "name", "parents", "mimeType", "trashed", "driveId")
"""What must be known of a folder."""

MAX_SINGLE_LOOKUPS = 20
"""Up to so many folders are asked for one by one; for more, all are listed."""

MAX_FOLDER_DEPTH = 100
"""Drive itself takes no more folders within folders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderTree:
    """Folders by id; `whole`: all there are. `confined`: what does not lie below the root is not there."""

    root_id: str | None
    confined: bool
    folders: Mapping[str, DriveItem]
    complete: bool = False

    def find_folder_names(self, parent_id: str | None) -> tuple[str, ...] | None:
        """The folders' names from the root down to `parent`; None: that is outside."""
        found: list[str] = []
        while parent_id is not None and parent_id != self.root_id:
            folder = self.folders.get(parent_id)
            if folder is None or len(found) > MAX_FOLDER_DEPTH:
                break
            found.append(folder["name"])
            parent_id = get_parent_id(folder)
        return None if self.confined and parent_id != self.root_id else tuple(reversed(found))

    def find_path(self, item: DriveItem) -> str | None:
        """None: it lies outside."""
        above = self.find_folder_names(get_parent_id(item))
        return None if above is None else "/".join(map(escape_path_part, (*above, item["name"])))

    def contains(self, item: DriveItem) -> bool:
        """Whether an item lies within; what everything lies in does not."""
        return item["id"] != self.root_id and self.find_path(item) is not None

    def list_folder_ids(self) -> Iterator[str]:
        """The root and every folder that lies below it."""
        if self.root_id is not None:
            yield self.root_id
        yield from (
            id for id, folder in self.folders.items() if id != self.root_id and self.find_path(folder) is not None
        )


class FolderTreeLoader:
    """How folders are found."""

    def __init__(self, client: DriveClient, scope: DriveScope, root_folder: RootFolder) -> None:
        self.client = client
        self.scope = scope
        self.root_folder = root_folder

    async def load_all(self) -> FolderTree:
        """Every folder there is: a call for each thousand."""
        pages = self.client.list_pages(
            "files",
            "files",
            q=FOLDERS_QUERY,
            pageSize=PAGE_SIZE,
            fields=build_list_field_mask(FOLDER_ITEM_FIELDS),
            **self.scope.list_parameters,
        )
        folders = {item["id"]: item async for page in pages for item in page}
        return FolderTree(
            root_id=await self.root_folder.load_id(self.client), confined=self.confined, folders=folders, complete=True
        )

    async def load_ancestors(self, items: Iterable[DriveItem]) -> FolderTree:
        """The folders that these lie in, and those above them, level by level."""
        root = await self.root_folder.load_id(self.client)
        folders: dict[str, DriveItem] = {}
        wanted = set(filter(None, map(get_parent_id, items))) - {root}
        for _ in range(MAX_FOLDER_DEPTH):
            if len(wanted) > MAX_SINGLE_LOOKUPS:
                return await self.load_all()
            found = await fan_out(self.find_folder, sorted(wanted), self.client.max_concurrency)
            folders |= {item["id"]: item for item in found if item is not None}
            above = {get_parent_id(item) for item in found if item is not None}
            wanted = {each for each in above if each is not None} - {root} - folders.keys()
            if not wanted:
                break
        return FolderTree(root_id=root, confined=self.confined, folders=folders)

    async def find_folder(self, id: str) -> DriveItem | None:
        """One that a listing of all folders shows; None: there is none."""
        found = await find_item(self.client, self.scope, id, FOLDER_ITEM_FIELDS)
        return None if found is None or found.get("mimeType") != FOLDER_MEDIA_TYPE else found

    async def resolve_folder_id(self, id: str | None) -> str:
        """The id of a folder that the settings open, the root where none is named. Raises Absent."""
        root = await self.root_folder.load_id(self.client)
        found = root if id is None or id == root else await self.find_opened_folder_id(id)
        if found is None:
            raise DriveNotFound
        return found

    async def find_opened_folder_id(self, id: str) -> str | None:
        folder = await self.find_folder(id)
        return id if folder is not None and (await self.load_ancestors([folder])).contains(folder) else None

    @property
    def confined(self) -> bool:
        return self.scope.folder_id is not None


async def find_item(client: DriveClient, scope: DriveScope, id: str, fields: Iterable[str]) -> DriveItem | None:
    """An item by its id, folder or not; None: there is none, or it is in the trash or in another drive."""
    if not ID_PATTERN.fullmatch(id):
        return None
    wanted = sorted({*fields, "id", "trashed", "driveId"})
    found = await client.get_item(f"files/{id}", fields=",".join(wanted), **scope.item_parameters)
    return found if found is not None and found["id"] == id and scope.contains(found) else None


def build_list_field_mask(fields: Iterable[str]) -> str:
    """The mask of a listing."""
    return f"nextPageToken,incompleteSearch,files({','.join(sorted({*fields, 'id'}))})"


def get_parent_id(item: DriveItem) -> str | None:
    """Since 2020 an item has one parent; older ones may have more, of which the first counts."""
    parents = item.get("parents")
    return parents[0] if parents else None


def escape_path_part(name: str) -> str:
    """A name as it stands in a path: it may hold a slash, which would look like a folder there."""
    return name.replace("/", "／")


SEARCH_TEXT_MAX_LENGTH = 200
"""Longer text is not searched by."""

SEARCH_MAX_VALUES = 50
"""So many values in one search: its address must not be too long."""

EMAIL_PATTERN = re.compile(r"[A-Za-z0-9._%+'-]{1,64}@[A-Za-z0-9.-]{1,190}")

MIN_YEAR = 1970

MAX_YEAR = 9999

ONE_SECOND = timedelta(seconds=1)


def quote_searchable(text: str) -> str | None:
    """The text as a search writes it; None: it is none to search by."""
    if not text.isprintable() or not text or len(text) > SEARCH_TEXT_MAX_LENGTH:
        return None
    return quote_text(text)


def quote_text(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def compile_search_terms(predicate: Any) -> Iterator[str]:
    """A search for each test that can be said as one; every row that meets the filter meets them all."""
    if isinstance(predicate, And):
        for part in predicate.parts:
            yield from compile_search_terms(part)
    elif isinstance(predicate, Comparison):
        said = SEARCHABLE_COLUMNS[predicate.column][1](predicate)
        if said is not None:
            yield said


def join_any(terms: Iterable[str | None]) -> str | None:
    """None where one of them cannot be said, as nothing is narrowed then."""
    found = list(terms)
    if not found or None in found or len(found) > SEARCH_MAX_VALUES:
        return None
    return f"({' or '.join(filter(None, found))})"


def join_all(*terms: str | None) -> str:
    return " and ".join(filter(None, terms))


def build_parents_term(ids: Sequence[str]) -> str:
    return "(" + " or ".join(f"'{id}' in parents" for id in ids) + ")"


def compile_name_term(comparison: Comparison) -> str | None:
    return join_any(build_equals_term("name", value) for value in list_comparison_values(comparison))


def compile_media_type_term(comparison: Comparison) -> str | None:
    return join_any(build_equals_term("mimeType", value) for value in list_comparison_values(comparison))


def build_equals_term(field: str, value: str) -> str | None:
    said = quote_searchable(value)
    return None if said is None else f"{field} = {said}"


def compile_owner_term(comparison: Comparison) -> str | None:
    return join_any(build_owner_term(value) for value in list_comparison_values(comparison))


def build_owner_term(address: str) -> str | None:
    said = quote_searchable(address) if EMAIL_PATTERN.fullmatch(address) else None
    return None if said is None else f"{said} in owners"


def compile_modified_term(comparison: Comparison) -> str | None:
    """Times to the second, from the one before to the one after."""
    at: datetime = comparison.value
    after = comparison.op in (Op.GT, Op.GTE, Op.EQ) and at.year > MIN_YEAR
    before = comparison.op in (Op.LT, Op.LTE, Op.EQ) and MIN_YEAR < at.year < MAX_YEAR
    return join_all(
        f"modifiedTime >= '{format_search_time(at - ONE_SECOND)}'" if after else None,
        f"modifiedTime <= '{format_search_time(at + ONE_SECOND)}'" if before else None,
    )


def format_search_time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def list_comparison_values(comparison: Comparison) -> Sequence[str]:
    return comparison.value if comparison.op is Op.IN else (comparison.value,)


EQUALITY_OPS = frozenset({Op.EQ, Op.IN})

SEARCHABLE_COLUMNS: Mapping[str, tuple[frozenset[Op], Callable[[Comparison], str | None]]] = {
    "name": (EQUALITY_OPS, compile_name_term),
    "content_type": (EQUALITY_OPS, compile_media_type_term),
    "owner_email": (EQUALITY_OPS, compile_owner_term),
    "modified": (frozenset({Op.EQ, Op.LT, Op.LTE, Op.GT, Op.GTE}), compile_modified_term),
}
"""By column, the tests that a search makes fewer files of, and how."""

ListedItems: TypeAlias = tuple[Sequence[DriveItem], FolderTree | None]

FILES_QUERY = f"mimeType != '{FOLDER_MEDIA_TYPE}' and trashed = false"

ID_KEY, PARENT_KEY, OWNER_KEY = ("id",), ("parent_id",), ("owner_email",)


class DriveFileListing:
    """How the files of one ask are found. `fields`: what is asked of each; `placed`: the folders matter."""

    def __init__(
        self,
        client: DriveClient,
        scope: DriveScope,
        tree_loader: FolderTreeLoader,
        *,
        fields: set[str],
        with_tree: bool,
    ) -> None:
        self.client = client
        self.scope = scope
        self.tree_loader = tree_loader
        self.fields = fields
        self.with_tree = with_tree or tree_loader.confined

    async def list_files(self, request: ScanRequest, pattern: PathPattern | None) -> AsyncIterator[ListedItems]:
        search = join_all(FILES_QUERY, *compile_search_terms(request.filter))
        match request.keys:
            case None:
                found = self.list_all(search)
            case KeyFilter(columns=columns) if columns == ID_KEY:
                found = self.list_by_id(request.keys)
            case KeyFilter(columns=columns) if columns == PARENT_KEY:
                found = self.list_by_parent(request.keys, search)
            case KeyFilter(columns=columns) if columns == OWNER_KEY:
                found = self.list_by_owner(request.keys, search)
            case _:
                assert pattern is not None  # INVARIANT: no other columns are promised as keys
                found = self.list_by_path(build_path_prefixes(request.keys, pattern), search)
        async for each in found:
            yield each

    async def list_all(self, search: str) -> AsyncIterator[ListedItems]:
        """Page by page; where only one folder is opened, what lies in each folder below it."""
        tree = await self.tree_loader.load_all() if self.with_tree else None
        if tree is None or not tree.confined:
            async for page in self.search_pages(search):
                yield page, tree
        else:
            async for items in self.list_in_folders(tuple(tree.list_folder_ids()), search):
                yield items, tree

    async def list_by_id(self, keys: KeyFilter) -> AsyncIterator[ListedItems]:
        wanted = {*self.fields, "mimeType"}
        asked = partial(find_item, self.client, self.scope, fields=wanted)
        items = await fan_out(lambda key: asked(key[0]), keys.values, self.client.max_concurrency)
        yield await self.attach_tree(
            [item for item in items if item is not None and item["mimeType"] != FOLDER_MEDIA_TYPE]
        )

    async def list_by_parent(self, keys: KeyFilter, search: str) -> AsyncIterator[ListedItems]:
        async for items in self.list_in_folders([id for (id,) in keys.values if ID_PATTERN.fullmatch(id)], search):
            yield await self.attach_tree(items)

    async def list_by_owner(self, keys: KeyFilter, search: str) -> AsyncIterator[ListedItems]:
        owners = join_any(filter(None, (build_owner_term(address) for (address,) in keys.values)))
        if owners is not None:
            async for page in self.search_pages(join_all(search, owners)):
                yield await self.attach_tree(page)

    async def list_by_path(self, path_prefixes: Sequence[str], search: str) -> AsyncIterator[ListedItems]:
        """In the folders whose files' paths may begin so. What lies in no folder that we see is found in all."""
        if any("/" not in start for start in path_prefixes) and not self.tree_loader.confined:
            async for found in self.list_all(search):
                yield found
        elif path_prefixes:
            tree = await self.tree_loader.load_all()
            async for items in self.list_in_folders(find_leading_folders(tree, path_prefixes), search):
                yield items, tree

    async def list_in_folders(self, folders: Sequence[str], search: str) -> AsyncIterator[list[DriveItem]]:
        """What lies in these folders themselves. An item may lie in two, of which the first counts."""
        seen: set[str] = set()
        for items in await fan_out(
            partial(self.search_folders, search), split_into_batches(folders), self.client.max_concurrency
        ):
            fresh = {item["id"]: item for item in items if item["id"] not in seen}
            seen |= fresh.keys()
            yield list(fresh.values())

    async def search_folders(self, search: str, folders: Sequence[str]) -> list[DriveItem]:
        """Drive refuses a search that names a folder it does not know, so then each half is asked for."""
        try:
            return [
                item async for page in self.search_pages(join_all(search, build_parents_term(folders))) for item in page
            ]
        except DriveNotFound:
            if len(folders) == 1:
                return []
        half = len(folders) // 2
        return [*await self.search_folders(search, folders[:half]), *await self.search_folders(search, folders[half:])]

    def search_pages(self, search: str) -> AsyncIterator[list[DriveItem]]:
        return self.client.list_pages(
            "files",
            "files",
            q=search,
            pageSize=PAGE_SIZE,
            fields=build_list_field_mask(self.fields),
            **self.scope.list_parameters,
        )

    async def attach_tree(self, items: Sequence[DriveItem]) -> ListedItems:
        return items, await self.tree_loader.load_ancestors(items) if self.with_tree else None


def build_path_prefixes(keys: KeyFilter, pattern: PathPattern) -> list[str]:
    return [pattern.build_prefix(dict(zip(keys.columns, key, strict=True))) for key in keys.values]


def find_leading_folders(tree: FolderTree, path_prefixes: Sequence[str]) -> list[str]:
    """The folders in which a file's path may begin with one of these."""
    return [id for id, base in list_folder_paths(tree) if any(may_start_with(base, start) for start in path_prefixes)]


def list_folder_paths(tree: FolderTree) -> Iterable[tuple[str, str]]:
    """Each folder, and what the paths of what lies in it begin with."""
    for id in tree.list_folder_ids():
        path = "" if id == tree.root_id else tree.find_path(tree.folders[id])
        yield id, f"{path}/" if path else ""


def may_start_with(base: str, start: str) -> bool:
    return base.startswith(start) or (start.startswith(base) and "/" not in start[len(base) :])


def split_into_batches(folders: Sequence[str]) -> list[Sequence[str]]:
    rest = iter(folders)
    return list(iter(lambda: tuple(islice(rest, SEARCH_MAX_VALUES)), ()))


MAX_KEYS = 50

GOOGLE_MEDIA_TYPE_PREFIX = "application/vnd.google-apps."
"""How the types of what has no bytes of its own begin: Docs, Sheets, folders, shortcuts."""

PATH_COLUMN = "path"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveColumn:
    """A column that Drive says itself: `fields` is what it is asked for."""

    type: ColumnType
    fields: tuple[str, ...]
    read: Callable[[DriveItem], Value]


DriveColumns: TypeAlias = Mapping[str, DriveColumn]


def read_size(item: DriveItem) -> int | None:
    """Of what is exported, Drive's own figure is not that of the export."""
    return None if item["mimeType"].startswith(GOOGLE_MEDIA_TYPE_PREFIX) or "size" not in item else int(item["size"])


def read_version(item: DriveItem) -> str:
    """Content's own where it has one; that of Docs and Sheets changes with their names and rights, too."""
    return str(item.get("headRevisionId") or item["version"])


def read_owner_email(item: DriveItem) -> str | None:
    """None: it is in a shared drive, and nobody's."""
    owners = item.get("owners") or [{}]
    return owners[0].get("emailAddress") or None


def parse_drive_time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


FILE_COLUMNS: DriveColumns = {
    "id": DriveColumn(type=ColumnType.TEXT, fields=("id",), read=lambda item: str(item["id"])),
    "name": DriveColumn(type=ColumnType.TEXT, fields=("name",), read=lambda item: str(item["name"])),
    "size": DriveColumn(type=ColumnType.INTEGER, fields=("size", "mimeType"), read=read_size),
    "content_type": DriveColumn(type=ColumnType.TEXT, fields=("mimeType",), read=lambda item: str(item["mimeType"])),
    "modified": DriveColumn(
        type=ColumnType.TIME, fields=("modifiedTime",), read=lambda item: parse_drive_time(item["modifiedTime"])
    ),
    "version": DriveColumn(type=ColumnType.TEXT, fields=("headRevisionId", "version"), read=read_version),
    "owner_email": DriveColumn(type=ColumnType.TEXT, fields=("owners(emailAddress)",), read=read_owner_email),
    "parent_id": DriveColumn(type=ColumnType.TEXT, fields=("parents",), read=get_parent_id),
    "link": DriveColumn(type=ColumnType.TEXT, fields=("webViewLink",), read=lambda item: item.get("webViewLink")),
}

FOLDER_COLUMNS: DriveColumns = {name: FILE_COLUMNS[name] for name in ("id", "name", "parent_id")}

LOCATION_FIELDS = ("name", "parents")
"""What must be known of an item to say where it lies."""


def list_item_fields(columns: DriveColumns, names: Iterable[str], *, with_location: bool) -> set[str]:
    """What Drive is asked for, and no more."""
    said = {each for name in names if name in columns for each in columns[name].fields}
    return {*said, *(LOCATION_FIELDS if with_location else ())}


def build_files_capabilities(pattern: PathPattern | None) -> Capabilities:
    """Columns as every store of files has them first, then ours, then the pattern's; of the same name, its give way."""
    own = {
        name: Column(said.type, SEARCHABLE_COLUMNS[name][0] if name in SEARCHABLE_COLUMNS else frozenset())
        for name, said in FILE_COLUMNS.items()
    }
    first = {"id": own["id"], PATH_COLUMN: Column(ColumnType.TEXT)}
    further = {} if pattern is None else {name: Column(kind) for name, kind in pattern.columns.items()}
    keys = {("id",), ("parent_id",), ("owner_email",), *list_leading_columns(pattern)}
    return Capabilities(columns={**first, **own, **{n: c for n, c in further.items() if n not in own | first}}, max_keys=MAX_KEYS,
               key_columns=frozenset(keys))  # fmt: skip


def build_folders_capabilities() -> Capabilities:
    columns = {
        **{name: Column(said.type) for name, said in FOLDER_COLUMNS.items()},
        PATH_COLUMN: Column(ColumnType.TEXT),
    }
    return Capabilities(columns=columns, max_keys=MAX_KEYS, key_columns=frozenset({("id",), ("parent_id",)}))


def list_leading_columns(pattern: PathPattern | None) -> Iterator[tuple[str, ...]]:
    """The pattern's columns from its first on: what a path begins with follows from them."""
    ours = {*FILE_COLUMNS, PATH_COLUMN}
    names = () if pattern is None else tuple(takewhile(lambda name: name not in ours, pattern.columns))
    return (names[: count + 1] for count in range(len(names)))
