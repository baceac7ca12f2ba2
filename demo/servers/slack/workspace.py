"""Hold Slack's workspace, write its JSON, and change it."""

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
from demo.data.operations import build_slack_id

T = TypeVar("T")

Params = Mapping[str, Any]

MOST = 999


class SlackFailure(Exception):
    """An answer with `ok: false`; the message names the error, `more` holds further fields."""

    def __init__(self, name: str, **more: str) -> None:
        super().__init__(name)
        self.more = more


def parse_limit(params: Params, default: int = 100) -> int:
    """Read a limit from 1 to 999; 0 stands for the default."""
    try:
        limit = int(params.get("limit") or default)
    except ValueError:
        raise SlackFailure("invalid_limit") from None
    if not 1 <= limit <= MOST:
        raise SlackFailure("invalid_limit")
    return limit


def cut_page(rows: Sequence[T], names: Sequence[str], params: Params, kind: str) -> tuple[Sequence[T], str]:
    """Return a page of rows, each named by the text at its position in `names`, and the cursor of the next page."""
    start = 0
    if cursor := params.get("cursor"):
        start = find_position(names, decode_cursor(str(cursor), kind))
    end = start + parse_limit(params)
    return rows[start:end], encode_cursor(names[end], kind) if end < len(rows) else ""


def find_position(names: Sequence[str], name: str) -> int:
    if name not in names:
        raise SlackFailure("invalid_cursor")
    return names.index(name)


def encode_cursor(name: str, kind: str) -> str:
    return b64encode(f"{kind}:{name}".encode()).decode()


def decode_cursor(cursor: str, kind: str) -> str:
    try:
        channel_name, _, name = b64decode(cursor, validate=True).decode().partition(":")
    except ValueError:
        raise SlackFailure("invalid_cursor") from None
    if channel_name != kind:
        raise SlackFailure("invalid_cursor")
    return name


def format_cursor(cursor: str) -> dict[str, Any]:
    return {"response_metadata": {"next_cursor": cursor}}


def is_true(value: Any) -> bool:
    """Return whether a value is true as JSON, or `true` or `1` in a form."""
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

TEAM = build_slack_id("T", "acme")

TEAM_NAME = "Acme Inc."

TEAM_URL = "https://acme.slack.example/"

NOBODY = "USLACKBOT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A message, when it was edited, and its metadata; of a `gone` one only the place is left."""

    message: activity.Message
    edited: str | None = None
    blocks: Blocks = ()
    metadata: Metadata | None = None
    gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """A workspace; `tops` and `threads` hold sorted ts by channel, and by channel and parent."""

    users: Mapping[str, activity.User]
    channels: Mapping[str, activity.Channel]
    posts: dict[tuple[str, str], Post] = field(default_factory=dict)
    tops: dict[str, list[str]] = field(default_factory=dict)
    threads: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    archived: set[str] = field(default_factory=set)
    scopes: frozenset[str] = ALL
    """What the token may do."""


def build_workspace(scale: Fraction | float = 1) -> Workspace:
    workspace = Workspace(
        users={user.id: user for user in activity.users(scale)},
        channels={channel.id: channel for channel in activity.channels(scale)},
    )
    for message in sorted(activity.messages(scale), key=lambda message: message.ts):
        add_message(workspace, message)
    return workspace


def add_message(workspace: Workspace, message: activity.Message) -> None:
    """Add a message. INVARIANT: every ts in `tops` and `threads` is in `posts`, and no post is in both."""
    workspace.posts[message.channel, message.ts] = Post(message=message)
    if message.thread is None:
        insort(workspace.tops.setdefault(message.channel, []), message.ts)
    else:
        insort(workspace.threads.setdefault((message.channel, message.thread), []), message.ts)


def post_message(
    workspace: Workspace,
    *,
    channel: str,
    text: str,
    thread: str | None,
    blocks: Blocks = (),
    metadata: Metadata | None = None,
) -> Post:
    """Post a message of the bot, newer than all before it whatever the clock says."""
    newest = max((ts for known, ts in workspace.posts if known == channel), default="0")
    ts = max(f"{time.time():.6f}", f"{float(newest) + 0.0001:.6f}")
    add_message(workspace, activity.Message(channel=channel, ts=ts, user=activity.BOT, text=text, thread=thread))
    return store_post(workspace, replace(workspace.posts[channel, ts], blocks=blocks, metadata=metadata))


def edit_message(
    workspace: Workspace, before: Post, text: str, blocks: Blocks = (), metadata: Metadata | None = None
) -> Post:
    """Replace a message; its metadata stay unless new ones are given."""
    return store_post(
        workspace,
        Post(
            message=replace(before.message, text=text),
            edited=f"{time.time():.6f}",
            blocks=blocks,
            metadata=before.metadata if metadata is None else metadata,
        ),
    )


def delete_message(workspace: Workspace, post: Post) -> None:
    """Delete a message; one with replies leaves its place."""
    message = post.message
    if list_replies(workspace, message.channel, message.ts):
        gone = replace(message, text="This message was deleted.", user=NOBODY)
        store_post(workspace, Post(message=gone, gone=True))
        return
    del workspace.posts[message.channel, message.ts]
    lists = (
        workspace.tops[message.channel]
        if message.thread is None
        else workspace.threads[message.channel, message.thread]
    )
    lists.remove(message.ts)


def store_post(workspace: Workspace, post: Post) -> Post:
    workspace.posts[post.message.channel, post.message.ts] = post
    return post


def list_replies(workspace: Workspace, channel: str, ts: str) -> list[str]:
    return workspace.threads.get((channel, ts), [])


def cut_between(sorted_ts: list[str], oldest: str, latest: str, inclusive: bool) -> list[str]:
    """Return the part of a sorted list between two ends, with the ends only if inclusive."""
    low = bisect_left(sorted_ts, oldest)
    high = bisect_left(sorted_ts, latest)
    result = sorted_ts[low:high]
    if inclusive:
        return result + sorted_ts[high : high + 1] if latest in sorted_ts[high : high + 1] else result
    return result[1:] if result[:1] == [oldest] else result


def list_newest_first(workspace: Workspace) -> Iterator[Post]:
    for key in sorted(workspace.posts, key=lambda key: key[1], reverse=True):
        if not workspace.posts[key].gone:
            yield workspace.posts[key]


Part: TypeAlias = dict[str, Any]

MOST_BLOCKS = 50

LONGEST_SECTION = 3_000

ENTITY = re.compile(r"<([^<>]+)>")

ADDRESS = re.compile(r"https?://[^\s<>|]+")

NAME = re.compile(r"@([a-z0-9._-]+)")

EVERYONE = ("channel", "here", "everyone")

PARTS = frozenset({"text", "link", "user", "channel", "usergroup", "broadcast", "emoji", "date", "color"})


def parse_blocks(workspace: Workspace, params: Params) -> Blocks:
    """Return the given blocks, or those that Slack makes of a text. Raises SlackFailure."""
    given = params.get("blocks")
    if given in (None, "", []):
        text = str(params.get("text") or "")
        return [
            build_rich_text(
                list(parse_rich_text(workspace, text, str(params.get("parse")), is_true(params.get("link_names"))))
            )
        ]
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            raise SlackFailure("invalid_blocks_format") from None
    if not isinstance(given, list) or len(given) > MOST_BLOCKS or not all(map(is_valid_block, given)):
        raise SlackFailure("invalid_blocks")
    return given


def build_rich_text(parts: list[Part]) -> Part:
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": parts}]}


def is_valid_block(block: Any) -> bool:
    """Return whether a block is valid and of the kinds that this emulator supports."""
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


def parse_rich_text(workspace: Workspace, text: str, parse: str, names: bool) -> Iterator[Part]:
    """Yield the parts of a text; URLs are linked unless `parse` is `none`, names only if asked for."""
    index = 0
    for match in ENTITY.finditer(text):
        yield from parse_plain(workspace, text[index : match.start()], parse, names)
        yield parse_entity(match[1]) or {"type": "text", "text": unescape_text(match[0])}
        index = match.end()
    yield from parse_plain(workspace, text[index:], parse, names)


def parse_entity(inside: str) -> Part | None:
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


def parse_plain(workspace: Workspace, text: str, parse: str, names: bool) -> Iterator[Part]:
    """Yield the parts between entities."""
    marks = [*(ADDRESS.finditer(text) if parse != "none" else ())]
    marks += [*(NAME.finditer(text) if names or parse == "full" else ())]
    index = 0
    for channel_name in sorted(marks, key=re.Match.start):
        part = parse_mark(workspace, channel_name) if channel_name.start() >= index else None
        if part is not None:
            yield from build_text_part(text[index : channel_name.start()])
            yield part
            index = channel_name.end()
    yield from build_text_part(text[index:])


def parse_mark(workspace: Workspace, channel_name: "re.Match[str]") -> Part | None:
    if channel_name.re is ADDRESS:
        return {"type": "link", "url": unescape_text(channel_name[0])}
    if channel_name[1] in EVERYONE:
        return {"type": "broadcast", "range": channel_name[1]}
    ids = [user.id for user in workspace.users.values() if user.name == channel_name[1]]
    return {"type": "user", "user_id": ids[0]} if ids else None


def build_text_part(text: str) -> Iterator[Part]:
    if text:
        yield {"type": "text", "text": unescape_text(text)}


def unescape_text(text: str) -> str:
    """Unescape the three entities that Slack knows."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


BOT_ID = build_slack_id("B", "deploybot")

UPDATED = 1_761_955_200


def format_user(user: User) -> dict[str, Any]:
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


def format_channel(workspace: Workspace, channel: Channel) -> dict[str, Any]:
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
        "is_archived": channel.id in workspace.archived,
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


def format_message(workspace: Workspace, post: Post, metadata: bool = False) -> dict[str, Any]:
    """Write a message with a summary of its thread, and with its metadata if asked for."""
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
        parent = workspace.posts[message.channel, message.thread].message
        return shown | {"thread_ts": message.thread, "parent_user_id": parent.user}
    return shown | format_thread(workspace, message.channel, message.ts)


def format_thread(workspace: Workspace, channel: str, ts: str) -> dict[str, Any]:
    below = list_replies(workspace, channel, ts)
    if not below:
        return {}
    people = list(dict.fromkeys(workspace.posts[channel, reply].message.user for reply in below))
    return {
        "thread_ts": ts,
        "reply_count": len(below),
        "reply_users_count": len(people),
        "reply_users": people[:5],
        "latest_reply": below[-1],
        "is_locked": False,
        "subscribed": False,
    }


def format_match(workspace: Workspace, post: Post) -> dict[str, Any]:
    """Write a message as search shows it, with its channel."""
    message = post.message
    channel, user = workspace.channels[message.channel], workspace.users[message.user]
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


def chat_post(workspace: Workspace, params: Params) -> Reply:
    channel = check_open_channel(workspace, find_named_channel(workspace, str(params.get("channel"))))
    if BOT not in channel.members and ANYWHERE not in workspace.scopes:
        raise SlackFailure("not_in_channel")
    thread = str(params["thread_ts"]) if params.get("thread_ts") else None
    parent = workspace.posts.get((channel.id, thread)) if thread else None
    if thread and parent is None:
        raise SlackFailure("thread_not_found")
    under = (parent.message.thread or parent.message.ts) if parent else None
    result = post_message(
        workspace, channel=channel.id, text=parse_text(params), thread=under, blocks=parse_blocks(workspace, params),
        metadata=parse_metadata(params),
    )  # fmt: skip
    return format_posted(workspace, result)


def chat_update(workspace: Workspace, params: Params) -> Reply:
    before = find_own_post(workspace, params, "cant_update_message")
    after = edit_message(workspace, before, parse_text(params), parse_blocks(workspace, params), parse_metadata(params))
    return format_posted(workspace, after) | {"text": after.message.text}


def chat_delete(workspace: Workspace, params: Params) -> Reply:
    gone = find_own_post(workspace, params, "cant_delete_message")
    delete_message(workspace, gone)
    return {"channel": gone.message.channel, "ts": gone.message.ts}


def archive_channel(workspace: Workspace, params: Params) -> Reply:
    workspace.archived.add(check_open_channel(workspace, find_channel(workspace, params)).id)
    return {}


def find_own_post(workspace: Workspace, params: Params, otherwise: str) -> Post:
    """Return the named message if it is the bot's. Raises SlackFailure."""
    channel = check_open_channel(workspace, find_channel(workspace, params))
    post = workspace.posts.get((channel.id, str(params.get("ts"))))
    if post is None or post.gone:
        raise SlackFailure("message_not_found")
    if post.message.user != BOT:
        raise SlackFailure(otherwise)
    return post


def find_channel(workspace: Workspace, params: Params) -> Channel:
    channel = workspace.channels.get(str(params.get("channel")))
    if channel is None:
        raise SlackFailure("channel_not_found")
    return channel


def find_named_channel(workspace: Workspace, name: str) -> Channel:
    """Find a channel by id, or by name with or without its `#`."""
    called = name.removeprefix("#")
    result = next((channel for channel in workspace.channels.values() if called in (channel.id, channel.name)), None)
    if result is None:
        raise SlackFailure("channel_not_found")
    return result


def check_open_channel(workspace: Workspace, channel: Channel) -> Channel:
    if channel.id in workspace.archived:
        raise SlackFailure("is_archived")
    return channel


def parse_text(params: Params) -> str:
    """Read a text, which may be empty if there are blocks."""
    text = str(params.get("text") or "")
    if not text and not params.get("blocks"):
        raise SlackFailure("no_text")
    if len(text) > LONGEST:
        raise SlackFailure("msg_too_long")
    return text


def parse_metadata(params: Params) -> Metadata | None:
    """Read an event type and payload, as JSON or as its text in a form."""
    given = params.get("metadata")
    if given in (None, ""):
        return None
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            raise SlackFailure("invalid_metadata_format") from None
    if not isinstance(given, dict) or set(given) != {"event_type", "event_payload"}:
        raise SlackFailure("invalid_metadata_format")
    if not isinstance(given["event_type"], str) or not isinstance(given["event_payload"], dict):
        raise SlackFailure("invalid_metadata_schema")
    if len(json.dumps(given)) > LONGEST_METADATA:
        raise SlackFailure("metadata_too_large")
    return given


def format_posted(workspace: Workspace, post: Post) -> Reply:
    return {"channel": post.message.channel, "ts": post.message.ts, "message": format_message(workspace, post)}
