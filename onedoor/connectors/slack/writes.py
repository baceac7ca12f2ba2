"""Post, edit and delete messages, and find again those changes that were made."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID

from onedoor.connectors.slack.client import REJECTIONS, SlackClient, SlackItem, reject_on_error
from onedoor.connectors.slack.collections import (
    ID_PATTERN,
    MESSAGES,
    REPLIES,
    TIMESTAMP_PATTERN,
    SlackCollection,
    find_channel_by_id,
    is_public_channel,
)
from onedoor.connectors.slack.message_text import NEW_MESSAGE_OPTIONS, build_message_body, check_message_text
from onedoor.errors import ErrorCode
from onedoor.spi.connector import ChangeKind, ChangeRejected, ChangeResult, RowChange, RowValues, WriteCapabilities

MARKER_EVENT_TYPE = "onedoor_change"
"""The metadata of a message that a change has made; Slack shows it to apps alone."""

MAX_EARLIER_CHANGES = 50
"""The changes that the metadata of a message lists besides the last."""

CLOCK_TOLERANCE = timedelta(minutes=10)
"""How far this machine's clock and Slack's may be apart."""

TIME_ORDERED_UUID_VERSION = 7
"""The version of a UUID that begins with its time (RFC 9562)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLocation:
    """The place of a change: a channel, or a thread in it, and the ts of a message that is there."""

    channel: str
    thread_ts: str | None
    ts: str | None = None

    @property
    def is_valid(self) -> bool:
        timestamps = [ts for ts in (self.thread_ts, self.ts) if ts is not None]
        return bool(ID_PATTERN.fullmatch(self.channel)) and all(map(TIMESTAMP_PATTERN.fullmatch, timestamps))


def locate_message(change: RowChange) -> MessageLocation:
    """Read the place from the key, and from the values of a new message."""
    values = {**change.values, **change.key}
    channel, thread_ts, ts = (
        None if values.get(name) is None else str(values[name]) for name in ("channel_id", "thread_ts", "ts")
    )
    return MessageLocation(channel=channel or "", thread_ts=thread_ts, ts=ts)


def list_messages(client: SlackClient, location: MessageLocation, **span: str) -> AsyncIterator[list[SlackItem]]:
    """List the messages of a place with their metadata; none where there is no such channel or thread."""
    parameters = {"channel": location.channel, "include_all_metadata": "true", "inclusive": "true", **span}
    if location.thread_ts is None:
        return client.list_pages("conversations.history", "messages", "channel_not_found", **parameters)
    absent_errors = ("channel_not_found", "thread_not_found")
    return client.list_pages("conversations.replies", "messages", *absent_errors, ts=location.thread_ts, **parameters)


async def find_message(client: SlackClient, location: MessageLocation) -> SlackItem | None:
    """Return the message, None where there is none. Raises ConnectorError."""
    if location.ts is None or not location.is_valid:
        return None
    async for page in list_messages(client, location, oldest=location.ts, latest=location.ts):
        for message in page:
            if message["ts"] == location.ts and is_at_location(message, location):
                return {**message, "channel": location.channel}
    return None


def is_at_location(message: SlackItem, location: MessageLocation) -> bool:
    """Tell whether a message is in the channel itself, or is a reply in the thread; a tombstone is neither."""
    head = message.get("thread_ts", message["ts"])
    belongs = head == message["ts"] if location.thread_ts is None else head == location.thread_ts != message["ts"]
    return belongs and message.get("subtype") != "tombstone"


async def find_edited_message(client: SlackClient, change: RowChange, identity: SlackItem) -> SlackItem | None:
    """Return the message that a change has edited, None where its metadata do not list the change."""
    message = await find_message(client, locate_message(change))
    return message if message is not None and is_made_by(message, change, identity) else None


async def find_posted_message(client: SlackClient, change: RowChange, identity: SlackItem) -> SlackItem | None:
    """Search the messages of a place for the one whose metadata list the change."""
    location = locate_message(change)
    if not location.is_valid:
        return None
    async for page in list_messages(client, location, oldest=compute_oldest_timestamp(change.id)):
        for message in page:
            if is_at_location(message, location) and is_made_by(message, change, identity):
                return {**message, "channel": location.channel}
    return None


def is_made_by(message: SlackItem, change: RowChange, identity: SlackItem) -> bool:
    return is_own_message(message, identity) and change.id in list_change_ids(message)


def is_own_message(message: SlackItem, identity: SlackItem) -> bool:
    """Tell whether the token's own user or bot wrote it; `identity` is the response of `auth.test`."""
    return message.get("user") == identity.get("user_id") or message.get("bot_id", "") == identity.get("bot_id")


def build_change_marker(change: RowChange, before: SlackItem | None = None) -> Mapping[str, Any]:
    """Build the metadata that list the changes of a message, the last one first."""
    earlier = [] if before is None else list_change_ids(before)[:MAX_EARLIER_CHANGES]
    return {"event_type": MARKER_EVENT_TYPE, "event_payload": {"id": change.id, "earlier": " ".join(earlier)}}


def list_change_ids(message: SlackItem) -> list[str]:
    metadata = message.get("metadata") or {}
    if metadata.get("event_type") != MARKER_EVENT_TYPE:
        return []
    payload = metadata.get("event_payload") or {}
    return [str(payload.get("id", "")), *str(payload.get("earlier", "")).split()]


def compute_oldest_timestamp(change_id: str) -> str:
    """Return the timestamp before which the change cannot have been made; empty when its id does not tell."""
    try:
        uuid = UUID(change_id)
    except ValueError:
        return ""
    if uuid.version != TIME_ORDERED_UUID_VERSION:
        return ""
    try:
        earliest = datetime.fromtimestamp((uuid.int >> 80) / 1000, UTC) - CLOCK_TOLERANCE
    except (OverflowError, ValueError):
        return ""
    return f"{max(0.0, earliest.timestamp()):.6f}"


TEXT_COLUMNS = frozenset({"plain"})

WRITABLE_COLLECTIONS: Mapping[str, SlackCollection] = {"messages": MESSAGES, "replies": REPLIES}

MESSAGE_WRITE_CAPABILITIES: Mapping[str, WriteCapabilities] = {
    "messages": WriteCapabilities(
        settable_columns={
            ChangeKind.CREATE: TEXT_COLUMNS | {"channel_id"},
            ChangeKind.UPDATE: TEXT_COLUMNS,
            ChangeKind.DELETE: frozenset(),
        },
        version_column="version",
    ),
    "replies": WriteCapabilities(
        settable_columns={
            ChangeKind.CREATE: TEXT_COLUMNS | {"channel_id", "thread_ts"},
            ChangeKind.UPDATE: TEXT_COLUMNS,
            ChangeKind.DELETE: frozenset(),
        },
        version_column="version",
    ),
}

MessageWriter: TypeAlias = Callable[[SlackClient, RowChange, bool], Awaitable[ChangeResult]]


async def write_message(client: SlackClient, change: RowChange, *, dry_run: bool) -> ChangeResult:
    """Make one change. Raises ChangeRejected when it was not made, ConnectorError when that is not known."""
    return await MESSAGE_WRITERS[change.kind](client, change, dry_run)


async def create_message(client: SlackClient, change: RowChange, dry_run: bool) -> ChangeResult:
    """Post a message. In a dry run its ts is that of now, as Slack gives none to what is not posted."""
    location, body = locate_message(change), build_message_body(check_message_text(change.values.get("plain")))
    with reject_on_error(client.timeout):
        await check_destination(client, location)
        if dry_run:
            identity = await client.call("auth.test")
            message = {
                "user": identity["user_id"],
                "ts": f"{time.time():.6f}",
                "text": body["text"],
                "thread_ts": location.thread_ts,
            }
            return ChangeResult(before=None, after=build_message_values(change, message))
    payload = {
        "channel": location.channel,
        **({} if location.thread_ts is None else {"thread_ts": location.thread_ts}),
        **body,
        **NEW_MESSAGE_OPTIONS,
        "metadata": build_change_marker(change),
    }
    response = await client.post("chat.postMessage", payload)
    message = {**response["message"], "ts": response["ts"]}
    return ChangeResult(before=None, after=build_message_values(change, message))


async def update_message(client: SlackClient, change: RowChange, dry_run: bool) -> ChangeResult:
    body = build_message_body(check_message_text(change.values.get("plain")))
    with reject_on_error(client.timeout):
        before = await load_own_message(client, change, "cant_update_message")
    after = {**before, "text": body["text"]}
    if not dry_run:
        payload = {
            "channel": before["channel"],
            "ts": before["ts"],
            **body,
            "metadata": build_change_marker(change, before),
        }
        response = await client.post("chat.update", payload)
        after["text"] = response.get("text", after["text"])
    return ChangeResult(before=build_message_values(change, before), after=build_message_values(change, after))


async def delete_message(client: SlackClient, change: RowChange, dry_run: bool) -> ChangeResult:
    with reject_on_error(client.timeout):
        before = await load_own_message(client, change, "cant_delete_message")
    if not dry_run:
        await client.post("chat.delete", {"channel": before["channel"], "ts": before["ts"]})
    return ChangeResult(before=build_message_values(change, before), after=None)


MESSAGE_WRITERS: Mapping[ChangeKind, MessageWriter] = {
    ChangeKind.CREATE: create_message,
    ChangeKind.UPDATE: update_message,
    ChangeKind.DELETE: delete_message,
}


async def find_message_change(client: SlackClient, change: RowChange) -> ChangeResult | None:
    """Find a change that may have been made; None when it was not.

    The text before it is not known any more. A deletion counts as made when the message is gone, whoever deleted it.
    """
    if change.kind is ChangeKind.DELETE:
        message = await find_message(client, locate_message(change))
        return ChangeResult(before=None, after=None) if message is None else None
    find = find_posted_message if change.kind is ChangeKind.CREATE else find_edited_message
    message = await find(client, change, await client.call("auth.test"))
    return None if message is None else ChangeResult(before=None, after=build_message_values(change, message))


async def check_destination(client: SlackClient, location: MessageLocation) -> None:
    """Check that the channel is public and open, and that the thread exists. Raises ChangeRejected."""
    response = await find_channel_by_id(client, location.channel) if ID_PATTERN.fullmatch(location.channel) else None
    if response is None or not is_public_channel(response["channel"]):
        raise ChangeRejected(*REJECTIONS["channel_not_found"])
    if response["channel"].get("is_archived"):
        raise ChangeRejected(*REJECTIONS["is_archived"])
    if location.thread_ts is None:
        return
    head = MessageLocation(channel=location.channel, thread_ts=None, ts=location.thread_ts)
    if await find_message(client, head) is None:
        raise ChangeRejected(*REJECTIONS["thread_not_found"])


async def load_own_message(client: SlackClient, change: RowChange, rejection_name: str) -> SlackItem:
    """Return the message. Raises ChangeRejected unless it is the token's own, at its version, in an open channel.

    `rejection_name` is Slack's error for a message that is not the token's own.
    """
    message = await find_message(client, locate_message(change))
    if message is None:
        raise ChangeRejected(*REJECTIONS["message_not_found"])
    await check_destination(client, MessageLocation(channel=message["channel"], thread_ts=None))
    if not is_own_message(message, await client.call("auth.test")):
        raise ChangeRejected(*REJECTIONS[rejection_name])
    if change.version is not None and build_message_values(change, message)["version"] != change.version:
        raise ChangeRejected("the message was changed meanwhile: read it again", ErrorCode.VERSION_CONFLICT)
    return message


def build_message_values(change: RowChange, message: SlackItem) -> RowValues:
    """Build the values that a scan would read."""
    item = {**message, "channel": locate_message(change).channel}
    return {name: read(item) for name, (_, read) in WRITABLE_COLLECTIONS[change.collection].columns.items()}
