"""Bytes in, a file in Drive out: sent in chunks, taken up again where a broken connection left off."""

import asyncio
import re
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import ClientError
from yarl import URL

from engine.errors import SourceFailed
from sources.drive.calls import Answer, Call, Calls, Item, json_of, told
from sources.drive.failures import CREATED, OK, RESUME, SERVER, failed, refused, unreadable
from sources.drive.scope import Scope

JSON = {"content-type": "application/json; charset=UTF-8"}
STEP = 262_144
"""Drive takes chunks of multiples of it, but for the last."""
CHUNK = 4 * STEP
TRIES = 5
"""So often in a row nothing may come of it."""
PAUSE = 0.1
"""Seconds before the second of them, doubled each time."""
SAID = "id,name,mimeType,size,version,headRevisionId,modifiedTime,parents,webViewLink"
RANGE = re.compile(r"(?:bytes=)?0-(?P<last>[0-9]{1,15})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be made, and in which folder; or, of the file `id`, what its content is to be."""

    name: str
    parent: str
    content_type: str
    properties: Mapping[str, str | None] = field(default_factory=dict)
    """Of ours, kept with the file; None: no more."""
    id: str | None = None
    size: int | None = None
    """In bytes, where that is known before they come."""

    @property
    def said(self) -> Mapping[str, Any]:
        own = {"appProperties": self.properties} if self.properties else {}
        new = {"name": self.name, "parents": [self.parent]} if self.id is None else {}
        return {**new, "mimeType": self.content_type, **own}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Octets, and where they stand in the whole."""

    octets: bytes
    at: int
    last: bool

    @property
    def end(self) -> int:
        return self.at + len(self.octets)

    @property
    def total(self) -> str:
        return str(self.end) if self.last else "*"

    def rest(self, had: int) -> tuple[Mapping[str, str], bytes]:
        """What is to be sent when all before `had` has come through; of a file without bytes nothing is said."""
        if had == self.end:
            return self.inquiry if self.end else ({}, b"")
        return {"content-range": f"bytes {had}-{self.end - 1}/{self.total}"}, self.octets[had - self.at :]

    @property
    def inquiry(self) -> tuple[Mapping[str, str], bytes]:
        """How far it has come."""
        return {"content-range": f"bytes */{self.total}"}, b""


async def put(calls: Calls, scope: Scope, wish: Wish, chunks: AsyncIterable[bytes]) -> Item:
    """What Drive says of the new file; raises SourceFailed. One chunk is held, and what comes in."""
    return await poured(calls, await begun(calls, scope, wish), chunks)


async def poured(calls: Calls, session: URL, chunks: AsyncIterable[bytes]) -> Item:
    async for chunk in cut(chunks):
        made = await sent(calls, session, chunk)
        if made is not None:
            return made
    raise unreadable()


async def begun(calls: Calls, scope: Scope, wish: Wish) -> URL:
    """Where the bytes go: an address of Drive's own, as they go nowhere else."""
    verb, path = ("POST", "") if wish.id is None else ("PATCH", f"/{wish.id}")
    url = calls.at(f"/upload/drive/v3/files{path}", {"uploadType": "resumable", "fields": SAID, **scope.one})
    sized = {} if wish.size is None else {"x-upload-content-length": str(wish.size)}
    headers = {**JSON, "x-upload-content-type": wish.content_type, **sized}
    answer = await calls.asked(Call(verb=verb, url=url, headers=headers, data=orjson.dumps(wish.said)))
    if answer.status != OK:
        raise refused(answer.status, json_of(answer))
    session = URL(answer.headers.get("location", ""), encoded=True)
    if not session.absolute or session.origin() != url.origin():
        raise unreadable()
    return session


async def cut(chunks: AsyncIterable[bytes]) -> AsyncIterator[Chunk]:
    """Of CHUNK octets each, but for the last; of no octets at all, one without any."""
    held, at = bytearray(), 0
    async for part in chunks:
        held += part
        while len(held) > CHUNK:
            yield Chunk(octets=bytes(held[:CHUNK]), at=at, last=False)
            at += CHUNK
            del held[:CHUNK]
    yield Chunk(octets=bytes(held), at=at, last=True)


async def sent(calls: Calls, session: URL, chunk: Chunk) -> Item | None:
    """Until Drive has all of it; the file, where it was the last."""
    had, idle, lost = chunk.at, 0, False
    while idle < TRIES:
        await asyncio.sleep(PAUSE * 2 ** (idle - 1) if idle else 0)
        answer = await heard(calls, session, *(chunk.inquiry if lost else chunk.rest(had)))
        lost = answer is None
        if answer is not None and answer.status != RESUME:
            return told(answer)
        now = had if answer is None else taken(answer, chunk)
        if now == chunk.end and not chunk.last:
            return None
        idle = 0 if now > had else idle + 1
        had = now
    raise SourceFailed("drive did not take the file: its connections broke again and again")


async def heard(calls: Calls, session: URL, headers: Mapping[str, str], octets: bytes) -> Answer | None:
    """None: it is not known how far it came."""
    try:
        answer = await calls.once(Call(verb="PUT", url=session, headers=headers, data=octets))
    except (ClientError, OSError, TimeoutError):
        return None
    except Exception as error:
        raise failed(error, calls.timeout) from error
    if answer.status >= SERVER or calls.better(answer):
        return None
    if answer.status not in (OK, CREATED, RESUME):
        raise refused(answer.status, json_of(answer))
    return answer


def taken(answer: Answer, chunk: Chunk) -> int:
    """How many octets of the whole Drive has; without a word, none."""
    said = answer.headers.get("range")
    found = None if said is None else RANGE.fullmatch(said)
    if said is not None and found is None:
        raise unreadable()
    now = 0 if found is None else int(found["last"]) + 1
    if not chunk.at <= now <= chunk.end:
        raise unreadable()
    return now
