"""A file's id in, how it stands and its bytes out; Docs, Sheets and Slides are exported as text."""

from collections.abc import Mapping

from engine.errors import Code, SourceFailed
from sources.content.words import Stat
from sources.drive.calls import Calls, Item, json_of
from sources.drive.columns import FILE, OWN, PLACED, fields, instant, size, version
from sources.drive.failures import NO_RANGE, NOT_FOUND, OK, PARTIAL, missing, refused, unreadable
from sources.drive.scope import Scope
from sources.drive.tree import FOLDER, Trees, one

EXPORTS: Mapping[str, str] = {
    f"{OWN}document": "text/plain",
    f"{OWN}spreadsheet": "text/csv",
    f"{OWN}presentation": "text/plain",
}
"""What each of Google's own kinds is read as; of a spreadsheet Drive gives the first sheet."""
EXPORT_MOST = 10_485_760
"""Drive exports no more."""
WANTED = fields(FILE, ("name", "size", "content_type", "modified", "version"), placed=True)


class Contents:
    """The files that the settings open."""

    def __init__(self, calls: Calls, scope: Scope, trees: Trees) -> None:
        self.calls = calls
        self.scope = scope
        self.trees = trees

    async def stat(self, id: str) -> Stat | None:
        """Its type is that of its bytes: of what is exported, the export's."""
        item = await self.file(id)
        return None if item is None else stat(item)

    async def octets(self, id: str, start: int, length: int) -> bytes:
        item = await self.file(id)
        if item is None:
            raise missing()
        if length <= 0:
            return b""
        if item["mimeType"].startswith(OWN):
            return await self.exported(item, start, length)
        return await self.stored(id, start, length)

    async def file(self, id: str) -> Item | None:
        item = await one(self.calls, self.scope, id, WANTED | set(PLACED))
        if item is None or item["mimeType"] == FOLDER:
            return None
        if not self.trees.confined:
            return item
        return item if (await self.trees.above([item])).opens(item) else None

    async def stored(self, id: str, start: int, length: int) -> bytes:
        """By a range; a file that is shorter has none there."""
        span = {"range": f"bytes={start}-{start + length - 1}"}
        answer = await self.calls.content(f"files/{id}", length, span, alt="media", **self.scope.one)
        if answer.status == NO_RANGE:
            return b""
        if answer.status == OK and start:
            raise unreadable()
        if answer.status not in (OK, PARTIAL):
            raise missing() if answer.status == NOT_FOUND else refused(answer.status, json_of(answer))
        return answer.octets

    async def exported(self, item: Item, start: int, length: int) -> bytes:
        """There is no range of an export: it is read from its beginning, and no further than wanted."""
        kind = EXPORTS.get(item["mimeType"])
        if kind is None:
            raise SourceFailed("drive has no content of such a file", Code.CANNOT_ANSWER)
        most = min(start + length, EXPORT_MOST)
        answer = await self.calls.content(f"files/{item['id']}/export", most, {}, mimeType=kind)
        if answer.status != OK:
            raise missing() if answer.status == NOT_FOUND else refused(answer.status, json_of(answer))
        return answer.octets[start:]


def stat(item: Item) -> Stat:
    return Stat(
        id=item["id"],
        name=item["name"],
        size=size(item),
        content_type=EXPORTS.get(item["mimeType"], item["mimeType"]),
        modified=instant(item["modifiedTime"]),
        version=version(item),
    )
