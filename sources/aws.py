"""Credentials in, a client of S3 out, whose answers end; what it raised in, what a client may hear out."""

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectTimeoutError, HTTPClientError, ReadTimeoutError
from botocore.exceptions import ConnectionError as Unreachable
from urllib3.exceptions import HTTPError

from engine.errors import Code, SourceFailed
from sources.bounded import MOST, whole
from sources.clocks import CLOCK

REFUSED = "s3 refused the credentials"
GONE = "s3 has no such object"
REASONS = {
    "AccessDenied": REFUSED,
    "InvalidAccessKeyId": REFUSED,
    "SignatureDoesNotMatch": REFUSED,
    "ExpiredToken": REFUSED,
    "RequestTimeTooSkewed": f"s3 refused the call: {CLOCK}",
    "403": REFUSED,
    "NoSuchBucket": "s3 has no such bucket",
    "NoSuchKey": GONE,
}
BUSY = frozenset({"SlowDown", "429", "TooManyRequests", "RequestLimitExceeded"})


def client(
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
    made._endpoint.http_session = Ending(made._endpoint.http_session, timeout)
    return made


class Ending:
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
                answer._content = whole(answer.raw.stream(), most=MOST, seconds=self.timeout)
            except HTTPError as error:
                raise ReadTimeoutError(endpoint_url=request.url, error=error) from None
            finally:
                answer.raw.close()
        return answer

    def close(self) -> None:
        self.session.close()


ASKED = {"ListObjectsV2": "listing", "PutObject": "writing", "CopyObject": "copy", "DeleteObject": "deletion"}


def asked(error: ClientError) -> str:
    return ASKED.get(error.operation_name, "reading")


def failed(error: Exception, timeout: float) -> SourceFailed:
    """`timeout` in seconds. Botocore's own texts name addresses and keys, so none of them is passed on."""
    match error:
        case ConnectTimeoutError() | ReadTimeoutError():
            return SourceFailed(f"s3 did not answer within {timeout:g} s")
        case ClientError(response={"Error": {"Code": str(code)}}) if code in BUSY:
            return SourceFailed("s3 takes no more calls for now, ask again later", Code.SOURCE_OVERLOADED)
        case ClientError(response={"Error": {"Code": str(code)}}) if code.isalnum() and len(code) <= 60:
            return SourceFailed(REASONS.get(code, f"s3 refused the {asked(error)} with `{code}`"))
        case Unreachable() | HTTPClientError():
            return SourceFailed("s3 could not be reached")
    return SourceFailed("s3 gave an answer that cannot be read", Code.SOURCE_INVALID)
