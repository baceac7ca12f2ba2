"""Read rows of Parquet files in a process of its own, which gets the bytes that it asks for and nothing else."""

from dataclasses import asdict

import orjson

from onedoor.connectors.files.model import FileStat, FileStore
from onedoor.connectors.files.reader_pool import DecodingRequest, ReaderPool
from onedoor.connectors.files.reader_process import DecodingFailure
from onedoor.connectors.files.row_selection import RowSelection, TableRows
from onedoor.connectors.files.table_errors import build_read_limit_error, build_rows_too_large_error
from onedoor.errors import ConnectorError, ErrorCode

readers = ReaderPool("onedoor.connectors.files.parquet_decoder:decode_parquet")
"""Shared by all stores, as a process takes memory and time to start."""


TAIL_BYTES = 64 * 1024
"""What is read of the end of a file at once: as much as pyarrow asks for first."""


class StoredRanges:
    """Read ranges of one file for a decoder, at most `remaining_bytes` in all; `error` is what the store raised."""

    def __init__(self, store: FileStore, id: str, size: int, remaining_bytes: int) -> None:
        self.store, self.id, self.size, self.remaining_bytes = store, id, size, remaining_bytes
        self.error: ConnectorError | None = None

    async def read(self, start: int, length: int) -> bytes | None:
        """Return the bytes; None where the file has none there, or more than may be read."""
        if start + length > self.size:
            return None
        self.remaining_bytes -= length
        if self.remaining_bytes < 0:
            return None
        try:
            return await self.store.read_range(self.id, start, length)
        except ConnectorError as failure:
            self.error = failure
            return None

    async def read_tail(self) -> bytes:
        """Return the end of the file, which holds its footer, or all of a small file; nothing where that fails."""
        length = min(self.size, TAIL_BYTES, self.remaining_bytes)
        tail = await self.read(self.size - length, length) if length else None
        return tail if tail is not None and len(tail) == length else b""


async def read_parquet_rows(store: FileStore, stat: FileStat, selection: RowSelection, read_bytes: int) -> TableRows:
    """Return the selected rows, reading at most `read_bytes` of the file.

    Raises ConnectorError: CANNOT_ANSWER if the store does not know the size, LIMIT_EXCEEDED, SOURCE_INVALID.
    """
    if stat.size is None:
        raise ConnectorError("the store does not know the size of the file", ErrorCode.CANNOT_ANSWER)
    ranges = StoredRanges(store, stat.id, stat.size, read_bytes)
    request = DecodingRequest(
        content=orjson.dumps({"size": stat.size, "max_bytes": read_bytes, **asdict(selection)}),
        tail=await ranges.read_tail(),
        max_rows=selection.max_rows,
        max_bytes=read_bytes,
    )
    decoded = await readers.decode(request, ranges.read)
    if decoded.failure is None:
        return TableRows(rows=decoded.rows, flaws=decoded.flaws)
    if ranges.error is not None:
        raise ranges.error
    raise build_read_limit_error(read_bytes) if ranges.remaining_bytes < 0 else build_failure_error(decoded.failure)


def build_failure_error(failure: DecodingFailure) -> ConnectorError:
    match failure:
        case DecodingFailure.UNPACKED_TOO_LARGE:
            return ConnectorError(
                "the file unpacks to more than can be read; ask for fewer columns", ErrorCode.LIMIT_EXCEEDED
            )
        case DecodingFailure.ROWS_TOO_LARGE:
            return build_rows_too_large_error()
    return ConnectorError("the file is no Parquet that can be read", ErrorCode.SOURCE_INVALID)
