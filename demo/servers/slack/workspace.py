"""Workspace, shapes, writes."""

import json
import re
import time
from base64 import b64decode, b64encode
from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, TypeAlias, TypeVar

from demo.data import activity
from demo.data.activity import BOT, Channel, User
from demo.data.business import slack_id

T = TypeVar("T")

Params = Mapping[str, Any]

MOST = 999


class Failure(Exception):
    """A call that Slack would answer with `ok: false`; the message is the error's name, `more` what it says beside."""

    def __init__(self, name: str, **more: str) -> None:
        super().__init__(name)
        self.more = more


def limit_of(params: Params, default: int = 100) -> int:
    """Slack takes 1 to 999; 0 stands for the default."""
    try:
        limit = int(params.get("limit") or default)
    except ValueError:
        raise Failure("invalid_limit") from None
    if not 1 <= limit <= MOST:
        raise Failure("invalid_limit")
    return limit


def page(rows: Sequence[T], names: Sequence[str], params: Params, kind: str) -> tuple[Sequence[T], str]:
    """One page of rows, each named by the text at its place in `names`, and the cursor of the next (empty: none)."""
    start = 0
    if cursor := params.get("cursor"):
        start = position(names, opened(str(cursor), kind))
    end = start + limit_of(params)
    return rows[start:end], closed(names[end], kind) if end < len(rows) else ""


def position(names: Sequence[str], name: str) -> int:
    if name not in names:
        raise Failure("invalid_cursor")
    return names.index(name)


def closed(name: str, kind: str) -> str:
    return b64encode(f"{kind}:{name}".encode()).decode()


def opened(cursor: str, kind: str) -> str:
    try:
        found, _, name = b64decode(cursor, validate=True).decode().partition(":")
    except ValueError:
        raise Failure("invalid_cursor") from None
    if found != kind:
        raise Failure("invalid_cursor")
    return name


def more(cursor: str) -> dict[str, Any]:
    return {"response_metadata": {"next_cursor": cursor}}


def truthy(value: Any) -> bool:
    """Slack takes true as JSON, and as `true` or `1` in a form."""
    return value is True or str(value).lower() in ("true", "1")


SCOPES: Mapping[str, str] = {
    "conversations.list": "channels:read",
    "conversations.info": "channels:read",
    "conversations.members": "channels:read",
    "conversations.history": "channels:history",
    "conversations.replies": "channels:history",
    "conversations.archive": "channels:manage",
    "users.list": "users:read",
    "users.info": "users:read",
    "users.lookupByEmail": "users:read.email",
    "chat.postMessage": "chat:write",
    "chat.update": "chat:write",
    "chat.delete": "chat:write",
    "search.messages": "search:read",
}

ANYWHERE = "chat:write.public"
"""To post in channels that the bot is not in."""

ALL = frozenset({*SCOPES.values(), ANYWHERE})

Blocks: TypeAlias = Sequence[Any]

Metadata: TypeAlias = Mapping[str, Any]

TEAM = slack_id("T", "acme")

TEAM_NAME = "Acme Inc."

TEAM_URL = "https://acme.slack.example/"

NOBODY = "USLACKBOT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A message, when it was last edited, and what an app said of it; `gone`: only its place is left."""

    message: activity.Message
    edited: str | None = None
    blocks: Blocks = ()
    metadata: Metadata | None = None
    gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """`tops` and `threads` hold sorted ts: of each channel, and of each (channel, parent)."""

    users: Mapping[str, activity.User]
    channels: Mapping[str, activity.Channel]
    posts: dict[tuple[str, str], Post] = field(default_factory=dict)
    tops: dict[str, list[str]] = field(default_factory=dict)
    threads: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    archived: set[str] = field(default_factory=set)
    scopes: frozenset[str] = ALL
    """What the token may do."""


def workspace(scale: Fraction | float = 1) -> Workspace:
    made = Workspace(
        users={user.id: user for user in activity.users(scale)},
        channels={channel.id: channel for channel in activity.channels(scale)},
    )
    for message in sorted(activity.messages(scale), key=lambda message: message.ts):
        add(made, message)
    return made


def add(here: Workspace, message: activity.Message) -> None:
    """INVARIANT: every ts in `tops` and `threads` is in `posts`, and no post stands in both."""
    here.posts[message.channel, message.ts] = Post(message=message)
    if message.thread is None:
        insort(here.tops.setdefault(message.channel, []), message.ts)
    else:
        insort(here.threads.setdefault((message.channel, message.thread), []), message.ts)


def post(
    here: Workspace,
    *,
    channel: str,
    text: str,
    thread: str | None,
    blocks: Blocks = (),
    metadata: Metadata | None = None,
) -> Post:
    """A new message of the bot, newer than all before it, whatever the clock says."""
    newest = max((ts for known, ts in here.posts if known == channel), default="0")
    ts = max(f"{time.time():.6f}", f"{float(newest) + 0.0001:.6f}")
    add(here, activity.Message(channel=channel, ts=ts, user=activity.BOT, text=text, thread=thread))
    return kept(here, replace(here.posts[channel, ts], blocks=blocks, metadata=metadata))


def edit(here: Workspace, before: Post, text: str, blocks: Blocks = (), metadata: Metadata | None = None) -> Post:
    """What an app said of it stays, where nothing new is said."""
    return kept(
        here,
        Post(
            message=replace(before.message, text=text),
            edited=f"{time.time():.6f}",
            blocks=blocks,
            metadata=before.metadata if metadata is None else metadata,
        ),
    )


def delete(here: Workspace, post: Post) -> None:
    """Where answers stand below it, its place is left."""
    message = post.message
    if replies(here, message.channel, message.ts):
        gone = replace(message, text="This message was deleted.", user=NOBODY)
        kept(here, Post(message=gone, gone=True))
        return
    del here.posts[message.channel, message.ts]
    lists = here.tops[message.channel] if message.thread is None else here.threads[message.channel, message.thread]
    lists.remove(message.ts)


def kept(here: Workspace, post: Post) -> Post:
    here.posts[post.message.channel, post.message.ts] = post
    return post


def replies(here: Workspace, channel: str, ts: str) -> list[str]:
    return here.threads.get((channel, ts), [])


def between(sorted_ts: list[str], oldest: str, latest: str, inclusive: bool) -> list[str]:
    """The part of a sorted list within two ends, which themselves belong to it only when inclusive."""
    low = bisect_left(sorted_ts, oldest)
    high = bisect_left(sorted_ts, latest)
    found = sorted_ts[low:high]
    if inclusive:
        return found + sorted_ts[high : high + 1] if latest in sorted_ts[high : high + 1] else found
    return found[1:] if found[:1] == [oldest] else found


def newest_first(here: Workspace) -> Iterator[Post]:
    for key in sorted(here.posts, key=lambda key: key[1], reverse=True):
        if not here.posts[key].gone:
            yield here.posts[key]


Part: TypeAlias = dict[str, Any]

MOST_BLOCKS = 50

LONGEST_SECTION = 3_000

ENTITY = re.compile(r"<([^<>]+)>")

ADDRESS = re.compile(r"https?://[^\s<>|]+")

NAME = re.compile(r"@([a-z0-9._-]+)")

EVERYONE = ("channel", "here", "everyone")

PARTS = frozenset({"text", "link", "user", "channel", "usergroup", "broadcast", "emoji", "date", "color"})


def blocks_of(here: Workspace, params: Params) -> Blocks:
    """As they were given, or as Slack makes them of a text that came alone. Raises Failure."""
    given = params.get("blocks")
    if given in (None, "", []):
        text = str(params.get("text") or "")
        return [rich(list(read(here, text, str(params.get("parse")), truthy(params.get("link_names")))))]
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            raise Failure("invalid_blocks_format") from None
    if not isinstance(given, list) or len(given) > MOST_BLOCKS or not all(map(valid, given)):
        raise Failure("invalid_blocks")
    return given


def rich(parts: list[Part]) -> Part:
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": parts}]}


def valid(block: Any) -> bool:
    """Of the many kinds of Slack those of which a message is made."""
    if not isinstance(block, dict):
        return False
    if block.get("type") == "section":
        text = block.get("text")
        if not isinstance(text, dict) or text.get("type") not in ("plain_text", "mrkdwn"):
            return False
        return 0 < len(str(text.get("text") or "")) <= LONGEST_SECTION
    return block.get("type") == "rich_text" and all(
        isinstance(section, dict)
        and section.get("type") == "rich_text_section"
        and all(
            part.get("type") in PARTS and (part["type"] != "text" or part.get("text")) for part in section["elements"]
        )
        for section in block.get("elements", ())
    )


def read(here: Workspace, text: str, parse: str, names: bool) -> Iterator[Part]:
    """`<...>` means something, `&lt;` never does; addresses are linked but under `none`, names are only if asked."""
    at = 0
    for found in ENTITY.finditer(text):
        yield from plain(here, text[at : found.start()], parse, names)
        yield entity(found[1]) or {"type": "text", "text": plainly(found[0])}
        at = found.end()
    yield from plain(here, text[at:], parse, names)


def entity(inside: str) -> Part | None:
    meant, _, shown = inside.partition("|")
    if meant[:1] == "!" and meant[1:] in EVERYONE:
        return {"type": "broadcast", "range": meant[1:]}
    if meant[:1] == "@":
        return {"type": "user", "user_id": meant[1:]}
    if meant[:1] == "#":
        return {"type": "channel", "channel_id": meant[1:]}
    if meant.startswith("!subteam^"):
        return {"type": "usergroup", "usergroup_id": meant[9:]}
    if ":" in meant:
        return {"type": "link", "url": meant} | ({"text": shown} if shown else {})
    return None


def plain(here: Workspace, text: str, parse: str, names: bool) -> Iterator[Part]:
    """What stands between entities."""
    marks = [*(ADDRESS.finditer(text) if parse != "none" else ())]
    marks += [*(NAME.finditer(text) if names or parse == "full" else ())]
    at = 0
    for found in sorted(marks, key=re.Match.start):
        part = mark(here, found) if found.start() >= at else None
        if part is not None:
            yield from said(text[at : found.start()])
            yield part
            at = found.end()
    yield from said(text[at:])


def mark(here: Workspace, found: "re.Match[str]") -> Part | None:
    if found.re is ADDRESS:
        return {"type": "link", "url": plainly(found[0])}
    if found[1] in EVERYONE:
        return {"type": "broadcast", "range": found[1]}
    ids = [user.id for user in here.users.values() if user.name == found[1]]
    return {"type": "user", "user_id": ids[0]} if ids else None


def said(text: str) -> Iterator[Part]:
    if text:
        yield {"type": "text", "text": plainly(text)}


def plainly(text: str) -> str:
    """Slack knows these three and no others."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


BOT_ID = slack_id("B", "deploybot")

UPDATED = 1_761_955_200


def user_json(user: User) -> dict[str, Any]:
    full = f"{user.first_name} {user.last_name}"
    profile = {
        "real_name": full,
        "display_name": user.name,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "title": user.title,
        "team": TEAM,
        "status_text": "",
        "status_emoji": "",
    }
    return {
        "id": user.id,
        "team_id": TEAM,
        "name": user.name,
        "real_name": full,
        "deleted": False,
        "tz": "Etc/UTC",
        "tz_offset": 0,
        "is_admin": False,
        "is_owner": False,
        "is_bot": user.id == BOT,
        "is_restricted": False,
        "is_app_user": False,
        "updated": UPDATED,
        "profile": profile | ({"bot_id": BOT_ID} if user.email is None else {"email": user.email}),
    }


def channel_json(here: Workspace, channel: Channel) -> dict[str, Any]:
    created = int(channel.created.timestamp())
    return {
        "id": channel.id,
        "name": channel.name,
        "name_normalized": channel.name,
        "created": created,
        "creator": BOT,
        "is_channel": True,
        "is_group": False,
        "is_im": False,
        "is_mpim": False,
        "is_private": False,
        "is_archived": channel.id in here.archived,
        "is_general": channel.name == "general",
        "is_member": BOT in channel.members,
        "is_shared": False,
        "is_ext_shared": False,
        "is_org_shared": False,
        "unlinked": 0,
        "updated": created * 1000,
        "context_team_id": TEAM,
        "previous_names": [],
        "num_members": len(channel.members),
        "topic": {"value": channel.topic, "creator": BOT, "last_set": created},
        "purpose": {"value": "", "creator": "", "last_set": 0},
    }


def message_json(here: Workspace, post: Post, metadata: bool = False) -> dict[str, Any]:
    """With its thread's summary when replies stand below it; what an app said of it is told where it is asked for."""
    message = post.message
    shown: dict[str, Any] = {
        "type": "message",
        "user": message.user,
        "text": message.text,
        "ts": message.ts,
        "team": TEAM,
    }
    if message.user == BOT:
        shown["bot_id"] = BOT_ID
    if post.edited:
        shown["edited"] = {"user": message.user, "ts": post.edited}
    if post.blocks:
        shown["blocks"] = list(post.blocks)
    if metadata and post.metadata:
        shown["metadata"] = dict(post.metadata)
    if post.gone:
        shown |= {"subtype": "tombstone", "hidden": True}
    if message.thread is not None:
        parent = here.posts[message.channel, message.thread].message
        return shown | {"thread_ts": message.thread, "parent_user_id": parent.user}
    return shown | thread_json(here, message.channel, message.ts)


def thread_json(here: Workspace, channel: str, ts: str) -> dict[str, Any]:
    below = replies(here, channel, ts)
    if not below:
        return {}
    people = list(dict.fromkeys(here.posts[channel, reply].message.user for reply in below))
    return {
        "thread_ts": ts,
        "reply_count": len(below),
        "reply_users_count": len(people),
        "reply_users": people[:5],
        "latest_reply": below[-1],
        "is_locked": False,
        "subscribed": False,
    }


def match_json(here: Workspace, post: Post) -> dict[str, Any]:
    """A message as search shows it, with its channel."""
    message = post.message
    channel, user = here.channels[message.channel], here.users[message.user]
    link = f"{TEAM_URL}archives/{channel.id}/p{message.ts.replace('.', '')}"
    return {
        "type": "message",
        "iid": f"{channel.id}-{message.ts}",
        "team": TEAM,
        "user": user.id,
        "username": user.name,
        "text": message.text,
        "ts": message.ts,
        "score": 1.0,
        "permalink": link + (f"?thread_ts={message.thread}" if message.thread else ""),
        "channel": {
            "id": channel.id,
            "name": channel.name,
            "is_channel": True,
            "is_private": False,
            "is_mpim": False,
            "is_ext_shared": False,
        },
    }


Reply: TypeAlias = dict[str, Any]

LONGEST = 40_000

LONGEST_METADATA = 8_000


def chat_post(here: Workspace, params: Params) -> Reply:
    channel = open_channel(here, named_channel(here, str(params.get("channel"))))
    if BOT not in channel.members and ANYWHERE not in here.scopes:
        raise Failure("not_in_channel")
    thread = str(params["thread_ts"]) if params.get("thread_ts") else None
    parent = here.posts.get((channel.id, thread)) if thread else None
    if thread and parent is None:
        raise Failure("thread_not_found")
    under = (parent.message.thread or parent.message.ts) if parent else None
    made = post(
        here, channel=channel.id, text=text_of(params), thread=under, blocks=blocks_of(here, params),
        metadata=metadata_of(params),
    )  # fmt: skip
    return posted(here, made)


def chat_update(here: Workspace, params: Params) -> Reply:
    before = own(here, params, "cant_update_message")
    after = edit(here, before, text_of(params), blocks_of(here, params), metadata_of(params))
    return posted(here, after) | {"text": after.message.text}


def chat_delete(here: Workspace, params: Params) -> Reply:
    gone = own(here, params, "cant_delete_message")
    delete(here, gone)
    return {"channel": gone.message.channel, "ts": gone.message.ts}


def archive(here: Workspace, params: Params) -> Reply:
    here.archived.add(open_channel(here, channel_of(here, params)).id)
    return {}


def own(here: Workspace, params: Params, otherwise: str) -> Post:
    """The message that is meant, if it is the bot's; raises Failure."""
    channel = open_channel(here, channel_of(here, params))
    found = here.posts.get((channel.id, str(params.get("ts"))))
    if found is None or found.gone:
        raise Failure("message_not_found")
    if found.message.user != BOT:
        raise Failure(otherwise)
    return found


def channel_of(here: Workspace, params: Params) -> Channel:
    channel = here.channels.get(str(params.get("channel")))
    if channel is None:
        raise Failure("channel_not_found")
    return channel


def named_channel(here: Workspace, name: str) -> Channel:
    """By id, or by name with or without its `#`."""
    called = name.removeprefix("#")
    found = next((channel for channel in here.channels.values() if called in (channel.id, channel.name)), None)
    if found is None:
        raise Failure("channel_not_found")
    return found


def open_channel(here: Workspace, channel: Channel) -> Channel:
    if channel.id in here.archived:
        raise Failure("is_archived")
    return channel


def text_of(params: Params) -> str:
    """Of a message with blocks it may be empty."""
    text = str(params.get("text") or "")
    if not text and not params.get("blocks"):
        raise Failure("no_text")
    if len(text) > LONGEST:
        raise Failure("msg_too_long")
    return text


def metadata_of(params: Params) -> Metadata | None:
    """A type and a payload, as JSON; in a form as its text."""
    given = params.get("metadata")
    if given in (None, ""):
        return None
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            raise Failure("invalid_metadata_format") from None
    if not isinstance(given, dict) or set(given) != {"event_type", "event_payload"}:
        raise Failure("invalid_metadata_format")
    if not isinstance(given["event_type"], str) or not isinstance(given["event_payload"], dict):
        raise Failure("invalid_metadata_schema")
    if len(json.dumps(given)) > LONGEST_METADATA:
        raise Failure("metadata_too_large")
    return given


def posted(here: Workspace, made: Post) -> Reply:
    return {"channel": made.message.channel, "ts": made.message.ts, "message": message_json(here, made)}
