"""Options in, a source that lists one container of Azure Blob Storage out."""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from engine.change.addresses import Address, Upload
from engine.change.words import Change, Made, Values, Writes
from engine.words import Ask, Can, Row
from sources.azure import collection
from sources.azure.access import access
from sources.azure.calls import Bounds, Calls
from sources.azure.entries import NOTHING, Entry, Page, blobs
from sources.azure.put_blobs import Blobs
from sources.content.content import CANS, READ_BYTES
from sources.content.content import read as inside
from sources.content.words import FILES, Stat
from sources.fan_out import fan_out
from sources.patterns import Pattern, compile_pattern
from sources.writing import change as changing
from sources.writing.uploads import awaited, before
from sources.writing.wishes import wished
from sources.writing.words import WRITES, Filed, Writing, prefixes

LONGEST = 1024
"""Characters of a blob's name."""
NEVER = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""What stands in no blob's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Either an `access_key` of the account or a `sas_token`. `timeout`: seconds of one call. `connections`: at once.

    `response_bytes`: the most that one page of a listing may hold. `base_url`: where the account is not in Azure's
    public cloud. `private_addresses`: it may be in this network, and spoken to without TLS. `read_bytes`: the most
    that is read of one file for its rows. `writable`: files may be put, copied and deleted, below the folders of
    `writable_below` alone where there are any.
    """

    account: str
    container: str
    pattern: str
    access_key: str | None = field(default=None, repr=False)
    sas_token: str | None = field(default=None, repr=False)
    base_url: str | None = None
    timeout: float = 5.0
    connections: int = 8
    response_bytes: int = 16_777_216
    private_addresses: bool = False
    read_bytes: int = READ_BYTES
    writable: bool = False
    writable_below: tuple[str, ...] = ()


async def connect(options: Options) -> "AzureBlob":
    """Asks the container nothing yet. ValueError: what cannot be."""
    writing = Writing(writable=options.writable, below=prefixes(options.writable_below))
    opened = access("blob", options.container, options)
    bounds = Bounds(timeout=options.timeout, at_once=options.connections, most=options.response_bytes)
    calls = Calls(opened, bounds, private_addresses=options.private_addresses)
    return AzureBlob(calls, compile_pattern(options.pattern), writing, options.read_bytes)


class AzureBlob:
    """The collection `files`: one row for each blob of the container."""

    def __init__(self, calls: Calls, pattern: Pattern, writing: Writing, read_bytes: int = READ_BYTES) -> None:
        self.calls = calls
        self.pattern = pattern
        self.writing = writing
        self.keeper = Blobs(calls, self.whole)
        self.read_bytes = read_bytes
        self.promises = {FILES: collection.files(pattern), **CANS}

    def can(self, collection: str) -> Can:
        return self.promises[collection]

    async def read(self, ask: Ask) -> AsyncIterator[Sequence[Row]]:
        """Pages as they come; for keys, a batch for each key."""
        if ask.collection in CANS:
            async for rows in inside(self, ask, self.read_bytes):
                yield rows
            return
        if ask.keys is None:
            async for page in self.pages(""):
                yield collection.kept(page.files, ask, self.row)
            return
        for entries in await fan_out(
            partial(self.look_up, ask.keys.columns), ask.keys.values, self.calls.bounds.at_once
        ):
            yield collection.kept(entries, ask, self.row)

    def row(self, entry: Entry, columns: Sequence[str]) -> Row:
        return collection.row(entry, columns, self.pattern)

    async def look_up(self, columns: tuple[str, ...], key: Row) -> list[Entry]:
        """Those of one key alone: keys may be the beginnings of other keys."""
        prefix = collection.prefix(self.pattern, columns, key)
        if not possible(prefix):
            return []
        pages = self.first(prefix) if columns == ("id",) else self.pages(prefix)
        return [each async for page in pages for each in page.files if self.row(each, columns) == key]

    async def first(self, prefix: str) -> AsyncIterator[Page]:
        """Of all names that start with a name, it itself comes first; a page before it may be empty."""
        page = await self.page(prefix, "", maxresults="1")
        while page.marker and not page.files:
            page = await self.page(prefix, page.marker, maxresults="1")
        yield page

    async def pages(self, prefix: str) -> AsyncIterator[Page]:
        page = await self.page(prefix, "")
        yield page
        while page.marker:
            page = await self.page(prefix, page.marker)
            yield page

    async def page(self, prefix: str, marker: str, **more: str) -> Page:
        path = self.calls.access.path()
        return await self.calls.listing(path, blobs, restype="container", prefix=prefix, marker=marker, **more)

    async def stat(self, id: str) -> Stat | None:
        return await collection.stat(self, id)

    async def octets(self, id: str, start: int, length: int) -> bytes:
        return await self.calls.octets(id, start, length)

    async def download_url(self, id: str, seconds: int) -> str | None:
        return self.calls.access.download_url(id, seconds, datetime.now(UTC))

    def writes(self, collection: str) -> Writes | None:
        return WRITES if collection == FILES and self.writing.writable else None

    async def write(self, changes: Sequence[Change], *, dry: bool = False) -> Sequence[Made]:
        return await changing.written(self.keeper, self.wished(changing.single(changes)), dry=dry)

    async def made(self, change: Change) -> Made | None:
        return await changing.made(self.keeper, change, self.wished)

    async def upload_address(self, upload: Upload) -> Address | None:
        filed = awaited(upload, self.wished)
        stood = await before(self.keeper, filed)
        return await self.keeper.address(filed, stood, upload.size, upload.seconds)

    def wished(self, change: Change) -> Filed:
        return wished(change, self.writing, self.pattern)

    def whole(self, entry: Entry) -> Values:
        columns = tuple(self.promises[FILES].columns)
        return dict(zip(columns, self.row(entry, columns), strict=True))

    async def ping(self) -> None:
        path = self.calls.access.path()
        await self.calls.listing(path, lambda _: NOTHING, restype="container", maxresults="1")

    async def close(self) -> None:
        await self.calls.session.close()


def possible(prefix: str) -> bool:
    """Whether a blob's name can begin so: it is text that urls can hold, of a limited length."""
    return len(prefix) <= LONGEST and NEVER.search(prefix) is None
