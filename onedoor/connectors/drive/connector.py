"""Serve the files, folders, permissions and searches of one Google Drive."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field

from onedoor.connectors.drive.client import (
    QUERY_QUOTA,
    DriveClient,
    DriveItem,
    DriveNotFound,
    build_drive_client,
    build_missing_file_error,
    map_drive_error,
    parse_service_account,
)
from onedoor.connectors.drive.collections import (
    DriveContents,
    DriveFiles,
    DriveFolders,
    DrivePermissions,
    DriveSearches,
    DriveSearchHits,
    build_drive_rows,
)
from onedoor.connectors.drive.columns import FILE_COLUMNS
from onedoor.connectors.drive.folders import DriveScope, FolderTree, FolderTreeLoader, RootFolder
from onedoor.connectors.drive.uploads import DriveUpload, upload_file
from onedoor.connectors.drive.writes import DriveFileWriter, parse_drive_change
from onedoor.connectors.files.connector import FileConnector
from onedoor.connectors.files.contents import DEFAULT_READ_BYTES
from onedoor.connectors.files.model import FILES_COLLECTION, FileStat
from onedoor.connectors.files.writes import FileChange, FileWritePolicy, build_write_policy
from onedoor.connectors.path_patterns import PathPattern, compile_pattern
from onedoor.runtime.quota import ConnectorRateLimiters
from onedoor.spi.connector import (
    ChangeRejected,
    ChangeResult,
    ConnectorKind,
    RowChange,
    RowValues,
    UploadAddress,
    UploadRequest,
)
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest

GOOGLE_API_URL = "https://www.googleapis.com"

READONLY_SCOPE = "https://www.googleapis.com/auth/drive.readonly"

QUOTA: Mapping[str, int] = {QUERY_QUOTA: 12_000}
"""Calls a minute that Google grants to one person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveOptions:
    """The settings of a Drive source.

    `service_account_key`: the JSON that Google made. `subject`: the e-mail address of the person it acts for.
    `folder`: the id of the folder below which files are opened. `drive_id`: the id of the shared drive to read.
    `pattern`: a path pattern, over the path below the root. `scope`: what Google is asked to allow. `timeout`: seconds
    of one call. `connections`: calls at once. `response_bytes`: the most that one answer may hold, unpacked, except
    content. `endpoint`: a URL that answers for Google, with tokens at its `/token`. `read_bytes`: the most that is read
    of one file for its rows. `writable`: files may be put, copied and moved to the trash, and only below the folders of
    `writable_below` if there are any.
    """

    service_account_key: str = field(repr=False)
    subject: str | None = None
    folder: str | None = None
    drive_id: str | None = None
    pattern: str | None = None
    scope: str = READONLY_SCOPE
    endpoint: str | None = None
    timeout: float = 10.0
    connections: int = 8
    response_bytes: int = 16_777_216
    read_bytes: int = DEFAULT_READ_BYTES
    writable: bool = False
    writable_below: tuple[str, ...] = ()


async def connect(options: DriveOptions, quotas: ConnectorRateLimiters | None = None) -> "DriveConnector":
    """Open a Drive without a call. Raises ValueError for a key, pattern or scope that cannot be."""
    if options.writable and options.scope.endswith(".readonly"):
        raise ValueError("`writable` needs a `scope` that lets files be written, https://www.googleapis.com/auth/drive")
    endpoint = None if options.endpoint is None else options.endpoint.rstrip("/")
    account = parse_service_account(
        options.service_account_key, subject=options.subject, scope=options.scope, endpoint=endpoint
    )
    pattern = None if options.pattern is None else compile_pattern(options.pattern)
    write_policy = build_write_policy(writable=options.writable, allowed_prefixes=options.writable_below)
    client = build_drive_client(
        account,
        endpoint or GOOGLE_API_URL,
        quotas or ConnectorRateLimiters(source="drive", per_minute={}, clock=asyncio.get_running_loop()),
        timeout=options.timeout,
        max_concurrency=options.connections,
        max_response_bytes=options.response_bytes,
    )
    scope = DriveScope(folder_id=options.folder, drive_id=options.drive_id)
    return DriveConnector(client, scope, pattern, write_policy, options.read_bytes)


class DriveConnector(FileConnector):
    """Serve the collections `files`, `folders`, `permissions`, `searches` and `hits`.

    Raises ConnectorError for whatever fails, as the answers of Drive are read without looking at each field.
    """

    file_writer: DriveFileWriter

    def __init__(
        self,
        client: DriveClient,
        scope: DriveScope,
        pattern: PathPattern | None,
        write_policy: FileWritePolicy,
        read_bytes: int,
    ) -> None:
        self.client = client
        self.scope = scope
        self.pattern = pattern
        self.tree_loader = FolderTreeLoader(client, scope, RootFolder(scope))
        self.contents = DriveContents(client, scope, self.tree_loader)
        self.collections: Mapping[
            str, DriveFiles | DriveFolders | DrivePermissions | DriveSearches | DriveSearchHits
        ] = {
            FILES_COLLECTION: DriveFiles(client, scope, self.tree_loader, pattern),
            "folders": DriveFolders(client, scope, self.tree_loader),
            "permissions": DrivePermissions(client, scope, self.tree_loader),
            "searches": DriveSearches(),
            "hits": DriveSearchHits(client, scope, self.tree_loader),
        }
        capabilities = {name: collection.capabilities for name, collection in self.collections.items()}
        super().__init__(capabilities, write_policy, read_bytes)
        self.file_writer = DriveFileWriter(client, scope, self.tree_loader, self.build_values, write_policy)

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        async with aclosing(super().scan(request)) as batches:  # type: ignore[type-var]
            with self.map_errors():
                async for rows in batches:
                    yield rows

    def scan_collection(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        return self.collections[request.collection].scan(request)

    async def stat(self, id: str) -> FileStat | None:
        with self.map_errors():
            return await self.contents.stat(id)

    async def read_range(self, id: str, start: int, length: int) -> bytes:
        with self.map_errors():
            return await self.contents.read_range(id, start, length)

    async def create_download_url(self, id: str, seconds: int) -> str | None:
        """Return None: Drive has no address that is valid for a while, and for whoever holds it."""
        return None

    async def upload_file(
        self, name: str, parent_id: str | None, content_type: str, chunks: AsyncIterable[bytes]
    ) -> DriveItem:
        """Upload a new file to a folder, or to the root without one. Needs a `scope` that allows it."""
        with self.map_errors():
            folder_id = await self.tree_loader.resolve_folder_id(parent_id)
            upload = DriveUpload(name=name, parent_id=folder_id, content_type=content_type)
            return await upload_file(self.client, self.scope, upload, chunks)

    async def apply(self, changes: Sequence[RowChange], *, dry_run: bool = False) -> Sequence[ChangeResult]:
        with self.map_errors():
            return await super().apply(changes, dry_run=dry_run)

    async def find_change(self, change: RowChange) -> ChangeResult | None:
        with self.map_errors():
            try:
                return await self.file_writer.find_change(change, self.parse_change(change))
            except ChangeRejected:
                return None

    async def upload_address(self, request: UploadRequest) -> UploadAddress | None:
        with self.map_errors():
            return await super().upload_address(request)

    def parse_change(self, change: RowChange) -> FileChange:
        return parse_drive_change(change, self.write_policy, self.pattern)

    def build_values(self, item: DriveItem, tree: FolderTree) -> RowValues | None:
        """Return all columns of a file, or None if the settings do not open it."""
        columns = tuple(self.capabilities(FILES_COLLECTION).columns)
        request = ScanRequest(collection=FILES_COLLECTION, columns=columns)
        rows = build_drive_rows([item], tree, request, FILE_COLUMNS, self.pattern)
        return dict(zip(columns, rows[0], strict=True)) if rows else None

    async def ping(self) -> None:
        with self.map_errors():
            if await self.client.get_item("about", fields="kind") is None:
                raise build_missing_file_error()

    async def close(self) -> None:
        await self.file_writer.upload_sessions.close()
        await self.client.session.close()

    @contextmanager
    def map_errors(self) -> Iterator[None]:
        try:
            yield
        except ChangeRejected:
            raise
        except DriveNotFound as error:
            raise build_missing_file_error() from error
        except Exception as error:
            raise map_drive_error(error, self.client.timeout) from error


KIND = ConnectorKind(options=DriveOptions, connect=connect, quotas=QUOTA)
