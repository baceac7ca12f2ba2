"""Options in, a source that answers from one share of Azure Files out."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

from engine.change.addresses import Address, Upload
from engine.change.words import Change, Made, Unmade, Values, Writes
from engine.words import Ask, Can, Keys, Kind, Row
from sources.azure import collection
from sources.azure.access import access
from sources.azure.calls import Bounds, Calls
from sources.azure.entries import NOTHING, Entry, Page, directory, shares
from sources.azure.put_files import ShareFiles
from sources.azure.walk import Place, possible, walk
from sources.content.content import CANS, READ_BYTES
from sources.content.content import read as inside
from sources.content.words import FILES, Stat
from sources.patterns import Pattern, compile_pattern
from sources.writing import change as changing
from sources.writing.uploads import awaited, before
from sources.writing.wishes import wished
from sources.writing.words import WRITES, Filed, Writing, prefixes

SHARE: Mapping[str, tuple[Kind, collection.Read]] = {
    **collection.DIRECTORY,
    "quota_gb": (Kind.INTEGER, lambda share: share.quota),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Either an `access_key` of the account or a `sas_token`. `timeout`: seconds of one call. `connections`: at once.

    `response_bytes`: the most that one page of a listing may hold. `base_url`: where the account is not in Azure's
    public cloud. `private_addresses`: it may be in this network, and spoken to without TLS. `read_bytes`: the most
    that is read of one file for its rows. `writable`: files may be put, copied and deleted, below the folders of
    `writable_below` alone where there are any.
    """

    account: str
    share: str
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


async def connect(options: Options) -> "AzureFiles":
    """Asks the share nothing yet. ValueError: what cannot be."""
    writing = Writing(writable=options.writable, below=prefixes(options.writable_below))
    opened = access("file", options.share, options)
    bounds = Bounds(timeout=options.timeout, at_once=options.connections, most=options.response_bytes)
    calls = Calls(opened, bounds, private_addresses=options.private_addresses)
    return AzureFiles(calls, compile_pattern(options.pattern), writing, options.read_bytes)


class AzureFiles:
    """The collections `files` and `directories` of the share, and the account's `shares`."""

    def __init__(self, calls: Calls, pattern: Pattern, writing: Writing, read_bytes: int = READ_BYTES) -> None:
        self.calls = calls
        self.pattern = pattern
        self.writing = writing
        self.keeper = ShareFiles(calls, self.listed, self.whole)
        self.read_bytes = read_bytes
        self.promises = {**promises(pattern), **CANS}

    def can(self, collection: str) -> Can:
        return self.promises[collection]

    async def read(self, ask: Ask) -> AsyncIterator[Sequence[Row]]:
        """Page by page."""
        if ask.collection in CANS:
            async for rows in inside(self, ask, self.read_bytes):
                yield rows
            return
        if ask.collection == FILES:
            async for page in self.pages(ask):
                yield collection.kept(page.files, ask, self.row)
            return
        pages = self.shares() if ask.collection == "shares" else self.pages(ask)
        async for page in pages:
            yield collection.kept(page.directories, ask, placed)

    def row(self, entry: Entry, columns: Sequence[str]) -> Row:
        return collection.row(entry, columns, self.pattern)

    async def pages(self, ask: Ask) -> AsyncIterator[Page]:
        wanted = [""]
        if ask.keys is not None:
            named = [collection.prefix(self.pattern, ask.keys.columns, key) for key in ask.keys.values]
            wanted = [each for each in named if possible(each)]
        async for page in walk(self.page, wanted, self.calls.bounds.at_once):
            yield page

    async def page(self, at: Place) -> Page:
        """A directory that went away meanwhile has nothing in it."""
        return await self.calls.listing(
            self.calls.access.path(at.directory.removesuffix("/") or None),
            partial(directory, within=at.directory),
            restype="directory",
            prefix=at.prefix,
            marker=at.marker,
            include="Timestamps,ETag",
        )

    async def shares(self) -> AsyncIterator[Page]:
        page = await self.calls.listing(self.calls.access.under(""), shares)
        yield page
        while page.marker:
            page = await self.calls.listing(self.calls.access.under(""), shares, marker=page.marker)
            yield page

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
        found = await changing.made(self.keeper, change, self.wished)
        if found is None:
            with suppress(Unmade):
                await self.keeper.settled(self.wished(change))
        return found

    async def upload_address(self, upload: Upload) -> Address | None:
        filed = awaited(upload, self.wished)
        stood = await before(self.keeper, filed)
        return await self.keeper.address(filed, stood, upload.size, upload.seconds)

    def wished(self, change: Change) -> Filed:
        return wished(change, self.writing, self.pattern)

    def whole(self, entry: Entry) -> Values:
        columns = tuple(self.promises[FILES].columns)
        return dict(zip(columns, self.row(entry, columns), strict=True))

    async def listed(self, id: str) -> Entry | None:
        ask = Ask(collection=FILES, columns=("id",), keys=Keys(("id",), ((id,),)))
        found = [each async for page in self.pages(ask) for each in page.files if each.path == id]
        return found[0] if found else None

    async def ping(self) -> None:
        await self.calls.listing(self.calls.access.path(), lambda _: NOTHING, restype="directory", maxresults="1")

    async def close(self) -> None:
        await self.calls.session.close()


def promises(pattern: Pattern) -> Mapping[str, Can]:
    directories = collection.promise(collection.DIRECTORY)
    return {
        FILES: collection.files(pattern),
        "directories": replace(directories, keys=collection.KEYS, key_columns=collection.BY_ID),
        "shares": collection.promise(SHARE),
    }


def placed(entry: Entry, columns: Sequence[str]) -> Row:
    return tuple(SHARE[name][1](entry) for name in columns)
