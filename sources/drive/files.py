"""The collections `files` and `folders`."""

from collections.abc import AsyncIterator

from engine.words import Ask, Row
from sources.drive.calls import Calls, Item
from sources.drive.columns import FILE, FOLDER, fields, of_files, of_folders
from sources.drive.listing import BY_ID, Listing
from sources.drive.rows import fresh, needed, placed, rows
from sources.drive.scope import ID, Scope
from sources.drive.tree import FIELDS, FOLDERS, Trees
from sources.fan_out import fan_out
from sources.patterns import Pattern


class Files:
    """What is neither a folder nor in the trash."""

    def __init__(self, calls: Calls, scope: Scope, trees: Trees, pattern: Pattern | None) -> None:
        self.calls = calls
        self.scope = scope
        self.trees = trees
        self.pattern = pattern
        self.can = of_files(pattern)

    async def read(self, ask: Ask) -> AsyncIterator[list[Row]]:
        names = needed(ask)
        lies = placed(names, FILE)
        wanted = fields(FILE, names, placed=lies or self.trees.confined)
        listing = Listing(self.calls, self.scope, self.trees, fields=wanted, placed=lies)
        seen: set[str] = set()
        async for items, tree in listing.files(ask, self.pattern):
            yield rows(fresh(items, seen), tree, ask, FILE, self.pattern)


class Folders:
    """What is not in the trash, and not what everything lies in."""

    def __init__(self, calls: Calls, scope: Scope, trees: Trees) -> None:
        self.calls = calls
        self.scope = scope
        self.trees = trees
        self.can = of_folders()

    async def read(self, ask: Ask) -> AsyncIterator[list[Row]]:
        """Where each lies is always looked at: the one that holds all others is told by that."""
        if ask.keys is None:
            tree = await self.trees.whole()
            yield rows(tuple(tree.folders.values()), tree, ask, FOLDER, None)
            return
        items = await (self.by_id(ask) if ask.keys.columns == BY_ID else self.by_parent(ask))
        yield rows(items, await self.trees.above(items), ask, FOLDER, None)

    async def by_id(self, ask: Ask) -> list[Item]:
        assert ask.keys is not None  # INVARIANT: asked for nowhere else
        found = await fan_out(lambda key: self.trees.folder(key[0]), ask.keys.values, self.calls.at_once)
        return [item for item in found if item is not None]

    async def by_parent(self, ask: Ask) -> list[Item]:
        assert ask.keys is not None  # INVARIANT: asked for nowhere else
        listing = Listing(self.calls, self.scope, self.trees, fields=set(FIELDS), placed=True)
        parents = [id for (id,) in ask.keys.values if ID.fullmatch(id)]
        return [item async for items in listing.within(parents, FOLDERS) for item in items]
