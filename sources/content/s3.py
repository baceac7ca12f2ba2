"""A client of S3, a bucket and a key in, one object out: as it stands, some of its octets, an address for it.

Each raises what botocore raises, or ValueError for an answer that cannot be; `sources/s3.py` says it in our words.
"""

from contextlib import closing
from datetime import UTC
from typing import Any

from botocore.exceptions import ClientError

from sources.content.media import media_type
from sources.content.words import Stat

URL_SECONDS = 300
"""How long the address of an object opens it, at the most."""
NOT_THERE = frozenset({"404", "NoSuchKey"})
PAST_THE_END = "InvalidRange"


def stat(client: Any, bucket: str, key: str) -> Stat | None:
    try:
        found = client.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if _code(error) in NOT_THERE:
            return None
        raise
    name = key.rpartition("/")[2]
    return Stat(
        id=key,
        name=name,
        size=found["ContentLength"],
        content_type=media_type(name),
        modified=found["LastModified"].astimezone(UTC),
        version=found["ETag"].strip('"'),
    )


def octets(client: Any, bucket: str, key: str, span: tuple[int, int]) -> bytes:
    """`span`: start and length. Never reads on, whatever comes; what comes from another place is not believed."""
    start, length = span
    if length <= 0:
        return b""
    try:
        found = client.get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{start + length - 1}")
    except ClientError as error:
        if _code(error) == PAST_THE_END:
            return b""
        raise
    with closing(found["Body"]) as body:
        if not found.get("ContentRange", "bytes 0-").startswith(f"bytes {start}-"):
            raise ValueError("another range")
        read: bytes = body.read(length)
        return read


def download_url(client: Any, bucket: str, key: str, seconds: int) -> str:
    """Opens this key alone, to whoever holds it, for at most `URL_SECONDS`."""
    params, span = {"Bucket": bucket, "Key": key}, max(1, min(seconds, URL_SECONDS))
    url: str = client.generate_presigned_url("get_object", Params=params, ExpiresIn=span)
    return url


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
