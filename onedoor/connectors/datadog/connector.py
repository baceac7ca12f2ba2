"""Answer scans from a Datadog organisation: the connector of kind `datadog`."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from onedoor.connectors.datadog.client import DatadogClient
from onedoor.connectors.datadog.collections import (
    DatadogCollection,
    DatadogItem,
    build_datadog_capabilities,
    build_health_collection,
    build_metrics_collection,
    build_monitors_collection,
    build_search_collection,
)
from onedoor.connectors.http_client import HttpLimits
from onedoor.connectors.labelled_series import filter_rows, get_current_second
from onedoor.connectors.public_addresses import check_base_url
from onedoor.connectors.setting_readers import parse_labels
from onedoor.errors import ConnectorError
from onedoor.runtime.quota import ConnectorRateLimiters
from onedoor.spi.capabilities import Capabilities
from onedoor.spi.connector import ConnectorKind
from onedoor.spi.predicates import Row
from onedoor.spi.scan import ScanRequest

QUOTA: Mapping[str, int] = {"monitors": 50, "events": 15, "logs": 5, "metrics": 25}
"""Calls a minute, below what Datadog grants an organisation by default; more where it grants yours more."""

RESERVED_COLUMNS = frozenset(
    {
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
    }
)
"""Columns that no tag may have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatadogOptions:
    """The settings of a `datadog` source: `site` as `datadoghq.eu`, or `base_url` in its place.

    `tags`: keys of tags that are columns, as `customer_id:int`. `health`: the one of them whose values have a health.
    `metrics`: queries by name, each with a roll-up. `days`: how far back events, logs and metrics go. `timeout`:
    seconds of one call. `connections`: calls at a time. `items`: rows of one search. `response_bytes`: of one response.
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


async def connect(
    options: DatadogOptions,
    rate_limiters: ConnectorRateLimiters | None = None,
    clock: Callable[[], datetime] = get_current_second,
) -> "DatadogConnector":
    """Build the connector without a call. Without rate limiters, Datadog alone says when to slow down.

    Raises ValueError, which names the setting that is wrong.
    """
    collections = _build_datadog_collections(options, clock)
    rate_limiters = rate_limiters or ConnectorRateLimiters(
        source="datadog", per_minute={}, clock=asyncio.get_running_loop()
    )
    base_url = check_base_url(
        options.base_url or f"https://api.{options.site}", private_addresses=options.private_addresses
    )
    limits = HttpLimits(
        timeout=options.timeout,
        max_concurrency=options.connections,
        max_response_bytes=options.response_bytes,
        private_addresses=options.private_addresses,
    )
    keys = {"DD-API-KEY": options.api_key, "DD-APPLICATION-KEY": options.app_key}
    client = DatadogClient(base_url, keys, rate_limiters, limits, max_items=options.items)
    return DatadogConnector(client, collections)


def _build_datadog_collections(
    options: DatadogOptions, clock: Callable[[], datetime]
) -> Mapping[str, DatadogCollection]:
    tags, history = parse_labels(options.tags, RESERVED_COLUMNS), timedelta(days=options.days)
    if tags is None:
        raise ValueError("`tags` must be the keys of tags, each once, as `service` or `customer_id:int`")
    collections = {
        "monitors": build_monitors_collection(tags),
        "events": build_search_collection("events", tags, history, clock),
        "logs": build_search_collection("logs", tags, history, clock),
        "metrics": build_metrics_collection(options.metrics or {}, tags, history, clock),
    }
    if options.health is not None:
        if options.health not in tags:
            raise ValueError(f"`health` must be one of `tags`, add `{options.health}` to them")
        collections["health"] = build_health_collection(options.health, tags[options.health])
    return collections


class DatadogConnector:
    """Serve `monitors`, `events`, `logs`, `metrics` and, where the settings name a tag for it, `health`."""

    def __init__(self, client: DatadogClient, collections: Mapping[str, DatadogCollection]) -> None:
        self.client = client
        self.collections = collections
        self.capabilities_by_collection = {
            name: build_datadog_capabilities(collection) for name, collection in collections.items()
        }

    def capabilities(self, collection: str) -> Capabilities:
        return self.capabilities_by_collection[collection]

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        collection = self.collections[request.collection]
        try:
            async with aclosing(collection.fetch(self.client, request)) as pages:  # type: ignore[type-var]
                async for items in pages:
                    yield _build_datadog_rows(items, request, collection)
        except ConnectorError:
            raise
        except Exception as error:
            raise self.client.http.map_error(error) from error

    async def ping(self) -> None:
        """Check that Datadog takes the keys. Raises ConnectorError."""
        await self.client.get("validate", "/api/v1/validate", {})

    async def close(self) -> None:
        await self.client.close()


def _build_datadog_rows(items: Sequence[DatadogItem], request: ScanRequest, collection: DatadogCollection) -> list[Row]:
    rows = [tuple(read(item) for _, read in collection.columns.values()) for item in items]
    return filter_rows(rows, tuple(collection.columns), request)


KIND = ConnectorKind(options=DatadogOptions, connect=connect, quotas=QUOTA)
