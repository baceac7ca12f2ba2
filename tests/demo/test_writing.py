"""Write to the demo's stores with the vendors' own clients."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import boto3
import pytest
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobServiceClient
from azure.storage.fileshare import ShareServiceClient
from botocore.config import Config
from botocore.exceptions import ClientError

from demo.run import SECRETS
from demo.servers.azure.app import BLOB_ACCOUNT, FILES_ACCOUNT
from demo.servers.run import RunningServers, address
from demo.servers.s3 import BUCKET

OTHER = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
def s3(demo_servers: RunningServers) -> Iterator[Any]:
    client = boto3.client(
        "s3", endpoint_url="http://{}:{}".format(*address(demo_servers, "s3")), region_name="us-east-1",
        aws_access_key_id="any", aws_secret_access_key=demo_servers.environment["S3_SECRET_KEY"],
        config=Config(retries={"total_max_attempts": 1}, signature_version="s3v4"),
    )  # fmt: skip
    yield client
    for key in "abcd":
        client.delete_object(Bucket=BUCKET, Key=f"written/{key}")
    client.close()


def code(call: Any, **given: Any) -> str:
    """How S3 refused it."""
    with pytest.raises(ClientError) as refused:
        call(**given)
    return str(refused.value.response["Error"]["Code"])


def test_s3_copies_only_an_object_that_meets_the_condition(s3: Any) -> None:
    first = s3.put_object(Bucket=BUCKET, Key="written/a", Body=b"a")["ETag"]
    source = {"Bucket": BUCKET, "Key": "written/a"}
    s3.copy_object(Bucket=BUCKET, Key="written/b", CopySource=source, IfNoneMatch="*")
    copy = {"Bucket": BUCKET, "Key": "written/b", "CopySource": source}

    assert code(s3.copy_object, **copy, IfNoneMatch="*") == "PreconditionFailed"
    assert code(s3.copy_object, **copy, IfMatch='"0"') == "PreconditionFailed"
    assert code(s3.copy_object, **copy, CopySourceIfMatch='"0"') == "PreconditionFailed"
    assert code(s3.copy_object, **{**copy, "Key": "written/c"}, IfMatch=first) == "NoSuchKey"
    assert s3.copy_object(**copy, IfMatch=first, CopySourceIfMatch=first)["CopyObjectResult"]["ETag"] == first


def test_an_address_of_s3_is_verified(s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="written/d", Body=b"d")
    given = {"Bucket": BUCKET, "Key": "written/d"}
    good = s3.generate_presigned_url("get_object", Params=given)
    client = boto3.client("s3", endpoint_url=s3.meta.endpoint_url, region_name="us-east-1", aws_access_key_id="any",
                          aws_secret_access_key="another", config=Config(signature_version="s3v4"))  # fmt: skip
    with closing(client):
        forged = client.generate_presigned_url("get_object", Params=given)

    assert status(good) == 200
    assert [status(item) for item in (forged, good.replace("written/d", "written/a"), f"{good}&versionId=1")] == (
        [403] * 3
    )
    assert status(good, "DELETE") == 403


def status(url: str, method: str = "GET") -> int:
    try:
        with urlopen(Request(url, method=method)) as answer:
            number: int = answer.status
            return number
    except HTTPError as error:
        with error:
            return error.code


def get_refusal(call: Any, *given: Any, **more: Any) -> str:
    """How Azure refused it."""
    with pytest.raises(HttpResponseError) as error:
        call(*given, **more)
    return str(error.value.error_code.value if hasattr(error.value.error_code, "value") else error.value.error_code)  # type: ignore[attr-defined]


def test_a_blob_is_overwritten_only_under_its_condition(demo_servers: RunningServers) -> None:
    url = "http://{}:{}/".format(*address(demo_servers, "azure")) + BLOB_ACCOUNT
    key = {"account_name": BLOB_ACCOUNT, "account_key": SECRETS["AZURE_BLOB_KEY"]}
    with BlobServiceClient(url, credential=key, retry_total=0) as client:
        root = client.create_container("conditions")
        blob = root.get_blob_client("a")
        first = blob.upload_blob(b"a", metadata={"mine": "1"})["etag"]
        second = blob.upload_blob(b"b", overwrite=True, etag=first, match_condition=MatchConditions.IfNotModified)
        stale = {"etag": first, "match_condition": MatchConditions.IfNotModified}
        copy = root.get_blob_client("c d")
        copy.start_copy_from_url(blob.url, metadata={"mine": "2"})

        assert second["etag"] != first
        assert get_refusal(blob.upload_blob, b"c") == "BlobAlreadyExists"
        assert get_refusal(blob.upload_blob, b"c", overwrite=True, **stale) == "ConditionNotMet"
        assert get_refusal(blob.delete_blob, **stale) == "ConditionNotMet"
        assert (copy.download_blob().readall(), copy.get_blob_properties().metadata) == (b"b", {"mine": "2"})
        blob.delete_blob(etag=second["etag"], match_condition=MatchConditions.IfNotModified)
        assert not blob.exists()


def test_a_file_of_a_share_is_leased_renamed_and_copied(demo_servers: RunningServers) -> None:
    url = "http://{}:{}/".format(*address(demo_servers, "azure")) + FILES_ACCOUNT
    key = {"account_name": FILES_ACCOUNT, "account_key": SECRETS["AZURE_FILES_KEY"]}
    with ShareServiceClient(url, credential=key, retry_total=0) as client:
        root = client.create_share("conditions")
        file_client, two = root.get_file_client("a"), root.get_file_client("b")
        file_client.upload_file(b"one", metadata={"mine": "1"})
        two.upload_file(b"two")
        before = two.get_file_properties().etag
        lease = two.acquire_lease()

        assert two.get_file_properties().etag == before
        assert get_refusal(two.acquire_lease, lease_id=OTHER) == "LeaseAlreadyPresent"
        assert get_refusal(two.upload_file, b"three") == "LeaseIdMissing"
        assert get_refusal(two.delete_file) == "LeaseIdMissing"
        assert get_refusal(file_client.rename_file, "b") == "ResourceAlreadyExists"
        assert get_refusal(file_client.rename_file, "b", overwrite=True) == "LeaseIdMissing"
        renamed = file_client.rename_file("b", overwrite=True, destination_lease=lease)
        assert (renamed.download_file().readall(), renamed.get_file_properties().metadata) == (b"one", {"mine": "1"})
        assert not file_client.exists()
        root.get_file_client("c").start_copy_from_url(renamed.url)
        assert root.get_file_client("c").download_file().readall() == b"one"
        other = renamed.acquire_lease(lease_id=OTHER)
        assert get_refusal(renamed.delete_file) == "LeaseIdMissing"
        other.release()
        renamed.delete_file()
        assert not renamed.exists()
