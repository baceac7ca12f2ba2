"""An ask in, the items it may mean out, with the folders they lie in; each once."""

from collections.abc import AsyncIterator, Iterable, Sequence
from functools import partial
from itertools import islice
from typing import TypeAlias

from engine.words import Ask, Keys
from sources.drive.calls import Absent, Calls, Item
from sources.drive.scope import ID, Scope
from sources.drive.search import MOST, both, by, either, in_folders, narrowed
from sources.drive.tree import FOLDER, PAGE, Tree, Trees, listing, one
from sources.fan_out import fan_out
from sources.patterns import Pattern

Found: TypeAlias = tuple[Sequence[Item], Tree | None]
FILES = f"mimeType != '{FOLDER}' and trashed = false"
BY_ID, BY_PARENT, BY_OWNER = ("id",), ("parent_id",), ("owner_email",)


class Listing:
    """How the files of one ask are found. `fields`: what is asked of each; `placed`: the folders matter."""

    def __init__(self, calls: Calls, scope: Scope, trees: Trees, *, fields: set[str], placed: bool) -> None:
        self.calls = calls
        self.scope = scope
        self.trees = trees
        self.fields = fields
        self.placed = placed or trees.confined

    async def files(self, ask: Ask, pattern: Pattern | None) -> AsyncIterator[Found]:
        search = both(FILES, *narrowed(ask.where))
        match ask.keys:
            case None:
                found = self.all(search)
            case Keys(columns=columns) if columns == BY_ID:
                found = self.by_id(ask.keys)
            case Keys(columns=columns) if columns == BY_PARENT:
                found = self.by_parent(ask.keys, search)
            case Keys(columns=columns) if columns == BY_OWNER:
                found = self.by_owner(ask.keys, search)
            case _:
                assert pattern is not None  # INVARIANT: no other columns are promised as keys
                found = self.by_path(prefixes(ask.keys, pattern), search)
        async for each in found:
            yield each

    async def all(self, search: str) -> AsyncIterator[Found]:
        """Page by page; where only one folder is opened, what lies in each folder below it."""
        tree = await self.trees.whole() if self.placed else None
        if tree is None or not tree.confined:
            async for page in self.searched(search):
                yield page, tree
        else:
            async for items in self.within(tuple(tree.inside()), search):
                yield items, tree

    async def by_id(self, keys: Keys) -> AsyncIterator[Found]:
        wanted = {*self.fields, "mimeType"}
        asked = partial(one, self.calls, self.scope, fields=wanted)
        items = await fan_out(lambda key: asked(key[0]), keys.values, self.calls.at_once)
        yield await self.where([item for item in items if item is not None and item["mimeType"] != FOLDER])

    async def by_parent(self, keys: Keys, search: str) -> AsyncIterator[Found]:
        async for items in self.within([id for (id,) in keys.values if ID.fullmatch(id)], search):
            yield await self.where(items)

    async def by_owner(self, keys: Keys, search: str) -> AsyncIterator[Found]:
        owners = either(filter(None, (by(address) for (address,) in keys.values)))
        if owners is not None:
            async for page in self.searched(both(search, owners)):
                yield await self.where(page)

    async def by_path(self, starts: Sequence[str], search: str) -> AsyncIterator[Found]:
        """In the folders whose files' paths may begin so. What lies in no folder that we see is found in all."""
        if any("/" not in start for start in starts) and not self.trees.confined:
            async for found in self.all(search):
                yield found
        elif starts:
            tree = await self.trees.whole()
            async for items in self.within(leading_to(tree, starts), search):
                yield items, tree

    async def within(self, folders: Sequence[str], search: str) -> AsyncIterator[list[Item]]:
        """What lies in these folders themselves. An item may lie in two, of which the first counts."""
        seen: set[str] = set()
        for items in await fan_out(partial(self.together, search), parts(folders), self.calls.at_once):
            fresh = {item["id"]: item for item in items if item["id"] not in seen}
            seen |= fresh.keys()
            yield list(fresh.values())

    async def together(self, search: str, folders: Sequence[str]) -> list[Item]:
        """Drive refuses a search that names a folder it does not know, so then each half is asked for."""
        try:
            return [item async for page in self.searched(both(search, in_folders(folders))) for item in page]
        except Absent:
            if len(folders) == 1:
                return []
        half = len(folders) // 2
        return [*await self.together(search, folders[:half]), *await self.together(search, folders[half:])]

    def searched(self, search: str) -> AsyncIterator[list[Item]]:
        return self.calls.pages(
            "files", "files", q=search, pageSize=PAGE, fields=listing(self.fields), **self.scope.all
        )

    async def where(self, items: Sequence[Item]) -> Found:
        return items, await self.trees.above(items) if self.placed else None


def prefixes(keys: Keys, pattern: Pattern) -> list[str]:
    return [pattern.prefix(dict(zip(keys.columns, key, strict=True))) for key in keys.values]


def leading_to(tree: Tree, starts: Sequence[str]) -> list[str]:
    """The folders in which a file's path may begin with one of these."""
    return [id for id, base in bases(tree) if any(may_begin(base, start) for start in starts)]


def bases(tree: Tree) -> Iterable[tuple[str, str]]:
    """Each folder, and what the paths of what lies in it begin with."""
    for id in tree.inside():
        path = "" if id == tree.root else tree.path(tree.folders[id])
        yield id, f"{path}/" if path else ""


def may_begin(base: str, start: str) -> bool:
    return base.startswith(start) or (start.startswith(base) and "/" not in start[len(base) :])


def parts(folders: Sequence[str]) -> list[Sequence[str]]:
    rest = iter(folders)
    return list(iter(lambda: tuple(islice(rest, MOST)), ()))
