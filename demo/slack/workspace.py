"""The workspace's state: users and channels as seeded, messages as seeded and as posted since."""

import time
from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, TypeAlias

from demo.slack.scopes import ALL
from demo.world import chat
from demo.world.staff import slack_id

Blocks: TypeAlias = Sequence[Any]
Metadata: TypeAlias = Mapping[str, Any]

TEAM = slack_id("T", "acme")
TEAM_NAME = "Acme Inc."
TEAM_URL = "https://acme.slack.example/"
NOBODY = "USLACKBOT"


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A message, when it was last edited, and what an app said of it; `gone`: only its place is left."""

    message: chat.Message
    edited: str | None = None
    blocks: Blocks = ()
    metadata: Metadata | None = None
    gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """`tops` and `threads` hold sorted ts: of each channel, and of each (channel, parent)."""

    users: Mapping[str, chat.User]
    channels: Mapping[str, chat.Channel]
    posts: dict[tuple[str, str], Post] = field(default_factory=dict)
    tops: dict[str, list[str]] = field(default_factory=dict)
    threads: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    archived: set[str] = field(default_factory=set)
    scopes: frozenset[str] = ALL
    """What the token may do."""


def workspace(scale: Fraction | float = 1) -> Workspace:
    made = Workspace(
        users={user.id: user for user in chat.users(scale)},
        channels={channel.id: channel for channel in chat.channels(scale)},
    )
    for message in sorted(chat.messages(scale), key=lambda message: message.ts):
        add(made, message)
    return made


def add(here: Workspace, message: chat.Message) -> None:
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
    add(here, chat.Message(channel=channel, ts=ts, user=chat.BOT, text=text, thread=thread))
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
