"""Find the folders of a Drive, and where in them an item lies."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from onedoor.connectors.drive.client import DriveClient, DriveItem, DriveNotFound
from onedoor.runtime.concurrency import fan_out

ID_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,128}")
"""The form of every id that Drive gives."""

FOLDER_MEDIA_TYPE = "application/vnd.google-apps.folder"

FOLDERS_QUERY = f"mimeType = '{FOLDER_MEDIA_TYPE}' and trashed = false"

FILES_QUERY = f"mimeType != '{FOLDER_MEDIA_TYPE}' and trashed = false"

PAGE_SIZE = "1000"

FOLDER_ITEM_FIELDS = ("id", "name", "parents", "mimeType", "trashed", "driveId")

LOCATION_FIELDS = ("name", "parents")
"""The fields of an item that its path follows from."""

MAX_SINGLE_LOOKUPS = 20
"""Folders that are looked up one by one; for more, all folders are listed."""

MAX_FOLDER_DEPTH = 100
"""Levels of folders that Drive itself allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveScope:
    """What the settings open: what lies below `folder_id`, and in the shared drive `drive_id`; None for no limit."""

    folder_id: str | None
    drive_id: str | None

    @property
    def item_parameters(self) -> Mapping[str, str]:
        """Parameters of a call for one item."""
        return {} if self.drive_id is None else {"supportsAllDrives": "true"}

    @property
    def list_parameters(self) -> Mapping[str, str]:
        """Parameters of a listing."""
        if self.drive_id is None:
            return {}
        return {
            **self.item_parameters,
            "includeItemsFromAllDrives": "true",
            "corpora": "drive",
            "driveId": self.drive_id,
        }

    def contains(self, item: DriveItem) -> bool:
        """Return whether a listing would show an item that was found by its id, apart from where it lies."""
        return not item.get("trashed") and (self.drive_id is None or item.get("driveId") == self.drive_id)


class RootFolder:
    """Where paths begin; looked up once, as the id of a person's own root never changes."""

    def __init__(self, scope: DriveScope) -> None:
        self.folder_id = scope.folder_id or scope.drive_id

    async def load_id(self, client: DriveClient) -> str | None:
        """Return None if there is none, as may be for a service account that acts for itself."""
        if self.folder_id is None:
            root = await client.get_item("files/root", fields="id")
            self.folder_id = None if root is None else root.get("id")
        return self.folder_id


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderTree:
    """Folders by their ids. If `confined`, an item that does not lie below the root is outside."""

    root_id: str | None
    confined: bool
    folders: Mapping[str, DriveItem]

    def find_folder_names(self, parent_id: str | None) -> tuple[str, ...] | None:
        """Return the names of the folders from the root down to a parent, or None if it is outside."""
        names: list[str] = []
        while parent_id is not None and parent_id != self.root_id:
            folder = self.folders.get(parent_id)
            if folder is None or len(names) > MAX_FOLDER_DEPTH:
                break
            names.append(folder["name"])
            parent_id = get_parent_id(folder)
        return None if self.confined and parent_id != self.root_id else tuple(reversed(names))

    def find_path(self, item: DriveItem) -> str | None:
        """Return None for an item outside."""
        folder_names = self.find_folder_names(get_parent_id(item))
        return None if folder_names is None else "/".join(map(escape_path_part, (*folder_names, item["name"])))

    def contains(self, item: DriveItem) -> bool:
        """Return whether an item lies below the root; the root itself does not."""
        return item["id"] != self.root_id and self.find_path(item) is not None

    def list_folder_ids(self) -> Iterator[str]:
        """Yield the root and every folder below it."""
        if self.root_id is not None:
            yield self.root_id
        for id, folder in self.folders.items():
            if id != self.root_id and self.find_path(folder) is not None:
                yield id


class FolderTreeLoader:
    """Load the folders that a request needs."""

    def __init__(self, client: DriveClient, scope: DriveScope, root_folder: RootFolder) -> None:
        self.client = client
        self.scope = scope
        self.root_folder = root_folder

    @property
    def confined(self) -> bool:
        return self.scope.folder_id is not None

    async def load_all(self) -> FolderTree:
        """Load every folder there is, with a call for each thousand."""
        pages = self.client.list_pages(
            "files",
            "files",
            q=FOLDERS_QUERY,
            pageSize=PAGE_SIZE,
            fields=build_list_field_mask(FOLDER_ITEM_FIELDS),
            **self.scope.list_parameters,
        )
        folders = {item["id"]: item async for page in pages for item in page}
        return FolderTree(root_id=await self.root_folder.load_id(self.client), confined=self.confined, folders=folders)

    async def load_ancestors(self, items: Iterable[DriveItem]) -> FolderTree:
        """Load the folders that the items lie in and those above them, level by level."""
        root_id = await self.root_folder.load_id(self.client)
        folders: dict[str, DriveItem] = {}
        missing = set(filter(None, map(get_parent_id, items))) - {root_id}
        for _ in range(MAX_FOLDER_DEPTH):
            if len(missing) > MAX_SINGLE_LOOKUPS:
                return await self.load_all()
            level = await fan_out(self.find_folder, sorted(missing), self.client.max_concurrency)
            inner_folders = [folder for folder in level if folder is not None]
            folders |= {folder["id"]: folder for folder in inner_folders}
            missing = set(filter(None, map(get_parent_id, inner_folders))) - {root_id} - folders.keys()
            if not missing:
                break
        return FolderTree(root_id=root_id, confined=self.confined, folders=folders)

    async def find_folder(self, id: str) -> DriveItem | None:
        """Return a folder that a listing of all folders would show."""
        item = await find_item(self.client, self.scope, id, FOLDER_ITEM_FIELDS)
        return None if item is None or item.get("mimeType") != FOLDER_MEDIA_TYPE else item

    async def resolve_folder_id(self, id: str | None) -> str:
        """Return the id of a folder that the settings open, or of the root without one. Raises DriveNotFound."""
        root_id = await self.root_folder.load_id(self.client)
        folder_id = root_id if id is None or id == root_id else await self.find_open_folder_id(id)
        if folder_id is None:
            raise DriveNotFound
        return folder_id

    async def find_open_folder_id(self, id: str) -> str | None:
        folder = await self.find_folder(id)
        return id if folder is not None and (await self.load_ancestors([folder])).contains(folder) else None


async def find_item(client: DriveClient, scope: DriveScope, id: str, fields: Iterable[str]) -> DriveItem | None:
    """Return an item by its id, folder or not; None if there is none, or if it is in the trash or another drive."""
    if not ID_PATTERN.fullmatch(id):
        return None
    requested_fields = sorted({*fields, "id", "trashed", "driveId"})
    item = await client.get_item(f"files/{id}", fields=",".join(requested_fields), **scope.item_parameters)
    return item if item is not None and item["id"] == id and scope.contains(item) else None


def build_list_field_mask(fields: Iterable[str]) -> str:
    """Return the mask of fields that a listing asks for."""
    return f"nextPageToken,incompleteSearch,files({','.join(sorted({*fields, 'id'}))})"


def get_parent_id(item: DriveItem) -> str | None:
    """Return the first parent; items made before 2020 may have more."""
    parents = item.get("parents")
    return parents[0] if parents else None


def escape_path_part(name: str) -> str:
    """Return a name as it stands in a path, where a slash in it would look like a folder."""
    return name.replace("/", "／")
