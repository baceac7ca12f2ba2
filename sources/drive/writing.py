"""A Drive in, its files put, copied and put into the trash out.

Drive compares no versions itself. So they are compared here, one change of a file at a time, right before its content
is sent: two doors may still both write at the very same moment, and Drive keeps both revisions.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any
from weakref import WeakValueDictionary

import orjson
from yarl import URL

from engine.change.addresses import Address
from engine.change.words import Change, Made, Unmade, Values, Verb
from engine.errors import Code, SourceFailed
from sources.content.media import media_type
from sources.drive.calls import Absent, Call, Calls, Item, json_of, told
from sources.drive.columns import FILE, OWN, PLACED, fields
from sources.drive.failures import NOT_FOUND, SERVER, TOO_MANY, refused
from sources.drive.listing import FILES
from sources.drive.marks import PROPERTIES, properties, search, turns
from sources.drive.named import BY_ID, BY_PATH, Paths
from sources.drive.scope import Scope
from sources.drive.sessions import Sessions
from sources.drive.tree import FOLDER, Tree, Trees, one
from sources.drive.upload import JSON, Wish, begun, poured
from sources.writing.change import found, missing_origin, surely
from sources.writing.marks import mark
from sources.writing.names import below
from sources.writing.words import Filed, Outrun, Standing, Writing

WANTED = frozenset({*fields(FILE, FILE, placed=True), *PLACED, "mimeType", PROPERTIES})
OCTETS = "application/octet-stream"


class Writer:
    """As sources.writing.words.Keeper. `row`: an item and its folders in, all its columns out; None: it is outside."""

    def __init__(
        self, calls: Calls, scope: Scope, trees: Trees, row: Callable[[Item, Tree], Values | None], writing: Writing
    ) -> None:
        self.calls = calls
        self.scope = scope
        self.trees = trees
        self.row = row
        self.writing = writing
        self.paths = Paths(calls, scope, trees, WANTED)
        self.sessions = Sessions(calls)
        self.turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def standing(self, id: str) -> Standing | None:
        path = id.startswith(BY_PATH)
        item = await (self.paths.file(id.removeprefix(BY_PATH)) if path else self.known_by(id.removeprefix(BY_ID)))
        stands = None if item is None else await self.stands(item)
        if stands is not None and not below(str(stands.values["path"]), self.writing.below):
            raise Unmade("the settings let nothing be written there", Code.CANNOT_ANSWER)
        return stands

    async def known_by(self, id: str) -> Item | None:
        item = await one(self.calls, self.scope, id, WANTED)
        return None if item is None or item["mimeType"] == FOLDER else item

    async def stands(self, item: Item) -> Standing | None:
        values = self.row(item, await self.trees.above([item]))
        marks = turns(item)
        more = {"next": str(max(marks, default=0) + 1), "type": item["mimeType"]}
        return None if values is None else Standing(values=values, marks=tuple(marks.values()), more=more)

    async def placed(self, filed: Filed, before: Standing | None) -> Values:
        async with self.turn(filed, before):
            await self.compared(filed, before)
            made = await (self.sent(filed, before) if filed.copy_of is None else self.copied(filed, before))
        return await self.after(filed, str(made["id"]))

    async def removed(self, filed: Filed, before: Standing) -> None:
        """Into the trash: there it can still be told what was done, and be taken back."""
        async with self.turn(filed, before):
            await self.compared(filed, before)
            said = {"trashed": True, PROPERTIES: properties(filed, before)}
            await self.called("PATCH", f"files/{before.values['id']}", said)

    def known(self, filed: Filed) -> Values:
        if filed.id.startswith(BY_ID):
            return {"id": filed.id.removeprefix(BY_ID)}
        path = filed.id.removeprefix(BY_PATH)
        return {"path": path, "name": path.rpartition("/")[2]}

    def turn(self, filed: Filed, before: Standing | None) -> asyncio.Lock:
        """Held by who waits for it; by its id, however it was named."""
        name = filed.id if before is None else BY_ID + str(before.values["id"])
        return self.turns.setdefault(name, asyncio.Lock())

    async def compared(self, filed: Filed, before: Standing | None) -> None:
        now = await surely(self.standing(filed.id))
        if (None if now is None else now.version) != (None if before is None else before.version):
            raise Outrun

    async def sent(self, filed: Filed, before: Standing | None) -> Item:
        session = await surely(self.begun(filed, before, len(filed.octets or b"")))
        await self.compared(filed, before)
        return await poured(self.calls, session, whole(filed.octets or b""))

    async def begun(self, filed: Filed, before: Standing | None, size: int) -> URL:
        """The address that its octets go to, and nothing else."""
        if before is not None and before.more["type"].startswith(OWN):
            raise Unmade("what Google keeps in a form of its own is not written here")
        return await begun(self.calls, self.scope, await self.wish(filed, before, size))

    async def address(self, filed: Filed, before: Standing | None, size: int, wanted: int) -> Address:
        session = await surely(self.begun(filed, before, size))
        return self.sessions.address(session, None if before is None else str(before.values["id"]), size, wanted)

    async def wish(self, filed: Filed, before: Standing | None, size: int) -> Wish:
        if before is not None:
            kind = filed.content_type or before.more["type"]
            own = {"id": str(before.values["id"]), "name": "", "parent": ""}
        else:
            place = await self.place(filed)
            kind = filed.content_type or media_type(place["name"]) or OCTETS
            own = dict(place)
        return Wish(**own, content_type=kind, properties=properties(filed, before), size=size)

    async def place(self, filed: Filed) -> Mapping[str, str]:
        """Where a new file is to be. Raises Unmade."""
        if filed.id.startswith(BY_ID):
            raise Unmade("there is no such file", Code.NOT_FOUND)
        path = filed.id.removeprefix(BY_PATH)
        parent = await surely(self.paths.folder(path))
        if parent is None:
            raise Unmade("`path` names a folder that is not there", Code.NOT_FOUND)
        return {"name": path.rpartition("/")[2], "parent": parent}

    async def copied(self, filed: Filed, before: Standing | None) -> Item:
        if before is not None:
            raise Unmade("drive copies to a new file alone", Code.ALREADY_EXISTS)
        assert filed.copy_of is not None  # INVARIANT: asked for nowhere else
        origin = await surely(self.known_by(filed.copy_of))
        if origin is None or await surely(self.stands(origin)) is None:
            raise missing_origin()
        place = await self.place(filed)
        kind = {} if filed.content_type is None else {"mimeType": filed.content_type}
        said = {"name": place["name"], "parents": [place["parent"]], PROPERTIES: properties(filed, None), **kind}
        return await self.called("POST", f"files/{filed.copy_of}/copy", said)

    async def called(self, verb: str, path: str, said: Mapping[str, Any]) -> Item:
        """Raises Outrun where it is gone, and Unmade where Drive said no."""
        url = self.calls.at(f"/drive/v3/{path}", {"fields": "id", **self.scope.one})
        answer = await self.calls.asked(Call(verb=verb, url=url, headers=JSON, data=orjson.dumps(said)))
        if answer.status == NOT_FOUND:
            raise Outrun
        if 400 <= answer.status < SERVER and answer.status != TOO_MANY:
            raise Unmade(refused(answer.status, json_of(answer)).reason, Code.SOURCE_UNAVAILABLE)
        return told(answer)

    async def after(self, filed: Filed, id: str) -> Values:
        """It is made, whatever can be seen of it now."""
        known = {**self.known(filed), "id": id}
        try:
            stands = await self.standing(BY_ID + id)
        except (SourceFailed, Unmade, Absent):
            return known
        return known if stands is None else stands.values

    async def made(self, change: Change, filed: Filed) -> Made | None:
        for item in await self.candidates(filed):
            stands = await self.stands(item)
            came = None if stands is None else found(stands, mark(change.id))
            if came is not None:
                return Made(before=came.before, after=None) if filed.verb is Verb.DELETE else came
        return None

    async def candidates(self, filed: Filed) -> Sequence[Item]:
        """The files that a change may have left its mark with, in the trash or not."""
        if filed.id.startswith(BY_ID):
            id = filed.id.removeprefix(BY_ID)
            item = await self.calls.found(f"files/{id}", fields=",".join(sorted(WANTED)), **self.scope.one)
            return [] if item is None else [item]
        path = filed.id.removeprefix(BY_PATH)
        if filed.verb is Verb.DELETE:
            return await self.paths.all(path, "trashed = true")
        return [*await self.paths.search(search(filed.change)), *await self.paths.all(path, FILES)]


async def whole(octets: bytes) -> AsyncIterator[bytes]:
    yield octets
