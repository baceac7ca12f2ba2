"""Upload content to Drive in chunks, and take a broken upload up where it broke off."""

import asyncio
import re
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from aiohttp import ClientError
from yarl import URL

from onedoor.connectors.drive.client import (
    CREATED,
    OK,
    RESUME_INCOMPLETE,
    SERVER_ERROR,
    DriveClient,
    DriveItem,
    DriveRequest,
    DriveResponse,
    build_unreadable_error,
    map_drive_error,
    map_drive_status,
    parse_json,
    parse_object,
)
from onedoor.connectors.drive.folders import DriveScope
from onedoor.connectors.files.writes import limit_upload_seconds
from onedoor.errors import ConnectorError
from onedoor.spi.connector import UploadAddress, UploadStep

JSON_HEADERS = {"content-type": "application/json; charset=UTF-8"}

PROPERTIES_FIELD = "appProperties"

CHUNK_MULTIPLE = 262_144
"""Drive takes chunks whose bytes are a multiple of this, except the last chunk."""

CHUNK_BYTES = 4 * CHUNK_MULTIPLE

MAX_ATTEMPTS = 5
"""Attempts in a row without progress."""

RETRY_PAUSE_SECONDS = 0.1
"""Seconds before the second attempt, doubled before each one after it."""

UPLOADED_ITEM_FIELDS = "id,name,mimeType,size,version,headRevisionId,modifiedTime,parents,webViewLink"

RECEIVED_RANGE_PATTERN = re.compile(r"(?:bytes=)?0-(?P<last>[0-9]{1,15})")


@dataclass(frozen=True, slots=True, kw_only=True)
class DriveUpload:
    """A new file in a folder, or new content of the file `id`, whose name and folder stay.

    `properties` are kept with the file; None removes one. `size` is in bytes, where it is known before the content.
    """

    name: str
    parent_id: str
    content_type: str
    properties: Mapping[str, str | None] = field(default_factory=dict)
    id: str | None = None
    size: int | None = None

    @property
    def metadata(self) -> Mapping[str, Any]:
        location = {"name": self.name, "parents": [self.parent_id]} if self.id is None else {}
        properties = {PROPERTIES_FIELD: self.properties} if self.properties else {}
        return {**location, "mimeType": self.content_type, **properties}


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadChunk:
    """A part of the content, and where in the whole it begins."""

    content: bytes
    offset: int
    is_last: bool

    @property
    def end(self) -> int:
        return self.offset + len(self.content)

    @property
    def total(self) -> str:
        return str(self.end) if self.is_last else "*"

    def build_remaining_request(self, received: int) -> tuple[Mapping[str, str], bytes]:
        """Return headers and content of the call that sends the rest; an empty file is sent without a range."""
        if received == self.end:
            return self.status_request if self.end else ({}, b"")
        headers = {"content-range": f"bytes {received}-{self.end - 1}/{self.total}"}
        return headers, self.content[received - self.offset :]

    @property
    def status_request(self) -> tuple[Mapping[str, str], bytes]:
        """Headers and content of the call that asks how much has arrived."""
        return {"content-range": f"bytes */{self.total}"}, b""


async def upload_file(
    client: DriveClient, scope: DriveScope, upload: DriveUpload, chunks: AsyncIterable[bytes]
) -> DriveItem:
    """Upload content of any size with one chunk in memory, and return what Drive says of the file.

    Raises ConnectorError.
    """
    return await upload_chunks(client, await start_upload(client, scope, upload), chunks)


async def start_upload(client: DriveClient, scope: DriveScope, upload: DriveUpload) -> URL:
    """Return the URL of an upload session. Raises ConnectorError, also if the URL leads to another host."""
    method, path = ("POST", "") if upload.id is None else ("PATCH", f"/{upload.id}")
    parameters = {"uploadType": "resumable", "fields": UPLOADED_ITEM_FIELDS, **scope.item_parameters}
    url = client.build_url(f"/upload/drive/v3/files{path}", parameters)
    size_headers = {} if upload.size is None else {"x-upload-content-length": str(upload.size)}
    headers = {**JSON_HEADERS, "x-upload-content-type": upload.content_type, **size_headers}
    response = await client.send(
        DriveRequest(method=method, url=url, headers=headers, data=orjson.dumps(upload.metadata))
    )
    if response.status != OK:
        raise map_drive_status(response.status, parse_json(response))
    session = URL(response.headers.get("location", ""), encoded=True)
    if not session.absolute or session.origin() != url.origin():
        raise build_unreadable_error()
    return session


async def upload_chunks(client: DriveClient, session: URL, chunks: AsyncIterable[bytes]) -> DriveItem:
    async for chunk in split_chunks(chunks):
        item = await send_chunk(client, session, chunk)
        if item is not None:
            return item
    raise build_unreadable_error()


async def split_chunks(chunks: AsyncIterable[bytes]) -> AsyncIterator[UploadChunk]:
    """Yield chunks of CHUNK_BYTES and a last one of the rest, which is empty for empty content."""
    buffer, offset = bytearray(), 0
    async for content in chunks:
        buffer += content
        while len(buffer) > CHUNK_BYTES:
            yield UploadChunk(content=bytes(buffer[:CHUNK_BYTES]), offset=offset, is_last=False)
            offset += CHUNK_BYTES
            del buffer[:CHUNK_BYTES]
    yield UploadChunk(content=bytes(buffer), offset=offset, is_last=True)


async def send_chunk(client: DriveClient, session: URL, chunk: UploadChunk) -> DriveItem | None:
    """Send a chunk until Drive has all of it; return the file after the last chunk."""
    received, attempts, is_status_unknown = chunk.offset, 0, False
    while attempts < MAX_ATTEMPTS:
        await asyncio.sleep(RETRY_PAUSE_SECONDS * 2 ** (attempts - 1) if attempts else 0)
        headers, content = chunk.status_request if is_status_unknown else chunk.build_remaining_request(received)
        response = await send_upload_request(client, session, headers, content)
        is_status_unknown = response is None
        if response is not None and response.status != RESUME_INCOMPLETE:
            return parse_object(response)
        received_before, received = received, received if response is None else parse_received_bytes(response, chunk)
        if received == chunk.end and not chunk.is_last:
            return None
        attempts = 0 if received > received_before else attempts + 1
    raise ConnectorError("drive did not take the file: its connections broke again and again")


async def send_upload_request(
    client: DriveClient, session: URL, headers: Mapping[str, str], content: bytes
) -> DriveResponse | None:
    """Return None if it is not known how much has arrived."""
    try:
        response = await client.send_once(DriveRequest(method="PUT", url=session, headers=headers, data=content))
    except (ClientError, OSError, TimeoutError):
        return None
    except Exception as error:
        raise map_drive_error(error, client.timeout) from error
    if response.status >= SERVER_ERROR or client.should_retry(response):
        return None
    if response.status not in (OK, CREATED, RESUME_INCOMPLETE):
        raise map_drive_status(response.status, parse_json(response))
    return response


def parse_received_bytes(response: DriveResponse, chunk: UploadChunk) -> int:
    """Return how many bytes of the whole Drive has; an answer without a range says none."""
    header = response.headers.get("range")
    match = None if header is None else RECEIVED_RANGE_PATTERN.fullmatch(header)
    if header is not None and match is None:
        raise build_unreadable_error()
    received = 0 if match is None else int(match["last"]) + 1
    if not chunk.offset <= received <= chunk.end:
        raise build_unreadable_error()
    return received


class UploadSessions:
    """End the sessions that were given away in time; those of a process that dies end as Google ends them."""

    def __init__(self, client: DriveClient) -> None:
        self.client = client
        self.expiry_tasks: set[asyncio.Task[None]] = set()

    def create_upload_address(self, session: URL, id: str | None, size: int, requested_seconds: int) -> UploadAddress:
        """Give a session away; its holder may send the content in parts, but no other size or type."""
        seconds = limit_upload_seconds(requested_seconds)
        task = asyncio.create_task(self.expire_session(session, seconds))
        self.expiry_tasks.add(task)
        task.add_done_callback(self.expiry_tasks.discard)
        step = UploadStep(method="PUT", url=str(session), headers={}, offset=0, length=size)
        expires_at = datetime.now(UTC) + timedelta(seconds=seconds)
        return UploadAddress(id=id, steps=(step,), expires_at=expires_at, is_bounded=False)

    async def expire_session(self, session: URL, seconds: int) -> None:
        await asyncio.sleep(seconds)
        with suppress(ConnectorError):
            await self.client.send(DriveRequest(method="DELETE", url=session, headers={}))

    async def close(self) -> None:
        for task in self.expiry_tasks:
            task.cancel()
        await asyncio.gather(*self.expiry_tasks, return_exceptions=True)
