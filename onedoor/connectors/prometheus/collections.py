"""Declared collections, PromQL, range planning."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Collection as Values
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import ceil, floor, inf
from typing import Any

from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.capabilities import Capabilities, Column, ColumnType
from onedoor.spi.predicates import And, Comparison, Op, Row
from onedoor.spi.scan import ScanRequest

SELECTORS_PLACEHOLDER, WINDOW_PLACEHOLDER = "{selectors}", "{window}"
"""Where the filters of a read go into a query, and the stretch of time it looks at."""

EQUALITY_OPS = frozenset({Op.EQ, Op.IN})

RANGE_OPS = frozenset({Op.EQ, Op.LT, Op.LTE, Op.GT, Op.GTE})

MAX_KEYS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class PrometheusCollection:
    """With `steps` its rows are samples, one each so many seconds; without, the values at one instant."""

    name: str
    query: str
    labels: Mapping[str, ColumnType]
    """The labels its series differ in, text or whole numbers; each is a column."""
    windows: tuple[str, ...] = ()
    """What may stand for `{window}`, each with rows of its own."""
    steps: tuple[int, ...] = ()
    """In seconds, each with rows of its own."""
    history: int = 3600
    """How many seconds back the samples go."""

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
    """Labels become matchers where the query has a place for them; window, step and time decide what is asked at all.

    It takes any columns as keys: labels narrow the query, times and windows are calls of their own, and what comes back
    is held against the keys.
    """
    labels = dict.fromkeys(
        collection.labels, EQUALITY_OPS if SELECTORS_PLACEHOLDER in collection.query else frozenset()
    )
    filters = {
        **labels,
        "window": EQUALITY_OPS,
        "step": EQUALITY_OPS,
        "time": RANGE_OPS if collection.steps else EQUALITY_OPS,
    }
    return Capabilities(
        columns={name: Column(kind, filters.get(name, frozenset())) for name, kind in collection.columns.items()},
        max_keys=MAX_KEYS,
    )


LABEL_PATTERN = re.compile(r"(?P<name>[a-z][a-z0-9_]*)(?P<whole>:int)?")

DURATION_PATTERN = re.compile(r"(?P<count>[1-9][0-9]{0,5})(?P<unit>[smhdw])")

SECONDS_BY_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

RESERVED_COLUMNS = frozenset({"window", "step", "time", "value"})


def parse_prometheus_collections(settings: Mapping[str, Any]) -> dict[str, PrometheusCollection]:
    """By name; at least one."""
    if not settings:
        raise ValueError("declare at least one collection, as `collections.error_rate.query`")
    return {name: parse_prometheus_collection(name, each) for name, each in settings.items()}


def parse_prometheus_collection(name: str, settings: Any) -> PrometheusCollection:
    where = f"collections.{name}"
    if not isinstance(settings, Mapping):
        raise ValueError(f"`{where}` must be a section")
    for each in settings:
        if each not in SETTING_READERS:
            raise ValueError(f"there is no setting `{where}.{each}`, known are " + ", ".join(sorted(SETTING_READERS)))
    for each in ("query", "labels"):
        if each not in settings:
            raise ValueError(f"`{where}.{each}` is missing")
    found = PrometheusCollection(
        name=name, **{each: SETTING_READERS[each](value, f"{where}.{each}") for each, value in settings.items()}
    )
    _check_window(found, where)
    return found


def parse_query_setting(value: Any, setting: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"`{setting}` must be PromQL, with `{SELECTORS_PLACEHOLDER}` where filters of labels go")
    return value


def parse_labels_setting(value: Any, setting: str) -> Mapping[str, ColumnType]:
    """`service` for text, `customer_id:int` for whole numbers."""
    found = {}
    for each in parse_text_list_setting(value, setting):
        label = LABEL_PATTERN.fullmatch(each)
        if label is None or label["name"] in RESERVED_COLUMNS or label["name"] in found:
            raise ValueError(f"`{setting}` must be labels, each once, as `service` or `customer_id:int`")
        found[label["name"]] = ColumnType.INTEGER if label["whole"] else ColumnType.TEXT
    return found


def parse_windows_setting(value: Any, setting: str) -> tuple[str, ...]:
    found = parse_text_list_setting(value, setting)
    for each in found:
        parse_duration_setting(each, setting)
    return tuple(dict.fromkeys(found))


def parse_steps_setting(value: Any, setting: str) -> tuple[int, ...]:
    return tuple(
        dict.fromkeys(parse_duration_setting(each, setting) for each in parse_text_list_setting(value, setting))
    )


def parse_duration_setting(value: Any, setting: str) -> int:
    found = DURATION_PATTERN.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"`{setting}` must be a number and a unit of s, m, h, d and w, as `5m`")
    return int(found["count"]) * SECONDS_BY_UNIT[found["unit"]]


def parse_text_list_setting(value: Any, setting: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"`{setting}` must be a list of texts")
    return tuple(value)


SETTING_READERS: Mapping[str, Callable[[Any, str], Any]] = {
    "query": parse_query_setting,
    "labels": parse_labels_setting,
    "windows": parse_windows_setting,
    "steps": parse_steps_setting,
    "history": parse_duration_setting,
}


def _check_window(collection: PrometheusCollection, setting: str) -> None:
    if (WINDOW_PLACEHOLDER in collection.query) != bool(collection.windows):
        raise ValueError(
            f"`{setting}.windows` says what may stand for `{WINDOW_PLACEHOLDER}` in the query: have both, or neither"
        )


LABEL_ESCAPES = {"\\": "\\\\", '"': '\\"'} | {chr(code): f"\\x{code:02x}" for code in (*range(0x20), 0x7F)}
"""Of what may not stand in a quoted text as it is."""

REGEX_METACHARACTERS = frozenset("\\.+*?()|[]{}^$")
"""Signs with a meaning of their own in a regular expression."""


def fill_query(query: str, matchers: Mapping[str, Values[str]], window: str | None) -> str:
    """The selectors go in last: a value that looks like a place of the template is a value."""
    return query.replace(WINDOW_PLACEHOLDER, window or "").replace(SELECTORS_PLACEHOLDER, compile_selectors(matchers))


def compile_selectors(matchers: Mapping[str, Values[str]]) -> str:
    """Each label equal to one of its values; a comma after the last, or nothing before it, does no harm."""
    return ",".join(_compile_matcher(label, sorted(values)) for label, values in matchers.items())


def _compile_matcher(label: str, values: list[str]) -> str:
    if len(values) == 1:
        return f"{label}={quote_label_value(values[0])}"
    return f"{label}=~{quote_label_value('|'.join(map(escape_regex, values)))}"


def quote_label_value(value: str) -> str:
    return '"' + "".join(LABEL_ESCAPES.get(each, each) for each in value) + '"'


def escape_regex(value: str) -> str:
    """As a regular expression that matches this text alone; PromQL anchors it at both ends."""
    return "".join(f"\\{each}" if each in REGEX_METACHARACTERS else each for each in value)


def is_label_value(value: str) -> bool:
    """Whether a label can have this value: it is UTF-8, and one that is empty is not there."""
    return bool(value) and not any("\ud800" <= each <= "\udfff" for each in value)


MAX_POINTS = 11_000
"""As many points of one series Prometheus gives at once."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromQLRequest:
    """One call. At an instant, or from `start` to `end` in seconds, both on the grid of the step."""

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
    """None where no row can be meant. SourceFailed: they are for more points than Prometheus gives."""
    tests = list(_iterate_comparisons(request.filter))
    asked = _plan_range_requests if collection.steps else _plan_instant_requests
    return list(asked(collection, tests, request, now))


def _iterate_comparisons(predicate: Any) -> Iterator[Comparison]:
    """Of an `All` of tests, which is all that was promised."""
    if isinstance(predicate, And):
        for each in predicate.parts:
            yield from _iterate_comparisons(each)
    else:
        yield predicate


def _plan_instant_requests(
    collection: PrometheusCollection, comparisons: Sequence[Comparison], request: ScanRequest, now: datetime
) -> Iterator[PromQLRequest]:
    """An instant that is not named is now."""
    named = _find_allowed_values("time", comparisons, request)
    for at in sorted(named) if named is not None else (now,):
        if at < EPOCH:
            continue
        for window, query in _compile_queries(collection, comparisons, _keep_keys_at(request, at)):
            yield PromQLRequest(query=query, window=window, instant=at)


def _plan_range_requests(
    collection: PrometheusCollection, comparisons: Sequence[Comparison], request: ScanRequest, now: datetime
) -> Iterator[PromQLRequest]:
    steps = _find_allowed_values("step", comparisons, request)
    low, high = _compute_seconds_range(comparisons, request, now.timestamp() - collection.history, now.timestamp())
    for step in collection.steps:
        if (steps is not None and step not in steps) or low > high:
            continue
        start, end = ceil(low / step) * step, floor(high / step) * step
        if start > end:
            continue
        _check_points((end - start) // step + 1, collection.name)
        for window, query in _compile_queries(collection, comparisons, request):
            yield PromQLRequest(query=query, window=window, step=step, start=start, end=end)


def _check_points(points: int, name: str) -> None:
    if points > MAX_POINTS:
        asked = f"`{name}` is asked for {points:,} points of each series, over Prometheus's limit of {MAX_POINTS:,}"
        raise ConnectorError(f"{asked}: bound `time` from below, or ask for a greater `step`", ErrorCode.LIMIT_EXCEEDED)


def _compute_seconds_range(
    comparisons: Sequence[Comparison], request: ScanRequest, low: float, high: float
) -> tuple[float, float]:
    """The seconds between which all rows lie that are meant; some that are not may, too."""
    for each in (each for each in comparisons if each.column == "time"):
        at = (each.value - EPOCH).total_seconds()
        low = max(low, at if each.op in (Op.EQ, Op.GT, Op.GTE) else -inf)
        high = min(high, at if each.op in (Op.EQ, Op.LT, Op.LTE) else inf)
    if request.keys is not None and "time" in request.keys.columns:
        times = [(each - EPOCH).total_seconds() for each in _collect_key_values("time", request)]
        low, high = max(low, min(times, default=inf)), min(high, max(times, default=-inf))
    return low, high


def _compile_queries(
    collection: PrometheusCollection, comparisons: Sequence[Comparison], request: ScanRequest
) -> Iterator[tuple[str | None, str]]:
    """By window, the PromQL; none where some label can have no value that is meant."""
    matchers = {}
    for label in collection.labels:
        allowed = _find_allowed_values(label, comparisons, request)
        if allowed is not None:
            matchers[label] = [each for each in map(str, allowed) if is_label_value(each)]
    if not all(matchers.values()):
        return
    windows = _find_allowed_values("window", comparisons, request) if collection.windows else None
    for window in collection.windows or (None,):
        if windows is None or window in windows:
            yield window, fill_query(collection.query, matchers, window)


def _find_allowed_values(column: str, comparisons: Sequence[Comparison], request: ScanRequest) -> frozenset[Any] | None:
    """The values that tests and keys leave to a column; None: any."""
    left = [
        frozenset((each.value,) if each.op is Op.EQ else each.value) for each in comparisons if each.column == column
    ]
    if request.keys is not None and column in request.keys.columns:
        left.append(_collect_key_values(column, request))
    return frozenset.intersection(*left) if left else None


def _collect_key_values(column: str, request: ScanRequest) -> frozenset[Any]:
    assert request.keys is not None
    at = request.keys.columns.index(column)
    return frozenset(key[at] for key in request.keys.values)


def _keep_keys_at(request: ScanRequest, instant: datetime) -> ScanRequest:
    """The ask with the keys of one instant alone, so that a service of another is not asked for."""
    if request.keys is None or "time" not in request.keys.columns:
        return request
    place = request.keys.columns.index("time")
    kept: tuple[Row, ...] = tuple(key for key in request.keys.values if key[place] == instant)
    return replace(request, keys=replace(request.keys, values=kept))
