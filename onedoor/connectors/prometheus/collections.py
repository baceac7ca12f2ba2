"""Declare the collections of a Prometheus, and plan the PromQL requests that answer a scan of them."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from math import ceil, floor, inf
from typing import Any

from onedoor.connectors.labelled_series import (
    EPOCH,
    EQUALITY_OPS,
    MILLISECOND,
    RANGE_OPS,
    collect_key_values,
    find_allowed_values,
    iterate_comparisons,
)
from onedoor.connectors.setting_readers import (
    SettingReader,
    parse_dataclass_setting,
    parse_labels,
    parse_text_list_setting,
    parse_text_setting,
)
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.predicates import Op
from onedoor.spi.scan import ScanRequest

SELECTORS_PLACEHOLDER, WINDOW_PLACEHOLDER = "{selectors}", "{window}"
"""The places in a query of the label matchers of a scan, and of the duration it looks back."""

MAX_KEYS = 100

MAX_POINTS = 11_000
"""The points of one series that Prometheus gives at a time."""

DURATION_PATTERN = re.compile(r"(?P<count>[1-9][0-9]{0,5})(?P<unit>[smhdw])")

SECONDS_BY_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

RESERVED_COLUMNS = frozenset({"window", "step", "time", "value"})

LABEL_ESCAPES = {"\\": "\\\\", '"': '\\"'} | {chr(code): f"\\x{code:02x}" for code in (*range(0x20), 0x7F)}
"""How characters are written that may not stand in a quoted text as they are."""

REGEX_METACHARACTERS = frozenset("\\.+*?()|[]{}^$")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusCollection:
    """A declared query. With `steps` its rows are samples, one for each step; without, the values at one instant."""

    name: str
    query: str
    labels: Mapping[str, ColumnType]
    """The labels in which its series differ, text or whole numbers; each is a column."""
    windows: tuple[str, ...] = ()
    """What may stand for `{window}`, each with rows of its own."""
    steps: tuple[int, ...] = ()
    """In seconds, each with rows of its own."""
    history: int = 3600
    """The seconds that samples go back."""

    @property
    def columns(self) -> Mapping[str, ColumnType]:
        return {
            **self.labels,
            **({"window": ColumnType.TEXT} if self.windows else {}),
            **({"step": ColumnType.INTEGER} if self.steps else {}),
            "time": ColumnType.TIME,
            "value": ColumnType.FLOAT,
        }


def build_prometheus_capabilities(collection: PrometheusCollection) -> Capabilities:
    """Promise filters of labels where the query has a place for matchers, and of window, step and time.

    Any columns can be keys: labels narrow the query, times and windows have requests of their own, and the connector
    drops the rows of other keys.
    """
    label_ops = EQUALITY_OPS if SELECTORS_PLACEHOLDER in collection.query else frozenset()
    filters = {
        **dict.fromkeys(collection.labels, label_ops),
        "window": EQUALITY_OPS,
        "step": EQUALITY_OPS,
        "time": RANGE_OPS if collection.steps else EQUALITY_OPS,
    }
    return Capabilities(
        columns={
            name: Column(column_type, filters.get(name, frozenset()))
            for name, column_type in collection.columns.items()
        },
        max_keys=MAX_KEYS,
    )


def parse_prometheus_collections(settings: Mapping[str, Any]) -> dict[str, PrometheusCollection]:
    """Parse the section `collections`. Raises ValueError, which names the setting that is wrong."""
    if not settings:
        raise ValueError("declare at least one collection, as `collections.error_rate.query`")
    return {name: parse_prometheus_collection(name, section) for name, section in settings.items()}


def parse_prometheus_collection(name: str, section: Any) -> PrometheusCollection:
    setting = f"collections.{name}"
    section = {**section, "name": name} if isinstance(section, Mapping) else section
    collection: PrometheusCollection = parse_dataclass_setting(
        PrometheusCollection, section, setting, COLLECTION_READERS
    )
    if (WINDOW_PLACEHOLDER in collection.query) != bool(collection.windows):
        raise ValueError(
            f"`{setting}.windows` says what may stand for `{WINDOW_PLACEHOLDER}` in the query: have both, or neither"
        )
    return collection


def _parse_query_setting(value: Any, setting: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"`{setting}` must be PromQL, with `{SELECTORS_PLACEHOLDER}` where filters of labels go")
    return value


def _parse_labels_setting(value: Any, setting: str) -> Mapping[str, ColumnType]:
    labels = parse_labels(parse_text_list_setting(value, setting), RESERVED_COLUMNS)
    if labels is None:
        raise ValueError(f"`{setting}` must be labels, each once, as `service` or `customer_id:int`")
    return labels


def _parse_windows_setting(value: Any, setting: str) -> tuple[str, ...]:
    windows = parse_text_list_setting(value, setting)
    for window in windows:
        _parse_duration_setting(window, setting)
    return tuple(dict.fromkeys(windows))


def _parse_steps_setting(value: Any, setting: str) -> tuple[int, ...]:
    steps = (_parse_duration_setting(step, setting) for step in parse_text_list_setting(value, setting))
    return tuple(dict.fromkeys(steps))


def _parse_duration_setting(value: Any, setting: str) -> int:
    """Return the seconds of a duration such as `5m`."""
    match = DURATION_PATTERN.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"`{setting}` must be a number and a unit of s, m, h, d and w, as `5m`")
    return int(match["count"]) * SECONDS_BY_UNIT[match["unit"]]


COLLECTION_READERS: Mapping[str, SettingReader] = {
    "name": parse_text_setting,
    "query": _parse_query_setting,
    "labels": _parse_labels_setting,
    "windows": _parse_windows_setting,
    "steps": _parse_steps_setting,
    "history": _parse_duration_setting,
}


def fill_query(query: str, matchers: Mapping[str, Collection[str]], window: str | None) -> str:
    """Fill the places of a query. The matchers go in last: a value that looks like a placeholder stays a value."""
    return query.replace(WINDOW_PLACEHOLDER, window or "").replace(SELECTORS_PLACEHOLDER, _compile_matchers(matchers))


def _compile_matchers(matchers: Mapping[str, Collection[str]]) -> str:
    return ",".join(_compile_matcher(label, sorted(values)) for label, values in matchers.items())


def _compile_matcher(label: str, values: list[str]) -> str:
    if len(values) == 1:
        return f"{label}={_quote(values[0])}"
    return f"{label}=~{_quote('|'.join(map(_escape_regex, values)))}"


def _quote(text: str) -> str:
    return '"' + "".join(LABEL_ESCAPES.get(character, character) for character in text) + '"'


def _escape_regex(text: str) -> str:
    """Return the regular expression that matches this text alone; PromQL anchors it at both ends."""
    return "".join(f"\\{character}" if character in REGEX_METACHARACTERS else character for character in text)


def _is_label_value(text: str) -> bool:
    """Tell whether a label can have this value: it is UTF-8, and an empty label is a missing one."""
    return bool(text) and not any("\ud800" <= character <= "\udfff" for character in text)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromQLRequest:
    """One query: at an instant, or from `start` to `end` in seconds, which are multiples of the step."""

    query: str
    window: str | None
    instant: datetime | None = None
    step: int | None = None
    start: int = 0
    end: int = 0

    @property
    def path(self) -> str:
        return "query" if self.step is None else "query_range"

    @property
    def form(self) -> Mapping[str, str]:
        if self.instant is not None:
            return {"query": self.query, "time": f"{(self.instant - EPOCH) // MILLISECOND / 1000:.3f}"}
        return {"query": self.query, "start": str(self.start), "end": str(self.end), "step": str(self.step)}


def plan_promql_requests(request: ScanRequest, collection: PrometheusCollection, now: datetime) -> list[PromQLRequest]:
    """Return the queries of a scan; none when no row can meet it.

    Raises ConnectorError when they are for more points than Prometheus gives.
    """
    plan = _plan_range_requests if collection.steps else _plan_instant_requests
    return list(plan(collection, request, now))


def _plan_instant_requests(
    collection: PrometheusCollection, request: ScanRequest, now: datetime
) -> Iterator[PromQLRequest]:
    """Query the instants that the scan names, or now."""
    instants = find_allowed_values("time", request)
    for instant in (now,) if instants is None else sorted(instants):
        if instant < EPOCH:
            continue
        for window, query in _compile_queries(collection, _select_keys_at(request, instant)):
            yield PromQLRequest(query=query, window=window, instant=instant)


def _plan_range_requests(
    collection: PrometheusCollection, request: ScanRequest, now: datetime
) -> Iterator[PromQLRequest]:
    steps = find_allowed_values("step", request)
    low, high = _compute_seconds_range(request, now.timestamp() - collection.history, now.timestamp())
    for step in collection.steps:
        if (steps is not None and step not in steps) or low > high:
            continue
        start, end = ceil(low / step) * step, floor(high / step) * step
        if start > end:
            continue
        _check_points((end - start) // step + 1, collection.name)
        for window, query in _compile_queries(collection, request):
            yield PromQLRequest(query=query, window=window, step=step, start=start, end=end)


def _check_points(points: int, name: str) -> None:
    if points > MAX_POINTS:
        excess = f"`{name}` is asked for {points:,} points of each series, over Prometheus's limit of {MAX_POINTS:,}"
        raise ConnectorError(
            f"{excess}: bound `time` from below, or ask for a greater `step`", ErrorCode.LIMIT_EXCEEDED
        )


def _compute_seconds_range(request: ScanRequest, low: float, high: float) -> tuple[float, float]:
    """Narrow a range of seconds to one that holds every row that meets the scan, and maybe others."""
    for comparison in iterate_comparisons(request, "time"):
        seconds = (comparison.value - EPOCH).total_seconds()
        low = max(low, seconds if comparison.op in (Op.EQ, Op.GT, Op.GTE) else -inf)
        high = min(high, seconds if comparison.op in (Op.EQ, Op.LT, Op.LTE) else inf)
    if request.keys is not None and "time" in request.keys.columns:
        times = [(time - EPOCH).total_seconds() for time in collect_key_values("time", request)]
        low, high = max(low, min(times, default=inf)), min(high, max(times, default=-inf))
    return low, high


def _compile_queries(collection: PrometheusCollection, request: ScanRequest) -> Iterator[tuple[str | None, str]]:
    """Yield each window with its PromQL; none when some label can have no value that meets the scan."""
    matchers = {}
    for label in collection.labels:
        allowed = find_allowed_values(label, request)
        if allowed is not None:
            matchers[label] = [value for value in map(str, allowed) if _is_label_value(value)]
    if not all(matchers.values()):
        return
    windows = find_allowed_values("window", request) if collection.windows else None
    for window in collection.windows or (None,):
        if windows is None or window in windows:
            yield window, fill_query(collection.query, matchers, window)


def _select_keys_at(request: ScanRequest, instant: datetime) -> ScanRequest:
    """Keep the keys of one instant, so that a label of another is not queried."""
    if request.keys is None or "time" not in request.keys.columns:
        return request
    place = request.keys.columns.index("time")
    keys = tuple(key for key in request.keys.values if key[place] == instant)
    return replace(request, keys=replace(request.keys, values=keys))
