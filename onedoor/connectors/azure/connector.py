"""File share and blob container."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
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
from onedoor.connectors.files import writes
from onedoor.connectors.files.contents import CONTENT_CAPABILITIES, DEFAULT_READ_BYTES, scan_contents
from onedoor.connectors.files.model import FILE_COLUMN_NAMES, FILES_COLLECTION, FileStat
from onedoor.connectors.files.writes import (
    FILE_WRITE_CAPABILITIES,
    FileChange,
    FileWritePolicy,
    check_writable_prefixes,
    parse_file_change,
    parse_upload,
    read_state_before,
)
from onedoor.connectors.path_patterns import PathPattern, compile_pattern
from onedoor.runtime.concurrency import fan_out
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.connector import (
    ChangeRejected,
    ChangeResult,
    Connector,
    ConnectorKind,
    RowChange,
    RowValues,
    UploadAddress,
    UploadRequest,
    WriteCapabilities,
)
from onedoor.spi.predicates import Row
from onedoor.spi.scan import KeyFilter, ScanRequest

MAX_KEYS = 50

EntryReader: TypeAlias = Callable[[AzureEntry], Any]

FILE_COLUMNS: Mapping[str, tuple[ColumnType, EntryReader]] = {
    "id": (ColumnType.TEXT, lambda entry: entry.path),
    "path": (ColumnType.TEXT, lambda entry: entry.path),
    "name": (ColumnType.TEXT, lambda entry: entry.path.rpartition("/")[2]),
    "size": (ColumnType.INTEGER, lambda entry: entry.size),
    "content_type": (ColumnType.TEXT, lambda entry: entry.content_type),
    "modified": (ColumnType.TIME, lambda entry: entry.modified),
    "version": (ColumnType.TEXT, lambda entry: entry.version),
}
"""The columns every file has; a pattern's column of the same name gives way."""

DIRECTORY_COLUMNS = {name: FILE_COLUMNS[name] for name in ("id", "path", "name", "modified", "version")}

ID_KEY_COLUMNS = frozenset({("id",)})


def build_column_capabilities(columns: Mapping[str, tuple[ColumnType, EntryReader]]) -> Capabilities:
    return Capabilities(columns={name: Column(type=kind) for name, (kind, _) in columns.items()})


def build_file_capabilities(pattern: PathPattern) -> Capabilities:
    """Keys alone: ids, or the pattern's columns from its first on, as far as a prefix follows from them."""
    further = {name: Column(type=kind) for name, kind in pattern.columns.items() if name not in FILE_COLUMNS}
    return Capabilities(
        columns={**build_column_capabilities(FILE_COLUMNS).columns, **further},
        max_keys=MAX_KEYS,
        key_columns=ID_KEY_COLUMNS | frozenset(list_leading_columns(pattern)),
    )


def list_leading_columns(pattern: PathPattern) -> Iterator[tuple[str, ...]]:
    names = tuple(takewhile(lambda name: name not in FILE_COLUMNS, pattern.columns))
    return (names[: count + 1] for count in range(len(names)))


def build_path_prefix(pattern: PathPattern, columns: tuple[str, ...], key: Row) -> str:
    """What the paths of a key's files begin with."""
    return str(key[0]) if columns == ("id",) else pattern.build_prefix(dict(zip(columns, key, strict=True)))


def build_file_row(entry: AzureEntry, columns: Sequence[str], pattern: PathPattern) -> Row:
    values = pattern.match(entry.path) or {}
    return tuple(FILE_COLUMNS[name][1](entry) if name in FILE_COLUMNS else values.get(name) for name in columns)


def build_page_rows(
    entries: Iterable[AzureEntry], request: ScanRequest, build_row: Callable[[AzureEntry, Sequence[str]], Row]
) -> list[Row]:
    """The rows of a page, those of the keys alone."""
    if request.keys is not None:
        wanted, columns = frozenset(request.keys.values), request.keys.columns
        entries = [each for each in entries if build_row(each, columns) in wanted]
    return [build_row(each, request.columns) for each in entries]


async def load_file_stat(connector: Connector, id: str) -> FileStat | None:
    """As its listing shows it: only so is it known under no other name."""
    ask = ScanRequest(collection=FILES_COLLECTION, columns=FILE_COLUMN_NAMES, keys=KeyFilter(("id",), ((id,),)))
    async for rows in connector.scan(ask):
        for found in rows:
            said = dict(zip(FILE_COLUMN_NAMES, found, strict=True))
            del said["path"]
            return FileStat(**said)
    return None


BLOB_NAME_MAX_LENGTH = 1024
"""Characters of a blob's name."""

INVALID_BLOB_NAME_PATTERN = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""What stands in no blob's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureBlobOptions:
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
    read_bytes: int = DEFAULT_READ_BYTES
    writable: bool = False
    writable_below: tuple[str, ...] = ()


async def connect_azure_blob(options: AzureBlobOptions) -> "AzureBlobConnector":
    """Asks the container nothing yet. ValueError: what cannot be."""
    writing = FileWritePolicy(
        writable=options.writable, allowed_prefixes=check_writable_prefixes(options.writable_below)
    )
    opened = build_account("blob", options.container, options)
    bounds = AzureCallLimits(
        timeout=options.timeout, max_concurrency=options.connections, max_page_bytes=options.response_bytes
    )
    calls = AzureClient(opened, bounds, private_addresses=options.private_addresses)
    return AzureBlobConnector(calls, compile_pattern(options.pattern), writing, options.read_bytes)


class AzureBlobConnector:
    """The collection `files`: one row for each blob of the container."""

    def __init__(
        self,
        client: AzureClient,
        pattern: PathPattern,
        write_policy: FileWritePolicy,
        read_bytes: int = DEFAULT_READ_BYTES,
    ) -> None:
        self.client = client
        self.pattern = pattern
        self.write_policy = write_policy
        self.file_writer = BlobWriter(client, self.build_values)
        self.read_bytes = read_bytes
        self.collection_capabilities = {FILES_COLLECTION: build_file_capabilities(pattern), **CONTENT_CAPABILITIES}

    def capabilities(self, collection: str) -> Capabilities:
        return self.collection_capabilities[collection]

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        """Pages as they come; for keys, a batch for each key."""
        if request.collection in CONTENT_CAPABILITIES:
            async for rows in scan_contents(self, request, self.read_bytes):
                yield rows
            return
        if request.keys is None:
            async for page in self.list_pages(""):
                yield build_page_rows(page.files, request, self.build_row)
            return
        for entries in await fan_out(
            partial(self.look_up, request.keys.columns), request.keys.values, self.client.limits.max_concurrency
        ):
            yield build_page_rows(entries, request, self.build_row)

    def build_row(self, entry: AzureEntry, columns: Sequence[str]) -> Row:
        return build_file_row(entry, columns, self.pattern)

    async def look_up(self, columns: tuple[str, ...], key: Row) -> list[AzureEntry]:
        """Those of one key alone: keys may be the beginnings of other keys."""
        prefix = build_path_prefix(self.pattern, columns, key)
        if not is_blob_prefix(prefix):
            return []
        pages = self.list_first_page(prefix) if columns == ("id",) else self.list_pages(prefix)
        return [each async for page in pages for each in page.files if self.build_row(each, columns) == key]

    async def list_first_page(self, prefix: str) -> AsyncIterator[AzureListingPage]:
        """Of all names that start with a name, it itself comes first; a page before it may be empty."""
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

    async def list_page(self, prefix: str, marker: str, **more: str) -> AzureListingPage:
        path = self.client.account.build_path()
        return await self.client.list_page(path, parse_blobs, restype="container", prefix=prefix, marker=marker, **more)

    async def stat(self, id: str) -> FileStat | None:
        return await load_file_stat(self, id)

    async def read_range(self, id: str, start: int, length: int) -> bytes:
        return await self.client.read_range(id, start, length)

    async def create_download_url(self, id: str, seconds: int) -> str | None:
        return self.client.account.build_download_url(id, seconds, datetime.now(UTC))

    def write_capabilities(self, collection: str) -> WriteCapabilities | None:
        return FILE_WRITE_CAPABILITIES if collection == FILES_COLLECTION and self.write_policy.writable else None

    async def apply(self, changes: Sequence[RowChange], *, dry_run: bool = False) -> Sequence[ChangeResult]:
        return await writes.apply_file_change(
            self.file_writer, self.parse_change(writes.require_single_change(changes)), dry_run=dry_run
        )

    async def find_change(self, change: RowChange) -> ChangeResult | None:
        return await writes.find_file_change(self.file_writer, change, self.parse_change)

    async def upload_address(self, request: UploadRequest) -> UploadAddress | None:
        filed = parse_upload(request, self.parse_change)
        stood = await read_state_before(self.file_writer, filed)
        return await self.file_writer.create_upload_address(filed, stood, request.size, request.valid_seconds)

    def parse_change(self, change: RowChange) -> FileChange:
        return parse_file_change(change, self.write_policy, self.pattern)

    def build_values(self, entry: AzureEntry) -> RowValues:
        columns = tuple(self.collection_capabilities[FILES_COLLECTION].columns)
        return dict(zip(columns, self.build_row(entry, columns), strict=True))

    async def ping(self) -> None:
        path = self.client.account.build_path()
        await self.client.list_page(path, lambda _: EMPTY_PAGE, restype="container", maxresults="1")

    async def close(self) -> None:
        await self.client.session.close()


def is_blob_prefix(prefix: str) -> bool:
    """Whether a blob's name can begin so: it is text that urls can hold, of a limited length."""
    return len(prefix) <= BLOB_NAME_MAX_LENGTH and INVALID_BLOB_NAME_PATTERN.search(prefix) is None


INVALID_SHARE_PATH_PATTERN = re.compile(
    r'["\\:|<>*?\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]|//|(?:^|/)\.{1,2}(?:/|$)|^/|[^/]{256}'
)
"""What stands in no path of a share."""

SHARE_PATH_MAX_LENGTH = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryPageRequest:
    """A page to be asked for: of `directory`, which ends with `/` or is empty, what begins with `prefix`."""

    directory: str
    prefix: str
    marker: str = ""


async def walk_directories(
    load_page: Callable[[DirectoryPageRequest], Awaitable[AzureListingPage]],
    path_prefixes: Sequence[str],
    max_concurrency: int,
) -> AsyncIterator[AzureListingPage]:
    """Every page once, a few at a time, so that no more are held than are asked for."""
    places = [each for each in (build_page_request("", path_prefixes),) if each is not None]
    while places:
        now, places = places[-max_concurrency:], places[:-max_concurrency]
        for at, page in zip(now, await fan_out(load_page, now, max_concurrency), strict=True):
            yield page
            places += list_next_requests(at, page, path_prefixes)


def list_next_requests(
    page_request: DirectoryPageRequest, page: AzureListingPage, path_prefixes: Sequence[str]
) -> list[DirectoryPageRequest]:
    """The next page of the place, and the directories it lists that are to be entered."""
    below = [build_page_request(f"{each.path}/", path_prefixes) for each in page.directories]
    rest = (
        [DirectoryPageRequest(directory=page_request.directory, prefix=page_request.prefix, marker=page.marker)]
        if page.marker
        else []
    )
    return [*rest, *(each for each in below if each is not None)]


def build_page_request(directory: str, path_prefixes: Sequence[str]) -> DirectoryPageRequest | None:
    """None: nothing in it begins with what is wanted."""
    if any(directory.startswith(each) for each in path_prefixes):
        return DirectoryPageRequest(directory=directory, prefix="")
    names = [each[len(directory) :].partition("/")[0] for each in path_prefixes if each.startswith(directory)]
    return DirectoryPageRequest(directory=directory, prefix=find_common_prefix(names)) if names else None


def find_common_prefix(names: Sequence[str]) -> str:
    """What all of them begin with: the first and the last in their order tell."""
    return "".join(
        one for one, other in takewhile(lambda pair: pair[0] == pair[1], zip(min(names), max(names), strict=False))
    )


def is_share_path_prefix(prefix: str) -> bool:
    """Whether a path can begin so: Azure refuses to look for what it would refuse to store."""
    return len(prefix) <= SHARE_PATH_MAX_LENGTH and INVALID_SHARE_PATH_PATTERN.search(prefix) is None


SHARE_COLUMNS: Mapping[str, tuple[ColumnType, EntryReader]] = {
    **DIRECTORY_COLUMNS,
    "quota_gb": (ColumnType.INTEGER, lambda share: share.quota),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureFilesOptions:
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
    read_bytes: int = DEFAULT_READ_BYTES
    writable: bool = False
    writable_below: tuple[str, ...] = ()


async def connect_azure_files(options: AzureFilesOptions) -> "AzureFilesConnector":
    """Asks the share nothing yet. ValueError: what cannot be."""
    writing = FileWritePolicy(
        writable=options.writable, allowed_prefixes=check_writable_prefixes(options.writable_below)
    )
    opened = build_account("file", options.share, options)
    bounds = AzureCallLimits(
        timeout=options.timeout, max_concurrency=options.connections, max_page_bytes=options.response_bytes
    )
    calls = AzureClient(opened, bounds, private_addresses=options.private_addresses)
    return AzureFilesConnector(calls, compile_pattern(options.pattern), writing, options.read_bytes)


class AzureFilesConnector:
    """The collections `files` and `directories` of the share, and the account's `shares`."""

    def __init__(
        self,
        client: AzureClient,
        pattern: PathPattern,
        write_policy: FileWritePolicy,
        read_bytes: int = DEFAULT_READ_BYTES,
    ) -> None:
        self.client = client
        self.pattern = pattern
        self.write_policy = write_policy
        self.file_writer = ShareFileWriter(client, self.find_entry, self.build_values)
        self.read_bytes = read_bytes
        self.collection_capabilities = {**build_share_capabilities(pattern), **CONTENT_CAPABILITIES}

    def capabilities(self, collection: str) -> Capabilities:
        return self.collection_capabilities[collection]

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        """Page by page."""
        if request.collection in CONTENT_CAPABILITIES:
            async for rows in scan_contents(self, request, self.read_bytes):
                yield rows
            return
        if request.collection == FILES_COLLECTION:
            async for page in self.list_pages(request):
                yield build_page_rows(page.files, request, self.build_row)
            return
        pages = self.list_shares() if request.collection == "shares" else self.list_pages(request)
        async for page in pages:
            yield build_page_rows(page.directories, request, build_directory_row)

    def build_row(self, entry: AzureEntry, columns: Sequence[str]) -> Row:
        return build_file_row(entry, columns, self.pattern)

    async def list_pages(self, request: ScanRequest) -> AsyncIterator[AzureListingPage]:
        wanted = [""]
        if request.keys is not None:
            named = [build_path_prefix(self.pattern, request.keys.columns, key) for key in request.keys.values]
            wanted = [each for each in named if is_share_path_prefix(each)]
        async for page in walk_directories(self.list_page, wanted, self.client.limits.max_concurrency):
            yield page

    async def list_page(self, page_request: DirectoryPageRequest) -> AzureListingPage:
        """A directory that went away meanwhile has nothing in it."""
        return await self.client.list_page(
            self.client.account.build_path(page_request.directory.removesuffix("/") or None),
            partial(parse_directory, parent_path=page_request.directory),
            restype="directory",
            prefix=page_request.prefix,
            marker=page_request.marker,
            include="Timestamps,ETag",
        )

    async def list_shares(self) -> AsyncIterator[AzureListingPage]:
        page = await self.client.list_page(self.client.account.build_path_under(""), parse_shares)
        yield page
        while page.marker:
            page = await self.client.list_page(
                self.client.account.build_path_under(""), parse_shares, marker=page.marker
            )
            yield page

    async def stat(self, id: str) -> FileStat | None:
        return await load_file_stat(self, id)

    async def read_range(self, id: str, start: int, length: int) -> bytes:
        return await self.client.read_range(id, start, length)

    async def create_download_url(self, id: str, seconds: int) -> str | None:
        return self.client.account.build_download_url(id, seconds, datetime.now(UTC))

    def write_capabilities(self, collection: str) -> WriteCapabilities | None:
        return FILE_WRITE_CAPABILITIES if collection == FILES_COLLECTION and self.write_policy.writable else None

    async def apply(self, changes: Sequence[RowChange], *, dry_run: bool = False) -> Sequence[ChangeResult]:
        return await writes.apply_file_change(
            self.file_writer, self.parse_change(writes.require_single_change(changes)), dry_run=dry_run
        )

    async def find_change(self, change: RowChange) -> ChangeResult | None:
        found = await writes.find_file_change(self.file_writer, change, self.parse_change)
        if found is None:
            with suppress(ChangeRejected):
                await self.file_writer.clean_up(self.parse_change(change))
        return found

    async def upload_address(self, request: UploadRequest) -> UploadAddress | None:
        filed = parse_upload(request, self.parse_change)
        stood = await read_state_before(self.file_writer, filed)
        return await self.file_writer.create_upload_address(filed, stood, request.size, request.valid_seconds)

    def parse_change(self, change: RowChange) -> FileChange:
        return parse_file_change(change, self.write_policy, self.pattern)

    def build_values(self, entry: AzureEntry) -> RowValues:
        columns = tuple(self.collection_capabilities[FILES_COLLECTION].columns)
        return dict(zip(columns, self.build_row(entry, columns), strict=True))

    async def find_entry(self, id: str) -> AzureEntry | None:
        ask = ScanRequest(collection=FILES_COLLECTION, columns=("id",), keys=KeyFilter(("id",), ((id,),)))
        found = [each async for page in self.list_pages(ask) for each in page.files if each.path == id]
        return found[0] if found else None

    async def ping(self) -> None:
        await self.client.list_page(
            self.client.account.build_path(), lambda _: EMPTY_PAGE, restype="directory", maxresults="1"
        )

    async def close(self) -> None:
        await self.client.session.close()


def build_share_capabilities(pattern: PathPattern) -> Mapping[str, Capabilities]:
    directories = build_column_capabilities(DIRECTORY_COLUMNS)
    return {
        FILES_COLLECTION: build_file_capabilities(pattern),
        "directories": replace(directories, max_keys=MAX_KEYS, key_columns=ID_KEY_COLUMNS),
        "shares": build_column_capabilities(SHARE_COLUMNS),
    }


def build_directory_row(entry: AzureEntry, columns: Sequence[str]) -> Row:
    return tuple(SHARE_COLUMNS[name][1](entry) for name in columns)


FILES_KIND = ConnectorKind(options=AzureFilesOptions, connect=connect_azure_files)
BLOB_KIND = ConnectorKind(options=AzureBlobOptions, connect=connect_azure_blob)
