"""The demo's Prometheus answers as a real one does over the same history."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest

from demo.servers.prometheus.app import RecordedPoints
from demo.servers.prometheus.promql import Point, Series
from tests.servers import prometheus
from tests.servers.prometheus import prometheus_server
from tests.servers.prometheus_twin import twin_server

START = int(datetime(2024, 3, 1, tzinfo=UTC).timestamp())
MINUTES = 180
ODD = 'a"b\\c\nd{},é'


def recorded(name: str, points: list[Point], **labels: str) -> Series:
    return Series(labels={"__name__": name, **labels}, points=RecordedPoints(tuple(points)))


def counter(a_minute: float, resets: tuple[int, ...] = (), gaps: range = range(0), start: float = 0.0) -> list[Point]:
    """A point a minute, on the seventh second; it begins anew at each reset, and nothing is seen in a gap."""
    found, counted = [], start
    for minute in range(MINUTES):
        counted = 0.0 if minute in resets else counted + a_minute * (1 + minute % 3)
        if minute not in gaps:
            found.append(((START + 60 * minute + 7) * 1000, counted))
    return found


HISTORY = [
    recorded("requests_total", counter(30, start=5), service="search", code="200"),
    recorded("requests_total", counter(0.25), service="search", code="500"),
    recorded("requests_total", counter(7, resets=(40, 100)), service="mailer", code="200"),
    recorded("requests_total", counter(1, gaps=range(60, 90)), service="mailer", code="500"),
    recorded("requests_total", counter(3)[:50], service="ledger", code="200"),
    recorded("requests_total", counter(2, start=1e9), service=ODD, code="200"),
    recorded(
        "heat", [((START + 300 * index) * 1000, float(index % 7) - 2.5) for index in range(36)], room="a", floor="1"
    ),
    recorded("heat", [((START + 300 * index) * 1000, float(index)) for index in range(36)], room="b", floor="1"),
    recorded("heat", [((START + 300 * index) * 1000, float("nan")) for index in range(36)], room="c", floor="2"),
    recorded("heat", [(START * 1000, 1e-7), ((START + 60) * 1000, 1e21)], room="d"),
    recorded("chill", [((START + 300 * index) * 1000, 2.0) for index in range(36)], room="a", floor="1"),
    recorded("chill", [((START + 300 * index) * 1000, 0.0) for index in range(36)], room="b", floor="1"),
]

INSTANTS = [START - 1, START, START + 7, START + 367.5, START + 3600, START + 5000.25, START + 11_000, START + 20_000]
QUERIES = [
    "1",
    "-1.5e3",
    "1 / 0",
    "2 > bool 1",
    "requests_total",
    'requests_total{service="search"}',
    'requests_total{service!="search",code="200"}',
    'requests_total{service=~"search|mailer",}',
    'requests_total{service!~"s.*"}',
    '{__name__="heat",room=~"a|b"}',
    r'requests_total{service="a\"b\\c\nd{},é"}',
    r'requests_total{service=~"a\"b\\\\c\nd\\{\\},é"}',
    "requests_total{service='search'}",
    "requests_total{service=`search`}",
    'requests_total{nothing=""}',
    'heat{floor=""}',
    "requests_total offset 10m",
    "requests_total offset -10m",
    "rate(requests_total[5m])",
    "rate(requests_total[1h30m])",
    "rate(requests_total[2m] offset -1h)",
    "increase(requests_total[1h])",
    "increase(requests_total{code='500'}[90s])",
    "rate(heat[10m])",
    "sum(requests_total)",
    "sum by (service) (rate(requests_total[10m]))",
    "sum(rate(requests_total[10m])) by (service, code)",
    "count by (floor) (heat)",
    "max by (floor) (heat)",
    "min by (floor) (heat)",
    "avg by (floor) (heat{room!='d'})",
    'sum by (service) (rate(requests_total{code="500"}[1h])) / sum by (service) (rate(requests_total[1h]))',
    "heat / chill",
    "heat * 2 + 1",
    "1 - heat",
    "-heat",
    "heat > 3",
    "heat >= bool 3",
    "3 < heat",
    "heat == chill",
    "heat != chill",
    "(heat + chill) * 100",
    "2 + 3 * 4 - 6 / 4",
]
WRONG = [
    "",
    "requests_total{",
    'requests_total{service="a}',
    'requests_total{service=~"("}',
    "rate(requests_total)",
    "rate(requests_total[0x])",
    "{}",
    '{service=""}',
    "1 > 2",
    "sum(1)",
    'x{__name__="y"}',
    "requests_total)",
    'requests_total{service="\\q"}',
    "requests_total offset 5",
    "no_such_function(heat)",
]
RANGES = [(START, START + 3600, "60"), (START + 7, START + 10_800, "7m"), (START + 3600, START + 3600, "15.5")]


@pytest.fixture(scope="module")
def both_urls() -> Iterator[tuple[str, str]]:
    if not prometheus.FOUND:
        pytest.skip("Prometheus beside the demo's: install prometheus")
    with prometheus_server(HISTORY) as real, twin_server(HISTORY) as ours:
        yield real, ours


def query_api(url: str, path: str, form: Mapping[str, Any], *, post: bool = True) -> tuple[int, Any]:
    """The status, and the answer with series in an order of their own and numbers to 12 digits; no words of errors."""
    query = urlencode(form)
    address = f"{url}/api/v1/{path}"
    try:
        with urllib.request.urlopen(
            urllib.request.Request(address, query.encode()) if post else f"{address}?{query}"
        ) as reply:
            return reply.status, normalize(json.load(reply))
    except urllib.error.HTTPError as error:
        return error.code, {name: item for name, item in json.load(error).items() if name != "error"}


def normalize(said: dict[str, Any]) -> Any:
    result = said["data"]["result"]
    if said["data"]["resultType"] == "scalar":
        return said["status"], "scalar", point(result)
    results = [
        (sorted(item["metric"].items()), [point(value) for value in item.get("values") or [item["value"]]])
        for item in result
    ]
    return said["status"], said["data"]["resultType"], sorted(results, key=repr)


def point(given: Any) -> tuple[float, str]:
    """Sums of floats depend on their order, in the last digits."""
    return float(given[0]), f"{float(given[1]):.12g}"


@pytest.mark.parametrize("query", QUERIES)
def test_an_instant_is_answered_as_by_a_real_one(both_urls: tuple[str, str], query: str) -> None:
    real, ours = (
        [query_api(url, "query", {"query": query, "time": instant}) for instant in INSTANTS] for url in both_urls
    )
    assert ours == real
    assert any(said[2] for _, said in real)


@pytest.mark.parametrize("query", QUERIES)
def test_a_range_is_answered_as_by_a_real_one(both_urls: tuple[str, str], query: str) -> None:
    forms = [{"query": query, "start": start, "end": end, "step": step} for start, end, step in RANGES]
    real, ours = ([query_api(url, "query_range", form, post=False) for form in forms] for url in both_urls)
    assert ours == real


@pytest.mark.parametrize("query", WRONG)
def test_what_is_no_query_is_refused_as_by_a_real_one(both_urls: tuple[str, str], query: str) -> None:
    real, ours = (query_api(url, "query", {"query": query, "time": START}) for url in both_urls)
    assert (ours, real[0]) == (real, 400)


FORMS = [
    pytest.param("query", {"query": "heat", "time": "yesterday"}, id="no time"),
    pytest.param("query", {"query": "heat", "time": "2024-03-01T00:20:00Z"}, id="a time in words"),
    pytest.param("query", {"query": "heat", "time": "2024-03-01T02:20:00.5+02:00"}, id="a time with a zone"),
    pytest.param("query_range", {"query": "heat", "start": 2, "end": 1, "step": 1}, id="an end before its start"),
    pytest.param("query_range", {"query": "heat", "start": 1, "end": 2, "step": 0}, id="no step"),
    pytest.param("query_range", {"query": "heat", "start": 1, "end": 2, "step": "x"}, id="a step in words"),
    pytest.param("query_range", {"query": "heat", "start": 0, "end": 11_000, "step": 1}, id="11,001 points"),
    pytest.param("query_range", {"query": "heat", "start": 0, "end": 11_001, "step": 1}, id="11,002 points"),
    pytest.param("query_range", {"query": "heat", "end": 1, "step": 1}, id="no start"),
    pytest.param("query", {"query": "heat / {room=~'a|b',__name__=~'heat|chill'}", "time": START}, id="twice there"),
]


@pytest.mark.parametrize(("path", "form"), FORMS)
def test_other_questions_are_answered_as_by_a_real_one(
    both_urls: tuple[str, str], path: str, form: Mapping[str, Any]
) -> None:
    real, ours = (query_api(url, path, form) for url in both_urls)
    assert ours == real
