"""Credentials in, a client of S3 out, whose answers end."""

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ReadTimeoutError
from urllib3.exceptions import HTTPError

from sources.bounded import MOST, whole


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
