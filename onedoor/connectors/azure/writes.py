"""Put/copy/delete."""

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
from onedoor.connectors.files.model import HIDDEN_PREFIX, guess_media_type
from onedoor.connectors.files.writes import (
    MARKER_NAME,
    FileChange,
    FileState,
    WriteConflict,
    build_markers,
    build_missing_origin_error,
    build_path_values,
    format_markers,
    limit_upload_seconds,
    parse_markers,
    read_written_values,
)
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.connector import ChangeRejected, RowValues, UploadAddress, UploadStep

MARKER_HEADER = f"x-ms-meta-{MARKER_NAME}"

DEFAULT_MEDIA_TYPE = "application/octet-stream"

CONFLICT_CODES = frozenset({
    "ConditionNotMet", "BlobAlreadyExists", "BlobNotFound", "ResourceNotFound", "ResourceAlreadyExists",
    "LeaseAlreadyPresent", "LeaseIdMissing", "LeaseIdMismatchWithFileOperation", "LeaseNotPresentWithFileOperation",
    "SourceConditionNotMet", "TargetConditionNotMet", "CannotVerifyCopySource",
})  # fmt: skip
"""Another was faster, now or a moment ago."""

REQUEST_TIMEOUT = 408

DENIED_STATUSES = frozenset({401, 403})

COPY_PENDING = "pending"

COPY_POLL_SECONDS = 0.1


def check_write_response(response: AzureResponse, service: str) -> AzureResponse:
    """Raises Outrun, and Unmade where Azure said no; else SourceFailed: it is not known what came of it."""
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


def choose_media_type(file_change: FileChange) -> str:
    return file_change.content_type or guess_media_type(file_change.id.rpartition("/")[2]) or DEFAULT_MEDIA_TYPE


def build_marker_headers(file_change: FileChange, before: FileState | None) -> Mapping[str, str]:
    return {MARKER_HEADER: format_markers(build_markers(file_change, before))}


def check_copy_media_type(file_change: FileChange) -> None:
    """Azure copies a file with its type."""
    if file_change.copy_of is not None and file_change.content_type is not None:
        raise ChangeRejected("a copy keeps its content type there: leave out `content_type`")


async def await_copy(client: AzureClient, id: str, response: AzureResponse) -> None:
    """Azure may go on copying after it has answered. Raises SourceFailed."""
    until, status = asyncio.get_running_loop().time() + client.limits.timeout, response.headers.get("x-ms-copy-status")
    while status == COPY_PENDING and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(COPY_POLL_SECONDS)
        status = (await client.send("HEAD", id, {})).headers.get("x-ms-copy-status")
    if status not in (None, "success"):
        raise ConnectorError(f"{SERVICE_NAMES[client.account.service]} has not finished the copy")


def build_upload_url(
    client: AzureClient, file_change: FileChange, permissions: str, requested_seconds: int
) -> tuple[str, datetime]:
    """Of this one file, and when it ends. Raises Unmade: only a key can make one."""
    ends = datetime.now(UTC) + timedelta(seconds=limit_upload_seconds(requested_seconds))
    url = client.account.build_sas_url(file_change.id, permissions, ends)
    if url is None:
        raise ChangeRejected("without an `access_key` in the settings there are no addresses to upload to")
    return url, ends.replace(microsecond=0)


def build_upload_step(url: str, headers: Mapping[str, str], first: int = 0, length: int = 0) -> UploadStep:
    return UploadStep(
        method="PUT", url=url, headers={"x-ms-version": API_VERSION, **headers}, offset=first, length=length
    )


def build_upload_address(file_change: FileChange, expires: datetime, *steps: UploadStep) -> UploadAddress:
    return UploadAddress(id=file_change.id, steps=steps, expires_at=expires, is_bounded=False)


RANGE_MAX_BYTES = 4 * 2**20
"""Azure takes no more in one call."""

ALREADY_EXISTS_CODES = frozenset({"ResourceAlreadyExists"})

INFINITE_LEASE = "-1"
"""The one duration of a lease that Azure Files knows."""


class ShareFileWriter:
    """As sources.writing.words.Keeper. `listed`: a path's entry as the listing shows it; `row`: all its columns."""

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
        """Only as it is listed: Azure finds it however it is written."""
        shown = await self.find_entry(id)
        told = None if shown is None else await self.head_file(id)
        if shown is None or told is None:
            return None
        try:
            entry = replace(parse_file_headers(id, told.headers), content_type=shown.content_type)
        except (KeyError, ValueError) as error:
            raise build_unreadable_error("file") from error
        return FileState(values=self.build_values(entry), markers=parse_markers(told.headers.get(MARKER_HEADER)))

    async def head_file(self, id: str) -> AzureResponse | None:
        told = await self.client.send("HEAD", id, {})
        if told.status == NOT_FOUND:
            return None
        if told.status >= 300:
            raise map_azure_status(told.status, told.error_code, "file")
        return told

    async def write_file(self, file_change: FileChange, before: FileState | None) -> RowValues:
        check_copy_media_type(file_change)
        async with self.hold_lease(file_change, before) as lease:
            part = await self.write_temporary(file_change, before)
            try:
                told = await self.rename_temporary(part, file_change, lease)
            except BaseException:
                await self.delete_temporary(part)
                raise
        return await read_written_values(self, file_change, told.headers.get("etag", "").strip('"'))

    async def delete_file(self, file_change: FileChange, before: FileState) -> None:
        async with self.hold_lease(file_change, before) as lease:
            check_write_response(await self.client.send("DELETE", file_change.id, lease), "file")

    def build_known_values(self, file_change: FileChange) -> RowValues:
        return build_path_values(file_change)

    async def create_upload_address(
        self, file_change: FileChange, before: FileState | None, size: int, requested_seconds: int
    ) -> UploadAddress:
        """One call makes a file of zeros, the others put what belongs there; its folders are made at once."""
        if before is None:
            await self.ensure_directories(file_change)
        url, ends = build_upload_url(self.client, file_change, "cw", requested_seconds)
        starts = [*accumulate([RANGE_MAX_BYTES] * ((size - 1) // RANGE_MAX_BYTES), initial=0)] if size else []
        spans = [(start, min(RANGE_MAX_BYTES, size - start)) for start in starts]
        puts = [
            build_upload_step(f"{url}&comp=range", build_range_headers(start, length), start, length)
            for start, length in spans
        ]
        return build_upload_address(
            file_change, ends, build_upload_step(url, build_create_headers(file_change, before, size)), *puts
        )

    @asynccontextmanager
    async def hold_lease(self, file_change: FileChange, before: FileState | None) -> AsyncIterator[dict[str, str]]:
        """What a call says to write to a file that is as it stood `before`, and that nobody else can. Raises Outrun."""
        if before is None:
            yield {}
            return
        lease = {"x-ms-lease-id": str(UUID(file_change.change_hash))}
        taken = {"x-ms-lease-action": "acquire", "x-ms-lease-duration": INFINITE_LEASE}
        proposed = {"x-ms-proposed-lease-id": lease["x-ms-lease-id"]}
        check_write_response(await self.client.send("PUT", file_change.id, {**taken, **proposed}, comp="lease"), "file")
        try:
            now = await self.head_file(file_change.id)
            if now is None or now.headers.get("etag", "").strip('"') != before.version:
                raise WriteConflict
            yield lease
        finally:
            await self.release_lease(file_change)

    async def clean_up(self, file_change: FileChange) -> None:
        """What a writer who died may have left: a lease, and a file that nobody is shown."""
        await self.release_lease(file_change)
        await self.delete_temporary(build_temporary_name(file_change))

    async def release_lease(self, file_change: FileChange) -> None:
        """What is gone, or was replaced, holds no lease any more."""
        given = {"x-ms-lease-action": "release", "x-ms-lease-id": str(UUID(file_change.change_hash))}
        with suppress(ConnectorError):
            await self.client.send("PUT", file_change.id, given, comp="lease")

    async def write_temporary(self, file_change: FileChange, before: FileState | None) -> str:
        """The name it has for now. Raises Unmade: nobody was shown anything."""
        part = build_temporary_name(file_change)
        try:
            await self.fill_temporary(part, file_change, before)
        except (ConnectorError, WriteConflict) as failure:
            await self.delete_temporary(part)
            if isinstance(failure, WriteConflict):
                raise ChangeRejected("azure files did not keep what was sent to it") from failure
            raise ChangeRejected(failure.reason, failure.code) from failure
        except BaseException:
            await self.delete_temporary(part)
            raise
        return part

    async def fill_temporary(self, temporary_name: str, file_change: FileChange, before: FileState | None) -> None:
        await self.create_directories(file_change.id)
        if file_change.copy_of is not None:
            if await self.find_entry(file_change.copy_of) is None:
                raise build_missing_origin_error()
            source = {
                "x-ms-copy-source": self.client.account.build_file_url(file_change.copy_of),
                **build_marker_headers(file_change, before),
            }
            await await_copy(
                self.client,
                temporary_name,
                check_write_response(await self.client.send("PUT", temporary_name, source), "file"),
            )
            return
        octets = file_change.content or b""
        check_write_response(
            await self.client.send("PUT", temporary_name, build_create_headers(file_change, before, len(octets))),
            "file",
        )
        if octets:
            put = await self.client.send(
                "PUT", temporary_name, build_range_headers(0, len(octets)), octets, comp="range"
            )
            check_write_response(put, "file")

    async def ensure_directories(self, file_change: FileChange) -> None:
        """Whoever holds an address can make a file, and no folder."""
        try:
            await self.create_directories(file_change.id)
        except WriteConflict as failure:
            raise ChangeRejected(
                "azure files did not keep the folders of `path`", ErrorCode.SOURCE_UNAVAILABLE
            ) from failure

    async def create_directories(self, id: str) -> None:
        for above in list(accumulate(id.split("/")[:-1], lambda path, each: f"{path}/{each}")):
            told = await self.client.send("PUT", above, {}, restype="directory")
            if told.error_code not in ALREADY_EXISTS_CODES:
                check_write_response(told, "file")

    async def rename_temporary(
        self, temporary_name: str, file_change: FileChange, lease: dict[str, str]
    ) -> AzureResponse:
        """In one step; where nothing stood, over nothing."""
        said = {
            "x-ms-file-rename-source": self.client.account.build_file_url(temporary_name),
            "x-ms-file-rename-replace-if-exists": "true" if lease else "false",
            **({"x-ms-destination-lease-id": lease["x-ms-lease-id"]} if lease else {}),
        }
        return check_write_response(await self.client.send("PUT", file_change.id, said, comp="rename"), "file")

    async def delete_temporary(self, temporary_name: str) -> None:
        with suppress(ConnectorError):
            await self.client.send("DELETE", temporary_name, {})


def build_temporary_name(file_change: FileChange) -> str:
    """What it is called until it is whole."""
    return f"{''.join(file_change.id.rpartition('/')[:2])}{HIDDEN_PREFIX}{file_change.change_hash}.part"


def build_create_headers(file_change: FileChange, before: FileState | None, size: int) -> dict[str, str]:
    kind = {"x-ms-type": "file", "x-ms-content-length": str(size), "x-ms-content-type": choose_media_type(file_change)}
    return {**kind, **build_marker_headers(file_change, before)}


def build_range_headers(start: int, length: int) -> dict[str, str]:
    """A body that is no file's own says that it is octets."""
    return {
        "content-type": "application/octet-stream", "x-ms-write": "update",
        "x-ms-range": f"bytes={start}-{start + length - 1}",
    }  # fmt: skip


BLOCK_BLOB_HEADERS = {"x-ms-blob-type": "BlockBlob"}


class BlobWriter:
    """As sources.writing.words.Keeper. `row`: an entry in, all columns out."""

    def __init__(self, client: AzureClient, build_values: Callable[[AzureEntry], RowValues]) -> None:
        self.client = client
        self.build_values = build_values

    async def read_state(self, id: str) -> FileState | None:
        told = await self.client.send("HEAD", id, {})
        if told.status == NOT_FOUND and told.error_code in ("", "BlobNotFound"):
            return None
        if told.status >= 300:
            raise map_azure_status(told.status, told.error_code, "blob")
        return build_blob_state(id, told, self.build_values)

    async def write_file(self, file_change: FileChange, before: FileState | None) -> RowValues:
        if file_change.copy_of is None:
            headers = {
                **BLOCK_BLOB_HEADERS,
                "content-type": choose_media_type(file_change),
                **build_marker_headers(file_change, before),
                **build_condition_headers(before),
            }
            told = await self.client.send("PUT", file_change.id, headers, file_change.content or b"")
        else:
            told = await self.copy_blob(file_change, before)
        version = check_write_response(told, "blob").headers.get("etag", "").strip('"')
        await await_copy(self.client, file_change.id, told)
        return await read_written_values(self, file_change, version)

    async def copy_blob(self, file_change: FileChange, before: FileState | None) -> AzureResponse:
        assert file_change.copy_of is not None  # INVARIANT: asked for nowhere else
        check_copy_media_type(file_change)
        origin = await self.read_state(file_change.copy_of)
        if origin is None:
            raise build_missing_origin_error()
        source = {
            "x-ms-copy-source": self.client.account.build_file_url(file_change.copy_of),
            "x-ms-source-if-match": f'"{origin.version}"',
        }
        return await self.client.send(
            "PUT",
            file_change.id,
            {**source, **build_marker_headers(file_change, before), **build_condition_headers(before)},
        )

    async def delete_file(self, file_change: FileChange, before: FileState) -> None:
        check_write_response(await self.client.send("DELETE", file_change.id, build_condition_headers(before)), "blob")

    def build_known_values(self, file_change: FileChange) -> RowValues:
        return build_path_values(file_change)

    async def create_upload_address(
        self, file_change: FileChange, before: FileState | None, size: int, requested_seconds: int
    ) -> UploadAddress:
        """With the letter `c` alone Azure writes over nothing."""
        url, ends = build_upload_url(self.client, file_change, "c" if before is None else "w", requested_seconds)
        headers = {
            **BLOCK_BLOB_HEADERS,
            "content-type": choose_media_type(file_change),
            **build_marker_headers(file_change, before),
            **build_condition_headers(before),
        }
        return build_upload_address(file_change, ends, build_upload_step(url, headers, length=size))


def build_blob_state(id: str, response: AzureResponse, build_values: Callable[[AzureEntry], RowValues]) -> FileState:
    try:
        return FileState(
            values=build_values(parse_file_headers(id, response.headers)),
            markers=parse_markers(response.headers.get(MARKER_HEADER)),
        )
    except (KeyError, ValueError) as error:
        raise build_unreadable_error("blob") from error


def build_condition_headers(before: FileState | None) -> Mapping[str, str]:
    return {"if-none-match": "*"} if before is None else {"if-match": f'"{before.version}"'}
