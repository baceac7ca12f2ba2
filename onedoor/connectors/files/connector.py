"""Serve files to the engine: what the connectors of all stores do the same way."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Generic

from onedoor.connectors.files.contents import CONTENT_CAPABILITIES, scan_contents
from onedoor.connectors.files.model import FILES_COLLECTION, Entry, FileStat, PathFiles, build_file_capabilities
from onedoor.connectors.files.writes import (
    FILE_WRITE_CAPABILITIES,
    FileChange,
    FileWritePolicy,
    FileWriter,
    apply_file_changes,
    find_file_change,
    parse_file_change,
    parse_upload,
    read_state_before,
)
from onedoor.connectors.path_patterns import PathPattern
from onedoor.spi.capabilities import Capabilities
from onedoor.spi.connector import ChangeResult, RowChange, UploadAddress, UploadRequest, WriteCapabilities
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest


class FileConnector(ABC):
    """Serve the collections of one store: `files`, their contents, and whatever else the store has.

    A subclass sets `file_writer`, scans its own collections, and is the FileStore of its files.
    """

    file_writer: FileWriter

    def __init__(
        self, collection_capabilities: Mapping[str, Capabilities], write_policy: FileWritePolicy, read_bytes: int
    ) -> None:
        self.collection_capabilities = {**collection_capabilities, **CONTENT_CAPABILITIES}
        self.write_policy = write_policy
        self.read_bytes = read_bytes

    def capabilities(self, collection: str) -> Capabilities:
        return self.collection_capabilities[collection]

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        batches = (
            scan_contents(self, request, self.read_bytes)
            if request.collection in CONTENT_CAPABILITIES
            else self.scan_collection(request)
        )
        async with aclosing(batches):  # type: ignore[type-var]
            async for rows in batches:
                yield rows

    def write_capabilities(self, collection: str) -> WriteCapabilities | None:
        return FILE_WRITE_CAPABILITIES if collection == FILES_COLLECTION and self.write_policy.writable else None

    async def apply(self, changes: Sequence[RowChange], *, dry_run: bool = False) -> Sequence[ChangeResult]:
        return await apply_file_changes(self.file_writer, changes, self.parse_change, dry_run=dry_run)

    async def find_change(self, change: RowChange) -> ChangeResult | None:
        return await find_file_change(self.file_writer, change, self.parse_change)

    async def upload_address(self, request: UploadRequest) -> UploadAddress | None:
        file_change = parse_upload(request, self.parse_change)
        before = await read_state_before(self.file_writer, file_change)
        return await self.file_writer.create_upload_address(file_change, before, request.size, request.valid_seconds)

    @abstractmethod
    def scan_collection(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        """Scan one of the store's own collections, batch by batch."""

    @abstractmethod
    def parse_change(self, change: RowChange) -> FileChange:
        """Read a change of a file. Raises ChangeRejected."""

    @abstractmethod
    async def stat(self, id: str) -> FileStat | None: ...

    @abstractmethod
    async def read_range(self, id: str, start: int, length: int) -> bytes: ...

    @abstractmethod
    async def create_download_url(self, id: str, seconds: int) -> str | None: ...


class PathFileConnector(FileConnector, Generic[Entry]):
    """Serve a store whose files are named by their paths."""

    def __init__(
        self,
        pattern: PathPattern,
        readers: Mapping[str, Callable[[Entry], Any]],
        write_policy: FileWritePolicy,
        read_bytes: int,
        **further_collections: Capabilities,
    ) -> None:
        super().__init__(
            {FILES_COLLECTION: build_file_capabilities(pattern), **further_collections}, write_policy, read_bytes
        )
        self.files = PathFiles(pattern=pattern, readers=readers)

    def parse_change(self, change: RowChange) -> FileChange:
        return parse_file_change(change, self.write_policy, self.files.pattern)
