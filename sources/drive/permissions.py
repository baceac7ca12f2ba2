"""The collection `permissions`: who may do what with a file or folder, asked for by its id."""

from collections.abc import AsyncIterator

from engine.words import Ask, Can, Column, Kind, Row
from sources.drive.calls import Absent, Calls, Item
from sources.drive.columns import KEYS, PLACED, Said
from sources.drive.rows import rows
from sources.drive.scope import Scope
from sources.drive.tree import Trees, one
from sources.fan_out import fan_out

FILE_ID = "file_id"
PAGE = "100"
MASK = "nextPageToken,permissions(id,type,role,emailAddress)"
COLUMNS = {
    FILE_ID: Said(kind=Kind.TEXT, fields=(), read=lambda item: str(item[FILE_ID])),
    "id": Said(kind=Kind.TEXT, fields=("id",), read=lambda item: str(item["id"])),
    "kind": Said(kind=Kind.TEXT, fields=("type",), read=lambda item: str(item["type"])),
    "role": Said(kind=Kind.TEXT, fields=("role",), read=lambda item: str(item["role"])),
    "email": Said(kind=Kind.TEXT, fields=("emailAddress",), read=lambda item: item.get("emailAddress") or None),
}
CAN = Can(
    columns={name: Column(said.kind) for name, said in COLUMNS.items()},
    keys=KEYS,
    key_columns=frozenset({(FILE_ID,)}),
    requires=(FILE_ID,),
)


class Permissions:
    """Those of what the settings open, alone."""

    def __init__(self, calls: Calls, scope: Scope, trees: Trees) -> None:
        self.calls = calls
        self.scope = scope
        self.trees = trees
        self.can = CAN

    async def read(self, ask: Ask) -> AsyncIterator[list[Row]]:
        assert ask.keys is not None  # INVARIANT: `requires` is met by the planner
        asked = [id for (id,) in ask.keys.values]
        found = await fan_out(lambda id: one(self.calls, self.scope, id, PLACED), asked, self.calls.at_once)
        items = [item for item in found if item is not None]
        tree = await self.trees.above(items)
        opened = [item["id"] for item in items if tree.opens(item)]
        for permissions in await fan_out(self.of, opened, self.calls.at_once):
            yield rows(permissions, None, ask, COLUMNS, None)

    async def of(self, id: str) -> list[Item]:
        """Of what is deleted meanwhile: none."""
        pages = self.calls.pages(f"files/{id}/permissions", "permissions", pageSize=PAGE, fields=MASK, **self.scope.one)
        try:
            return [{**item, FILE_ID: id} async for page in pages for item in page]
        except Absent:
            return []
