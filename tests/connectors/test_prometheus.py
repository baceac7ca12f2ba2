"""Test the `prometheus` connector over a real wire: PromQL that no value escapes, windows, limits, errors."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from demo.servers.prometheus.app import RecordedPoints
from demo.servers.prometheus.promql import Selector, Series, parse
from onedoor.connectors.prometheus import collections
from onedoor.connectors.prometheus.connector import PrometheusConnector, PrometheusOptions, connect
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.predicates import ALWAYS_TRUE, And, Comparison, Op, Row
from onedoor.spi.scan import KeyFilter, ScanRequest
from tests.servers import prometheus
from tests.servers.far import answer_with, serve_reply, slow
from tests.servers.prometheus import prometheus_server
from tests.servers.prometheus_twin import twin_server

NOW = datetime(2024, 3, 1, 3, tzinfo=UTC)
START = NOW - timedelta(hours=3)
HOSTILE = (
    'a"b', "a\\b", "a\nb", "}", "{", 'a"} or vector(1) or x{service="', "{selectors}", "{window}", ".*", "a|b", "(",
    "é", "\u2028", "a\0b", "'", "`", "$1", "[5m]", "x" * 500, "\t", "\x7f", "#", "a,b",
)  # fmt: skip
SERVICES = ("search", "mailer", *HOSTILE)


def recorded(name: str, a_minute: float, **labels: str) -> Series:
    points = [(int((START + timedelta(minutes=index)).timestamp()) * 1000, a_minute * index) for index in range(180)]
    return Series(labels={"__name__": name, **labels}, points=RecordedPoints(tuple(points)))


HISTORY = [
    *(
        recorded("requests_total", 60.0 + index, service=service, customer="12")
        for index, service in enumerate(SERVICES)
    ),
    recorded("requests_total", 6, service="search", customer="13"),
    recorded("requests_total", 6, service="mailer", customer="007"),
    recorded("failures_total", 6, service="search", customer="12"),
    recorded("failures_total", 0, service="mailer", customer="12"),
]
RATE: Mapping[str, Any] = {
    "query": "sum by (service) (rate(requests_total{code!='x',{selectors}}[{window}]))",
    "labels": ["service"],
    "windows": ["5m", "1h"],
}
COLLECTIONS: Mapping[str, Any] = {
    "rate": RATE,
    "by_customer": {
        "query": "sum by (service, customer) (requests_total{{selectors}})",
        "labels": ["service", "customer:int"],
    },
    "share": {
        "query": "sum by (service) (failures_total{{selectors}}) / sum by (service) (failures_total{{selectors}})",
        "labels": ["service"],
    },
    "samples": {
        "query": "sum by (service) (requests_total{{selectors}})",
        "labels": ["service"],
        "steps": ["1m", "30m"],
        "history": "2h",
    },
    "careless": {"query": "requests_total", "labels": ["service"]},
    "broken": {"query": "sum by (", "labels": []},
    "constant": {"query": "1", "labels": []},
}


@asynccontextmanager
async def open_source(url: str, **options: Any) -> AsyncIterator[PrometheusConnector]:
    settings = {"collections": COLLECTIONS, **options}
    source = await connect(PrometheusOptions(base_url=url, private_addresses=True, **settings), lambda: NOW)
    try:
        yield source
    finally:
        await source.close()


@pytest.fixture(scope="module")
def twin() -> Any:
    with twin_server(HISTORY, token="t") as url:
        yield url


@pytest.fixture(scope="module")
def real() -> Any:
    if not prometheus.FOUND:
        pytest.skip("Prometheus as a source: install prometheus")
    with prometheus_server(HISTORY) as url:
        yield url


@pytest.fixture(params=["twin", "real"])
async def source(request: pytest.FixtureRequest) -> AsyncIterator[PrometheusConnector]:
    async with open_source(request.getfixturevalue(request.param), token="t") as source:
        yield source


async def read_rows(source: PrometheusConnector, collection: str, *columns: str, **options: Any) -> list[Row]:
    ask = ScanRequest(collection=collection, columns=columns, **options)
    return [row async for batch in source.scan(ask) for row in batch]


def equal(column: str, value: Any) -> Comparison:
    return Comparison(column, Op.EQ, value)


@pytest.mark.parametrize("service", HOSTILE)
async def test_a_label_value_matches_itself_alone(source: PrometheusConnector, service: str) -> None:
    alone = await read_rows(source, "by_customer", "service", filter=equal("service", service))
    among = await read_rows(
        source, "by_customer", "service", filter=Comparison("service", Op.IN, (service, "search", "none"))
    )
    assert (alone, sorted(among)) == ([(service,)], sorted([(service,), ("search",), ("search",)]))


async def test_hostile_label_values_match_themselves_together(source: PrometheusConnector) -> None:
    keys = KeyFilter(("service",), tuple((text,) for text in HOSTILE))
    rows = await read_rows(source, "rate", "service", keys=keys, filter=equal("window", "5m"))
    assert sorted(rows) == sorted((text,) for text in HOSTILE)


@pytest.mark.parametrize("service", HOSTILE)
def test_no_label_value_changes_the_structure_of_a_query(service: str) -> None:
    tree = parse(collections.fill_query("requests_total{code!='x',{selectors}}", {"service": [service]}, None))
    assert isinstance(tree, Selector)
    assert tree.matchers == (("__name__", "=", "requests_total"), ("code", "!=", "x"), ("service", "=", service))


@pytest.mark.parametrize("value", ["", "\ud800", "a\udfff"])
async def test_a_value_that_no_label_can_have_is_not_queried(source: PrometheusConnector, value: str) -> None:
    assert await read_rows(source, "by_customer", "service", filter=equal("service", value)) == []


async def test_each_window_has_rows_of_its_own(source: PrometheusConnector) -> None:
    wanted = {"filter": And((Comparison("service", Op.IN, ("search", "mailer")),))}
    rows = await read_rows(source, "rate", "service", "window", "time", "value", **wanted)
    assert sorted((service, window, at, round(value, 6)) for service, window, at, value in rows) == [
        ("mailer", "1h", NOW, 1.116667), ("mailer", "5m", NOW, 1.116667),
        ("search", "1h", NOW, 1.1), ("search", "5m", NOW, 1.1),
    ]  # fmt: skip


async def test_a_window_that_is_not_declared_has_no_rows(source: PrometheusConnector) -> None:
    assert await read_rows(source, "rate", "value", filter=equal("window", "100y")) == []


async def test_an_instant_is_that_of_the_filter_or_now(source: PrometheusConnector) -> None:
    early = START + timedelta(minutes=10, microseconds=5)
    wanted = (equal("service", "search"), equal("customer", 12))
    now = await read_rows(source, "by_customer", "time", "value", filter=And(wanted))
    then = await read_rows(source, "by_customer", "time", "value", filter=And((*wanted, equal("time", early))))
    assert (now, then) == ([(NOW, 60.0 * 179)], [(early, 600.0)])


async def test_a_label_that_is_no_whole_number_is_null_in_an_integer_column(source: PrometheusConnector) -> None:
    rows = await read_rows(source, "by_customer", "customer", filter=equal("service", "mailer"))
    assert sorted(rows, key=repr) == [(12,), (None,)]


async def test_a_sample_that_is_not_finite_is_null(source: PrometheusConnector) -> None:
    assert sorted(await read_rows(source, "share", "service", "value")) == [("mailer", None), ("search", 1.0)]


async def test_samples_lie_on_multiples_of_their_step(source: PrometheusConnector) -> None:
    predicate = And((equal("service", "search"), equal("step", 1800)))
    assert await read_rows(source, "samples", "time", "value", filter=predicate) == [
        (START + timedelta(minutes=index), 60.0 * index + (6 * index)) for index in (60, 90, 120, 150)
    ] + [(NOW, 66.0 * 179)]


@pytest.mark.parametrize(
    ("tests", "minutes"),
    [
        pytest.param([(Op.GTE, 100), (Op.LTE, 102)], [100, 101, 102], id="both ends counted"),
        pytest.param([(Op.GT, 100), (Op.LT, 102)], [101], id="neither end counted"),
        pytest.param([(Op.EQ, 100)], [100], id="one"),
        pytest.param([(Op.EQ, 100.5)], [], id="none on the grid"),
        pytest.param([(Op.LTE, 61)], [60, 61], id="no further back than the history"),
        pytest.param([(Op.GTE, 300)], [], id="not past now"),
        pytest.param([(Op.LTE, 20)], [], id="before the history"),
    ],
)
async def test_a_filter_by_time_bounds_the_queried_range(
    source: PrometheusConnector, tests: Sequence[tuple[Op, float]], minutes: Sequence[int]
) -> None:
    span = (Comparison("time", op, START + timedelta(minutes=at)) for op, at in tests)
    where = And((equal("service", "search"), equal("step", 60), *span))
    rows = await read_rows(source, "samples", "time", filter=where)
    assert rows == [(START + timedelta(minutes=minute),) for minute in minutes]


NOTHING = answer_with(json={"status": "success", "data": {"resultType": "vector", "result": []}})


async def test_many_keys_are_one_query_for_each_instant_and_window() -> None:
    times = [START, START + timedelta(minutes=5)]
    keys = KeyFilter(
        ("service", "time"), tuple((name, moment) for moment in times for name in ("a", "b", f"c{moment.minute}"))
    )
    async with serve_reply(NOTHING) as (url, server), open_source(url) as source:
        await read_rows(source, "rate", "value", keys=keys, filter=equal("window", "5m"))
    matchers = [scan_request.form["query"].split("code!='x',")[1].split("}")[0] for scan_request in server.requests]
    assert sorted(matchers) == ['service=~"a|b|c0"', 'service=~"a|b|c5"']


async def test_the_timeout_is_sent_with_each_query() -> None:
    async with serve_reply(NOTHING) as (url, server), open_source(url, timeout=2.5) as source:
        await read_rows(source, "constant", "value")
    assert server.requests[0].form["timeout"] == "2.5s"


async def test_more_points_than_prometheus_gives_are_not_queried() -> None:
    wide = {"samples": {**COLLECTIONS["samples"], "history": "365d"}}
    async with serve_reply(NOTHING) as (url, server), open_source(url, collections=wide) as source:
        with pytest.raises(ConnectorError) as raised:
            await read_rows(source, "samples", "value", filter=equal("step", 60))
    assert (raised.value.code, server.requests) == (ErrorCode.LIMIT_EXCEEDED, [])
    assert raised.value.reason == (
        "`samples` is asked for 525,601 points of each series, over Prometheus's limit of 11,000: bound `time` from"
        " below, or ask for a greater `step`"
    )


FAILING = [
    pytest.param(
        "careless", "differ in labels that its settings do not declare", ErrorCode.SOURCE_INVALID, id="two alike"
    ),
    pytest.param("broken", "cannot read the query", ErrorCode.SOURCE_INVALID, id="no PromQL"),
    pytest.param("constant", "cannot be read", ErrorCode.SOURCE_INVALID, id="no vector"),
]


@pytest.mark.parametrize(("collection", "expected_reason", "code"), FAILING)
async def test_a_query_that_fails_or_is_no_vector_of_labels_is_an_error(
    source: PrometheusConnector, collection: str, expected_reason: str, code: ErrorCode
) -> None:
    with pytest.raises(ConnectorError, match=expected_reason) as raised:
        await read_rows(source, collection, "value")
    assert raised.value.code is code


UNREADABLE = "prometheus gave an answer that cannot be read"
GAVE_UP = {"status": "error", "errorType": "timeout", "error": "secret"}
STRANGE = {"status": "success", "data": {"resultType": "vector", "result": [{"x": 1}]}}
ANSWERS = [
    pytest.param(answer_with(401), "prometheus refused the credentials", id="401"),
    pytest.param(answer_with(404), "prometheus refused the call with HTTP status 404", id="404"),
    pytest.param(answer_with(429), "prometheus takes no more calls for now, ask again later", id="429"),
    pytest.param(answer_with(500), "prometheus failed with HTTP status 500", id="500"),
    pytest.param(answer_with(503, GAVE_UP), "prometheus gave up on the query, ask for less", id="its own end of time"),
    pytest.param(
        answer_with(302, location="/elsewhere"),
        "prometheus refused the call with HTTP status 302",
        id="a redirect is not followed",
    ),
    pytest.param(answer_with(text="<html>"), UNREADABLE, id="no JSON"),
    pytest.param(answer_with(json=[]), UNREADABLE, id="a list"),
    pytest.param(answer_with(json=STRANGE), UNREADABLE, id="a series of another shape"),
    pytest.param(
        answer_with(text="x" * 2000),
        "an answer of prometheus is over the limit `response_bytes` of 1000, ask for less",
        id="too large",
    ),
    pytest.param(slow, "prometheus did not answer within 0.2 s", id="too slow"),
]


@pytest.mark.parametrize(("reply", "reason"), ANSWERS)
async def test_a_failure_repeats_nothing_that_prometheus_says(reply: Any, reason: str) -> None:
    timeout = 0.2 if reply is slow else 30.0
    async with serve_reply(reply) as (url, _), open_source(url, timeout=timeout, response_bytes=1000) as source:
        with pytest.raises(ConnectorError) as raised:
            await read_rows(source, "share", "value")
    assert raised.value.reason == reason


async def test_wrong_credentials_and_a_server_that_is_down_have_different_errors(twin: str) -> None:
    async with open_source(twin, token="wrong") as source:
        with pytest.raises(ConnectorError, match="refused the credentials"):
            await source.ping()
    async with open_source("http://127.0.0.1:1") as source:
        with pytest.raises(ConnectorError, match="could not be reached"):
            await read_rows(source, "share", "value")


async def test_a_cancelled_scan_ends_its_call() -> None:
    async with serve_reply(slow) as (url, server), open_source(url) as source:
        task = asyncio.ensure_future(read_rows(source, "share", "value"))
        async with asyncio.timeout(30):
            await server.began.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await server.left.wait()


async def test_columns_are_known_without_a_call() -> None:
    async with open_source("http://127.0.0.1:1") as source:
        assert [(name, column.type) for name, column in source.capabilities("by_customer").columns.items()] == [
            ("service", ColumnType.TEXT), ("customer", ColumnType.INTEGER),
            ("time", ColumnType.TIME), ("value", ColumnType.FLOAT),
        ]  # fmt: skip


IMPOSSIBLE = [
    pytest.param({}, "declare at least one collection", id="none"),
    pytest.param({"a": 1}, "`collections.a` must be a section", id="no section"),
    pytest.param({"a": {"query": "x"}}, "`collections.a.labels` is missing", id="no labels"),
    pytest.param({"a": {"query": "", "labels": []}}, "must be PromQL", id="no query"),
    pytest.param({"a": {"query": "x", "labels": ["A-b"]}}, "must be labels, each once", id="no label"),
    pytest.param({"a": {"query": "x", "labels": ["time"]}}, "must be labels, each once", id="a column of ours"),
    pytest.param({"a": {"query": "x", "labels": ["b", "b:int"]}}, "must be labels, each once", id="a label twice"),
    pytest.param({"a": {**RATE, "windows": ["5"]}}, "a number and a unit", id="no unit"),
    pytest.param({"a": {**RATE, "windows": []}}, "have both, or neither", id="no windows"),
    pytest.param({"a": {"query": "x", "labels": [], "windows": ["5m"]}}, "have both, or neither", id="no place"),
    pytest.param({"a": {**RATE, "step": "5m"}}, "there is no setting `collections.a.step`", id="an unknown word"),
]


@pytest.mark.parametrize(("declared", "complaint"), IMPOSSIBLE)
async def test_an_impossible_declaration_is_named(declared: Mapping[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        async with open_source("http://127.0.0.1:1", collections=declared):
            pass


def test_the_repr_of_options_has_no_secret() -> None:
    result = repr(replace(PrometheusOptions(base_url="http://x", collections={}), token="hush", password="hush"))
    assert "hush" not in result


async def test_a_filter_that_is_always_true_gives_all_rows(source: PrometheusConnector) -> None:
    rows = await read_rows(source, "by_customer", "service", filter=ALWAYS_TRUE)
    assert len(rows) == len(SERVICES) + 2
