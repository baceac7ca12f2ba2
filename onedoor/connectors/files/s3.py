"""Serve the objects of an S3 bucket as files."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeAlias, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, HTTPClientError, ReadTimeoutError
from botocore.exceptions import ConnectionError as BotoConnectionError
from urllib3.exceptions import HTTPError

from onedoor.connectors.files.connector import PathFileConnector
from onedoor.connectors.files.contents import DEFAULT_READ_BYTES
from onedoor.connectors.files.model import (
    DEFAULT_MEDIA_TYPE,
    FileStat,
    build_path_readers,
    get_file_name,
    guess_media_type,
)
from onedoor.connectors.files.writes import (
    MARKER_NAME,
    FileChange,
    FileState,
    WriteConflict,
    build_markers,
    build_missing_origin_error,
    build_path_values,
    build_write_policy,
    choose_media_type,
    format_markers,
    limit_upload_seconds,
    parse_markers,
)
from onedoor.connectors.http_client import CLOCK_SKEW_MESSAGE, RESPONSE_MAX_BYTES, read_bounded
from onedoor.connectors.path_patterns import PathPattern, compile_pattern
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.concurrency import PROBE_THREADS, build_thread_pool, fan_out, run_in_thread, shut_down_pool
from onedoor.runtime.fair_slots import FairSlots
from onedoor.spi.connector import ChangeRejected, ConnectorKind, RowValues, UploadAddress, UploadStep
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest

KEY_MAX_BYTES = 1024
"""UTF-8 bytes of the longest key that S3 takes."""

DOWNLOAD_URL_MAX_SECONDS = 300

MARKER_METADATA_KEY = MARKER_NAME.replace("_", "-")
"""S3 takes underscores in metadata names too, but not every proxy passes them on."""

CREDENTIALS_REFUSED = "s3 refused the credentials"

MISSING_OBJECT_MESSAGE = "s3 has no such object"

ERROR_MESSAGES = {
    "AccessDenied": CREDENTIALS_REFUSED,
    "InvalidAccessKeyId": CREDENTIALS_REFUSED,
    "SignatureDoesNotMatch": CREDENTIALS_REFUSED,
    "ExpiredToken": CREDENTIALS_REFUSED,
    "RequestTimeTooSkewed": f"s3 refused the call: {CLOCK_SKEW_MESSAGE}",
    "403": CREDENTIALS_REFUSED,
    "NoSuchBucket": "s3 has no such bucket",
    "NoSuchKey": MISSING_OBJECT_MESSAGE,
}

OVERLOAD_CODES = frozenset({"SlowDown", "429", "TooManyRequests", "RequestLimitExceeded"})

INVALID_RANGE_CODE = "InvalidRange"

NOT_FOUND = 404

CONFLICT_STATUSES = frozenset({NOT_FOUND, 409, 412})
"""Statuses of a conditional write that lost against another, now or a moment ago."""

UNCERTAIN_STATUSES = frozenset({408, 429})
"""Statuses below 500 that do not say whether the write was made."""

OPERATION_NAMES = {"ListObjectsV2": "listing", "PutObject": "writing", "CopyObject": "copy", "DeleteObject": "deletion"}

ListedObject: TypeAlias = Mapping[str, Any]
"""An object as a listing shows it: `Key`, `Size`, `LastModified` and `ETag`."""

S3Result = TypeVar("S3Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Options:
    """The settings of an S3 source.

    `timeout`: seconds to connect, and to wait for each part of an answer. `connections`: calls at once. `read_bytes`:
    the most that is read of one object for its rows. `writable`: objects may be put, copied and deleted, and only below
    the folders of `writable_below` if there are any.
    """

    bucket: str
    pattern: str
    access_key: str
    secret_key: str = field(repr=False)
    endpoint: str | None = None
    region: str = "us-east-1"
    timeout: float = 5.0
    connections: int = 8
    read_bytes: int = DEFAULT_READ_BYTES
    writable: bool = False
    writable_below: tuple[str, ...] = ()


async def connect(options: S3Options) -> "S3Connector":
    """Open a bucket without a call. Raises ValueError for settings that cannot be."""
    return S3Connector(options, compile_pattern(options.pattern))


class S3Connector(PathFileConnector[ListedObject]):
    """Serve the collection `files`, with one row for each object of the bucket."""

    def __init__(self, options: S3Options, pattern: PathPattern) -> None:
        write_policy = build_write_policy(writable=options.writable, allowed_prefixes=options.writable_below)
        super().__init__(pattern, OBJECT_READERS, write_policy, options.read_bytes)
        self.options = options
        self.slots = FairSlots(options.connections)
        self.thread_pool = build_thread_pool(options.connections + PROBE_THREADS, "s3")
        self.client = build_s3_client(options)
        self.file_writer = S3FileWriter(self.client, options.bucket, self.run_in_pool, self.files.build_values)

    async def scan_collection(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        """Yield the pages of the listing; for keys, a batch for each key."""
        if request.keys is None:
            async for page in self.list_pages(""):
                yield [self.files.build_row(listed, request.columns) for listed in page]
            return
        look_up = partial(self.look_up, request.columns, request.keys.columns)
        for rows in await fan_out(look_up, request.keys.values, self.options.connections):
            yield rows

    async def look_up(self, columns: Sequence[str], key_columns: tuple[str, ...], key: Row) -> list[Row]:
        """Return the rows of one key: of the objects below its prefix, those that have all of its values."""
        prefix = self.files.build_key_prefix(key_columns, key)
        if not is_key_prefix(prefix):
            return []
        pages = self.list_first_object(prefix) if key_columns == ("id",) else self.list_pages(prefix)
        return [
            self.files.build_row(listed, columns)
            async for page in pages
            for listed in page
            if self.files.build_row(listed, key_columns) == key
        ]

    async def list_first_object(self, prefix: str) -> AsyncIterator[Iterable[ListedObject]]:
        """Yield the first object below a prefix, which is the object with exactly this key if there is one."""
        yield (await self.list_objects(Prefix=prefix, MaxKeys=1)).get("Contents", ())

    async def list_pages(self, prefix: str) -> AsyncIterator[Iterable[ListedObject]]:
        continuation: Mapping[str, str] = {}
        while True:
            response = await self.list_objects(Prefix=prefix, **continuation)
            yield response.get("Contents", ())
            if not response.get("IsTruncated"):
                return
            continuation = {"ContinuationToken": response["NextContinuationToken"]}

    async def list_objects(self, **arguments: Any) -> Mapping[str, Any]:
        call = partial(self.client.list_objects_v2, Bucket=self.options.bucket, **arguments)
        return await self.run_in_pool(lambda: check_listing(call()))

    async def run_in_pool(self, call: Callable[[], S3Result]) -> S3Result:
        """Run a call in a thread. Raises ConnectorError, and what the file writer raises."""
        try:
            async with self.slots.hold():
                return await run_in_thread(self.thread_pool, call)
        except (ChangeRejected, WriteConflict):
            raise
        except Exception as error:
            raise map_s3_error(error, self.options.timeout) from error

    async def stat(self, id: str) -> FileStat | None:
        if not is_object_key(id):
            return None
        head = await self.run_in_pool(partial(read_head, self.client, self.options.bucket, id))
        return None if head is None else self.files.build_stat(head)

    async def read_range(self, id: str, start: int, length: int) -> bytes:
        if not is_object_key(id):
            raise ConnectorError(MISSING_OBJECT_MESSAGE)
        return await self.run_in_pool(
            partial(read_object_range, self.client, self.options.bucket, id, start=start, length=length)
        )

    async def create_download_url(self, id: str, seconds: int) -> str | None:
        """Sign an address for this object alone, without a call."""
        if not is_object_key(id):
            return None
        return await self.run_in_pool(partial(sign_download_url, self.client, self.options.bucket, id, seconds))

    async def ping(self) -> None:
        await self.list_objects(MaxKeys=1)

    async def close(self) -> None:
        """Close idle connections now, and those of calls under way as soon as each call ends."""
        shut_down_pool(self.thread_pool)
        self.client.close()


OBJECT_READERS: Mapping[str, Callable[[ListedObject], Any]] = build_path_readers(
    lambda listed: listed["Key"],
    size=lambda listed: listed["Size"],
    content_type=lambda listed: guess_media_type(get_file_name(listed["Key"])),
    modified=lambda listed: listed["LastModified"].astimezone(UTC),
    version=lambda listed: strip_etag_quotes(listed["ETag"]),
)


def is_object_key(id: str) -> bool:
    """Return whether an object could have this key; an empty one would address the bucket itself."""
    return id != "" and is_key_prefix(id)


def is_key_prefix(prefix: str) -> bool:
    """Return whether a key could begin with this: keys are UTF-8, of a limited length."""
    try:
        return len(prefix.encode()) <= KEY_MAX_BYTES
    except UnicodeEncodeError:
        return False


def check_listing(response: Mapping[str, Any]) -> Mapping[str, Any]:
    """Check a listing. Raises ValueError if the answer is none: botocore takes any XML for an empty one."""
    if "IsTruncated" not in response:
        raise ValueError("no listing")
    return response


def read_head(client: Any, bucket: str, key: str) -> ListedObject | None:
    """Return an object as a listing shows it, with its `ContentType` and `Metadata`, or None if it is not there."""
    try:
        head = client.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if get_http_status(error) == NOT_FOUND:
            return None
        raise
    return {**head, "Key": key, "Size": head["ContentLength"]}


def read_object_range(client: Any, bucket: str, key: str, *, start: int, length: int) -> bytes:
    """Read no more than the range, whatever the answer holds. Raises ValueError if the answer is another range."""
    if length <= 0:
        return b""
    try:
        response = client.get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{start + length - 1}")
    except ClientError as error:
        if get_error_code(error) == INVALID_RANGE_CODE:
            return b""
        raise
    with closing(response["Body"]) as body:
        if not response.get("ContentRange", "bytes 0-").startswith(f"bytes {start}-"):
            raise ValueError("another range")
        content: bytes = body.read(length)
        return content


def sign_download_url(client: Any, bucket: str, key: str, seconds: int) -> str:
    url: str = client.generate_presigned_url(
        "get_object",
        Params={"Bucket": bucket, "Key": key},
        ExpiresIn=max(1, min(seconds, DOWNLOAD_URL_MAX_SECONDS)),
    )
    return url


class S3FileWriter:
    """Write objects by conditional calls, as the FileWriter of a bucket.

    `run_call` runs a blocking call in a thread; `build_values` builds the row of a listed object.
    """

    def __init__(
        self,
        client: Any,
        bucket: str,
        run_call: Callable[[Callable[[], Any]], Awaitable[Any]],
        build_values: Callable[[ListedObject], RowValues],
    ) -> None:
        self.client = client
        self.bucket = bucket
        self.run_call = run_call
        self.build_values = build_values

    async def read_state(self, id: str) -> FileState | None:
        state: FileState | None = await self.run_call(partial(self.load_state, id))
        return state

    async def write_file(self, file_change: FileChange, before: FileState | None) -> RowValues:
        values: RowValues = await self.run_call(partial(self.write_object, file_change, before))
        return values

    async def delete_file(self, file_change: FileChange, before: FileState) -> None:
        await self.run_call(partial(self.delete_object, file_change, before))

    async def create_upload_address(
        self, file_change: FileChange, before: FileState | None, size: int, requested_seconds: int
    ) -> UploadAddress:
        address: UploadAddress = await self.run_call(
            partial(self.sign_upload, file_change, before, size, requested_seconds)
        )
        return address

    def build_known_values(self, file_change: FileChange) -> RowValues:
        return build_path_values(file_change)

    def load_state(self, id: str) -> FileState | None:
        head = read_head(self.client, self.bucket, id)
        if head is None:
            return None
        return FileState(
            values=self.build_values(head),
            markers=parse_markers(head.get("Metadata", {}).get(MARKER_METADATA_KEY)),
            store_details={"type": head.get("ContentType", DEFAULT_MEDIA_TYPE)},
        )

    def write_object(self, file_change: FileChange, before: FileState | None) -> RowValues:
        arguments = {
            **self.build_location(file_change),
            **build_conditions(before),
            "Metadata": {MARKER_METADATA_KEY: format_markers(build_markers(file_change, before))},
        }
        if file_change.copy_of is None:
            size, etag = len(file_change.content or b""), self.upload_object(file_change, arguments)
        else:
            size, etag = self.copy_object(file_change, file_change.copy_of, arguments)
        known = {**build_path_values(file_change), "size": size, "version": etag}
        return self.read_written_values(file_change.id, known)

    def upload_object(self, file_change: FileChange, arguments: Mapping[str, Any]) -> str:
        """Return the ETag."""
        call = partial(
            self.client.put_object, Body=file_change.content, ContentType=choose_media_type(file_change), **arguments
        )
        return strip_etag_quotes(run_write_call(call)["ETag"])

    def copy_object(self, file_change: FileChange, origin_key: str, arguments: Mapping[str, Any]) -> tuple[int, str]:
        """Copy an object as it stands now, or not at all; return its size and the ETag of the copy."""
        origin = self.load_state(origin_key)
        if origin is None:
            raise build_missing_origin_error()
        call = partial(
            self.client.copy_object,
            MetadataDirective="REPLACE",
            ContentType=file_change.content_type or origin.store_details["type"],
            CopySource={"Bucket": self.bucket, "Key": origin_key},
            CopySourceIfMatch=origin.version,
            **arguments,
        )
        return origin.values["size"], strip_etag_quotes(run_write_call(call)["CopyObjectResult"]["ETag"])

    def read_written_values(self, id: str, known: RowValues) -> RowValues:
        """Return the row of an object that was just written, or what is known of it if it cannot be read."""
        try:
            state = self.load_state(id)
        except (ClientError, BotoCoreError):
            return known
        return state.values if state is not None and state.version == known["version"] else known

    def delete_object(self, file_change: FileChange, before: FileState) -> None:
        run_write_call(
            partial(self.client.delete_object, **self.build_location(file_change), **build_conditions(before))
        )

    def sign_upload(
        self, file_change: FileChange, before: FileState | None, size: int, requested_seconds: int
    ) -> UploadAddress:
        """Sign key, type, length, condition and marker without a call, so that the holder cannot change them."""
        markers = format_markers(build_markers(file_change, before))
        media_type, seconds = choose_media_type(file_change), limit_upload_seconds(requested_seconds)
        parameters = {
            **self.build_location(file_change),
            **build_conditions(before),
            "ContentType": media_type,
            "ContentLength": size,
            "Metadata": {MARKER_METADATA_KEY: markers},
        }
        expires_at = datetime.now(UTC) + timedelta(seconds=seconds)
        url = self.client.generate_presigned_url("put_object", Params=parameters, ExpiresIn=seconds)
        headers = {
            "content-type": media_type,
            f"x-amz-meta-{MARKER_METADATA_KEY}": markers,
            **({"if-none-match": "*"} if before is None else {"if-match": before.version}),
        }
        step = UploadStep(method="PUT", url=url, headers=headers, offset=0, length=size)
        return UploadAddress(id=file_change.id, steps=(step,), expires_at=expires_at, is_bounded=True)

    def build_location(self, file_change: FileChange) -> dict[str, Any]:
        return {"Bucket": self.bucket, "Key": file_change.id}


def build_conditions(before: FileState | None) -> Mapping[str, str]:
    return {"IfNoneMatch": "*"} if before is None else {"IfMatch": before.version}


def strip_etag_quotes(etag: str) -> str:
    return etag.strip('"')


def run_write_call(call: Callable[[], Any]) -> Any:
    """Make a conditional write.

    Raises WriteConflict if another was faster, ChangeRejected if S3 refused the call; after any other error it is not
    known whether the write was made.
    """
    try:
        return call()
    except ClientError as error:
        status = get_http_status(error)
        if status in CONFLICT_STATUSES and get_error_code(error) != "NoSuchBucket":
            raise WriteConflict from error
        if 400 <= status < 500 and status not in UNCERTAIN_STATUSES:
            raise ChangeRejected(describe_refusal(status), ErrorCode.SOURCE_UNAVAILABLE) from error
        raise


def describe_refusal(status: int) -> str:
    return "s3 does not let this be written" if status in (401, 403) else "s3 refused the change"


def get_http_status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def get_error_code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def map_s3_error(error: Exception, timeout: float) -> ConnectorError:
    """Return what may be shown: botocore's own texts name addresses and keys."""
    match error:
        case ConnectTimeoutError() | ReadTimeoutError():
            return ConnectorError(f"s3 did not answer within {timeout:g} s")
        case ClientError(response={"Error": {"Code": str(code)}}) if code in OVERLOAD_CODES:
            return ConnectorError("s3 takes no more calls for now, ask again later", ErrorCode.SOURCE_OVERLOADED)
        case ClientError(response={"Error": {"Code": str(code)}}) if code.isalnum() and len(code) <= 60:
            operation = OPERATION_NAMES.get(error.operation_name, "reading")
            return ConnectorError(ERROR_MESSAGES.get(code, f"s3 refused the {operation} with `{code}`"))
        case BotoConnectionError() | HTTPClientError():
            return ConnectorError("s3 could not be reached")
    return ConnectorError("s3 gave an answer that cannot be read", ErrorCode.SOURCE_INVALID)


def build_s3_client(options: S3Options) -> Any:
    """Build a client that makes every call once, as the engine decides about retries, and bounds every answer."""
    client = boto3.session.Session().client(
        "s3",
        aws_access_key_id=options.access_key,
        aws_secret_access_key=options.secret_key,
        region_name=options.region,
        endpoint_url=options.endpoint,
        config=Config(
            connect_timeout=options.timeout,
            read_timeout=options.timeout,
            max_pool_connections=options.connections,
            retries={"total_max_attempts": 1},
            signature_version="s3v4",
            s3={"addressing_style": "path" if options.endpoint else "auto"},
        ),
    )
    client._endpoint.http_session = BoundedBotocoreSession(client._endpoint.http_session, options.timeout)
    return client


class BoundedBotocoreSession:
    """Bound botocore's HTTP session, which would read an answer for as long as it goes on.

    It also closes connections itself, as urllib3 leaves those of a manager to the garbage collector.
    """

    def __init__(self, session: Any, timeout: float) -> None:
        self.session = session
        self.timeout = timeout
        self.closed = False

    def send(self, request: Any) -> Any:
        """Read the answer within limits and give its connection back; leave the stream of a content to its reader."""
        has_stream, request.stream_output = request.stream_output, True
        try:
            response = self.session.send(request)
            if not has_stream or response.status_code >= 300:
                self.read_content(request, response)
            return response
        finally:
            if self.closed:
                self.close_pools()

    def read_content(self, request: Any, response: Any) -> None:
        try:
            response._content = read_bounded(response.raw.stream(), max_bytes=RESPONSE_MAX_BYTES, seconds=self.timeout)
        except HTTPError as error:
            raise ReadTimeoutError(endpoint_url=request.url, error=error) from None
        finally:
            response.raw.close()

    def close(self) -> None:
        """Close idle connections now, and those of the calls under way as each of them ends."""
        self.closed = True
        self.close_pools()
        self.session.close()

    def close_pools(self) -> None:
        pools = self.session._manager.pools
        for key in list(pools.keys()):
            pool = pools.get(key)
            if pool is not None:
                pool.close()


KIND = ConnectorKind(options=S3Options, connect=connect)
