"""Options go in, a source that answers from one Google Drive comes out; it keeps files, too."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
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
from onedoor.connectors.drive.listing import FILE_COLUMNS, DriveScope, FolderTree, FolderTreeLoader, RootFolder
from onedoor.connectors.drive.writes import DriveFileWriter, DriveUpload, parse_drive_change, upload_file
from onedoor.connectors.files import writes
from onedoor.connectors.files.contents import CONTENT_CAPABILITIES, DEFAULT_READ_BYTES, scan_contents
from onedoor.connectors.files.model import FileStat
from onedoor.connectors.files.writes import (
    FILE_WRITE_CAPABILITIES,
    FileChange,
    FileWritePolicy,
    check_writable_prefixes,
    parse_upload,
    read_state_before,
)
from onedoor.connectors.path_patterns import PathPattern, compile_pattern
from onedoor.errors import ConnectorError
from onedoor.runtime.quota import ConnectorRateLimiters
from onedoor.spi.capabilities import Capabilities
from onedoor.spi.connector import (
    ChangeRejected,
    ChangeResult,
    ConnectorKind,
    RowChange,
    RowValues,
    UploadAddress,
    UploadRequest,
    WriteCapabilities,
)
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest

GOOGLE_API_URL = "https://www.googleapis.com"

READONLY_SCOPE = "https://www.googleapis.com/auth/drive.readonly"


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveOptions:
    """`service_account_key`: the JSON that Google made. `subject`: the person it speaks for, by e-mail address.

    `folder`: the id of the one below which files are opened. `drive_id`: that of the shared drive to look in.
    `pattern`: as of sources.patterns, over the path below the root. `scope`: what Google is asked to allow.
    `timeout`: seconds one call may take. `connections`: calls at once. `response_bytes`: the most that one answer may
    hold, unpacked, content aside. `endpoint`: another place that answers for Google, tokens at its `/token`.
    `read_bytes`: the most that is read of one file for its rows. `writable`: files may be put, copied and put into the
    trash, below the folders of `writable_below` alone where there are any.
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


QUOTA: Mapping[str, int] = {QUERY_QUOTA: 12_000}
"""Calls a minute, as Google grants them to one person."""


async def connect(options: DriveOptions, quotas: ConnectorRateLimiters | None = None) -> "DriveConnector":
    """Asks Google nothing yet. ValueError: the key is none, or the pattern, or the scope lets nothing be written."""
    if options.writable and options.scope.endswith(".readonly"):
        raise ValueError("`writable` needs a `scope` that lets files be written, https://www.googleapis.com/auth/drive")
    writing = FileWritePolicy(
        writable=options.writable, allowed_prefixes=check_writable_prefixes(options.writable_below)
    )
    quotas = quotas or ConnectorRateLimiters(source="drive", per_minute={}, clock=asyncio.get_running_loop())
    pattern = None if options.pattern is None else compile_pattern(options.pattern)
    endpoint = None if options.endpoint is None else options.endpoint.rstrip("/")
    signs = parse_service_account(
        options.service_account_key, subject=options.subject, scope=options.scope, endpoint=endpoint
    )  # fmt: skip
    called = build_drive_client(
        signs, endpoint or GOOGLE_API_URL, quotas, timeout=options.timeout, max_concurrency=options.connections,
        max_response_bytes=options.response_bytes,
    )  # fmt: skip
    return DriveConnector(
        called, DriveScope(folder_id=options.folder, drive_id=options.drive_id), pattern, writing, options.read_bytes
    )


class DriveConnector:
    """The collections `files`, `folders`, `permissions`, `searches` and `hits`; a Store of the files."""

    def __init__(
        self,
        client: DriveClient,
        scope: DriveScope,
        pattern: PathPattern | None,
        write_policy: FileWritePolicy,
        read_bytes: int = DEFAULT_READ_BYTES,
    ) -> None:
        self.client = client
        self.read_bytes = read_bytes
        self.scope = scope
        self.tree_loader = FolderTreeLoader(client, scope, RootFolder(scope))
        self.contents = DriveContents(client, scope, self.tree_loader)
        self.pattern = pattern
        self.write_policy = write_policy
        self.file_writer = DriveFileWriter(client, scope, self.tree_loader, self.build_values, write_policy)
        self.collections: Mapping[
            str, DriveFiles | DriveFolders | DrivePermissions | DriveSearches | DriveSearchHits
        ] = {
            "files": DriveFiles(client, scope, self.tree_loader, pattern),
            "folders": DriveFolders(client, scope, self.tree_loader),
            "permissions": DrivePermissions(client, scope, self.tree_loader),
            "searches": DriveSearches(),
            "hits": DriveSearchHits(client, scope, self.tree_loader),
        }

    def capabilities(self, collection: str) -> Capabilities:
        return (
            CONTENT_CAPABILITIES[collection]
            if collection in CONTENT_CAPABILITIES
            else self.collections[collection].capabilities
        )

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        inner = request.collection in CONTENT_CAPABILITIES
        batches = (
            scan_contents(self, request, self.read_bytes)
            if inner
            else self.collections[request.collection].scan(request)
        )
        while True:
            try:
                rows = await anext(batches)
            except StopAsyncIteration:
                return
            except Exception as error:
                raise map_drive_exception(error, self.client.timeout) from error
            yield rows

    async def stat(self, id: str) -> FileStat | None:
        try:
            return await self.contents.stat(id)
        except Exception as error:
            raise map_drive_exception(error, self.client.timeout) from error

    async def read_range(self, id: str, start: int, length: int) -> bytes:
        try:
            return await self.contents.read_range(id, start, length)
        except Exception as error:
            raise map_drive_exception(error, self.client.timeout) from error

    async def create_download_url(self, id: str, seconds: int) -> str | None:
        """Drive has none that is good for a while, and for whoever holds it."""
        return None

    async def upload_file(
        self, name: str, parent_id: str | None, content_type: str, chunks: AsyncIterable[bytes]
    ) -> DriveItem:
        """A new file in the folder `parent`, None: where paths begin. Needs a `scope` that allows it."""
        try:
            within = await self.tree_loader.resolve_folder_id(parent_id)
            return await upload_file(
                self.client, self.scope, DriveUpload(name=name, parent_id=within, content_type=content_type), chunks
            )  # fmt: skip
        except Exception as error:
            raise map_drive_exception(error, self.client.timeout) from error

    def write_capabilities(self, collection: str) -> WriteCapabilities | None:
        return FILE_WRITE_CAPABILITIES if collection == "files" and self.write_policy.writable else None

    async def apply(self, changes: Sequence[RowChange], *, dry_run: bool = False) -> Sequence[ChangeResult]:
        try:
            return await writes.apply_file_change(
                self.file_writer, self.parse_change(writes.require_single_change(changes)), dry_run=dry_run
            )
        except ChangeRejected:
            raise
        except Exception as error:
            raise map_drive_exception(error, self.client.timeout) from error

    async def find_change(self, change: RowChange) -> ChangeResult | None:
        try:
            return await self.file_writer.find_change(change, self.parse_change(change))
        except ChangeRejected:
            return None
        except Exception as error:
            raise map_drive_exception(error, self.client.timeout) from error

    async def upload_address(self, request: UploadRequest) -> UploadAddress | None:
        try:
            filed = parse_upload(request, self.parse_change)
            stood = await read_state_before(self.file_writer, filed)
            return await self.file_writer.create_upload_address(filed, stood, request.size, request.valid_seconds)
        except ChangeRejected:
            raise
        except Exception as error:
            raise map_drive_exception(error, self.client.timeout) from error

    def parse_change(self, change: RowChange) -> FileChange:
        return parse_drive_change(change, self.write_policy, self.pattern)

    def build_values(self, item: DriveItem, tree: FolderTree) -> RowValues | None:
        columns = tuple(self.collections["files"].capabilities.columns)
        found = build_drive_rows(
            [item], tree, ScanRequest(collection="files", columns=columns), FILE_COLUMNS, self.pattern
        )
        return dict(zip(columns, found[0], strict=True)) if found else None

    async def ping(self) -> None:
        try:
            if await self.client.get_item("about", fields="kind") is None:
                raise build_missing_file_error()
        except Exception as error:
            raise map_drive_exception(error, self.client.timeout) from error

    async def close(self) -> None:
        await self.file_writer.upload_sessions.close()
        await self.client.session.close()


def map_drive_exception(error: Exception, timeout: float) -> ConnectorError:
    return build_missing_file_error() if isinstance(error, DriveNotFound) else map_drive_error(error, timeout)


KIND = ConnectorKind(options=DriveOptions, connect=connect, quotas=QUOTA)
