"""Put, copy and delete files of a share and blobs of a container, if they still are as they were read."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from uuid import UUID

from onedoor.connectors.azure.client import (
    API_VERSION,
    NOT_FOUND,
    SERVICE_NAMES,
    TOO_MANY_REQUESTS,
    AzureClient,
    AzureEntry,
    AzureResponse,
    build_unreadable_error,
    map_azure_status,
    parse_file_headers,
)
from onedoor.connectors.files.model import HIDDEN_PREFIX
from onedoor.connectors.files.writes import (
    MARKER_NAME,
    FileChange,
    FileState,
    WriteConflict,
    build_markers,
    build_missing_origin_error,
    build_path_values,
    choose_media_type,
    format_markers,
    limit_upload_seconds,
    parse_markers,
    read_written_values,
)
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.connector import ChangeRejected, RowValues, UploadAddress, UploadStep

MARKER_HEADER = f"x-ms-meta-{MARKER_NAME}"

CONFLICT_CODES = frozenset({
    "ConditionNotMet", "BlobAlreadyExists", "BlobNotFound", "ResourceNotFound", "ResourceAlreadyExists",
    "LeaseAlreadyPresent", "LeaseIdMissing", "LeaseIdMismatchWithFileOperation", "LeaseNotPresentWithFileOperation",
    "SourceConditionNotMet", "TargetConditionNotMet", "CannotVerifyCopySource",
})  # fmt: skip
"""Azure's codes for a conditional write that lost against another, now or a moment ago."""

ALREADY_EXISTS_CODES = frozenset({"ResourceAlreadyExists"})

REQUEST_TIMEOUT = 408

DENIED_STATUSES = frozenset({401, 403})

COPY_PENDING = "pending"

COPY_POLL_SECONDS = 0.1

RANGE_MAX_BYTES = 4 * 2**20
"""Bytes of content that Azure Files takes in one call."""

INFINITE_LEASE = "-1"
"""The only duration of a lease that Azure Files knows."""

BLOCK_BLOB_HEADERS = {"x-ms-blob-type": "BlockBlob"}


class ShareFileWriter:
    """Write files of a share, as its FileWriter: whole under a hidden name, then renamed under a lease.

    `find_entry` finds a file in the listing; `build_values` builds its row.
    """

    def __init__(
        self,
        client: AzureClient,
        find_entry: Callable[[str], Awaitable[AzureEntry | None]],
        build_values: Callable[[AzureEntry], RowValues],
    ) -> None:
        self.client = client
        self.find_entry = find_entry
        self.build_values = build_values

    async def read_state(self, id: str) -> FileState | None:
        """Read a file that is listed under exactly this path, as Azure itself ignores the case of letters."""
        listed = await self.find_entry(id)
        head = None if listed is None else await self.head_file(id)
        if listed is None or head is None:
            return None
        try:
            entry = replace(parse_file_headers(id, head.headers), content_type=listed.content_type)
        except (KeyError, ValueError) as error:
            raise build_unreadable_error("file") from error
        return FileState(values=self.build_values(entry), markers=parse_markers(head.headers.get(MARKER_HEADER)))

    async def head_file(self, id: str) -> AzureResponse | None:
        response = await self.client.send("HEAD", id, {})
        if response.status == NOT_FOUND:
            return None
        if response.status >= 300:
            raise map_azure_status(response.status, response.error_code, "file")
        return response

    async def write_file(self, file_change: FileChange, before: FileState | None) -> RowValues:
        check_copy_media_type(file_change)
        async with self.hold_lease(file_change, before) as lease:
            temporary_name = await self.write_temporary(file_change, before)
            try:
                response = await self.rename_temporary(temporary_name, file_change, lease)
            except BaseException:
                await self.delete_temporary(temporary_name)
                raise
        return await read_written_values(self, file_change, get_version(response))

    async def delete_file(self, file_change: FileChange, before: FileState) -> None:
        async with self.hold_lease(file_change, before) as lease:
            await self.write("DELETE", file_change.id, lease)

    def build_known_values(self, file_change: FileChange) -> RowValues:
        return build_path_values(file_change)

    async def create_upload_address(
        self, file_change: FileChange, before: FileState | None, size: int, requested_seconds: int
    ) -> UploadAddress:
        """Return one step that makes a file of zeros, and one for each range of its content.

        The folders on the way are made now, because the holder of the address cannot make any.
        """
        if before is None:
            await self.ensure_directories(file_change)
        url, expires_at = build_upload_url(self.client, file_change, "cw", requested_seconds)
        creation = build_upload_step(url, build_create_headers(file_change, before, size))
        ranges = [
            build_upload_step(f"{url}&comp=range", build_range_headers(start, length), start, length)
            for start in range(0, size, RANGE_MAX_BYTES)
            for length in [min(RANGE_MAX_BYTES, size - start)]
        ]
        return build_upload_address(file_change, expires_at, creation, *ranges)

    @asynccontextmanager
    async def hold_lease(self, file_change: FileChange, before: FileState | None) -> AsyncIterator[dict[str, str]]:
        """Yield the headers of a lease that keeps others from changing a file that is as `before`.

        Raises WriteConflict if it is not. A new file needs no lease.
        """
        if before is None:
            yield {}
            return
        lease = {"x-ms-lease-id": str(UUID(file_change.change_hash))}
        headers = {
            "x-ms-lease-action": "acquire",
            "x-ms-lease-duration": INFINITE_LEASE,
            "x-ms-proposed-lease-id": lease["x-ms-lease-id"],
        }
        await self.write("PUT", file_change.id, headers, comp="lease")
        try:
            head = await self.head_file(file_change.id)
            if head is None or get_version(head) != before.version:
                raise WriteConflict
            yield lease
        finally:
            await self.release_lease(file_change)

    async def clean_up(self, file_change: FileChange) -> None:
        """Remove what a writer that died may have left: a lease and a hidden file."""
        await self.release_lease(file_change)
        await self.delete_temporary(build_temporary_name(file_change))

    async def release_lease(self, file_change: FileChange) -> None:
        """Release a lease, without an error if the file was deleted or replaced, which ends its lease."""
        headers = {"x-ms-lease-action": "release", "x-ms-lease-id": str(UUID(file_change.change_hash))}
        with suppress(ConnectorError):
            await self.client.send("PUT", file_change.id, headers, comp="lease")

    async def write_temporary(self, file_change: FileChange, before: FileState | None) -> str:
        """Write a hidden file and return its name. Raises ChangeRejected, as nothing that is listed was changed."""
        temporary_name = build_temporary_name(file_change)
        try:
            await self.fill_temporary(temporary_name, file_change, before)
        except (ConnectorError, WriteConflict) as failure:
            await self.delete_temporary(temporary_name)
            if isinstance(failure, WriteConflict):
                raise ChangeRejected("azure files did not keep what was sent to it") from failure
            raise ChangeRejected(failure.reason, failure.code) from failure
        except BaseException:
            await self.delete_temporary(temporary_name)
            raise
        return temporary_name

    async def fill_temporary(self, temporary_name: str, file_change: FileChange, before: FileState | None) -> None:
        await self.create_directories(file_change.id)
        if file_change.copy_of is not None:
            await self.copy_to_temporary(temporary_name, file_change.copy_of, build_marker_headers(file_change, before))
            return
        content = file_change.content or b""
        await self.write("PUT", temporary_name, build_create_headers(file_change, before, len(content)))
        if content:
            await self.write("PUT", temporary_name, build_range_headers(0, len(content)), content, comp="range")

    async def copy_to_temporary(self, temporary_name: str, origin: str, marker_headers: Mapping[str, str]) -> None:
        if await self.find_entry(origin) is None:
            raise build_missing_origin_error()
        headers = {"x-ms-copy-source": self.client.account.build_file_url(origin), **marker_headers}
        await await_copy(self.client, temporary_name, await self.write("PUT", temporary_name, headers))

    async def ensure_directories(self, file_change: FileChange) -> None:
        try:
            await self.create_directories(file_change.id)
        except WriteConflict as failure:
            raise ChangeRejected(
                "azure files did not keep the folders of `path`", ErrorCode.SOURCE_UNAVAILABLE
            ) from failure

    async def create_directories(self, id: str) -> None:
        for directory in accumulate(id.split("/")[:-1], lambda path, name: f"{path}/{name}"):
            response = await self.client.send("PUT", directory, {}, restype="directory")
            if response.error_code not in ALREADY_EXISTS_CODES:
                check_write_response(response, "file")

    async def rename_temporary(
        self, temporary_name: str, file_change: FileChange, lease: Mapping[str, str]
    ) -> AzureResponse:
        """Move a hidden file to its name in one step, over the file that is leased, or over none."""
        headers = {
            "x-ms-file-rename-source": self.client.account.build_file_url(temporary_name),
            "x-ms-file-rename-replace-if-exists": "true" if lease else "false",
            **({"x-ms-destination-lease-id": lease["x-ms-lease-id"]} if lease else {}),
        }
        return await self.write("PUT", file_change.id, headers, comp="rename")

    async def delete_temporary(self, temporary_name: str) -> None:
        with suppress(ConnectorError):
            await self.client.send("DELETE", temporary_name, {})

    async def write(
        self, method: str, id: str, headers: Mapping[str, str], content: bytes = b"", **parameters: str
    ) -> AzureResponse:
        return check_write_response(await self.client.send(method, id, headers, content, **parameters), "file")


class BlobWriter:
    """Write blobs by conditional calls, as the FileWriter of a container; `build_values` builds the row of an entry."""

    def __init__(self, client: AzureClient, build_values: Callable[[AzureEntry], RowValues]) -> None:
        self.client = client
        self.build_values = build_values

    async def read_state(self, id: str) -> FileState | None:
        response = await self.client.send("HEAD", id, {})
        if response.status == NOT_FOUND and response.error_code in ("", "BlobNotFound"):
            return None
        if response.status >= 300:
            raise map_azure_status(response.status, response.error_code, "blob")
        try:
            values = self.build_values(parse_file_headers(id, response.headers))
        except (KeyError, ValueError) as error:
            raise build_unreadable_error("blob") from error
        return FileState(values=values, markers=parse_markers(response.headers.get(MARKER_HEADER)))

    async def write_file(self, file_change: FileChange, before: FileState | None) -> RowValues:
        if file_change.copy_of is None:
            headers = build_blob_headers(file_change, before)
            response = await self.client.send("PUT", file_change.id, headers, file_change.content or b"")
        else:
            response = await self.copy_blob(file_change, file_change.copy_of, before)
        version = get_version(check_write_response(response, "blob"))
        await await_copy(self.client, file_change.id, response)
        return await read_written_values(self, file_change, version)

    async def copy_blob(self, file_change: FileChange, origin_id: str, before: FileState | None) -> AzureResponse:
        """Copy a blob as it stands now, or not at all."""
        check_copy_media_type(file_change)
        origin = await self.read_state(origin_id)
        if origin is None:
            raise build_missing_origin_error()
        headers = {
            "x-ms-copy-source": self.client.account.build_file_url(origin_id),
            "x-ms-source-if-match": f'"{origin.version}"',
            **build_marker_headers(file_change, before),
            **build_condition_headers(before),
        }
        return await self.client.send("PUT", file_change.id, headers)

    async def delete_file(self, file_change: FileChange, before: FileState) -> None:
        check_write_response(await self.client.send("DELETE", file_change.id, build_condition_headers(before)), "blob")

    def build_known_values(self, file_change: FileChange) -> RowValues:
        return build_path_values(file_change)

    async def create_upload_address(
        self, file_change: FileChange, before: FileState | None, size: int, requested_seconds: int
    ) -> UploadAddress:
        """Return an address with the permission to create alone where nothing may be overwritten."""
        permissions = "c" if before is None else "w"
        url, expires_at = build_upload_url(self.client, file_change, permissions, requested_seconds)
        step = build_upload_step(url, build_blob_headers(file_change, before), length=size)
        return build_upload_address(file_change, expires_at, step)


def check_write_response(response: AzureResponse, service: str) -> AzureResponse:
    """Return a response that says the write was made.

    Raises WriteConflict if another was faster, ChangeRejected if Azure refused the call, and ConnectorError if it is
    not known whether the write was made.
    """
    if response.status < 300:
        return response
    if response.error_code in CONFLICT_CODES:
        raise WriteConflict
    failure = map_azure_status(response.status, response.error_code, service)
    if response.status in DENIED_STATUSES:
        raise ChangeRejected(f"{SERVICE_NAMES[service]} does not let this be written", failure.code)
    if response.status < 500 and response.status not in (REQUEST_TIMEOUT, TOO_MANY_REQUESTS):
        raise ChangeRejected(failure.reason, failure.code)
    raise failure


async def await_copy(client: AzureClient, id: str, response: AzureResponse) -> None:
    """Wait for a copy that goes on after Azure has answered. Raises ConnectorError if it does not end in time."""
    clock, status = asyncio.get_running_loop().time, response.headers.get("x-ms-copy-status")
    deadline = clock() + client.limits.timeout
    while status == COPY_PENDING and clock() < deadline:
        await asyncio.sleep(COPY_POLL_SECONDS)
        status = (await client.send("HEAD", id, {})).headers.get("x-ms-copy-status")
    if status not in (None, "success"):
        raise ConnectorError(f"{SERVICE_NAMES[client.account.service]} has not finished the copy")


def check_copy_media_type(file_change: FileChange) -> None:
    """Reject a copy with a media type, because Azure copies a file with its own. Raises ChangeRejected."""
    if file_change.copy_of is not None and file_change.content_type is not None:
        raise ChangeRejected("a copy keeps its content type there: leave out `content_type`")


def get_version(response: AzureResponse) -> str:
    return response.headers.get("etag", "").strip('"')


def build_temporary_name(file_change: FileChange) -> str:
    folder, slash, _ = file_change.id.rpartition("/")
    return f"{folder}{slash}{HIDDEN_PREFIX}{file_change.change_hash}.part"


def build_marker_headers(file_change: FileChange, before: FileState | None) -> Mapping[str, str]:
    return {MARKER_HEADER: format_markers(build_markers(file_change, before))}


def build_condition_headers(before: FileState | None) -> Mapping[str, str]:
    return {"if-none-match": "*"} if before is None else {"if-match": f'"{before.version}"'}


def build_blob_headers(file_change: FileChange, before: FileState | None) -> Mapping[str, str]:
    return {
        **BLOCK_BLOB_HEADERS,
        "content-type": choose_media_type(file_change),
        **build_marker_headers(file_change, before),
        **build_condition_headers(before),
    }


def build_create_headers(file_change: FileChange, before: FileState | None, size: int) -> Mapping[str, str]:
    return {
        "x-ms-type": "file",
        "x-ms-content-length": str(size),
        "x-ms-content-type": choose_media_type(file_change),
        **build_marker_headers(file_change, before),
    }


def build_range_headers(start: int, length: int) -> Mapping[str, str]:
    """Return the headers of a call whose body is a part of a file, and so of no media type but bytes."""
    return {
        "content-type": "application/octet-stream",
        "x-ms-write": "update",
        "x-ms-range": f"bytes={start}-{start + length - 1}",
    }


def build_upload_url(
    client: AzureClient, file_change: FileChange, permissions: str, requested_seconds: int
) -> tuple[str, datetime]:
    """Return a URL for this one file and when it expires. Raises ChangeRejected without a key to sign it with."""
    expires_at = datetime.now(UTC) + timedelta(seconds=limit_upload_seconds(requested_seconds))
    url = client.account.build_sas_url(file_change.id, permissions, expires_at)
    if url is None:
        raise ChangeRejected("without an `access_key` in the settings there are no addresses to upload to")
    return url, expires_at.replace(microsecond=0)


def build_upload_step(url: str, headers: Mapping[str, str], offset: int = 0, length: int = 0) -> UploadStep:
    return UploadStep(
        method="PUT", url=url, headers={"x-ms-version": API_VERSION, **headers}, offset=offset, length=length
    )


def build_upload_address(file_change: FileChange, expires_at: datetime, *steps: UploadStep) -> UploadAddress:
    return UploadAddress(id=file_change.id, steps=steps, expires_at=expires_at, is_bounded=False)
