"""Options go in, a source that answers from one Slack workspace comes out."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from engine.change.words import Change, Made, Unmade, Writes
from engine.errors import Code, SourceFailed
from engine.quota import Quotas
from engine.words import Ask, Can, Keys, Row
from sources.patterns import compile_pattern
from sources.slack.calls import Calls, Item, calls
from sources.slack.channels import channels
from sources.slack.collection import Collection, promise
from sources.slack.failures import failed
from sources.slack.messages import MESSAGES, REPLIES
from sources.slack.newer import newer
from sources.slack.users import USERS
from sources.slack.writing import WRITES, made, write


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`timeout`: seconds one call may take. `connections`: calls at once. `channel_pattern`: as of sources.patterns.

    `writable`: messages may be posted, edited and deleted with this token.
    """

    token: str = field(repr=False)
    base_url: str = "https://slack.com/api/"
    channel_pattern: str | None = None
    timeout: float = 5.0
    connections: int = 4
    writable: bool = False


QUOTA: Mapping[str, int] = {
    "chat.delete": 50,
    "chat.postMessage": 60,
    "chat.update": 50,
    "conversations.history": 50,
    "conversations.replies": 50,
    "conversations.list": 20,
    "search.messages": 20,
    "users.info": 100,
    "users.list": 20,
    "users.lookupByEmail": 50,
}
"""Calls of a method a minute, as Slack's tiers 2 to 4 grant them to a company's own app."""


async def connect(options: Options, quotas: Quotas | None = None) -> "Slack":
    """Asks Slack nothing yet. Without quotas Slack alone says when to slow down. ValueError: the pattern is none."""
    quotas = quotas or Quotas(source="slack", a_minute={}, clock=asyncio.get_running_loop())
    pattern = None if options.channel_pattern is None else compile_pattern(options.channel_pattern)
    collections = {"users": USERS, "channels": channels(pattern), "messages": MESSAGES, "replies": REPLIES}
    called = calls(options.token, options.base_url, quotas, timeout=options.timeout, connections=options.connections)
    return Slack(called, collections, writable=options.writable)


class Slack:
    """The collections `users`, `channels`, `messages` and `replies`."""

    def __init__(self, calls: Calls, collections: Mapping[str, Collection], *, writable: bool = False) -> None:
        self.calls = calls
        self.writable = writable
        self.collections = collections
        self.promises = {name: promise(collection) for name, collection in collections.items()}

    def can(self, collection: str) -> Can:
        return self.promises[collection]

    async def read(self, ask: Ask) -> AsyncIterator[Sequence[Row]]:
        collection = self.collections[ask.collection]
        pages = collection.fetch(self.calls, ask.keys)
        while True:
            try:
                page = rows(await anext(pages), ask, collection)
            except StopAsyncIteration:
                return
            except SourceFailed:
                raise
            except Exception as error:
                raise failed(error, self.calls.timeout) from error
            yield page

    def writes(self, collection: str) -> Writes | None:
        return WRITES.get(collection) if self.writable else None

    async def write(self, changes: Sequence[Change], *, dry: bool = False) -> Sequence[Made]:
        """One at a time: Slack does nothing together."""
        (change,) = changes
        if self.writes(change.collection) is None:
            raise Unmade("slack is not changed here: its settings do not say `writable`", Code.CANNOT_ANSWER)
        try:
            return (await write(self.calls, change, dry=dry),)
        except (SourceFailed, Unmade):
            raise
        except Exception as error:
            raise failed(error, self.calls.timeout) from error

    async def made(self, change: Change) -> Made | None:
        try:
            return await made(self.calls, change)
        except SourceFailed:
            raise
        except Exception as error:
            raise failed(error, self.calls.timeout) from error

    async def newer(self, collection: str, key: str, mark: str | None) -> tuple[str, Sequence[tuple[str, ...]]]:
        """As `engine.source.Tells` has it, of the messages of a channel."""
        if collection != "messages":
            return "", ()
        try:
            return await newer(self.calls, key, mark)
        except SourceFailed:
            raise
        except Exception as error:
            raise failed(error, self.calls.timeout) from error

    async def ping(self) -> None:
        await self.calls.call("auth.test")

    async def close(self) -> None:
        await self.calls.session.close()


def rows(items: Iterable[Item], ask: Ask, collection: Collection) -> list[Row]:
    """The rows of a page, those of the keys alone."""
    kept = items if ask.keys is None else keyed(items, ask.keys, collection)
    return [row(item, ask.columns, collection) for item in kept]


def keyed(items: Iterable[Item], keys: Keys, collection: Collection) -> list[Item]:
    wanted = frozenset(keys.values)
    return [item for item in items if row(item, keys.columns, collection) in wanted]


def row(item: Item, columns: Sequence[str], collection: Collection) -> Row:
    return tuple(collection.columns[name][1](item) for name in columns)
