"""Options in, a source that answers from one Datadog organisation out."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from engine.errors import SourceFailed
from engine.finish import key_of, predicate
from engine.quota import Quotas
from engine.words import Ask, Can, Row
from sources.datadog.calls import Calls, calls
from sources.datadog.collection import Collection, Item, declared, promise
from sources.datadog.failures import failed
from sources.datadog.metrics import metrics
from sources.datadog.monitors import health, monitors
from sources.datadog.searches import search
from sources.rest.addresses import checked

OURS = (
    "id",
    "time",
    "value",
    "metric",
    "status",
    "tags",
    "title",
    "message",
    "name",
    "kind",
    "query",
    "open",
    "monitors",
)
"""Columns that are not those of tags."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`site`: as `datadoghq.eu`; `base_url` in its place. `tags`: keys of tags that are columns, as `customer_id:int`.

    `health`: the one of them by whose value monitors are judged together. `metrics`: queries by name, each with a
    roll-up. `days`: how far back events, logs and metrics go. `timeout`: seconds of one call. `connections`: calls at
    once. `items`: rows of one search. `response_bytes`: the most that one answer may hold.
    """

    api_key: str = field(repr=False)
    app_key: str = field(repr=False)
    site: str = "datadoghq.com"
    base_url: str | None = None
    tags: tuple[str, ...] = ("service",)
    health: str | None = None
    metrics: Mapping[str, Any] | None = None
    days: int = 15
    timeout: float = 5.0
    connections: int = 4
    items: int = 50_000
    response_bytes: int = 16_777_216
    private_addresses: bool = False


QUOTA: Mapping[str, int] = {"monitors": 50, "events": 15, "logs": 5, "metrics": 25}
"""Calls a minute, below what Datadog grants an organisation by default; more where it grants yours more."""


def present() -> datetime:
    """In whole seconds, so that what is read twice in one second is one read."""
    return datetime.now(UTC).replace(microsecond=0)


async def connect(options: Options, quotas: Quotas | None = None, clock: Callable[[], datetime] = present) -> "Datadog":
    """Asks Datadog nothing yet. Without quotas it alone says when to slow down. ValueError: what cannot be."""
    collections = _collections(options, clock)
    quotas = quotas or Quotas(source="datadog", a_minute={}, clock=asyncio.get_running_loop())
    base_url = checked(options.base_url or f"https://api.{options.site}", private_addresses=options.private_addresses)
    called = calls(
        {"DD-API-KEY": options.api_key, "DD-APPLICATION-KEY": options.app_key},
        base_url,
        quotas,
        timeout=options.timeout,
        at_once=options.connections,
        most=options.response_bytes,
        items=options.items,
        private_addresses=options.private_addresses,
    )
    return Datadog(called, collections)


def _collections(options: Options, clock: Callable[[], datetime]) -> Mapping[str, Collection]:
    tags, history = declared(options.tags, OURS), timedelta(days=options.days)
    found = {
        "monitors": monitors(tags),
        "events": search("events", tags, history, clock),
        "logs": search("logs", tags, history, clock),
        "metrics": metrics(options.metrics or {}, tags, history, clock),
    }
    if options.health is not None:
        if options.health not in tags:
            raise ValueError(f"`health` must be one of `tags`, add `{options.health}` to them")
        found["health"] = health(options.health, tags[options.health])
    return found


class Datadog:
    """The collections `monitors`, `events`, `logs`, `metrics` and, where a tag is named for it, `health`."""

    def __init__(self, calls: Calls, collections: Mapping[str, Collection]) -> None:
        self.calls = calls
        self.collections = collections
        self.promises = {name: promise(each) for name, each in collections.items()}

    def can(self, collection: str) -> Can:
        return self.promises[collection]

    async def read(self, ask: Ask) -> AsyncIterator[Sequence[Row]]:
        collection = self.collections[ask.collection]
        try:
            async with aclosing(collection.fetch(self.calls, ask)) as pages:  # type: ignore[type-var]
                async for items in pages:
                    yield rows(items, ask, collection)
        except SourceFailed:
            raise
        except Exception as error:
            raise failed(error, self.calls.timeout) from error

    async def ping(self) -> None:
        """Whether it takes the keys."""
        await self.calls.get("validate", "/api/v1/validate", {})

    async def close(self) -> None:
        await self.calls.session.close()


def rows(items: Sequence[Item], ask: Ask, collection: Collection) -> list[Row]:
    """Of a page, those that are meant, with the columns that are wanted."""
    columns = tuple(collection.columns)
    meets, wanted = predicate(ask.where, columns), key_of(ask.columns, columns)
    found = [tuple(read(item) for _, read in collection.columns.values()) for item in items]
    if ask.keys is not None:
        key, keys = key_of(ask.keys.columns, columns), frozenset(ask.keys.values)
        found = [row for row in found if key(row) in keys]
    return [wanted(row) for row in found if meets(row)]
