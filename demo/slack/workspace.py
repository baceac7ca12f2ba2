"""The workspace's state: users and channels as seeded, messages as seeded and as posted since."""

import time
from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

from demo.world import chat
from demo.world.staff import slack_id

TEAM = slack_id("T", "acme")
TEAM_NAME = "Acme Inc."
TEAM_URL = "https://acme.slack.example/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A message and when, by whom, it was last edited."""

    message: chat.Message
    edited: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """`tops` and `threads` hold sorted ts: of each channel, and of each (channel, parent)."""

    users: Mapping[str, chat.User]
    channels: Mapping[str, chat.Channel]
    posts: dict[tuple[str, str], Post] = field(default_factory=dict)
    tops: dict[str, list[str]] = field(default_factory=dict)
    threads: dict[tuple[str, str], list[str]] = field(default_factory=dict)


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


def post(here: Workspace, *, channel: str, text: str, thread: str | None) -> Post:
    """A new message of the bot, newer than all before it, whatever the clock says."""
    newest = max(ts for known, ts in here.posts if known == channel)
    ts = max(f"{time.time():.6f}", f"{float(newest) + 0.0001:.6f}")
    add(here, chat.Message(channel=channel, ts=ts, user=chat.BOT, text=text, thread=thread))
    return here.posts[channel, ts]


def edit(here: Workspace, before: Post, text: str) -> Post:
    after = Post(message=replace(before.message, text=text), edited=f"{time.time():.6f}")
    here.posts[before.message.channel, before.message.ts] = after
    return after


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
        yield here.posts[key]
