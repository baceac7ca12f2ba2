"""Define the collections of a Slack workspace: users, channels, messages and replies."""

import re
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

from onedoor.connectors.path_patterns import PathPattern
from onedoor.connectors.slack.client import SlackClient, SlackItem
from onedoor.connectors.slack.message_text import compute_message_version, unescape_text
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.concurrency import fan_out
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.predicates import Value
from onedoor.spi.scan import KeyFilter

ItemReader: TypeAlias = Callable[[SlackItem], Value]

ItemFetcher: TypeAlias = Callable[[SlackClient, KeyFilter | None], AsyncIterator[list[SlackItem]]]

MAX_SINGLE_LOOKUPS = 5
"""Up to this many keys are looked up one by one; more are found in a listing."""

ID_PATTERN = re.compile(r"[A-Z0-9]{1,64}")

TIMESTAMP_PATTERN = re.compile(r"[0-9]{1,10}\.[0-9]{6}")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackCollection:
    """`fetch` yields each item once, and every item that the keys name; the connector drops others."""

    columns: Mapping[str, tuple[ColumnType, ItemReader]]
    max_keys: int
    key_columns: frozenset[tuple[str, ...]]
    fetch: ItemFetcher
    required_columns: tuple[str, ...] = ()


def build_slack_capabilities(collection: SlackCollection) -> Capabilities:
    """Promise keys alone; the engine does the rest."""
    return Capabilities(
        columns={name: Column(type=column_type) for name, (column_type, _) in collection.columns.items()},
        max_keys=collection.max_keys,
        key_columns=collection.key_columns,
        required_columns=collection.required_columns,
    )


def build_text_reader(*path: str) -> ItemReader:
    """Build the reader of a text in an item; None where it is missing or empty."""

    def read(item: SlackItem) -> str | None:
        value: Any = item
        for step in path:
            value = (value or {}).get(step)
        return value or None

    return read


def parse_timestamp(ts: str) -> datetime:
    """Parse `seconds.microseconds` exactly: a float would lose the last digit."""
    seconds, _, micro = ts.partition(".")
    return EPOCH + timedelta(seconds=int(seconds), microseconds=int(micro.ljust(6, "0")))


@dataclass(frozen=True, slots=True, kw_only=True)
class UserLookup:
    """How Slack finds one user by a column."""

    find: Callable[[SlackClient, str], Awaitable[SlackItem | None]]
    is_sendable: Callable[[str], object]
    is_complete: bool
    """Whether a user who is not found does not exist."""


async def fetch_users(client: SlackClient, keys: KeyFilter | None) -> AsyncIterator[list[SlackItem]]:
    users = None if keys is None or len(keys.values) > MAX_SINGLE_LOOKUPS else await look_up_users(client, keys)
    if users is not None:
        yield users
        return
    async for page in client.list_pages("users.list", "members"):
        yield page


async def look_up_users(client: SlackClient, keys: KeyFilter) -> list[SlackItem] | None:
    """Return the users that the keys name; None when only the list can tell whether one exists."""
    lookup = USER_LOOKUPS[keys.columns[0]]
    values = [value for (value,) in keys.values if lookup.is_sendable(value)]
    responses = await fan_out(partial(lookup.find, client), values, client.max_concurrency)
    users = [response["user"] for response in responses if response is not None]
    return users if lookup.is_complete or len(users) == len(responses) else None


async def find_user_by_id(client: SlackClient, id: str) -> SlackItem | None:
    return await client.call_or_none("users.info", "user_not_found", user=id)


async def find_user_by_email(client: SlackClient, email: str) -> SlackItem | None:
    """Find an active user: this method does not know the deactivated."""
    return await client.call_or_none("users.lookupByEmail", "users_not_found", email=email)


USER_LOOKUPS: Mapping[str, UserLookup] = {
    "id": UserLookup(find=find_user_by_id, is_sendable=ID_PATTERN.fullmatch, is_complete=True),
    "email": UserLookup(find=find_user_by_email, is_sendable=str.isprintable, is_complete=False),
}

USERS = SlackCollection(
    columns={
        "id": (ColumnType.TEXT, build_text_reader("id")),
        "name": (ColumnType.TEXT, build_text_reader("name")),
        "real_name": (
            ColumnType.TEXT,
            lambda user: build_text_reader("profile", "real_name")(user) or build_text_reader("real_name")(user),
        ),
        "email": (ColumnType.TEXT, build_text_reader("profile", "email")),
        "title": (ColumnType.TEXT, build_text_reader("profile", "title")),
        "is_bot": (ColumnType.BOOLEAN, lambda user: bool(user.get("is_bot"))),
        "deleted": (ColumnType.BOOLEAN, lambda user: bool(user.get("deleted"))),
        "tz": (ColumnType.TEXT, build_text_reader("tz")),
    },
    max_keys=1000,
    key_columns=frozenset({("id",), ("email",)}),
    fetch=fetch_users,
)

CHANNEL_COLUMNS: dict[str, tuple[ColumnType, ItemReader]] = {
    "id": (ColumnType.TEXT, build_text_reader("id")),
    "name": (ColumnType.TEXT, build_text_reader("name")),
    "topic": (ColumnType.TEXT, build_text_reader("topic", "value")),
    "purpose": (ColumnType.TEXT, build_text_reader("purpose", "value")),
    "created": (ColumnType.TIME, lambda channel: EPOCH + timedelta(seconds=channel["created"])),
    "archived": (ColumnType.BOOLEAN, lambda channel: bool(channel.get("is_archived"))),
    "members": (ColumnType.INTEGER, lambda channel: channel.get("num_members")),
}


def build_channels_collection(pattern: PathPattern | None) -> SlackCollection:
    """Add the columns of a pattern of channel names, save those that channels have anyway."""
    pattern_columns: dict[str, tuple[ColumnType, ItemReader]] = {}
    if pattern is not None:
        for name, column_type in pattern.columns.items():
            pattern_columns[name] = (column_type, build_pattern_reader(pattern, name))
    return SlackCollection(
        columns={**pattern_columns, **CHANNEL_COLUMNS},
        max_keys=1000,
        key_columns=frozenset({("id",)}),
        fetch=fetch_channels,
    )


def build_pattern_reader(pattern: PathPattern, column: str) -> ItemReader:
    def read(channel: SlackItem) -> Value:
        return (pattern.match(channel["name"]) or {}).get(column)

    return read


async def fetch_channels(client: SlackClient, keys: KeyFilter | None) -> AsyncIterator[list[SlackItem]]:
    if keys is None or len(keys.values) > MAX_SINGLE_LOOKUPS:
        async for page in list_channels(client):
            yield page
        return
    ids = [id for (id,) in keys.values if ID_PATTERN.fullmatch(id)]
    responses = await fan_out(partial(find_channel_by_id, client), ids, client.max_concurrency)
    channels = [response["channel"] for response in responses if response is not None]
    yield [channel for channel in channels if is_public_channel(channel)]


def list_channels(client: SlackClient) -> AsyncIterator[list[SlackItem]]:
    return client.list_pages("conversations.list", "channels", types="public_channel", exclude_archived="false")


async def find_channel_by_id(client: SlackClient, id: str) -> SlackItem | None:
    return await client.call_or_none("conversations.info", "channel_not_found", channel=id, include_num_members="true")


def is_public_channel(channel: SlackItem) -> bool:
    """Tell whether a channel is in the list; a look-up also shows the private ones that the token is in."""
    return not any(channel.get(name) for name in ("is_private", "is_im", "is_mpim"))


SEARCH_PAGE_SIZE = 100

SEARCH_MAX_PAGES = 100
"""The reach of Slack's search: beyond it a response would be cut without a word."""

MESSAGE_COLUMNS: dict[str, tuple[ColumnType, ItemReader]] = {
    "channel_id": (ColumnType.TEXT, build_text_reader("channel")),
    "ts": (ColumnType.TEXT, build_text_reader("ts")),
    "user_id": (ColumnType.TEXT, build_text_reader("user")),
    "text": (ColumnType.TEXT, lambda message: message.get("text")),
    "plain": (ColumnType.TEXT, lambda message: unescape_text(message.get("text") or "")),
    "version": (ColumnType.TEXT, lambda message: compute_message_version(message.get("text") or "")),
    "sent_at": (ColumnType.TIME, lambda message: parse_timestamp(message["ts"])),
}


async def fetch_messages(client: SlackClient, keys: KeyFilter | None) -> AsyncIterator[list[SlackItem]]:
    if keys is None:
        async for page in list_channels(client):
            for messages in await fan_out(
                partial(load_history, client), [channel["id"] for channel in page], client.max_concurrency
            ):
                yield messages
        return
    for messages in await KEY_LOADERS[keys.columns](client, keys):
        yield messages


async def load_history(client: SlackClient, channel: str, oldest: str = "", latest: str = "") -> list[SlackItem]:
    """Load the messages from `oldest` to `latest`, both included; none where there is no such channel."""
    pages = client.list_pages(
        "conversations.history",
        "messages",
        "channel_not_found",
        channel=channel,
        oldest=oldest,
        latest=latest,
        inclusive="true",
    )
    return [{**message, "channel": channel} async for page in pages for message in page if is_top_level(message)]


def is_top_level(message: SlackItem) -> bool:
    """Tell whether a message belongs to the channel itself.

    A history also has replies that were sent to the channel, and a tombstone for a deleted message with replies.
    """
    return bool(message.get("thread_ts", message["ts"]) == message["ts"]) and message.get("subtype") != "tombstone"


async def load_by_channel(client: SlackClient, keys: KeyFilter) -> list[list[SlackItem]]:
    ids = [channel for (channel,) in keys.values if ID_PATTERN.fullmatch(channel)]
    return await fan_out(partial(load_history, client), ids, client.max_concurrency)


async def load_by_timestamp(client: SlackClient, keys: KeyFilter) -> list[list[SlackItem]]:
    """Load a few messages of a channel one by one, more as the span between the first and the last."""
    timestamps: dict[str, list[str]] = defaultdict(list)
    for channel, ts in keys.values:
        if ID_PATTERN.fullmatch(channel) and TIMESTAMP_PATTERN.fullmatch(ts):
            timestamps[channel].append(ts)
    spans = chain.from_iterable(build_timestamp_spans(*entry) for entry in timestamps.items())
    return await fan_out(lambda span: load_history(client, *span), spans, client.max_concurrency)


def build_timestamp_spans(channel: str, timestamps: list[str]) -> list[tuple[str, str, str]]:
    """Return (channel, oldest, latest) of each history to load."""
    if len(timestamps) <= MAX_SINGLE_LOOKUPS:
        return [(channel, ts, ts) for ts in timestamps]
    return [(channel, min(timestamps, key=parse_timestamp), max(timestamps, key=parse_timestamp))]


async def load_by_user(client: SlackClient, keys: KeyFilter) -> list[list[SlackItem]]:
    ids = [user for (user,) in keys.values if ID_PATTERN.fullmatch(user)]
    return await fan_out(partial(search_user_messages, client), ids, client.max_concurrency)


async def search_user_messages(client: SlackClient, user: str) -> list[SlackItem]:
    """Search the messages of a user; what is written meanwhile moves the pages, so each is counted once."""
    messages: dict[tuple[str, str], SlackItem] = {}
    page, pages = 1, 1
    while page <= pages:
        results = await load_search_page(client, user, page)
        for match in results["matches"]:
            channel = match["channel"]["id"]
            messages[channel, match["ts"]] = {**match, "channel": channel}
        page, pages = page + 1, results["paging"]["pages"]
    return list(messages.values())


async def load_search_page(client: SlackClient, user: str, page: int) -> SlackItem:
    """Load one page of results, without replies and without the messages of private channels."""
    query = f"from:<@{user}>"
    response = await client.call("search.messages", query=query, sort="timestamp", count=SEARCH_PAGE_SIZE, page=page)
    messages: SlackItem = response["messages"]
    if messages["paging"]["pages"] > SEARCH_MAX_PAGES:
        raise ConnectorError(
            f"slack search reaches {SEARCH_PAGE_SIZE * SEARCH_MAX_PAGES} messages of a user, ask by channel",
            ErrorCode.CANNOT_ANSWER,
        )
    matches = [
        match for match in messages["matches"] if is_public_channel(match["channel"]) and not is_thread_reply(match)
    ]
    return {**messages, "matches": matches}


def is_thread_reply(match: SlackItem) -> bool:
    """Tell by the permalink, as nothing else in a match says it: that of a reply names another ts than its own."""
    return parse_qs(urlsplit(match["permalink"]).query).get("thread_ts", [match["ts"]]) != [match["ts"]]


KEY_LOADERS = {("channel_id",): load_by_channel, ("channel_id", "ts"): load_by_timestamp, ("user_id",): load_by_user}


async def fetch_replies(client: SlackClient, keys: KeyFilter | None) -> AsyncIterator[list[SlackItem]]:
    assert keys is not None  # INVARIANT: the planner gives the required columns
    sendable = [
        key for key in keys.values if ID_PATTERN.fullmatch(key[0]) and all(map(TIMESTAMP_PATTERN.fullmatch, key[1:]))
    ]
    for messages in await fan_out(lambda key: load_replies(client, *key), sendable, client.max_concurrency):
        yield messages


async def load_replies(client: SlackClient, channel: str, ts: str, timestamp: str = "") -> list[SlackItem]:
    """Load the replies of a thread, or those of one timestamp; none where there is no such channel or thread.

    For the ts of a reply Slack shows its thread, which is another one: its messages are left out.
    """
    span = {"oldest": timestamp, "latest": timestamp, "inclusive": "true"} if timestamp else {}
    pages = client.list_pages(
        "conversations.replies", "messages", "thread_not_found", "channel_not_found", channel=channel, ts=ts, **span
    )
    return [
        {**message, "channel": channel}
        async for page in pages
        for message in page
        if message["ts"] != ts and message.get("thread_ts") == ts
    ]


MESSAGES = SlackCollection(
    columns=MESSAGE_COLUMNS, max_keys=50, key_columns=frozenset(KEY_LOADERS), fetch=fetch_messages
)

REPLIES = SlackCollection(
    columns={**MESSAGE_COLUMNS, "thread_ts": (ColumnType.TEXT, build_text_reader("thread_ts"))},
    max_keys=50,
    key_columns=frozenset({("channel_id", "thread_ts"), ("channel_id", "thread_ts", "ts")}),
    required_columns=("channel_id", "thread_ts"),
    fetch=fetch_replies,
)

EARLIEST_TIMESTAMP = "0"


async def list_newer_messages(
    client: SlackClient, channel: str, mark: str | None
) -> tuple[str, Sequence[tuple[str, ...]]]:
    """Return the timestamp of the last message, and the keys of those past `mark`, oldest first.

    Without a mark there are no keys.
    """
    if not ID_PATTERN.fullmatch(channel):
        return EARLIEST_TIMESTAMP, ()
    if mark is None:
        page = await client.call_or_none("conversations.history", "channel_not_found", channel=channel, limit=1)
        return max((message["ts"] for message in (page or {}).get("messages", ())), default=EARLIEST_TIMESTAMP), ()
    timestamps = sorted(message["ts"] for message in await load_history(client, channel, oldest=mark))
    newer = [ts for ts in timestamps if ts > mark]
    return max([mark, *newer]), [(channel, ts) for ts in newer]
