"""The collections `messages`, what stands in a channel itself, and `replies`, what stands in a thread."""

from collections import defaultdict
from collections.abc import AsyncIterator
from functools import partial
from itertools import chain
from urllib.parse import parse_qs, urlsplit

from engine.errors import Code, SourceFailed
from engine.words import Keys, Kind
from sources.fan_out import fan_out
from sources.slack.calls import Calls, Item
from sources.slack.channels import listed, public
from sources.slack.collection import FEW, ID, TS, Collection, Read, instant, text
from sources.slack.typed import unescaped, version

SEARCH_PAGE = 100
SEARCH_PAGES = 100
"""What Slack's search reaches: beyond it an answer would be cut without a word."""

COLUMNS: dict[str, tuple[Kind, Read]] = {
    "channel_id": (Kind.TEXT, text("channel")),
    "ts": (Kind.TEXT, text("ts")),
    "user_id": (Kind.TEXT, text("user")),
    "text": (Kind.TEXT, lambda message: message.get("text")),
    "plain": (Kind.TEXT, lambda message: unescaped(message.get("text") or "")),
    "version": (Kind.TEXT, lambda message: version(message.get("text") or "")),
    "sent_at": (Kind.TIME, lambda message: instant(message["ts"])),
}


async def fetch(calls: Calls, keys: Keys | None) -> AsyncIterator[list[Item]]:
    if keys is None:
        async for page in listed(calls):
            for messages in await fan_out(partial(history, calls), [channel["id"] for channel in page], calls.at_once):
                yield messages
        return
    for messages in await KEYED[keys.columns](calls, keys):
        yield messages


async def history(calls: Calls, channel: str, oldest: str = "", latest: str = "") -> list[Item]:
    """The messages from `oldest` to `latest`, both included; of no channel: none."""
    pages = calls.pages(
        "conversations.history",
        "messages",
        "channel_not_found",
        channel=channel,
        oldest=oldest,
        latest=latest,
        inclusive="true",
    )
    return [{**message, "channel": channel} async for page in pages for message in page if stands_alone(message)]


def stands_alone(message: Item) -> bool:
    """A history also has replies that were sent to the channel as well, which belong to their thread.

    Of a message that was deleted, and has replies, it has the place.
    """
    return bool(message.get("thread_ts", message["ts"]) == message["ts"]) and message.get("subtype") != "tombstone"


async def by_channel(calls: Calls, keys: Keys) -> list[list[Item]]:
    ids = [channel for (channel,) in keys.values if ID.fullmatch(channel)]
    return await fan_out(partial(history, calls), ids, calls.at_once)


async def by_ts(calls: Calls, keys: Keys) -> list[list[Item]]:
    """A few messages of a channel are asked for one by one, more as the span between the first and the last."""
    wanted: dict[str, list[str]] = defaultdict(list)
    for channel, ts in keys.values:
        if ID.fullmatch(channel) and TS.fullmatch(ts):
            wanted[channel].append(ts)
    spans = chain.from_iterable(spans_of(channel, stamps) for channel, stamps in wanted.items())
    return await fan_out(lambda span: history(calls, *span), spans, calls.at_once)


def spans_of(channel: str, stamps: list[str]) -> list[tuple[str, str, str]]:
    if len(stamps) <= FEW:
        return [(channel, ts, ts) for ts in stamps]
    return [(channel, min(stamps, key=instant), max(stamps, key=instant))]


async def by_user(calls: Calls, keys: Keys) -> list[list[Item]]:
    ids = [user for (user,) in keys.values if ID.fullmatch(user)]
    return await fan_out(partial(searched, calls), ids, calls.at_once)


async def searched(calls: Calls, user: str) -> list[Item]:
    """One user's messages. Each once: what is written meanwhile moves the pages."""
    found: dict[tuple[str, str], Item] = {}
    page, pages = 1, 1
    while page <= pages:
        answer = await search_page(calls, user, page)
        for match in answer["matches"]:
            found[match["channel"]["id"], match["ts"]] = {**match, "channel": match["channel"]["id"]}
        page, pages = page + 1, answer["paging"]["pages"]
    return list(found.values())


async def search_page(calls: Calls, user: str, page: int) -> Item:
    """One page, without replies and without what stands in private channels."""
    query = f"from:<@{user}>"
    answer = await calls.call("search.messages", query=query, sort="timestamp", count=SEARCH_PAGE, page=page)
    messages: Item = answer["messages"]
    if messages["paging"]["pages"] > SEARCH_PAGES:
        raise SourceFailed(
            f"slack search reaches {SEARCH_PAGE * SEARCH_PAGES} messages of a user, ask by channel", Code.CANNOT_ANSWER
        )
    matches = [match for match in messages["matches"] if public(match["channel"]) and not in_thread(match)]
    return {**messages, "matches": matches}


def in_thread(match: Item) -> bool:
    """Only the permalink of a match tells: a reply's names the thread, another ts than its own."""
    return parse_qs(urlsplit(match["permalink"]).query).get("thread_ts", [match["ts"]]) != [match["ts"]]


KEYED = {("channel_id",): by_channel, ("channel_id", "ts"): by_ts, ("user_id",): by_user}


async def fetch_replies(calls: Calls, keys: Keys | None) -> AsyncIterator[list[Item]]:
    assert keys is not None  # INVARIANT: `requires` is met by the planner
    named = [key for key in keys.values if ID.fullmatch(key[0]) and all(map(TS.fullmatch, key[1:]))]
    for messages in await fan_out(lambda key: replies(calls, *key), named, calls.at_once):
        yield messages


async def replies(calls: Calls, channel: str, ts: str, at: str = "") -> list[Item]:
    """One thread, or what was said in it `at` one moment, without the message it answers; of no channel: none.

    Of a reply's own ts Slack shows its thread: that is another one.
    """
    span = {"oldest": at, "latest": at, "inclusive": "true"} if at else {}
    pages = calls.pages(
        "conversations.replies", "messages", "thread_not_found", "channel_not_found", channel=channel, ts=ts, **span
    )
    return [
        {**message, "channel": channel}
        async for page in pages
        for message in page
        if message["ts"] != ts and message.get("thread_ts") == ts
    ]


MESSAGES = Collection(columns=COLUMNS, keys=50, key_columns=frozenset(KEYED), fetch=fetch)
REPLIES = Collection(
    columns={**COLUMNS, "thread_ts": (Kind.TEXT, text("thread_ts"))},
    keys=50,
    key_columns=frozenset({("channel_id", "thread_ts"), ("channel_id", "thread_ts", "ts")}),
    requires=("channel_id", "thread_ts"),
    fetch=fetch_replies,
)
