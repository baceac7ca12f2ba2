"""A change in, which file of Drive it means out: by the id that Drive gave it, or by its path, name after name."""

from collections.abc import Sequence

from engine.change.words import Change, Unmade, Verb
from engine.errors import Code
from sources.drive.calls import Calls, Item
from sources.drive.columns import OWN
from sources.drive.listing import FILES
from sources.drive.scope import ID, Scope
from sources.drive.search import both, equal, in_folders
from sources.drive.tree import FOLDERS, PAGE, Trees, listing
from sources.patterns import Pattern
from sources.writing.wishes import allowed, filed, named, placed
from sources.writing.words import Filed, Writing

BY_ID, BY_PATH = "id:", "path:"
"""How a name begins that says of which kind it is: an id may look like a path."""


def wished(change: Change, writing: Writing, pattern: Pattern | None) -> Filed:
    """Raises Unmade."""
    allowed(change, writing)
    id = change.key.get("id")
    if id is None:
        path = named(change.key, pattern)
        placed(path, writing)
        made = filed(change, BY_PATH + path)
    else:
        made = filed(change, BY_ID + identity(change, id))
    if made.content_type is not None and made.content_type.startswith(OWN):
        raise Unmade("what Google keeps in a form of its own is not written here")
    return made


def identity(change: Change, id: object) -> str:
    if change.verb is Verb.CREATE:
        raise Unmade("drive gives a new file its id: give its `path`")
    if (
        not isinstance(id, str)
        or not ID.fullmatch(id)
        or any(v is not None for n, v in change.key.items() if n != "id")
    ):
        raise Unmade("give a file's `id` alone, as drive gave it, or its `path`")
    return id


class Paths:
    """Where paths lead. Two files or folders may have the same: then none of them is meant."""

    def __init__(self, calls: Calls, scope: Scope, trees: Trees, fields: frozenset[str]) -> None:
        self.calls = calls
        self.scope = scope
        self.trees = trees
        self.fields = fields

    async def file(self, path: str) -> Item | None:
        folder = await self.folder(path)
        return None if folder is None else single(await self.inside(folder, path, FILES), "file")

    async def all(self, path: str, kind: str) -> Sequence[Item]:
        folder = await self.folder(path)
        return [] if folder is None else await self.inside(folder, path, kind)

    async def folder(self, path: str) -> str | None:
        """The id of the folder that a path's last name lies in; None: there is none."""
        id = await self.trees.open_folder(None)
        for name in path.split("/")[:-1]:
            found = single(await self.inside(id, name, FOLDERS), "folder")
            if found is None:
                return None
            id = found["id"]
        return id

    async def inside(self, folder: str, path: str, kind: str) -> Sequence[Item]:
        """Drive finds names in any case; here they are the same or not."""
        name = path.rpartition("/")[2]
        said = equal("name", name)
        if said is None:
            raise Unmade("a part of `path` is too long to be looked for", Code.LIMIT_EXCEEDED)
        return [each for each in await self.search(both(kind, said, in_folders([folder]))) if each["name"] == name]

    async def search(self, text: str) -> Sequence[Item]:
        fields = listing(self.fields)
        pages = self.calls.pages("files", "files", q=text, pageSize=PAGE, fields=fields, **self.scope.all)
        return [each async for page in pages for each in page]


def single(found: Sequence[Item], what: str) -> Item | None:
    if len(found) > 1:
        raise Unmade(f"more than one {what} has this `path`: give the file's `id`")
    return found[0] if found else None
