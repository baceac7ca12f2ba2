"""Options go in, a source that answers from one Slack workspace comes out."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from onedoor.connectors.path_patterns import compile_pattern
from onedoor.connectors.slack.client import SlackClient, SlackItem, build_slack_client, map_slack_error
from onedoor.connectors.slack.collections import (
    MESSAGES,
    REPLIES,
    USERS,
    SlackCollection,
    build_channels_collection,
    build_slack_capabilities,
    list_newer_messages,
)
from onedoor.connectors.slack.writes import MESSAGE_WRITE_CAPABILITIES, find_message_change, write_message
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.quota import ConnectorRateLimiters
from onedoor.spi.capabilities import Capabilities
from onedoor.spi.connector import ChangeRejected, ChangeResult, ConnectorKind, RowChange, WriteCapabilities
from onedoor.spi.predicates import Row
from onedoor.spi.scan import KeyFilter, ScanRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class SlackOptions:
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


async def connect(options: SlackOptions, quotas: ConnectorRateLimiters | None = None) -> "SlackConnector":
    """Asks Slack nothing yet. Without quotas Slack alone says when to slow down. ValueError: the pattern is none."""
    quotas = quotas or ConnectorRateLimiters(source="slack", per_minute={}, clock=asyncio.get_running_loop())
    pattern = None if options.channel_pattern is None else compile_pattern(options.channel_pattern)
    collections = {
        "users": USERS,
        "channels": build_channels_collection(pattern),
        "messages": MESSAGES,
        "replies": REPLIES,
    }
    called = build_slack_client(
        options.token, options.base_url, quotas, timeout=options.timeout, connections=options.connections
    )
    return SlackConnector(called, collections, writable=options.writable)


class SlackConnector:
    """The collections `users`, `channels`, `messages` and `replies`."""

    def __init__(
        self, client: SlackClient, collections: Mapping[str, SlackCollection], *, writable: bool = False
    ) -> None:
        self.client = client
        self.writable = writable
        self.collections = collections
        self.collection_capabilities = {
            name: build_slack_capabilities(collection) for name, collection in collections.items()
        }

    def capabilities(self, collection: str) -> Capabilities:
        return self.collection_capabilities[collection]

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        collection = self.collections[request.collection]
        pages = collection.fetch(self.client, request.keys)
        while True:
            try:
                page = build_slack_rows(await anext(pages), request, collection)
            except StopAsyncIteration:
                return
            except ConnectorError:
                raise
            except Exception as error:
                raise map_slack_error(error, self.client.timeout) from error
            yield page

    def write_capabilities(self, collection: str) -> WriteCapabilities | None:
        return MESSAGE_WRITE_CAPABILITIES.get(collection) if self.writable else None

    async def apply(self, changes: Sequence[RowChange], *, dry_run: bool = False) -> Sequence[ChangeResult]:
        """One at a time: Slack does nothing together."""
        (change,) = changes
        if self.write_capabilities(change.collection) is None:
            raise ChangeRejected(
                "slack is not changed here: its settings do not say `writable`", ErrorCode.CANNOT_ANSWER
            )
        try:
            return (await write_message(self.client, change, dry_run=dry_run),)
        except (ConnectorError, ChangeRejected):
            raise
        except Exception as error:
            raise map_slack_error(error, self.client.timeout) from error

    async def find_change(self, change: RowChange) -> ChangeResult | None:
        try:
            return await find_message_change(self.client, change)
        except ConnectorError:
            raise
        except Exception as error:
            raise map_slack_error(error, self.client.timeout) from error

    async def read_new_keys(self, collection: str, key: str, mark: str | None) -> tuple[str, Sequence[tuple[str, ...]]]:
        """As `engine.source.Tells` has it, of the messages of a channel."""
        if collection != "messages":
            return "", ()
        try:
            return await list_newer_messages(self.client, key, mark)
        except ConnectorError:
            raise
        except Exception as error:
            raise map_slack_error(error, self.client.timeout) from error

    async def ping(self) -> None:
        await self.client.call("auth.test")

    async def close(self) -> None:
        await self.client.session.close()


def build_slack_rows(items: Iterable[SlackItem], request: ScanRequest, collection: SlackCollection) -> list[Row]:
    """The rows of a page, those of the keys alone."""
    kept = items if request.keys is None else filter_by_keys(items, request.keys, collection)
    return [build_slack_row(item, request.columns, collection) for item in kept]


def filter_by_keys(items: Iterable[SlackItem], keys: KeyFilter, collection: SlackCollection) -> list[SlackItem]:
    wanted = frozenset(keys.values)
    return [item for item in items if build_slack_row(item, keys.columns, collection) in wanted]


def build_slack_row(item: SlackItem, columns: Sequence[str], collection: SlackCollection) -> Row:
    return tuple(collection.columns[name][1](item) for name in columns)


KIND = ConnectorKind(options=SlackOptions, connect=connect, quotas=QUOTA)
