"""Users, channels, messages."""

import re
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from itertools import chain
from typing import Any, TypeAlias
from urllib.parse import parse_qs, urlsplit

from onedoor.connectors.path_patterns import PathPattern
from onedoor.connectors.slack.client import SlackClient, SlackItem
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.concurrency import fan_out
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.connector import ChangeRejected
from onedoor.spi.predicates import Value
from onedoor.spi.scan import KeyFilter

ItemReader: TypeAlias = Callable[[SlackItem], Value]

ItemFetcher: TypeAlias = Callable[[SlackClient, KeyFilter | None], AsyncIterator[list[SlackItem]]]

MAX_SINGLE_LOOKUPS = 5
"""Up to so many keys are asked for one by one; more are found in a listing."""

ID_PATTERN = re.compile(r"[A-Z0-9]{1,64}")

TIMESTAMP_PATTERN = re.compile(r"[0-9]{1,10}\.[0-9]{6}")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackCollection:
    """`fetch` gives each item once, and every item the keys name; it may give others, which the source drops."""

    columns: Mapping[str, tuple[ColumnType, ItemReader]]
    max_keys: int
    key_columns: frozenset[tuple[str, ...]]
    fetch: ItemFetcher
    required_columns: tuple[str, ...] = ()


def build_slack_capabilities(collection: SlackCollection) -> Capabilities:
    """Keys alone; the engine does the rest."""
    return Capabilities(
        columns={name: Column(type=kind) for name, (kind, _) in collection.columns.items()},
        max_keys=collection.max_keys,
        key_columns=collection.key_columns,
        required_columns=collection.required_columns,
    )


def build_text_reader(*path: str) -> ItemReader:
    """The text at `path` of an item; None where it is missing or empty."""

    def read(item: SlackItem) -> str | None:
        found: Any = item
        for step in path:
            found = (found or {}).get(step)
        return found or None

    return read


def parse_timestamp(ts: str) -> datetime:
    """Slack's `seconds.microseconds`, exactly: a float would lose the last digit."""
    seconds, _, micro = ts.partition(".")
    return EPOCH + timedelta(seconds=int(seconds), microseconds=int(micro.ljust(6, "0")))


UserLookup: TypeAlias = Callable[[SlackClient, str], Awaitable[SlackItem | None]]


async def fetch_users(client: SlackClient, keys: KeyFilter | None) -> AsyncIterator[list[SlackItem]]:
    found = None if keys is None or len(keys.values) > MAX_SINGLE_LOOKUPS else await look_up_users(client, keys)
    if found is not None:
        yield found
        return
    async for page in client.list_pages("users.list", "members"):
        yield page


async def look_up_users(client: SlackClient, keys: KeyFilter) -> list[SlackItem] | None:
    """The users named; None: only the list can tell, as a look-up by e-mail does not know the deactivated."""
    find, can_be, missed_for_good = USER_LOOKUPS[keys.columns[0]]
    answers = await fan_out(
        partial(find, client), [key for (key,) in keys.values if can_be(key)], client.max_concurrency
    )
    users = [answer["user"] for answer in answers if answer is not None]
    return users if missed_for_good or len(users) == len(answers) else None


async def find_user_by_id(client: SlackClient, id: str) -> SlackItem | None:
    return await client.call_or_none("users.info", "user_not_found", user=id)


async def find_user_by_email(client: SlackClient, email: str) -> SlackItem | None:
    return await client.call_or_none("users.lookupByEmail", "users_not_found", email=email)


USER_LOOKUPS: Mapping[str, tuple[UserLookup, Callable[[str], object], bool]] = {
    "id": (find_user_by_id, ID_PATTERN.fullmatch, True),
    "email": (find_user_by_email, str.isprintable, False),
}
"""How one user is looked up by a column, which of its values can be sent, and whether who is not found is not there."""

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
    """A pattern's column of the same name as one of ours gives way."""
    further = (
        {}
        if pattern is None
        else {name: (kind, build_pattern_reader(pattern, name)) for name, kind in pattern.columns.items()}
    )
    return SlackCollection(
        columns={**further, **CHANNEL_COLUMNS}, max_keys=1000, key_columns=frozenset({("id",)}), fetch=fetch_channels
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
    answers = await fan_out(partial(find_channel_by_id, client), ids, client.max_concurrency)
    yield [answer["channel"] for answer in answers if answer is not None and is_public_channel(answer["channel"])]


def list_channels(client: SlackClient) -> AsyncIterator[list[SlackItem]]:
    return client.list_pages("conversations.list", "channels", types="public_channel", exclude_archived="false")


async def find_channel_by_id(client: SlackClient, id: str) -> SlackItem | None:
    return await client.call_or_none("conversations.info", "channel_not_found", channel=id, include_num_members="true")


def is_public_channel(channel: SlackItem) -> bool:
    """One by one Slack also shows the private ones its token is in; the list has none of them, so neither do we."""
    return not any(channel.get(name) for name in ("is_private", "is_im", "is_mpim"))


MESSAGE_MAX_LENGTH = 4_000
"""Characters; what Slack advises for one message."""

ALLOWED_CONTROLS = "\n\t"

ESCAPES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"))


def check_message_text(text: Any) -> str:
    """Raises Unmade for what no message can say."""
    if not isinstance(text, str) or not text.strip():
        raise ChangeRejected("`plain` is empty: a message says something")
    if len(text) > MESSAGE_MAX_LENGTH:
        raise ChangeRejected(f"`plain` is over the limit of {MESSAGE_MAX_LENGTH} characters: send it in parts")
    if any(
        (each < " " and each not in ALLOWED_CONTROLS) or each == "\x7f" or "\ud800" <= each <= "\udfff" for each in text
    ):
        raise ChangeRejected("`plain` holds a character that is no text")
    return text


def build_message_body(text: str) -> Mapping[str, Any]:
    """A block in which nothing is looked for, and for notices a text in which there is nothing to be found."""
    part = {"type": "text", "text": text}
    section = {"type": "rich_text_section", "elements": [part]}
    return {
        "text": escape_text(text),
        "blocks": [{"type": "rich_text", "elements": [section]}],
        "parse": "none",
        "link_names": False,
    }


NEW_MESSAGE_OPTIONS: Mapping[str, Any] = {
    "mrkdwn": False,
    "unfurl_links": False,
    "unfurl_media": False,
    "reply_broadcast": False,
}
"""What a new message is told besides."""


def escape_text(text: str) -> str:
    for plain, mark in ESCAPES:
        text = text.replace(plain, mark)
    return text


def unescape_text(text: str) -> str:
    """What was typed, of a text in Slack's mark-up; its mentions and links stay as Slack writes them."""
    for plain, mark in reversed(ESCAPES):
        text = text.replace(mark, plain)
    return text


def compute_message_version(text: str) -> str:
    """Made of the text alone, as Slack's search does not tell when it was edited."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


SEARCH_PAGE_SIZE = 100

SEARCH_MAX_PAGES = 100
"""What Slack's search reaches: beyond it an answer would be cut without a word."""

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
    """The messages from `oldest` to `latest`, both included; of no channel: none."""
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
    """A history also has replies that were sent to the channel as well, which belong to their thread.

    Of a message that was deleted, and has replies, it has the place.
    """
    return bool(message.get("thread_ts", message["ts"]) == message["ts"]) and message.get("subtype") != "tombstone"


async def load_by_channel(client: SlackClient, keys: KeyFilter) -> list[list[SlackItem]]:
    ids = [channel for (channel,) in keys.values if ID_PATTERN.fullmatch(channel)]
    return await fan_out(partial(load_history, client), ids, client.max_concurrency)


async def load_by_timestamp(client: SlackClient, keys: KeyFilter) -> list[list[SlackItem]]:
    """A few messages of a channel are asked for one by one, more as the span between the first and the last."""
    wanted: dict[str, list[str]] = defaultdict(list)
    for channel, ts in keys.values:
        if ID_PATTERN.fullmatch(channel) and TIMESTAMP_PATTERN.fullmatch(ts):
            wanted[channel].append(ts)
    spans = chain.from_iterable(build_timestamp_spans(channel, stamps) for channel, stamps in wanted.items())
    return await fan_out(lambda span: load_history(client, *span), spans, client.max_concurrency)


def build_timestamp_spans(channel: str, stamps: list[str]) -> list[tuple[str, str, str]]:
    if len(stamps) <= MAX_SINGLE_LOOKUPS:
        return [(channel, ts, ts) for ts in stamps]
    return [(channel, min(stamps, key=parse_timestamp), max(stamps, key=parse_timestamp))]


async def load_by_user(client: SlackClient, keys: KeyFilter) -> list[list[SlackItem]]:
    ids = [user for (user,) in keys.values if ID_PATTERN.fullmatch(user)]
    return await fan_out(partial(search_user_messages, client), ids, client.max_concurrency)


async def search_user_messages(client: SlackClient, user: str) -> list[SlackItem]:
    """One user's messages. Each once: what is written meanwhile moves the pages."""
    found: dict[tuple[str, str], SlackItem] = {}
    page, pages = 1, 1
    while page <= pages:
        answer = await load_search_page(client, user, page)
        for match in answer["matches"]:
            found[match["channel"]["id"], match["ts"]] = {**match, "channel": match["channel"]["id"]}
        page, pages = page + 1, answer["paging"]["pages"]
    return list(found.values())


async def load_search_page(client: SlackClient, user: str, page: int) -> SlackItem:
    """One page, without replies and without what stands in private channels."""
    query = f"from:<@{user}>"
    answer = await client.call("search.messages", query=query, sort="timestamp", count=SEARCH_PAGE_SIZE, page=page)
    messages: SlackItem = answer["messages"]
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
    """Only the permalink of a match tells: a reply's names the thread, another ts than its own."""
    return parse_qs(urlsplit(match["permalink"]).query).get("thread_ts", [match["ts"]]) != [match["ts"]]


KEY_LOADERS = {("channel_id",): load_by_channel, ("channel_id", "ts"): load_by_timestamp, ("user_id",): load_by_user}


async def fetch_replies(client: SlackClient, keys: KeyFilter | None) -> AsyncIterator[list[SlackItem]]:
    assert keys is not None  # INVARIANT: `requires` is met by the planner
    named = [
        key for key in keys.values if ID_PATTERN.fullmatch(key[0]) and all(map(TIMESTAMP_PATTERN.fullmatch, key[1:]))
    ]
    for messages in await fan_out(lambda key: load_replies(client, *key), named, client.max_concurrency):
        yield messages


async def load_replies(client: SlackClient, channel: str, ts: str, timestamp: str = "") -> list[SlackItem]:
    """One thread, or what was said in it `at` one moment, without the message it answers; of no channel: none.

    Of a reply's own ts Slack shows its thread: that is another one.
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
    """The time stamp of the last message, and the keys of those past `mark`, oldest first; without a mark, of none."""
    if not ID_PATTERN.fullmatch(channel):
        return EARLIEST_TIMESTAMP, ()
    if mark is None:
        page = await client.call_or_none("conversations.history", "channel_not_found", channel=channel, limit=1)
        return max((each["ts"] for each in (page or {}).get("messages", ())), default=EARLIEST_TIMESTAMP), ()
    found = sorted(each["ts"] for each in await load_history(client, channel, oldest=mark))
    since = [ts for ts in found if ts > mark]
    return max([mark, *since]), [(channel, ts) for ts in since]
