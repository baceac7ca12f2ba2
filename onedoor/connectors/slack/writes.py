"""Post, edit, delete."""

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
    NEW_MESSAGE_OPTIONS,
    REPLIES,
    TIMESTAMP_PATTERN,
    SlackCollection,
    build_message_body,
    check_message_text,
    find_channel_by_id,
    is_public_channel,
)
from onedoor.errors import ErrorCode
from onedoor.spi.connector import ChangeKind, ChangeRejected, ChangeResult, RowChange, RowValues, WriteCapabilities

MARKER_EVENT_TYPE = "onedoor_change"
"""What a message of ours is marked as. Slack shows marks to apps alone."""

MAX_EARLIER_CHANGES = 50
"""Changes of one message that it tells of besides the last."""

CLOCK_TOLERANCE = timedelta(minutes=10)
"""How far the door's clock and Slack's may be apart."""

TIME_ORDERED_UUID_VERSION = 7
"""The version of a UUID that begins with its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLocation:
    """Where a change is to be looked for: a channel, or a thread of it, and of one message its ts."""

    channel: str
    thread_ts: str | None
    ts: str | None = None

    @property
    def is_valid(self) -> bool:
        stamps = [each for each in (self.thread_ts, self.ts) if each is not None]
        return bool(ID_PATTERN.fullmatch(self.channel)) and all(map(TIMESTAMP_PATTERN.fullmatch, stamps))


def locate_message(change: RowChange) -> MessageLocation:
    """Its key, and of a new message what it is given as well."""
    given = {**change.values, **change.key}
    named = {name: None if given.get(name) is None else str(given[name]) for name in ("channel_id", "thread_ts", "ts")}
    return MessageLocation(channel=named["channel_id"] or "", thread_ts=named["thread_ts"], ts=named["ts"])


def list_messages(client: SlackClient, location: MessageLocation, **span: str) -> AsyncIterator[list[SlackItem]]:
    """Pages of them, marks included; nothing, where there is no such channel or thread."""
    given = {"channel": location.channel, "include_all_metadata": "true", "inclusive": "true", **span}
    if location.thread_ts is None:
        return client.list_pages("conversations.history", "messages", "channel_not_found", **given)
    return client.list_pages(
        "conversations.replies", "messages", "channel_not_found", "thread_not_found", ts=location.thread_ts, **given
    )


async def find_message(client: SlackClient, location: MessageLocation) -> SlackItem | None:
    """The message at its ts, None where there is none; raises SourceFailed."""
    if location.ts is None or not location.is_valid:
        return None
    async for page in list_messages(client, location, oldest=location.ts, latest=location.ts):
        for message in page:
            if message["ts"] == location.ts and is_at_location(message, location):
                return {**message, "channel": location.channel}
    return None


def is_at_location(message: SlackItem, location: MessageLocation) -> bool:
    """In the channel itself, or in this thread and not at its head; and still there."""
    head = message.get("thread_ts", message["ts"])
    belongs = head == message["ts"] if location.thread_ts is None else head == location.thread_ts != message["ts"]
    return belongs and message.get("subtype") != "tombstone"


async def find_edited_message(client: SlackClient, change: RowChange, identity: SlackItem) -> SlackItem | None:
    """The message that a change is of, if it left its mark."""
    found = await find_message(client, locate_message(change))
    return (
        found if found is not None and is_own_message(found, identity) and change.id in list_change_ids(found) else None
    )


async def find_posted_message(client: SlackClient, change: RowChange, identity: SlackItem) -> SlackItem | None:
    """The message that a change made, by the mark it left."""
    at = locate_message(change)
    if not at.is_valid:
        return None
    async for page in list_messages(client, at, oldest=compute_oldest_timestamp(change.id)):
        for message in page:
            if (
                is_at_location(message, at)
                and is_own_message(message, identity)
                and change.id in list_change_ids(message)
            ):
                return {**message, "channel": at.channel}
    return None


def is_own_message(message: SlackItem, identity: SlackItem) -> bool:
    """Whether the token's own user, or its bot, said it; `me` is what `auth.test` says."""
    return message.get("user") == identity.get("user_id") or message.get("bot_id", "") == identity.get("bot_id")


def build_change_marker(change: RowChange, before: SlackItem | None = None) -> Mapping[str, Any]:
    """What a message says of its changes, the last one first."""
    earlier = [] if before is None else list_change_ids(before)[:MAX_EARLIER_CHANGES]
    return {"event_type": MARKER_EVENT_TYPE, "event_payload": {"id": change.id, "earlier": " ".join(earlier)}}


def list_change_ids(message: SlackItem) -> list[str]:
    """The ids of the changes that a message tells of."""
    said = message.get("metadata") or {}
    if said.get("event_type") != MARKER_EVENT_TYPE:
        return []
    payload = said.get("event_payload") or {}
    return [str(payload.get("id", "")), *str(payload.get("earlier", "")).split()]


def compute_oldest_timestamp(change_id: str) -> str:
    """From when on a change can have been made, where its id tells; an empty text: from the beginning."""
    try:
        made = UUID(change_id)
    except ValueError:
        return ""
    if made.version != TIME_ORDERED_UUID_VERSION:
        return ""
    try:
        at = datetime.fromtimestamp((made.int >> 80) / 1000, UTC) - CLOCK_TOLERANCE
    except (OverflowError, ValueError):
        return ""
    return f"{max(0.0, at.timestamp()):.6f}"


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
    """Raises Unmade or SourceFailed."""
    return await MESSAGE_WRITERS[change.kind](client, change, dry_run)


async def create_message(client: SlackClient, change: RowChange, dry_run: bool) -> ChangeResult:
    """Of a dry run the ts is that of now: Slack gives none to what is not said."""
    at, text = locate_message(change), check_message_text(change.values.get("plain"))
    with reject_on_error(client.timeout):
        await check_destination(client, at)
        if dry_run:
            me = await client.call("auth.test")
            said = {"user": me["user_id"], "ts": f"{time.time():.6f}", "text": build_message_body(text)["text"]}
            return ChangeResult(before=None, after=build_message_values(change, {**said, "thread_ts": at.thread_ts}))
    under = {} if at.thread_ts is None else {"thread_ts": at.thread_ts}
    told = {
        "channel": at.channel,
        **under,
        **build_message_body(text),
        **NEW_MESSAGE_OPTIONS,
        "metadata": build_change_marker(change),
    }
    answer = await client.post("chat.postMessage", told)
    return ChangeResult(before=None, after=build_message_values(change, {**answer["message"], "ts": answer["ts"]}))


async def update_message(client: SlackClient, change: RowChange, dry_run: bool) -> ChangeResult:
    text = build_message_body(check_message_text(change.values.get("plain")))
    with reject_on_error(client.timeout):
        before = await load_own_message(client, change, "cant_update_message")
    after = {**before, "text": text["text"]}
    if not dry_run:
        at = {"channel": before["channel"], "ts": before["ts"]}
        answer = await client.post("chat.update", {**at, **text, "metadata": build_change_marker(change, before)})
        after["text"] = answer.get("text", after["text"])
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
    """What was there before is not told any more. Of what was to be deleted, and is not there, nobody knows who did."""
    if change.kind is ChangeKind.DELETE:
        return (
            ChangeResult(before=None, after=None)
            if await find_message(client, locate_message(change)) is None
            else None
        )
    me = await client.call("auth.test")
    found = await (find_posted_message if change.kind is ChangeKind.CREATE else find_edited_message)(client, change, me)
    return None if found is None else ChangeResult(before=None, after=build_message_values(change, found))


async def check_destination(client: SlackClient, location: MessageLocation) -> None:
    """Raises Unmade where nothing can be said: the channel is public and open, the thread's head is there."""
    answer = await find_channel_by_id(client, location.channel) if ID_PATTERN.fullmatch(location.channel) else None
    if answer is None or not is_public_channel(answer["channel"]):
        raise ChangeRejected(*REJECTIONS["channel_not_found"])
    if answer["channel"].get("is_archived"):
        raise ChangeRejected(*REJECTIONS["is_archived"])
    if (
        location.thread_ts is not None
        and await find_message(client, MessageLocation(channel=location.channel, thread_ts=None, ts=location.thread_ts))
        is None
    ):
        raise ChangeRejected(*REJECTIONS["thread_not_found"])


async def load_own_message(client: SlackClient, change: RowChange, rejection_name: str) -> SlackItem:
    """The message, if it is the token's own, at the version that is meant, and its channel open. Raises Unmade."""
    found = await find_message(client, locate_message(change))
    if found is None:
        raise ChangeRejected(*REJECTIONS["message_not_found"])
    await check_destination(client, MessageLocation(channel=found["channel"], thread_ts=None))
    if not is_own_message(found, await client.call("auth.test")):
        raise ChangeRejected(*REJECTIONS[rejection_name])
    if change.version is not None and build_message_values(change, found)["version"] != change.version:
        raise ChangeRejected("the message was changed meanwhile: read it again", ErrorCode.VERSION_CONFLICT)
    return found


def build_message_values(change: RowChange, message: SlackItem) -> RowValues:
    """As it is read."""
    whole = {**message, "channel": locate_message(change).channel}
    return {name: read(whole) for name, (_, read) in WRITABLE_COLLECTIONS[change.collection].columns.items()}
