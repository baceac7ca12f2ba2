"""Test the `datadog` connector over a real wire: pages, searches that no value escapes, quotas, limits, failures."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web

from demo.data import activity
from demo.run import SECRETS
from demo.servers.run import RunningServers, address
from onedoor.connectors.datadog.connector import QUOTA, DatadogConnector, DatadogOptions, connect
from onedoor.errors import ConnectorError, ErrorCode
from onedoor.runtime.quota import ConnectorRateLimiters
from onedoor.spi.capabilities import ColumnType
from onedoor.spi.predicates import ALWAYS_TRUE, And, Comparison, Op, Row
from onedoor.spi.scan import KeyFilter, ScanRequest
from tests.servers.far import Reply, answer_with, serve_reply, slow

SCALE = 0.01
NOW = datetime(2026, 11, 1, tzinfo=UTC)
MONITORS = activity.monitors(SCALE)
LOGS = activity.logs(SCALE)
TAGS = ("service", "env", "customer_id:int")
METRICS = {"errors": "sum:acme.errors{*} by {service,env}.rollup(sum, 86400)"}
HOSTILE = (
    'a"b', "a b", "a) OR service:(*", "*", "sea*", "OR", "a\\b", "a\nb", "(", ")", "-search", "{", "é", "a,service:b",
    "",
)  # fmt: skip


@asynccontextmanager
async def open_source(
    url: str, quotas: ConnectorRateLimiters | None = None, **options: Any
) -> AsyncIterator[DatadogConnector]:
    keys = {"api_key": SECRETS["DATADOG_API_KEY"], "app_key": SECRETS["DATADOG_APP_KEY"]}
    given = {"tags": TAGS, "health": "customer_id", "metrics": METRICS, "days": 30, "private_addresses": True, **keys}
    source = await connect(DatadogOptions(base_url=url, **{**given, **options}), quotas, lambda: NOW)
    try:
        yield source
    finally:
        await source.close()


@pytest.fixture
async def source(acme_servers: RunningServers) -> AsyncIterator[DatadogConnector]:
    async with open_source("http://{}:{}".format(*address(acme_servers, "datadog"))) as source:
        yield source


async def read_rows(source: DatadogConnector, collection: str, *columns: str, **options: Any) -> list[Row]:
    ask = ScanRequest(collection=collection, columns=columns, **options)
    return [row async for batch in source.scan(ask) for row in batch]


def equal(column: str, value: Any) -> Comparison:
    return Comparison(column, Op.EQ, value)


async def test_tags_are_columns(source: DatadogConnector) -> None:
    rows = await read_rows(source, "monitors", "id", "service", "env", "customer_id", "tags")
    assert rows == [
        (
            monitor.id,
            of.get("service"),
            of.get("env"),
            int(of["customer_id"]) if "customer_id" in of else None,
            monitor.tags,
        )
        for monitor in MONITORS
        for of in [dict(tag.split(":", 1) for tag in monitor.tags)]
    ]


async def test_the_health_of_a_customer_is_its_worst_monitor(source: DatadogConnector) -> None:
    rows = await read_rows(
        source, "health", "customer_id", "status", keys=KeyFilter(("customer_id",), ((1,), (2,), (9999,)))
    )
    of = {monitor.tags[0]: monitor.status for monitor in MONITORS}
    assert sorted(rows) == [(1, of["customer_id:1"]), (2, of["customer_id:2"])]


async def test_logs_are_found_by_service_level_and_time(source: DatadogConnector) -> None:
    low, high = LOGS[20].at, LOGS[150].at
    span = (Comparison("time", Op.GTE, low), Comparison("time", Op.LT, high))
    where = And((Comparison("service", Op.IN, ("search", "mailer")), equal("status", "info"), *span))
    logs = [log for log in LOGS if low <= log.at < high and log.status == "info"]
    assert await read_rows(source, "logs", "id", filter=where) == [
        (log.id,) for log in logs if log.service in ("search", "mailer")
    ]


@pytest.mark.parametrize("service", HOSTILE)
async def test_no_value_widens_a_search(source: DatadogConnector, service: str) -> None:
    where = Comparison("service", Op.IN, (service, "search"))
    rows = await read_rows(source, "logs", "service", filter=where)
    assert (await read_rows(source, "logs", "id", filter=equal("service", service)), set(rows)) == ([], {("search",)})


def page(*ids: str, after: str | None = None) -> Mapping[str, Any]:
    data = [{"id": id, "attributes": {"timestamp": "2026-10-31T12:00:00.123Z"}} for id in ids]
    return {"data": data, "meta": {"page": {"after": after}} if after else {}}


def turning(*pages: Any) -> Reply:
    """One after another, the last for ever."""
    left = list(pages)

    async def reply(_: web.Request) -> web.Response:
        return web.json_response(left.pop(0) if len(left) > 1 else left[0])

    return reply


async def test_cursors_are_followed_to_the_last_page() -> None:
    pages = page("a", "b", after="x"), page("c", after="y"), page()
    async with serve_reply(turning(*pages)) as (url, server), open_source(url) as source:
        assert await read_rows(source, "logs", "id") == [("a",), ("b",), ("c",)]
    assert [scan_request.json["page"].get("cursor") for scan_request in server.requests] == [None, "x", "y"]
    assert server.requests[0].json["filter"] == {"query": "*", "from": str(int((NOW.timestamp() - 30 * 86_400) * 1000))}


async def test_a_cursor_that_comes_back_is_an_error() -> None:
    async with serve_reply(turning(page("a", after="x"))) as (url, _), open_source(url) as source:
        with pytest.raises(ConnectorError, match="cannot be read"):
            await read_rows(source, "logs", "id")


async def test_a_search_over_the_limit_of_items_is_refused() -> None:
    async with (
        serve_reply(turning(page("a", "b", after="x"), page("c", "d"))) as (url, _),
        open_source(url, items=3) as source,
    ):
        with pytest.raises(ConnectorError) as raised:
            await read_rows(source, "logs", "id")
    assert (raised.value.code, raised.value.reason) == (
        ErrorCode.LIMIT_EXCEEDED,
        "there are more logs than the limit `items` of 3, bound `time` or name a service",
    )


MANY = KeyFilter(("service",), tuple((f"s{number}",) for number in range(50)))
CALLS = [
    pytest.param("monitors", {"keys": KeyFilter(("id",), ((1,), (2,)))}, 2, id="a few monitors one by one"),
    pytest.param("monitors", {"keys": MANY}, 1, id="many monitors among all"),
    pytest.param("health", {"keys": KeyFilter(("customer_id",), ((1,),))}, 1, id="one customer's health"),
    pytest.param("logs", {"keys": MANY}, 1, id="logs of many services in one search"),
    pytest.param("logs", {"filter": Comparison("service", Op.IN, ())}, 0, id="logs of no service"),
    pytest.param(
        "logs", {"filter": Comparison("time", Op.LT, NOW - timedelta(days=40))}, 0, id="logs past the history"
    ),
    pytest.param("metrics", {"filter": equal("metric", "none")}, 0, id="a metric that is not declared"),
]


@pytest.mark.parametrize(("collection", "search_filter", "calls"), CALLS)
async def test_no_more_calls_are_made_than_needed(
    collection: str, search_filter: Mapping[str, Any], calls: int
) -> None:
    async def reply(request: web.Request) -> web.Response:
        if request.path == "/api/v1/monitor":
            return web.json_response([])
        return web.json_response(page()) if request.method == "POST" else web.Response(status=404)

    async with serve_reply(reply) as (url, server), open_source(url) as source:
        assert (
            await read_rows(source, collection, "status" if collection != "metrics" else "value", **search_filter) == []
        )
    assert len(server.requests) == calls


async def test_a_full_page_is_followed_by_the_next() -> None:
    full = [{"id": number, "tags": []} for number in range(100)]
    async with serve_reply(turning(full, full[:1])) as (url, server), open_source(url) as source:
        await read_rows(source, "monitors", "id")
    assert [(scan_request.query["page"], scan_request.query["page_size"]) for scan_request in server.requests] == [
        ("0", "100"),
        ("1", "100"),
    ]


async def test_the_keys_go_as_headers_and_nowhere_else() -> None:
    async with serve_reply(turning([])) as (url, server), open_source(url) as source:
        await read_rows(source, "monitors", "id")
    (request,) = server.requests
    assert request.headers["DD-API-KEY"] == SECRETS["DATADOG_API_KEY"]
    assert request.headers["DD-APPLICATION-KEY"] == SECRETS["DATADOG_APP_KEY"]
    assert not [item for item in request.query.values() if item in SECRETS.values()]


async def test_points_lie_on_whole_steps_and_are_null_without_a_value() -> None:
    midnight = int((NOW - timedelta(days=2)).timestamp()) * 1000
    points = [[float(midnight), 1.5], [float(midnight + 86_400_000), None]]
    series = {"series": [{"scope": "service:search,env:x", "tag_set": ["service:search"], "pointlist": points}]}
    where = Comparison("time", Op.GTE, NOW - timedelta(days=2, hours=5))
    async with serve_reply(turning(series)) as (url, server), open_source(url) as source:
        rows = await read_rows(source, "metrics", "metric", "service", "time", "value", filter=where)
    assert rows == [
        ("errors", "search", NOW - timedelta(days=2), 1.5), ("errors", "search", NOW - timedelta(days=1), None),
    ]  # fmt: skip
    search_filter = {name: int(server.requests[0].query[name]) for name in ("from", "to")}
    assert search_filter == {"from": int(NOW.timestamp()) - 3 * 86_400, "to": int(NOW.timestamp())}


async def test_more_points_than_datadog_gives_are_not_requested() -> None:
    async with serve_reply(turning({})) as (url, server), open_source(url, days=2000) as source:
        with pytest.raises(ConnectorError) as raised:
            await read_rows(source, "metrics", "value")
    assert (raised.value.code, server.requests) == (ErrorCode.LIMIT_EXCEEDED, [])
    assert raised.value.reason == (
        "`errors` is asked for 2,000 points of each series, over Datadog's limit of 1,500: bound `time` from below"
    )


UNREADABLE = "datadog gave an answer that cannot be read"
ANSWERS = [
    pytest.param(
        answer_with(403, {"errors": ["secret"]}), "datadog refused the keys, or they may not read this", id="403"
    ),
    pytest.param(answer_with(400, {}), "datadog refused the call with HTTP status 400", id="400"),
    pytest.param(answer_with(429), "datadog takes no more calls for now, ask again later", id="429 without a word"),
    pytest.param(answer_with(503), "datadog failed with HTTP status 503", id="503"),
    pytest.param(answer_with(302, location="/x"), "datadog refused the call with HTTP status 302", id="no redirects"),
    pytest.param(answer_with(404), UNREADABLE, id="404 where there must be something"),
    pytest.param(answer_with(text="<html>"), UNREADABLE, id="no JSON"),
    pytest.param(answer_with(json={"monitors": []}), UNREADABLE, id="no list"),
    pytest.param(answer_with(json=[{"name": "x"}]), UNREADABLE, id="no id"),
    pytest.param(
        answer_with(text="x" * 2000),
        "an answer of datadog is over the limit `response_bytes` of 1000, ask for less",
        id="too large",
    ),
    pytest.param(slow, "datadog did not answer within 0.2 s", id="too slow"),
]


@pytest.mark.parametrize(("reply", "reason"), ANSWERS)
async def test_a_failure_repeats_nothing_that_datadog_says(reply: Reply, reason: str) -> None:
    timeout = 0.2 if reply is slow else 30.0
    async with serve_reply(reply) as (url, _), open_source(url, timeout=timeout, response_bytes=1000) as source:
        with pytest.raises(ConnectorError) as raised:
            await read_rows(source, "monitors", "id", "name")
    assert raised.value.reason == reason


async def test_a_short_wait_is_waited_and_the_call_is_repeated() -> None:
    answers = [web.Response(status=429, headers={"X-RateLimit-Reset": "0"}), web.json_response([])]

    async def reply(_: web.Request) -> web.Response:
        return answers.pop(0)

    async with serve_reply(reply) as (url, server), open_source(url) as source:
        assert await read_rows(source, "monitors", "id") == []
    assert len(server.requests) == 2


async def test_a_long_wait_is_an_error_at_once_and_for_all_calls_meanwhile() -> None:
    async with (
        serve_reply(answer_with(429, X_RateLimit_Reset="40")) as (url, server),
        open_source(url, timeout=20.0) as source,
    ):
        for _ in range(2):
            with pytest.raises(ConnectorError) as raised:
                await read_rows(source, "monitors", "id")
            assert raised.value.code is ErrorCode.RATE_LIMITED
    assert len(server.requests) == 1


async def test_calls_over_the_quota_are_not_made() -> None:
    quotas = ConnectorRateLimiters(source="datadog", per_minute=QUOTA, clock=asyncio.get_running_loop())
    async with serve_reply(turning(page())) as (url, server), open_source(url, quotas, timeout=5.0) as source:
        assert await read_rows(source, "logs", "id") == []
        with pytest.raises(ConnectorError, match=r"the quota `sources.datadog.quota.logs` of 5 a minute is used up"):
            await read_rows(source, "logs", "id")
    assert len(server.requests) == 1


async def test_wrong_keys_and_a_server_that_is_down_have_different_errors(acme_servers: RunningServers) -> None:
    url = "http://{}:{}".format(*address(acme_servers, "datadog"))
    wrong: list[dict[str, Any]] = [{"api_key": "wrong"}, {"app_key": "wrong"}]
    for keys in wrong:
        async with open_source(url, **keys) as source:
            with pytest.raises(ConnectorError, match="refused the keys"):
                await read_rows(source, "monitors", "id")
    async with open_source("http://127.0.0.1:1") as source:
        with pytest.raises(ConnectorError, match="could not be reached"):
            await source.ping()


async def test_a_cancelled_scan_ends_its_call() -> None:
    async with serve_reply(slow) as (url, server), open_source(url) as source:
        task = asyncio.ensure_future(read_rows(source, "logs", "id"))
        async with asyncio.timeout(30):
            await server.began.wait()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await server.left.wait()


IMPOSSIBLE = [
    pytest.param({"tags": ("A b",)}, "`tags` must be the keys of tags", id="no tag"),
    pytest.param({"tags": ("id",)}, "`tags` must be the keys of tags", id="a column of ours"),
    pytest.param({"health": "team"}, "`health` must be one of `tags`", id="health by no tag"),
    pytest.param({"metrics": {"a": "avg:system.load{*}"}}, "says its roll-up in seconds", id="no roll-up"),
    pytest.param({"base_url": "ftp://x"}, "`base_url` must be", id="no address"),
    pytest.param({"private_addresses": False}, "`base_url` must be https", id="no TLS"),
]


@pytest.mark.parametrize(("settings", "complaint"), IMPOSSIBLE)
async def test_an_impossible_setting_is_named(settings: Mapping[str, Any], complaint: str) -> None:
    url, others = str(settings.get("base_url", "http://127.0.0.1:1")), {**settings}
    others.pop("base_url", None)
    with pytest.raises(ValueError, match=complaint):
        async with open_source(url, **others):
            pass


async def test_columns_are_known_without_a_call() -> None:
    async with open_source("http://127.0.0.1:1") as source:
        can = source.capabilities("logs")
    assert (can.columns["customer_id"].type, can.columns["time"].filters) == (
        ColumnType.INTEGER,
        frozenset({Op.EQ, Op.LT, Op.LTE, Op.GT, Op.GTE}),
    )


async def test_the_repr_of_options_has_no_secret(source: DatadogConnector) -> None:
    assert "hush" not in repr(DatadogOptions(api_key="hush", app_key="hush"))
    assert await read_rows(source, "events", "id", filter=ALWAYS_TRUE) != []
