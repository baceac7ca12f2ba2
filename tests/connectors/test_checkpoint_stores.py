"""Checkpoints are written to a bucket that locks objects and to a channel, and read back as they were."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from demo.servers.run import RunningServers, address
from demo.servers.slack.app import app, parse_rates
from demo.servers.slack.workspace import build_workspace
from onedoor.audit.checkpoints import CheckpointStore, PublishingFailed
from onedoor.audit.settings import CheckpointBucket, CheckpointChannel, CheckpointSettings
from onedoor.audit.statements import StatementKind, sign_statement
from onedoor.connectors.checkpoint_stores import S3CheckpointStore, SlackCheckpointStore, open_sealing, open_signer
from onedoor.errors import ConfigurationError
from tests.audit.sealed_logs import PRIVATE_KEY, SIGNER
from tests.servers.rest import serve_app

TOKEN = "xoxb-a-token"

BODY = sign_statement(SIGNER, StatementKind.CHECKPOINT, {"file": "a&b", "time": "2026-11-01"}).to_body()


@pytest.fixture
def bucket(acme_servers: RunningServers) -> Iterator[CheckpointBucket]:
    """A new bucket that locks what is put there."""
    settings = CheckpointBucket(
        bucket=f"checkpoints-{uuid4()}", access_key="any", secret_key=acme_servers.environment["S3_SECRET_KEY"],
        endpoint="http://{}:{}".format(*address(acme_servers, "s3")), prefix="onedoor/", lock_days=30,
    )  # fmt: skip
    client = open_client(settings)
    client.create_bucket(Bucket=settings.bucket, ObjectLockEnabledForBucket=True)
    yield settings
    client.close()


def open_client(settings: CheckpointBucket) -> Any:
    return boto3.client(
        "s3", endpoint_url=settings.endpoint, region_name=settings.region, aws_access_key_id=settings.access_key,
        aws_secret_access_key=settings.secret_key,
        config=Config(retries={"total_max_attempts": 1}, signature_version="s3v4"),
    )  # fmt: skip


def test_a_bucket_takes_a_statement_once_and_locks_it(bucket: CheckpointBucket) -> None:
    store: CheckpointStore = S3CheckpointStore(bucket)
    store.publish("a.json", BODY)
    store.publish("a.json", BODY)
    with pytest.raises(PublishingFailed, match=r"^another statement is there already as `a.json`$"):
        store.publish("a.json", b"{}")
    assert list(store.load()) == [BODY]
    client = open_client(bucket)
    (version,) = client.list_object_versions(Bucket=bucket.bucket)["Versions"]
    with pytest.raises(ClientError, match="AccessDenied"):
        client.delete_object(Bucket=bucket.bucket, Key=version["Key"], VersionId=version["VersionId"])
    client.close()


def test_a_bucket_that_is_not_there_is_one_clear_sentence(bucket: CheckpointBucket) -> None:
    store = S3CheckpointStore(replace(bucket, bucket="nowhere"))
    with pytest.raises(PublishingFailed, match=r"^s3 has no such bucket$"):
        store.publish("a.json", BODY)


@pytest.fixture
async def channel() -> AsyncIterator[CheckpointChannel]:
    workspace = build_workspace(0.01)
    id = next(item.id for item in workspace.channels.values() if item.name == "deployments")
    async with serve_app(app(TOKEN, workspace, parse_rates([]))) as url:
        yield CheckpointChannel(token=TOKEN, channel=id, url=f"{url}/api/")


async def test_a_channel_shows_statements_among_its_messages(channel: CheckpointChannel) -> None:
    store = SlackCheckpointStore(channel)
    await asyncio.to_thread(store.publish, "a.json", BODY)
    assert await asyncio.to_thread(list, store.load()) == [BODY]


async def test_a_channel_that_is_not_there_is_one_clear_sentence(channel: CheckpointChannel) -> None:
    store = SlackCheckpointStore(replace(channel, channel="C0"))
    with pytest.raises(PublishingFailed, match=r"^slack refused the call with `channel_not_found`$"):
        await asyncio.to_thread(store.publish, "a.json", BODY)


def test_settings_open_what_they_name(tmp_path: Path, bucket: CheckpointBucket) -> None:
    channel = CheckpointChannel(token="t", channel="C1")
    settings = CheckpointSettings(private_key=PRIVATE_KEY, folder=tmp_path, s3=bucket, slack=channel)
    sealing = open_sealing(settings)
    assert sealing is not None
    assert [store.name for store in sealing.stores] == [
        "the folder of checkpoints", "the bucket of checkpoints", "the channel of checkpoints",
    ]  # fmt: skip
    assert open_sealing(None) is None
    with pytest.raises(ConfigurationError, match=r"^`records.checkpoints` needs a `private_key` or a `sign_command`"):
        open_sealing(CheckpointSettings(folder=tmp_path))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (CheckpointSettings(private_key="short"), "this is no private key"),
        (CheckpointSettings(private_key=PRIVATE_KEY, sign_command=("sign",)), "write one of them"),
        (CheckpointSettings(sign_command=("sign",)), "needs the `public_key`"),
    ],
)
def test_settings_that_name_no_key_are_one_clear_sentence(settings: CheckpointSettings, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        open_signer(settings)
