"""Uploads: an address is given to whoever asked for it, in this one answer; it is kept nowhere."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import orjson

from engine.act import Act, Acted, Action
from engine.binding import Binding
from engine.change import guarded
from engine.change.addresses import Address, Step, Upload
from engine.change.words import Unmade
from engine.desk import Desk
from engine.errors import Code, SourceFailed
from engine.guard import Guard
from engine.words import Can, Column, Kind
from resolvers import azure, drive, file
from resolvers.file_changes import file_id
from sources.content.media import media_type
from sources.memory import Collection, Memory

SOURCE, COLLECTION = "uploads", "upload"
OCTETS = "application/octet-stream"
MINUTES = 5
UPLOAD = Can(
    columns={
        "id": Column(Kind.TEXT),
        "store": Column(Kind.TEXT),
        "path": Column(Kind.TEXT),
        "file_id": Column(Kind.TEXT),
        "expires_at": Column(Kind.TIME),
        "bounded": Column(Kind.BOOLEAN),
        "steps": Column(Kind.TEXT),
    },
    keys=1,
)
BINDINGS = (Binding(type="FileUpload", source=SOURCE, collection=COLLECTION),)
STORES = {
    each.constants["store"]: each
    for each in (*file.BINDINGS, *azure.BINDINGS, *drive.BINDINGS)
    if "store" in each.constants
}


def actions(desk: Desk) -> Mapping[str, Action]:
    return {"fileUpload": Uploading(guards=desk.guards)}


def none() -> Memory:
    """What the source of uploads promises, before anyone asks."""
    return Memory({COLLECTION: Collection(can=UPLOAD, rows=())})


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploading:
    """An `Action`."""

    guards: Mapping[str, Guard]

    async def __call__(self, act: Act) -> Acted:
        given = act.arguments["input"]
        binding, upload = STORES[given["store"]], wished(given)
        try:
            address = await guarded.address(self.guards[binding.source], upload)
        except Unmade as refusal:
            raise SourceFailed(refusal.reason, refusal.code) from None
        if address is None:
            raise SourceFailed(f"`{given['store']}` has no address to upload to", Code.CANNOT_ANSWER)
        return Acted(id=upload.change, sources={SOURCE: held(upload, given["store"], address)})


def wished(given: Mapping[str, Any]) -> Upload:
    """An input in; raises SourceFailed."""
    minutes = MINUTES if given.get("minutes") is None else given["minutes"]
    if not 1 <= minutes <= MINUTES:
        raise SourceFailed(f"`minutes` takes a number from 1 to {MINUTES}", Code.LIMIT_EXCEEDED)
    collection = STORES[given["store"]].collection
    return Upload(
        change=uuid4().hex,
        collection=collection,
        key={"path": given["path"]},
        size=given["size"],
        content_type=given.get("contentType") or media_type(given["path"].rpartition("/")[2]) or OCTETS,
        seconds=minutes * 60,
        replace=bool(given.get("replace")),
    )


def held(upload: Upload, store: str, address: Address) -> Memory:
    """One row, for one answer."""
    row = {
        "id": upload.change,
        "store": store,
        "path": upload.key["path"],
        "file_id": file_id(store, address.id),
        "expires_at": address.expires,
        "bounded": address.bounded,
        "steps": orjson.dumps([told(each) for each in address.steps]).decode(),
    }
    return Memory({COLLECTION: Collection(can=UPLOAD, rows=(tuple(row[each] for each in UPLOAD.columns),))})


def told(step: Step) -> Mapping[str, Any]:
    return {
        "method": step.method,
        "url": step.url,
        "headers": dict(step.headers),
        "first": step.first,
        "length": step.length,
    }
