"""A container in, its blobs put, copied and deleted out; Azure itself compares the ETag of what stood before."""

from collections.abc import Callable, Mapping

from engine.change.addresses import Address
from engine.change.words import Values
from sources.azure.calls import Calls, Told
from sources.azure.entries import Entry, stood
from sources.azure.failures import NOT_FOUND, refused, unreadable
from sources.azure.writing import META, address, finished, marked, media, opens, step, surely, uncopied
from sources.writing.change import after, missing_origin
from sources.writing.marks import read
from sources.writing.words import Filed, Standing, by_path

BLOCK = {"x-ms-blob-type": "BlockBlob"}


class Blobs:
    """As sources.writing.words.Keeper. `row`: an entry in, all columns out."""

    def __init__(self, calls: Calls, row: Callable[[Entry], Values]) -> None:
        self.calls = calls
        self.row = row

    async def standing(self, id: str) -> Standing | None:
        told = await self.calls.told("HEAD", id, {})
        if told.status == NOT_FOUND and told.code in ("", "BlobNotFound"):
            return None
        if told.status >= 300:
            raise refused(told.status, told.code, "blob")
        return standing(id, told, self.row)

    async def placed(self, filed: Filed, before: Standing | None) -> Values:
        if filed.copy_of is None:
            headers = {**BLOCK, "content-type": media(filed), **marked(filed, before), **matching(before)}
            told = await self.calls.told("PUT", filed.id, headers, filed.octets or b"")
        else:
            told = await self.copied(filed, before)
        version = surely(told, "blob").headers.get("etag", "").strip('"')
        await finished(self.calls, filed.id, told)
        return await after(self, filed, version)

    async def copied(self, filed: Filed, before: Standing | None) -> Told:
        assert filed.copy_of is not None  # INVARIANT: asked for nowhere else
        uncopied(filed)
        origin = await self.standing(filed.copy_of)
        if origin is None:
            raise missing_origin()
        source = {
            "x-ms-copy-source": self.calls.access.named(filed.copy_of),
            "x-ms-source-if-match": f'"{origin.version}"',
        }
        return await self.calls.told("PUT", filed.id, {**source, **marked(filed, before), **matching(before)})

    async def removed(self, filed: Filed, before: Standing) -> None:
        surely(await self.calls.told("DELETE", filed.id, matching(before)), "blob")

    def known(self, filed: Filed) -> Values:
        return by_path(filed)

    async def address(self, filed: Filed, before: Standing | None, size: int, wanted: int) -> Address:
        """With the letter `c` alone Azure writes over nothing."""
        url, ends = address(self.calls, filed, "c" if before is None else "w", wanted)
        headers = {**BLOCK, "content-type": media(filed), **marked(filed, before), **matching(before)}
        return opens(filed, ends, step(url, headers, length=size))


def standing(id: str, told: Told, row: Callable[[Entry], Values]) -> Standing:
    try:
        return Standing(values=row(stood(id, told.headers)), marks=read(told.headers.get(META)))
    except (KeyError, ValueError) as error:
        raise unreadable("blob") from error


def matching(before: Standing | None) -> Mapping[str, str]:
    return {"if-none-match": "*"} if before is None else {"if-match": f'"{before.version}"'}
