"""Options, collections."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from math import ceil, floor, isfinite
from typing import Any, TypeAlias

from onedoor.connectors.datadog.client import (
    DatadogClient,
    build_datadog_client,
    build_datadog_item_limit_error,
    build_invalid_datadog_response_error,
    extract_list,
    map_datadog_error,
)
from onedoor.connectors.http_client import check_base_url
from onedoor.connectors.path_patterns import CANONICAL_INTEGER_PATTERN
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.concurrency import fan_out
from onedoor.runtime.quota import ConnectorRateLimiters
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.connector import ConnectorKind
from onedoor.spi.operators import compile_key, compile_predicate
from onedoor.spi.predicates import And, Comparison, Op, Row, Value
from onedoor.spi.scan import ScanRequest

DatadogItem: TypeAlias = Mapping[str, Any]

ColumnReader: TypeAlias = Callable[[DatadogItem], Value]

DatadogColumns: TypeAlias = Mapping[str, tuple[ColumnType, ColumnReader]]

FetchItems: TypeAlias = Callable[[DatadogClient, ScanRequest], AsyncIterator[Sequence[DatadogItem]]]

EQUALITY_OPS = frozenset({Op.EQ, Op.IN})

RANGE_OPS = frozenset({Op.EQ, Op.LT, Op.LTE, Op.GT, Op.GTE})

MAX_KEYS = 50

INTEGER_PATTERN = re.compile(CANONICAL_INTEGER_PATTERN)

TAG_PATTERN = re.compile(r"(?P<name>[a-z][a-z0-9_]*)(?P<whole>:int)?")

SEARCHABLE_VALUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,199}")
"""Values that mean themselves in a search; others are looked for by us."""

SEARCH_OPERATORS = frozenset({"AND", "OR", "NOT"})

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatadogCollection:
    """`fetch` gives every item that an ask means; it may give others, which the source drops."""

    columns: DatadogColumns
    fetch: FetchItems
    filters: Mapping[str, frozenset[Op]] = field(default_factory=dict)


def build_datadog_capabilities(collection: DatadogCollection) -> Capabilities:
    """Filters and keys narrow the search where they can; the source holds what comes back against them."""
    return Capabilities(
        columns={
            name: Column(kind, collection.filters.get(name, frozenset()))
            for name, (kind, _) in collection.columns.items()
        },
        max_keys=MAX_KEYS,
    )


def parse_tags(tags: Sequence[str], reserved: Sequence[str]) -> Mapping[str, ColumnType]:
    """`service` for text, `customer_id:int` for whole numbers. ValueError: no tag can be called so."""
    found: dict[str, ColumnType] = {}
    for each in tags:
        tag = TAG_PATTERN.fullmatch(each)
        if tag is None or tag["name"] in found or tag["name"] in reserved:
            raise ValueError("`tags` must be the keys of tags, each once, as `service` or `customer_id:int`")
        found[tag["name"]] = ColumnType.INTEGER if tag["whole"] else ColumnType.TEXT
    return found


def build_tag_reader(
    name: str, column_type: ColumnType, get_tags: Callable[[DatadogItem], Sequence[str]]
) -> ColumnReader:
    """The value of the first tag with this key."""

    def read(item: DatadogItem) -> Value:
        said = next((each.partition(":")[2] for each in get_tags(item) if each.startswith(f"{name}:")), "")
        if column_type is ColumnType.TEXT:
            return said or None
        return int(said) if INTEGER_PATTERN.fullmatch(said) else None

    return read


def parse_datadog_time(text: str) -> datetime:
    """`2026-10-31T12:00:00.123Z`."""
    return datetime.fromisoformat(text).astimezone(UTC)


def find_allowed_values(column: str, request: ScanRequest) -> frozenset[Any] | None:
    """The values that tests and keys leave to a column; None: any."""
    left = [
        frozenset((each.value,) if each.op is Op.EQ else each.value)
        for each in list_comparisons(request.filter)
        if each.column == column and each.op in EQUALITY_OPS
    ]
    if request.keys is not None and column in request.keys.columns:
        at = request.keys.columns.index(column)
        left.append(frozenset(key[at] for key in request.keys.values))
    return frozenset.intersection(*left) if left else None


def list_comparisons(predicate: Any) -> Sequence[Comparison]:
    """Of an `All` of tests, which is all that was promised."""
    if isinstance(predicate, And):
        return [found for each in predicate.parts for found in list_comparisons(each)]
    return [predicate]


def encode_search_values(values: frozenset[Any]) -> list[str] | None:
    """As they stand in a search, in order; None where one of them would not mean itself."""
    texts = sorted(map(str, values))
    return texts if all(SEARCHABLE_VALUE.fullmatch(each) and each not in SEARCH_OPERATORS for each in texts) else None


def compute_time_range(request: ScanRequest, low: datetime, high: datetime | None) -> tuple[datetime, datetime | None]:
    """Between which moments all lies that is meant; some that is not may, too. None: without an end."""
    for each in list_comparisons(request.filter):
        if each.column == "time":
            if each.op in (Op.EQ, Op.GT, Op.GTE):
                low = max(low, each.value)
            if each.op in (Op.EQ, Op.LT, Op.LTE):
                high = each.value if high is None else min(high, each.value)
    return low, high


MONITORS_PATH = "/api/v1/monitor"

MONITORS_LIMITER = "monitors"

MONITORS_PAGE_SIZE = 100

MAX_SINGLE_LOOKUPS = 5
"""Up to so many keys are asked for one by one; more are found among all."""

STATES_BY_SEVERITY = ("OK", "No Data", "Warn", "Alert")
"""The better first; of any other state nothing is known either."""

MONITOR_COLUMNS: DatadogColumns = {
    "id": (ColumnType.INTEGER, lambda item: int(item["id"])),
    "name": (ColumnType.TEXT, lambda item: item.get("name")),
    "status": (ColumnType.TEXT, lambda item: item.get("overall_state")),
    "kind": (ColumnType.TEXT, lambda item: item.get("type")),
    "query": (ColumnType.TEXT, lambda item: item.get("query")),
    "message": (ColumnType.TEXT, lambda item: item.get("message") or None),
    "tags": (ColumnType.LIST, lambda item: tuple(item.get("tags") or ())),
    "created": (ColumnType.TIME, lambda item: parse_datadog_time(item["created"]) if item.get("created") else None),
    "modified": (ColumnType.TIME, lambda item: parse_datadog_time(item["modified"]) if item.get("modified") else None),
}


def build_monitors_collection(tags: Mapping[str, ColumnType]) -> DatadogCollection:
    further = {name: (kind, build_tag_reader(name, kind, _get_monitor_tags)) for name, kind in tags.items()}
    return DatadogCollection(
        columns={**further, **MONITOR_COLUMNS},
        fetch=partial(_fetch_monitors, tuple(tags)),
    )


def build_health_collection(tag: str, column_type: ColumnType) -> DatadogCollection:
    """One row for each value of the tag."""
    return DatadogCollection(
        columns={
            tag: (column_type, lambda item: item[tag]),
            "status": (ColumnType.TEXT, lambda item: item["status"]),
            "open": (ColumnType.INTEGER, lambda item: item["open"]),
            "monitors": (ColumnType.INTEGER, lambda item: item["monitors"]),
        },
        fetch=partial(_fetch_health, tag, build_tag_reader(tag, column_type, _get_monitor_tags)),
    )


async def _fetch_health(
    tag: str, read_tag: Any, client: DatadogClient, request: ScanRequest
) -> AsyncIterator[Sequence[DatadogItem]]:
    """All monitors are looked at before any is judged; one that two pages hold counts once."""
    found: dict[Any, dict[int, str]] = {}
    async for page in _fetch_monitors((tag,), client, request):
        for each in page:
            found.setdefault(read_tag(each), {})[int(each["id"])] = each.get("overall_state") or ""
    found.pop(None, None)
    yield [
        {
            tag: value,
            "status": STATES_BY_SEVERITY[max(map(_rank_state, states.values()))],
            "open": sum(state in ("Warn", "Alert") for state in states.values()),
            "monitors": len(states),
        }
        for value, states in found.items()
    ]


def _rank_state(state: str) -> int:
    return STATES_BY_SEVERITY.index(state if state in STATES_BY_SEVERITY else "No Data")


async def _fetch_monitors(
    tags: Sequence[str], client: DatadogClient, request: ScanRequest
) -> AsyncIterator[Sequence[DatadogItem]]:
    for column in ("id", *tags):
        values = find_allowed_values(column, request)
        texts = None if values is None or len(values) > MAX_SINGLE_LOOKUPS else encode_search_values(values)
        if texts is not None:
            act = (
                partial(_fetch_monitor_by_id, client)
                if column == "id"
                else partial(_fetch_monitors_by_tag, client, column)
            )
            yield _deduplicate_monitors(await fan_out(act, texts, client.at_once))
            return
    async for page in _fetch_monitor_pages(client, {}):
        yield page


def _deduplicate_monitors(answers: Sequence[Sequence[DatadogItem]]) -> list[DatadogItem]:
    return list({item["id"]: item for answer in answers for item in answer}.values())


async def _fetch_monitor_by_id(client: DatadogClient, monitor_id: str) -> list[DatadogItem]:
    if not monitor_id.isdecimal():
        return []
    found = await client.get(MONITORS_LIMITER, f"{MONITORS_PATH}/{monitor_id}", {})
    return [] if found is None else [found]


async def _fetch_monitors_by_tag(client: DatadogClient, tag: str, value: str) -> list[DatadogItem]:
    return [item async for page in _fetch_monitor_pages(client, {"monitor_tags": f"{tag}:{value}"}) for item in page]


async def _fetch_monitor_pages(
    client: DatadogClient, parameters: Mapping[str, str]
) -> AsyncIterator[list[DatadogItem]]:
    """A page that is not full is the last."""
    number = 0
    while True:
        turned = {**parameters, "page": str(number), "page_size": str(MONITORS_PAGE_SIZE)}
        found = extract_list({"found": await client.get(MONITORS_LIMITER, MONITORS_PATH, turned)}, "found")
        yield found
        if len(found) < MONITORS_PAGE_SIZE:
            return
        number += 1


def _get_monitor_tags(item: DatadogItem) -> Sequence[str]:
    return item.get("tags") or ()


SEARCH_PAGE_SIZE = 1000

SEARCH_PATHS = {"events": "/api/v2/events/search", "logs": "/api/v2/logs/events/search"}

MILLISECOND = timedelta(milliseconds=1)


def build_attribute_reader(*path: str) -> ColumnReader:
    """The text at a place of an item's attributes; None where it is missing or empty."""

    def read(item: DatadogItem) -> str | None:
        found: Any = item["attributes"]
        for step in path:
            found = (found or {}).get(step)
        return found or None

    return read


def get_search_tags(item: DatadogItem) -> Sequence[str]:
    return item["attributes"].get("tags") or ()


SHARED_SEARCH_COLUMNS: DatadogColumns = {
    "id": (ColumnType.TEXT, lambda item: item["id"]),
    "time": (ColumnType.TIME, lambda item: parse_datadog_time(item["attributes"]["timestamp"])),
    "message": (ColumnType.TEXT, build_attribute_reader("message")),
    "tags": (ColumnType.LIST, lambda item: tuple(get_search_tags(item))),
}

SEARCH_COLUMNS: Mapping[str, DatadogColumns] = {
    "events": {
        **SHARED_SEARCH_COLUMNS,
        "title": (ColumnType.TEXT, build_attribute_reader("attributes", "title")),
        "status": (ColumnType.TEXT, build_attribute_reader("attributes", "status")),
    },
    "logs": {
        **SHARED_SEARCH_COLUMNS,
        "service": (ColumnType.TEXT, build_attribute_reader("service")),
        "host": (ColumnType.TEXT, build_attribute_reader("host")),
        "status": (ColumnType.TEXT, build_attribute_reader("status")),
    },
}


def build_search_collection(
    name: str, tags: Mapping[str, ColumnType], history: timedelta, now: Any
) -> DatadogCollection:
    """A tag's column of the same name as one of its own gives way."""
    columns = {
        **{tag: (kind, build_tag_reader(tag, kind, get_search_tags)) for tag, kind in tags.items()},
        **SEARCH_COLUMNS[name],
    }
    facets = tuple(each for each in columns if each in tags or each in ("service", "host", "status"))
    return DatadogCollection(
        columns=columns,
        filters={"time": RANGE_OPS, **dict.fromkeys(facets, EQUALITY_OPS)},
        fetch=partial(_fetch_search, name, facets, history, now),
    )


async def _fetch_search(
    name: str, facets: Sequence[str], history: timedelta, now: Any, client: DatadogClient, request: ScanRequest
) -> AsyncIterator[Sequence[DatadogItem]]:
    """SourceFailed past `items`, as nobody wants to read all that was ever logged."""
    start, end = compute_time_range(request, now() - history, None)
    query = _compile_search_query(facets, request)
    if query is None or (end is not None and start > end):
        return
    wanted = {
        "query": query,
        "from": _format_milliseconds(start),
        **({"to": _format_range_end(end)} if end is not None else {}),
    }
    cursor, seen, count = None, set(), 0
    while True:
        page = {"limit": SEARCH_PAGE_SIZE, **({"cursor": cursor} if cursor else {})}
        answer = await client.post(name, SEARCH_PATHS[name], {"filter": wanted, "sort": "timestamp", "page": page})
        found = extract_list(answer, "data")
        count += len(found)
        if count > client.items:
            raise build_datadog_item_limit_error(name, client.items)
        yield found
        cursor = ((answer.get("meta") or {}).get("page") or {}).get("after")
        if not cursor:
            return
        if cursor in seen:
            raise build_invalid_datadog_response_error()
        seen.add(cursor)


def _compile_search_query(facets: Sequence[str], request: ScanRequest) -> str | None:
    """None: nothing can be meant. What would not mean itself is not searched for; it is dropped among what comes."""
    parts = []
    for facet in facets:
        values = find_allowed_values(facet, request)
        if values is None:
            continue
        if not values:
            return None
        if texts := encode_search_values(values):
            parts.append(f"{facet}:{texts[0]}" if len(texts) == 1 else f"{facet}:({' OR '.join(texts)})")
    return " ".join(parts) or "*"


def _format_milliseconds(instant: datetime) -> str:
    return str(max(0, (instant - EPOCH) // MILLISECOND))


def _format_range_end(instant: datetime) -> str:
    """One more, as it is not said whether an end is counted."""
    return str(max(0, ceil((instant - EPOCH) / MILLISECOND) + 1))


MAX_POINTS = 1500
"""More of one series Datadog rolls up further than the query says."""

ROLLUP_PATTERN = re.compile(r"\.rollup\(\s*\w+\s*,\s*(?P<step>[1-9][0-9]{0,6})\s*\)")

METRICS_PATH = "/api/v1/query"

METRICS_LIMITER = "metrics"


def build_metrics_collection(
    queries: Mapping[str, str], tags: Mapping[str, ColumnType], history: timedelta, now: Any
) -> DatadogCollection:
    """ValueError: a query without a roll-up, whose points would depend on the time they are asked for."""
    steps = {name: _parse_rollup_step(name, query) for name, query in queries.items()}
    further = {tag: (kind, build_tag_reader(tag, kind, lambda item: item["tags"])) for tag, kind in tags.items()}
    return DatadogCollection(
        columns={
            **further,
            "metric": (ColumnType.TEXT, lambda item: item["metric"]),
            "time": (ColumnType.TIME, lambda item: item["time"]),
            "value": (ColumnType.FLOAT, lambda item: item["value"]),
        },
        filters={"metric": EQUALITY_OPS, "time": RANGE_OPS},
        fetch=partial(_fetch_metrics, {name: (query, steps[name]) for name, query in queries.items()}, history, now),
    )


def _parse_rollup_step(name: str, query: Any) -> int:
    """In seconds."""
    found = ROLLUP_PATTERN.search(query) if isinstance(query, str) else None
    if found is None:
        raise ValueError(f"`metrics.{name}` must be a query that says its roll-up in seconds, as `.rollup(sum, 60)`")
    return int(found["step"])


async def _fetch_metrics(
    queries: Mapping[str, tuple[str, int]], history: timedelta, now: Any, client: DatadogClient, request: ScanRequest
) -> AsyncIterator[Sequence[DatadogItem]]:
    start, end = compute_time_range(request, now() - history, now())
    assert end is not None
    wanted = find_allowed_values("metric", request)
    names = [each for each in queries if wanted is None or each in wanted]
    if start > end or not names:
        return
    asked = [(queries[name][0], _compute_query_range(name, queries[name][1], start, end)) for name in names]
    answers = await fan_out(lambda each: _fetch_series(client, *each), asked, client.at_once)
    for name, series in zip(names, answers, strict=True):
        yield [item for each in series for item in _convert_points(name, each)]


def _compute_query_range(name: str, step: int, start: datetime, end: datetime) -> Mapping[str, str]:
    """Whole ones. SourceFailed: so many that they would be other ones."""
    low, high = floor(_to_seconds(start) / step) * step, ceil(_to_seconds(end) / step) * step
    if (points := (high - low) // step) > MAX_POINTS:
        asked = f"`{name}` is asked for {points:,} points of each series, over Datadog's limit of {MAX_POINTS:,}"
        raise ConnectorError(f"{asked}: bound `time` from below", ErrorCode.LIMIT_EXCEEDED)
    return {"from": str(low), "to": str(high)}


async def _fetch_series(client: DatadogClient, query: str, query_range: Mapping[str, str]) -> list[DatadogItem]:
    return extract_list(await client.get(METRICS_LIMITER, METRICS_PATH, {**query_range, "query": query}), "series")


def _convert_points(name: str, series: DatadogItem) -> list[DatadogItem]:
    """What is not a number, or has no end, has no value."""
    tags: Sequence[str] = series.get("tag_set") or [each for each in series.get("scope", "").split(",") if each != "*"]
    return [
        {
            "metric": name,
            "tags": tags,
            "time": EPOCH + timedelta(milliseconds=round(at)),
            "value": float(value) if value is not None and isfinite(value) else None,
        }
        for at, value in series["pointlist"]
    ]


def _to_seconds(instant: datetime) -> float:
    return (instant - EPOCH).total_seconds()


RESERVED_COLUMNS = (
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
class DatadogOptions:
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


def get_current_second() -> datetime:
    """In whole seconds, so that what is read twice in one second is one read."""
    return datetime.now(UTC).replace(microsecond=0)


async def connect(
    options: DatadogOptions,
    rate_limiters: ConnectorRateLimiters | None = None,
    clock: Callable[[], datetime] = get_current_second,
) -> "DatadogConnector":
    """Asks Datadog nothing yet. Without quotas it alone says when to slow down. ValueError: what cannot be."""
    collections = _build_datadog_collections(options, clock)
    rate_limiters = rate_limiters or ConnectorRateLimiters(
        source="datadog", per_minute={}, clock=asyncio.get_running_loop()
    )
    base_url = check_base_url(
        options.base_url or f"https://api.{options.site}", private_addresses=options.private_addresses
    )
    called = build_datadog_client(
        {"DD-API-KEY": options.api_key, "DD-APPLICATION-KEY": options.app_key},
        base_url,
        rate_limiters,
        timeout=options.timeout,
        at_once=options.connections,
        most=options.response_bytes,
        items=options.items,
        private_addresses=options.private_addresses,
    )
    return DatadogConnector(called, collections)


def _build_datadog_collections(
    options: DatadogOptions, clock: Callable[[], datetime]
) -> Mapping[str, DatadogCollection]:
    tags, history = parse_tags(options.tags, RESERVED_COLUMNS), timedelta(days=options.days)
    found = {
        "monitors": build_monitors_collection(tags),
        "events": build_search_collection("events", tags, history, clock),
        "logs": build_search_collection("logs", tags, history, clock),
        "metrics": build_metrics_collection(options.metrics or {}, tags, history, clock),
    }
    if options.health is not None:
        if options.health not in tags:
            raise ValueError(f"`health` must be one of `tags`, add `{options.health}` to them")
        found["health"] = build_health_collection(options.health, tags[options.health])
    return found


class DatadogConnector:
    """The collections `monitors`, `events`, `logs`, `metrics` and, where a tag is named for it, `health`."""

    def __init__(self, client: DatadogClient, collections: Mapping[str, DatadogCollection]) -> None:
        self.client = client
        self.collections = collections
        self.capabilities_by_collection = {name: build_datadog_capabilities(each) for name, each in collections.items()}

    def capabilities(self, collection: str) -> Capabilities:
        return self.capabilities_by_collection[collection]

    async def scan(self, request: ScanRequest) -> AsyncIterator[Sequence[Row]]:
        collection = self.collections[request.collection]
        try:
            async with aclosing(collection.fetch(self.client, request)) as pages:  # type: ignore[type-var]
                async for items in pages:
                    yield filter_datadog_rows(items, request, collection)
        except ConnectorError:
            raise
        except Exception as error:
            raise map_datadog_error(error, self.client.timeout) from error

    async def ping(self) -> None:
        """Whether it takes the keys."""
        await self.client.get("validate", "/api/v1/validate", {})

    async def close(self) -> None:
        await self.client.session.close()


def filter_datadog_rows(items: Sequence[DatadogItem], request: ScanRequest, collection: DatadogCollection) -> list[Row]:
    """Of a page, those that are meant, with the columns that are wanted."""
    columns = tuple(collection.columns)
    meets, wanted = compile_predicate(request.filter, columns), compile_key(request.columns, columns)
    found = [tuple(read(item) for _, read in collection.columns.values()) for item in items]
    if request.keys is not None:
        key, keys = compile_key(request.keys.columns, columns), frozenset(request.keys.values)
        found = [row for row in found if key(row) in keys]
    return [wanted(row) for row in found if meets(row)]


KIND = ConnectorKind(options=DatadogOptions, connect=connect, quotas=QUOTA)
