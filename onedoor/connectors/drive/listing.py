"""List the files that a request asks for, by the calls that find them with the least reading."""

from collections.abc import AsyncIterator, Iterable, Sequence, Set
from functools import partial
from itertools import islice
from typing import TypeAlias

from onedoor.connectors.drive.client import DriveClient, DriveItem, DriveNotFound
from onedoor.connectors.drive.columns import ID_KEY, OWNER_KEY, PARENT_KEY
from onedoor.connectors.drive.folders import (
    FILES_QUERY,
    FOLDER_MEDIA_TYPE,
    ID_PATTERN,
    PAGE_SIZE,
    DriveScope,
    FolderTree,
    FolderTreeLoader,
    build_list_field_mask,
    find_item,
)
from onedoor.connectors.drive.search import (
    SEARCH_MAX_VALUES,
    build_owner_term,
    build_parents_term,
    compile_search_terms,
    join_all,
    join_any,
)
from onedoor.connectors.path_patterns import PathPattern
from onedoor.runtime.concurrency import fan_out
from onedoor.spi.scan import KeyFilter, ScanRequest

ListedItems: TypeAlias = tuple[Sequence[DriveItem], FolderTree | None]
"""Items, and the folders that they lie in if the request needs them."""


class DriveFileListing:
    """List files with `fields` of each, and with the folders they lie in if `with_tree`."""

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
                batches = self.list_all(search)
            case KeyFilter(columns=columns) if columns == ID_KEY:
                batches = self.list_by_id(request.keys)
            case KeyFilter(columns=columns) if columns == PARENT_KEY:
                batches = self.list_by_parent(request.keys, search)
            case KeyFilter(columns=columns) if columns == OWNER_KEY:
                batches = self.list_by_owner(request.keys, search)
            case _:
                assert pattern is not None  # INVARIANT: the capabilities name no other key columns
                batches = self.list_by_path(build_path_prefixes(request.keys, pattern), search)
        async for batch in batches:
            yield batch

    async def list_all(self, search: str) -> AsyncIterator[ListedItems]:
        """Yield the pages of a search; if only one folder is open, the files of each folder below it."""
        tree = await self.tree_loader.load_all() if self.with_tree else None
        if tree is None or not tree.confined:
            async for page in self.search_pages(search):
                yield page, tree
            return
        async for items in self.list_in_folders(tuple(tree.list_folder_ids()), search):
            yield items, tree

    async def list_by_id(self, keys: KeyFilter) -> AsyncIterator[ListedItems]:
        look_up = partial(find_item, self.client, self.scope, fields={*self.fields, "mimeType"})
        items = await fan_out(lambda key: look_up(key[0]), keys.values, self.client.max_concurrency)
        files = [item for item in items if item is not None and item["mimeType"] != FOLDER_MEDIA_TYPE]
        yield await self.attach_tree(files)

    async def list_by_parent(self, keys: KeyFilter, search: str) -> AsyncIterator[ListedItems]:
        folder_ids = [id for (id,) in keys.values if ID_PATTERN.fullmatch(id)]
        async for items in self.list_in_folders(folder_ids, search):
            yield await self.attach_tree(items)

    async def list_by_owner(self, keys: KeyFilter, search: str) -> AsyncIterator[ListedItems]:
        owners = join_any(filter(None, (build_owner_term(address) for (address,) in keys.values)))
        if owners is not None:
            async for page in self.search_pages(join_all(search, owners)):
                yield await self.attach_tree(page)

    async def list_by_path(self, path_prefixes: Sequence[str], search: str) -> AsyncIterator[ListedItems]:
        """Yield the files of the folders whose paths fit; of all files, if one may lie in no folder that is seen."""
        if any("/" not in prefix for prefix in path_prefixes) and not self.tree_loader.confined:
            async for batch in self.list_all(search):
                yield batch
        elif path_prefixes:
            tree = await self.tree_loader.load_all()
            async for items in self.list_in_folders(find_leading_folders(tree, path_prefixes), search):
                yield items, tree

    async def list_in_folders(self, folder_ids: Sequence[str], search: str) -> AsyncIterator[list[DriveItem]]:
        """Yield the files that lie in these folders themselves, and a file that lies in two of them once."""
        seen: set[str] = set()
        batches = await fan_out(
            partial(self.search_folders, search), split_into_batches(folder_ids), self.client.max_concurrency
        )
        for items in batches:
            fresh = drop_seen_items(items, seen)
            seen |= fresh.keys()
            yield list(fresh.values())

    async def search_folders(self, search: str, folder_ids: Sequence[str]) -> list[DriveItem]:
        """Search by halves if Drive does not know one of the folders, as it refuses the whole search then."""
        try:
            pages = self.search_pages(join_all(search, build_parents_term(folder_ids)))
            return [item async for page in pages for item in page]
        except DriveNotFound:
            if len(folder_ids) == 1:
                return []
        half = len(folder_ids) // 2
        first = await self.search_folders(search, folder_ids[:half])
        return [*first, *await self.search_folders(search, folder_ids[half:])]

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


def drop_seen_items(items: Sequence[DriveItem], seen: Set[str]) -> dict[str, DriveItem]:
    """Return by its id each item that was not seen before: one that moves meanwhile shows up on two pages."""
    return {item["id"]: item for item in items if item["id"] not in seen}


def build_path_prefixes(keys: KeyFilter, pattern: PathPattern) -> list[str]:
    return [pattern.build_prefix(dict(zip(keys.columns, key, strict=True))) for key in keys.values]


def find_leading_folders(tree: FolderTree, path_prefixes: Sequence[str]) -> list[str]:
    """Return the folders in which the path of a file may begin with one of the prefixes."""
    return [
        id
        for id, folder_path in list_folder_paths(tree)
        if any(may_start_with(folder_path, prefix) for prefix in path_prefixes)
    ]


def list_folder_paths(tree: FolderTree) -> Iterable[tuple[str, str]]:
    """Yield each folder with what the paths in it begin with."""
    for id in tree.list_folder_ids():
        path = "" if id == tree.root_id else tree.find_path(tree.folders[id])
        yield id, f"{path}/" if path else ""


def may_start_with(folder_path: str, prefix: str) -> bool:
    return folder_path.startswith(prefix) or (prefix.startswith(folder_path) and "/" not in prefix[len(folder_path) :])


def split_into_batches(folder_ids: Sequence[str]) -> list[Sequence[str]]:
    rest = iter(folder_ids)
    return list(iter(lambda: tuple(islice(rest, SEARCH_MAX_VALUES)), ()))
