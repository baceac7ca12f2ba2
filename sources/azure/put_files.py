"""A share in, its files put, copied and deleted out.

Azure Files compares no ETags. So a file that stands there is leased while it is compared and replaced, and what is new
is written under a name that nobody is shown, then renamed: it is there whole, or not at all.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from itertools import accumulate
from uuid import UUID

from engine.change.addresses import Address
from engine.change.words import Unmade, Values
from engine.errors import Code, SourceFailed
from sources.azure.calls import Calls, Told
from sources.azure.entries import Entry, stood
from sources.azure.failures import NOT_FOUND, refused, unreadable
from sources.azure.writing import META, address, finished, marked, media, opens, step, surely, uncopied
from sources.content.words import HIDDEN
from sources.writing.change import after, missing_origin
from sources.writing.marks import read
from sources.writing.words import Filed, Outrun, Standing, by_path

RANGE_BYTES = 4 * 2**20
"""Azure takes no more in one call."""
THERE = frozenset({"ResourceAlreadyExists"})
FOR_EVER = "-1"
"""The one duration of a lease that Azure Files knows."""


class ShareFiles:
    """As sources.writing.words.Keeper. `listed`: a path's entry as the listing shows it; `row`: all its columns."""

    def __init__(
        self, calls: Calls, listed: Callable[[str], Awaitable[Entry | None]], row: Callable[[Entry], Values]
    ) -> None:
        self.calls = calls
        self.listed = listed
        self.row = row

    async def standing(self, id: str) -> Standing | None:
        """Only as it is listed: Azure finds it however it is written."""
        shown = await self.listed(id)
        told = None if shown is None else await self.looked(id)
        if shown is None or told is None:
            return None
        try:
            entry = replace(stood(id, told.headers), content_type=shown.content_type)
        except (KeyError, ValueError) as error:
            raise unreadable("file") from error
        return Standing(values=self.row(entry), marks=read(told.headers.get(META)))

    async def looked(self, id: str) -> Told | None:
        told = await self.calls.told("HEAD", id, {})
        if told.status == NOT_FOUND:
            return None
        if told.status >= 300:
            raise refused(told.status, told.code, "file")
        return told

    async def placed(self, filed: Filed, before: Standing | None) -> Values:
        uncopied(filed)
        async with self.leased(filed, before) as lease:
            part = await self.written(filed, before)
            try:
                told = await self.renamed(part, filed, lease)
            except BaseException:
                await self.forgotten(part)
                raise
        return await after(self, filed, told.headers.get("etag", "").strip('"'))

    async def removed(self, filed: Filed, before: Standing) -> None:
        async with self.leased(filed, before) as lease:
            surely(await self.calls.told("DELETE", filed.id, lease), "file")

    def known(self, filed: Filed) -> Values:
        return by_path(filed)

    async def address(self, filed: Filed, before: Standing | None, size: int, wanted: int) -> Address:
        """One call makes a file of zeros, the others put what belongs there; its folders are made at once."""
        if before is None:
            await self.way(filed)
        url, ends = address(self.calls, filed, "cw", wanted)
        starts = [*accumulate([RANGE_BYTES] * ((size - 1) // RANGE_BYTES), initial=0)] if size else []
        spans = [(start, min(RANGE_BYTES, size - start)) for start in starts]
        puts = [step(f"{url}&comp=range", ranged(start, length), start, length) for start, length in spans]
        return opens(filed, ends, step(url, created(filed, before, size)), *puts)

    @asynccontextmanager
    async def leased(self, filed: Filed, before: Standing | None) -> AsyncIterator[dict[str, str]]:
        """What a call says to write to a file that is as it stood `before`, and that nobody else can. Raises Outrun."""
        if before is None:
            yield {}
            return
        lease = {"x-ms-lease-id": str(UUID(filed.change))}
        taken = {"x-ms-lease-action": "acquire", "x-ms-lease-duration": FOR_EVER}
        proposed = {"x-ms-proposed-lease-id": lease["x-ms-lease-id"]}
        surely(await self.calls.told("PUT", filed.id, {**taken, **proposed}, comp="lease"), "file")
        try:
            now = await self.looked(filed.id)
            if now is None or now.headers.get("etag", "").strip('"') != before.version:
                raise Outrun
            yield lease
        finally:
            await self.released(filed)

    async def settled(self, filed: Filed) -> None:
        """What a writer who died may have left: a lease, and a file that nobody is shown."""
        await self.released(filed)
        await self.forgotten(unseen(filed))

    async def released(self, filed: Filed) -> None:
        """What is gone, or was replaced, holds no lease any more."""
        given = {"x-ms-lease-action": "release", "x-ms-lease-id": str(UUID(filed.change))}
        with suppress(SourceFailed):
            await self.calls.told("PUT", filed.id, given, comp="lease")

    async def written(self, filed: Filed, before: Standing | None) -> str:
        """The name it has for now. Raises Unmade: nobody was shown anything."""
        part = unseen(filed)
        try:
            await self.filled(part, filed, before)
        except (SourceFailed, Outrun) as failure:
            await self.forgotten(part)
            if isinstance(failure, Outrun):
                raise Unmade("azure files did not keep what was sent to it") from failure
            raise Unmade(failure.reason, failure.code) from failure
        except BaseException:
            await self.forgotten(part)
            raise
        return part

    async def filled(self, part: str, filed: Filed, before: Standing | None) -> None:
        await self.directories(filed.id)
        if filed.copy_of is not None:
            if await self.listed(filed.copy_of) is None:
                raise missing_origin()
            source = {"x-ms-copy-source": self.calls.access.named(filed.copy_of), **marked(filed, before)}
            await finished(self.calls, part, surely(await self.calls.told("PUT", part, source), "file"))
            return
        octets = filed.octets or b""
        surely(await self.calls.told("PUT", part, created(filed, before, len(octets))), "file")
        if octets:
            put = await self.calls.told("PUT", part, ranged(0, len(octets)), octets, comp="range")
            surely(put, "file")

    async def way(self, filed: Filed) -> None:
        """Whoever holds an address can make a file, and no folder."""
        try:
            await self.directories(filed.id)
        except Outrun as failure:
            raise Unmade("azure files did not keep the folders of `path`", Code.SOURCE_UNAVAILABLE) from failure

    async def directories(self, id: str) -> None:
        for above in list(accumulate(id.split("/")[:-1], lambda path, each: f"{path}/{each}")):
            told = await self.calls.told("PUT", above, {}, restype="directory")
            if told.code not in THERE:
                surely(told, "file")

    async def renamed(self, part: str, filed: Filed, lease: dict[str, str]) -> Told:
        """In one step; where nothing stood, over nothing."""
        said = {
            "x-ms-file-rename-source": self.calls.access.named(part),
            "x-ms-file-rename-replace-if-exists": "true" if lease else "false",
            **({"x-ms-destination-lease-id": lease["x-ms-lease-id"]} if lease else {}),
        }
        return surely(await self.calls.told("PUT", filed.id, said, comp="rename"), "file")

    async def forgotten(self, part: str) -> None:
        with suppress(SourceFailed):
            await self.calls.told("DELETE", part, {})


def unseen(filed: Filed) -> str:
    """What it is called until it is whole."""
    return f"{''.join(filed.id.rpartition('/')[:2])}{HIDDEN}{filed.change}.part"


def created(filed: Filed, before: Standing | None, size: int) -> dict[str, str]:
    kind = {"x-ms-type": "file", "x-ms-content-length": str(size), "x-ms-content-type": media(filed)}
    return {**kind, **marked(filed, before)}


def ranged(start: int, length: int) -> dict[str, str]:
    """A body that is no file's own says that it is octets."""
    return {
        "content-type": "application/octet-stream", "x-ms-write": "update",
        "x-ms-range": f"bytes={start}-{start + length - 1}",
    }  # fmt: skip
