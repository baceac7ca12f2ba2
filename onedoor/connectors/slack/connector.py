"""Answer scans, make changes and follow channels in a Slack workspace: the connector of kind `slack`."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from onedoor.connectors.http_client import HttpLimits
from onedoor.connectors.path_patterns import compile_pattern
from onedoor.connectors.slack.client import SlackClient, SlackItem, map_slack_error
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
    """The settings of a `slack` source: `timeout` is in seconds of one call, `connections` are calls at a time.

    `channel_pattern`: reads columns from the names of channels (see path_patterns). `writable`: messages may be
    posted, edited and deleted with this token.
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
    """Build the connector without a call. Without quotas, Slack alone says when to slow down.

    Raises ValueError for a pattern that is none.
    """
    quotas = quotas or ConnectorRateLimiters(source="slack", per_minute={}, clock=asyncio.get_running_loop())
    pattern = None if options.channel_pattern is None else compile_pattern(options.channel_pattern)
    collections = {
        "users": USERS,
        "channels": build_channels_collection(pattern),
        "messages": MESSAGES,
        "replies": REPLIES,
    }
    limits = HttpLimits(timeout=options.timeout, max_concurrency=options.connections, private_addresses=True)
    client = SlackClient(options.token, options.base_url, quotas, limits)
    return SlackConnector(client, collections, writable=options.writable)


class SlackConnector:
    """Serve the collections `users`, `channels`, `messages` and `replies`."""

    def __init__(
        self, client: SlackClient, collections: Mapping[str, SlackCollection], *, writable: bool = False
    ) -> None:
        self.client = client
        self.writable = writable
        self.collections = collections
        self.capabilities_by_collection = {
            name: build_slack_capabilities(collection) for name, collection in collections.items()
        }

    def capabilities(self, collection: str) -> Capabilities:
        return self.capabilities_by_collection[collection]

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        collection = self.collections[request.collection]
        pages = collection.fetch(self.client, request.keys)
        while True:
            try:
                page = _build_slack_rows(await anext(pages), request, collection)
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
        """Make one change; Slack makes no two of them together."""
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
        """Return the newest mark of a channel, and the keys of its messages since `mark` (see ChangeFeed)."""
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
        await self.client.close()


def _build_slack_rows(items: Iterable[SlackItem], request: ScanRequest, collection: SlackCollection) -> list[Row]:
    """Build the rows of a page, or of those of its items that the keys name."""
    matching = items if request.keys is None else _filter_by_keys(items, request.keys, collection)
    return [_build_slack_row(item, request.columns, collection) for item in matching]


def _filter_by_keys(items: Iterable[SlackItem], keys: KeyFilter, collection: SlackCollection) -> list[SlackItem]:
    requested_keys = frozenset(keys.values)
    return [item for item in items if _build_slack_row(item, keys.columns, collection) in requested_keys]


def _build_slack_row(item: SlackItem, columns: Sequence[str], collection: SlackCollection) -> Row:
    return tuple(collection.columns[name][1](item) for name in columns)


KIND = ConnectorKind(options=SlackOptions, connect=connect, quotas=QUOTA)
