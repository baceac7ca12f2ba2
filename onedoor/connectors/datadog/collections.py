"""Define the collections of a Datadog organisation: monitors, their health, events, logs and metrics."""

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from math import ceil, floor
from typing import Any, TypeAlias

from onedoor.connectors.datadog.client import DATADOG, DatadogClient, build_item_limit_error, extract_list
from onedoor.connectors.http_client import build_unreadable_response_error
from onedoor.connectors.labelled_series import (
    EPOCH,
    EQUALITY_OPS,
    MILLISECOND,
    RANGE_OPS,
    convert_label,
    convert_sample,
    find_allowed_values,
    iterate_comparisons,
)
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.concurrency import fan_out
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.predicates import Op, Value
from onedoor.spi.scan import ScanRequest

DatadogItem: TypeAlias = Mapping[str, Any]

ColumnReader: TypeAlias = Callable[[DatadogItem], Value]

DatadogColumns: TypeAlias = Mapping[str, tuple[ColumnType, ColumnReader]]

ItemPages: TypeAlias = AsyncIterator[Sequence[DatadogItem]]

Clock: TypeAlias = Callable[[], datetime]

MAX_KEYS = 50

MAX_SINGLE_LOOKUPS = 5
"""Up to this many keys are looked up one by one; more are found in a listing."""

MONITORS_PATH = "/api/v1/monitor"

MONITORS_LIMITER = "monitors"

MONITORS_PAGE_SIZE = 100

SEARCH_PATHS = {"events": "/api/v2/events/search", "logs": "/api/v2/logs/events/search"}

SEARCH_PAGE_SIZE = 1000

METRICS_PATH = "/api/v1/query"

METRICS_LIMITER = "metrics"

MAX_POINTS = 1500
"""Datadog rolls a series of more points up further than its query says."""

STATES_BY_SEVERITY = ("OK", "No Data", "Warn", "Alert")
"""The best first; every other state counts as no data."""

SEARCHABLE_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,199}")
"""Values that stand for themselves in a search; the connector itself looks for others."""

SEARCH_OPERATORS = frozenset({"AND", "OR", "NOT"})

ROLLUP_PATTERN = re.compile(r"\.rollup\(\s*\w+\s*,\s*(?P<step>[1-9][0-9]{0,6})\s*\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatadogCollection:
    """`fetch` yields every item that a scan needs; it may yield others, which the connector drops."""

    columns: DatadogColumns
    fetch: Callable[[DatadogClient, ScanRequest], ItemPages]
    filters: Mapping[str, frozenset[Op]] = field(default_factory=dict)


def build_datadog_capabilities(collection: DatadogCollection) -> Capabilities:
    """Promise filters and keys: they narrow the search where they can, and the connector checks what comes back."""
    return Capabilities(
        columns={
            name: Column(column_type, collection.filters.get(name, frozenset()))
            for name, (column_type, _) in collection.columns.items()
        },
        max_keys=MAX_KEYS,
    )


def build_monitors_collection(tags: Mapping[str, ColumnType]) -> DatadogCollection:
    tag_columns = {
        name: (column_type, _build_tag_reader(name, column_type, _get_monitor_tags))
        for name, column_type in tags.items()
    }
    return DatadogCollection(columns={**tag_columns, **MONITOR_COLUMNS}, fetch=partial(_fetch_monitors, tuple(tags)))


def build_health_collection(tag: str, column_type: ColumnType) -> DatadogCollection:
    """Build the collection that has a row for each value of the tag, with the state of all its monitors."""
    return DatadogCollection(
        columns={
            tag: (column_type, lambda item: item[tag]),
            "status": (ColumnType.TEXT, lambda item: item["status"]),
            "open": (ColumnType.INTEGER, lambda item: item["open"]),
            "monitors": (ColumnType.INTEGER, lambda item: item["monitors"]),
        },
        fetch=partial(_fetch_health, tag, _build_tag_reader(tag, column_type, _get_monitor_tags)),
    )


def build_search_collection(
    name: str, tags: Mapping[str, ColumnType], history: timedelta, clock: Clock
) -> DatadogCollection:
    """Build the collection `events` or `logs`; where a tag has the name of one of its columns, the tag has none."""
    columns = {
        **{
            tag: (column_type, _build_tag_reader(tag, column_type, _get_search_tags))
            for tag, column_type in tags.items()
        },
        **SEARCH_COLUMNS[name],
    }
    facets = tuple(column for column in columns if column in tags or column in ("service", "host", "status"))
    return DatadogCollection(
        columns=columns,
        filters={"time": RANGE_OPS, **dict.fromkeys(facets, EQUALITY_OPS)},
        fetch=partial(_fetch_search, name, facets, history, clock),
    )


def build_metrics_collection(
    queries: Mapping[str, str], tags: Mapping[str, ColumnType], history: timedelta, clock: Clock
) -> DatadogCollection:
    """Build the collection `metrics`.

    Raises ValueError for a query without a roll-up, whose points would depend on the time of the call.
    """
    tag_columns = {
        tag: (column_type, _build_tag_reader(tag, column_type, lambda item: item["tags"]))
        for tag, column_type in tags.items()
    }
    metrics = {
        name: MetricQuery(name=name, query=query, step=_parse_rollup_step(name, query))
        for name, query in queries.items()
    }
    return DatadogCollection(
        columns={
            **tag_columns,
            "metric": (ColumnType.TEXT, lambda item: item["metric"]),
            "time": (ColumnType.TIME, lambda item: item["time"]),
            "value": (ColumnType.FLOAT, lambda item: item["value"]),
        },
        filters={"metric": EQUALITY_OPS, "time": RANGE_OPS},
        fetch=partial(_fetch_metrics, metrics, history, clock),
    )


def _build_tag_reader(
    name: str, column_type: ColumnType, get_tags: Callable[[DatadogItem], Sequence[str]]
) -> ColumnReader:
    """Build the reader of the first tag with this key."""
    prefix = f"{name}:"

    def read(item: DatadogItem) -> Value:
        tag = next((tag for tag in get_tags(item) if tag.startswith(prefix)), "")
        return convert_label(tag.removeprefix(prefix), column_type)

    return read


def _build_attribute_reader(*path: str) -> ColumnReader:
    """Build the reader of a text among an item's attributes; None where it is missing or empty."""

    def read(item: DatadogItem) -> str | None:
        value: Any = item["attributes"]
        for step in path:
            value = (value or {}).get(step)
        return value or None

    return read


def _build_time_reader(name: str) -> ColumnReader:
    return lambda item: _parse_time(item[name]) if item.get(name) else None


def _parse_time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _get_monitor_tags(item: DatadogItem) -> Sequence[str]:
    return item.get("tags") or ()


def _get_search_tags(item: DatadogItem) -> Sequence[str]:
    return item["attributes"].get("tags") or ()


MONITOR_COLUMNS: DatadogColumns = {
    "id": (ColumnType.INTEGER, lambda item: int(item["id"])),
    "name": (ColumnType.TEXT, lambda item: item.get("name")),
    "status": (ColumnType.TEXT, lambda item: item.get("overall_state")),
    "kind": (ColumnType.TEXT, lambda item: item.get("type")),
    "query": (ColumnType.TEXT, lambda item: item.get("query")),
    "message": (ColumnType.TEXT, lambda item: item.get("message") or None),
    "tags": (ColumnType.LIST, lambda item: tuple(_get_monitor_tags(item))),
    "created": (ColumnType.TIME, _build_time_reader("created")),
    "modified": (ColumnType.TIME, _build_time_reader("modified")),
}

SHARED_SEARCH_COLUMNS: DatadogColumns = {
    "id": (ColumnType.TEXT, lambda item: item["id"]),
    "time": (ColumnType.TIME, lambda item: _parse_time(item["attributes"]["timestamp"])),
    "message": (ColumnType.TEXT, _build_attribute_reader("message")),
    "tags": (ColumnType.LIST, lambda item: tuple(_get_search_tags(item))),
}

SEARCH_COLUMNS: Mapping[str, DatadogColumns] = {
    "events": {
        **SHARED_SEARCH_COLUMNS,
        "title": (ColumnType.TEXT, _build_attribute_reader("attributes", "title")),
        "status": (ColumnType.TEXT, _build_attribute_reader("attributes", "status")),
    },
    "logs": {
        **SHARED_SEARCH_COLUMNS,
        "service": (ColumnType.TEXT, _build_attribute_reader("service")),
        "host": (ColumnType.TEXT, _build_attribute_reader("host")),
        "status": (ColumnType.TEXT, _build_attribute_reader("status")),
    },
}


async def _fetch_health(tag: str, read_tag: ColumnReader, client: DatadogClient, request: ScanRequest) -> ItemPages:
    """Read all monitors before any is judged; one that stands on two pages counts once."""
    states_by_value: dict[Any, dict[int, str]] = {}
    async for page in _fetch_monitors((tag,), client, request):
        for monitor in page:
            states = states_by_value.setdefault(read_tag(monitor), {})
            states[int(monitor["id"])] = monitor.get("overall_state") or ""
    states_by_value.pop(None, None)
    yield [
        {
            tag: value,
            "status": STATES_BY_SEVERITY[max(map(_rank_state, states.values()))],
            "open": sum(state in ("Warn", "Alert") for state in states.values()),
            "monitors": len(states),
        }
        for value, states in states_by_value.items()
    ]


def _rank_state(state: str) -> int:
    return STATES_BY_SEVERITY.index(state if state in STATES_BY_SEVERITY else "No Data")


async def _fetch_monitors(tags: Sequence[str], client: DatadogClient, request: ScanRequest) -> ItemPages:
    for column in ("id", *tags):
        values = find_allowed_values(column, request)
        texts = None if values is None or len(values) > MAX_SINGLE_LOOKUPS else _encode_search_values(values)
        if texts is not None:
            fetch = (
                partial(_fetch_monitor_by_id, client)
                if column == "id"
                else partial(_fetch_monitors_by_tag, client, column)
            )
            yield _deduplicate_monitors(await fan_out(fetch, texts, client.limits.max_concurrency))
            return
    async for page in _fetch_monitor_pages(client, {}):
        yield page


def _deduplicate_monitors(pages: Sequence[Sequence[DatadogItem]]) -> list[DatadogItem]:
    return list({monitor["id"]: monitor for page in pages for monitor in page}.values())


async def _fetch_monitor_by_id(client: DatadogClient, monitor_id: str) -> list[DatadogItem]:
    if not monitor_id.isdecimal():
        return []
    monitor = await client.get(MONITORS_LIMITER, f"{MONITORS_PATH}/{monitor_id}", {})
    return [] if monitor is None else [monitor]


async def _fetch_monitors_by_tag(client: DatadogClient, tag: str, value: str) -> list[DatadogItem]:
    pages = _fetch_monitor_pages(client, {"monitor_tags": f"{tag}:{value}"})
    return [monitor async for page in pages for monitor in page]


async def _fetch_monitor_pages(client: DatadogClient, parameters: Mapping[str, str]) -> ItemPages:
    """Yield pages until one is not full."""
    number = 0
    while True:
        page_parameters = {**parameters, "page": str(number), "page_size": str(MONITORS_PAGE_SIZE)}
        monitors = extract_list(await client.get(MONITORS_LIMITER, MONITORS_PATH, page_parameters))
        yield monitors
        if len(monitors) < MONITORS_PAGE_SIZE:
            return
        number += 1


async def _fetch_search(
    name: str, facets: Sequence[str], history: timedelta, clock: Clock, client: DatadogClient, request: ScanRequest
) -> ItemPages:
    """Follow the cursors of a search.

    Raises ConnectorError past `max_items`: nobody wants to read everything that was ever logged.
    """
    start, end = _compute_time_range(request, clock() - history, None)
    query = _compile_search_query(facets, request)
    if query is None or (end is not None and start > end):
        return
    search = {
        "query": query,
        "from": _format_milliseconds(start),
        **({"to": _format_range_end(end)} if end is not None else {}),
    }
    cursor, seen_cursors, count = None, set(), 0
    while True:
        page = {"limit": SEARCH_PAGE_SIZE, **({"cursor": cursor} if cursor else {})}
        response = await client.post(name, SEARCH_PATHS[name], {"filter": search, "sort": "timestamp", "page": page})
        items = extract_list(response, "data")
        count += len(items)
        if count > client.max_items:
            raise build_item_limit_error(name, client.max_items)
        yield items
        cursor = ((response.get("meta") or {}).get("page") or {}).get("after")
        if not cursor:
            return
        if cursor in seen_cursors:
            raise build_unreadable_response_error(DATADOG)
        seen_cursors.add(cursor)


def _compile_search_query(facets: Sequence[str], request: ScanRequest) -> str | None:
    """Compile the search; None when no item can meet the scan.

    A facet with a value that does not stand for itself is left out: the connector filters what comes back.
    """
    parts = []
    for facet in facets:
        values = find_allowed_values(facet, request)
        if values is None:
            continue
        if not values:
            return None
        if texts := _encode_search_values(values):
            parts.append(f"{facet}:{texts[0]}" if len(texts) == 1 else f"{facet}:({' OR '.join(texts)})")
    return " ".join(parts) or "*"


def _encode_search_values(values: frozenset[Any]) -> list[str] | None:
    """Write values as they stand in a search, sorted; None when one of them would not stand for itself."""
    texts = sorted(map(str, values))
    return texts if all(SEARCHABLE_VALUE.fullmatch(text) and text not in SEARCH_OPERATORS for text in texts) else None


def _compute_time_range(request: ScanRequest, low: datetime, high: datetime | None) -> tuple[datetime, datetime | None]:
    """Narrow a time range to one that holds every item that meets the filter; None: it has no end."""
    for comparison in iterate_comparisons(request, "time"):
        if comparison.op in (Op.EQ, Op.GT, Op.GTE):
            low = max(low, comparison.value)
        if comparison.op in (Op.EQ, Op.LT, Op.LTE):
            high = comparison.value if high is None else min(high, comparison.value)
    return low, high


def _format_milliseconds(instant: datetime) -> str:
    return str(max(0, (instant - EPOCH) // MILLISECOND))


def _format_range_end(instant: datetime) -> str:
    """Add a millisecond, as Datadog does not say whether the end is included."""
    return str(max(0, ceil((instant - EPOCH) / MILLISECOND) + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricQuery:
    """A declared query, and the seconds between its points."""

    name: str
    query: str
    step: int


def _parse_rollup_step(name: str, query: Any) -> int:
    match = ROLLUP_PATTERN.search(query) if isinstance(query, str) else None
    if match is None:
        raise ValueError(f"`metrics.{name}` must be a query that says its roll-up in seconds, as `.rollup(sum, 60)`")
    return int(match["step"])


async def _fetch_metrics(
    metrics: Mapping[str, MetricQuery],
    history: timedelta,
    clock: Clock,
    client: DatadogClient,
    request: ScanRequest,
) -> ItemPages:
    now = clock()
    start, end = _compute_time_range(request, now - history, now)
    names = find_allowed_values("metric", request)
    selected = [metric for metric in metrics.values() if names is None or metric.name in names]
    if end is None or start > end or not selected:
        return
    calls = [{**_compute_query_range(metric, start, end), "query": metric.query} for metric in selected]
    responses = await fan_out(partial(client.get, METRICS_LIMITER, METRICS_PATH), calls, client.limits.max_concurrency)
    for metric, response in zip(selected, responses, strict=True):
        yield [item for series in extract_list(response, "series") for item in _convert_points(metric.name, series)]


def _compute_query_range(metric: MetricQuery, start: datetime, end: datetime) -> Mapping[str, str]:
    """Widen a time range to whole steps. Raises ConnectorError when it has more points than Datadog gives."""
    low = floor(_to_seconds(start) / metric.step) * metric.step
    high = ceil(_to_seconds(end) / metric.step) * metric.step
    if (points := (high - low) // metric.step) > MAX_POINTS:
        excess = (
            f"`{metric.name}` is asked for {points:,} points of each series, over Datadog's limit of {MAX_POINTS:,}"
        )
        raise ConnectorError(f"{excess}: bound `time` from below", ErrorCode.LIMIT_EXCEEDED)
    return {"from": str(low), "to": str(high)}


def _convert_points(name: str, series: DatadogItem) -> list[DatadogItem]:
    tags: Sequence[str] = series.get("tag_set") or [tag for tag in series.get("scope", "").split(",") if tag != "*"]
    return [
        {
            "metric": name,
            "tags": tags,
            "time": EPOCH + timedelta(milliseconds=round(milliseconds)),
            "value": convert_sample(value),
        }
        for milliseconds, value in series["pointlist"]
    ]


def _to_seconds(instant: datetime) -> float:
    return (instant - EPOCH).total_seconds()
