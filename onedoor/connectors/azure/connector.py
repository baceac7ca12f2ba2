"""Serve the files of an Azure file share, and the blobs of an Azure blob container."""

import re
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from itertools import takewhile
from typing import Any, TypeAlias

from onedoor.connectors.azure.client import (
    EMPTY_PAGE,
    AzureCallLimits,
    AzureClient,
    AzureEntry,
    AzureListingPage,
    build_account,
    parse_blobs,
    parse_directory,
    parse_shares,
)
from onedoor.connectors.azure.writes import BlobWriter, ShareFileWriter
from onedoor.connectors.files.connector import PathFileConnector
from onedoor.connectors.files.contents import DEFAULT_READ_BYTES
from onedoor.connectors.files.model import (
    FILE_COLUMN_TYPES,
    FILES_COLLECTION,
    MAX_KEYS,
    FileStat,
    build_file_capabilities,
    build_path_readers,
)
from onedoor.connectors.files.writes import build_write_policy
from onedoor.connectors.path_patterns import PathPattern, compile_pattern
from onedoor.runtime.concurrency import fan_out
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.connector import ChangeRejected, ChangeResult, ConnectorKind, RowChange
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest

BLOB_NAME_MAX_LENGTH = 1024
"""Characters of the longest name of a blob."""

INVALID_BLOB_NAME_PATTERN = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""Characters that no blob's name holds."""

SHARE_PATH_MAX_LENGTH = 2048

INVALID_SHARE_PATH_PATTERN = re.compile(
    r'["\\:|<>*?\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]|//|(?:^|/)\.{1,2}(?:/|$)|^/|[^/]{256}'
)
"""What no path of a share holds."""

EntryReader: TypeAlias = Callable[[AzureEntry], Any]

FILE_READERS: Mapping[str, EntryReader] = build_path_readers(
    lambda entry: entry.path,
    size=lambda entry: entry.size,
    content_type=lambda entry: entry.content_type,
    modified=lambda entry: entry.modified,
    version=lambda entry: entry.version,
)

DIRECTORY_COLUMN_TYPES = {name: FILE_COLUMN_TYPES[name] for name in ("id", "path", "name", "modified", "version")}

SHARE_COLUMN_TYPES = {**DIRECTORY_COLUMN_TYPES, "quota_gb": ColumnType.INTEGER}

SHARE_READERS: Mapping[str, EntryReader] = {**FILE_READERS, "quota_gb": lambda share: share.quota}
"""Readers of directories too, whose columns are some of a share's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureOptions:
    """The settings that Azure Files and Blob Storage share.

    Either an `access_key` of the account or a `sas_token`. `timeout`: seconds of a call. `connections`: calls at once.
    `response_bytes`: the most that one page of a listing may hold. `base_url`: of an account outside of Azure's public
    cloud. `private_addresses`: the account may be in this network, and reached without TLS. `read_bytes`: the most that
    is read of one file for its rows. `writable`: files may be put, copied and deleted, and only below the folders of
    `writable_below` if there are any.
    """

    account: str
    pattern: str
    access_key: str | None = field(default=None, repr=False)
    sas_token: str | None = field(default=None, repr=False)
    base_url: str | None = None
    timeout: float = 5.0
    connections: int = 8
    response_bytes: int = 16_777_216
    private_addresses: bool = False
    read_bytes: int = DEFAULT_READ_BYTES
    writable: bool = False
    writable_below: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureBlobOptions(AzureOptions):
    """The settings of a blob container."""

    container: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureFilesOptions(AzureOptions):
    """The settings of a file share."""

    share: str


async def connect_azure_blob(options: AzureBlobOptions) -> "AzureBlobConnector":
    """Open a container without a call. Raises ValueError for settings that cannot be."""
    return AzureBlobConnector(options)


async def connect_azure_files(options: AzureFilesOptions) -> "AzureFilesConnector":
    """Open a share without a call. Raises ValueError for settings that cannot be."""
    return AzureFilesConnector(options)


class AzureConnector(PathFileConnector[AzureEntry]):
    """Serve what Azure Files and Blob Storage do the same way."""

    def __init__(self, service: str, root: str, options: AzureOptions, **further_collections: Capabilities) -> None:
        pattern = compile_pattern(options.pattern)
        write_policy = build_write_policy(writable=options.writable, allowed_prefixes=options.writable_below)
        super().__init__(pattern, FILE_READERS, write_policy, options.read_bytes, **further_collections)
        account = build_account(service, root, options)
        limits = AzureCallLimits(
            timeout=options.timeout, max_concurrency=options.connections, max_page_bytes=options.response_bytes
        )
        self.client = AzureClient(account, limits, private_addresses=options.private_addresses)

    @abstractmethod
    async def find_entry(self, id: str) -> AzureEntry | None:
        """Find a file in the listing, as Azure answers a call for a file under other spellings of its path too."""

    async def stat(self, id: str) -> FileStat | None:
        entry = await self.find_entry(id)
        return None if entry is None else self.files.build_stat(entry)

    async def read_range(self, id: str, start: int, length: int) -> bytes:
        return await self.client.read_range(id, start, length)

    async def create_download_url(self, id: str, seconds: int) -> str | None:
        return self.client.account.build_download_url(id, seconds, datetime.now(UTC))

    def build_file_rows(self, entries: Iterable[AzureEntry], request: ScanRequest) -> list[Row]:
        return build_page_rows(entries, request, self.files.build_row)

    async def close(self) -> None:
        await self.client.session.close()


class AzureBlobConnector(AzureConnector):
    """Serve the collection `files`, with one row for each blob of the container."""

    def __init__(self, options: AzureBlobOptions) -> None:
        super().__init__("blob", options.container, options)
        self.file_writer = BlobWriter(self.client, self.files.build_values)

    async def scan_collection(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        """Yield the pages of the listing; for keys, a batch for each key."""
        if request.keys is None:
            async for page in self.list_pages(""):
                yield self.build_file_rows(page.files, request)
            return
        look_up = partial(self.look_up, request.keys.columns)
        for entries in await fan_out(look_up, request.keys.values, self.client.limits.max_concurrency):
            yield self.build_file_rows(entries, request)

    async def find_entry(self, id: str) -> AzureEntry | None:
        return next(iter(await self.look_up(("id",), (id,))), None)

    async def look_up(self, key_columns: tuple[str, ...], key: Row) -> list[AzureEntry]:
        """Return the blobs of one key, without those of longer keys that begin with it."""
        prefix = self.files.build_key_prefix(key_columns, key)
        if not is_blob_prefix(prefix):
            return []
        pages = self.list_first_blob(prefix) if key_columns == ("id",) else self.list_pages(prefix)
        return [
            entry async for page in pages for entry in page.files if self.files.build_row(entry, key_columns) == key
        ]

    async def list_first_blob(self, prefix: str) -> AsyncIterator[AzureListingPage]:
        """Yield the first blob below a prefix, which is the one of exactly this name; pages before it may be empty."""
        page = await self.list_page(prefix, "", maxresults="1")
        while page.marker and not page.files:
            page = await self.list_page(prefix, page.marker, maxresults="1")
        yield page

    async def list_pages(self, prefix: str) -> AsyncIterator[AzureListingPage]:
        page = await self.list_page(prefix, "")
        yield page
        while page.marker:
            page = await self.list_page(prefix, page.marker)
            yield page

    async def list_page(self, prefix: str, marker: str, **parameters: str) -> AzureListingPage:
        return await self.client.list_page(
            self.client.account.build_path(),
            parse_blobs,
            restype="container",
            prefix=prefix,
            marker=marker,
            **parameters,
        )

    async def ping(self) -> None:
        path = self.client.account.build_path()
        await self.client.list_page(path, lambda _: EMPTY_PAGE, restype="container", maxresults="1")


class AzureFilesConnector(AzureConnector):
    """Serve the collections `files` and `directories` of the share, and the account's `shares`."""

    file_writer: ShareFileWriter

    def __init__(self, options: AzureFilesOptions) -> None:
        super().__init__("file", options.share, options, **FURTHER_SHARE_CAPABILITIES)
        self.file_writer = ShareFileWriter(self.client, self.find_entry, self.files.build_values)

    async def scan_collection(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        if request.collection == FILES_COLLECTION:
            async for page in self.list_pages(self.list_wanted_prefixes(request)):
                yield self.build_file_rows(page.files, request)
            return
        pages = (
            self.list_shares()
            if request.collection == "shares"
            else self.list_pages(self.list_wanted_prefixes(request))
        )
        async for page in pages:
            yield build_page_rows(page.directories, request, build_directory_row)

    async def find_entry(self, id: str) -> AzureEntry | None:
        async for page in self.list_pages(list(filter(is_share_path_prefix, [id]))):
            for entry in page.files:
                if entry.path == id:
                    return entry
        return None

    async def find_change(self, change: RowChange) -> ChangeResult | None:
        """Find a change, and remove what a writer of an unfinished one may have left."""
        result = await super().find_change(change)
        if result is None:
            with suppress(ChangeRejected):
                await self.file_writer.clean_up(self.parse_change(change))
        return result

    def list_wanted_prefixes(self, request: ScanRequest) -> list[str]:
        if request.keys is None:
            return [""]
        prefixes = [self.files.build_key_prefix(request.keys.columns, key) for key in request.keys.values]
        return list(filter(is_share_path_prefix, prefixes))

    async def list_pages(self, path_prefixes: Sequence[str]) -> AsyncIterator[AzureListingPage]:
        async for page in walk_directories(self.list_page, path_prefixes, self.client.limits.max_concurrency):
            yield page

    async def list_page(self, page_request: "DirectoryPageRequest") -> AzureListingPage:
        """List one page of a directory; a directory that is deleted meanwhile is empty."""
        return await self.client.list_page(
            self.client.account.build_path(page_request.directory.removesuffix("/") or None),
            partial(parse_directory, parent_path=page_request.directory),
            restype="directory",
            prefix=page_request.prefix,
            marker=page_request.marker,
            include="Timestamps,ETag",
        )

    async def list_shares(self) -> AsyncIterator[AzureListingPage]:
        path = self.client.account.build_path_under("")
        page = await self.client.list_page(path, parse_shares)
        yield page
        while page.marker:
            page = await self.client.list_page(path, parse_shares, marker=page.marker)
            yield page

    async def ping(self) -> None:
        path = self.client.account.build_path()
        await self.client.list_page(path, lambda _: EMPTY_PAGE, restype="directory", maxresults="1")


def build_column_capabilities(column_types: Mapping[str, ColumnType]) -> Capabilities:
    return Capabilities(columns={name: Column(type=column_type) for name, column_type in column_types.items()})


FURTHER_SHARE_CAPABILITIES: Mapping[str, Capabilities] = {
    "directories": replace(
        build_column_capabilities(DIRECTORY_COLUMN_TYPES), max_keys=MAX_KEYS, key_columns=frozenset({("id",)})
    ),
    "shares": build_column_capabilities(SHARE_COLUMN_TYPES),
}


def build_share_capabilities(pattern: PathPattern) -> Mapping[str, Capabilities]:
    """Return the capabilities of all collections of a share."""
    return {FILES_COLLECTION: build_file_capabilities(pattern), **FURTHER_SHARE_CAPABILITIES}


def build_page_rows(
    entries: Iterable[AzureEntry], request: ScanRequest, build_row: Callable[[AzureEntry, Sequence[str]], Row]
) -> list[Row]:
    """Return the rows of a page; if the request has keys, only the rows that have one of them."""
    if request.keys is not None:
        keys, columns = frozenset(request.keys.values), request.keys.columns
        entries = [entry for entry in entries if build_row(entry, columns) in keys]
    return [build_row(entry, request.columns) for entry in entries]


def build_directory_row(entry: AzureEntry, columns: Sequence[str]) -> Row:
    return tuple(SHARE_READERS[name](entry) for name in columns)


def is_blob_prefix(prefix: str) -> bool:
    """Return whether the name of a blob can begin with this: text that URLs can hold, of a limited length."""
    return len(prefix) <= BLOB_NAME_MAX_LENGTH and INVALID_BLOB_NAME_PATTERN.search(prefix) is None


def is_share_path_prefix(prefix: str) -> bool:
    """Return whether a path of a share can begin with this; Azure refuses to look for what it would refuse to store."""
    return len(prefix) <= SHARE_PATH_MAX_LENGTH and INVALID_SHARE_PATH_PATTERN.search(prefix) is None


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryPageRequest:
    """One page to list: what begins with `prefix` in `directory`, which ends with `/` or is empty for the root."""

    directory: str
    prefix: str
    marker: str = ""


async def walk_directories(
    load_page: Callable[[DirectoryPageRequest], Awaitable[AzureListingPage]],
    path_prefixes: Sequence[str],
    max_concurrency: int,
) -> AsyncIterator[AzureListingPage]:
    """Yield every page below the prefixes once, a few at a time, so that memory stays bounded."""
    root = build_page_request("", path_prefixes)
    waiting = [] if root is None else [root]
    while waiting:
        current, waiting = waiting[-max_concurrency:], waiting[:-max_concurrency]
        pages = await fan_out(load_page, current, max_concurrency)
        for page_request, page in zip(current, pages, strict=True):
            yield page
            waiting += list_next_requests(page_request, page, path_prefixes)


def list_next_requests(
    page_request: DirectoryPageRequest, page: AzureListingPage, path_prefixes: Sequence[str]
) -> list[DirectoryPageRequest]:
    """Return the next page of the same directory, and the first pages of the listed directories to enter."""
    next_page = [replace(page_request, marker=page.marker)] if page.marker else []
    directories = [build_page_request(f"{entry.path}/", path_prefixes) for entry in page.directories]
    return [*next_page, *(request for request in directories if request is not None)]


def build_page_request(directory: str, path_prefixes: Sequence[str]) -> DirectoryPageRequest | None:
    """Return the first page of a directory, or None if nothing in it begins with one of the prefixes."""
    if any(directory.startswith(prefix) for prefix in path_prefixes):
        return DirectoryPageRequest(directory=directory, prefix="")
    names = [prefix[len(directory) :].partition("/")[0] for prefix in path_prefixes if prefix.startswith(directory)]
    return DirectoryPageRequest(directory=directory, prefix=find_common_prefix(names)) if names else None


def find_common_prefix(names: Sequence[str]) -> str:
    """Return what all names begin with; the first and the last in their order decide."""
    pairs = zip(min(names), max(names), strict=False)
    return "".join(character for character, other in takewhile(lambda pair: pair[0] == pair[1], pairs))


FILES_KIND = ConnectorKind(options=AzureFilesOptions, connect=connect_azure_files)
BLOB_KIND = ConnectorKind(options=AzureBlobOptions, connect=connect_azure_blob)
