"""Write the checkpoints of the audit log to S3 and to Slack, and open what seals a log by its settings."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

from onedoor.audit.checkpointer import Sealing
from onedoor.audit.checkpoints import CheckpointStore, FolderCheckpointStore, PublishingFailed, StatementConflict
from onedoor.audit.settings import CheckpointBucket, CheckpointChannel, CheckpointSettings, ShippingBucket
from onedoor.audit.statements import CommandSigner, Signer, load_key_signer, parse_public_key
from onedoor.errors import ConfigurationError

POSTED_STATEMENT = re.compile(r"```(\{.*?\})```", re.DOTALL)

SLACK_PAGE_SIZE = 200


def open_sealing(settings: CheckpointSettings | None) -> Sealing | None:
    """Open what seals an audit log; None: nothing is to. Raises ConfigurationError where the key is missing."""
    if settings is None:
        return None
    signer = open_signer(settings)
    if signer is None:
        raise ConfigurationError(
            "`records.checkpoints` needs a `private_key` or a `sign_command`: set it wherever something is recorded"
        )
    if not settings.seconds > 0:
        raise ConfigurationError("`records.checkpoints.seconds` must be more than 0")
    return Sealing(signer=signer, seconds=settings.seconds, stores=open_checkpoint_stores(settings))


def open_signer(settings: CheckpointSettings) -> Signer | None:
    """Return what signs; None: no key is set. Raises ConfigurationError."""
    if settings.private_key is not None and settings.sign_command:
        raise ConfigurationError("`records.checkpoints` takes a `private_key` or a `sign_command`: write one of them")
    if settings.private_key is not None:
        return load_key_signer(settings.private_key)
    if not settings.sign_command:
        return None
    if settings.public_key is None:
        raise ConfigurationError("`records.checkpoints.sign_command` needs the `public_key` of what it signs with")
    return CommandSigner(command=settings.sign_command, public_key=parse_public_key(settings.public_key))


def open_checkpoint_stores(settings: CheckpointSettings) -> list[CheckpointStore]:
    """Open the second places of the settings, without a call."""
    stores: list[CheckpointStore] = []
    if settings.folder is not None:
        stores.append(FolderCheckpointStore(settings.folder))
    if settings.s3 is not None:
        stores.append(S3CheckpointStore(settings.s3))
    if settings.slack is not None:
        stores.append(SlackCheckpointStore(settings.slack))
    return stores


def open_bucket_client(settings: CheckpointBucket | ShippingBucket) -> Any:
    """Open a client of boto3 for a bucket of the audit log, without a call."""
    from onedoor.connectors.files.s3 import S3Options, build_s3_client

    options = S3Options(
        bucket=settings.bucket,
        pattern="{name}",
        access_key=settings.access_key,
        secret_key=settings.secret_key,
        endpoint=settings.endpoint,
        region=settings.region,
        timeout=settings.timeout,
        connections=1,
    )
    return build_s3_client(options)


class S3CheckpointStore:
    """A bucket; an object there is never written twice, and cannot be deleted where the bucket locks objects."""

    def __init__(self, settings: CheckpointBucket) -> None:
        self.name = "the bucket of checkpoints"
        self.settings = settings
        self._client = open_bucket_client(settings)

    def publish(self, name: str, body: bytes) -> None:
        """Put an object, unless it is there already."""
        from botocore.exceptions import ClientError

        key, lock = self.settings.prefix + name, {}
        if self.settings.lock_days is not None:
            until = datetime.now(UTC) + timedelta(days=self.settings.lock_days)
            lock = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until}
        with self._map_errors():
            try:
                self._client.put_object(Bucket=self.settings.bucket, Key=key, Body=body, IfNoneMatch="*", **lock)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") != "PreconditionFailed":
                    raise
                if self._read(key) != body:
                    raise StatementConflict(f"another statement is there already as `{name}`") from None

    def load(self) -> Iterator[bytes]:
        """Yield every object below the prefix."""
        with self._map_errors():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.settings.bucket, Prefix=self.settings.prefix
            )
            for page in pages:
                for listed in page.get("Contents", ()):
                    yield self._read(listed["Key"])

    def _read(self, key: str) -> bytes:
        content: bytes = self._client.get_object(Bucket=self.settings.bucket, Key=key)["Body"].read()
        return content

    @contextmanager
    def _map_errors(self) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        from onedoor.connectors.files.s3 import map_s3_error

        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise PublishingFailed(map_s3_error(error, self.settings.timeout).reason) from error


class SlackCheckpointStore:
    """A channel, where each statement is a message that every member of the channel sees."""

    def __init__(self, settings: CheckpointChannel) -> None:
        from slack_sdk import WebClient

        self.name = "the channel of checkpoints"
        self.settings = settings
        self._client = WebClient(
            token=settings.token, base_url=settings.url, timeout=max(1, round(settings.timeout)), retry_handlers=[]
        )

    def publish(self, name: str, body: bytes) -> None:
        """Post a message. Where it is not known whether one was posted, there may be two."""
        text = f"`{name}`\n```{body.decode()}```"
        with self._map_errors():
            self._client.chat_postMessage(channel=self.settings.channel, text=text, unfurl_links=False)

    def load(self) -> Iterable[bytes]:
        """Yield the statements among the messages of the channel."""
        cursor = ""
        while True:
            with self._map_errors():
                page: Any = self._client.conversations_history(
                    channel=self.settings.channel, limit=SLACK_PAGE_SIZE, cursor=cursor
                ).data
            for message in page["messages"]:
                for posted in POSTED_STATEMENT.findall(message.get("text", "")):
                    yield unescape(posted).encode()
            cursor = (page.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                return

    @contextmanager
    def _map_errors(self) -> Iterator[None]:
        from slack_sdk.errors import SlackClientError

        from onedoor.connectors.slack.client import map_slack_error

        try:
            yield
        except (SlackClientError, OSError) as error:
            raise PublishingFailed(map_slack_error(error, self.settings.timeout).reason) from error
