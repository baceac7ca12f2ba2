"""Folders in, paths out: where each lies below the root, and what lies outside of what the settings open."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from sources.drive.calls import Absent, Calls, Item
from sources.drive.scope import ID, Roots, Scope
from sources.fan_out import fan_out

FOLDER = "application/vnd.google-apps.folder"
FOLDERS = f"mimeType = '{FOLDER}' and trashed = false"
PAGE = "1000"
FIELDS = ("id", "name", "parents", "mimeType", "trashed", "driveId")
"""What must be known of a folder."""
FEW = 20
"""Up to so many folders are asked for one by one; for more, all are listed."""
DEEPEST = 100
"""Drive itself takes no more folders within folders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """Folders by id; `whole`: all there are. `confined`: what does not lie below the root is not there."""

    root: str | None
    confined: bool
    folders: Mapping[str, Item]
    whole: bool = False

    def names(self, parent: str | None) -> tuple[str, ...] | None:
        """The folders' names from the root down to `parent`; None: that is outside."""
        found: list[str] = []
        while parent is not None and parent != self.root:
            folder = self.folders.get(parent)
            if folder is None or len(found) > DEEPEST:
                break
            found.append(folder["name"])
            parent = parent_of(folder)
        return None if self.confined and parent != self.root else tuple(reversed(found))

    def path(self, item: Item) -> str | None:
        """None: it lies outside."""
        above = self.names(parent_of(item))
        return None if above is None else "/".join(map(written, (*above, item["name"])))

    def opens(self, item: Item) -> bool:
        """Whether an item lies within; what everything lies in does not."""
        return item["id"] != self.root and self.path(item) is not None

    def inside(self) -> Iterator[str]:
        """The root and every folder that lies below it."""
        if self.root is not None:
            yield self.root
        yield from (id for id, folder in self.folders.items() if id != self.root and self.path(folder) is not None)


class Trees:
    """How folders are found."""

    def __init__(self, calls: Calls, scope: Scope, roots: Roots) -> None:
        self.calls = calls
        self.scope = scope
        self.roots = roots

    async def whole(self) -> Tree:
        """Every folder there is: a call for each thousand."""
        pages = self.calls.pages("files", "files", q=FOLDERS, pageSize=PAGE, fields=listing(FIELDS), **self.scope.all)
        folders = {item["id"]: item async for page in pages for item in page}
        return Tree(root=await self.roots.id(self.calls), confined=self.confined, folders=folders, whole=True)

    async def above(self, items: Iterable[Item]) -> Tree:
        """The folders that these lie in, and those above them, level by level."""
        root = await self.roots.id(self.calls)
        folders: dict[str, Item] = {}
        wanted = set(filter(None, map(parent_of, items))) - {root}
        for _ in range(DEEPEST):
            if len(wanted) > FEW:
                return await self.whole()
            found = await fan_out(self.folder, sorted(wanted), self.calls.at_once)
            folders |= {item["id"]: item for item in found if item is not None}
            above = {parent_of(item) for item in found if item is not None}
            wanted = {each for each in above if each is not None} - {root} - folders.keys()
            if not wanted:
                break
        return Tree(root=root, confined=self.confined, folders=folders)

    async def folder(self, id: str) -> Item | None:
        """One that a listing of all folders shows; None: there is none."""
        found = await one(self.calls, self.scope, id, FIELDS)
        return None if found is None or found.get("mimeType") != FOLDER else found

    async def open_folder(self, id: str | None) -> str:
        """The id of a folder that the settings open, the root where none is named. Raises Absent."""
        root = await self.roots.id(self.calls)
        found = root if id is None or id == root else await self.opened(id)
        if found is None:
            raise Absent
        return found

    async def opened(self, id: str) -> str | None:
        folder = await self.folder(id)
        return id if folder is not None and (await self.above([folder])).opens(folder) else None

    @property
    def confined(self) -> bool:
        return self.scope.folder is not None


async def one(calls: Calls, scope: Scope, id: str, fields: Iterable[str]) -> Item | None:
    """An item by its id, folder or not; None: there is none, or it is in the trash or in another drive."""
    if not ID.fullmatch(id):
        return None
    wanted = sorted({*fields, "id", "trashed", "driveId"})
    found = await calls.found(f"files/{id}", fields=",".join(wanted), **scope.one)
    return found if found is not None and found["id"] == id and scope.holds(found) else None


def listing(fields: Iterable[str]) -> str:
    """The mask of a listing."""
    return f"nextPageToken,incompleteSearch,files({','.join(sorted({*fields, 'id'}))})"


def parent_of(item: Item) -> str | None:
    """Since 2020 an item has one parent; older ones may have more, of which the first counts."""
    parents = item.get("parents")
    return parents[0] if parents else None


def written(name: str) -> str:
    """A name as it stands in a path: it may hold a slash, which would look like a folder there."""
    return name.replace("/", "／")
