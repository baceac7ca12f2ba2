"""S3."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import takewhile
from typing import Any, TypeAlias, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, HTTPClientError, ReadTimeoutError
from botocore.exceptions import ConnectionError as Unreachable
from urllib3.exceptions import HTTPError

from onedoor.connectors.files import writes
from onedoor.connectors.files.contents import CONTENT_CAPABILITIES, DEFAULT_READ_BYTES, scan_contents
from onedoor.connectors.files.model import FileStat, guess_media_type
from onedoor.connectors.files.writes import (
    FILE_WRITE_CAPABILITIES,
    MARKER_NAME,
    FileChange,
    FileState,
    FileWritePolicy,
    WriteConflict,
    build_markers,
    build_missing_origin_error,
    build_path_values,
    check_writable_prefixes,
    format_markers,
    limit_upload_seconds,
    parse_file_change,
    parse_markers,
    parse_upload,
    read_state_before,
)
from onedoor.connectors.http_client import CLOCK_SKEW_MESSAGE, RESPONSE_MAX_BYTES, read_bounded
from onedoor.connectors.path_patterns import PathPattern, compile_pattern
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.concurrency import build_thread_pool, fan_out, run_in_thread, shut_down_pool
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.connector import (
    ChangeRejected,
    ChangeResult,
    ConnectorKind,
    RowChange,
    RowValues,
    UploadAddress,
    UploadRequest,
    UploadStep,
    WriteCapabilities,
)
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest

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


def build_s3_client(
    *, access_key: str, secret_key: str, endpoint: str | None, region: str, timeout: float, connections: int
) -> Any:
    """Retries are the engine's to spend, so the client makes none. `timeout`: as of S3's options."""
    config = Config(
        connect_timeout=timeout,
        read_timeout=timeout,
        max_pool_connections=connections,
        retries={"total_max_attempts": 1},
        signature_version="s3v4",
        s3={"addressing_style": "path" if endpoint else "auto"},
    )
    made = boto3.session.Session().client(
        "s3",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name=region,
        endpoint_url=endpoint,
        config=config,
    )
    made._endpoint.http_session = BoundedBotocoreSession(made._endpoint.http_session, timeout)
    return made


class BoundedBotocoreSession:
    """Botocore's HTTP session, whose answers have no end of their own."""

    def __init__(self, session: Any, timeout: float) -> None:
        self.session = session
        self.timeout = timeout

    def send(self, request: Any) -> Any:
        """What is streamed is left to who reads it."""
        streams, request.stream_output = request.stream_output, True
        answer = self.session.send(request)
        if not streams:
            try:
                answer._content = read_bounded(answer.raw.stream(), max_bytes=RESPONSE_MAX_BYTES, seconds=self.timeout)
            except HTTPError as error:
                raise ReadTimeoutError(endpoint_url=request.url, error=error) from None
            finally:
                answer.raw.close()
        return answer

    def close(self) -> None:
        self.session.close()


OPERATION_NAMES = {"ListObjectsV2": "listing", "PutObject": "writing", "CopyObject": "copy", "DeleteObject": "deletion"}


def name_operation(error: ClientError) -> str:
    return OPERATION_NAMES.get(error.operation_name, "reading")


def map_s3_error(error: Exception, timeout: float) -> ConnectorError:
    """`timeout` in seconds. Botocore's own texts name addresses and keys, so none of them is passed on."""
    match error:
        case ConnectTimeoutError() | ReadTimeoutError():
            return ConnectorError(f"s3 did not answer within {timeout:g} s")
        case ClientError(response={"Error": {"Code": str(code)}}) if code in OVERLOAD_CODES:
            return ConnectorError("s3 takes no more calls for now, ask again later", ErrorCode.SOURCE_OVERLOADED)
        case ClientError(response={"Error": {"Code": str(code)}}) if code.isalnum() and len(code) <= 60:
            return ConnectorError(ERROR_MESSAGES.get(code, f"s3 refused the {name_operation(error)} with `{code}`"))
        case Unreachable() | HTTPClientError():
            return ConnectorError("s3 could not be reached")
    return ConnectorError("s3 gave an answer that cannot be read", ErrorCode.SOURCE_INVALID)


DOWNLOAD_URL_MAX_SECONDS = 300
"""How long the address of an object opens it, at the most."""

MISSING_CODES = frozenset({"404", "NoSuchKey"})

INVALID_RANGE_CODE = "InvalidRange"


def stat_object(client: Any, bucket: str, key: str) -> FileStat | None:
    try:
        found = client.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if _get_error_code(error) in MISSING_CODES:
            return None
        raise
    name = key.rpartition("/")[2]
    return FileStat(
        id=key,
        name=name,
        size=found["ContentLength"],
        content_type=guess_media_type(name),
        modified=found["LastModified"].astimezone(UTC),
        version=found["ETag"].strip('"'),
    )


def read_object_range(client: Any, bucket: str, key: str, span: tuple[int, int]) -> bytes:
    """`span`: start and length. Never reads on, whatever comes; what comes from another place is not believed."""
    start, length = span
    if length <= 0:
        return b""
    try:
        found = client.get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{start + length - 1}")
    except ClientError as error:
        if _get_error_code(error) == INVALID_RANGE_CODE:
            return b""
        raise
    with closing(found["Body"]) as body:
        if not found.get("ContentRange", "bytes 0-").startswith(f"bytes {start}-"):
            raise ValueError("another range")
        read: bytes = body.read(length)
        return read


def sign_download_url(client: Any, bucket: str, key: str, seconds: int) -> str:
    """Opens this key alone, to whoever holds it, for at most `URL_SECONDS`."""
    params, span = {"Bucket": bucket, "Key": key}, max(1, min(seconds, DOWNLOAD_URL_MAX_SECONDS))
    url: str = client.generate_presigned_url("get_object", Params=params, ExpiresIn=span)
    return url


def _get_error_code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


MARKER_METADATA_KEY = MARKER_NAME.replace("_", "-")
"""S3 takes either; not every server on the way does."""

DEFAULT_MEDIA_TYPE = "application/octet-stream"

MISSING_STATUSES = frozenset({404})

CONFLICT_STATUSES = frozenset({404, 409, 412})
"""Another was faster, now or a moment ago."""

UNCERTAIN_STATUSES = frozenset({408, 429})

ListedObject = Mapping[str, Any]


class S3FileWriter:
    """As sources.writing.words.Keeper. `row`: what a listing says of an object in, all columns out."""

    def __init__(
        self, client: Any, bucket: str, run_call: Callable[[Callable[[], Any]], Awaitable[Any]],
        build_values: Callable[[ListedObject], RowValues],
    ) -> None:  # fmt: skip
        self.client = client
        self.bucket = bucket
        self.run_call = run_call
        self.build_values = build_values

    async def read_state(self, id: str) -> FileState | None:
        found: FileState | None = await self.run_call(partial(self.load_state, id))
        return found

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
        try:
            told = self.client.head_object(Bucket=self.bucket, Key=id)
        except ClientError as error:
            if get_http_status(error) in MISSING_STATUSES:
                return None
            raise
        listed = {"Key": id, "Size": told["ContentLength"], **{name: told[name] for name in ("ETag", "LastModified")}}
        marks = parse_markers(told.get("Metadata", {}).get(MARKER_METADATA_KEY))
        return FileState(
            values=self.build_values(listed),
            markers=marks,
            store_details={"type": told.get("ContentType", DEFAULT_MEDIA_TYPE)},
        )

    def write_object(self, file_change: FileChange, before: FileState | None) -> RowValues:
        given = {
            **self.build_location(file_change),
            **build_conditions(before),
            "Metadata": {MARKER_METADATA_KEY: format_markers(build_markers(file_change, before))},
        }
        if file_change.copy_of is None:
            sized, etag = len(file_change.content or b""), self.upload_object(file_change, given)
        else:
            sized, etag = self.copy_object(file_change, given)
        return self.read_written_values(
            file_change.id, {**build_path_values(file_change), "size": sized, "version": etag}
        )

    def upload_object(self, file_change: FileChange, arguments: ListedObject) -> str:
        put = partial(
            self.client.put_object, Body=file_change.content, ContentType=choose_media_type(file_change), **arguments
        )
        return strip_etag_quotes(run_write_call(put)["ETag"])

    def copy_object(self, file_change: FileChange, arguments: ListedObject) -> tuple[int, str]:
        """S3 copies it as it stands now, or not at all. Its size comes with the ETag."""
        assert file_change.copy_of is not None  # INVARIANT: asked for nowhere else
        origin = self.load_state(file_change.copy_of)
        if origin is None:
            raise build_missing_origin_error()
        source = {
            "CopySource": {"Bucket": self.bucket, "Key": file_change.copy_of},
            "CopySourceIfMatch": origin.version,
        }
        kind = file_change.content_type or origin.store_details["type"]
        copy = partial(self.client.copy_object, MetadataDirective="REPLACE", ContentType=kind, **source, **arguments)
        return origin.values["size"], strip_etag_quotes(run_write_call(copy)["CopyObjectResult"]["ETag"])

    def read_written_values(self, id: str, known: RowValues) -> RowValues:
        """It is there: what cannot be looked at now, or is another's by now, is told as far as it is known."""
        try:
            stands = self.load_state(id)
        except (ClientError, BotoCoreError):
            return known
        return stands.values if stands is not None and stands.version == known["version"] else known

    def delete_object(self, file_change: FileChange, before: FileState) -> None:
        run_write_call(
            partial(self.client.delete_object, **self.build_location(file_change), **build_conditions(before))
        )

    def sign_upload(
        self, file_change: FileChange, before: FileState | None, size: int, requested_seconds: int
    ) -> UploadAddress:
        """Signed here, without a call: the key, the type, the length, what stood before, and the mark."""
        marks, span = format_markers(build_markers(file_change, before)), limit_upload_seconds(requested_seconds)
        given = {
            **self.build_location(file_change),
            **build_conditions(before),
            "ContentType": choose_media_type(file_change),
            "Metadata": {MARKER_METADATA_KEY: marks},
        }
        ends = datetime.now(UTC) + timedelta(seconds=span)
        url = self.client.generate_presigned_url("put_object", Params={**given, "ContentLength": size}, ExpiresIn=span)
        condition = {"if-none-match": "*"} if before is None else {"if-match": before.version}
        headers = {
            "content-type": choose_media_type(file_change),
            f"x-amz-meta-{MARKER_METADATA_KEY}": marks,
            **condition,
        }
        step = UploadStep(method="PUT", url=url, headers=headers, offset=0, length=size)
        return UploadAddress(id=file_change.id, steps=(step,), expires_at=ends, is_bounded=True)

    def build_location(self, file_change: FileChange) -> dict[str, Any]:
        return {"Bucket": self.bucket, "Key": file_change.id}


def build_conditions(before: FileState | None) -> Mapping[str, str]:
    return {"IfNoneMatch": "*"} if before is None else {"IfMatch": before.version}


def choose_media_type(file_change: FileChange) -> str:
    return file_change.content_type or guess_media_type(file_change.id.rpartition("/")[2]) or DEFAULT_MEDIA_TYPE


def strip_etag_quotes(etag: str) -> str:
    return etag.strip('"')


def get_http_status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def run_write_call(call: Callable[[], Any]) -> Any:
    """Raises Outrun where another was faster, Unmade where S3 said no; else it is not known what came of it."""
    try:
        return call()
    except ClientError as error:
        answered = get_http_status(error)
        if answered in CONFLICT_STATUSES and error.response["Error"].get("Code") != "NoSuchBucket":
            raise WriteConflict from error
        if 400 <= answered < 500 and answered not in UNCERTAIN_STATUSES:
            raise ChangeRejected(describe_refusal(error), ErrorCode.SOURCE_UNAVAILABLE) from error
        raise


def describe_refusal(error: ClientError) -> str:
    denied = get_http_status(error) in (401, 403)
    return "s3 does not let this be written" if denied else "s3 refused the change"


MAX_KEYS = 50

KEY_MAX_BYTES = 1024
"""The longest key S3 takes."""

OBJECT_COLUMNS: Mapping[str, tuple[ColumnType, Callable[[Mapping[str, Any]], Any]]] = {
    "id": (ColumnType.TEXT, lambda listed: listed["Key"]),
    "path": (ColumnType.TEXT, lambda listed: listed["Key"]),
    "name": (ColumnType.TEXT, lambda listed: listed["Key"].rpartition("/")[2]),
    "size": (ColumnType.INTEGER, lambda listed: listed["Size"]),
    "content_type": (ColumnType.TEXT, lambda listed: guess_media_type(listed["Key"].rpartition("/")[2])),
    "modified": (ColumnType.TIME, lambda listed: listed["LastModified"].astimezone(UTC)),
    "version": (ColumnType.TEXT, lambda listed: listed["ETag"].strip('"')),
}
"""The columns every object has; a pattern's column of the same name gives way."""

ListedObjects: TypeAlias = Iterable[Mapping[str, Any]]

S3Result = TypeVar("S3Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Options:
    """`timeout`: seconds of one call's connect, and of each wait for its bytes. `connections`: calls at once.

    `read_bytes`: the most that is read of one object for its rows. `writable`: objects may be put, copied and deleted,
    below the folders of `writable_below` alone where there are any.
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
    """Asks the bucket nothing yet. ValueError: the pattern is none."""
    return S3Connector(options, compile_pattern(options.pattern))


class S3Connector:
    """The collection `files`: one row for each object of the bucket."""

    def __init__(self, options: S3Options, pattern: PathPattern) -> None:
        self.options = options
        self.pattern = pattern
        self.file_capabilities = build_s3_capabilities(pattern)
        self.thread_pool = build_thread_pool(options.connections, "s3")
        self.client = build_s3_client(
            access_key=options.access_key,
            secret_key=options.secret_key,
            endpoint=options.endpoint,
            region=options.region,
            timeout=options.timeout,
            connections=options.connections,
        )
        self.write_policy = FileWritePolicy(
            writable=options.writable, allowed_prefixes=check_writable_prefixes(options.writable_below)
        )
        self.file_writer = S3FileWriter(self.client, options.bucket, self.run_in_pool, self.build_values)

    def capabilities(self, collection: str) -> Capabilities:
        return {"files": self.file_capabilities, **CONTENT_CAPABILITIES}[collection]

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        """Pages as they come; for keys, a batch for each key."""
        if request.collection in CONTENT_CAPABILITIES:
            async for rows in scan_contents(self, request, self.options.read_bytes):
                yield rows
            return
        if request.keys is None:
            async for page in self.list_pages(""):
                yield [self.build_row(listed, request.columns) for listed in page]
            return
        look_up = partial(self.look_up, request, request.keys.columns)
        for rows in await fan_out(look_up, request.keys.values, self.options.connections):
            yield rows

    async def look_up(self, request: ScanRequest, columns: tuple[str, ...], key: Row) -> list[Row]:
        """The rows of one key: of those that share its prefix, the ones that have its values."""
        prefix = key[0] if columns == ("id",) else self.pattern.build_prefix(dict(zip(columns, key, strict=True)))
        if not is_key_prefix(prefix):
            return []
        pages = self.list_first_page(prefix) if columns == ("id",) else self.list_pages(prefix)
        return [
            self.build_row(listed, request.columns)
            async for page in pages
            for listed in page
            if self.build_row(listed, columns) == key
        ]

    async def list_first_page(self, prefix: str) -> AsyncIterator[ListedObjects]:
        """Of all keys that start with a key, it itself comes first."""
        yield (await self.list_objects(Prefix=prefix, MaxKeys=1)).get("Contents", ())

    async def list_pages(self, prefix: str) -> AsyncIterator[ListedObjects]:
        more: Mapping[str, str] = {}
        while True:
            answer = await self.list_objects(Prefix=prefix, **more)
            yield answer.get("Contents", ())
            if not answer.get("IsTruncated"):
                return
            more = {"ContinuationToken": answer["NextContinuationToken"]}

    async def list_objects(self, **arguments: Any) -> Mapping[str, Any]:
        listing = partial(self.client.list_objects_v2, Bucket=self.options.bucket, **arguments)
        return await self.run_in_pool(lambda: check_listing(listing()))

    async def run_in_pool(self, call: Callable[[], S3Result]) -> S3Result:
        """Raises SourceFailed, and nothing else."""
        try:
            return await run_in_thread(self.thread_pool, call)
        except (ChangeRejected, WriteConflict):
            raise
        except Exception as error:
            raise map_s3_error(error, self.options.timeout) from error

    def write_capabilities(self, collection: str) -> WriteCapabilities | None:
        return FILE_WRITE_CAPABILITIES if collection == "files" and self.write_policy.writable else None

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

    async def stat(self, id: str) -> FileStat | None:
        if not is_object_key(id):
            return None
        return await self.run_in_pool(partial(stat_object, self.client, self.options.bucket, id))

    async def read_range(self, id: str, start: int, length: int) -> bytes:
        if not is_object_key(id):
            raise ConnectorError(MISSING_OBJECT_MESSAGE)
        span = (start, length)
        return await self.run_in_pool(partial(read_object_range, self.client, self.options.bucket, id, span))

    async def create_download_url(self, id: str, seconds: int) -> str | None:
        """Signed here, without a call."""
        if not is_object_key(id):
            return None
        return await self.run_in_pool(partial(sign_download_url, self.client, self.options.bucket, id, seconds))

    def build_row(self, listed_object: Mapping[str, Any], columns: Sequence[str]) -> Row:
        values = self.pattern.match(listed_object["Key"]) or {}
        return tuple(
            OBJECT_COLUMNS[name][1](listed_object) if name in OBJECT_COLUMNS else values.get(name) for name in columns
        )

    def parse_change(self, change: RowChange) -> FileChange:
        return parse_file_change(change, self.write_policy, self.pattern)

    def build_values(self, listed_object: Mapping[str, Any]) -> RowValues:
        return dict(
            zip(
                self.file_capabilities.columns,
                self.build_row(listed_object, tuple(self.file_capabilities.columns)),
                strict=True,
            )
        )

    async def ping(self) -> None:
        await self.list_objects(MaxKeys=1)

    async def close(self) -> None:
        shut_down_pool(self.thread_pool)
        self.client.close()


def build_s3_capabilities(pattern: PathPattern) -> Capabilities:
    """Keys alone: the pattern's columns from its first on, as far as a prefix follows from them, or whole keys."""
    own = {name: Column(type=kind) for name, (kind, _) in OBJECT_COLUMNS.items()}
    further = {name: Column(type=kind) for name, kind in pattern.columns.items()}
    return Capabilities(
        columns={**further, **own}, max_keys=MAX_KEYS, key_columns=frozenset({("id",), *list_leading_columns(pattern)})
    )


def list_leading_columns(pattern: PathPattern) -> Iterator[tuple[str, ...]]:
    names = tuple(takewhile(lambda name: name not in OBJECT_COLUMNS, pattern.columns))
    return (names[: count + 1] for count in range(len(names)))


def check_listing(response: Mapping[str, Any]) -> Mapping[str, Any]:
    """Botocore takes any XML for a listing, an empty one; S3 always says whether there is more."""
    if "IsTruncated" not in response:
        raise ValueError("no listing")
    return response


def is_object_key(id: str) -> bool:
    """Whether some object could have this key; with an empty one, the bucket itself would be asked for."""
    return id != "" and is_key_prefix(id)


def is_key_prefix(prefix: str) -> bool:
    """No object's key starts with any other text: S3 keys are UTF-8, of a limited length."""
    try:
        return len(prefix.encode()) <= KEY_MAX_BYTES
    except UnicodeEncodeError:
        return False


KIND = ConnectorKind(options=S3Options, connect=connect)
