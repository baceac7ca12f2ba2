"""The collections `searches`, texts to search for, and `hits`, what Drive's own search finds for one, in its order."""

import re
from collections.abc import AsyncIterator, Mapping

from engine.words import Ask, Can, Column, Kind, Row
from sources.drive.calls import Calls, Item
from sources.drive.columns import FILE, Columns, Said, fields
from sources.drive.listing import FILES, Listing
from sources.drive.rows import fresh, needed, rows
from sources.drive.scope import Scope
from sources.drive.search import both, quoted
from sources.drive.tree import Trees

TEXT, RANK = "text", "rank"
KEYS = 20
"""Texts in one read; each is a search of its own."""
SAYS = re.compile(r"[^\W_]")
"""Drive looks at letters and digits alone: a text without any finds nothing."""
HALVES = re.compile(r"[\ud800-\udfff]")
"""Half a character, which is in no file."""
COLUMNS: Columns = {
    TEXT: Said(kind=Kind.TEXT, fields=(), read=lambda item: str(item[TEXT])),
    "file_id": FILE["id"],
    RANK: Said(kind=Kind.INTEGER, fields=(), read=lambda item: int(item[RANK])),
    **{name: FILE[name] for name in ("name", "content_type", "modified", "link")},
}
SEARCH = {name: COLUMNS[name] for name in (TEXT,)}


def named(columns: Columns) -> Can:
    return Can(
        columns={name: Column(said.kind) for name, said in columns.items()},
        keys=KEYS,
        key_columns=frozenset({(TEXT,)}),
        requires=(TEXT,),
    )


CANS: Mapping[str, Can] = {"searches": named(SEARCH), "hits": named(COLUMNS)}


class Searches:
    """One for each text that can be searched for: nothing is asked."""

    can = CANS["searches"]

    async def read(self, ask: Ask) -> AsyncIterator[list[Row]]:
        found = [{TEXT: text} for text in texts(ask) if saying(text) is not None]
        yield rows(found, None, ask, SEARCH, None)


class Hits:
    """Of what the settings open alone, without the trash; what else Drive found is not counted."""

    def __init__(self, calls: Calls, scope: Scope, trees: Trees) -> None:
        self.calls = calls
        self.scope = scope
        self.trees = trees
        self.can = CANS["hits"]

    async def read(self, ask: Ask) -> AsyncIterator[list[Row]]:
        """A page at a time: one word may be in all files there are."""
        wanted = fields(COLUMNS, needed(ask), placed=self.trees.confined)
        for text in texts(ask):
            async for items in self.found(text, wanted):
                yield rows(items, None, ask, COLUMNS, None)

    async def found(self, text: str, wanted: set[str]) -> AsyncIterator[list[Item]]:
        listing = Listing(self.calls, self.scope, self.trees, fields=wanted, placed=False)
        said, seen, rank = saying(text), set[str](), 0
        async for page in listing.searched(both(FILES, said)) if said else nothing():
            opened = await self.opened(fresh(page, seen))
            yield [{**item, TEXT: text, RANK: rank + place} for place, item in enumerate(opened, start=1)]
            rank += len(opened)

    async def opened(self, items: list[Item]) -> list[Item]:
        if not self.trees.confined:
            return items
        tree = await self.trees.above(items)
        return [item for item in items if tree.opens(item)]


async def nothing() -> AsyncIterator[list[Item]]:
    return
    yield


def saying(text: str) -> str | None:
    """As it stands, quotes and all: what they mean is Drive's. None: no file says this, and Drive is not asked."""
    if not SAYS.search(text) or HALVES.search(text):
        return None
    return f"fullText contains {quoted(''.join(each if each.isprintable() else ' ' for each in text))}"


def texts(ask: Ask) -> list[str]:
    assert ask.keys is not None  # INVARIANT: `requires` is met by the planner
    return [text for (text,) in ask.keys.values]
