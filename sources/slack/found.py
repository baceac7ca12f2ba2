"""A change in, what Slack holds of it out: its message, and whether this or another change left it so."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from engine.change.words import Change
from sources.slack.calls import Calls, Item
from sources.slack.collection import ID, TS

EVENT = "onedoor_change"
"""What a message of ours is marked as. Slack shows marks to apps alone."""
EARLIER = 50
"""Changes of one message that it tells of besides the last."""
CLOCKS = timedelta(minutes=10)
"""How far the door's clock and Slack's may be apart."""
TIMED = 7
"""The version of a UUID that begins with its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a change is to be looked for: a channel, or a thread of it, and of one message its ts."""

    channel: str
    thread: str | None
    ts: str | None = None

    @property
    def can_be(self) -> bool:
        stamps = [each for each in (self.thread, self.ts) if each is not None]
        return bool(ID.fullmatch(self.channel)) and all(map(TS.fullmatch, stamps))


def place(change: Change) -> Place:
    """Its key, and of a new message what it is given as well."""
    given = {**change.values, **change.key}
    named = {name: None if given.get(name) is None else str(given[name]) for name in ("channel_id", "thread_ts", "ts")}
    return Place(channel=named["channel_id"] or "", thread=named["thread_ts"], ts=named["ts"])


def messages(calls: Calls, at: Place, **within: str) -> AsyncIterator[list[Item]]:
    """Pages of them, marks included; nothing, where there is no such channel or thread."""
    given = {"channel": at.channel, "include_all_metadata": "true", "inclusive": "true", **within}
    if at.thread is None:
        return calls.pages("conversations.history", "messages", "channel_not_found", **given)
    return calls.pages(
        "conversations.replies", "messages", "channel_not_found", "thread_not_found", ts=at.thread, **given
    )


async def one(calls: Calls, at: Place) -> Item | None:
    """The message at its ts, None where there is none; raises SourceFailed."""
    if at.ts is None or not at.can_be:
        return None
    async for page in messages(calls, at, oldest=at.ts, latest=at.ts):
        for message in page:
            if message["ts"] == at.ts and stands(message, at):
                return {**message, "channel": at.channel}
    return None


def stands(message: Item, at: Place) -> bool:
    """In the channel itself, or in this thread and not at its head; and still there."""
    head = message.get("thread_ts", message["ts"])
    belongs = head == message["ts"] if at.thread is None else head == at.thread != message["ts"]
    return belongs and message.get("subtype") != "tombstone"


async def edited(calls: Calls, change: Change, me: Item) -> Item | None:
    """The message that a change is of, if it left its mark."""
    found = await one(calls, place(change))
    return found if found is not None and mine(found, me) and change.id in marks(found) else None


async def posted(calls: Calls, change: Change, me: Item) -> Item | None:
    """The message that a change made, by the mark it left."""
    at = place(change)
    if not at.can_be:
        return None
    async for page in messages(calls, at, oldest=since(change.id)):
        for message in page:
            if stands(message, at) and mine(message, me) and change.id in marks(message):
                return {**message, "channel": at.channel}
    return None


def mine(message: Item, me: Item) -> bool:
    """Whether the token's own user, or its bot, said it; `me` is what `auth.test` says."""
    return message.get("user") == me.get("user_id") or message.get("bot_id", "") == me.get("bot_id")


def mark(change: Change, before: Item | None = None) -> Mapping[str, Any]:
    """What a message says of its changes, the last one first."""
    earlier = [] if before is None else marks(before)[:EARLIER]
    return {"event_type": EVENT, "event_payload": {"id": change.id, "earlier": " ".join(earlier)}}


def marks(message: Item) -> list[str]:
    """The ids of the changes that a message tells of."""
    said = message.get("metadata") or {}
    if said.get("event_type") != EVENT:
        return []
    payload = said.get("event_payload") or {}
    return [str(payload.get("id", "")), *str(payload.get("earlier", "")).split()]


def since(id: str) -> str:
    """From when on a change can have been made, where its id tells; an empty text: from the beginning."""
    try:
        made = UUID(id)
    except ValueError:
        return ""
    if made.version != TIMED:
        return ""
    try:
        at = datetime.fromtimestamp((made.int >> 80) / 1000, UTC) - CLOCKS
    except (OverflowError, ValueError):
        return ""
    return f"{max(0.0, at.timestamp()):.6f}"
